"""Tombstones: delete a record with everything below it at once, and remove the records afterwards.

To delete a record that has much below it (a project, an organisation), write one tombstone in the same
transaction. From then on no reader and no transaction function sees the record or anything below it: `FilteredView`
wraps every view and checks the ancestors of what it returns. `RecordType.under` says which columns have the id of a
parent. While there is no tombstone, which is nearly always, views are not wrapped.

`SubtreeSweeper` then removes the records from the top: it replaces a child by the child's own tombstone where records
may be below that, and deletes it otherwise; a tombstone with nothing below it is deleted. So everything stays
invisible, each transaction is small, there are never many tombstones, and a sweep that was interrupted continues from
what it finds.

A record that is deleted by a tombstone cannot be written until it was removed: `check_not_deleted`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.crashpoints import crash_points, declare_effects
from sluiceway_common.foundation.errors import (
    Conflict,
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    InvalidInput,
    Unavailable,
)
from sluiceway_server.datamanager.log.entries import micros
from sluiceway_server.datamanager.model import (
    Action,
    Decision,
    Delete,
    Fields,
    Page,
    Position,
    Put,
    Query,
    RecordType,
    View,
    Where,
)
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.replica.cold_bodies import BodiesNotLoaded, Missing
from sluiceway_server.datamanager.replica.replica import Replica
from sluiceway_server.datamanager.replica.schema import RecordKey
from sluiceway_server.datamanager.waiting import Backoff, jittered

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Message)

TOMBSTONE: RecordType[storage_pb2.Tombstone] = RecordType("tombstone", storage_pb2.Tombstone)
"""Every database has this type."""

_PROBE = 200
_AT_ONCE = 500
_TOMBSTONES_AT_ONCE = 100
"""Each asks an index or two, and a transaction function has 5 ms."""

declare_effects("sweep.step")


def delete_subtree(type_: RecordType[Any], id_: str, *, now: datetime) -> tuple[Action, ...]:
    """Return the actions that delete a record with everything below it."""
    message = storage_pb2.Tombstone(type=type_.name, id=id_, time_us=micros(now))
    return (Delete(type_, id_), Put(TOMBSTONE, tombstone_id((type_.name, id_)), message))


def tombstone_id(key: RecordKey) -> str:
    """Return the id of a record's tombstone."""
    return "/".join(key)


def tombstone_target(id_: str) -> RecordKey:
    """Return the record that the tombstone with this id deletes. No name of a type has a slash."""
    type_name, _, target = id_.partition("/")
    return type_name, target


def check_under(types: Mapping[str, RecordType[Any]]) -> None:
    """Raise `InvalidInput` for a type whose `under` is not valid."""
    for type_ in types.values():
        columns = type_.column_names
        for up in type_.under:
            served = any(index[0] == up.column for index in type_.indexes)
            if up.type not in types or up.column not in columns or not served or up.column in type_.sparse:
                raise InvalidInput(
                    f"record type {type_.name}: to be under {up.type!r} by {up.column!r} it needs that type, that"
                    " column and an index that begins with that column"
                )
    try:
        _parents_first(types)
    except CycleError as cause:
        raise InvalidInput(f"record type {cause.args[1][0]} is declared to be below itself") from cause


def _parents_first(types: Mapping[str, RecordType[Any]]) -> list[str]:
    """Return the names of the types, each after those that it is under. Raises `CycleError`."""
    # Directly under itself is a tree of one type; a circle of several types has no order in which to sweep.
    under = {name: [up.type for up in type_.under if up.type != name] for name, type_ in types.items()}
    return list(TopologicalSorter(under).static_order())


def deleted_subtrees(replica: Replica) -> set[RecordKey]:
    """Return the records that have a tombstone."""
    return {tombstone_target(id_) for id_ in replica.ids(TOMBSTONE)}


