"""The replica's tables, and the SQL for each record type. Pure text, which `replica` executes.

A type is a table: id, revision, columns, body. The body of a type with remote bodies may be NULL: then it is in the
object storage. A list continues in an index after the last row of the page before, also when several lists are merged,
so the ten thousandth page costs as much as the first.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.datamanager.log.entries import Catalogue
from sluiceway_server.datamanager.model import Bodies, LogSequence, Position, RecordType, Value
from sluiceway_server.datamanager.queries import ListPlan

RecordKey = tuple[str, str]
"""The name of a record type, and an id."""

_FORMAT = 2
_REVISION = struct.Struct(">IQI")
_COUNTER_BITS = 44


@dataclass(frozen=True, slots=True)
class Version:
    """A record at one of its revisions."""

    revision: Position
    message: Message
    body: bytes


def pack(position: Position) -> bytes:
    """Encode a position as 16 bytes that sort as positions do."""
    return _REVISION.pack(position.sequence.epoch, position.sequence.counter, position.index)


def unpack(value: bytes) -> Position:
    """Decode what `pack` encoded."""
    epoch, counter, index = _REVISION.unpack(value)
    return Position(LogSequence(epoch, counter), index)


def entry_key(sequence: LogSequence) -> int:
    """Encode a sequence as an integer that sorts as sequences do."""
    return sequence.epoch << _COUNTER_BITS | sequence.counter


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its arguments."""

    text: str
    arguments: list[Any]


# The names in all statements below are checked in `Table` (S608 is about names that are not).
# ruff: noqa: S608


class Table:
    """The statements of one record type; `columns` are names in SQL, in the order of the type's."""

    def __init__(self, type_: RecordType[Any]) -> None:
        for name in (type_.name, *(column.name for column in type_.columns)):
            if not name.isidentifier() or name != name.lower():
                raise InvalidInput(f"{name!r} cannot name a record type or a column: use lower_snake_case")
        self.type = type_
        self.name = name = f"r_{type_.name}"
        self.is_remote = type_.bodies is Bodies.REMOTE
        self.columns = tuple(f"c_{column.name}" for column in type_.columns)
        marks = ",".join("?" * (len(self.columns) + 3))
        # The body is last, so that SQLite does not read its overflow pages to reach a column.
        declared = "".join(f"{column}, " for column in self.columns)
        self.schema = (
            f"CREATE TABLE {name} (id TEXT PRIMARY KEY NOT NULL, revision BLOB NOT NULL, {declared}"
            f"body BLOB{'' if self.is_remote else ' NOT NULL'}) WITHOUT ROWID"
        )
        self.indexes = tuple(
            f"CREATE INDEX i_{type_.name}_{number} ON {name} ({','.join(f'c_{column}' for column in index)}, id)"
            + _sparse(type_, index)
            for number, index in enumerate(type_.indexes)
        )
        self.put = f"INSERT OR REPLACE INTO {name} VALUES ({marks})"
        self.delete = f"DELETE FROM {name} WHERE id = ?"
        self.drop_body = f"UPDATE {name} SET body = NULL WHERE id = ? AND revision = ? AND body IS NOT NULL"
        self.get = f"SELECT id, revision, body FROM {name} WHERE id = ?"
        self.ids = f"SELECT id FROM {name}"
        self.fields = f"SELECT {', '.join(self.columns) or '1'} FROM {name} WHERE id = ?"
        self.revision = f"SELECT revision FROM {name} WHERE id = ?"
        self.scan = f"SELECT id, revision, body FROM {name} WHERE id > ? ORDER BY id LIMIT ?"
        self.scan_from = f"SELECT id, revision, body FROM {name} WHERE id >= ? ORDER BY id LIMIT ?"

    def values(self, id_: str, version: Version) -> tuple[Any, ...]:
        return (id_, pack(version.revision), *self.type.values(version.message), version.body)

    def page(self, plan: ListPlan, what: str) -> Statement:
        """Select a page: `what`, then the ordering columns. One more row says that there is a next page."""
        what += "".join(f", c_{name}" for name in plan.order)
        names = [*(f"c_{name}" for name in plan.order), "id"]
        places: Iterable[tuple[list[str], list[Any]]] = [([], [])]
        if plan.after is not None:
            places = _after(names, (*plan.after.values, plan.after.id), descending=plan.descending)
        lists: list[str] = []
        arguments: list[Any] = []
        for where in plan.wheres:
            equal = _equal(where)
            for conditions, values in places:
                every = " AND ".join([*equal, *conditions])
                lists.append(f"SELECT {what} FROM {self.name}{f' WHERE {every}' if every else ''}")
                arguments += [value for _, value in where if value is not None]
                arguments += values
        direction = "DESC" if plan.descending else "ASC"
        order = ", ".join(f"{name} {direction}" for name in names)
        # Each list has this order in its index, so SQLite merges them and reads no more than it needs.
        text = f"{' UNION ALL '.join(lists)} ORDER BY {order} LIMIT ?"
        return Statement(text, [*arguments, plan.size + 1])

    def count(self, plan: ListPlan) -> Statement:
        """Count the records of a list, up to the plan's size."""
        lists: list[str] = []
        arguments: list[Any] = []
        for where in plan.wheres:
            every = " AND ".join(_equal(where))
            lists.append(f"SELECT 1 FROM {self.name}{f' WHERE {every}' if every else ''}")
            arguments += [value for _, value in where if value is not None]
        return Statement(f"SELECT count(*) FROM ({' UNION ALL '.join(lists)} LIMIT ?)", [*arguments, plan.size])


