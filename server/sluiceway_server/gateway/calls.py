"""A request, its call to the server, and its response: unary and streaming.

The call is cancelled when the client disconnects, and has the deadline of the request. What differs between RPCs comes
from their `Rule`; nothing here is for a single RPC.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import grpc
import grpc.aio
import structlog
from google.rpc import status_pb2  # type: ignore[import-untyped]  # ships no types

from sluiceway_common.foundation.clock import IdSource
from sluiceway_common.foundation.errors import Exhausted, InvalidInput, SluicewayError, Unavailable, Violation
from sluiceway_common.foundation.rpc.caller import FORWARDED_KEY, POSITION_KEY
from sluiceway_common.foundation.rpc.status import status_of
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.gateway.access import AccessChecks, Metadata
from sluiceway_server.gateway.downloads import Download, ReadAgain
from sluiceway_server.gateway.encoders import Encoder, RawBytes, ServerSentEvents, choose_encoder
from sluiceway_server.gateway.errors import HttpError, status_from_rpc
from sluiceway_server.gateway.exchange import ClientGone, Exchange
from sluiceway_server.gateway.json_names import in_json_names
from sluiceway_server.gateway.routes import Rule
from sluiceway_server.gateway.settings import GatewaySettings
from sluiceway_server.gateway.streams import Stream
from sluiceway_server.gateway.templates import unescape
from sluiceway_server.gateway.translation import Received, Translator

__all__ = ["Calls", "position_cookie"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Bodies up to this are read without waiting for a place: `max_calls` bounds them.
_SMALL_BODY_BYTES = 64 * 1024
_POSITION = re.compile(r"[0-9a-zA-Z.\-]{1,100}")
# The cookie is needed only until all servers have caught up. It must not outlive an installation that is recreated.
_POSITION_COOKIE_SECONDS = 60


class Calls:
    """Serves rules through one channel."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        settings: GatewaySettings,
        *,
        server: str,
        ids: IdSource,
        access: AccessChecks,
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._server = server
        self._ids = ids
        self._access = access
        self._translator = Translator(workers=settings.max_workers)
        self._large_bodies = asyncio.Semaphore(settings.max_large_bodies)
        self._callables: dict[str, Any] = {}
        self._open = {"calls": 0, "streams": 0}
        self._streams: set[Stream] = set()
        self._draining = False

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._open["streams"]

    def drain(self) -> None:
        """End the open streams with an error, and refuse new ones."""
        self._draining = True
        for stream in self._streams:
            stream.end(_draining())

    async def close(self) -> None:
        """Stop the translation workers, after the last call. May be called twice."""
        await self._translator.close()

    async def serve(self, exchange: Exchange, rule: Rule, values: Mapping[str, str]) -> None:
        """Serve one request.

        In this order: the body's declared length is checked, the call is counted, its caller is admitted, and only
        then the body is read and translated. Faults of a request are reported only to callers who may make it.

        Raises:
            SluicewayError, HttpError: the request cannot be passed on; nothing was sent yet.
            AioRpcError: the server refused it; nothing was sent yet.
            ClientGone: the client has disconnected.
        """
        exchange.check_length()
        with self._counted(rule):
            metadata = _metadata(exchange)
            timeout = self._settings.deadline.total_seconds()
            if exchange.has_body:
                await self._access.check(rule, metadata, timeout=timeout)
            try:
                if rule.streams:
                    await self._stream(exchange, rule, values, metadata)
                else:
                    await self._unary(exchange, rule, values, metadata)
            except (InvalidInput, HttpError):
                await self._access.check(rule, metadata, timeout=timeout)
                raise
            except grpc.aio.AioRpcError as error:
                if error.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
                    self._access.forget(rule, metadata)
                raise

    async def _unary(self, exchange: Exchange, rule: Rule, values: Mapping[str, str], metadata: Metadata) -> None:
        deadline = _deadline(exchange, self._settings) or self._settings.deadline.total_seconds()
        end = time.monotonic() + deadline
        request = await self._request(exchange, rule, values, timeout=deadline)
        call = self._callable(rule)(request, timeout=max(0.0, end - time.monotonic()), metadata=metadata)
        try:
            data, trailers = await _unless_gone(exchange, _result_of(call))
        finally:
            call.cancel()
        headers = _position_headers(exchange, trailers)
        response = await _unless_gone(
            exchange, self._translator.response(rule, data, timeout=max(0.0, end - time.monotonic()))
        )
        if response.location is not None:
            headers["location"] = response.location
        if rule.success == 204:
            await exchange.respond(204, headers=headers)
        else:
            await exchange.respond(rule.success, response.body, headers=headers)

    async def _stream(self, exchange: Exchange, rule: Rule, values: Mapping[str, str], metadata: Metadata) -> None:
        if self._draining:
            raise _draining()
        encoder = choose_encoder(rule, exchange.header("accept"))
        deadline = _deadline(exchange, self._settings)
        request = await self._request(exchange, rule, values, timeout=self._settings.deadline.total_seconds())
        call = partial(self._callable(rule), timeout=deadline, metadata=metadata)
        if not isinstance(encoder, RawBytes) or not rule.file_parts:
            if isinstance(encoder, ServerSentEvents) and rule.request_resume:
                position = str(getattr(rule.request.FromString(request), rule.request_resume))
                encoder.start_at(position, resumes=bool(exchange.single("last-event-id")))
            await self._run_stream(exchange, rule, call(request), encoder)
            return
        download = Download(rule, rule.request.FromString(request), exchange, encoder.content_type)
        try:
            await self._run_stream(exchange, rule, call(download.request), download)
        except ReadAgain:
            await self._run_stream(exchange, rule, call(download.request), download)

    async def _run_stream(self, exchange: Exchange, rule: Rule, call: Any, encoder: Encoder) -> None:
        encode = partial(self._translator.event, rule, encoder, timeout=self._settings.deadline.total_seconds())
        explain = partial(self._status, rule)
        stream = Stream(exchange, call, encoder=encoder, encode=encode, settings=self._settings, explain=explain)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    def _status(self, rule: Rule, error: SluicewayError | grpc.aio.AioRpcError) -> status_pb2.Status:
        if isinstance(error, SluicewayError):
            return in_json_names(status_of(error), rule)
        return in_json_names(status_from_rpc(error, self._server), rule)

    async def _request(self, exchange: Exchange, rule: Rule, values: Mapping[str, str], *, timeout: float) -> bytes:
        async with self._room(exchange):
            body = await exchange.body()
            _check_content_type(exchange, rule, body)
            received = Received(
                path=unescape(values),
                query=exchange.query,
                body=body,
                last_event_id=exchange.single("last-event-id") if rule.streams else "",
                request_id=self._ids.new_id(),
            )
            return await _unless_gone(exchange, self._translator.request(rule, received, timeout=timeout))

    @asynccontextmanager
    async def _room(self, exchange: Exchange) -> AsyncIterator[None]:
        """Wait for one of the few places for large bodies, because these are in memory."""
        if exchange.length is not None and exchange.length <= _SMALL_BODY_BYTES:
            yield
            return
        try:
            async with time_limit(self._settings.read_timeout.total_seconds()):
                await self._large_bodies.acquire()
        except TimeoutError as error:
            raise _busy("large bodies", self._settings.max_large_bodies) from error
        try:
            yield
        finally:
            self._large_bodies.release()

    def _callable(self, rule: Rule) -> Any:
        found = self._callables.get(rule.rpc)
        if found is None:
            make = self._channel.unary_stream if rule.streams else self._channel.unary_unary
            found = make(rule.rpc)  # without serializers: `Translator` returns bytes
            self._callables[rule.rpc] = found
        return found

    @contextmanager
    def _counted(self, rule: Rule) -> Iterator[None]:
        what = "streams" if rule.streams else "calls"
        limit = self._settings.max_streams if rule.streams else self._settings.max_calls
        if self._open[what] >= limit:
            raise _busy(what, limit)
        self._open[what] += 1
        try:
            yield
        finally:
            self._open[what] -= 1