def filtered(view: View, deleted: Collection[RecordKey], types: Mapping[str, RecordType[Any]]) -> View:
    """Wrap a view in `FilteredView`, if there are tombstones."""
    return FilteredView(view, deleted, types) if deleted else view


def unfiltered(view: View) -> View:
    """Return the view that `FilteredView` wraps: for the sweeper."""
    return view.unfiltered if isinstance(view, FilteredView) else view


class FilteredView:
    """A `View` without deleted subtrees.

    Attributes:
        unfiltered: the view with them.
    """

    def __init__(self, view: View, deleted: Collection[RecordKey], types: Mapping[str, RecordType[Any]]) -> None:
        self.unfiltered = view
        self._deleted = deleted
        self._types = types
        self._known: dict[RecordKey, bool] = {}

    def hides(self, type_: RecordType[Any], id_: str, fields: Fields) -> bool:
        """Return whether a record with these columns, or an ancestor of it, has a tombstone."""
        if (type_.name, id_) in self._deleted:
            return True
        for up in type_.under:
            parent = fields[up.column]
            if isinstance(parent, str) and parent and self._hides_parent(up.type, parent):
                return True
        return False

    def _hides_parent(self, type_name: str, id_: str) -> bool:
        if (type_name, id_) in self._deleted:
            return True
        known = self._known.get((type_name, id_))
        if known is None:
            type_ = self._types[type_name]
            # Until it is known, so that a record that is its own ancestor ends the walk.
            self._known[type_name, id_] = False
            known = self._known[type_name, id_] = bool(type_.under) and self._is_hidden(type_, id_)
        return known

    def _is_hidden(self, type_: RecordType[Any], id_: str) -> bool:
        fields = self.unfiltered.fields(type_, id_)
        return fields is not None and self.hides(type_, id_, fields)

    # -- View

    @property
    def position(self) -> Position:
        return self.unfiltered.position

    def get(self, type_: RecordType[M], id_: str) -> M | None:
        return None if self._is_hidden(type_, id_) else self.unfiltered.get(type_, id_)

    def fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        found = self.unfiltered.fields(type_, id_)
        return None if found is None or self.hides(type_, id_, found) else found

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        return None if self._is_hidden(type_, id_) else self.unfiltered.revision(type_, id_)

    def group(self, name: str) -> Position | None:
        return self.unfiltered.group(name)

    def scan(self, type_: RecordType[M], prefix: str = "", *, after: str = "") -> Iterator[tuple[str, M]]:
        for id_, message in self.unfiltered.scan(type_, prefix, after=after):
            if not self.hides(type_, id_, _parent_fields(type_, message)):
                yield id_, message

    def select(self, type_: RecordType[M], query: Query) -> Page[M]:
        page = self.rows(type_, query)
        found: list[tuple[str, M]] = []
        missing: list[Missing] = []
        for id_, _ in page.records:
            try:
                message = self.unfiltered.get(type_, id_)
            except BodiesNotLoaded as needed:
                missing += needed.missing
            else:
                if message is not None:
                    found.append((id_, message))
        if missing:
            raise BodiesNotLoaded(missing)
        return Page(tuple(found), page.next_token)

    def rows(self, type_: RecordType[Any], query: Query) -> Page[Fields]:
        found: list[tuple[str, Fields]] = []
        token, next_token = query.token, ""
        while True:
            page = self.unfiltered.rows(type_, replace(query, size=max(query.size, _PROBE), token=token))
            for count, (id_, fields) in enumerate(page.records, 1):
                if self.hides(type_, id_, fields):
                    continue
                if len(found) == query.size:
                    # A token promises that something follows.
                    return Page(tuple(found), next_token)
                found.append((id_, fields))
                if len(found) == query.size:
                    # The token after this row is that of a page which ends with it.
                    next_token = self.unfiltered.rows(type_, replace(query, size=count, token=token)).next_token
            token = page.next_token
            if not token:
                return Page(tuple(found), "")

    def count(self, type_: RecordType[Any], where: Where, *, limit: int) -> int:
        return len(self.rows(type_, Query(where=where, size=limit)).records)