def _equal(where: Iterable[tuple[str, Value]]) -> list[str]:
    return [f"c_{name} IS NULL" if value is None else f"c_{name} = ?" for name, value in where]


def _sparse(type_: RecordType[Any], index: tuple[str, ...]) -> str:
    # SQLite uses such an index for `c_x = ?`, since nothing that equals a value is NULL.
    conditions = [f"c_{name} IS NOT NULL" for name in index if name in type_.sparse]
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _after(names: list[str], values: tuple[Any, ...], *, descending: bool) -> list[tuple[list[str], list[Any]]]:
    """Return conditions for "after this place": disjoint lists, each a range of an index. NULL sorts first."""
    places: list[tuple[list[str], list[Any]]] = []
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        if not descending:
            steps = [f"{name} IS NOT NULL" if value is None else f"{name} > ?"]
        else:
            steps = [] if value is None else [f"{name} < ?"] if name == "id" else [f"{name} < ?", f"{name} IS NULL"]
        same = [f"{before} IS ?" for before in names[:at]]
        for step in steps:
            places.append(([*same, step], [*values[:at], *([value] if "?" in step else [])]))
    return places


_SHARED_SCHEMA = (
    # `epoch` is that of the file: in another one, entries that it has may not be part of the history.
    "CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), database_id TEXT NOT NULL, types TEXT NOT NULL,"
    " epoch INTEGER NOT NULL, position BLOB NOT NULL, digest BLOB NOT NULL, time_us INTEGER NOT NULL,"
    " total_bytes INTEGER NOT NULL)",
    "CREATE TABLE change_groups (name TEXT PRIMARY KEY NOT NULL, revision BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE entries (key INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, raw BLOB NOT NULL)",
    "CREATE INDEX entries_time ON entries (time_us)",
    # Records of types that this server does not know. A version that knows them rebuilds its file.
    "CREATE TABLE unknown (type TEXT NOT NULL, id TEXT NOT NULL, revision BLOB NOT NULL, body BLOB NOT NULL,"
    " PRIMARY KEY (type, id)) WITHOUT ROWID",
    # Settled records whose body is still here, oldest first. One that changed since is skipped.
    "CREATE TABLE resting (revision BLOB NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, time_us INTEGER NOT NULL,"
    " PRIMARY KEY (revision, type, id)) WITHOUT ROWID",
)


class Tables:
    """The statements of all types, shared by all connections."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._tables = {name: Table(type_) for name, type_ in catalogue.known.items()}

    @property
    def schema(self) -> tuple[str, ...]:
        """All tables, without the indexes of the types."""
        return (*_SHARED_SCHEMA, *(table.schema for table in self._tables.values()))

    @property
    def indexes(self) -> tuple[str, ...]:
        """The indexes of all types."""
        return tuple(line for table in self._tables.values() for line in table.indexes)

    @property
    def fingerprint(self) -> str:
        """Identifies the schema: a file with another fingerprint is not used."""
        parts = [str(_FORMAT), *self.schema, *self.indexes]
        parts += [
            f"{t.type.name} {t.type.version} {t.type.message.DESCRIPTOR.full_name}" for t in self._tables.values()
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def table(self, type_: RecordType[Any]) -> Table:
        """Return the statements of a type. Raises `InvalidInput` if the database was opened without it."""
        try:
            return self._tables[type_.name]
        except KeyError as cause:
            raise InvalidInput(f"the database was opened without the record type {type_.name!r}") from cause

    def find(self, name: str) -> Table | None:
        """Return the statements of a type by name; None: it is unknown."""
        return self._tables.get(name)
