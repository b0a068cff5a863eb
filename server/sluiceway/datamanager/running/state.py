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

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar, cast

import zstandard
from google.protobuf.message import Message

from sluiceway.datamanager.caches import (
    GROUP_CACHE_BYTES,
    RECORD_CACHE_BYTES,
    WEIGHT_OF_KEY,
    Lru,
    weight_of_version,
)
from sluiceway.datamanager.checks import check_count, check_size
from sluiceway.datamanager.log.entries import (
    Catalogue,
    LogEntry,
    LoggedTransaction,
    add_transaction,
    decode_transactions,
    encode_entry,
    from_micros,
)
from sluiceway.datamanager.model import (
    Applied,
    Decision,
    Delete,
    Fields,
    LogSequence,
    Page,
    Position,
    Put,
    Query,
    RecordType,
    View,
    Where,
)
from sluiceway.datamanager.reading.bodies import NO_BODIES, AtHand, BodiesNeeded, Missing
from sluiceway.datamanager.reading.readdb import AppliedUpTo, ReadDatabase, Row
from sluiceway.datamanager.reading.tables import Version
from sluiceway.datamanager.reading.tombstones import TOMBSTONE, Buried, buried_id, check_not_buried, visible
from sluiceway.foundation.errors import InvalidInput
from sluiceway.records.log.v1 import log_pb2

__all__ = ["Call", "Outcome", "Prepared", "State"]

M = TypeVar("M", bound=Message)

_DROP_EVERY = 50
_DROP_AT_ONCE = 1000

Records = dict[tuple[str, str], Version | None]


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction function that waits for its place, with the remote bodies that were fetched for it."""

    function: Callable[[Any], Decision[Any]]
    at_hand: AtHand = NO_BODIES


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one transaction of a batch: a value with its position, an error, or that it needs bodies first."""

    value: Any
    position: Position
    error: Exception | None = None
    needed: BodiesNeeded | None = None


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

    def __init__(
        self,
        database: ReadDatabase,
        catalogue: Catalogue,
        *,
        writer: str,
        max_batch_bytes: int,
    ) -> None:
        self._database = database
        self.path = database.path
        self._catalogue = catalogue
        self._writer = writer
        self._max_batch_bytes = max_batch_bytes
        self._compressor = zstandard.ZstdCompressor(level=1)
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

    # -- preparing

    def prepare(self, calls: Sequence[Call], *, last: AppliedUpTo, time_us: int) -> Prepared:
        """Call transaction functions, in order, each with the effects of those before it.

        One that needs bodies which are not at hand has no effect on the others.

        Args:
            calls: at least one.
            last: the entry after which the batch will stand.
            time_us: now; the entry's time is never before the last one's.
        """
        self._receive()
        sequence = last.position.sequence.next()
        self.now_us = time_us
        time_us = max(time_us, last.time_us)
        time = from_micros(time_us)
        batch = log_pb2.Batch()
        outcomes: list[Outcome] = []
        logged: list[LoggedTransaction] = []
        size = 0
        before = last.position
        try:
            for call in calls:
                position = Position(sequence, len(logged))
                try:
                    view = self._view(position, call)
                    decision = call.function(view)
                    if not decision.actions:
                        outcomes.append(Outcome(decision.value, before))
                        continue
                    check_count(decision.actions)
                    self._check_types(decision)
                    check_not_buried(view, decision.actions)
                    bodies, cost = add_transaction(batch, decision.actions, decision.groups)
                    check_size(cost)
                except BodiesNeeded as needed:
                    outcomes.append(Outcome(None, before, needed=needed))
                    continue
                except sqlite3.Error:
                    raise  # of the file, and not of this function
                except Exception as error:
                    del batch.transactions[len(logged) :]
                    outcomes.append(Outcome(None, before, error))
                    continue
                if cost + size > self._max_batch_bytes and logged:
                    del batch.transactions[-1]
                    break
                size += cost
                applied = Applied(position, time, tuple(decision.actions), tuple(decision.groups))
                transaction = LoggedTransaction(applied, bodies, cost)
                logged.append(transaction)
                self._add_effects(transaction)
                outcomes.append(Outcome(decision.value, position))
                before = position
            if not logged:
                return Prepared(outcomes, None)
            entry = encode_entry(
                batch,
                sequence=sequence,
                batch_id=os.urandom(16),
                writer=self._writer,
                time_us=time_us,
                previous_digest=last.digest,
                compressor=self._compressor,
            )
            return Prepared(outcomes, entry, tuple(logged), self._batch, self._batch_groups)
        finally:
            self._batch, self._batch_groups, self._unwritten = {}, {}, {}
            self._batch_buried = {}
            self._database.rollback()

    def _view(self, position: Position, call: Call) -> View:
        buried = self._buried
        if self._batch_buried:
            buried = {key for key in buried if self._batch_buried.get(key, True)}
            buried |= {key for key, is_there in self._batch_buried.items() if is_there}
        return visible(_BatchView(self, position, call.at_hand), buried, self._catalogue.known)

    def _check_types(self, decision: Decision[Any]) -> None:
        for action in decision.actions:
            if isinstance(action, Put | Delete):
                known = self._catalogue.known.get(action.type.name)
                if known is None:
                    raise InvalidInput(f"the database was opened without the record type {action.type.name!r}")
                if isinstance(action, Put) and not isinstance(action.message, known.message):
                    raise InvalidInput(
                        f"a {known.name} is a {known.message.DESCRIPTOR.full_name},"
                        f" not a {action.message.DESCRIPTOR.full_name}"
                    )

    def _add_effects(self, transaction: LoggedTransaction) -> None:
        records = effects_of(transaction)
        self._batch.update(records)
        self._unwritten.update(records)
        self._batch_buried.update(_tombstones(records))
        for name in transaction.applied.groups:
            self._batch_groups[name] = transaction.applied.position

    # -- applying

    def decode(self, entries: Sequence[LogEntry]) -> list[Prepared]:
        """Read entries that other servers wrote into what `inbox` takes."""
        decoded = []
        for entry in entries:
            transactions = decode_transactions(entry, self._catalogue)
            item = Prepared([], entry, transactions)
            for transaction in transactions:
                item.records.update(effects_of(transaction))
                for name in transaction.applied.groups:
                    item.groups[name] = transaction.applied.position
            decoded.append(item)
        return decoded

    def apply(self) -> Position:
        """Write all that is committed to SQLite; answers up to where it is there."""
        self._receive()
        self._write_committed()
        return self._written

    def _receive(self) -> None:
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

    # -- reading, for `_BatchView`

    def drop_bodies(self, *, covered: LogSequence, before_us: int, limit: int) -> tuple[int, dict[str, int]]:
        """See `ReadDatabase.drop_bodies`; answers the remote records of each type too."""
        self._database.begin()
        try:
            looked_at = self._database.drop_bodies(covered=covered, before_us=before_us, limit=limit)
            remote = self._database.remote_records()
            self._database.commit()
        except BaseException:
            self._database.rollback()
            raise
        return looked_at, remote

    def find(self, type_: RecordType[Any], id_: str, at_hand: AtHand = NO_BODIES) -> Version | None:
        """Read a record's exact state. Raises `BodiesNeeded`."""
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
                raise BodiesNeeded([Missing(type_, id_, row.revision)])
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

    def scan(self, type_: RecordType[M], prefix: str, after: str, at_hand: AtHand) -> Iterator[tuple[str, M]]:
        """Walk the exact state by id. Raises `BodiesNeeded`."""
        self._settle()
        rows = self._database.scan(type_, prefix, after)
        for row in rows:
            message = self._message(type_, row, at_hand)
            if message is None:
                ahead = (row, *islice(rows, at_hand.look_ahead() - 1))
                raise BodiesNeeded(self._missing(type_, ahead, at_hand))
            yield row.id, message

    def select(self, type_: RecordType[M], query: Query, at_hand: AtHand) -> Page[M]:
        """Answer a page of the exact state. Raises `BodiesNeeded`."""
        self._settle()
        rows, token = self._database.select(type_, query)
        messages = [self._message(type_, row, at_hand) for row in rows]
        if any(message is None for message in messages):
            raise BodiesNeeded(self._missing(type_, rows, at_hand))
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

    def _message(self, type_: RecordType[M], row: Row, at_hand: AtHand) -> M | None:
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

    def _version(self, type_: RecordType[Any], row: Row, at_hand: AtHand) -> Version | None:
        body = row.body if row.body is not None else at_hand.find(type_.name, row.id, row.revision)
        return None if body is None else Version(row.revision, type_.message.FromString(body), body)

    def _missing(self, type_: RecordType[Any], rows: Iterable[Row], at_hand: AtHand) -> Iterator[Missing]:
        # Those that are in the cache too: they may have left it at the next call.
        for row in rows:
            if row.body is None and at_hand.find(type_.name, row.id, row.revision) is None:
                yield Missing(type_, row.id, row.revision)

    def _remember(self, key: tuple[str, str], version: Version | None) -> None:
        weight = WEIGHT_OF_KEY if version is None else weight_of_version(len(version.body))
        self._cache.put(key, _Known(version), weight)


