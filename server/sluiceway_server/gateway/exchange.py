"""One HTTP request and its response: reading with limits, and the headers of every response."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Mapping
from typing import Any

from google.rpc import status_pb2  # type: ignore[import-untyped]  # ships no types
from starlette.types import Receive, Scope, Send

from sluiceway_common.foundation.errors import DeadlineExceeded, Exhausted, InvalidInput, Violation
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.gateway.errors import HttpError, body_of, dumps, headers_of, http_code
from sluiceway_server.gateway.settings import GatewaySettings

__all__ = ["JSON", "ClientGone", "Exchange"]

JSON = "application/json"
_COMPRESS_FROM_BYTES = 2048
_READ_FOR_NOTHING_BYTES = 64 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")

_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
_API_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_EXPOSED = "accept-ranges, content-range, etag, location, retry-after, sluice-position, x-request-id"


class ClientGone(Exception):
    """The client closed the connection; nobody waits for a response."""


class Exchange:
    """One HTTP request and its response. Used by one task; `wait_gone` may run beside it once the body was read."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: GatewaySettings, new_id: str) -> None:
        self._receive = receive
        self._send = send
        self._settings = settings
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.method: str = scope["method"]
        client = scope.get("client")
        self.client_address = str(client[0]) if client else ""
        raw = scope.get("raw_path") or scope["path"].encode()
        self.path: str = raw.decode("ascii", errors="replace")
        self.query: str = scope["query_string"].decode("ascii", errors="replace")
        given = self.header("x-request-id")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else new_id
        self._body_was_read = False
        self.started = False
        self.code = 0
        # Of the session of a browser, if the request is of one.
        self.session_token = ""
        # Values of `set-cookie`, which a response may have several of.
        self.set_cookies: list[str] = []

    def header(self, name: str) -> str:
        """Return a header, several of one name joined with commas; empty if it is missing."""
        wanted = name.encode()
        return ", ".join(value.decode("latin-1") for key, value in self._headers if key == wanted)

    def headers(self) -> dict[str, str]:
        """Return all headers by name in lower case, several of one name joined with commas."""
        return {name: self.header(name) for name in {key.decode("latin-1") for key, _ in self._headers}}

    def single(self, name: str) -> str:
        """Return a header that may occur once.

        Raises:
            InvalidInput: it is there more than once, or has characters that no metadata of gRPC may have.
        """
        values = [value for key, value in self._headers if key == name.encode()]
        if len(values) > 1:
            raise InvalidInput([Violation(name, "this header is given more than once")])
        text = values[0].decode("latin-1") if values else ""
        if not text.isascii() or not text.isprintable():
            raise InvalidInput([Violation(name, "this header has characters that it may not have")])
        return text

    def cookie(self, name: str) -> str:
        """Return a cookie; empty if it is missing."""
        for part in self.header("cookie").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
        return ""

    def check_size(self) -> None:
        """Refuse a request whose line and headers are too large."""
        size = len(self.path) + len(self.query) + sum(len(key) + len(value) + 4 for key, value in self._headers)
        if size > self._settings.max_header_bytes:
            raise HttpError(_too_large("the request's line and headers", self._settings.max_header_bytes), 431)

    @property
    def has_body(self) -> bool:
        """Whether the client sends a body, as far as its headers say."""
        return bool(self.header("transfer-encoding")) or self.length != 0

    @property
    def length(self) -> int | None:
        """The bytes of the body; None when its headers do not say."""
        if self.header("transfer-encoding"):
            return None
        text = self.header("content-length")
        return int(text) if text else 0

    def check_length(self, most: int | None = None) -> None:
        """Refuse a body whose headers say that it is too large: larger than the settings allow, or than `most`.

        Raises:
            HttpError: 413.
        """
        limit = self._limit(most)
        if self.length is not None and self.length > limit:
            raise HttpError(_too_large("the body", limit), 413)

    def _limit(self, most: int | None) -> int:
        return self._settings.max_body_bytes if most is None else min(most, self._settings.max_body_bytes)

    async def body(self, most: int | None = None) -> bytes:
        """Read the body, of at most as many bytes as the settings allow, and as `most`.

        Raises:
            HttpError: 413: it is too large.
            DeadlineExceeded: it did not come in time.
            ClientGone: the client has disconnected.
        """
        self.check_length(most)
        limit = self._limit(most)
        parts: list[bytes] = []
        size = 0
        try:
            async with time_limit(self._settings.read_timeout.total_seconds()):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part: bytes = message.get("body", b"")
                    size += len(part)
                    if size > limit:
                        raise HttpError(_too_large("the body", limit), 413)
                    parts.append(part)
                    if not message.get("more_body", False):
                        self._body_was_read = True
                        return b"".join(parts)
        except TimeoutError as error:
            raise DeadlineExceeded("the request's body did not come in time") from error

    async def wait_gone(self) -> None:
        """Wait until the client has closed the connection. After `body` only."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, code: int, headers: Mapping[str, str]) -> None:
        """Send the head of the response."""
        self.started = True
        self.code = code
        cors = self._cors()
        merged = {**_SECURITY_HEADERS, **_API_HEADERS, "x-request-id": self.request_id, **cors, **headers}
        if self._leaves_a_body():
            merged["connection"] = "close"
        if "vary" in cors and "vary" in headers:
            merged["vary"] = _add(headers["vary"], cors["vary"])
        fields = [*merged.items(), *(("set-cookie", cookie) for cookie in self.set_cookies)]
        await self._send(
            {
                "type": "http.response.start",
                "status": code,
                "headers": [(key.encode(), value.encode("latin-1", "replace")) for key, value in fields],
            }
        )

    def _leaves_a_body(self) -> bool:
        """Return whether to close the connection after the response, instead of reading the rest of the body."""
        if self._body_was_read or not self.has_body:
            return False
        return self.length is None or self.length > _READ_FOR_NOTHING_BYTES

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the reader is slower."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the end of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def respond(
        self,
        code: int,
        body: bytes = b"",
        *,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
        gzipped: bytes | None = None,
    ) -> None:
        """Send a whole response, compressed if that helps and the client accepts it.

        Args:
            code: its HTTP status.
            body: not compressed.
            content_type: of the body.
            headers: of its own.
            gzipped: the body compressed, where the caller keeps it.
        """
        all_headers = dict(headers or {})
        if body:
            all_headers["content-type"] = content_type
            if len(body) >= _COMPRESS_FROM_BYTES:
                all_headers["vary"] = _add(all_headers.get("vary", ""), "accept-encoding")
                if re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\b)", self.header("accept-encoding")):
                    # In a thread: it releases the interpreter's lock, and takes 10 ms for a MiB.
                    body = await asyncio.to_thread(gzip.compress, body, 1, mtime=0) if gzipped is None else gzipped
                    all_headers["content-encoding"] = "gzip"
        if code not in {204, 304}:
            all_headers["content-length"] = str(len(body))
        await self.start(code, all_headers)
        await self.finish(body)

    async def respond_json(self, code: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        """Send a complete JSON response."""
        await self.respond(code, dumps(value), headers=headers)

    async def respond_status(
        self, status: status_pb2.Status, *, code: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an error."""
        number = code or http_code(status)
        await self.respond_json(number, body_of(status, code=number), {**headers_of(status, number), **(headers or {})})

    async def preflight(self) -> bool:
        """Respond to a CORS preflight request; return False if this is not one."""
        if self.method != "OPTIONS" or not self.header("access-control-request-method"):
            return False
        headers = {"vary": "origin, access-control-request-method, access-control-request-headers"}
        if self._allowed_origin():
            headers |= {
                "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
                "access-control-allow-headers": "authorization, content-type, if-match, if-none-match, if-range, "
                "last-event-id, range, sluice-position, sluice-timeout, x-request-id",
                "access-control-max-age": "600",
            }
        await self.respond(204, headers=headers)
        return True

    def _cors(self) -> dict[str, str]:
        if not self._settings.cors_origins:
            return {}
        origin = self._allowed_origin()
        if not origin:
            return {"vary": "origin"}
        return {
            "vary": "origin",
            "access-control-allow-origin": origin,
            "access-control-expose-headers": _EXPOSED,
        }

    def _allowed_origin(self) -> str:
        # Exactly, and never `null`: that is what any sandboxed frame sends.
        origin = self.header("origin")
        return origin if origin in self._settings.cors_origins and origin != "null" else ""


def _too_large(what: str, limit: int) -> Exhausted:
    return Exhausted(f"{what} may have at most {limit} bytes", reason="REQUEST_TOO_LARGE", subject=what)


def _add(vary: str, name: str) -> str:
    return f"{vary}, {name}" if vary else name
