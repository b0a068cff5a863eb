"""Tombstones: a record and all that is below it are gone at once, and removed afterwards (datamanager.md, "Read").

Whoever deletes something that has much below it (a project, an organisation) writes one record, a tombstone, in the
same transaction. From then on no reader and no transaction function sees the record or anything below it: `Visible`
stands in front of every view and checks the ancestors of what it hands out. The ancestors are what `RecordType.under`
says: columns that hold the id of a parent, or a path whose every prefix is one. While there is no tombstone, which is
nearly always, views are used as they are.

Behind that, `SubtreeSweeper` removes what is below, from the top: it replaces a child by the child's own tombstone
where more may be below that, and deletes it where not; a tombstone that has nothing below goes itself. So everything
stays invisible all the time, each transaction is small, and a sweep that stops anywhere goes on from what it finds.

What is buried cannot be written again, until it is swept: `check_not_buried`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.message import Message

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput
from sluiceway_server.datamanager.log.entries import micros
from sluiceway_server.datamanager.model import (
    Action,
    Delete,
    Fields,
    Page,
    Position,
    Put,
    Query,
    RecordType,
    Under,
    View,
    Where,
)
from sluiceway_server.datamanager.replica.cold_bodies import BodiesNotLoaded, Missing

__all__ = [
    "TOMBSTONE",
    "Buried",
    "Visible",
    "buried_id",
    "bury",
    "check_not_buried",
    "check_under",
    "may_have_below",
    "parents_of",
    "uncovered",
    "visible",
]

M = TypeVar("M", bound=Message)
R = TypeVar("R")

TOMBSTONE: RecordType[storage_pb2.Tombstone] = RecordType("tombstone", storage_pb2.Tombstone)
"""Every database has this type, whatever it is opened with."""

_PROBE = 200

Buried = tuple[str, str]
"""Type and id of a record that has a tombstone."""


def bury(type_: RecordType[Any], id_: str, *, now: datetime) -> tuple[Action, ...]:
    """Make the actions that delete a record with all that is below it."""
    message = storage_pb2.Tombstone(type=type_.name, id=id_, time_us=micros(now))
    return (Delete(type_, id_), Put(TOMBSTONE, _tombstone_id((type_.name, id_)), message))


def _tombstone_id(buried: Buried) -> str:
    return "/".join(buried)


def buried_id(tombstone_id: str) -> Buried:
    """Tell which record the tombstone with this id is of. No name of a type has a slash."""
    type_name, _, id_ = tombstone_id.partition("/")
    return type_name, id_


def parents_of(up: Under, value: object) -> Iterator[str]:
    """Name the parents that a column's value tells."""
    if not isinstance(value, str) or not value:
        return
    if up.path:
        parts = value.split("/")
        yield from ("/".join(parts[:size]) for size in range(1, len(parts) + 1))
    else:
        yield value


def may_have_below(types: Iterable[RecordType[Any]]) -> frozenset[str]:
    """Name the types that others are below."""
    return frozenset(up.type for type_ in types for up in type_.under)


def check_under(types: Mapping[str, RecordType[Any]]) -> None:
    """Find faults of `RecordType.under` when a database is opened. Raises `InvalidInput`."""
    for type_ in types.values():
        columns = {column.name for column in type_.columns}
        for up in type_.under:
            served = (up.column,) in type_.indexes if up.path else any(i[:1] == (up.column,) for i in type_.indexes)
            if up.type not in types or up.column not in columns or not served or up.column in type_.sparse:
                raise InvalidInput(
                    f"record type {type_.name}: to be under {up.type!r} by {up.column!r} it needs that type, that"
                    f" column and an index {'of that column alone' if up.path else 'that begins with that column'}"
                )
        if _is_below_itself(types, type_):
            raise InvalidInput(f"record type {type_.name} is declared to be below itself")


def _is_below_itself(types: Mapping[str, RecordType[Any]], type_: RecordType[Any]) -> bool:
    # A type of paths may be under itself: its parents are shorter.
    seen: set[str] = set()
    open_ = [up.type for up in type_.under if not (up.path and up.type == type_.name)]
    while open_:
        name = open_.pop()
        if name == type_.name:
            return True
        if name not in seen and name in types:
            seen.add(name)
            open_ += [up.type for up in types[name].under if not (up.path and up.type == name)]
    return False


def visible(view: View, buried: Collection[Buried], types: Mapping[str, RecordType[Any]]) -> View:
    """Put `Visible` in front of a view, if there are tombstones."""
    return Visible(view, buried, types) if buried else view


