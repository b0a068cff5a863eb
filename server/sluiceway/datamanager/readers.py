"""Reads: a few threads, each with its own connection and a snapshot for each read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from google.protobuf.message import Message

from sluiceway.datamanager.caches import (
    MESSAGE_CACHE_BYTES,
    READER_PAGE_BYTES,
    WEIGHT_OF_KEY,
    Lru,
    weight_of_message,
)
from sluiceway.datamanager.model import Fields, Page, Position, Query, RecordType, View
from sluiceway.datamanager.readdb import ReadDatabase, Row, Tables
from sluiceway.foundation.errors import Unavailable

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

    def of(self, type_: RecordType[M], row: Row) -> M:
        key = (type_.name, row.id)
        with self._lock:
            found = self._messages.get(key)
        if found is not None and found[0] == row.revision:
            return cast(M, found[1])
        message = type_.message.FromString(row.body)
        with self._lock:
            self._messages.put(key, (row.revision, message), WEIGHT_OF_KEY + weight_of_message(len(row.body)))
        return message


class _SnapshotView:
    def __init__(self, database: ReadDatabase, messages: _Messages) -> None:
        self._database = database
        self._messages = messages
        self._position = database.applied_up_to().position

    @property
    def position(self) -> Position:
        return self._position

    def get(self, type_: RecordType[M], id_: str) -> M | None:
        row = self._database.find(type_, id_)
        return None if row is None else self._messages.of(type_, row)

    def revision(self, type_: RecordType[Any], id_: str) -> Position | None:
        row = self._database.find(type_, id_)
        return None if row is None else row.revision

    def group(self, name: str) -> Position | None:
        return self._database.group(name)

    def scan(self, type_: RecordType[M], prefix: str = "", *, after: str = "") -> Iterator[tuple[str, M]]:
        for row in self._database.scan(type_, prefix, after):
            yield row.id, self._messages.of(type_, row)

    def select(self, type_: RecordType[M], query: Query) -> Page[M]:
        rows, token = self._database.select(type_, query)
        return Page(tuple((row.id, self._messages.of(type_, row)) for row in rows), token)

    def count(self, type_: RecordType[Any], where: Fields, *, limit: int) -> int:
        return self._database.count(type_, Query(where=where, size=limit))


class Readers:
    """See the module. The file must be there when the first read comes."""

    def __init__(self, path: Path, tables: Tables, *, threads: int, timeout: timedelta) -> None:
        self._path = path
        self._tables = tables
        self._timeout = timeout
        self._messages = _Messages()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[ReadDatabase] = []
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="read")

    @property
    def message_weight(self) -> int:
        """What the decoded messages that are kept weigh."""
        return self._messages.weight

    async def view(self, function: Callable[[View], T]) -> T:
        """Run a function over a snapshot."""
        return await self.raw(lambda database: function(_SnapshotView(database, self._messages)))

    async def raw(self, function: Callable[[ReadDatabase], T]) -> T:
        """Run a function over a connection, in one snapshot."""
        running = asyncio.get_running_loop().run_in_executor(self._pool, self._run, function)
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await running
        except TimeoutError as cause:
            raise Unavailable(f"the read database did not answer within {self._timeout.total_seconds():g} s") from cause

    def _run(self, function: Callable[[ReadDatabase], T]) -> T:
        database = self._connection()
        database.begin(snapshot=True)
        try:
            return function(database)
        finally:
            database.rollback()

    def _connection(self) -> ReadDatabase:
        found: ReadDatabase | None = getattr(self._local, "database", None)
        if found is None:
            found = ReadDatabase(self._path, self._tables, writes=False, page_bytes=READER_PAGE_BYTES)
            self._local.database = found
            with self._lock:
                self._connections.append(found)
        return found

    def close(self) -> None:
        """Wait for running reads and close the connections. Blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()
