"""Open the replica's file, or rebuild it from the newest manifest.

A server without a usable file starts like that, and one that was away for long. Types with local bodies are read from
the data files. For a type with remote bodies the index dumps are read, which have the columns and the bodies that are
not settled; if a dump has other columns, the data file is read and the columns are computed. Rows are sorted by id, so
tables grow at their end; indexes are made afterwards. Memory is bounded by a few blocks and SQLite's caches.

There is no journal meanwhile, because an unfinished file is discarded: the row that identifies the file is written
last, when everything else is on disk.

The folder of the file belongs to one process at a time. Two processes on one folder (a server that was started twice,
or two containers with one volume) would both write the file, and neither would be exact. So a process locks a file in
the folder; the lock ends with the process.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import structlog

from sluiceway.records.storage.v1.storage_pb2 import LiveFile, Manifest
from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition, NotFound, Unavailable
from sluiceway_common.foundation.file_lock import lock_file
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, from_sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import LogSequence, Position, Value
from sluiceway_server.datamanager.replica.cold_bodies import ColdBodyStore, file_missing
from sluiceway_server.datamanager.replica.disk_errors import (
    damage_mark,
    disk_error_of,
    translate_sqlite_errors,
)
from sluiceway_server.datamanager.replica.replica import AppliedUpTo, Replica
from sluiceway_server.datamanager.replica.schema import Table, Tables
from sluiceway_server.datamanager.tables.block import IndexBlock, RecordBlock, decode_body
from sluiceway_server.datamanager.tables.change_set import CHANGE_GROUP
from sluiceway_server.datamanager.tables.data_file import FileStore

log = structlog.get_logger(__name__)

T = TypeVar("T")

_LOCK = "lock"
_ROWS_AT_ONCE = 100
_MOST_VARIABLES = 30_000
_REVISION_BYTES = 16
_CACHE_KIB = 32 * 1024
_SORTING_THREADS = 2
_ATTEMPTS = 4


class FolderInUse(FailedPrecondition):
    """Another process has its replica in this folder. Nothing was changed."""

    reason = "FOLDER_IN_USE"


@asynccontextmanager
async def lock_folder(folder: Path) -> AsyncIterator[None]:
    """Lock a folder for this process until the body ends; create it if it does not exist.

    Raises:
        FolderInUse: another process has it.
        Unavailable: the folder cannot be used.
    """

    def lock() -> BinaryIO | None:
        folder.mkdir(parents=True, exist_ok=True)
        return lock_file(folder / _LOCK)

    try:
        file = await asyncio.to_thread(lock)
    except OSError as cause:
        raise Unavailable(f"the folder {folder} of the replica cannot be used: {cause}") from cause
    if file is None:
        raise FolderInUse(
            f"another process has its replica in {folder}: stop that process, or give this server its own data folder"
        )
    with file:
        yield


@dataclass(frozen=True, slots=True)
class ReplicaFile:
    """The replica's file. The connection is used in the thread `writer`; `bodies` knows the newest manifest."""

    path: Path
    tables: Tables
    writer: Executor
    files: FileStore
    bodies: ColdBodyStore
    database_id: str
    lineage: Lineage

    async def open(self, *, rebuild: bool = False) -> Replica:
        """Open the file for writing; rebuild it from the newest manifest, also with `rebuild`, if it cannot be used.

        Raises:
            DataLoss: the manifest or a file of it is damaged, or gone.
            Unavailable: the object storage is away.
        """
        database = None if rebuild else await self.in_writer(self._open_existing)
        if database is not None:
            return database
        await self.bodies.refresh()
        for _ in range(_ATTEMPTS):
            manifest = self.bodies.manifest
            if manifest is None:
                return await self.in_writer(self._create)
            try:
                return await self._rebuild(manifest)
            except NotFound as cause:
                # The file was garbage collected: then there is a newer manifest.
                if not await self.bodies.refresh():
                    raise file_missing(self.bodies.covered, cause) from cause
        raise DataLoss(
            f"the files of {_ATTEMPTS} manifests were deleted while they were read: manifests_kept_for is too short for"
            " this object storage",
            reason="CLEANED_TOO_SOON",
        )

    async def in_writer(self, function: Callable[[], T]) -> T:
        """Run a function in the writer's thread, after those passed before.

        Raises:
            ReplicaDiskError: the disk of the file is full or broken.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self.writer, translate_sqlite_errors(self.path)(function)
        )

    def _open_existing(self) -> Replica | None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if damage_mark(self.path).exists():
            log.warning("read_database_damaged", path=str(self.path))
            return None
        try:
            database = Replica(self.path, self.tables, writes=True)
            if database.belongs_to(self.database_id, self.lineage.present):
                return database
            database.close()
        except Replica.Damaged as error:
            fault = disk_error_of(error, self.path)
            if fault is not None and fault.reason != "READ_DATABASE_DAMAGED":
                raise  # the disk may be faulty and the file valid: nothing is deleted
            log.warning("read_database_damaged", error=str(error))
        return None

    def _create(self) -> Replica:
        Replica.delete(self.path)
        database = Replica(self.path, self.tables, writes=True)
        start = Position(LogSequence(self.lineage.epochs[0], 0), 0)
        database.create(self.database_id, self.lineage.present, AppliedUpTo(start, GENESIS_DIGEST, 0, 0))
        damage_mark(self.path).unlink(missing_ok=True)
        log.info("read_database_made", path=str(self.path))
        return database

    async def _rebuild(self, manifest: Manifest) -> Replica:
        began = time.monotonic()
        load = await self.in_writer(lambda: _BulkLoad(self.path, self.tables))
        try:
            for files in manifest.types:
                for file in files.files:
                    await self._add(load, files.type, file)
            await self.in_writer(load.finish)
        except BaseException:
            load.interrupt()  # an index of millions of records takes seconds
            await asyncio.shield(self.in_writer(load.close))
            raise
        database = await self.in_writer(lambda: self._claim(manifest))
        log.info(
            "read_database_filled",
            manifest=str(from_sequence_proto(manifest.sequence)),
            records=load.records,
            remote=load.remote,
            seconds=round(time.monotonic() - began, 1),
        )
        return database

    async def _add(self, load: _BulkLoad, name: str, file: LiveFile) -> None:
        table = self.tables.find(name)
        columns = None
        if table is not None and table.is_remote and file.HasField("index"):
            columns = await self.files.index_columns(file.index)
        if table is not None and columns == (table.type.column_names, table.type.version):
            async with aclosing(self.files.index_blocks(file.index)) as rows:
                async for some in rows:
                    # Many blocks at once: each hop to a thread may wait for the interpreter's lock.
                    await self.in_writer(lambda some=some: load.add_rows(table, some))  # type: ignore[misc]
            return
        async with aclosing(self.files.record_blocks(file.data)) as records:
            async for found in records:
                await self.in_writer(lambda found=found: load.add_records(name, found))  # type: ignore[misc]

    def _claim(self, manifest: Manifest) -> Replica:
        database = Replica(self.path, self.tables, writes=True)
        with database.transaction():
            database.claim(self.database_id, self.lineage.present, AppliedUpTo.of_manifest(manifest))
        damage_mark(self.path).unlink(missing_ok=True)
        return database


class _BulkLoad:
    """A new file that is being filled. Used by one thread at a time, except `interrupt`."""

    def __init__(self, path: Path, tables: Tables) -> None:
        Replica.delete(path)
        self._path = path
        self._tables = tables
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
        for pragma in (
            "journal_mode = OFF",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            "temp_store = FILE",
            f"cache_size = -{_CACHE_KIB}",
            f"threads = {_SORTING_THREADS}",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN")
        for line in tables.schema:
            self._connection.execute(line)
        self.records = 0
        self.remote = 0  # of these without a body

    def add_rows(self, table: Table, blocks: Sequence[IndexBlock]) -> None:
        for block in blocks:
            self._insert_of_type(table, block, block.columns, block.bodies)

    def add_records(self, name: str, blocks: Sequence[RecordBlock]) -> None:
        """Add records of a data file; the type may be unknown."""
        table = self._tables.find(name)
        for block in blocks:
            ids, revisions = block.ids, _each(block.revisions)
            if name == CHANGE_GROUP:
                self._insert("change_groups", {"name": ids, "revision": revisions})
            elif table is None:
                types = [name] * len(ids)
                self._insert("unknown", {"type": types, "id": ids, "revision": revisions, "body": block.bodies})
            else:
                self._insert_of_type(table, block, *_computed(table, block))

    def _insert_of_type(
        self,
        table: Table,
        block: IndexBlock | RecordBlock,
        columns: Sequence[Sequence[Value]],
        bodies: Sequence[bytes | None],
    ) -> None:
        self.remote += bodies.count(None)
        named = dict(zip(table.columns, columns, strict=True))
        self._insert(table.name, {"id": block.ids, "revision": _each(block.revisions), **named, "body": bodies})

    def _insert(self, table: str, columns: Mapping[str, Sequence[Value]]) -> None:
        count = len(next(iter(columns.values())))
        # Omitting columns that are NULL in all rows halves the time.
        filled = {name: values for name, values in columns.items() if values.count(None) < count}
        width = len(filled)
        values = list(chain.from_iterable(zip(*filled.values(), strict=True)))
        # Many rows in one statement take half the time of one statement for each.
        at_once = max(1, min(_ROWS_AT_ONCE, _MOST_VARIABLES // width))
        for start in range(0, count, at_once):
            rows = min(at_once, count - start)
            row = f"({','.join('?' * width)})"
            statement = f"INSERT INTO {table} ({','.join(filled)}) VALUES {','.join([row] * rows)}"  # noqa: S608 - names from here
            self._connection.execute(statement, values[start * width : (start + rows) * width])
        self.records += count

    def finish(self) -> None:
        """Create the indexes, and sync the file."""
        for line in self._tables.indexes:
            self._connection.execute(line)
        self._connection.execute("COMMIT")
        self._connection.close()
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def interrupt(self) -> None:
        """Cancel the running statement. Called from any thread; does nothing if none runs."""
        with suppress(sqlite3.ProgrammingError):  # it is closed
            self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()
        Replica.delete(self._path)


def _computed(table: Table, block: RecordBlock) -> tuple[list[Sequence[Any]], list[bytes | None]]:
    """Return the columns of the records, and their bodies (None: it is remote)."""
    values: list[tuple[Any, ...]] = []
    bodies: list[bytes | None] = []
    for id_, body in zip(block.ids, block.bodies, strict=True):
        message = decode_body(table.type, id_, body)
        values.append(table.type.values(message))
        bodies.append(None if table.type.is_settled(message) else body)
    return list(zip(*values, strict=True)), bodies


def _each(revisions: bytes) -> list[bytes]:
    return [revisions[at : at + _REVISION_BYTES] for at in range(0, len(revisions), _REVISION_BYTES)]