async def _unless_gone(exchange: Exchange, work: Coroutine[Any, Any, T]) -> T:
    """Await something; cancel it when the client closes the connection. Only after the body was read.

    Raises:
        ClientGone: it did.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(exchange.wait_gone(), name="wait-gone")
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _result_of(call: Any) -> tuple[bytes, Any]:
    response = await call
    return response, await call.trailing_metadata()


def _metadata(exchange: Exchange) -> Metadata:
    metadata = [("x-request-id", exchange.request_id)]
    if exchange.client_address:
        metadata.append((FORWARDED_KEY, exchange.client_address))
    authorization = exchange.single("authorization")
    if not authorization and exchange.session_token:
        authorization = f"Bearer {exchange.session_token}"
    if authorization:
        metadata.append(("authorization", authorization))
    seen = [exchange.single(POSITION_KEY), exchange.cookie(POSITION_KEY)]
    position = max((text for text in seen if _POSITION.fullmatch(text)), default="")
    if position:
        metadata.append((POSITION_KEY, position))
    return tuple(metadata)


def _position_headers(exchange: Exchange, trailers: Any) -> dict[str, str]:
    position = next((str(value) for key, value in trailers or () if key == POSITION_KEY), "")
    if not position:
        return {}
    if exchange.header("sec-fetch-mode"):  # a browser
        exchange.set_cookies.append(position_cookie(position))
    return {POSITION_KEY: position}


def position_cookie(position: str) -> str:
    """Return the cookie with which a browser reads what it has just written, at any server."""
    return f"{POSITION_KEY}={position}; Path=/; Max-Age={_POSITION_COOKIE_SECONDS}; HttpOnly; SameSite=Strict"


def _deadline(exchange: Exchange, settings: GatewaySettings) -> float | None:
    text = exchange.single("sluice-timeout")
    if not text:
        return None
    limit = settings.max_deadline.total_seconds()
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not 0 < float(text) <= limit:
        raise InvalidInput([Violation("sluice-timeout", f"must be seconds, more than 0 and at most {limit:g}")])
    return float(text)


def _check_content_type(exchange: Exchange, rule: Rule, body: bytes) -> None:
    if not body:
        return
    encoding = exchange.header("content-encoding")
    if encoding and encoding != "identity":
        raise _unsupported(f"a body with content-encoding {encoding!r} is not taken; send it plain")
    name, *parameters = (part.strip().lower() for part in exchange.header("content-type").split(";"))
    charset = [part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")]
    if rule.body and (name != "application/json" or charset not in ([], ["utf-8"])):
        shown = exchange.header("content-type") or "none"
        raise _unsupported(
            f"the body must be application/json in UTF-8, and its content type is {shown};"
            " with curl, add -H 'Content-Type: application/json' or use --json instead of -d"
        )


def _draining() -> Unavailable:
    return Unavailable("this gateway is shutting down; call or resume at another one", reason="GATEWAY_DRAINING")


def _unsupported(message: str) -> HttpError:
    return HttpError(InvalidInput(message, reason="UNSUPPORTED_MEDIA_TYPE"), 415)


def _busy(what: str, limit: int) -> Exhausted:
    return Exhausted(
        f"this gateway serves at most {limit} {what} at a time; try again",
        reason="GATEWAY_BUSY",
        subject=what,
        retry_after=timedelta(seconds=1),
    )
