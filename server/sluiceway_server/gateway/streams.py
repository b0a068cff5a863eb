"""A server stream on its way to an HTTP client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio
import structlog
from google.rpc import status_pb2  # type: ignore[import-untyped]  # ships no types

from sluiceway_common.foundation.errors import DeadlineExceeded, SluicewayError, Unavailable
from sluiceway_common.foundation.rpc.caller import STREAM_KEY, STREAM_OPEN
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.gateway.encoders import Encoder
from sluiceway_server.gateway.errors import HttpError
from sluiceway_server.gateway.exchange import ClientGone, Exchange
from sluiceway_server.gateway.settings import GatewaySettings

__all__ = ["Stream"]

log = structlog.get_logger(__name__)


class Stream:
    """One open stream: reads the call and writes to the client, while it watches the client and sends comments."""

    def __init__(
        self,
        exchange: Exchange,
        call: Any,
        *,
        encoder: Encoder,
        encode: Callable[[bytes], Awaitable[bytes]],
        settings: GatewaySettings,
        explain: Callable[[SluicewayError | grpc.aio.AioRpcError], status_pb2.Status],
    ) -> None:
        """Create the stream.

        Args:
            exchange: with the client, whose body was read.
            call: to the server, whose messages are bytes.
            encoder: of the response.
            encode: encodes one message with it.
            settings: of the gateway.
            explain: makes the status of a failure, for the client.
        """
        self._exchange = exchange
        self._call = call
        self._encoder = encoder
        self._encode = encode
        self._settings = settings
        self._explain = explain
        self._ended_by: Exception | None = None
        self._is_writing = False
        self._written = time.monotonic()

    def end(self, why: Exception) -> None:
        """End the stream, and send the error unless the reader has gone."""
        if self._ended_by is None:
            self._ended_by = why
            self._call.cancel()

    async def run(self) -> None:
        """Serve the stream to its end.

        Raises:
            AioRpcError, SluicewayError, HttpError, ReadAgain: nothing was sent yet.
            ClientGone: the client closed the connection, or does not read.
        """
        helpers = [asyncio.create_task(self._watch_client(), name="wait-gone")]
        messages = aiter(self._call)
        first = asyncio.ensure_future(_next(messages))
        try:
            await self._wait_for(first)
            message = self._result_of(first) if first.done() else None
            opening = self._encoder.begin(message, is_over=first.done() and message is None)
            await self._exchange.start(opening.code, opening.headers)
            if self._exchange.method == "HEAD" or not opening.has_body:
                await self._exchange.finish()
                return
            helpers.append(asyncio.create_task(self._keep_alive(), name="keep-alive"))
            if opening.skips_first:
                first = asyncio.ensure_future(_next(messages))
            await self._pump(first, messages)
        finally:
            self._call.cancel()
            first.cancel()
            for task in helpers:
                task.cancel()
            await asyncio.gather(first, *helpers, return_exceptions=True)

    async def _wait_for(self, first: asyncio.Future[bytes | None]) -> None:
        """Wait for the first message, so that a call that fails at once gets its own HTTP code.

        Returns earlier when the server has accepted the call, and after a time limit.
        """
        if self._encoder.waits:
            await asyncio.wait({first}, timeout=self._settings.deadline.total_seconds())
            if not first.done():
                raise DeadlineExceeded("the server did not respond in time")
            return
        end = time.monotonic() + self._settings.first_message_timeout.total_seconds()
        accepted = asyncio.create_task(_is_accepted(self._call), name="wait-accepted")
        try:
            either: set[asyncio.Future[Any]] = {first, accepted}
            await asyncio.wait(either, timeout=end - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
            if not first.done() and accepted.done() and not accepted.result():
                await asyncio.wait({first}, timeout=max(0.0, end - time.monotonic()))
        finally:
            accepted.cancel()
            await asyncio.gather(accepted, return_exceptions=True)

    def _result_of(self, first: asyncio.Future[bytes | None]) -> bytes | None:
        if first.cancelled():
            raise self._ended_by or ClientGone
        return first.result()

    async def _pump(self, first: asyncio.Future[bytes | None], messages: AsyncIterator[bytes]) -> None:
        try:
            message = await first
            is_empty = message is None
            while message is not None:
                await self._write(await self._encode(message))
                if self._encoder.is_done:
                    break
                message = await _next(messages)
            rest = self._encoder.end(is_empty=is_empty)
            if rest is not None:
                await self._sent(self._exchange.finish(rest))
            else:
                log.warning("stream_too_short", path=self._exchange.path)
        except (grpc.aio.AioRpcError, SluicewayError) as error:
            await self._fail(self._explain(error))
        except HttpError as error:  # a message that takes too much memory to encode
            await self._fail(self._explain(error.error))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # The call was cancelled, by `end`.
            if isinstance(self._ended_by, Unavailable):
                await self._fail(self._explain(self._ended_by))

    async def _fail(self, status: status_pb2.Status) -> None:
        failure = self._encoder.error(status)
        if failure is not None:
            await self._sent(self._exchange.finish(failure))
        else:
            log.info("stream_cut", code=status.code, message=status.message)
            # Without the end of the body, the connection is closed and the reader sees that something is missing.

    async def _write(self, data: bytes) -> None:
        if data:
            await self._sent(self._exchange.write(data))

    async def _sent(self, sending: Awaitable[None]) -> None:
        self._is_writing = True
        try:
            async with time_limit(self._settings.stall_timeout.total_seconds()):
                await sending
        except TimeoutError as error:
            log.info("stream_stalled", seconds=self._settings.stall_timeout.total_seconds())
            raise ClientGone from error
        finally:
            self._is_writing = False
        self._written = time.monotonic()

    async def _watch_client(self) -> None:
        await self._exchange.wait_gone()
        self.end(ClientGone())

    async def _keep_alive(self) -> None:
        idle = self._settings.comment_interval.total_seconds()
        while True:
            await asyncio.sleep(max(0.0, self._written + idle - time.monotonic()))
            data = self._encoder.idle()
            if data is None or self._is_writing or time.monotonic() < self._written + idle:
                self._written = max(self._written, time.monotonic() - idle / 2)
                continue
            try:
                await self._write(data)
            except ClientGone as gone:
                self.end(gone)
                return


async def _is_accepted(call: Any) -> bool:
    """Wait for the call's initial metadata; return whether the server has accepted the call."""
    try:
        metadata = await call.initial_metadata()
    except grpc.aio.AioRpcError:
        return False
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return False  # the call was cancelled
    return any(key == STREAM_KEY and value == STREAM_OPEN for key, value in metadata or ())


async def _next(messages: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(messages)
    except StopAsyncIteration:
        return None
