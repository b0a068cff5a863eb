"""Reads: a few threads, each with its own connection and a snapshot for each read.

A read that needs bodies which are in the object storage is done again when they are here (`bodies`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from google.protobuf.message import Message

from sluiceway_common.foundation.errors import DataLoss, Unavailable
from sluiceway_server.datamanager.caches import (
    MESSAGE_CACHE_BYTES,
    READER_PAGE_BYTES,
    READS_OF_OLD_RECORDS,
    WEIGHT_OF_KEY,
    Lru,
    weight_of_message,
)
from sluiceway_server.datamanager.model import Fields, Page, Position, Query, RecordType, View, Where
from sluiceway_server.datamanager.replica.cold_bodies import (
    NO_BODIES,
    BodiesNotLoaded,
    ColdBodyStore,
    FetchedBodies,
    Missing,
)
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE, buried_id, visible
from sluiceway_server.datamanager.replica.disk_errors import told
from sluiceway_server.datamanager.replica.replica import Replica, Row
from sluiceway_server.datamanager.replica.schema import Tables

__all__ = ["Readers"]

T = TypeVar("T")
M = TypeVar("M", bound=Message)


class _Messages:
    """Messages that were decoded before, so that hot records are not parsed at every read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: Lru[tuple[str, str], tuple[Position, Message]] = Lru(MESSAGE_CACHE_BYTES)

    @property
    def weight(self) -> int:
        return self._messages.weight

    def of(self, type_: RecordType[M], row: Row, at_hand: FetchedBodies) -> M | None:
        """Give the message of a row; None when its body is not here."""
        key = (type_.name, row.id)
        with self._lock:
            found = self._messages.get(key)
        if found is not None and found[0] == row.revision:
            return cast(M, found[1])
        body = row.body if row.body is not None else at_hand.find(type_.name, row.id, row.revision)
        if body is None:
            return None
        message = type_.message.FromString(body)
        with self._lock:
            self._messages.put(key, (row.revision, message), WEIGHT_OF_KEY + weight_of_message(len(body)))
        return message


class _SnapshotView:
    def __init__(self, database: Replica, messages: _Messages, at_hand: FetchedBodies) -> None:
        self._database = database
        self._messages = messages
        self._at_hand = at_hand
        self._position = database.applied_up_to().position

    @property
    def position(self) -> Position:
        return self._position

    def get(self, type_: RecordType[M], id_: str) -> M | None:
        row = self._database.find(type_, id_)
        if row is None:
            return None
        message = self._messages.of(type_, row, self._at_hand)
        if message is None:
            raise BodiesNotLoaded([Missing(type_, row.id, row.revision)])
        return message

    def fields(self, type_: RecordType[Any], id_: str) -> Fields | None:
        return self._database.fields(type_, id_)

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        return self._database.revision(type_, id_)

    def group(self, name: str) -> Position | None:
        return self._database.group(name)

    def scan(self, type_: RecordType[M], prefix: str = "", *, after: str = "") -> Iterator[tuple[str, M]]:
        rows = self._database.scan(type_, prefix, after)
        for row in rows:
            message = self._messages.of(type_, row, self._at_hand)
            if message is None:
                ahead = (row, *islice(rows, self._at_hand.look_ahead() - 1))
                raise BodiesNotLoaded(self._missing(type_, ahead))
            yield row.id, message

    def select(self, type_: RecordType[M], query: Query) -> Page[M]:
        rows, token = self._database.select(type_, query)
        messages = [self._messages.of(type_, row, self._at_hand) for row in rows]
        if any(message is None for message in messages):
            raise BodiesNotLoaded(self._missing(type_, rows))
        return Page(tuple(zip((row.id for row in rows), cast(list[M], messages), strict=True)), token)

    def rows(self, type_: RecordType[Any], query: Query) -> Page[Fields]:
        rows, token = self._database.select_rows(type_, query)
        return Page(tuple(rows), token)

    def count(self, type_: RecordType[Any], where: Where, *, limit: int) -> int:
        return self._database.count(type_, Query(where=where, size=limit))

    def _missing(self, type_: RecordType[M], rows: Iterable[Row]) -> Iterator[Missing]:
        # All that are not in SQLite, as those that are in the cache of messages now may have left it at the next call.
        for row in rows:
            if row.body is None and self._at_hand.find(type_.name, row.id, row.revision) is None:
                yield Missing(type_, row.id, row.revision)


