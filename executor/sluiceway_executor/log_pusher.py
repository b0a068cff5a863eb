"""Pushes the logs of all steps to a server, on a stream of its own, and drops what is stored.

It sends 64 KiB at a time, or less after 100 ms, and does not wait for acknowledgements; the flow control of the stream
slows it. After a break it continues from the stored offset, and so it does for one log when the server says `rewind`.
The end of a log says that its storage may wait, until the assignment waits for its logs: so the server stores short
logs of an assignment together. An empty log is not sent: the update of its step has its size. A stream belongs to one
session, and the server refuses the logs of any other on it; a new session needs a new stream.
"""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import grpc
import grpc.aio
import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.rpc.status import errors_of_call
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.journal import Journal
from sluiceway_executor.reporter import SETUP
from sluiceway_executor.spool import LogName, Spool, Spools

__all__ = ["LogPusher", "PushTimes"]

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 64 * 1024
# Of a log on disk, so much is read at once: each read is a hop to a thread.
_READ_BYTES = 8 * _CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class PushTimes:
    """The times of the pusher.

    Attributes:
        gather_seconds: how long less than a full chunk waits for more.
        setup_gather_seconds: the same for the log of a setup, which is mostly over by then and sent in one message.
        silence_seconds: a stream on which nothing is acknowledged for so long, though something was sent, is replaced.
        first_backoff_seconds: the maximum of the first pause after a break; it doubles.
        max_backoff_seconds: the maximum of any pause.
    """

    gather_seconds: float = 0.1
    setup_gather_seconds: float = 0.5
    silence_seconds: float = 120.0
    first_backoff_seconds: float = 0.2
    max_backoff_seconds: float = 5.0


@dataclass(slots=True)
class _Progress:
    sent: int
    end_sent: bool = False
    may_wait: bool = False
    since: float | None = None
    begun: bool = False
    ahead: bytes = b""
    """What was read and not sent; it ends at `ahead_end`."""
    ahead_end: int = 0

    def take(self, offset: int, limit: int) -> bytes:
        """Return what was read of a log from an offset on, and drop what is before it; empty: nothing was."""
        begin = offset - (self.ahead_end - len(self.ahead))
        data = self.ahead[begin : begin + limit] if 0 <= begin < len(self.ahead) else b""
        if not data or offset + len(data) == self.ahead_end:
            self.ahead = b""
        return data