def uncovered(view: View) -> View:
    """Give the view behind `Visible`, which sees what is buried: for the sweeper."""
    return view.behind if isinstance(view, Visible) else view


class Visible:
    """A `View` without what is buried.

    Attributes:
        behind: the view with it.
    """

    def __init__(self, view: View, buried: Collection[Buried], types: Mapping[str, RecordType[Any]]) -> None:
        self.behind = view
        self._buried = buried
        self._types = types
        self._known: dict[Buried, bool] = {}

    def hides(self, type_: RecordType[Any], id_: str, fields: Fields) -> bool:
        """Whether a record with these columns is buried, itself or an ancestor of it."""
        if (type_.name, id_) in self._buried:
            return True
        for up in type_.under:
            for parent in parents_of(up, fields[up.column]):
                if (up.type, parent) in self._buried or (not up.path and self._hides_parent(up.type, parent)):
                    return True
        return False

    def _hides_parent(self, type_name: str, id_: str) -> bool:
        known = self._known.get((type_name, id_))
        if known is None:
            type_ = self._types[type_name]
            fields = self.behind.fields(type_, id_) if type_.under else None
            known = self._known[type_name, id_] = fields is not None and self.hides(type_, id_, fields)
        return known

    def _sees(self, type_: RecordType[Any], id_: str) -> bool:
        fields = self.behind.fields(type_, id_)
        return fields is not None and not self.hides(type_, id_, fields)

    # -- View

    @property
    def position(self) -> Position:
        return self.behind.position

    def get(self, type_: RecordType[M], id_: str) -> M | None:
        return self.behind.get(type_, id_) if self._sees(type_, id_) else None

    def fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        found = self.behind.fields(type_, id_)
        return None if found is None or self.hides(type_, id_, found) else found

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        return self.behind.revision(type_, id_) if self._sees(type_, id_) else None

    def group(self, name: str) -> Position | None:
        return self.behind.group(name)

    def scan(self, type_: RecordType[M], prefix: str = "", *, after: str = "") -> Iterator[tuple[str, M]]:
        for id_, message in self.behind.scan(type_, prefix, after=after):
            if not self.hides(type_, id_, _fields(type_, message)):
                yield id_, message

    def select(self, type_: RecordType[M], query: Query) -> Page[M]:
        page = self.rows(type_, query)
        found: list[tuple[str, M]] = []
        missing: list[Missing] = []
        for id_, _ in page.records:
            try:
                message = self.behind.get(type_, id_)
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
        token = query.token
        while True:
            part = replace(query, size=max(query.size, _PROBE), token=token)
            page = self.behind.rows(type_, part)
            taken = 0
            for id_, fields in page.records:
                if len(found) == query.size:
                    break
                taken += 1
                if not self.hides(type_, id_, fields):
                    found.append((id_, fields))
            if taken < len(page.records):
                # The page ends inside of what was read: its token is that of a page which ends there.
                token = self.behind.rows(type_, replace(part, size=taken)).next_token if taken else token
                return self._ended(type_, query, found, token)
            token = page.next_token
            if not token or len(found) == query.size:
                return self._ended(type_, query, found, token)

    def _ended(self, type_: RecordType[Any], query: Query, found: list[tuple[str, Fields]], token: str) -> Page[Fields]:
        # A token is promised to lead to something: look whether anything that is visible follows.
        rest = token
        while rest:
            page = self.behind.rows(type_, replace(query, size=_PROBE, token=rest))
            if any(not self.hides(type_, id_, fields) for id_, fields in page.records):
                return Page(tuple(found), token)
            rest = page.next_token
        return Page(tuple(found), "")

    def count(self, type_: RecordType[Any], where: Where, *, limit: int) -> int:
        return len(self.rows(type_, Query(where=where, size=limit)).records)


def _fields(type_: RecordType[M], message: M) -> Fields:
    # Only those that lead to ancestors.
    wanted = {up.column for up in type_.under}
    return {column.name: column.of(message) for column in type_.columns if column.name in wanted}


def check_not_buried(view: View, actions: Iterable[Action]) -> None:
    """Refuse to store what is buried, or below it. Raises `FailedPrecondition` with reason `BEING_DELETED`."""
    if not isinstance(view, Visible):
        return
    for action in actions:
        if not isinstance(action, Put) or action.type.name == TOMBSTONE.name:
            continue
        if view.hides(action.type, action.id, _fields(action.type, action.message)):
            raise FailedPrecondition(
                f"{action.type.name} {action.id!r} is being deleted, or what it belongs to is: it can be made anew"
                " when all of it is removed",
                reason="BEING_DELETED",
            )
