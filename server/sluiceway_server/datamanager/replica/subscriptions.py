"""Subscriptions: every committed transaction after a position, in order, each once.

A subscriber first reads the past: from the segments in the object storage where the replica begins later (it has a day,
and less on a new server), from the replica, and then from a ring in memory. When it has everything, it is *live*:
transactions that touch its topics are pushed into its queue. It becomes live between two steps of the event loop, so
nothing is missed or repeated. A live subscriber with too much in its queue is disconnected.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing

from sluiceway_common.foundation.errors import Exhausted, OutOfRange, PermissionDenied, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.caches import weight_of_transaction
from sluiceway_server.datamanager.checks import topics_of
from sluiceway_server.datamanager.log.entries import (
    Catalogue,
    LogEntry,
    LoggedTransaction,
    decode_entries,
    decode_transactions,
)
from sluiceway_server.datamanager.log.lineage import Lineage
from sluiceway_server.datamanager.log.segments import Segment, SegmentStore
from sluiceway_server.datamanager.model import Applied, LogSequence, Position
from sluiceway_server.datamanager.replica.readers import Readers
from sluiceway_server.datamanager.replica.replica import Replica

_ENTRIES_AT_ONCE = 64
# More than the largest entry, so that a chunk always has an entry after the one that was seen.
_BYTES_AT_ONCE = 2 * 1024 * 1024
_SEGMENT_SECONDS = 30

_Chunk = tuple[list[LoggedTransaction], Position]
"""Transactions after a position, and the position up to which they reach."""


class _Live:
    """A subscriber's queue."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[LoggedTransaction] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self.cut = False
        self.closed = False

    def push(self, item: LoggedTransaction) -> None:
        if self._bytes + item.size > self._limit and self._items:
            self.cut = True
        if not self.cut:
            self._items.append(item)
            self._bytes += item.size
        self._wake.set()

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    async def next(self) -> LoggedTransaction | None:
        """Return the next one; None: the queue was cut or closed."""
        while not self._items:
            if self.cut or self.closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        item = self._items.popleft()
        self._bytes -= item.size
        return item


