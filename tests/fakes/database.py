"""A `Database` in memory that keeps the promises of the real one (tests/contract/datamanager)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import Exhausted, NotFound, OutOfRange, Unavailable
from sluiceway_server.datamanager.checks import (
    check_actions,
    check_size,
    plain_transaction,
    topics_of,
)
from sluiceway_server.datamanager.model import (
    Action,
    Applied,
    Delete,
    Emit,
    Fields,
    LogSequence,
    Page,
    Position,
    Precondition,
    Put,
    Query,
    RecordType,
    TransactionFunction,
    View,
    Where,
)
from sluiceway_server.datamanager.port import Committed
from sluiceway_server.datamanager.queries import Place, plan_list
from sluiceway_server.datamanager.replica.deleted_subtrees import (
    TOMBSTONE,
    check_not_deleted,
    filtered,
    tombstone_target,
)

T = TypeVar("T")
M = TypeVar("M", bound=Message)

SUBSCRIBER_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Stored:
    # Bytes, so that a service that changes a message it was handed sees no effect of that, as with the real one.
    body: bytes
    revision: Position


class FakeDatabase:
    """A `Database` in memory. Each transaction is an entry of its own; `history` keeps all entries for tests.

    Attributes:
        storage_is_there: while it is clear, nothing becomes durable.
    """

    def __init__(self, types: Sequence[RecordType[Any]], *, clock: Clock | None = None, epoch: int = 1) -> None:
        self._types = {type_.name: type_ for type_ in (*types, TOMBSTONE)}
        if len(self._types) != len(types) + 1:
            raise ValueError("two record types have one name")
        self._clock = clock or SystemClock()
        self._records: dict[str, dict[str, _Stored]] = {name: {} for name in self._types}
        self._groups: dict[str, Position] = {}
        self._position = Position(LogSequence(epoch, 0), 0)
        self._oldest = self._position
        self._changed = asyncio.Event()
        self.history: list[tuple[Applied, frozenset[str], int]] = []
        self.fail_with: Exception | None = None
        self.storage_is_there = asyncio.Event()
        self.storage_is_there.set()

    @property
    def position(self) -> Position:
        return self._position

    @property
    def epoch(self) -> int:
        return self._position.sequence.epoch

    async def transact(self, function: TransactionFunction[T], *, durable: bool = False) -> Committed[T]:
        await asyncio.sleep(0)
        if self.fail_with is not None:
            raise self.fail_with
        position = Position(self._position.sequence.next(), 0)
        view = self._view(position)
        decision = function(view)
        if not decision.actions:
            if durable:
                await self.storage_is_there.wait()
            return Committed(decision.value, self._position)
        size = self._check(decision.actions, decision.groups)
        check_not_deleted(view, decision.actions)
        self._position = position
        applied = Applied(position, self._clock.now(), tuple(decision.actions), tuple(decision.groups))
        self._apply(applied)
        self.history.append((applied, topics_of(applied.actions), size))
        self._changed.set()
        self._changed = asyncio.Event()
        if durable:
            await self.storage_is_there.wait()
        return Committed(decision.value, position)

    def _view(self, position: Position) -> View:
        deleted = {tombstone_target(id_) for id_ in self._records[TOMBSTONE.name]}
        return filtered(_View(self, position), deleted, self._types)

    def recover(self, to: Position) -> None:
        """Lose all entries after a position and start the next epoch, as a recovery does."""
        self._records = {name: {} for name in self._types}
        self._groups = {}
        for applied, _, _ in self.history:
            if applied.position <= to:
                self._apply(applied)
        self._position = self._oldest = Position(LogSequence(self.epoch + 1, 1), 0)
        self.history.clear()

    def _apply(self, applied: Applied) -> None:
        for action in applied.actions:
            match action:
                case Put():
                    body = action.message.SerializeToString(deterministic=True)
                    self._records[action.type.name][action.id] = _Stored(body, applied.position)
                case Delete():
                    self._records[action.type.name].pop(action.id, None)
                case Emit():
                    pass
        for name in applied.groups:
            self._groups[name] = applied.position

    def _check(self, actions: Sequence[Action], groups: Sequence[str]) -> int:
        check_actions(actions, groups, self._types)
        size = 0
        for action in actions:
            match action:
                case Put():
                    size += len(action.id) + action.message.ByteSize()
                case Delete():
                    size += len(action.id) + len(self._types[action.type.name].name)
                case Emit():
                    size += len(action.body) + sum(map(len, action.topics))
        check_size(size)
        return size

    async def commit(
        self, actions: Sequence[Action], preconditions: Sequence[Precondition] = (), groups: Sequence[str] = ()
    ) -> Committed[None]:
        return await self.transact(plain_transaction(actions, preconditions, groups))

    async def read(self, function: Callable[[View], T], *, after: Position | None = None) -> T:
        await asyncio.sleep(0)
        if after is not None and after > self._position:
            raise Unavailable(f"this server has not applied {after} yet; it is at {self._position}")
        return function(self._view(self._position))

    async def get(self, type_: RecordType[M], id_: str, *, after: Position | None = None) -> M:
        found = await self.read(lambda view: view.get(type_, id_), after=after)
        if found is None:
            raise NotFound(f"there is no {type_.name} {id_!r}", resource_type=type_.name, resource_name=id_)
        return found

    async def list(self, type_: RecordType[M], query: Query, *, after: Position | None = None) -> Page[M]:
        return await self.read(lambda view: view.select(type_, query), after=after)

    async def linearize(self) -> Position:
        await asyncio.sleep(0)
        return self._position

    async def subscribe(
        self, *, after: Position, topics: Sequence[str] = (), on_live: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[Applied, None]:
        if after < self._oldest:
            raise OutOfRange(f"the history before {self._oldest} is gone; start from a snapshot")
        wanted = frozenset(topics)
        at = after
        while True:
            waiting = [item for item in self.history if item[0].position > at and (not wanted or wanted & item[1])]
            if sum(item[2] for item in waiting) > SUBSCRIBER_LIMIT and at != after:
                raise Exhausted(
                    f"more than {SUBSCRIBER_LIMIT} bytes waited for this subscriber; resume after {at}",
                    reason="SUBSCRIBER_TOO_SLOW",
                    metadata={"position": str(at)},
                )
            if not waiting:
                if on_live is not None:
                    await on_live()
                    on_live = None
                    continue
                await self._changed.wait()
                continue
            at = waiting[0][0].position
            yield waiting[0][0]

    def forget_history(self) -> None:
        """Drop the past events of `subscribe`, as the real database does after 24 hours."""
        self._oldest = self._position
        self.history.clear()


class _View:
    def __init__(self, database: FakeDatabase, position: Position) -> None:
        self._database = database
        self._position = position

    @property
    def position(self) -> Position:
        return self._position

    def get(self, type_: RecordType[M], id_: str) -> M | None:
        stored = self._database._records[type_.name].get(id_)
        return None if stored is None else type_.message.FromString(stored.body)

    def fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        stored = self._database._records[type_.name].get(id_)
        return None if stored is None else _fields(type_, type_.message.FromString(stored.body))

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        stored = self._database._records[type_.name].get(id_)
        return None if stored is None else stored.revision

    def group(self, name: str) -> Position | None:
        return self._database._groups.get(name)

    def scan(self, type_: RecordType[M], prefix: str = "", *, after: str = "") -> Iterator[tuple[str, M]]:
        records = self._database._records[type_.name]
        for id_ in sorted(records):
            if id_.startswith(prefix) and id_ > after:
                yield id_, type_.message.FromString(records[id_].body)

    def select(self, type_: RecordType[M], query: Query) -> Page[M]:
        plan = plan_list(type_, query)
        rows: list[tuple[Place, M]] = []
        for id_, message in self.scan(type_):
            fields = _fields(type_, message)
            if plan.holds(fields):
                rows.append((Place(tuple(fields[name] for name in plan.order), id_), message))
        rows.sort(key=lambda row: _sortable(row[0]), reverse=plan.descending)
        if plan.after is not None:
            last = _sortable(plan.after)
            rows = [row for row in rows if (_sortable(row[0]) < last if plan.descending else _sortable(row[0]) > last)]
        page = rows[: plan.size]
        token = plan.token(page[-1][0]) if len(rows) > plan.size else ""
        return Page(tuple((place.id, message) for place, message in page), token)

    def rows(self, type_: RecordType[Any], query: Query) -> Page[Fields]:
        page = self.select(type_, query)
        return Page(tuple((id_, _fields(type_, message)) for id_, message in page.records), page.next_token)

    def count(self, type_: RecordType[Any], where: Where, *, limit: int) -> int:
        return len(self.select(type_, Query(where=where, size=limit)).records)


def _fields(type_: RecordType[M], message: M) -> Fields:
    return {column.name: column.of(message) for column in type_.columns}


def _sortable(place: Place) -> list[tuple[int, Any]]:
    # The order of SQLite: nothing, then numbers, then text.
    return [(0, 0) if v is None else (1, v) if isinstance(v, int) else (2, v) for v in (*place.values, place.id)]
