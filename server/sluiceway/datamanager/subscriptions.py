"""Subscribers: every committed transaction from a position on, in order, none twice.

A subscriber first pulls what is past: from the read database, then from a ring in memory. When it has all of it, it
becomes *live*: transactions that touch its topics are pushed into its queue. Becoming live happens between two steps
of the event loop, so nothing is missed or doubled. A live subscriber for which too much waits is cut; one that still
pulls costs nothing but its place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

from sluiceway.datamanager.caches import weight_of_transaction
from sluiceway.datamanager.checks import topics_of
from sluiceway.datamanager.entries import Catalogue, LoggedTransaction, decode_entry, decode_transactions
from sluiceway.datamanager.model import Applied, LogSequence, Position
from sluiceway.datamanager.readdb import ReadDatabase
from sluiceway.datamanager.readers import Readers
from sluiceway.foundation.errors import Exhausted, OutOfRange, Unavailable

__all__ = ["Subscriptions"]

_ENTRIES_AT_ONCE = 64
# More than the largest entry, so that a piece always has an entry after the one that was seen.
_BYTES_AT_ONCE = 2 * 1024 * 1024


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
        """Give the next one; None when there will be no more."""
        while not self._items:
            if self.cut or self.closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        item = self._items.popleft()
        self._bytes -= item.size
        return item


class Subscriptions:
    """See the module. Used by the event loop's thread only."""

    def __init__(
        self,
        readers: Readers,
        catalogue: Catalogue,
        *,
        position: Position,
        ring_bytes: int,
        subscriber_bytes: int,
    ) -> None:
        self._readers = readers
        self._catalogue = catalogue
        self._position = position
        self._ring: deque[LoggedTransaction] = deque()
        self._ring_start = position
        self._ring_bytes = 0
        self._ring_limit = ring_bytes
        self._subscriber_bytes = subscriber_bytes
        self._all: set[_Live] = set()
        self._by_topic: dict[str, set[_Live]] = {}
        self._closed = False
        self._wait_applied: Callable[[Position], Awaitable[None]] | None = None

    @property
    def ring_weight(self) -> int:
        """What the transactions that are kept in memory weigh."""
        return self._ring_bytes

    def read_after(self, wait_applied: Callable[[Position], Awaitable[None]]) -> None:
        """Take what waits until the read database has a position."""
        self._wait_applied = wait_applied

    def publish(self, transactions: Iterable[LoggedTransaction]) -> None:
        """Hand on what was just committed. Whoever reads after seeing it waits until the read database has it."""
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

    async def subscribe(self, *, after: Position, topics: Sequence[str]) -> AsyncGenerator[Applied, None]:
        """See `Database.subscribe`."""
        wanted = frozenset(topics)
        at = after
        while at < self._position:
            items = self._from_ring(at) if at >= self._ring_start else await self._from_database(at)
            for item in items:
                at = item.applied.position
                if not wanted or wanted & topics_of(item.applied.actions):
                    yield item.applied
                if self._closed:
                    raise _stopping()
        live = self._go_live(wanted)
        try:
            while (pushed := await live.next()) is not None:
                # A subscriber may be ahead: it saw the position through another server.
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

    def _from_ring(self, after: Position) -> list[LoggedTransaction]:
        # From the newest backwards: a subscriber that is nearly up to date must not walk all of the ring.
        found: list[LoggedTransaction] = []
        for item in reversed(self._ring):
            if item.applied.position <= after:
                break
            found.append(item)
        found.reverse()
        return found

    async def _from_database(self, after: Position) -> list[LoggedTransaction]:
        # The rest of an entry of which some transactions were seen, then the ones after it.
        start = LogSequence(after.sequence.epoch, max(after.sequence.counter - 1, 0))

        def read(database: ReadDatabase) -> tuple[LogSequence | None, list[LoggedTransaction]]:
            items: list[LoggedTransaction] = []
            for raw in database.entries_after(start, limit=_ENTRIES_AT_ONCE, max_bytes=_BYTES_AT_ONCE):
                items += decode_transactions(decode_entry(raw), self._catalogue)
            return database.oldest_entry(), items

        if self._wait_applied is not None:
            await self._wait_applied(self._position)
        oldest, items = await self._readers.raw(read)
        from_start = after.sequence.counter == 0 and oldest == after.sequence.next()
        if oldest is None or (after.sequence < oldest and not from_start):
            kept = "all history" if oldest is None else f"the history before {oldest}"
            raise OutOfRange(f"{kept} is gone, and {after} is older; start from a snapshot and its position")
        return [item for item in items if item.applied.position > after]


def _stopping() -> Unavailable:
    return Unavailable("this server stops; subscribe again, after the last position seen")
