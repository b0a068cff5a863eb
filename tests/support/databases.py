"""Real databases for tests: a record type, and a datamanager over a real etcd and a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sluiceway.datamanager.database import DataManager
from sluiceway.datamanager.model import Column, Put, RecordType
from sluiceway.datamanager.settings import DataManagerSettings
from sluiceway.foundation.clock import Clock
from sluiceway.kv.port import KeyValueStore
from sluiceway.objectstorage.port import ObjectStorage
from sluiceway.records.log.v1 import log_pb2

__all__ = ["FAST", "NOTE", "TYPES", "note", "open_database", "put"]

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

FAST = DataManagerSettings(flush_interval=timedelta(milliseconds=50), check_interval=timedelta(milliseconds=500))


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
) -> AsyncIterator[DataManager]:
    async with DataManager.open(
        kv=kv,
        storage=storage,
        prefix=prefix,
        path=path / server_id,
        types=types,
        clock=clock,
        settings=replace(settings, server_id=server_id),
    ) as database:
        yield database