class Subscriptions:
    """The subscriptions of one database. Used by the event loop's thread only."""

    def __init__(
        self,
        readers: Readers,
        catalogue: Catalogue,
        *,
        segments: SegmentStore,
        lineage: Lineage,
        position: Position,
        wait_applied: Callable[[Position], Awaitable[None]],
        ring_bytes: int,
        subscriber_bytes: int,
    ) -> None:
        """Create it.

        Args:
            readers: of the replica.
            catalogue: of the types.
            segments: the log in the object storage.
            lineage: the history.
            position: the last one in the replica, which is the end of an entry.
            wait_applied: waits until the replica has a position.
            ring_bytes: the weight of the transactions in memory.
            subscriber_bytes: the limit of one subscriber's queue.
        """
        self._readers = readers
        self._catalogue = catalogue
        self._segments = segments
        self._lineage = lineage
        self._start = position
        self._position = position
        self._ring: deque[LoggedTransaction] = deque()
        self._ring_start = position
        self._ring_bytes = 0
        self._ring_limit = ring_bytes
        self._subscriber_bytes = subscriber_bytes
        self._all: set[_Live] = set()
        self._by_topic: dict[str, set[_Live]] = {}
        self._closed = False
        self._wait_applied = wait_applied

    @property
    def ring_weight(self) -> int:
        """The weight of the transactions in memory."""
        return self._ring_bytes

    def publish(self, transactions: Iterable[LoggedTransaction]) -> None:
        """Push what was just committed. A read after it waits until the replica has it."""
        for item in transactions:
            self._position = item.applied.position
            self._ring.append(item)
            self._ring_bytes += weight_of_transaction(item.size)
            while self._ring_bytes > self._ring_limit and len(self._ring) > 1:
                dropped = self._ring.popleft()
                self._ring_bytes -= weight_of_transaction(dropped.size)
                self._ring_start = dropped.applied.position
            for live in self._all:
                live.push(item)
            if self._by_topic:
                found: set[_Live] = set()
                for topic in topics_of(item.applied.actions):
                    found |= self._by_topic.get(topic, set())
                for live in found:
                    live.push(item)

    def close(self) -> None:
        """End all subscriptions with `Unavailable`: the server stops."""
        self._closed = True
        for live in {*self._all, *(live for lives in self._by_topic.values() for live in lives)}:
            live.close()

    async def subscribe(
        self, *, after: Position, topics: Sequence[str], on_live: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[Applied, None]:
        self._check_history(after)
        wanted = frozenset(topics)
        at = after
        while at < self._position:
            async with aclosing(self._past(at)) as chunks:
                async for items, reached in chunks:
                    for item in items:
                        if not wanted or wanted & topics_of(item.applied.actions):
                            yield item.applied
                        if self._closed:
                            raise _stopping()
                    at = reached
        live = self._go_live(wanted)
        try:
            if on_live is not None:
                await on_live()
            while (pushed := await live.next()) is not None:
                # A subscriber may be ahead of this server: it saw the position at another one.
                if pushed.applied.position > at:
                    at = pushed.applied.position
                    yield pushed.applied
        finally:
            self._leave(live, wanted)
        if live.cut:
            raise Exhausted(
                f"more than {self._subscriber_bytes} bytes waited for this subscriber; resume after {at}",
                reason="SUBSCRIBER_TOO_SLOW",
                metadata={"position": str(at)},
            )
        raise _stopping()

    def _go_live(self, topics: frozenset[str]) -> _Live:
        if self._closed:
            raise _stopping()
        live = _Live(self._subscriber_bytes)
        if not topics:
            self._all.add(live)
        for topic in topics:
            self._by_topic.setdefault(topic, set()).add(live)
        return live

    def _leave(self, live: _Live, topics: frozenset[str]) -> None:
        self._all.discard(live)
        for topic in topics:
            lives = self._by_topic[topic]
            lives.discard(live)
            if not lives:
                del self._by_topic[topic]

    def _check_history(self, after: Position) -> None:
        if after.sequence.epoch > self._lineage.present:
            raise Unavailable(
                f"this server is still in epoch {self._lineage.present}, and {after} is of a later one; try again"
            )
        if not self._lineage.contains(after.sequence):
            raise OutOfRange(
                f"{after} is not part of this database's history any more (a new epoch continued from an earlier"
                " entry); start from a snapshot and its position"
            )

    async def _past(self, after: Position) -> AsyncGenerator[_Chunk, None]:
        """Yield some of what follows a position: at least one chunk, each after the one before."""
        if after >= self._ring_start:
            items = self._from_ring(after)
            yield items, items[-1].applied.position
            return
        chunk = await self._from_database(after)
        if chunk is not None:
            yield chunk
            return
        found = False
        async with aclosing(self._from_segments(after)) as chunks:
            async for chunk in chunks:
                found = True
                yield chunk
        if not found:
            raise OutOfRange(f"the history after {after} is not kept any more; start from a snapshot and its position")

    def _from_ring(self, after: Position) -> list[LoggedTransaction]:
        # From the newest backwards: a subscriber that is nearly up to date must not walk the whole ring.
        found: list[LoggedTransaction] = []
        for item in reversed(self._ring):
            if item.applied.position <= after:
                break
            found.append(item)
        found.reverse()
        return found

    async def _from_database(self, after: Position) -> _Chunk | None:
        """Return what the replica has; None: it begins later."""
        # From the rest of an entry of which some transactions were seen.
        start = LogSequence(after.sequence.epoch, max(after.sequence.counter - 1, 0))

        def read(database: Replica) -> list[LogEntry]:
            return decode_entries(database.entries_after(start, limit=_ENTRIES_AT_ONCE, max_bytes=_BYTES_AT_ONCE))

        await self._wait_applied(self._position)
        entries = self._contiguous(await self._readers.raw(read), after)
        return await self._decoded(entries, after) if entries and entries[-1].position > after else None

    def _contiguous(self, entries: Sequence[LogEntry], after: Position) -> list[LogEntry]:
        # A server that was away for more than a day has entries from before, and not those that it caught up with.
        found: list[LogEntry] = []
        expected = after.sequence
        if self._is_end(after) and entries and entries[0].sequence != expected:
            expected = self._lineage.following(expected)
        for entry in entries:
            if entry.sequence != expected:
                break
            found.append(entry)
            expected = self._lineage.following(expected)
        return found

    def _is_end(self, position: Position) -> bool:
        """Return whether the position is known to be the last of its entry."""
        return position == self._start or position.sequence.counter == 0

    async def _from_segments(self, after: Position) -> AsyncGenerator[_Chunk, None]:
        """Yield the next segment in the object storage, if there is one."""
        before = LogSequence(after.sequence.epoch, max(after.sequence.counter - 1, 0))
        segment = await self._segment_after(after.sequence if self._is_end(after) else before)
        if segment is not None and segment.entries[-1].position <= after:
            segment = await self._segment_after(after.sequence)
        if segment is None:
            return
        entries: list[LogEntry] = []
        size = 0
        for entry in segment.entries:
            entries.append(entry)
            size += len(entry.raw)
            if (size >= _BYTES_AT_ONCE or entry is segment.entries[-1]) and entry.position > after:
                yield await self._decoded(entries, after)
                entries, size = [], 0

    async def _segment_after(self, sequence: LogSequence) -> Segment | None:
        try:
            async with (
                time_limit(_SEGMENT_SECONDS),
                aclosing(self._segments.after(sequence, self._lineage)) as segments,
            ):
                return await anext(segments, None)
        except TimeoutError as cause:
            raise Unavailable(
                f"the object storage, which has the log after {sequence}, did not respond within {_SEGMENT_SECONDS} s"
            ) from cause
        except PermissionDenied as cause:  # denied to this server, and not to the subscriber
            raise Unavailable(f"the object storage, which has the log after {sequence}: {cause.message}") from cause

    async def _decoded(self, entries: Sequence[LogEntry], after: Position) -> _Chunk:
        def decode() -> list[LoggedTransaction]:
            return [item for entry in entries for item in decode_transactions(entry, self._catalogue)]

        items = await asyncio.to_thread(decode)
        return [item for item in items if item.applied.position > after], entries[-1].position


def _stopping() -> Unavailable:
    return Unavailable("this server stops; subscribe again, after the last position seen")
