"""The replica: this server's copy of the database, in one SQLite file that may be deleted at any time.

Each record type is a table: id, revision, columns, body (`schema`). Beside them are the change groups, the log entries
of the last day (for subscribers and the flusher), and one row with the last entry that is applied, which moves in the
same SQLite transaction as the records. A file that is damaged, or of other types or another database, is deleted and
rebuilt from manifest, segments and log.

Bodies of settled records that are in the files of a checkpoint are dropped after a while (`drop_bodies`). SQLite reuses
their pages, so the file stops growing, and does not shrink.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_server.datamanager.caches import WRITER_PAGE_BYTES
from sluiceway_server.datamanager.log.entries import LogEntry, from_sequence_proto
from sluiceway_server.datamanager.model import Fields, LogSequence, Position, Query, RecordType
from sluiceway_server.datamanager.queries import Place, plan_list
from sluiceway_server.datamanager.replica.schema import (
    Tables,
    Version,
    entry_key,
    pack,
    unpack,
)

_LAST_INDEX = 2**32 - 1  # of a transaction in an entry


@dataclass(frozen=True, slots=True)
class AppliedUpTo:
    """The last entry that is applied, and what the next one must follow from."""

    position: Position
    digest: bytes
    time_us: int
    total_bytes: int

    @staticmethod
    def of_manifest(manifest: Manifest) -> AppliedUpTo:
        """Return the entry up to which a manifest has everything."""
        position = Position(from_sequence_proto(manifest.sequence), max(manifest.transactions, 1) - 1)
        return AppliedUpTo(position, manifest.digest, manifest.time_us, manifest.total_bytes)

    def plus(self, entry: LogEntry) -> AppliedUpTo:
        """Return it with one more entry; bytes are counted from 0 in every epoch."""
        total = self.total_bytes if entry.sequence.epoch == self.position.sequence.epoch else 0
        return AppliedUpTo(entry.position, entry.digest, entry.time_us, total + len(entry.raw))


@dataclass(frozen=True, slots=True)
class Row:
    """A record in SQLite. `body` None: it is in the object storage."""

    id: str
    revision: Position
    body: bytes | None


class Replica:
    """One connection to the file. Used by one thread at a time."""

    Damaged = sqlite3.DatabaseError

    def __init__(self, path: Path, tables: Tables, *, writes: bool, page_bytes: int = WRITER_PAGE_BYTES) -> None:
        self._tables = tables
        self.path = path
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=10
        )
        # NORMAL: a crash of the machine may lose the newest transactions, which are in the log, but not the file.
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
        """Delete the file and what SQLite keeps beside it."""
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").unlink()

    def create(self, database_id: str, epoch: int, start: AppliedUpTo) -> None:
        """Create the tables of an empty database that begins after the entry `start`."""
        with self.transaction():
            for line in (*self._tables.schema, *self._tables.indexes):
                self._connection.execute(line)
            self.claim(database_id, epoch, start)

    def claim(self, database_id: str, epoch: int, applied: AppliedUpTo) -> None:
        """Store what the file is of. A file without that is not used."""
        self._connection.execute(
            "INSERT INTO about VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
            (
                database_id,
                self._tables.fingerprint,
                epoch,
                pack(applied.position),
                applied.digest,
                applied.time_us,
                applied.total_bytes,
            ),
        )

    def belongs_to(self, database_id: str, epoch: int) -> bool:
        """Return whether the file is complete, and of this database, epoch and types."""
        try:
            row = self._connection.execute("SELECT database_id, types, epoch FROM about").fetchone()
        except sqlite3.DatabaseError:
            return False  # empty, damaged, or of a version that had other tables
        return row is not None and tuple(row) == (database_id, self._tables.fingerprint, epoch)

    def database_id(self) -> str:
        row = self._connection.execute("SELECT database_id FROM about").fetchone()
        return "" if row is None else str(row[0])

    def close(self) -> None:
        self._connection.close()

    def begin(self, *, snapshot: bool = False) -> None:
        """Begin a transaction. A snapshot is taken by its first read."""
        self._connection.execute("BEGIN" if snapshot else "BEGIN IMMEDIATE")

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Begin a transaction that the body writes; commit it, or roll it back if the body raises."""
        self.begin()
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def applied_up_to(self) -> AppliedUpTo:
        position, digest, time_us, total = self._connection.execute(
            "SELECT position, digest, time_us, total_bytes FROM about"
        ).fetchone()
        return AppliedUpTo(unpack(position), digest, time_us, total)

    def move_to(self, applied: AppliedUpTo) -> None:
        self._connection.execute(
            "UPDATE about SET position = ?, digest = ?, time_us = ?, total_bytes = ?",
            (pack(applied.position), applied.digest, applied.time_us, applied.total_bytes),
        )

    def write(
        self,
        records: Mapping[tuple[str, str], Version | None],
        groups: Mapping[str, Position],
        *,
        times_us: Mapping[LogSequence, int] | None = None,
    ) -> None:
        """Write records (None: delete) and change groups, with the times of their entries.

        Without times the transaction will be rolled back.
        """
        by_type: dict[str, list[tuple[str, Version | None]]] = {}
        for (name, id_), version in records.items():
            by_type.setdefault(name, []).append((id_, version))
        execute = self._connection.executemany
        for name, changed in by_type.items():
            table = self._tables.find(name)
            gone = [id_ for id_, version in changed if version is None]
            there = [(id_, version) for id_, version in changed if version is not None]
            if table is None:
                execute("DELETE FROM unknown WHERE type = ? AND id = ?", [(name, id_) for id_ in gone])
                unknown = [(name, id_, pack(version.revision), version.body) for id_, version in there]
                execute("INSERT OR REPLACE INTO unknown VALUES (?, ?, ?, ?)", unknown)
                continue
            # Even with no rows, a statement costs as much as with one.
            if gone:
                execute(table.delete, [(id_,) for id_ in gone])
            if there:
                execute(table.put, [table.values(id_, version) for id_, version in there])
            if times_us is not None and table.is_remote:
                settled = [(id_, version.revision) for id_, version in there if table.type.is_settled(version.message)]
                times = [(pack(revision), name, id_, times_us[revision.sequence]) for id_, revision in settled]
                if times:
                    execute("INSERT OR REPLACE INTO resting VALUES (?, ?, ?, ?)", times)
        if groups:
            rows = [(name, pack(revision)) for name, revision in groups.items()]
            execute("INSERT OR REPLACE INTO change_groups VALUES (?, ?)", rows)

    def drop_bodies(self, *, covered: LogSequence, before_us: int, limit: int) -> int:
        """Drop the bodies of settled records that are in the object storage.

        Args:
            covered: a manifest has everything up to this entry.
            before_us: only records whose last change is older, in microseconds since 1970.
            limit: of records in this call.

        Returns:
            The number of records; fewer than `limit`: there are no more for now.
        """
        rows = self._connection.execute(
            "SELECT revision, type, id, time_us FROM resting WHERE revision <= ? ORDER BY revision LIMIT ?",
            (pack(Position(covered, _LAST_INDEX)), limit),
        ).fetchall()
        # The times of entries never decrease, so the order of revisions is that of times.
        due = [row for row in rows if row[3] < before_us]
        for name in {name for _, name, _, _ in due}:
            table = self._tables.find(name)
            if table is not None:
                dropped = [(id_, revision) for revision, name_, id_, _ in due if name_ == name]
                self._connection.executemany(table.drop_body, dropped)
        self._connection.executemany(
            "DELETE FROM resting WHERE revision = ? AND type = ? AND id = ?", [row[:3] for row in due]
        )
        return len(due)

    def find(self, type_: RecordType[Any], id_: str) -> Row | None:
        row = self._connection.execute(self._tables.table(type_).get, (id_,)).fetchone()
        return None if row is None else Row(row[0], unpack(row[1]), row[2])

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        row = self._connection.execute(self._tables.table(type_).revision, (id_,)).fetchone()
        return None if row is None else unpack(row[0])

    def fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        row = self._connection.execute(self._tables.table(type_).fields, (id_,)).fetchone()
        return None if row is None else dict(zip(type_.column_names, row, strict=False))

    def ids(self, type_: RecordType[Any]) -> list[str]:
        """Return the ids of all records of a type that has few."""
        return [id_ for (id_,) in self._connection.execute(self._tables.table(type_).ids)]

    def group(self, name: str) -> Position | None:
        row = self._connection.execute("SELECT revision FROM change_groups WHERE name = ?", (name,)).fetchone()
        return None if row is None else unpack(row[0])

    def scan(self, type_: RecordType[Any], prefix: str, after: str) -> Iterator[Row]:
        """Yield records by id, read in chunks, so that the caller may stop early or write in between."""
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
        """Return a page of a list and the token of the next page."""
        rows, token = self._page(type_, query, "id, revision, body")
        return [Row(row[0], unpack(row[1]), row[2]) for row in rows], token

    def select_rows(self, type_: RecordType[Any], query: Query) -> tuple[list[tuple[str, Fields]], str]:
        """Return a page of a list with the columns only, and the token of the next page."""
        rows, token = self._page(type_, query, ", ".join(("id", *self._tables.table(type_).columns)))
        names = type_.column_names
        return [(row[0], dict(zip(names, row[1:], strict=False))) for row in rows], token

    def _page(self, type_: RecordType[Any], query: Query, what: str) -> tuple[list[tuple[Any, ...]], str]:
        """Return `what` of each record of a page, then its ordering columns, and the token of the next page."""
        plan = plan_list(type_, query)
        statement = self._tables.table(type_).page(plan, what)
        rows = self._connection.execute(statement.text, statement.arguments).fetchall()
        page = rows[: plan.size]
        if len(rows) <= plan.size:
            return page, ""
        last = page[-1]
        return page, plan.token(Place(last[len(last) - len(plan.order) :], last[0]))

    def count(self, type_: RecordType[Any], query: Query) -> int:
        """Count the records of a list, up to the query's size."""
        statement = self._tables.table(type_).count(plan_list(type_, query))
        (count,) = self._connection.execute(statement.text, statement.arguments).fetchone()
        return int(count)

    def add_entries(self, entries: Iterable[LogEntry], *, now_us: int) -> None:
        """Store log entries for subscribers and the flusher.

        An entry whose time is in the future, because a server's clock was ahead, ages from now on: the times of the log
        never decrease, so all that follow would be kept until that time has passed.
        """
        self._connection.executemany(
            "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)",
            [(entry_key(entry.sequence), min(entry.time_us, now_us), entry.raw) for entry in entries],
        )

    def entries_after(self, sequence: LogSequence, *, limit: int, max_bytes: int) -> list[bytes]:
        """Return the entries after one, oldest first: at most `limit`, and about `max_bytes` (at least one)."""
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

    def drop_entries(self, *, before_us: int, flushed: LogSequence, limit: int) -> int:
        """Delete entries that are older than a time and flushed; return how many."""
        return self._connection.execute(
            # In the order of the log, whatever the clocks were: what is kept has no gap.
            "DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE key <="
            " (SELECT max(key) FROM entries WHERE time_us < ? AND key <= ?) ORDER BY key LIMIT ?)",
            (before_us, entry_key(flushed), limit),
        ).rowcount
