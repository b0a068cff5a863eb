"""Receives logs from executors (`ExecutorService.PushLogs`).

One stream carries many logs of one executor. Each chunk goes to the `LogBuffer` of its log; each acknowledgement says
how much of a log is stored. One coroutine sends the acknowledgements of a stream, built from the current state, so that
at most one is pending per log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.errors import (
    DataLoss,
    Exhausted,
    FailedPrecondition,
    NotFound,
    SluicewayError,
)
from sluiceway_common.foundation.tasks import one_error
from sluiceway_server.logs.buffer import LogBuffer, LogBuffers
from sluiceway_server.logs.layout import CHUNK_BYTES
from sluiceway_server.logs.owners import LogOwners
from sluiceway_server.runrecords.executor_messages import check_push

log = structlog.get_logger(__name__)

_MAX_LOGS_PER_STREAM = 10_000

Send = Callable[[pb.PushLogsResponse], Awaitable[None]]


class LogReceiver:
    """Serves the log streams of all executors that push to this server."""

    def __init__(
        self, buffers: LogBuffers, owners: LogOwners, *, limit_bytes: int = 1024 * 1024 * 1024 + CHUNK_BYTES
    ) -> None:
        """Create a receiver.

        Args:
            buffers: receive the bytes.
            owners: finds the log that an executor may write.
            limit_bytes: of one log. An executor enforces the limit of its specification itself, and says so in the log;
                this limit is for one that does not.
        """
        self._buffers = buffers
        self._owners = owners
        self._limit_bytes = limit_bytes

    async def receive(
        self, executor_id: str, session_id: str, requests: AsyncIterator[pb.PushLogsRequest], send: Send
    ) -> None:
        """Serve one stream of a proved session. Returns when the sender has ended and all that it sent is stored.

        Raises:
            InvalidInput: a message is out of bounds.
            Unavailable: the object storage is away; push again later.
        """
        stream = _PushStream(executor_id, session_id, self._buffers, self._owners, self._limit_bytes)
        try:
            # One coroutine fails and the other is cancelled; a stream has one status.
            with one_error():
                async with asyncio.TaskGroup() as tasks:
                    reading = tasks.create_task(stream.read(requests), name=f"logs of {executor_id}")
                    reading.add_done_callback(stream.reading_ended)
                    await stream.acknowledge(send)
        finally:
            await stream.close()


@dataclass(slots=True, eq=False)
class _PushedLog:
    reference: pb.LogReference
    buffer: LogBuffer | None = None
    refused: SluicewayError | None = None
    acknowledged: tuple[int, bool] | None = None
    is_ack_wanted: bool = True
    is_rewinding: bool = False
    is_rewind_due: bool = False
    moved: Callable[[], None] = field(default=lambda: None)
    hold: AsyncExitStack = field(default_factory=AsyncExitStack)


class _PushStream:
    def __init__(
        self, executor_id: str, session_id: str, buffers: LogBuffers, owners: LogOwners, limit_bytes: int
    ) -> None:
        self._executor_id = executor_id
        self._session_id = session_id
        self._buffers = buffers
        self._owners = owners
        self._limit_bytes = limit_bytes
        self._logs: dict[tuple[str, int], _PushedLog] = {}
        # A dictionary for its order: the log that changed first is acknowledged first.
        self._changed: dict[_PushedLog, None] = {}
        self._wake = asyncio.Event()
        self._reading = True

    async def read(self, requests: AsyncIterator[pb.PushLogsRequest]) -> None:
        async for request in requests:
            if not request.HasField("log"):
                continue
            check_push(request, most_bytes=CHUNK_BYTES)
            await self._receive(request)
        for pushed in self._logs.values():
            if pushed.buffer is None:
                continue
            # No more comes.
            if pushed.buffer.ended:
                pushed.buffer.store_now()
            else:
                await pushed.hold.aclose()

    async def _receive(self, request: pb.PushLogsRequest) -> None:
        name = (request.log.assignment_id, request.log.step)
        pushed = self._logs.get(name)
        if pushed is None:
            if len(self._logs) >= _MAX_LOGS_PER_STREAM:
                self._forget_complete()
            pushed = self._logs[name] = _PushedLog(pb.LogReference(assignment_id=name[0], step=name[1]))
            is_complete = request.end and request.offset == 0
            await self._open(pushed, is_complete=is_complete)
            if not is_complete:
                self._note(pushed)  # so that a sender that reconnects skips what is stored
        buffer = pushed.buffer
        if buffer is None or pushed.refused is not None:
            return
        if request.offset + len(request.data) > self._limit_bytes:
            self._refuse(pushed, Exhausted(f"a log may have {self._limit_bytes} bytes", reason="LOG_LIMIT"))
            return
        try:
            time = request.time.ToDatetime(UTC) if request.HasField("time") else None
            may_wait = request.storage_may_wait
            if await buffer.push(request.offset, request.data, end=request.end, may_wait=may_wait, time=time):
                pushed.is_rewinding = False
            elif not pushed.is_rewinding:
                pushed.is_rewinding = pushed.is_rewind_due = True
                self._note(pushed)
        except DataLoss as error:
            self._refuse(pushed, error)
            return
        if request.offset + len(request.data) <= buffer.stored and (buffer.complete or not request.end):
            pushed.is_ack_wanted = True  # its acknowledgement may have been lost
            self._note(pushed)

    async def _open(self, pushed: _PushedLog, *, is_complete: bool) -> None:
        reference = pushed.reference
        try:
            key = await self._owners.key_of(
                self._executor_id, self._session_id, reference.assignment_id, reference.step
            )
        except (NotFound, FailedPrecondition) as error:
            self._refuse(pushed, error)
            return
        buffer = await pushed.hold.enter_async_context(self._buffers.pushing(key, is_complete=is_complete))
        pushed.moved = partial(self._note, pushed)
        buffer.listeners.append(pushed.moved)
        pushed.buffer = buffer

    def _refuse(self, pushed: _PushedLog, error: SluicewayError) -> None:
        log.info(
            "log_refused", executor=self._executor_id, assignment=pushed.reference.assignment_id, reason=str(error)
        )
        pushed.refused = error
        self._note(pushed)

    def _forget_complete(self) -> None:
        for name, pushed in tuple(self._logs.items()):
            if _is_final(pushed) and pushed not in self._changed:
                if pushed.buffer is not None:
                    pushed.buffer.listeners.remove(pushed.moved)
                del self._logs[name]
        if len(self._logs) >= _MAX_LOGS_PER_STREAM:
            raise Exhausted(f"one stream may carry {_MAX_LOGS_PER_STREAM} logs at a time")

    def _note(self, pushed: _PushedLog) -> None:
        self._changed[pushed] = None
        self._wake.set()

    def reading_ended(self, _: asyncio.Task[None]) -> None:
        self._reading = False
        self._wake.set()

    async def acknowledge(self, send: Send) -> None:
        while True:
            self._wake.clear()
            while self._changed:
                pushed = next(iter(self._changed))
                del self._changed[pushed]
                await self._acknowledge_log(pushed, send)
            if not self._reading and not self._changed and all(self._needs_no_more(p) for p in self._logs.values()):
                return
            await self._wake.wait()

    async def _acknowledge_log(self, pushed: _PushedLog, send: Send) -> None:
        response = pb.PushLogsResponse(log=pushed.reference)
        if pushed.refused is not None:
            response.refused.CopyFrom(run_pb2.Reason(code=pushed.refused.reason, message=str(pushed.refused)))
        elif pushed.buffer is not None:
            now = (pushed.buffer.stored, pushed.buffer.complete)
            if now == pushed.acknowledged and not pushed.is_rewind_due and not pushed.is_ack_wanted:
                return
            response.stored_offset, response.complete = pushed.acknowledged = now
            response.rewind = pushed.is_rewind_due
            pushed.is_rewind_due = pushed.is_ack_wanted = False
        await send(response)
        if _is_final(pushed):
            await pushed.hold.aclose()

    def _needs_no_more(self, pushed: _PushedLog) -> bool:
        buffer = pushed.buffer
        return (
            _is_final(pushed)
            or buffer is None
            or (not buffer.ended and not buffer.unstored)
            # It was removed without being stored: the executor still has the bytes.
            or self._buffers.get(buffer.key) is not buffer
        )

    async def close(self) -> None:
        """Release all logs. Does no I/O."""
        for pushed in self._logs.values():
            if pushed.buffer is not None:
                pushed.buffer.listeners.remove(pushed.moved)
            await pushed.hold.aclose()


def _is_final(pushed: _PushedLog) -> bool:
    return pushed.refused is not None or (pushed.buffer is not None and pushed.buffer.complete)
