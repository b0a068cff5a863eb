"""The committer's exact state: the read database with what is committed and not in it yet, and the batch being made.

Everything here runs in one thread, the writer's. From new to old, a record is looked for in

1. the batch that is being prepared: effects of the transactions before this one,
2. what is committed in etcd and not yet written to SQLite,
3. a cache of records as SQLite has them,
4. SQLite.

So an answer can go out as soon as etcd has the entry, and SQLite is written while the next entry is on its way. Scans
and lists need SQLite's own order: before one, 2 is written for good, and 1 into an open SQLite transaction that is
rolled back when the batch is ready.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from google.protobuf.message import Message

from sluiceway_server.datamanager.caches import (
    GROUP_CACHE_BYTES,
    RECORD_CACHE_BYTES,
    WEIGHT_OF_KEY,
    Lru,
    weight_of_version,
)
from sluiceway_server.datamanager.engine.batch_changes import Prepared, Records, effects_of
from sluiceway_server.datamanager.log.entries import LogEntry, LoggedTransaction
from sluiceway_server.datamanager.model import LogSequence, Position, View
from sluiceway_server.datamanager.replica.cold_bodies import NO_BODIES, FetchedBodies
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE, deleted_subtrees, tombstone_target
from sluiceway_server.datamanager.replica.replica import AppliedUpTo, Replica
from sluiceway_server.datamanager.replica.schema import RecordKey, Version
from sluiceway_server.datamanager.replica.view import Known, Overlay, ReplicaView

__all__ = ["State"]

_DROP_EVERY = 50
_DROP_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class _KnownGroup:
    revision: Position | None


class State(Overlay):
    """See the module.

    Attributes:
        inbox: committed batches, put there by the event loop's thread in their order; the only door for it.
        path: of the read database's file.
        now_us: the time of the last look at the clock.
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
        """Take a transaction into the batch: the next one sees what it did."""
        records = effects_of(transaction)
        self._batch.update(records)
        self._unwritten.update(records)
        self._batch_deleted.update(_tombstones(records))
        for name in transaction.applied.groups:
            self._batch_groups[name] = transaction.applied.position

    def forget_batch(self) -> None:
        """Be what is committed again, and no more; what `effects` answered is the caller's."""
        self._batch, self._batch_groups, self._unwritten = {}, {}, {}
        self._batch_deleted = {}
        self._database.rollback()

    # -- applying

    def apply(self) -> Position:
        """Write all that is committed to SQLite; answers up to where it is there."""
        self.receive()
        self._write_committed()
        return self._written

    def receive(self) -> None:
        """Take over what is in the inbox; SQLite follows with `apply`."""
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
        """See `Replica.drop_bodies`; answers the remote records of each type too."""
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
