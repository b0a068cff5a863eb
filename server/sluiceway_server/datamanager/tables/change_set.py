"""The changes of a checkpoint: the last action on each record, in a scratch file, so that memory is bounded.

Changes are bytes: types are names and bodies are not decoded, so records of types that this server does not know are
copied. A change group is a record of the reserved type `change_group` with the group's name as id and an empty body.
Reads are sorted by id, as the data files are.

The scratch file is not durable. It is deleted at the end of a checkpoint, and at the beginning of the next one after a
crash.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.log.entries import LogEntry, decode_batch
from sluiceway_server.datamanager.model import LogSequence, Position

CHANGE_GROUP = "change_group"
"""The reserved record type of change groups."""

_CACHE_KIB = 4096
_SIZES_AT_ONCE = 2000
_PAGE_BYTES = 128 * 1024
_CHANGE_BYTES = 50

_SCHEMA = (
    "CREATE TABLE changes (type TEXT NOT NULL, id TEXT NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,"
    " number INTEGER NOT NULL, size INTEGER, body BLOB, UNIQUE (type, id))"
)
_PUT = "INSERT OR REPLACE INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)"

R = TypeVar("R")
T = TypeVar("T")


class Change(NamedTuple):
    """The last change of a record. `body` None: it was deleted."""

    id: str
    revision: Position
    body: bytes | None


class Changes:
    """The scratch file, in a thread of its own. One call at a time.

    All methods raise `Unavailable` (`SCRATCH_UNUSABLE`) when the file cannot be used.
    """

    _connection: sqlite3.Connection

    def __init__(self, path: Path, thread: ThreadPoolExecutor) -> None:
        self._path = path
        self._thread = thread

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Changes]:
        """Create the file in place of one that a crash left, and delete it at the end."""
        with ThreadPoolExecutor(1, thread_name_prefix="changes") as thread:
            changes = cls(path, thread)
            await changes._run(changes._create)
            try:
                yield changes
            finally:
                # After a call that was cancelled and still runs in the thread.
                await asyncio.shield(asyncio.get_running_loop().run_in_executor(thread, changes._close))

    async def add(self, entries: Iterable[LogEntry]) -> None:
        """Add the changes of entries, which follow those added before. Raises `DataLoss`."""

        def write() -> None:
            self._connection.execute("BEGIN")
            for entry in entries:
                self._connection.executemany(_PUT, _rows_of(entry))
            self._connection.execute("COMMIT")

        await self._run(write)

    async def types(self) -> list[str]:
        """Return the names of the types that have changes, sorted."""
        rows = self._rows("SELECT DISTINCT type FROM changes ORDER BY type")
        return [name for (name,) in await self._run(lambda: list(rows))]

    async def changed_bytes(self) -> int:
        """Return the bytes of the ids and bodies of all stored records, and of the ids of deleted ones."""
        rows = self._rows("SELECT coalesce(sum(coalesce(size, length(CAST(id AS BLOB)))), 0) FROM changes")
        return int((await self._run(lambda: next(rows)))[0])

    def sizes(self, type_: str) -> AsyncGenerator[list[tuple[str, int | None]], None]:
        """Yield the ids that were changed, sorted, each with the bytes of id and body; None: it was deleted."""
        found = self._rows("SELECT id, size FROM changes WHERE type = :type ORDER BY id", type=type_)
        return self._chunks(found, lambda _: 1, _SIZES_AT_ONCE)

    def pages(
        self, type_: str, *, after: str | None = None, before: str | None = None, page_bytes: int = _PAGE_BYTES
    ) -> AsyncGenerator[list[Change], None]:
        """Yield the changes of a type between two ids, both excluded, sorted by id, in pages of about so many bytes."""
        text = "SELECT id, epoch, counter, number, body FROM changes WHERE type = :type"
        text += " AND id > :after" * (after is not None) + " AND id < :before" * (before is not None)
        found = self._rows(f"{text} ORDER BY id", type=type_, after=after, before=before)
        return self._chunks(_changes(found), _weight, page_bytes)

    async def _chunks(
        self, items: Iterator[T], weight: Callable[[T], int], limit: int
    ) -> AsyncGenerator[list[T], None]:
        def read() -> list[T]:
            chunk: list[T] = []
            total = 0
            for item in items:
                chunk.append(item)
                total += weight(item)
                if total >= limit:
                    break
            return chunk

        while chunk := await self._run(read):
            yield chunk

    # -- in the thread

    async def _run(self, work: Callable[[], R]) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as cause:
            raise Unavailable(
                f"the scratch file {self._path} cannot be used: {cause}. Make room there, or move it: that of a server"
                " is in its data folder, that of a command in TMPDIR",
                reason="SCRATCH_UNUSABLE",
            ) from cause

    def _create(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        # A reader that is left early is collected in another thread; SQLite keeps the order.
        self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        for pragma in (
            "journal_mode = OFF",
            "synchronous = OFF",
            "locking_mode = EXCLUSIVE",
            "temp_store = FILE",
            f"cache_size = -{_CACHE_KIB}",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(_SCHEMA)

    def _close(self) -> None:
        self._connection.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _rows(self, text: str, **arguments: str | None) -> Iterator[tuple[Any, ...]]:
        # A generator, so that the statement is executed in the thread too.
        yield from self._connection.execute(text, arguments)


def _rows_of(entry: LogEntry) -> list[tuple[str, str, int, int, int, int | None, bytes | None]]:
    last: dict[tuple[str, str], tuple[int, bytes | None]] = {}
    for number, transaction in enumerate(decode_batch(entry).transactions):
        for action in transaction.actions:
            match action.WhichOneof("kind"):
                case "put":
                    last[action.put.type, action.put.id] = (number, action.put.body)
                case "delete":
                    last[action.delete.type, action.delete.id] = (number, None)
                case _:
                    pass  # an emit, or an action of a newer version, which stays in the log
        for group in transaction.groups:
            last[CHANGE_GROUP, group] = (number, b"")
    epoch, counter = entry.sequence.epoch, entry.sequence.counter
    return [
        (type_, id_, epoch, counter, number, None if body is None else len(id_.encode()) + len(body), body)
        for (type_, id_), (number, body) in last.items()
    ]


def _changes(rows: Iterator[tuple[Any, ...]]) -> Iterator[Change]:
    sequence = LogSequence(0, 0)
    for id_, epoch, counter, number, body in rows:
        # Neighbours are often of the same entry.
        if counter != sequence.counter or epoch != sequence.epoch:
            sequence = LogSequence(epoch, counter)
        yield Change(id_, Position(sequence, number), body)


def _weight(change: Change) -> int:
    return _CHANGE_BYTES + len(change.id) + len(change.body or b"")