class LogPusher:
    """Pushes the logs of one executor."""

    def __init__(
        self,
        open_channel: Callable[[], grpc.aio.Channel],
        spools: Spools,
        journal: Journal,
        *,
        connected: asyncio.Event,
        clock: Clock,
        times: PushTimes | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._open_channel = open_channel
        self._spools = spools
        self._journal = journal
        self._connected = connected
        self._clock = clock
        self._times = times or PushTimes()
        self._random = random
        # Logs of an earlier process, which may have sent bytes that it had not written to disk.
        self._earlier = frozenset(spool.name for spool in spools)
        self._failures = 0
        self._progress: dict[LogName, _Progress] = {}
        self._acknowledged_at = 0.0

    async def run(self) -> None:
        """Push until cancelled. Never returns, and raises nothing."""
        while True:
            await self._connected.wait()
            await self._complete_empty()
            if not self._open_logs():
                self._spools.changed.clear()
                if not self._open_logs():
                    await self._spools.changed.wait()
                continue
            try:
                await self._run_stream()
            except SluicewayError as error:
                log.info("log_stream_broken", code=error.code.value, reason=error.reason, error=str(error))
            except Exception:
                log.exception("log_stream_failed")
            self._failures += 1
            pause = backoff_seconds(
                self._failures,
                first=self._times.first_backoff_seconds,
                limit=self._times.max_backoff_seconds,
                random=self._random,
            )
            await asyncio.sleep(pause)

    def _open_logs(self) -> list[Spool]:
        return [spool for spool in self._spools if not spool.complete]

    async def _complete_empty(self) -> None:
        for spool in self._open_logs():
            if spool.ended and not spool.size:
                await self._spools.stored(spool, 0, complete=True)

    async def _run_stream(self) -> None:
        self._progress = {}
        self._acknowledged_at = self._clock.monotonic()
        session = self._journal.session_id
        channel = self._open_channel()
        over = asyncio.Event()
        try:
            with errors_of_call("the log stream"):
                call = pb_grpc.ExecutorServiceStub(channel).PushLogs(self._requests(session, over))
                watch = asyncio.create_task(self._watch(call, session), name="log stream watch")
                try:
                    async for response in call:
                        self._failures = 0
                        self._acknowledged_at = self._clock.monotonic()
                        if self._journal.session_id != session:
                            break
                        await self._handle(response)
                finally:
                    watch.cancel()
                    call.cancel()
        finally:
            over.set()
            await channel.close()

    async def _watch(
        self, call: grpc.aio.StreamStreamCall[pb.PushLogsRequest, pb.PushLogsResponse], session: str
    ) -> None:
        """Cancel a stream on which nothing is acknowledged, or whose session is over."""
        while True:
            await asyncio.sleep(min(1.0, self._times.silence_seconds / 4))
            waits = any(
                progress.sent > spool.stored or progress.end_sent
                for name, progress in self._progress.items()
                if (spool := self._spools.get(name)) is not None and not spool.complete
            )
            if not waits:
                self._acknowledged_at = self._clock.monotonic()
            silent = self._clock.monotonic() - self._acknowledged_at
            if silent > self._times.silence_seconds or self._journal.session_id != session:
                call.cancel()
                return

    async def _handle(self, response: pb.PushLogsResponse) -> None:
        name = LogName(response.log.assignment_id, response.log.step)
        spool = self._spools.get(name)
        if spool is None:
            return
        if response.HasField("refused"):
            log.warning("log_refused", assignment=name.assignment_id, step=name.step, reason=response.refused.code)
            await self._spools.refused(spool)
            return
        await self._spools.stored(spool, response.stored_offset, complete=response.complete)
        progress = self._progress.get(name)
        if progress is None:
            return
        if response.rewind:
            progress.sent, progress.end_sent = min(progress.sent, spool.stored), False
            self._spools.changed.set()
        else:
            progress.sent = max(progress.sent, spool.stored)

    async def _requests(self, session: str, over: asyncio.Event) -> AsyncIterator[pb.PushLogsRequest]:
        yield pb.PushLogsRequest(
            session_id=session,
            session_secret=self._journal.session_secret,
            executor_id=self._journal.executor_id,
        )
        # grpc may still wait here for a stream that has ended: what comes next belongs to the next stream.
        while not over.is_set():
            self._spools.changed.clear()
            soonest: float | None = None
            await self._complete_empty()
            logs = self._open_logs()
            if self._journal.session_id != session:
                return
            for spool in logs:
                progress = self._progress.setdefault(spool.name, _Progress(spool.stored))
                progress.sent = max(progress.sent, spool.stored)
                wait = self._due_in(spool, progress)
                if wait is not None and wait <= 0:
                    request = await self._next_chunk(spool, progress)
                    if request is not None:
                        yield request
                    wait = self._due_in(spool, progress)
                if wait is not None:
                    soonest = wait if soonest is None else min(soonest, wait)
            if soonest is None or soonest > 0:
                try:
                    async with time_limit(soonest):
                        await self._spools.changed.wait()
                except TimeoutError:
                    pass

    def _due_in(self, spool: Spool, progress: _Progress) -> float | None:
        """Return the seconds until a chunk of a log is to be sent; None: none is."""
        ready = spool.size - progress.sent
        if spool.ended and not spool.size:
            return None  # it ended after `_complete_empty`, which completes it next time: `changed` is set
        if spool.ended:
            is_late = progress.may_wait and self._spools.is_awaited(spool.name.assignment_id)
            return None if progress.end_sent and ready <= 0 and not is_late else 0.0
        if ready <= 0:
            progress.since = None
            return None
        if ready >= _CHUNK_BYTES:
            return 0.0
        now = self._clock.monotonic()
        if progress.since is None:
            progress.since = now
        times = self._times
        gather = times.setup_gather_seconds if spool.name.step == SETUP else times.gather_seconds
        return max(0.0, progress.since + gather - now)

    async def _next_chunk(self, spool: Spool, progress: _Progress) -> pb.PushLogsRequest | None:
        offset = progress.sent
        ended = spool.ended
        try:
            data = progress.take(offset, _CHUNK_BYTES)
            if not data:
                read = await self._spools.read(spool, offset, _READ_BYTES)
                data = read[:_CHUNK_BYTES]
                if len(read) > len(data):
                    progress.ahead, progress.ahead_end = read, offset + len(read)
        except (OSError, IndexError):
            # Stored, released or refused while it was read.
            progress.sent, progress.end_sent = max(offset, spool.stored), spool.complete
            return None
        progress.since = None
        progress.sent = offset + len(data)
        # One message with the whole log replaces what is stored of it.
        may_replace = progress.begun or offset > 0 or spool.name not in self._earlier
        progress.end_sent = ended and progress.sent >= spool.size and may_replace
        progress.begun = True
        progress.may_wait = progress.end_sent and not self._spools.is_awaited(spool.name.assignment_id)
        request = pb.PushLogsRequest(
            log=pb.LogReference(assignment_id=spool.name.assignment_id, step=spool.name.step),
            offset=offset,
            data=data,
            end=progress.end_sent,
            storage_may_wait=progress.may_wait,
        )
        time = spool.time_of(offset)
        if time is not None:
            request.time.FromDatetime(time)
        return request