def _parent_fields(type_: RecordType[M], message: M) -> Fields:
    wanted = {up.column for up in type_.under}
    return {column.name: column.of(message) for column in type_.columns if column.name in wanted}


def check_not_deleted(view: View, actions: Iterable[Action]) -> None:
    """Raise `FailedPrecondition` (`BEING_DELETED`) for a put into a deleted subtree."""
    if not isinstance(view, FilteredView):
        return
    for action in actions:
        if not isinstance(action, Put) or action.type.name == TOMBSTONE.name:
            continue
        if view.hides(action.type, action.id, _parent_fields(action.type, action.message)):
            raise FailedPrecondition(
                f"{action.type.name} {action.id!r} is being deleted, or a parent of it is: it can be created again"
                " when all of it is removed",
                reason="BEING_DELETED",
            )


class SubtreeSweeper:
    """The loop that deletes what is below tombstones.

    Any server sweeps, and two at once only share the work: every step is a transaction function that reads the exact
    state. It takes some tombstones, of the type that is below all others, and at most 500 records below them.
    """

    def __init__(self, database: Database, types: Mapping[str, RecordType[Any]], *, clock: Clock) -> None:
        self._database = database
        self._types = types
        self._clock = clock
        self._inner = frozenset(up.type for type_ in types.values() for up in type_.under)
        self._rank = {name: rank for rank, name in enumerate(_parents_first(types))}

    async def run(self, interval: float) -> None:
        """Sweep until cancelled, every `interval` seconds with jitter."""
        backoff = Backoff()
        while True:
            await asyncio.sleep(jittered(interval))
            try:
                while await self.step():
                    backoff.reset()
            except (Unavailable, DeadlineExceeded, Conflict, Exhausted) as error:
                log.warning("sweep_waits", error=str(error))
                await backoff.wait()

    async def step(self) -> bool:
        """Delete some records; return whether there was anything to delete."""
        # The nearest ids will do to see whether there is work; what is done is decided at its place in the log.
        if not await self._database.read(lambda view: bool(_tombstones(view))):
            return False
        with crash_points("sweep.step"):
            done = await self._database.transact(self._sweep)
        return bool(done.value)

    def _sweep(self, view: View) -> Decision[bool]:
        tombstones = _tombstones(view)
        if not tombstones:
            return Decision(False)
        # Those of the lowest type first, and nothing above them before they are gone, so that tombstones do not become
        # many.
        ranks = [self._rank.get(type_name, len(self._rank)) for type_name, _ in tombstones]
        lowest = [one for one, rank in zip(tombstones, ranks, strict=True) if rank == max(ranks)]
        actions: list[Action] = []
        for deleted in lowest[:_TOMBSTONES_AT_ONCE]:
            for type_, id_ in self._below(unfiltered(view), deleted):
                if len(actions) >= _AT_ONCE:
                    return Decision(True, actions)
                if type_.name in self._inner:
                    actions += delete_subtree(type_, id_, now=self._clock.now())
                else:
                    actions.append(Delete(type_, id_))
            actions.append(Delete(TOMBSTONE, tombstone_id(deleted)))
        return Decision(True, actions)

    def _below(self, view: View, deleted: RecordKey) -> Iterator[tuple[RecordType[Any], str]]:
        """Yield the records directly below one, at most as many as fit a transaction of each type."""
        type_name, id_ = deleted
        for type_ in self._types.values():
            for up in type_.under:
                if up.type == type_name:
                    order = next(index[1:] for index in type_.indexes if index[0] == up.column)
                    query = Query(where={up.column: id_}, order=order, size=_AT_ONCE + 1)
                    yield from ((type_, child) for child, _ in view.rows(type_, query).records)


def _tombstones(view: View) -> list[RecordKey]:
    return [tombstone_target(id_) for id_, _ in unfiltered(view).rows(TOMBSTONE, Query(size=1000)).records]
