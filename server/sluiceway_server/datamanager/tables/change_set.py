"""The changes of a checkpoint: the last action on each record, in a scratch file, so that memory is bounded.

Changes are bytes: types are names and bodies are not decoded, so records of types that this server does not know are
copied. A change group is a record of the reserved type `change_group` with the group's name as id and an empty body.
Reads are sorted by id, as the data files are.

The scratch file is not durable. It is deleted at the end of a checkpoint, and at the beginning of the next one after a
crash. `ChangeScratch` blocks; `Changes` runs it in a thread of its own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.log.entries import LogEntry, decode_batch
from sluiceway_server.datamanager.model import LogSequence, Position

CHANGE_GROUP = "change_group"
"""The reserved record type of change groups."""

_CACHE_KIB = 4096
_SIZES_AT_ONCE = 2000
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


class ChangeSize(NamedTuple):
    """The bytes of id and body of a change; None: it was deleted."""

    id: str
    size: int | None


class Changes:
    """A `ChangeScratch` for the event loop. One call at a time."""

    def __init__(self, scratch: ChangeScratch, thread: ThreadPoolExecutor) -> None:
        self._scratch = scratch
        self._thread = thread

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Changes]:
        """Create the file, and delete it at the end. Raises `Unavailable` (`SCRATCH_UNUSABLE`), as all methods."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="changes") as thread:
            scratch = await loop.run_in_executor(thread, ChangeScratch, path)
            try:
                yield cls(scratch, thread)
            finally:
                # After a call that was cancelled and still runs in the thread.
                await asyncio.shield(loop.run_in_executor(thread, scratch.close))

    async def add(self, entries: Sequence[LogEntry]) -> None:
        await self._run(lambda: self._scratch.add(entries))

    async def types(self) -> list[str]:
        return await self._run(self._scratch.types)

    async def changed_bytes(self) -> int:
        return await self._run(self._scratch.changed_bytes)

    def sizes(self, type_: str) -> AsyncGenerator[list[ChangeSize], None]:
        return self._pieces(lambda: self._scratch.sizes(type_))

    def pages(
        self, type_: str, *, after: str | None, before: str | None, page_bytes: int
    ) -> AsyncGenerator[list[Change], None]:
        return self._pieces(lambda: self._scratch.pages(type_, after=after, before=before, page_bytes=page_bytes))

    async def _pieces(self, begin: Callable[[], Iterator[list[T]]]) -> AsyncGenerator[list[T], None]:
        pieces = await self._run(begin)
        while (piece := await self._run(lambda: next(pieces, None))) is not None:
            yield piece

    async def _run(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class ChangeScratch:
    """The scratch file. Used by one thread at a time. Methods raise `Unavailable` when it cannot be used."""

    def __init__(self, path: Path) -> None:
        """Create the file, and replace one that a crash left."""
        self._path = path
        with _errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._remove()
            # Its own thread closes it; SQLite keeps the order.
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in (
                "journal_mode = OFF",
                "synchronous = OFF",
                "locking_mode = EXCLUSIVE",
                "temp_store = FILE",
                f"cache_size = -{_CACHE_KIB}",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(_SCHEMA)

    def add(self, entries: Iterable[LogEntry]) -> None:
        """Add the changes of entries, which follow those added before. Raises `DataLoss`."""
        with _errors(self._path):
            self._connection.execute("BEGIN")
            for entry in entries:
                self._connection.executemany(_PUT, _rows(entry))
            self._connection.execute("COMMIT")

    def types(self) -> list[str]:
        """Return the names of the types that have changes, sorted."""
        with _errors(self._path):
            return [name for (name,) in self._connection.execute("SELECT DISTINCT type FROM changes ORDER BY type")]

    def changed_bytes(self) -> int:
        """Return the bytes of the ids and bodies of all stored records, and of the ids of deleted ones."""
        with _errors(self._path):
            (total,) = self._connection.execute(
                "SELECT coalesce(sum(coalesce(size, length(CAST(id AS BLOB)))), 0) FROM changes"
            ).fetchone()
        return int(total)

    def sizes(self, type_: str) -> Iterator[list[ChangeSize]]:
        """Yield the sizes of the changes of a type, sorted by id, some thousand at a time."""
        found = self._each("SELECT id, size FROM changes WHERE type = ? ORDER BY id", (type_,))
        return _chunks(map(ChangeSize._make, found), lambda _: 1, _SIZES_AT_ONCE)

    def pages(self, type_: str, *, after: str | None, before: str | None, page_bytes: int) -> Iterator[list[Change]]:
        """Yield the changes of a type between two ids, both excluded, sorted by id, in pages of about so many bytes."""
        conditions, arguments = ["type = ?"], [type_]
        if after is not None:
            conditions.append("id > ?")
            arguments.append(after)
        if before is not None:
            conditions.append("id < ?")
            arguments.append(before)
        text = f"SELECT id, epoch, counter, number, body FROM changes WHERE {' AND '.join(conditions)} ORDER BY id"  # noqa: S608
        return _chunks(_changes(self._each(text, tuple(arguments))), _weight, page_bytes)

    def close(self) -> None:
        """Close and delete the file. May be called twice."""
        self._connection.close()
        with suppress(OSError):
            self._remove()

    def _each(self, text: str, arguments: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        with _errors(self._path):
            yield from self._connection.execute(text, arguments)

    def _remove(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)


def _rows(entry: LogEntry) -> list[tuple[str, str, int, int, int, int | None, bytes | None]]:
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


def _chunks(items: Iterator[T], weight: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    chunk: list[T] = []
    total = 0
    for item in items:
        chunk.append(item)
        total += weight(item)
        if total >= limit:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as cause:
        raise Unavailable(
            f"the scratch file {path} cannot be used: {cause}. Make room there, or move it: that of a server is"
            " in its data folder, that of a command in TMPDIR",
            reason="SCRATCH_UNUSABLE",
        ) from cause
