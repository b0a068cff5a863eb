"""An HTTP proxy in front of an S3 server that makes chosen requests fail: before, during or after their effect.

Requests pass byte for byte, so signatures stay valid. A *fate* is a function of the request and of the call that
forwards it; fates wait in a queue, and each applies to the next request that it matches.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

__all__ = ["Answer", "Fate", "S3Proxy", "answer_with", "applied_but", "hang", "lose_answer", "lose_request", "s3_proxy"]

_NOT_SENT_ON = frozenset({"connection", "expect", "keep-alive", "transfer-encoding"})
_DRAIN_BYTES = 1 << 16


@dataclass
class Answer:
    """The response of the server, forwarded or not."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


Fate = Callable[[web.Request, Callable[[], Awaitable[Answer]]], Awaitable[Answer | None]]
"""Decides about one request; its second argument sends it on. None: the connection is cut."""


def answer_with(status: int, code: str, *, headers: dict[str, str] | None = None) -> Fate:
    """Respond with an S3 error without forwarding the request."""

    async def fate(request: web.Request, send: Callable[[], Awaitable[Answer]]) -> Answer:
        return _error(status, code, headers)

    return fate


def applied_but(status: int, code: str) -> Fate:
    """Forward the request, and respond with an error all the same."""

    async def fate(request: web.Request, send: Callable[[], Awaitable[Answer]]) -> Answer:
        await send()
        return _error(status, code, None)

    return fate


async def lose_request(request: web.Request, send: Callable[[], Awaitable[Answer]]) -> None:
    """Close the connection without forwarding the request."""


async def lose_answer(request: web.Request, send: Callable[[], Awaitable[Answer]]) -> None:
    """Forward the request, and close the connection."""
    await send()


async def hang(request: web.Request, send: Callable[[], Awaitable[Answer]]) -> None:
    """Forward the request, and do not respond until the client disconnects."""
    await send()
    await asyncio.Event().wait()


@dataclass
class S3Proxy:
    """The proxy, and what passed through it.

    Attributes:
        endpoint: where clients reach it.
        dropped_header: is taken off every request before it is sent on; empty: none.
        requests: method and path of each request.
        given_bytes: of bodies, so far, to clients.
        truncate_after: bodies of answers end, with their connection, after so many bytes; None: they are whole.
        spoil_puts: of so many further puts that have a body, its last byte is another one when it is sent on.
        body_hashes: what the signature of each put said of its body.
    """

    endpoint: str = ""
    dropped_header: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    given_bytes: int = 0
    truncate_after: int | None = None
    spoil_puts: int = 0
    body_hashes: list[str] = field(default_factory=list)
    _fates: list[tuple[str, str, Fate]] = field(default_factory=list)

    def next(self, method: str, *fates: Fate, containing: str = "") -> None:
        """Set fates for the next requests of a method whose path and query contain a text, in order."""
        self._fates += [(method, containing, fate) for fate in fates]

    @property
    def fates_left(self) -> int:
        """Return how many fates have not been used."""
        return len(self._fates)

    def fate_of(self, request: web.Request) -> Fate | None:
        for place, (method, containing, fate) in enumerate(self._fates):
            if method == request.method and containing in request.raw_path:
                del self._fates[place]
                return fate
        return None


@asynccontextmanager
async def s3_proxy(endpoint: str) -> AsyncIterator[S3Proxy]:
    """Run a proxy in front of an endpoint."""
    proxy = S3Proxy()
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            proxy.requests.append((request.method, request.raw_path))
            body = await request.read()
            if request.method == "PUT" and body:
                proxy.body_hashes.append(request.headers.get("X-Amz-Content-SHA256", ""))
                if proxy.spoil_puts:
                    proxy.spoil_puts -= 1
                    body = body[:-1] + bytes([body[-1] ^ 1])

            async def send() -> Answer:
                headers = CIMultiDict(
                    (name, value) for name, value in request.headers.items() if name.lower() not in _NOT_SENT_ON
                )
                if proxy.dropped_header:
                    headers.popall(proxy.dropped_header, None)
                url = URL(endpoint + request.raw_path, encoded=True)
                async with session.request(
                    request.method, url, headers=headers, data=io.BytesIO(body) if body else None, allow_redirects=False
                ) as answer:
                    return Answer(answer.status, CIMultiDict(answer.headers), await answer.read())

            fate = proxy.fate_of(request)
            answer = await (send() if fate is None else fate(request, send))
            if answer is None:
                return _cut(request)
            return await _give(proxy, request, answer)

        runner = web.AppRunner(_application(handle), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            proxy.endpoint = f"http://{host}:{port}"
            yield proxy
        finally:
            await runner.cleanup()


def _application(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", handle)
    return application


async def _give(proxy: S3Proxy, request: web.Request, answer: Answer) -> web.StreamResponse:
    headers = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in _NOT_SENT_ON)
    response = web.StreamResponse(status=answer.status, headers=headers)
    if request.method != "HEAD":
        response.content_length = len(answer.body)
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    for start in range(0, len(answer.body), _DRAIN_BYTES):
        piece = answer.body[start : start + _DRAIN_BYTES]
        if proxy.truncate_after is not None:
            piece = piece[: max(0, proxy.truncate_after - start)]
        if not piece:
            return _cut(request)
        await response.write(piece)
        proxy.given_bytes += len(piece)
    await response.write_eof()
    return response


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _error(status: int, code: str, headers: dict[str, str] | None) -> Answer:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>told by the proxy</Message></Error>'
    return Answer(status, CIMultiDict({"Content-Type": "application/xml", **(headers or {})}), body.encode())
