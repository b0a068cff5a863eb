"""Databases whose old records have their bodies only in the object storage.

A `DatabaseStores` is an etcd, a storage and a prefix: servers are opened in it, and checkpoints made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.clock import Clock
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import Log
from sluiceway_server.datamanager.model import Query, RecordType, View
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.manifest import ManifestStore
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.conditions import eventually
from tests.support.databases import FAST, NOTE, flushed, open_database
from tests.support.log_builder import JOB, SMALL, checkpointer

__all__ = ["ALL", "KEEPING", "LEAVING", "DatabaseStores", "ReadRecorder", "everything", "remote", "wait_until_remote"]

ALL = (NOTE, JOB)
_QUIET = replace(FAST, checkpoint_interval=timedelta(hours=1), body_interval=timedelta(milliseconds=20))
LEAVING = replace(_QUIET, body_retention=timedelta(0))
"""Bodies go as soon as a manifest has them."""
KEEPING = replace(_QUIET, body_retention=timedelta(hours=24))


class ReadRecorder:
    """An object storage that records which data files were read, and can fail those reads."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage
        self.reads: list[str] = []
        self.before_read: Callable[[str], Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        if "/data/" in key:
            self.reads.append(key)
            if self.before_read is not None:
                await self.before_read(key)
        return await self._storage.get_range(key, start, length)


@dataclass(frozen=True)
class DatabaseStores:
    """An etcd, a storage and a prefix, in which servers are opened and checkpoints made."""

    kv: KeyValueStore
    storage: ObjectStorage
    folder: Path
    prefix: str

    @asynccontextmanager
    async def server(
        self,
        server_id: str = "one",
        *,
        settings: DataManagerSettings = LEAVING,
        types: Sequence[RecordType[Any]] = ALL,
        clock: Clock | None = None,
        storage: Any = None,
    ) -> AsyncIterator[DataManager]:
        async with open_database(
            self.kv,
            storage or self.storage,
            self.folder,
            prefix=self.prefix,
            server_id=server_id,
            settings=settings,
            types=tuple(types),
            clock=clock,
        ) as database:
            yield database

    async def checkpoint(self, *, types: Sequence[RecordType[Any]] = ALL) -> Manifest:
        """Make a manifest of the flushed log."""
        log = Log(self.kv, prefix=self.prefix, timeout=timedelta(seconds=5))
        look = await log.look()
        assert look.flushed is not None
        lineage = Lineage((look.flushed.sequence.epoch,), {})
        made = await checkpointer(
            self.storage, self.kv, self.folder, prefix=self.prefix, server_id="maker", types=types, settings=SMALL
        ).run(look.flushed, lineage)
        assert made is not None
        return made

    async def settle(self, database: DataManager, *, types: Sequence[RecordType[Any]] = ALL) -> Manifest:
        """Flush, make a checkpoint, and pass it to the server."""
        await flushed(database)
        made = await self.checkpoint(types=types)
        database.engine.bodies.use(made)
        return made

    async def delete(self, *folders: str) -> list[str]:
        """Delete objects; return their keys."""
        keys = [info.key for folder in folders async for info in _list(self.storage, f"{self.prefix}/{folder}/")]
        for key in keys:
            await self.storage.delete(key)
        return keys

    @property
    def manifests(self) -> ManifestStore:
        return ManifestStore(self.storage, prefix=self.prefix)


async def _list(storage: ObjectStorage, prefix: str) -> AsyncIterator[Any]:
    for info in [info async for info in storage.list(prefix)]:
        yield info


async def remote(database: DataManager, type_: RecordType[Any] = JOB) -> int:
    """Return how many records of a type have no local body."""
    count = f"SELECT count(*) FROM r_{type_.name} WHERE body IS NULL"
    return int(await database.engine.readers.raw(lambda replica: replica._connection.execute(count).fetchone()[0]))


async def wait_until_remote(database: DataManager, number: int, *, of: RecordType[Any] = JOB) -> None:
    """Wait until `number` bodies of a type are in the object storage only."""

    async def holds() -> bool:
        return await remote(database, of) == number

    await eventually(holds)


async def everything(
    database: DataManager, types: Sequence[RecordType[Any]] = ALL, groups: Sequence[str] = ()
) -> dict[str, Any]:
    """Return all that a database shows: records, revisions, lists in both forms, change groups."""
    await database.linearize()

    def read(view: View) -> dict[str, Any]:
        found: dict[str, Any] = {f"group {name}": view.group(name) for name in groups}
        for type_ in types:
            records = {id_: message.SerializeToString(deterministic=True) for id_, message in view.scan(type_)}
            found[f"records of {type_.name}"] = records
            found[f"revisions of {type_.name}"] = {id_: view.revision(type_, id_) for id_ in records}
            found[f"single records of {type_.name}"] = {id_: view.get(type_, id_) for id_ in records}
            for group in (None, "x", "y"):
                query = Query({"group": group}, ("rank",), 1000)
                found[f"{type_.name} in {group}"] = view.select(type_, query)
                found[f"rows of {type_.name} in {group}"] = view.rows(type_, query)
        return found

    return await database.read(read)
