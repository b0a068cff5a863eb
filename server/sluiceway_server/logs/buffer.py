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
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import DataLoss, NotFound, SluicewayError, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.logs.layout import Cover, LineCounter, LogKey
from sluiceway_server.logs.memory import BLOCK_BYTES, BufferedBytes, LogMemory
from sluiceway_server.logs.packs import FinishedLog, fitting, is_small, weight_of
from sluiceway_server.logs.settings import LogBufferSettings
from sluiceway_server.logs.store import LogStore, times_of
from sluiceway_server.logs.times import LogTimes, Times

log = structlog.get_logger(__name__)

_MOST_BEGUN = 10_000


class LogBuffer:
    """The buffer of one log. Created by `LogBuffers` only.

    Attributes:
        key: the log.
        stored_as: the key of its objects, which differs for a log of an earlier version.
        stored: the offset up to which the storage has it.
        ended: no byte follows after `received`.
        complete: it ended, all of it is stored, and so is its end.
        listeners: called, without an argument, when `stored` or `complete` changed; they must be quick.
        pushers: how many streams push it.
        lines: counts its line ends; None: this server has not received it from its beginning.
        times: when its bytes were written.
        may_wait: it ended, and its executor does not wait for it: it is stored with other logs of its attempt.
    """

    def __init__(self, key: LogKey, *, cover: Cover, buffers: LogBuffers) -> None:
        complete, stored = cover.ended, cover.length
        self.key = key
        self.stored_as = cover.key
        self.stored = stored
        self.ended = complete
        self.complete = complete
        self.lines = LineCounter() if not stored else None
        self.times = LogTimes(times_of(cover))
        self.listeners: list[Callable[[], None]] = []
        self.pushers = 0
        self.may_wait = False
        self._buffers = buffers
        self._is_putting = False
        self._memory = LogMemory(stored)
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._began = buffers.clock.monotonic()
        self._oldest: float | None = None
        self._is_closing = False

    @property
    def memory_start(self) -> int:
        """The first offset that `read` returns bytes of; `received` when the buffer is empty."""
        return self._memory.start

    @property
    def received(self) -> int:
        """The offset after the last byte that arrived."""
        return self._memory.end

    @property
    def unstored(self) -> int:
        """Bytes that arrived and are not stored."""
        return self.received - self.stored

    @property
    def is_small(self) -> bool:
        """It is over, not stored as a whole, and all in memory: it can be stored in a pack."""
        return (
            self.ended
            and not self.complete
            and not self._is_putting
            and self.memory_start == 0
            and bool(self.stored_as.run)
            and is_small(self.received, self.times.entries)
        )

    async def push(
        self, offset: int, data: bytes, *, end: bool, may_wait: bool = False, time: datetime | None = None
    ) -> bool:
        """Add bytes at an offset; wait while there is no memory for them.

        Args:
            offset: of the first byte.
            data: the bytes, 64 KiB at most.
            end: whether no byte follows.
            may_wait: with `end`: whether a short log may be stored later, together with others of its attempt.
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
            if end and not may_wait:
                self.store_now()
            return True
        if fresh:
            self.times.note(self.received, (time or self._buffers.clock.now()).timestamp())
            if self.lines is not None:
                self.lines.feed(fresh)
            self._buffers.reserve_memory(len(fresh))
            self._memory.append(fresh, self._buffers.clock.now())
        if end:
            self.ended, self.may_wait = True, may_wait
        if fresh or end:
            self._notify_readers()
        if (
            end
            or self.unstored >= self._buffers.settings.cut_bytes
            or self._buffers.under_memory_pressure
            or self._oldest is None
        ):
            self._wake.set()
        if (fresh or end) and self._oldest is None:
            self._oldest = self._buffers.clock.monotonic()
        return True

    def read(self, offset: int, limit: int) -> BufferedBytes | None:
        """Return bytes at an offset; None when the buffer does not have them (yet, or any more)."""
        return self._memory.read(offset, limit)

    def watch(self) -> asyncio.Event:
        """Return an event that is set at the next change. Get it before reading: then no change is missed."""
        return self._changed

    def release_pusher(self) -> None:
        """Remove a pusher. Without pushers, all bytes are stored at once."""
        self.pushers -= 1
        self._wake.set()

    def store_now(self) -> None:
        """Store a log that ended without waiting for others of its attempt."""
        self.may_wait = False
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
            if self._is_closing or not self.pushers or self.unstored >= settings.cut_bytes:
                return
            if self.complete or (self.ended and not (self.may_wait and self.is_small)):
                return
            if self._buffers.under_memory_pressure and self.unstored >= 2 * BLOCK_BYTES:
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
        if self.complete:
            return  # it was stored with another log
        if self.ended and self.memory_start == 0 and self.received <= self._buffers.settings.cut_bytes:
            await self._buffers.store_complete(self)
            return
        store = self._buffers.store
        data = self._memory.bytes_from(self.stored, self._buffers.settings.segment_bytes)
        if data:
            self._is_putting = True
            try:
                end = await store.put_segment(self.stored_as, self.stored, data)
            except NotFound:
                await self._adopt_stored_end()
                return
            finally:
                self._is_putting = False
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

    def finished(self) -> FinishedLog:
        """Return the whole log, of which all bytes are in memory."""
        data = self._memory.bytes_from(0, self.received)
        return FinishedLog(self.stored_as, data, self.times.entries, has_segments=self.stored > 0)

    def on_complete(self) -> None:
        """Note that all of it is stored in one object."""
        if self._buffers.get(self.key) is self:
            self._buffers.release_memory(self.unstored)
        self.stored = self.received
        self._oldest = None
        self._trim()
        self.complete = True
        self._wake.set()
        self.notify()

    async def _adopt_stored_end(self) -> None:
        cover = await self._buffers.store.cover(self.key)
        if not cover.ended:
            raise Unavailable(f"{self.key.path} was changed while it was stored")
        self._buffers.release_memory(self.unstored)
        self._memory.clear(cover.length)
        self.stored = cover.length
        self.lines, self.times = None, LogTimes(times_of(cover))
        self.ended = self.complete = True
        self.notify()

    def _trim(self) -> None:
        self._memory.trim(self.stored - self._buffers.settings.tail_bytes)

    def notify(self) -> None:
        """Notify readers and listeners of a change."""
        self._notify_readers()
        for listener in tuple(self.listeners):
            listener()

    def _notify_readers(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class _Attempt:
    """The buffers of the logs of one attempt. The lock is held while whole logs of it are stored."""

    def __init__(self) -> None:
        self.buffers: list[LogBuffer] = []
        self.lock = asyncio.Lock()


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
        self._attempts: dict[str, _Attempt] = {}
        # The steps of an attempt whose small logs were stored: when others follow, all are packed later.
        self._begun: OrderedDict[str, frozenset[int]] = OrderedDict()
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
                self._attempts.setdefault(key.attempt_path, _Attempt()).buffers.append(buffer)
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
            attempt = self._attempts[buffer.key.attempt_path]
            attempt.buffers.remove(buffer)
            if not attempt.buffers:
                del self._attempts[buffer.key.attempt_path]
            buffer.notify()  # its readers continue from the storage

    async def store_complete(self, buffer: LogBuffer) -> None:
        """Store a log that is over and all in memory as one object, together with other small ones of its attempt."""
        path = buffer.key.attempt_path
        attempt = self._attempts[path]
        async with attempt.lock:
            if buffer.complete:
                return
            chosen = [buffer]
            if buffer.is_small:
                others = (each for each in attempt.buffers if each.is_small and each is not buffer)
                chosen = fitting((buffer, *others), lambda each: weight_of(each.received, each.times.entries))
            steps = frozenset(each.key.step for each in chosen)
            begun = self._begun.get(path, frozenset())
            # When its executor waits for one of them, the attempt is over.
            has_others = buffer.is_small and (all(each.may_wait for each in chosen) or not begun <= steps)
            await self.store.put_complete([each.finished() for each in chosen], has_others=has_others)
            if buffer.is_small:
                self._begun[path] = begun | steps
                if len(self._begun) > _MOST_BEGUN:
                    self._begun.popitem(last=False)
            for each in chosen:
                each.on_complete()

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
