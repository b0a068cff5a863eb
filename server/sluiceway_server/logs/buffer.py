"""Logs that are being written to this server: their tail in memory, and the hand that stores it.

A chunk that arrives is visible to readers at once; it is *acknowledged* only when the object storage has it. Between
the two it is in memory here and in the spool of its executor, so a server that dies loses nothing: the executor goes
back to what was stored.

One `LogBuffer` for each log, whoever pushes it: two streams of one executor (an old one that has not noticed its end,
and its successor) feed the same one, and each byte is taken once. Memory is bounded per log and in all: a pusher waits
in `push` while there is no room. A storage that is slow or away therefore slows pushers, and nobody else.
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
from sluiceway_server.logs.layout import Cover, LogKey
from sluiceway_server.logs.store import LogStore

__all__ = ["LiveLogSettings", "LogBuffer", "LogBuffers", "Tail"]

log = structlog.get_logger(__name__)

_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class LiveLogSettings:
    """How logs are cut and held. Sizes in bytes.

    Attributes:
        cut_bytes: a segment is at most this large.
        cut_after: what waited so long is stored, however little it is. More makes fewer objects, and longer spools.
        first_cut_after: the same, for as long as `first_period`: what fails early is stored early.
        first_period: from the moment that this server first heard of the log.
        log_bytes: not stored bytes of one log; above it its pushers wait.
        all_bytes: the same, of all logs of this server. Lower it where memory is scarce.
        tail_bytes: stored bytes kept per log, for readers that are close behind.
        give_up_after: bytes that nobody pushes any more and that cannot be stored are dropped then; their executor has
            them.
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
class Tail:
    """Bytes from memory, and when this server had the last of them."""

    data: bytes
    time: datetime


class _Block:
    __slots__ = ("data", "offset", "time")

    def __init__(self, offset: int, time: datetime) -> None:
        self.offset = offset
        self.data = bytearray()
        self.time = time


