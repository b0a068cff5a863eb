"""Reads: a few threads, each with its own connection and a snapshot for each read.

A read that needs bodies from the object storage is repeated when they are loaded (`cold_bodies`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.caches import (
    MESSAGE_CACHE_BYTES,
    READER_PAGE_BYTES,
    READS_OF_OLD_RECORDS,
    WEIGHT_OF_KEY,
    Lru,
    weight_of_message,
)
from sluiceway_server.datamanager.model import Position, View
from sluiceway_server.datamanager.replica.cold_bodies import NO_BODIES, BodiesNotLoaded, FetchedBodies
from sluiceway_server.datamanager.replica.deleted_subtrees import deleted_subtrees, filtered
from sluiceway_server.datamanager.replica.disk_errors import translate_sqlite_errors
from sluiceway_server.datamanager.replica.replica import Replica
from sluiceway_server.datamanager.replica.schema import RecordKey, Tables, Version
from sluiceway_server.datamanager.replica.view import Overlay, ReplicaView

T = TypeVar("T")


class _MessageCache(Overlay):
    """Decoded messages, so that hot records are not parsed at every read. Shared by all reader threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.lru: Lru[RecordKey, tuple[Position, Message]] = Lru(MESSAGE_CACHE_BYTES)

    def message(self, key: RecordKey, revision: Position) -> Message | None:
        with self._lock:
            found = self.lru.get(key)
        return found[1] if found is not None and found[0] == revision else None

    def keep(self, key: RecordKey, version: Version | None) -> None:
        if version is not None:
            weight = WEIGHT_OF_KEY + weight_of_message(len(version.body))
            with self._lock:
                self.lru.put(key, (version.revision, version.message), weight)


class Readers:
    """The reader threads. The file must exist at the first read."""

    def __init__(
        self,
        path: Path,
        tables: Tables,
        fetch: Callable[[BodiesNotLoaded, FetchedBodies], Awaitable[None]],
        *,
        threads: int,
        timeout: timedelta,
    ) -> None:
        """Create them; the file is opened when it is needed. `fetch` is that of the `ColdBodyStore`."""
        self._path = path
        self._tables = tables
        self._fetch = fetch
        self._timeout = timeout
        self._turns = asyncio.Semaphore(READS_OF_OLD_RECORDS)
        self.messages = _MessageCache()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[Replica] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="read")

    async def view(self, function: Callable[[View], T]) -> T:
        """Run a function over a snapshot, and again until all bodies that it needs are loaded.

        Raises:
            Unavailable: the replica, or the object storage with old records, did not respond in time.
            Exhausted: it needs too many old records at once.
            DataLoss: an old record is missing or damaged.
        """
        try:
            async with time_limit(self._timeout.total_seconds()):
                found = await self._call(function, NO_BODIES)
                if not isinstance(found, BodiesNotLoaded):
                    return found
                fetched = FetchedBodies()
                async with self._turns:
                    while isinstance(found, BodiesNotLoaded):
                        await self._fetch(found, fetched)
                        found = await self._call(function, fetched)
                    return found
        except TimeoutError as cause:
            raise self._late() from cause

    async def _call(self, function: Callable[[View], T], fetched: FetchedBodies) -> T | BodiesNotLoaded:
        def call(database: Replica) -> T | BodiesNotLoaded:
            try:
                position = database.applied_up_to().position
                view = ReplicaView(database, self.messages, position=position, fetched=fetched)
                return function(filtered(view, deleted_subtrees(database), self._tables.catalogue.known))
            except BodiesNotLoaded as needed:
                return needed

        return await self._raw(call)

    async def raw(self, function: Callable[[Replica], T]) -> T:
        """Run a function over a connection in one snapshot."""
        try:
            async with time_limit(self._timeout.total_seconds()):
                return await self._raw(function)
        except TimeoutError as cause:
            raise self._late() from cause

    async def _raw(self, function: Callable[[Replica], T]) -> T:
        running: asyncio.Future[T] | None = None
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, self._run, function)
            return await running
        except RuntimeError as error:
            if running is None and self._closed:
                raise _stopping() from error
            raise
        except asyncio.CancelledError:
            # `close` cancels reads that have not begun; their callers were not cancelled and get an error.
            task = asyncio.current_task()
            dropped = running is not None and running.cancelled() and not (task and task.cancelling())
            if dropped and self._closed:
                raise _stopping() from None
            raise

    def _late(self) -> Unavailable:
        return Unavailable(f"the replica did not respond within {self._timeout.total_seconds():g} s")

    def _run(self, function: Callable[[Replica], T]) -> T:
        with translate_sqlite_errors(self._path):
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
        """Wait for running reads and close the connections; others raise `Unavailable`. Blocks."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()


def _stopping() -> Unavailable:
    return Unavailable("this server stops; read again, from another one")