def _fields(type_: RecordType[Any], version: Version | None) -> Fields | None:
    return None if version is None else {column.name: column.of(version.message) for column in type_.columns}


def effects_of(transaction: LoggedTransaction) -> Records:
    """Tell what a transaction leaves of each record that it touches."""
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


def _tombstones(records: Records) -> dict[Buried, bool]:
    """Tell which tombstones a change sets (True) or removes."""
    return {buried_id(id_): version is not None for (name, id_), version in records.items() if name == TOMBSTONE.name}


class _BatchView:
    """The `View` of one transaction function: see `State`."""

    def __init__(self, state: State, position: Position, at_hand: AtHand) -> None:
        self._state = state
        self._position = position
        self._at_hand = at_hand

    @property
    def position(self) -> Position:
        return self._position

    def get(self, type_: RecordType[M], id_: str) -> M | None:
        version = self._state.find(type_, id_, self._at_hand)
        return None if version is None else cast(M, version.message)

    def fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        return self._state.find_fields(type_, id_)

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        return self._state.find_revision(type_, id_)

    def group(self, name: str) -> Position | None:
        return self._state.find_group(name)

    def scan(self, type_: RecordType[M], prefix: str = "", *, after: str = "") -> Iterator[tuple[str, M]]:
        return self._state.scan(type_, prefix, after, self._at_hand)

    def select(self, type_: RecordType[M], query: Query) -> Page[M]:
        return self._state.select(type_, query, self._at_hand)

    def rows(self, type_: RecordType[Any], query: Query) -> Page[Fields]:
        return self._state.rows(type_, query)

    def count(self, type_: RecordType[Any], where: Where, *, limit: int) -> int:
        return self._state.count(type_, Query(where=where, size=limit))