class LogBuffer:
    """One log on its way. Made by `LogBuffers` only.

    Attributes:
        key: which.
        stored_as: where its objects are.
        received: the offset after the last byte that arrived.
        stored: the offset up to which the storage has it.
        ended: no byte follows after `received`.
        complete: ended, all stored, and the storage knows that it is over.
        listeners: called, without an argument, whenever `stored` or `complete` changed; they must be quick.
    """

    def __init__(self, key: LogKey, *, cover: Cover, hub: LogBuffers) -> None:
        complete, stored = cover.ended, cover.length
        self.key = key
        self.stored_as = cover.key
        self.received = stored
        self.stored = stored
        self.ended = complete
        self.complete = complete
        self.listeners: list[Callable[[], None]] = []
        self.pushers = 0
        self._hub = hub
        self._blocks: list[_Block] = []
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._began = hub.clock.monotonic()
        self._oldest: float | None = None
        self._is_closing = False

    @property
    def memory_start(self) -> int:
        """The first offset that `peek` can give; `received` when it holds nothing."""
        return self._blocks[0].offset if self._blocks else self.received

    @property
    def unstored(self) -> int:
        """Bytes that arrived and are not stored."""
        return self.received - self.stored

    async def push(self, offset: int, data: bytes, *, end: bool) -> bool:
        """Take bytes that were written at an offset; waits while there is no room.

        Returns:
            False when bytes before `offset` are missing: nothing was taken, and the sender goes back to `stored`.
        """
        await self._hub.wait_for_room(self)
        if offset > self.received:
            return False
        fresh = data[self.received - offset :]
        if self.ended:
            if fresh:
                raise DataLoss(f"{self.key.path} ended at {self.received}, and bytes after it came")
            return True
        if fresh:
            self._append(fresh)
        if end:
            self.ended = True
        if fresh or end:
            self._show()
        if end or self.unstored >= self._hub.settings.cut_bytes or self._hub.is_pressed or self._oldest is None:
            self._wake.set()
        if fresh and self._oldest is None:
            self._oldest = self._hub.clock.monotonic()
        return True

    def peek(self, offset: int, limit: int) -> Tail | None:
        """Give bytes from memory at an offset; None when there are none there (yet, or any more)."""
        if not self._blocks or not self._blocks[0].offset <= offset < self.received:
            return None
        block = self._blocks[bisect_right(self._blocks, offset, key=lambda b: b.offset) - 1]
        begin = offset - block.offset
        return Tail(bytes(block.data[begin : begin + limit]), block.time)

    def watch(self) -> asyncio.Event:
        """An event that is set at the next change. Take it, look at the log, then wait for it: nothing is missed."""
        return self._changed

    def left(self) -> None:
        """A pusher went. What the last one brought is stored at once."""
        self.pushers -= 1
        self._wake.set()

    def close(self) -> None:
        """Store what there is, and end."""
        self._is_closing = True
        self._wake.set()

    async def store_until_over(self) -> None:
        """Store what arrives until the log is complete, or nobody pushes it and all is stored."""
        failing_since: float | None = None
        pause = 0.1
        while True:
            await self._until_due()
            try:
                await self._store_some()
                failing_since, pause = None, 0.1
            except SluicewayError as error:
                now = self._hub.clock.monotonic()
                failing_since = now if failing_since is None else failing_since
                log.warning("log_not_stored", log=self.key.path, waiting=self.unstored, error=str(error))
                if (
                    self._is_closing or not self.pushers
                ) and now - failing_since >= self._hub.settings.give_up_after.total_seconds():
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)
                continue
            if self.complete or (not self.unstored and not self.ended and (self._is_closing or not self.pushers)):
                return

    async def _until_due(self) -> None:
        settings = self._hub.settings
        while True:
            self._wake.clear()
            if self.ended or self._is_closing or not self.pushers or self.unstored >= settings.cut_bytes:
                return
            if self._hub.is_pressed and self.unstored >= 2 * _BLOCK:
                return
            left: float | None = None
            if self._oldest is not None:
                now = self._hub.clock.monotonic()
                young = now - self._began < settings.first_period.total_seconds()
                cut = settings.first_cut_after if young else settings.cut_after
                left = self._oldest + cut.total_seconds() - now
                if left <= 0:
                    return
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _store_some(self) -> None:
        if self.ended and self.memory_start == 0 and self.received <= self._hub.settings.cut_bytes:
            await self._store_complete()
            return
        store = self._hub.store
        data = self._bytes_from(self.stored, self._hub.settings.cut_bytes)
        if data:
            try:
                end = await store.put_segment(self.stored_as, self.stored, data)
            except NotFound:
                await self._learn_that_it_is_over()
                return
            self._hub.give_room(end - self.stored)
            self.stored = end
            # The rest began to wait while this was stored, at the latest.
            self._oldest = self._hub.clock.monotonic() if self.unstored else None
            self._trim()
            self.notify()
        if self.ended and not self.unstored:
            if await store.end(self.stored_as, self.received):
                self._hub.compose(self.stored_as)
            self.complete = True
            self.notify()

    async def _store_complete(self) -> None:
        """Store a log of which all bytes are in memory as one object, with its index."""
        data = self._bytes_from(0, self.received)
        await self._hub.store.put_complete(self.stored_as, data, has_segments=self.stored > 0)
        self._hub.give_room(self.unstored)
        self.stored = self.received
        self._oldest = None
        self._trim()
        self.complete = True
        self.notify()

    async def _learn_that_it_is_over(self) -> None:
        cover = await self._hub.store.cover(self.key)
        if not cover.ended:
            raise Unavailable(f"{self.key.path} changed under the hand that stores it")
        self._hub.give_room(self.unstored)
        self._blocks.clear()
        self.received = self.stored = cover.length
        self.ended = self.complete = True
        self.notify()

    def _append(self, data: bytes) -> None:
        self._hub.take_room(len(data))
        now = self._hub.clock.now()
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
        while limit > 0 and (tail := self.peek(offset, limit)) is not None:
            parts.append(tail.data)
            offset += len(tail.data)
            limit -= len(tail.data)
        return b"".join(parts)

    def _trim(self) -> None:
        keep_from = self.stored - self._hub.settings.tail_bytes
        gone = 0
        while gone < len(self._blocks) and self._blocks[gone].offset + len(self._blocks[gone].data) <= keep_from:
            gone += 1
        del self._blocks[:gone]

    def notify(self) -> None:
        """Tell readers and listeners to look again."""
        self._show()
        for listener in tuple(self.listeners):
            listener()

    def _show(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class LogBuffers:
    """All live logs of this server. Use it as an async context manager; leaving it stores what it can in `grace`."""

    def __init__(
        self,
        store: LogStore,
        clock: Clock,
        *,
        settings: LiveLogSettings | None = None,
        grace: timedelta = timedelta(seconds=10),
    ) -> None:
        self.store = store
        self.clock = clock
        self.settings = settings or LiveLogSettings()
        self._grace = grace
        self._logs: dict[LogKey, LogBuffer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._is_closing = False
        self._room = asyncio.Event()
        self._room.set()
        self._appeared = asyncio.Event()
        # Composing reads and writes whole logs: two at a time leave the disk to those who run.
        self._composers = asyncio.Semaphore(2)

    @property
    def held_bytes(self) -> int:
        """Bytes in memory that are not stored."""
        return self._held

    @property
    def is_pressed(self) -> bool:
        """More than half of the room is taken: logs are cut early."""
        return self._held * 2 > self.settings.all_bytes

    def get(self, key: LogKey) -> LogBuffer | None:
        """Find a log that is being pushed to this server, or was until just now."""
        return self._logs.get(key)

    def watch(self) -> asyncio.Event:
        """An event that is set when the next log appears here."""
        return self._appeared

    @asynccontextmanager
    async def pushing(self, key: LogKey, *, brings_all: bool = False) -> AsyncIterator[LogBuffer]:
        """Hold a log for one who pushes it. Lists the storage when it is not here yet, unless that does not matter.

        Args:
            key: which.
            brings_all: the first push has all of its bytes and its end, so it is the same whatever is stored of it.

        Raises:
            Unavailable: the storage is away.
        """
        live = await self._open(key, brings_all=brings_all)
        try:
            yield live
        finally:
            live.left()
            if not live.pushers and live.complete:
                self._forget(live)

    async def _open(self, key: LogKey, *, brings_all: bool) -> LogBuffer:
        live = self._logs.get(key)
        if live is None:
            cover = Cover(key) if brings_all else await self.store.cover(key)
            # Another may have opened it meanwhile. One that came and went leaves us with a cover that is too short;
            # then the puts find their places taken, and it heals.
            live = self._logs.get(key)
            if live is None:
                live = LogBuffer(key, cover=cover, hub=self)
                self._logs[key] = live
                if not live.complete:
                    self._start(self._store(live), f"store {key.path}")
                appeared, self._appeared = self._appeared, asyncio.Event()
                appeared.set()
        # Without an await before it: a log with a pusher is not forgotten.
        live.pushers += 1
        return live

    async def _store(self, live: LogBuffer) -> None:
        while True:
            await live.store_until_over()
            if live.complete:
                if not live.pushers:
                    self._forget(live)
                return
            if not live.pushers or self._is_closing:
                self.give_room(live.unstored)
                self._forget(live)
                return

    def _forget(self, live: LogBuffer) -> None:
        if self._logs.get(live.key) is live:
            del self._logs[live.key]
            live.notify()  # its readers look elsewhere

    def compose(self, key: LogKey) -> None:
        """Make one object of a log that is over, in the background; should it fail, the sweep does it."""
        self._start(self._compose(key), f"compose {key.path}")

    async def _compose(self, key: LogKey) -> None:
        async with self._composers:
            try:
                await self.store.compose(key)
            except SluicewayError as error:
                log.warning("log_not_composed", log=key.path, error=str(error))

    async def wait_for_room(self, live: LogBuffer) -> None:
        """Wait until a log may take more bytes."""
        while live.unstored >= self.settings.log_bytes:
            changed = live.watch()
            await changed.wait()
        while self._held >= self.settings.all_bytes:
            self._room.clear()
            await self._room.wait()

    def take_room(self, size: int) -> None:
        """Count bytes that came."""
        self._held += size

    def give_room(self, size: int) -> None:
        """Count bytes that went."""
        self._held -= size
        self._room.set()

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
        for live in tuple(self._logs.values()):
            live.close()
        tasks = tuple(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace.total_seconds())
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*tuple(self._tasks), return_exceptions=True)
