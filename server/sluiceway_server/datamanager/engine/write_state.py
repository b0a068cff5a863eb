"""The exact state for transaction functions: the replica, the entries that are not applied yet, and the current batch.

Everything here runs in the writer's thread. A record is looked for, from new to old, in

1. the batch that is being prepared: effects of the transactions before this one,
2. what is committed in etcd and not yet written to SQLite,
3. a cache of records as SQLite has them,
4. SQLite.

So a caller gets its result as soon as etcd has the entry, and SQLite is written while the next entry is on its way.
Scans and lists need SQLite's own order: before one, 2 is committed to SQLite, and the records of 1 of the listed type
are written into an open SQLite transaction that is rolled back when the batch is ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
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
from sluiceway_server.datamanager.model import Delete, LogSequence, Position, Put, RecordType, View
from sluiceway_server.datamanager.replica.cold_bodies import NO_BODIES, FetchedBodies
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE, deleted_subtrees, tombstone_target
from sluiceway_server.datamanager.replica.replica import Replica
from sluiceway_server.datamanager.replica.schema import RecordKey, Version
from sluiceway_server.datamanager.replica.view import Known, Overlay, ReplicaView

_DROP_EVERY = 50
_DROP_AT_ONCE = 1000


Records = dict[RecordKey, Version | None]
"""What records are now; None: the record is deleted."""


@dataclass(slots=True)
class Effects:
    """What transactions leave of each record and change group that they touch."""

    records: Records = field(default_factory=dict)
    groups: dict[str, Position] = field(default_factory=dict)

    def add(self, other: Effects) -> None:
        self.records.update(other.records)
        self.groups.update(other.groups)

    def tombstones(self) -> dict[RecordKey, bool]:
        """Return the records that get a tombstone (True), or lose it."""
        return {
            tombstone_target(id_): version is not None
            for (name, id_), version in self.records.items()
            if name == TOMBSTONE.name
        }


@dataclass(frozen=True, slots=True)
class Batch:
    """A log entry, decoded: of this server, to be committed; or of another one, and committed."""

    entry: LogEntry
    transactions: tuple[LoggedTransaction, ...]
    effects: Effects


def effects_of(transaction: LoggedTransaction) -> Effects:
    """Return what one transaction leaves."""
    position = transaction.applied.position
    effects = Effects(groups=dict.fromkeys(transaction.applied.groups, position))
    bodies = iter(transaction.bodies)
    for action in transaction.applied.actions:
        match action:
            case Put():
                effects.records[action.type.name, action.id] = Version(position, action.message, next(bodies))
            case Delete():
                effects.records[action.type.name, action.id] = None
            case _:
                pass
    return effects


def decode(entries: Sequence[LogEntry], catalogue: Catalogue) -> list[Batch]:
    """Decode the entries of other servers. Raise `DataLoss` if one is damaged."""
    batches = []
    for entry in entries:
        batch = Batch(entry, decode_transactions(entry, catalogue), Effects())
        for transaction in batch.transactions:
            batch.effects.add(effects_of(transaction))
        batches.append(batch)
    return batches


class State(Overlay):
    """The exact state of records and change groups; see the module.

    Attributes:
        inbox: committed batches, appended by the event loop's thread, in order.
        now_us: the time when the clock was read last.
        keep_after_us: older entries are not kept for subscribers.
        flushed: entries after it are kept whatever their age, because the flusher reads them here.
    """

    def __init__(self, database: Replica) -> None:
        self._database = database
        self._cache: Lru[RecordKey, Known] = Lru(RECORD_CACHE_BYTES)
        self._group_cache: Lru[str, tuple[Position | None]] = Lru(GROUP_CACHE_BYTES)
        self.inbox: deque[Batch] = deque()
        self._committed = Effects()
        self._unapplied: list[LogEntry] = []  # the entries of `_committed`
        self._batch = Effects()
        self._unwritten: dict[str, Records] = {}  # by type, effects of the batch that the open SQLite transaction lacks
        self._written = database.applied_up_to()
        self._writes = 0
        self._deleted: set[RecordKey] = deleted_subtrees(database)
        self._batch_deleted: dict[RecordKey, bool] = {}
        self.now_us = 0
        self.keep_after_us = 0
        self.flushed = LogSequence(0, 0)

    # -- the batch that is being prepared

    @property
    def deleted_subtrees(self) -> set[RecordKey]:
        """The records that have a tombstone, as the batch leaves them."""
        if not self._batch_deleted:
            return self._deleted
        deleted = {key for key in self._deleted if self._batch_deleted.get(key, True)}
        return deleted | {key for key, is_there in self._batch_deleted.items() if is_there}

    def add_effects(self, transaction: LoggedTransaction) -> None:
        """Add a transaction to the batch: the next one sees its effects."""
        effects = effects_of(transaction)
        self._batch.add(effects)
        for key, version in effects.records.items():
            self._unwritten.setdefault(key[0], {})[key] = version
        self._batch_deleted.update(effects.tombstones())

    def forget_batch(self) -> Effects:
        """Discard the batch, because it is not committed yet; return its effects."""
        effects, self._batch = self._batch, Effects()
        self._unwritten, self._batch_deleted = {}, {}
        self._database.rollback()
        return effects

    # -- applying

    def apply(self) -> Position:
        """Write all that is committed to SQLite; return the newest position there."""
        self.receive()
        self._write_committed()
        return self._written.position

    def receive(self) -> None:
        """Take in the batches of the inbox; `apply` writes them to SQLite."""
        while self.inbox:
            batch = self.inbox.popleft()
            self._unapplied.append(batch.entry)
            self._committed.add(batch.effects)
            for key, is_there in batch.effects.tombstones().items():
                (self._deleted.add if is_there else self._deleted.discard)(key)
            for key, version in batch.effects.records.items():
                self.keep(key, version)
            for name, revision in batch.effects.groups.items():
                self._group_cache.put(name, (revision,), WEIGHT_OF_KEY)

    def _write_committed(self) -> None:
        if not self._unapplied:
            return
        written = self._written
        for entry in self._unapplied:
            written = written.plus(entry)
        times_us = {entry.sequence: entry.time_us for entry in self._unapplied}
        kept = [
            entry for entry in self._unapplied if entry.time_us >= self.keep_after_us or entry.sequence > self.flushed
        ]
        self._writes += 1
        with self._database.transaction():
            self._database.write(self._committed.records, self._committed.groups, times_us=times_us)
            self._database.add_entries(kept, now_us=self.now_us)
            if self._writes % _DROP_EVERY == 0:
                self._database.drop_entries(before_us=self.keep_after_us, flushed=self.flushed, limit=_DROP_AT_ONCE)
            self._database.move_to(written)
        self._written = written
        self._committed, self._unapplied = Effects(), []

    def drop_bodies(self, *, covered: LogSequence, before_us: int, limit: int) -> int:
        with self._database.transaction():
            return self._database.drop_bodies(covered=covered, before_us=before_us, limit=limit)

    # -- reading

    def view(self, position: Position, fetched: FetchedBodies = NO_BODIES) -> View:
        return ReplicaView(self._database, self, position=position, fetched=fetched)

    def find(self, key: RecordKey) -> Known | None:
        for layer in (self._batch, self._committed):
            if key in layer.records:
                return Known(layer.records[key])
        return self._cache.get(key)

    def message(self, key: RecordKey, revision: Position) -> Message | None:
        known = self.find(key)
        version = None if known is None else known.version
        return version.message if version is not None and version.revision == revision else None

    def keep(self, key: RecordKey, version: Version | None) -> None:
        weight = WEIGHT_OF_KEY if version is None else weight_of_version(len(version.body))
        self._cache.put(key, Known(version), weight)

    def group(self, replica: Replica, name: str) -> Position | None:
        for layer in (self._batch, self._committed):
            if name in layer.groups:
                return layer.groups[name]
        known = self._group_cache.get(name)
        if known is None:
            known = (replica.group(name),)
            self._group_cache.put(name, known, WEIGHT_OF_KEY)
        return known[0]

    def write_to_replica(self, type_: RecordType[Any]) -> None:
        self._write_committed()
        unwritten = self._unwritten.pop(type_.name, None)
        if unwritten is not None:
            if not self._database.in_transaction:
                self._database.begin()
            self._database.write(unwritten, {})
