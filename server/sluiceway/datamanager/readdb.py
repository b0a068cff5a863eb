"""The read database: this server's picture of the database, in one SQLite file that may be deleted at any time.

Each record type is a table: id, revision, the columns of its read model, the body. Beside them are the change groups,
the log entries of the last day (for subscribers, and for the flusher), and one row that says up to which entry all of
it is applied; every change moves that row in the same SQLite transaction. Nothing here is the truth: a file that is
damaged, of other types or of another database is deleted and filled again from segments and log.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message

from sluiceway.datamanager.caches import WRITER_PAGE_BYTES
from sluiceway.datamanager.entries import Catalogue, LogEntry
from sluiceway.datamanager.model import LogSequence, Position, Query, RecordType
from sluiceway.datamanager.queries import ListPlan, Place, plan_list
from sluiceway.foundation.errors import InvalidInput

__all__ = ["AppliedUpTo", "ReadDatabase", "Row", "Tables", "Version"]

M = TypeVar("M", bound=Message)

_FORMAT = 1
_REVISION = struct.Struct(">IQI")
_COUNTER_BITS = 44


@dataclass(frozen=True, slots=True)
class Version:
    """A record at one of its revisions."""

    revision: Position
    message: Message
    body: bytes


@dataclass(frozen=True, slots=True)
class AppliedUpTo:
    """The last entry that the read database has, and what the next one must follow from."""

    position: Position
    digest: bytes
    time_us: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Row:
    """A record as SQLite has it."""

    id: str
    revision: Position
    body: bytes


def pack(position: Position) -> bytes:
    """Make 16 bytes whose order is that of positions."""
    return _REVISION.pack(position.sequence.epoch, position.sequence.counter, position.index)


def unpack(value: bytes) -> Position:
    """Read what `pack` made."""
    epoch, counter, index = _REVISION.unpack(value)
    return Position(LogSequence(epoch, counter), index)


def entry_key(sequence: LogSequence) -> int:
    """Make an integer whose order is that of sequences."""
    return sequence.epoch << _COUNTER_BITS | sequence.counter


class _Table:
    """The statements of one record type."""

    def __init__(self, type_: RecordType[Any]) -> None:
        for name in (type_.name, *(column.name for column in type_.columns)):
            if not name.isidentifier() or name != name.lower():
                raise InvalidInput(f"{name!r} cannot name a record type or a column: use lower_snake_case")
        self.type = type_
        self.name = f"r_{type_.name}"
        columns = [f"c_{column.name}" for column in type_.columns]
        marks = ",".join("?" * (len(columns) + 3))
        # The body is last, so that lists do not walk through its overflow pages to reach a column.
        declared = "".join(f"{column}, " for column in columns)
        self.schema = [
            f"CREATE TABLE {self.name} (id TEXT PRIMARY KEY NOT NULL, revision BLOB NOT NULL, {declared}"
            "body BLOB NOT NULL) WITHOUT ROWID",
            *(
                f"CREATE INDEX i_{type_.name}_{number} ON {self.name} ({','.join(f'c_{name}' for name in index)}, id)"
                for number, index in enumerate(type_.indexes)
            ),
        ]
        self.put = f"INSERT OR REPLACE INTO {self.name} VALUES ({marks})"  # noqa: S608 - the name was checked above
        self.delete = f"DELETE FROM {self.name} WHERE id = ?"  # noqa: S608 - as above
        self.get = f"SELECT id, revision, body FROM {self.name} WHERE id = ?"  # noqa: S608 - as above
        self.scan = f"SELECT id, revision, body FROM {self.name} WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - as above
        self.scan_from = f"SELECT id, revision, body FROM {self.name} WHERE id >= ? ORDER BY id LIMIT ?"  # noqa: S608 - as above

    def values(self, id_: str, version: Version) -> tuple[Any, ...]:
        columns = (column.of(version.message) for column in self.type.columns)
        return (id_, pack(version.revision), *columns, version.body)

    def select(self, plan: ListPlan) -> tuple[str, list[Any]]:
        """Make the statement of a page. It asks for one row more, which tells whether there is a next page."""
        conditions = [f"c_{name} IS ?" for name, _ in plan.where]
        arguments: list[Any] = [value for _, value in plan.where]
        names = [*(f"c_{name}" for name in plan.order), "id"]
        if plan.after is not None:
            after, more = _beyond(names, (*plan.after.values, plan.after.id), descending=plan.descending)
            conditions.append(after)
            arguments += more
        condition = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        direction = "DESC" if plan.descending else "ASC"
        order = ",".join(f"{name} {direction}" for name in names)
        columns = "".join(f", {name}" for name in names[:-1])
        arguments.append(plan.size + 1)
        text = f"SELECT id, revision, body{columns} FROM {self.name} {condition}ORDER BY {order} LIMIT ?"  # noqa: S608 - as above
        return text, arguments

    def count(self, plan: ListPlan) -> tuple[str, list[Any]]:
        """Make the statement that counts the records of a list, up to the plan's size."""
        conditions = " AND ".join(f"c_{name} IS ?" for name, _ in plan.where)
        inner = f"SELECT 1 FROM {self.name} {f'WHERE {conditions} ' if conditions else ''}LIMIT ?"  # noqa: S608 - as above
        return f"SELECT count(*) FROM ({inner})", [*(value for _, value in plan.where), plan.size]  # noqa: S608 - as above


