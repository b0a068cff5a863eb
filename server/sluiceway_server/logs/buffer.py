"""Buffers logs in memory while they are written, and uploads them to the object storage.

A chunk is visible to readers as soon as it arrives; it is *acknowledged* only when the object storage has it. Between
the two it is in memory here and in the spool of its executor, so that a server that dies loses nothing: the executor
continues from the stored offset.

There is one `LogBuffer` for each log: two streams of one executor (an old one whose end is not noticed yet, and its
successor) push to the same buffer, and each byte is kept once. Memory is bounded, per log and in total: `push` waits
while there is none. So an object storage that is slow or away slows pushers, and nothing else.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import DataLoss, NotFound, SluicewayError, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.logs.layout import Cover, LineCounter, LogKey
from sluiceway_server.logs.store import LogStore, times_of
from sluiceway_server.logs.times import LogTimes, Times

log = structlog.get_logger(__name__)

_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogBufferSettings:
    """When segments are cut, and how much is buffered. Sizes in bytes.

    Attributes:
        cut_bytes: the size of a segment, at most.
        cut_after: a segment is cut at this age, however small it is. A longer time makes fewer objects, and larger
            spools.
        first_cut_after: the same within `first_period`, because most failures come early.
        first_period: since this server opened the log.
        log_bytes: bytes of one log that are not stored; above it, its pushers wait.
        all_bytes: the same of all logs of this server. Lower it where memory is scarce.
        tail_bytes: stored bytes that are kept per log, for readers that are close behind.
        give_up_after: a log without a pusher that cannot be stored for so long is dropped; its executor has the bytes.
    """

    cut_bytes: int = 1024 * 1024
    cut_after: timedelta = timedelta(seconds=30)
    first_cut_after: timedelta = timedelta(seconds=5)
    first_period: timedelta = timedelta(minutes=1)
    log_bytes: int = 4 * 1024 * 1024
    all_bytes: int = 256 * 1024 * 1024
    tail_bytes: int = 256 * 1024
    give_up_after: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class BufferedBytes:
    """Bytes of a buffer, and when the last of them arrived."""

    data: bytes
    time: datetime


class _Block:
    __slots__ = ("data", "offset", "time")

    def __init__(self, offset: int, time: datetime) -> None:
        self.offset = offset
        self.data = bytearray()
        self.time = time


class LogBuffer:
    """The buffer of one log. Created by `LogBuffers` only.

    Attributes:
        key: the log.
        stored_as: the key of its objects, which differs for a log of an earlier version.
        received: the offset after the last byte that arrived.
        stored: the offset up to which the storage has it.
        ended: no byte follows after `received`.
        complete: it ended, all of it is stored, and so is its end.
        listeners: called, without an argument, when `stored` or `complete` changed; they must be quick.
        pushers: how many streams push it.
        lines: counts its line ends; None: this server has not received it from its beginning.
        times: when its bytes were written.
    """

    def __init__(self, key: LogKey, *, cover: Cover, buffers: LogBuffers) -> None:
        complete, stored = cover.ended, cover.length
        self.key = key
        self.stored_as = cover.key
        self.received = stored
        self.stored = stored
        self.ended = complete
        self.complete = complete
        self.lines = LineCounter() if not stored else None
        self.times = LogTimes(times_of(cover))
        self.listeners: list[Callable[[], None]] = []
        self.pushers = 0
        self._buffers = buffers
        self._blocks: list[_Block] = []
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._began = buffers.clock.monotonic()
        self._oldest: float | None = None
        self._is_closing = False

    @property
    def memory_start(self) -> int:
        """The first offset that `read` returns bytes of; `received` when the buffer is empty."""
        return self._blocks[0].offset if self._blocks else self.received

    @property
    def unstored(self) -> int:
        """Bytes that arrived and are not stored."""
        return self.received - self.stored

    async def push(self, offset: int, data: bytes, *, end: bool, time: datetime | None = None) -> bool:
        """Add bytes at an offset; wait while there is no memory for them.

        Args:
            offset: of the first byte.
            data: the bytes, 64 KiB at most.
            end: whether no byte follows.
            time: when the first byte was written, by the executor's clock; None: now.

        Returns:
            False when bytes before `offset` are missing: nothing was added; the sender must continue from `stored`.

        Raises:
            DataLoss: the log has ended, and bytes after its end came.
            Unavailable: the buffers are closed, and nothing stores the bytes any more.
        """
        await self._buffers.wait_for_memory(self)
        if self._is_closing:
            raise Unavailable("this server stops; push again, to another one")
        if offset > self.received:
            return False
        fresh = data[self.received - offset :]
        if self.ended:
            if fresh:
                raise DataLoss(f"{self.key.path} ended at {self.received}, and bytes after it came")
            return True
        if fresh:
            self.times.note(self.received, (time or self._buffers.clock.now()).timestamp())
            if self.lines is not None:
                self.lines.feed(fresh)
            self._append(fresh)
        if end:
            self.ended = True
        if fresh or end:
            self._notify_readers()
        if (
            end
            or self.unstored >= self._buffers.settings.cut_bytes
            or self._buffers.under_memory_pressure
            or self._oldest is None
        ):
            self._wake.set()
        if fresh and self._oldest is None:
            self._oldest = self._buffers.clock.monotonic()
        return True

    def read(self, offset: int, limit: int) -> BufferedBytes | None:
        """Return bytes at an offset; None when the buffer does not have them (yet, or any more)."""
        if not self._blocks or not self._blocks[0].offset <= offset < self.received:
            return None
        block = self._blocks[bisect_right(self._blocks, offset, key=lambda b: b.offset) - 1]
        begin = offset - block.offset
        return BufferedBytes(bytes(block.data[begin : begin + limit]), block.time)

    def watch(self) -> asyncio.Event:
        """Return an event that is set at the next change. Get it before reading: then no change is missed."""
        return self._changed

    def release_pusher(self) -> None:
        """Remove a pusher. Without pushers, all bytes are stored at once."""
        self.pushers -= 1
        self._wake.set()

    def close(self) -> None:
        """Store all bytes, and stop."""
        self._is_closing = True
        self._wake.set()

    async def store_until_done(self) -> None:
        """Store bytes as they arrive until the log is complete, or has no pusher and all of it is stored."""
        failing_since: float | None = None
        pause = 0.1
        while True:
            await self._until_due()
            try:
                await self._store_some()
                failing_since, pause = None, 0.1
            except SluicewayError as error:
                now = self._buffers.clock.monotonic()
                failing_since = now if failing_since is None else failing_since
                log.warning("log_not_stored", log=self.key.path, waiting=self.unstored, error=str(error))
                if (
                    self._is_closing or not self.pushers
                ) and now - failing_since >= self._buffers.settings.give_up_after.total_seconds():
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)
                continue
            if self.complete or (not self.unstored and not self.ended and (self._is_closing or not self.pushers)):
                return

    async def _until_due(self) -> None:
        settings = self._buffers.settings
        while True:
            self._wake.clear()
            if self.ended or self._is_closing or not self.pushers or self.unstored >= settings.cut_bytes:
                return
            if self._buffers.under_memory_pressure and self.unstored >= 2 * _BLOCK:
                return
            left: float | None = None
            if self._oldest is not None:
                now = self._buffers.clock.monotonic()
                young = now - self._began < settings.first_period.total_seconds()
                cut = settings.first_cut_after if young else settings.cut_after
                left = self._oldest + cut.total_seconds() - now
                if left <= 0:
                    return
            try:
                async with time_limit(left):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _store_some(self) -> None:
        if self.ended and self.memory_start == 0 and self.received <= self._buffers.settings.cut_bytes:
            await self._store_complete()
            return
        store = self._buffers.store
        data = self._bytes_from(self.stored, self._buffers.settings.cut_bytes)
        if data:
            try:
                end = await store.put_segment(self.stored_as, self.stored, data)
            except NotFound:
                await self._adopt_stored_end()
                return
            self._buffers.release_memory(end - self.stored)
            self.stored = end
            # The rest arrived while this was stored, at the latest.
            self._oldest = self._buffers.clock.monotonic() if self.unstored else None
            self._trim()
            self.notify()
        if self.ended and not self.unstored:
            if await store.end(self.stored_as, self.received):
                self._buffers.compose(self.stored_as, self.times.entries)
            self.complete = True
            self.notify()

    async def _store_complete(self) -> None:
        """Store a log whose bytes are all in memory as one object, with its index."""
        data = self._bytes_from(0, self.received)
        await self._buffers.store.put_complete(
            self.stored_as, data, has_segments=self.stored > 0, times=self.times.entries
        )
        self._buffers.release_memory(self.unstored)
        self.stored = self.received
        self._oldest = None
        self._trim()
        self.complete = True
        self.notify()

    async def _adopt_stored_end(self) -> None:
        cover = await self._buffers.store.cover(self.key)
        if not cover.ended:
            raise Unavailable(f"{self.key.path} was changed while it was stored")
        self._buffers.release_memory(self.unstored)
        self._blocks.clear()
        self.received = self.stored = cover.length
        self.lines, self.times = None, LogTimes(times_of(cover))
        self.ended = self.complete = True
        self.notify()

    def _append(self, data: bytes) -> None:
        self._buffers.reserve_memory(len(data))
        now = self._buffers.clock.now()
        begin = 0
        while begin < len(data):
            if not self._blocks or len(self._blocks[-1].data) >= _BLOCK:
                self._blocks.append(_Block(self.received, now))
            block = self._blocks[-1]
            piece = data[begin : begin + _BLOCK - len(block.data)]
            block.data += piece
            block.time = now
            self.received += len(piece)
            begin += len(piece)

    def _bytes_from(self, offset: int, limit: int) -> bytes:
        parts: list[bytes] = []
        while limit > 0 and (part := self.read(offset, limit)) is not None:
            parts.append(part.data)
            offset += len(part.data)
            limit -= len(part.data)
        return b"".join(parts)

    def _trim(self) -> None:
        keep_from = self.stored - self._buffers.settings.tail_bytes
        gone = 0
        while gone < len(self._blocks) and self._blocks[gone].offset + len(self._blocks[gone].data) <= keep_from:
            gone += 1
        del self._blocks[:gone]

    def notify(self) -> None:
        """Notify readers and listeners of a change."""
        self._notify_readers()
        for listener in tuple(self.listeners):
            listener()

    def _notify_readers(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class LogBuffers:
    """The buffers of a server. An async context manager, which stores what it can within `grace` when it is left."""

    def __init__(
        self,
        store: LogStore,
        clock: Clock,
        *,
        settings: LogBufferSettings | None = None,
        grace: timedelta = timedelta(seconds=10),
    ) -> None:
        self.store = store
        self.clock = clock
        self.settings = settings or LogBufferSettings()
        self._grace = grace
        self._logs: dict[LogKey, LogBuffer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unstored = 0
        self._is_closing = False
        self._has_memory = asyncio.Event()
        self._has_memory.set()
        self._created = asyncio.Event()
        # Composing reads and writes whole logs: two at a time leave most of the disk to what runs.
        self._composers = asyncio.Semaphore(2)

    @property
    def unstored_bytes(self) -> int:
        """How many bytes in memory are not stored."""
        return self._unstored

    @property
    def under_memory_pressure(self) -> bool:
        """Whether more than half of `all_bytes` is in use: segments are cut early then."""
        return self._unstored * 2 > self.settings.all_bytes

    def get(self, key: LogKey) -> LogBuffer | None:
        """Return the buffer of a log that is pushed to this server, or was until just now."""
        return self._logs.get(key)

    def watch(self) -> asyncio.Event:
        """Return an event that is set when the next buffer is created."""
        return self._created

    @asynccontextmanager
    async def pushing(self, key: LogKey, *, is_complete: bool = False) -> AsyncIterator[LogBuffer]:
        """Return a context manager with the buffer of a log for a pusher. A new buffer lists what is stored of its log.

        Args:
            key: the log.
            is_complete: the first push has the whole log and its end, so that the stored part need not be listed.

        Raises:
            Unavailable: the storage is away.
        """
        buffer = await self._open(key, is_complete=is_complete)
        try:
            yield buffer
        finally:
            buffer.release_pusher()
            if not buffer.pushers and buffer.complete:
                self._remove(buffer)

    async def _open(self, key: LogKey, *, is_complete: bool) -> LogBuffer:
        buffer = self._logs.get(key)
        if buffer is None:
            cover = Cover(key) if is_complete else await self.store.cover(key)
            # Another stream may have opened it meanwhile. If that one is gone again, our cover is too short; the next
            # puts find their objects stored already, and continue after them.
            buffer = self._logs.get(key)
            if buffer is None:
                buffer = LogBuffer(key, cover=cover, buffers=self)
                self._logs[key] = buffer
                if not buffer.complete:
                    self._start(self._store(buffer), f"store {key.path}")
                created, self._created = self._created, asyncio.Event()
                created.set()
        # No await before this: a buffer with a pusher is not removed.
        buffer.pushers += 1
        return buffer

    async def _store(self, buffer: LogBuffer) -> None:
        while True:
            await buffer.store_until_done()
            if buffer.complete:
                if not buffer.pushers:
                    self._remove(buffer)
                return
            if not buffer.pushers or self._is_closing:
                self.release_memory(buffer.unstored)
                self._remove(buffer)
                return

    def _remove(self, buffer: LogBuffer) -> None:
        if self._logs.get(buffer.key) is buffer:
            del self._logs[buffer.key]
            buffer.notify()  # its readers continue from the storage

    def compose(self, key: LogKey, times: Times) -> None:
        """Compose a log in the background. If that fails, the due work of the store does it later."""
        self._start(self._compose(key, times), f"compose {key.path}")

    async def _compose(self, key: LogKey, times: Times) -> None:
        async with self._composers:
            try:
                await self.store.compose(key, times=times)
            except SluicewayError as error:
                log.warning("log_not_composed", log=key.path, error=str(error))

    async def wait_for_memory(self, buffer: LogBuffer) -> None:
        """Wait until more bytes of a log may be buffered."""
        while buffer.unstored >= self.settings.log_bytes:
            changed = buffer.watch()
            await changed.wait()
        while self._unstored >= self.settings.all_bytes:
            self._has_memory.clear()
            await self._has_memory.wait()

    def reserve_memory(self, size: int) -> None:
        """Count bytes that arrived."""
        self._unstored += size

    def release_memory(self, size: int) -> None:
        """Count bytes that were stored or dropped."""
        self._unstored -= size
        self._has_memory.set()

    def _start(self, work: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("log_task_failed", task=task.get_name(), exc_info=error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing = True
        for buffer in tuple(self._logs.values()):
            buffer.close()
        tasks = tuple(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace.total_seconds())
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*tuple(self._tasks), return_exceptions=True)
