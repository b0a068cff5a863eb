"""Databases on a real etcd and a folder, and a record type."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.clock import Clock
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.engine.opening import RecoverPolicy
from sluiceway_server.datamanager.model import Applied, Column, Decision, Position, Put, RecordType, View
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.conditions import eventually

__all__ = [
    "FAST",
    "NOTE",
    "OTHER",
    "SHORT_LOG",
    "TYPES",
    "contents",
    "count",
    "flushed",
    "note",
    "open_database",
    "put",
    "take",
]

Note = log_pb2.Epoch
"""Any message with a text and a number does: `writer` is the group, `number` the rank."""

NOTE: RecordType[log_pb2.Epoch] = RecordType(
    "note",
    log_pb2.Epoch,
    columns=(
        Column("group", lambda message: message.writer or None),
        Column("rank", lambda message: message.number),
    ),
    indexes=(("group",), ("group", "rank"), ("rank",)),
)
OTHER: RecordType[log_pb2.Emit] = RecordType("other", log_pb2.Emit)
TYPES = (NOTE, OTHER)

FAST = DataManagerSettings(
    flush_interval=timedelta(milliseconds=50),
    check_interval=timedelta(milliseconds=500),
    in_use_interval=timedelta(milliseconds=100),
)
SHORT_LOG = replace(FAST, keep_log_entries=3)


def note(group: str = "", rank: int = 0, text: str = "") -> log_pb2.Epoch:
    return log_pb2.Epoch(writer=group, number=rank, database_id=text)


def put(id_: str, group: str = "", rank: int = 0, text: str = "") -> Put:
    return Put(NOTE, id_, note(group, rank, text))


@asynccontextmanager
async def open_database(
    kv: KeyValueStore,
    storage: ObjectStorage,
    path: Path,
    *,
    prefix: str,
    server_id: str = "one",
    settings: DataManagerSettings = FAST,
    clock: Clock | None = None,
    types: tuple[RecordType[log_pb2.Epoch] | RecordType[log_pb2.Emit], ...] = TYPES,
    recover: RecoverPolicy | None = None,
) -> AsyncIterator[DataManager]:
    async with DataManager.open(
        kv=kv,
        storage=storage,
        prefix=prefix,
        path=path / server_id,
        types=types,
        clock=clock,
        settings=replace(settings, server_id=server_id),
        recover=recover,
    ) as database:
        yield database


def count(view: View) -> Decision[int]:
    """Increment a counter: a transaction that must be applied exactly once."""
    old = view.get(NOTE, "counter")
    value = (old.number if old else 0) + 1
    return Decision(value, [put("counter", rank=value)])


async def contents(database: DataManager) -> dict[str, tuple[str, int]]:
    return await database.read(lambda view: {id_: (m.writer, m.number) for id_, m in view.scan(NOTE)})


async def flushed(database: DataManager) -> None:
    """Wait until all committed entries are in the object storage."""

    async def holds() -> bool:
        return database.engine.tip.flushed.sequence == database.position.sequence

    await eventually(holds)


async def take(database: DataManager, number: int, after: Position) -> list[Applied]:
    found = []
    async with asyncio.timeout(30), aclosing(database.subscribe(after=after)) as applied:
        async for item in applied:
            found.append(item)
            if len(found) == number:
                break
    return found