def _beyond(names: list[str], values: tuple[Any, ...], *, descending: bool) -> tuple[str, list[Any]]:
    """Say "after this place" for columns that may be NULL, which sorts first."""
    choices: list[str] = []
    arguments: list[Any] = []
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        if descending:
            step = None if value is None else f"({name} < ? OR {name} IS NULL)"
        else:
            step = f"{name} IS NOT NULL" if value is None else f"{name} > ?"
        if step is None:
            continue
        choices.append(" AND ".join([*(f"{before} IS ?" for before in names[:at]), step]))
        arguments += [*values[:at], *(() if value is None else (value,))]
    return f"({' OR '.join(f'({choice})' for choice in choices)})", arguments


_SHARED_SCHEMA = (
    "CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), database_id TEXT NOT NULL, types TEXT NOT NULL,"
    " position BLOB NOT NULL, digest BLOB NOT NULL, time_us INTEGER NOT NULL, total_bytes INTEGER NOT NULL)",
    "CREATE TABLE change_groups (name TEXT PRIMARY KEY NOT NULL, revision BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE entries (key INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, raw BLOB NOT NULL)",
    "CREATE INDEX entries_time ON entries (time_us)",
    # Records of types that this server does not know. Another version may; then it builds its file anew.
    "CREATE TABLE unknown (type TEXT NOT NULL, id TEXT NOT NULL, revision BLOB NOT NULL, body BLOB NOT NULL,"
    " PRIMARY KEY (type, id)) WITHOUT ROWID",
)


