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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, cast

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
from sluiceway_server.datamanager.model import Fields, LogSequence, Page, Position, Query, RecordType
from sluiceway_server.datamanager.replica.cold_bodies import NO_BODIES, BodiesNotLoaded, FetchedBodies, Missing
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE, Buried, buried_id
from sluiceway_server.datamanager.replica.replica import AppliedUpTo, Replica, Row
from sluiceway_server.datamanager.replica.schema import Version

__all__ = ["State"]

M = TypeVar("M", bound=Message)

_DROP_EVERY = 50
_DROP_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class _Known:
    # What the cache says of a record; `version` None: it is known that there is none.
    version: Version | None


@dataclass(frozen=True, slots=True)
class _KnownGroup:
    revision: Position | None


class State:
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
        self._cache: Lru[tuple[str, str], _Known] = Lru(RECORD_CACHE_BYTES)
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
        self._buried: set[Buried] = {buried_id(id_) for id_ in database.ids(TOMBSTONE)}
        self._batch_buried: dict[Buried, bool] = {}
        self.now_us = 0
        self.keep_after_us = 0
        self.flushed = LogSequence(0, 0)

    @property
    def cached_weight(self) -> int:
        """What the caches of records and change groups weigh."""
        return self._cache.weight + self._group_cache.weight

    # -- the batch that is being prepared

    @property
    def buried(self) -> set[Buried]:
        """The records that have a tombstone, with what the batch does to them."""
        if not self._batch_buried:
            return self._buried
        buried = {key for key in self._buried if self._batch_buried.get(key, True)}
        return buried | {key for key, is_there in self._batch_buried.items() if is_there}

    @property
    def effects(self) -> tuple[Records, dict[str, Position]]:
        """What the batch leaves, of records and of change groups."""
        return self._batch, self._batch_groups

    def add_effects(self, transaction: LoggedTransaction) -> None:
        """Take a transaction into the batch: the next one sees what it did."""
        records = effects_of(transaction)
        self._batch.update(records)
        self._unwritten.update(records)
        self._batch_buried.update(_tombstones(records))
        for name in transaction.applied.groups:
            self._batch_groups[name] = transaction.applied.position

    def forget_batch(self) -> None:
        """Be what is committed again, and no more; what `effects` answered is the caller's."""
        self._batch, self._batch_groups, self._unwritten = {}, {}, {}
        self._batch_buried = {}
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
                (self._buried.add if is_there else self._buried.discard)(key)
            for key, version in item.records.items():
                self._remember(key, version)
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

    def find(self, type_: RecordType[Any], id_: str, at_hand: FetchedBodies = NO_BODIES) -> Version | None:
        """Read a record's exact state. Raises `BodiesNotLoaded`."""
        key = (type_.name, id_)
        if key in self._batch:
            return self._batch[key]
        if key in self._committed:
            return self._committed[key]
        known = self._cache.get(key)
        if known is not None:
            return known.version
        row = self._database.find(type_, id_)
        version = None
        if row is not None:
            version = self._version(type_, row, at_hand)
            if version is None:
                raise BodiesNotLoaded([Missing(type_, id_, row.revision)])
        self._remember(key, version)
        return version

    def find_revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        """Read a record's exact revision; needs no body."""
        key = (type_.name, id_)
        for layer in (self._batch, self._committed):
            if key in layer:
                version = layer[key]
                return None if version is None else version.revision
        known = self._cache.get(key)
        if known is not None:
            return None if known.version is None else known.version.revision
        return self._database.revision(type_, id_)

    def find_fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        """Read a record's exact columns; needs no body."""
        key = (type_.name, id_)
        for layer in (self._batch, self._committed):
            if key in layer:
                return _fields(type_, layer[key])
        known = self._cache.get(key)
        if known is not None:
            return _fields(type_, known.version)
        return self._database.fields(type_, id_)

    def find_group(self, name: str) -> Position | None:
        """Read a change group's exact revision."""
        if name in self._batch_groups:
            return self._batch_groups[name]
        if name in self._committed_groups:
            return self._committed_groups[name]
        known = self._group_cache.get(name)
        if known is None:
            known = _KnownGroup(self._database.group(name))
            self._group_cache.put(name, known, WEIGHT_OF_KEY)
        return known.revision

    def scan(self, type_: RecordType[M], prefix: str, after: str, at_hand: FetchedBodies) -> Iterator[tuple[str, M]]:
        """Walk the exact state by id. Raises `BodiesNotLoaded`."""
        self._settle()
        rows = self._database.scan(type_, prefix, after)
        for row in rows:
            message = self._message(type_, row, at_hand)
            if message is None:
                ahead = (row, *islice(rows, at_hand.look_ahead() - 1))
                raise BodiesNotLoaded(self._missing(type_, ahead, at_hand))
            yield row.id, message

    def select(self, type_: RecordType[M], query: Query, at_hand: FetchedBodies) -> Page[M]:
        """Answer a page of the exact state. Raises `BodiesNotLoaded`."""
        self._settle()
        rows, token = self._database.select(type_, query)
        messages = [self._message(type_, row, at_hand) for row in rows]
        if any(message is None for message in messages):
            raise BodiesNotLoaded(self._missing(type_, rows, at_hand))
        return Page(tuple(zip((row.id for row in rows), cast(list[M], messages), strict=True)), token)

    def rows(self, type_: RecordType[Any], query: Query) -> Page[Fields]:
        """Answer the columns of a page of the exact state."""
        self._settle()
        rows, token = self._database.select_rows(type_, query)
        return Page(tuple(rows), token)

    def count(self, type_: RecordType[Any], query: Query) -> int:
        """Count records of the exact state."""
        self._settle()
        return self._database.count(type_, query)

    def _settle(self) -> None:
        self._write_committed()
        if self._unwritten:
            if not self._database.in_transaction:
                self._database.begin()
            self._database.write(self._unwritten, {})
            self._unwritten = {}

    def _message(self, type_: RecordType[M], row: Row, at_hand: FetchedBodies) -> M | None:
        key = (type_.name, row.id)
        version = self._batch.get(key)
        if version is None:
            known = self._cache.get(key)
            version = None if known is None else known.version
        if version is None or version.revision != row.revision:
            version = self._version(type_, row, at_hand)
            if version is None:
                return None
            self._remember(key, version)
        return cast(M, version.message)

    def _version(self, type_: RecordType[Any], row: Row, at_hand: FetchedBodies) -> Version | None:
        body = row.body if row.body is not None else at_hand.find(type_.name, row.id, row.revision)
        return None if body is None else Version(row.revision, type_.message.FromString(body), body)

    def _missing(self, type_: RecordType[Any], rows: Iterable[Row], at_hand: FetchedBodies) -> Iterator[Missing]:
        # Those that are in the cache too: they may have left it at the next call.
        for row in rows:
            if row.body is None and at_hand.find(type_.name, row.id, row.revision) is None:
                yield Missing(type_, row.id, row.revision)

    def _remember(self, key: tuple[str, str], version: Version | None) -> None:
        weight = WEIGHT_OF_KEY if version is None else weight_of_version(len(version.body))
        self._cache.put(key, _Known(version), weight)


def _fields(type_: RecordType[Any], version: Version | None) -> Fields | None:
    return None if version is None else {column.name: column.of(version.message) for column in type_.columns}


def _tombstones(records: Records) -> dict[Buried, bool]:
    """Tell which tombstones a change sets (True) or removes."""
    return {buried_id(id_): version is not None for (name, id_), version in records.items() if name == TOMBSTONE.name}