class Readers:
    """See the module. The file must be there when the first read comes."""

    def __init__(
        self,
        path: Path,
        tables: Tables,
        *,
        threads: int,
        timeout: timedelta,
        bodies: ColdBodyStore | None = None,
    ) -> None:
        """Make them; they open the file when they need it.

        Args:
            path: of the file.
            tables: of its types.
            threads: as many reads run at once.
            timeout: of one read, with all that it fetches.
            bodies: where remote ones are found. None: no type has any.
        """
        self._path = path
        self._tables = tables
        self._timeout = timeout
        self._bodies = bodies
        self._turns = asyncio.Semaphore(READS_OF_OLD_RECORDS)
        self._wait_applied: Callable[[Position], Awaitable[None]] | None = None
        self._messages = _Messages()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[Replica] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="read")

    @property
    def message_weight(self) -> int:
        """What the decoded messages that are kept weigh."""
        return self._messages.weight

    def read_after(self, wait_applied: Callable[[Position], Awaitable[None]]) -> None:
        """Take what waits until the read database has a position."""
        self._wait_applied = wait_applied

    async def view(self, function: Callable[[View], T]) -> T:
        """Run a function over a snapshot, again and again until all bodies that it needs are here.

        Raises:
            Unavailable: the read database, or the object storage that has old records, did not answer in time.
            Exhausted: it wants too much of old records at once.
            DataLoss: an old record is not where it should be.
        """
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                found = await self._call(function, NO_BODIES)
                if not isinstance(found, BodiesNotLoaded):
                    return found
                async with self._turns:
                    return await self._call_with_bodies(function, found)
        except TimeoutError as cause:
            raise self._late() from cause

    async def _call_with_bodies(self, function: Callable[[View], T], needed: BodiesNotLoaded) -> T:
        at_hand = FetchedBodies()
        while True:
            if self._bodies is None:
                raise DataLoss(f"a record has no body here, and none of the types is remote: {needed.missing[0]}")
            await self._bodies.fetch(needed, at_hand)
            if at_hand.after is not None and self._wait_applied is not None:
                await self._wait_applied(at_hand.after)
            found = await self._call(function, at_hand)
            if not isinstance(found, BodiesNotLoaded):
                return found
            needed = found

    async def _call(self, function: Callable[[View], T], at_hand: FetchedBodies) -> T | BodiesNotLoaded:
        def call(database: Replica) -> T | BodiesNotLoaded:
            try:
                view = _SnapshotView(database, self._messages, at_hand)
                buried = {buried_id(id_) for id_ in database.ids(TOMBSTONE)}
                return function(visible(view, buried, self._tables.catalogue.known))
            except BodiesNotLoaded as needed:
                return needed

        return await self._raw(call)

    async def raw(self, function: Callable[[Replica], T]) -> T:
        """Run a function over a connection, in one snapshot."""
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await self._raw(function)
        except TimeoutError as cause:
            raise self._late() from cause

    async def _raw(self, function: Callable[[Replica], T]) -> T:
        if self._closed:
            raise _stopping()
        running: asyncio.Future[T] | None = None
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, self._run, function)
            return await running
        except RuntimeError as error:
            if running is None and self._closed:  # between the look above and the pool's own
                raise _stopping() from error
            raise
        except asyncio.CancelledError:
            # `close` drops reads that have not begun. Nobody cancelled the one who waits, so it is told, not cancelled.
            task = asyncio.current_task()
            dropped = running is not None and running.cancelled() and not (task and task.cancelling())
            if dropped and self._is_closed():
                raise _stopping() from None
            raise

    def _is_closed(self) -> bool:
        # Another task may close this while one waits, which a type checker does not think of.
        return self._closed

    def _late(self) -> Unavailable:
        return Unavailable(f"the read database did not answer within {self._timeout.total_seconds():g} s")

    def _run(self, function: Callable[[Replica], T]) -> T:
        with told(self._path):
            database = self._connection()
            database.begin(snapshot=True)
            try:
                return function(database)
            finally:
                database.rollback()

    def _connection(self) -> Replica:
        found: Replica | None = getattr(self._local, "database", None)
        if found is None:
            found = Replica(self._path, self._tables, writes=False, page_bytes=READER_PAGE_BYTES)
            self._local.database = found
            with self._lock:
                self._connections.append(found)
        return found

    def close(self) -> None:
        """Wait for running reads and close the connections; those that have not begun are `Unavailable`. Blocks."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()


def _stopping() -> Unavailable:
    return Unavailable("this server stops; read again, at another one")
