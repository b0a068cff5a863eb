"""The exact state for transaction functions: the replica, the entries that are not applied yet, and the current batch.

Everything here runs in the writer's thread. A record is looked for, from new to old, in

1. the batch that is being prepared: effects of the transactions before this one,
2. what is committed in etcd and not yet written to SQLite,
3. a cache of records as SQLite has them,
4. SQLite.

So a caller gets its result as soon as etcd has the entry, and SQLite is written while the next entry is on its way.
Scans and lists need SQLite's own order: before one, 2 is committed to SQLite, and 1 is written into an open SQLite
transaction that is rolled back when the batch is ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from sluiceway_server.datamanager.caches import (
    GROUP_CACHE_BYTES,
    RECORD_CACHE_BYTES,
    WEIGHT_OF_KEY,
    Lru,
    weight_of_version,
)
from sluiceway_server.datamanager.log.entries import Catalogue, LogEntry, LoggedTransaction, decode_transactions
from sluiceway_server.datamanager.model import Decision, Delete, LogSequence, Position, Put, View
from sluiceway_server.datamanager.replica.cold_bodies import NO_BODIES, BodiesNotLoaded, FetchedBodies
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE, deleted_subtrees, tombstone_target
from sluiceway_server.datamanager.replica.replica import AppliedUpTo, Replica
from sluiceway_server.datamanager.replica.schema import RecordKey, Version
from sluiceway_server.datamanager.replica.view import Known, Overlay, ReplicaView

_DROP_EVERY = 50
_DROP_AT_ONCE = 1000


Records = dict[tuple[str, str], Version | None]
"""By type and id, what a record is now; None: it is deleted."""


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction function that waits for its place, with the remote bodies that were fetched for it."""

    function: Callable[[Any], Decision[Any]]
    fetched: FetchedBodies = NO_BODIES


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one transaction of a batch: a value with its position, an error, or the bodies it needs first."""

    value: Any
    position: Position
    error: Exception | None = None
    needed: BodiesNotLoaded | None = None


@dataclass(slots=True)
class Prepared:
    """A batch that is ready to be committed.

    Attributes:
        outcomes: of the first transactions that were asked for, in order; the others did not fit.
        entry: to be put into the log; None when no transaction writes anything.
    """

    outcomes: list[Outcome]
    entry: LogEntry | None
    transactions: tuple[LoggedTransaction, ...] = ()
    records: Records = field(default_factory=dict)
    groups: dict[str, Position] = field(default_factory=dict)


def effects_of(transaction: LoggedTransaction) -> Records:
    """Return the version that a transaction leaves of each record it touches."""
    records: Records = {}
    bodies = iter(transaction.bodies)
    for action in transaction.applied.actions:
        match action:
            case Put():
                version = Version(transaction.applied.position, action.message, next(bodies))
                records[action.type.name, action.id] = version
            case Delete():
                records[action.type.name, action.id] = None
            case _:
                pass
    return records


def decode(entries: Sequence[LogEntry], catalogue: Catalogue) -> list[Prepared]:
    """Decode entries that other servers wrote as committed batches. Raise `DataLoss` if one is damaged."""
    decoded = []
    for entry in entries:
        transactions = decode_transactions(entry, catalogue)
        item = Prepared([], entry, transactions)
        for transaction in transactions:
            item.records.update(effects_of(transaction))
            for name in transaction.applied.groups:
                item.groups[name] = transaction.applied.position
        decoded.append(item)
    return decoded


@dataclass(frozen=True, slots=True)
class _KnownGroup:
    revision: Position | None


class State(Overlay):
    """The exact state of records and change groups; see the module.

    Attributes:
        inbox: committed batches, appended by the event loop's thread, in order.
        path: of the read database's file.
        now_us: the time when the clock was read last.
        keep_after_us: older entries are not kept for subscribers.
        flushed: entries after it are kept whatever their age, because the flusher reads them here.
    """

    def __init__(self, database: Replica) -> None:
        self._database = database
        self.path = database.path
        self._cache: Lru[RecordKey, Known] = Lru(RECORD_CACHE_BYTES)
        self._group_cache: Lru[str, _KnownGroup] = Lru(GROUP_CACHE_BYTES)
        self.inbox: deque[Prepared] = deque()
        self._committed: Records = {}
        self._committed_groups: dict[str, Position] = {}
        self._unapplied: list[LogEntry] = []
        self._batch: Records = {}
        self._batch_groups: dict[str, Position] = {}
        self._unwritten: Records = {}  # effects of the batch that the open SQLite transaction lacks
        applied = database.applied_up_to()
        self._written = applied.position
        self._total_bytes = applied.total_bytes
        self._writes = 0
        self._deleted: set[RecordKey] = deleted_subtrees(database)
        self._batch_deleted: dict[RecordKey, bool] = {}
        self.now_us = 0
        self.keep_after_us = 0
        self.flushed = LogSequence(0, 0)

    @property
    def cached_weight(self) -> int:
        """What the caches of records and change groups weigh."""
        return self._cache.weight + self._group_cache.weight

    # -- the batch that is being prepared

    @property
    def deleted_subtrees(self) -> set[RecordKey]:
        """The records that have a tombstone, as the batch leaves them."""
        if not self._batch_deleted:
            return self._deleted
        deleted = {key for key in self._deleted if self._batch_deleted.get(key, True)}
        return deleted | {key for key, is_there in self._batch_deleted.items() if is_there}

    @property
    def effects(self) -> tuple[Records, dict[str, Position]]:
        """What the batch leaves, of records and of change groups."""
        return self._batch, self._batch_groups

    def add_effects(self, transaction: LoggedTransaction) -> None:
        """Add a transaction to the batch: the next one sees its effects."""
        records = effects_of(transaction)
        self._batch.update(records)
        self._unwritten.update(records)
        self._batch_deleted.update(_tombstones(records))
        for name in transaction.applied.groups:
            self._batch_groups[name] = transaction.applied.position

    def forget_batch(self) -> None:
        """Discard the uncommitted batch. Dicts returned by `effects` stay valid for the caller."""
        self._batch, self._batch_groups, self._unwritten = {}, {}, {}
        self._batch_deleted = {}
        self._database.rollback()

    # -- applying

    def apply(self) -> Position:
        """Write all that is committed to SQLite; return the newest position there."""
        self.receive()
        self._write_committed()
        return self._written

    def receive(self) -> None:
        """Take in the batches of the inbox; `apply` writes them to SQLite."""
        while self.inbox:
            item = self.inbox.popleft()
            if item.entry is None:
                continue
            self._unapplied.append(item.entry)
            self._committed.update(item.records)
            self._committed_groups.update(item.groups)
            for key, is_there in _tombstones(item.records).items():
                (self._deleted.add if is_there else self._deleted.discard)(key)
            for key, version in item.records.items():
                self.keep(key, version)
            for name, revision in item.groups.items():
                self._group_cache.put(name, _KnownGroup(revision), WEIGHT_OF_KEY)

    def _write_committed(self) -> None:
        if not self._unapplied:
            return
        last = self._unapplied[-1]
        # Counted from 0 in every epoch.
        epoch = last.sequence.epoch
        total = sum(len(entry.raw) for entry in self._unapplied if entry.sequence.epoch == epoch)
        if self._written.sequence.epoch == epoch:
            total += self._total_bytes
        self._writes += 1
        self._database.begin()
        try:
            times_us = {entry.sequence: entry.time_us for entry in self._unapplied}
            self._database.write(self._committed, self._committed_groups, times_us=times_us)
            self._database.add_entries(
                (
                    entry
                    for entry in self._unapplied
                    if entry.time_us >= self.keep_after_us or entry.sequence > self.flushed
                ),
                now_us=self.now_us,
            )
            if self._writes % _DROP_EVERY == 0:
                self._database.drop_entries(before_us=self.keep_after_us, flushed=self.flushed, limit=_DROP_AT_ONCE)
            self._database.move_to(AppliedUpTo(last.position, last.digest, last.time_us, total))
            self._database.commit()
        except BaseException:
            self._database.rollback()
            raise
        self._total_bytes = total
        self._written = last.position
        self._unapplied = []
        self._committed, self._committed_groups = {}, {}

    def drop_bodies(self, *, covered: LogSequence, before_us: int, limit: int) -> tuple[int, dict[str, int]]:
        """Drop bodies as `Replica.drop_bodies` does; return the number of remote records of each type too."""
        self._database.begin()
        try:
            looked_at = self._database.drop_bodies(covered=covered, before_us=before_us, limit=limit)
            remote = self._database.remote_records()
            self._database.commit()
        except BaseException:
            self._database.rollback()
            raise
        return looked_at, remote

    # -- reading

    def view(self, position: Position, fetched: FetchedBodies = NO_BODIES) -> View:
        """Return the exact state as a view."""
        return ReplicaView(self._database, self, position=position, fetched=fetched)

    def find(self, key: RecordKey) -> Known | None:
        for layer in (self._batch, self._committed):
            if key in layer:
                return Known(layer[key])
        return self._cache.get(key)

    def message(self, key: RecordKey, revision: Position) -> Message | None:
        known = self.find(key)
        version = None if known is None else known.version
        return version.message if version is not None and version.revision == revision else None

    def keep(self, key: RecordKey, version: Version | None) -> None:
        weight = WEIGHT_OF_KEY if version is None else weight_of_version(len(version.body))
        self._cache.put(key, Known(version), weight)

    def group(self, replica: Replica, name: str) -> Position | None:
        for layer in (self._batch_groups, self._committed_groups):
            if name in layer:
                return layer[name]
        known = self._group_cache.get(name)
        if known is None:
            known = _KnownGroup(replica.group(name))
            self._group_cache.put(name, known, WEIGHT_OF_KEY)
        return known.revision

    def write_to_replica(self) -> None:
        self._write_committed()
        if self._unwritten:
            if not self._database.in_transaction:
                self._database.begin()
            self._database.write(self._unwritten, {})
            self._unwritten = {}


def _tombstones(records: Records) -> dict[RecordKey, bool]:
    """Return which tombstones a change adds (True) or removes."""
    tombstones = (item for item in records.items() if item[0][0] == TOMBSTONE.name)
    return {tombstone_target(id_): version is not None for (_, id_), version in tombstones}
