"""Serves readers of logs: stored bytes first, then new ones as they arrive, as one stream by offset.

Bytes come from the buffer of this server if it has them, else from the object storage; a reader that falls behind the
buffer is served from the storage until it has caught up. Nothing is queued for a reader: it gets the next 64 KiB when
it asks, so that a slow one costs nothing, and no byte is skipped.

A log that is pushed to another server is read from that one where the storage ends (`peers`). If it cannot be reached,
the storage is polled, and the reader is as late as segments are. The end of a step that wrote nothing is seen in the
changes of its run.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from sluiceway_common.foundation.errors import DataLoss, NotFound, OutOfRange
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.model import Position
from sluiceway_server.logs.buffer import LogBuffer, LogBuffers
from sluiceway_server.logs.chunks import LogChunk, LogPeers, NoPeers, timed
from sluiceway_server.logs.layout import CHUNK_BYTES, LINE_BLOCK, Cover, LineCounter, LogKey
from sluiceway_server.logs.states import LogState, LogStates
from sluiceway_server.logs.store import LogStore, times_of
from sluiceway_server.logs.times import Times

_READ_BYTES = 256 * 1024
_COUNT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogDescription:
    """The size and version of a log at one moment.

    Attributes:
        attempt: of the log, from 1.
        size: in bytes.
        etag: differs if the bytes differ.
    """

    attempt: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class LogLines:
    """Where the lines of a log are, and when they were written.

    Attributes:
        attempt: of the log, from 1.
        size: in bytes.
        is_complete: the log is over, and no more comes.
        sha256: of all bytes, in hex; empty: it is not known, because the log is not composed yet.
        newlines: how many line ends it has.
        newlines_before: as of `LogIndex`.
        times: see `logs.times`.
    """

    attempt: int
    size: int
    is_complete: bool
    sha256: str
    newlines: int
    newlines_before: Sequence[int]
    times: Times


class LogReader:
    """Reads logs that are stored, or pushed to this server."""

    def __init__(
        self,
        store: LogStore,
        buffers: LogBuffers,
        states: LogStates,
        *,
        peers: LogPeers | None = None,
        poll: timedelta = timedelta(seconds=1),
    ) -> None:
        self._store = store
        self._peers = peers or NoPeers()
        self._buffers = buffers
        self._states = states
        self._poll = poll.total_seconds()

    async def describe(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogDescription:
        """Return the size and version that a log has now.

        Args:
            run_id: a run with the task; not the one in which it ran if a restart kept the task.
            task: the task's id.
            step: its index; `SETUP_STEP` for the setup.
            attempt: from 1; 0: the latest.

        Raises:
            NotFound: there is no such task, attempt or step; reason `LOG_DELETED`, or `LOG_MISSING`: nothing of it is
                stored.
            Unavailable: the object storage is away.
        """
        state = await self._states.find(run_id, task, attempt=attempt, step=step)
        _check_deleted(state)
        key = state.key
        buffer = self._buffers.get(key)
        if buffer is None:
            cover = await self._store.cover(key)
            size = cover.length
            if size == 0 and state.is_over:
                _check_whole(state, cover)
        else:
            size = buffer.received
        # A log only grows, so that its first `size` bytes never change. An attempt of another epoch of the database has
        # another log.
        epoch = key.epoch
        return LogDescription(epoch.attempt, size, f"{epoch.database}.{epoch.attempt}.{size}")

    async def lines(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogLines:
        """Return where the lines of a log are. Of a log that has no index yet, all bytes may have to be read.

        Args:
            run_id: as of `describe`; so are the task, step and attempt.
            task: the task's id.
            step: its index.
            attempt: from 1; 0: the latest.

        Raises:
            NotFound, Unavailable: as of `describe`.
        """
        state = await self._states.find(run_id, task, attempt=attempt, step=step)
        _check_deleted(state)
        buffer = self._buffers.get(state.key)
        attempt = state.key.epoch.attempt
        if buffer is not None and buffer.lines is not None:
            counted, ended = buffer.lines, buffer.ended
            before = tuple(counted.newlines_before)
            return LogLines(attempt, counted.size, ended, "", counted.newlines, before, (*buffer.times.entries,))
        cover = await self._store.cover(state.key)
        if cover.composed:
            if not cover.segments:
                return LogLines(attempt, 0, True, hashlib.sha256().hexdigest(), 0, (), ())
            found = await self._store.index(cover)
            return LogLines(attempt, found.size, True, found.sha256, found.newlines, found.newlines_before, found.times)
        if cover.length == 0 and state.is_over:
            _check_whole(state, cover)
        counter = LineCounter()
        async for data in self._store.read(cover, 0, cover.length, at_most=_COUNT_BYTES):
            await asyncio.to_thread(counter.feed, data)
        ended = cover.ended or state.is_over
        return LogLines(
            attempt, counter.size, ended, "", counter.newlines, tuple(counter.newlines_before), times_of(cover)
        )

    async def read(
        self,
        run_id: str,
        task: str,
        *,
        step: int,
        attempt: int = 0,
        offset: int = 0,
        follow: bool = False,
        timestamps: bool = False,
    ) -> AsyncGenerator[LogChunk]:
        """Yield the bytes of a log from an offset on, in order, each once.

        Ends after the last byte that exists now; with `follow`, when the step is over. May be repeated from any offset.

        Args:
            run_id: a run with the task; not the one in which it ran if a restart kept the task.
            task: the task's id.
            step: its index; `SETUP_STEP` for the setup.
            attempt: from 1; 0: the one that is the latest at the beginning.
            offset: of the first byte.
            follow: wait for more.
            timestamps: the time of a chunk is when its bytes were written, and a new chunk begins where that changes;
                without it, the time is when the server got or stored them.

        Raises:
            NotFound: there is no such task, attempt or step; reason `LOG_DELETED`, or `LOG_MISSING`: nothing of it is
                stored.
            DataLoss: reason `LOG_INCOMPLETE`, after the bytes that are stored: the rest is lost.
            OutOfRange: the offset is beyond the end of a log that is over.
            Unavailable: the object storage is away.
        """
        seen = self._states.position
        state = await self._states.find(run_id, task, attempt=attempt, step=step)
        _check_deleted(state)
        chunks = self._chunks(run_id, task, state, offset, follow=follow, timestamps=timestamps, seen=seen)
        times: Times | None = None
        async with aclosing(chunks):
            async for chunk in chunks:
                if not timestamps:
                    yield chunk
                    continue
                buffer = self._buffers.get(state.key)
                if buffer is not None:
                    times = buffer.times.entries
                elif times is None:
                    times = await self._stored_times(state.key)
                for piece in timed(chunk, times):
                    yield piece

    async def _stored_times(self, key: LogKey) -> Times:
        cover = await self._store.cover(key)
        return (await self._store.index(cover)).times if cover.composed and cover.segments else ()

    async def _chunks(
        self,
        run_id: str,
        task: str,
        state: LogState,
        offset: int,
        *,
        follow: bool,
        timestamps: bool,
        seen: Position,
    ) -> AsyncGenerator[LogChunk]:
        key = state.key
        step = key.step
        position = offset
        while True:
            buffer = self._buffers.get(key)
            if buffer is not None and position >= buffer.memory_start:
                part = buffer.read(position, CHUNK_BYTES)
                if part is not None:
                    position += len(part.data)
                    yield LogChunk(position, part.data, part.time)
                    continue
                if buffer.ended:
                    _check_range(key, position, buffer.received)
                    return
                if not follow:
                    return
                if not await self._changed(buffer, position):
                    # Nothing new: the attempt may be over without an end of this log, because it was lost.
                    state = await self._states.find(run_id, task, attempt=key.epoch.attempt, step=step)
                    if state.is_over and position >= buffer.received:
                        return
                continue
            appearance = self._buffers.watch()
            cover = await self._store.cover(key)
            if position < cover.length:
                async for chunk in self._stored(key, cover, position):
                    position = chunk.next_offset
                    yield chunk
                continue
            if cover.ended or state.is_over or (state.size is not None and cover.length >= state.size):
                if not _is_whole(state, cover) or position > cover.length:
                    # It may have been deleted meanwhile.
                    _check_deleted(await self._find(run_id, task, key))
                _check_whole(state, cover)
                _check_range(key, position, cover.length)
                return
            before = position
            async with aclosing(self._peers.tail(key, position, follow=follow, timestamps=timestamps)) as tails:
                async for tail in tails:
                    if tail.chunk is not None:
                        position = tail.chunk.next_offset
                        yield tail.chunk
                    if tail.ended:
                        return
            if not follow:
                return
            if position > before:
                continue
            if self._buffers.get(key) is None:
                await self._wait_for_change(run_id, appearance, since=seen)
            # Read before the storage is listed again, so that bytes that were stored before the end are found.
            seen = self._states.position
            state = await self._states.find(run_id, task, attempt=key.epoch.attempt, step=step)

    async def newlines_before(self, run_id: str, task: str, *, step: int, attempt: int, offset: int) -> int | None:
        """Return how many line ends a log has before an offset; None: its index has not been made yet.

        Args:
            run_id: as of `describe`; so are the task, step and attempt.
            task: the task's id.
            step: its index.
            attempt: from 1.
            offset: a multiple of `LINE_BLOCK`, and not beyond the end.
        """
        if offset == 0:
            return 0
        state = await self._states.find(run_id, task, attempt=attempt, step=step)
        if self._buffers.get(state.key) is not None:
            return None
        cover = await self._store.cover(state.key)
        if not cover.composed or cover.length < offset:
            return None
        return (await self._store.index(cover)).newlines_before[offset // LINE_BLOCK - 1]

    async def _wait_for_change(self, run_id: str, appearance: asyncio.Event, *, since: Position) -> None:
        """Wait until a log is pushed to this server or the run changes, for `poll` at most."""
        changing = asyncio.ensure_future(self._states.changed(run_id, since=since))
        appearing = asyncio.ensure_future(appearance.wait())
        waits = (changing, appearing)
        try:
            done, waiting = await asyncio.wait(waits, timeout=self._poll, return_when=asyncio.FIRST_COMPLETED)
            if waiting and changing in done and changing.exception() is not None:
                await asyncio.wait(waiting, timeout=self._poll)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _find(self, run_id: str, task: str, key: LogKey) -> LogState:
        return await self._states.find(run_id, task, attempt=key.epoch.attempt, step=key.step, fresh=True)

    async def _changed(self, buffer: LogBuffer, position: int) -> bool:
        """Wait until a buffer has more than `position`, ends or is removed. Return False if nothing of it happened."""
        event = buffer.watch()
        if buffer.received > position or buffer.ended or self._buffers.get(buffer.key) is not buffer:
            return True
        try:
            async with time_limit(max(self._poll, 1.0)):
                await event.wait()
        except TimeoutError:
            return False
        return True

    async def _stored(self, key: LogKey, cover: Cover, position: int) -> AsyncIterator[LogChunk]:
        times = [(s.offset, s.time) for s in cover.segments]
        try:
            async for data in self._store.read(cover, position, cover.length, at_most=_READ_BYTES):
                for begin in range(0, len(data), CHUNK_BYTES):
                    piece = data[begin : begin + CHUNK_BYTES]
                    while len(times) > 1 and times[1][0] <= position:
                        times.pop(0)
                    position += len(piece)
                    yield LogChunk(position, piece, times[0][1])
        except NotFound as cause:
            # Composed or deleted meanwhile, which the next cover shows. If that is the same, the object is damaged.
            if await self._store.cover(key) == cover:
                raise DataLoss(f"an object of {key.path} is listed and cannot be read") from cause


def _is_whole(state: LogState, cover: Cover) -> bool:
    return cover.ended or (state.size is not None and cover.length >= state.size)


def _check_deleted(state: LogState) -> None:
    if state.deleted:
        raise NotFound(
            f"{state.title} was deleted {state.deleted}",
            reason="LOG_DELETED",
            resource_type="log",
            resource_name=state.key.path,
        )


def _check_whole(state: LogState, cover: Cover) -> None:
    """Raise `NotFound` or `DataLoss` if bytes of a log that is over were lost."""
    if _is_whole(state, cover):
        return
    if cover.length == 0 and (state.size is not None or not state.may_be_empty):
        why = (
            "nothing of it was stored before its executor was lost"
            if state.size is None
            else f"its {state.size} bytes are not in the object storage, at {state.key.path}; an import brings no logs."
            " Copy them from the object storage of the other database, or from a backup"
        )
        raise NotFound(
            f"{state.title} is missing: {why}",
            reason="LOG_MISSING",
            resource_type="log",
            resource_name=state.key.path,
        )
    if state.size is not None:
        raise DataLoss(
            f"{state.title} is incomplete: {cover.length} of its {state.size} bytes are in the object storage",
            reason="LOG_INCOMPLETE",
            metadata={"object": state.key.path},
        )


def _check_range(key: LogKey, position: int, size: int) -> None:
    if position > size:
        raise OutOfRange(
            f"the log {key.path} is over and has {size} bytes; there is nothing at {position}",
            metadata={"size": str(size)},
        )