class Tables:
    """The statements of all types; shared by every connection."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._tables = {name: _Table(type_) for name, type_ in catalogue.known.items()}

    @property
    def schema(self) -> tuple[str, ...]:
        """All that makes an empty file."""
        return (*_SHARED_SCHEMA, *(line for table in self._tables.values() for line in table.schema))

    @property
    def fingerprint(self) -> str:
        """Changes when a file made for other types must not be used."""
        parts = [str(_FORMAT), *self.schema]
        parts += [
            f"{t.type.name} {t.type.version} {t.type.message.DESCRIPTOR.full_name}" for t in self._tables.values()
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def table(self, type_: RecordType[Any]) -> _Table:
        """The statements of a type. Raises `InvalidInput` for one that the database was not opened with."""
        try:
            return self._tables[type_.name]
        except KeyError as cause:
            raise InvalidInput(f"the database was opened without the record type {type_.name!r}") from cause

    def knows(self, name: str) -> bool:
        """Whether a type has a table of its own."""
        return name in self._tables


class ReadDatabase:
    """One connection to the file. Used by one thread at a time."""

    Damaged = sqlite3.DatabaseError

    def __init__(self, path: Path, tables: Tables, *, writes: bool, page_bytes: int = WRITER_PAGE_BYTES) -> None:
        self._tables = tables
        self.path = path
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=10
        )
        # NORMAL: a crash of the machine may lose the newest changes, never the file; the log has them.
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "temp_store = MEMORY",
            f"cache_size = -{page_bytes // 1024}",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        if not writes:
            self._connection.execute("PRAGMA query_only = ON")

    @staticmethod
    def delete(path: Path) -> None:
        """Remove the file and what SQLite keeps beside it."""
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").unlink()

    def create(self, database_id: str, start: AppliedUpTo) -> None:
        """Make the tables of an empty database."""
        self.begin()
        for line in self._tables.schema:
            self._connection.execute(line)
        self._connection.execute(
            "INSERT INTO about VALUES (1, ?, ?, ?, ?, ?, ?)",
            (
                database_id,
                self._tables.fingerprint,
                pack(start.position),
                start.digest,
                start.time_us,
                start.total_bytes,
            ),
        )
        self.commit()

    def belongs_to(self, database_id: str, epoch: int) -> bool:
        """Whether the file is of this database, this epoch and these types."""
        try:
            row = self._connection.execute("SELECT database_id, types, position FROM about").fetchone()
        except sqlite3.DatabaseError:
            return False  # empty, damaged, or of a version that had other tables
        if row is None or tuple(row[:2]) != (database_id, self._tables.fingerprint):
            return False
        return unpack(row[2]).sequence.epoch == epoch

    @property
    def page_bytes(self) -> int:
        """The most that SQLite keeps of the file in memory for this connection."""
        (value,) = self._connection.execute("PRAGMA cache_size").fetchone()
        return -int(value) * 1024

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def begin(self, *, snapshot: bool = False) -> None:
        """Begin a transaction. A snapshot is taken by its first read."""
        self._connection.execute("BEGIN" if snapshot else "BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit it."""
        self._connection.execute("COMMIT")

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def rollback(self) -> None:
        """Undo it."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def applied_up_to(self) -> AppliedUpTo:
        """Tell the last entry that is applied."""
        position, digest, time_us, total = self._connection.execute(
            "SELECT position, digest, time_us, total_bytes FROM about"
        ).fetchone()
        return AppliedUpTo(unpack(position), digest, time_us, total)

    def move_to(self, applied: AppliedUpTo) -> None:
        """Say that all up to an entry is applied."""
        self._connection.execute(
            "UPDATE about SET position = ?, digest = ?, time_us = ?, total_bytes = ?",
            (pack(applied.position), applied.digest, applied.time_us, applied.total_bytes),
        )

    def write(self, records: Mapping[tuple[str, str], Version | None], groups: Mapping[str, Position]) -> None:
        """Write records (None: remove) and change groups."""
        puts: dict[str, list[tuple[Any, ...]]] = {}
        deletes: dict[str, list[tuple[Any, ...]]] = {}
        for (name, id_), version in records.items():
            known = self._tables.knows(name)
            key = (id_,) if known else (name, id_)
            if version is None:
                deletes.setdefault(name, []).append(key)
            elif known:
                values = self._tables.table(self._tables.catalogue.type(name)).values(id_, version)
                puts.setdefault(name, []).append(values)
            else:
                puts.setdefault(name, []).append((*key, pack(version.revision), version.body))
        for name, rows in puts.items():
            if self._tables.knows(name):
                statement = self._tables.table(self._tables.catalogue.type(name)).put
            else:
                statement = "INSERT OR REPLACE INTO unknown VALUES (?, ?, ?, ?)"
            self._connection.executemany(statement, rows)
        for name, rows in deletes.items():
            if self._tables.knows(name):
                statement = self._tables.table(self._tables.catalogue.type(name)).delete
            else:
                statement = "DELETE FROM unknown WHERE type = ? AND id = ?"
            self._connection.executemany(statement, rows)
        if groups:
            self._connection.executemany(
                "INSERT OR REPLACE INTO change_groups VALUES (?, ?)",
                [(name, pack(revision)) for name, revision in groups.items()],
            )

    def find(self, type_: RecordType[Any], id_: str) -> Row | None:
        """Read one record."""
        row = self._connection.execute(self._tables.table(type_).get, (id_,)).fetchone()
        return None if row is None else Row(row[0], unpack(row[1]), row[2])

    def group(self, name: str) -> Position | None:
        """Read a change group's revision."""
        row = self._connection.execute("SELECT revision FROM change_groups WHERE name = ?", (name,)).fetchone()
        return None if row is None else unpack(row[0])

    def scan(self, type_: RecordType[Any], prefix: str, after: str) -> Iterator[Row]:
        """Walk records by id, in pieces, so that a caller may stop early or write in between."""
        table = self._tables.table(type_)
        start, statement = (after, table.scan) if after >= prefix else (prefix, table.scan_from)
        size = 32
        while True:
            rows = self._connection.execute(statement, (start, size)).fetchall()
            for id_, revision, body in rows:
                if not id_.startswith(prefix):
                    return
                yield Row(id_, unpack(revision), body)
            if len(rows) < size:
                return
            start, statement = rows[-1][0], table.scan
            size = 512

    def select(self, type_: RecordType[Any], query: Query) -> tuple[list[Row], str]:
        """Read a page of a list; answers its rows and the next page's token."""
        plan = plan_list(type_, query)
        statement, arguments = self._tables.table(type_).select(plan)
        rows = self._connection.execute(statement, arguments).fetchall()
        page = rows[: plan.size]
        token = plan.token(Place(tuple(page[-1][3:]), page[-1][0])) if len(rows) > plan.size else ""
        return [Row(row[0], unpack(row[1]), row[2]) for row in page], token

    def count(self, type_: RecordType[Any], query: Query) -> int:
        """Count the records of a list, up to the query's size."""
        statement, arguments = self._tables.table(type_).count(plan_list(type_, query))
        (count,) = self._connection.execute(statement, arguments).fetchone()
        return int(count)

    def add_entries(self, entries: Iterable[LogEntry]) -> None:
        """Keep log entries for subscribers and the flusher."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)",
            [(entry_key(entry.sequence), entry.time_us, entry.raw) for entry in entries],
        )

    def entries_after(self, sequence: LogSequence, *, limit: int, max_bytes: int) -> list[bytes]:
        """Read the entries after one, oldest first: at most `limit`, and about `max_bytes` (at least one)."""
        found: list[bytes] = []
        size = 0
        cursor = self._connection.execute(
            "SELECT raw FROM entries WHERE key > ? ORDER BY key LIMIT ?", (entry_key(sequence), limit)
        )
        for (raw,) in cursor:
            found.append(raw)
            size += len(raw)
            if size >= max_bytes:
                break
        cursor.close()
        return found

    def oldest_entry(self) -> LogSequence | None:
        """Tell the oldest entry that is kept."""
        (key,) = self._connection.execute("SELECT min(key) FROM entries").fetchone()
        return None if key is None else LogSequence(key >> _COUNTER_BITS, key & ((1 << _COUNTER_BITS) - 1))

    def drop_entries(self, *, before_us: int, flushed: LogSequence, limit: int) -> int:
        """Forget entries that are older than a time and in the object storage; answers how many."""
        return self._connection.execute(
            "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE time_us < ? AND key <= ? ORDER BY time_us"
            " LIMIT ?)",
            (before_us, entry_key(flushed), limit),
        ).rowcount
