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
from itertools import takewhile

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
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.segments import SegmentStore
from sluiceway_server.datamanager.model import Applied, LogSequence, Position
from sluiceway_server.datamanager.replica.readers import Readers

_ENTRIES_AT_ONCE = 64
# More than the largest entry, so that a chunk always has an entry after the one that was seen.
_BYTES_AT_ONCE = 2 * 1024 * 1024
_SEGMENT_SECONDS = 30

_Chunk = tuple[list[LoggedTransaction], Position]
"""Transactions after a position, and the position up to which they reach."""

_ALL = ""
"""The topic of every transaction."""


class _Live:
    """A subscriber's queue. It ends when too much waits in it (`is_cut`), or when the server stops."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[LoggedTransaction] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._is_closed = False
        self.is_cut = False

    def push(self, item: LoggedTransaction) -> None:
        self.is_cut = self.is_cut or (bool(self._items) and self._bytes + item.size > self._limit)
        if not self.is_cut:
            self._items.append(item)
            self._bytes += item.size
        self._wake.set()

    def close(self) -> None:
        self._is_closed = True
        self._wake.set()

    async def next(self) -> LoggedTransaction | None:
        """Return the next one; None: the queue has ended."""
        while not self._items:
            if self.is_cut or self._is_closed:
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
        position: Position,  # the last one in the replica, which is the end of an entry
        wait_applied: Callable[[Position], Awaitable[None]],  # until the replica has a position
        ring_bytes: int,  # the limit of the weight of the transactions in memory
        subscriber_bytes: int,  # the limit of one subscriber's queue
    ) -> None:
        self._readers = readers
        self._catalogue = catalogue
        self._segments = segments
        self._lineage = lineage
        self._start = position
        self._position = position
        self._wait_applied = wait_applied
        self._ring: deque[LoggedTransaction] = deque()
        self._ring_start = position
        self._ring_limit = ring_bytes
        self._subscriber_bytes = subscriber_bytes
        self._live: dict[str, set[_Live]] = {}  # by topic
        self._closed = False
        self.ring_weight = 0

    def publish(self, transactions: Iterable[LoggedTransaction]) -> None:
        """Push what was just committed. A read after it waits until the replica has it."""
        for item in transactions:
            self._position = item.applied.position
            self._ring.append(item)
            self.ring_weight += weight_of_transaction(item.size)
            while self.ring_weight > self._ring_limit and len(self._ring) > 1:
                dropped = self._ring.popleft()
                self.ring_weight -= weight_of_transaction(dropped.size)
                self._ring_start = dropped.applied.position
            if self._live:
                topics = (_ALL, *topics_of(item.applied.actions))
                for live in {live for topic in topics for live in self._live.get(topic, ())}:
                    live.push(item)

    def close(self) -> None:
        """End all subscriptions with `Unavailable`: the server stops."""
        self._closed = True
        for live in {live for lives in self._live.values() for live in lives}:
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
        if self._closed:
            raise _stopping()
        live = _Live(self._subscriber_bytes)
        for topic in wanted or {_ALL}:
            self._live.setdefault(topic, set()).add(live)
        try:
            if on_live is not None:
                await on_live()
            while (pushed := await live.next()) is not None:
                # A subscriber may be ahead of this server: it saw the position at another one.
                if pushed.applied.position > at:
                    at = pushed.applied.position
                    yield pushed.applied
        finally:
            for topic in wanted or {_ALL}:
                self._live[topic].discard(live)
                if not self._live[topic]:
                    del self._live[topic]
        if live.is_cut:
            raise Exhausted(
                f"more than {self._subscriber_bytes} bytes waited for this subscriber; resume after {at}",
                reason="SUBSCRIBER_TOO_SLOW",
                metadata={"position": str(at)},
            )
        raise _stopping()

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
            # From the newest backwards: a subscriber that is nearly up to date must not walk the whole ring.
            items = list(takewhile(lambda item: item.applied.position > after, reversed(self._ring)))[::-1]
            yield items, items[-1].applied.position
            return
        entries = await self._entries_of_replica(after) or await self._entries_of_segment(after)
        if not entries:
            raise OutOfRange(f"the history after {after} is not kept any more; start from a snapshot and its position")
        chunk: list[LogEntry] = []
        size = 0
        for entry in entries:
            chunk.append(entry)
            size += len(entry.raw)
            if (size >= _BYTES_AT_ONCE or entry is entries[-1]) and entry.position > after:
                items = await asyncio.to_thread(self._decode, chunk)
                yield [item for item in items if item.applied.position > after], entry.position
                chunk, size = [], 0

    def _decode(self, entries: Sequence[LogEntry]) -> list[LoggedTransaction]:
        return [item for entry in entries for item in decode_transactions(entry, self._catalogue)]

    async def _entries_of_replica(self, after: Position) -> list[LogEntry]:
        """Return what the replica has after a position, and no gap; empty: it begins later."""
        await self._wait_applied(self._position)
        # From the rest of an entry of which some transactions were seen.
        start = _before(after.sequence)
        entries = await self._readers.raw(
            lambda replica: decode_entries(
                replica.entries_after(start, limit=_ENTRIES_AT_ONCE, max_bytes=_BYTES_AT_ONCE)
            )
        )
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
        return found if found and found[-1].position > after else []

    def _is_end(self, position: Position) -> bool:
        """Return whether the position is known to be the last of its entry."""
        return position == self._start or position.sequence.counter == 0

    async def _entries_of_segment(self, after: Position) -> Sequence[LogEntry]:
        """Return the entries of the first segment in the object storage that has something after a position, if any."""
        sequence = after.sequence if self._is_end(after) else _before(after.sequence)
        try:
            async with (
                time_limit(_SEGMENT_SECONDS),
                aclosing(self._segments.after(sequence, self._lineage)) as segments,
            ):
                async for segment in segments:
                    if segment.entries[-1].position > after:
                        return segment.entries
        except TimeoutError as cause:
            raise Unavailable(
                f"the object storage, which has the log after {sequence}, did not respond within {_SEGMENT_SECONDS} s"
            ) from cause
        except PermissionDenied as cause:  # denied to this server, and not to the subscriber
            raise Unavailable(f"the object storage, which has the log after {sequence}: {cause.message}") from cause
        return ()


def _before(sequence: LogSequence) -> LogSequence:
    return LogSequence(sequence.epoch, max(sequence.counter - 1, 0))


def _stopping() -> Unavailable:
    return Unavailable("this server stops; subscribe again, after the last position seen")
