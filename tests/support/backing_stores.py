"""An etcd that can be wiped or set back and an object storage folder, with the database in them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.crashpoints import Crashed
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.engine.opening import RecoverPolicy
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import StoreDiagnosis, diagnose, inspect
from sluiceway_server.datamanager.recovery.recovery import Recovered, Recovery
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import DeleteKey, KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.databases import FAST, contents, count, flushed, open_database
from tests.support.etcd import EtcdProcess

__all__ = ["PREFIX", "BackingStores", "crash_once"]

PREFIX = "p"
_SECOND = timedelta(seconds=5)


class BackingStores:
    """The etcd and object storage of one database. `close` does not end the etcd process."""

    def __init__(self, etcd: EtcdProcess, folder: Path) -> None:
        self.etcd = etcd
        self.folder = folder
        self.storage = PosixStorage(folder / "objects")
        self.kv = EtcdStore([etcd.endpoint])

    async def close(self) -> None:
        await self.kv.close()
        await self.storage.close()

    @asynccontextmanager
    async def database(
        self,
        server_id: str = "one",
        *,
        kv: KeyValueStore | None = None,
        storage: ObjectStorage | None = None,
        recover: RecoverPolicy | None = None,
        settings: DataManagerSettings = FAST,
    ) -> AsyncIterator[DataManager]:
        async with open_database(
            kv or self.kv,
            storage or self.storage,
            self.folder,
            prefix=PREFIX,
            server_id=server_id,
            settings=settings,
            recover=recover,
        ) as database:
            yield database

    async def written(self, times: int, *, rounds: int = 1, server_id: str = "one") -> dict[str, tuple[str, int]]:
        """Count `times` in each round, with at least one segment a round; return the contents."""
        async with self.database(server_id) as database:
            for _ in range(rounds):
                for _ in range(times):
                    await database.transact(count)
                await flushed(database)
            return await contents(database)

    async def contents(self, server_id: str = "anew") -> dict[str, tuple[str, int]]:
        """Return the contents as seen by a server that starts with an empty data folder."""
        shutil.rmtree(self.folder / server_id, ignore_errors=True)
        async with self.database(server_id) as database:
            return await contents(database)

    # What happens to etcd.

    def wipe(self) -> None:
        """Lose all data of etcd; start an empty one at the same address."""
        self.etcd.wipe()
        self.etcd.start()

    def snapshot(self) -> Path:
        """Copy the data of etcd, which is stopped for that."""
        copy = self.folder / "etcd-snapshot"
        self.etcd.stop()
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.etcd.data_dir, copy)
        self.etcd.start()
        return copy

    def go_back(self, copy: Path) -> None:
        """Start etcd with the data of a snapshot, as the same cluster."""
        self.etcd.wipe()
        shutil.copytree(copy, self.etcd.data_dir)
        self.etcd.start()

    async def lose_keys(self) -> None:
        """Delete all keys of the database; cluster id and revision continue."""
        keys, _ = await self.kv.list_prefix(f"{PREFIX}/", timeout=_SECOND)
        for key in keys:
            await self.kv.txn(then=(DeleteKey(key.key),), timeout=_SECOND)

    # What operators do and see.

    def stores(
        self, *, kv: KeyValueStore | None = None, storage: ObjectStorage | None = None, prefix: str = PREFIX
    ) -> Stores:
        return Stores(kv or self.kv, storage or self.storage, prefix=prefix, etcd_timeout=_SECOND)

    def recovery(
        self, name: str = "operator", *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, **stores: Any
    ) -> Recovery:
        settings = replace(FAST, server_id=name)
        return Recovery(self.stores(**stores), settings=settings, clock=SystemClock(), sleep=sleep)

    async def recover(self, name: str = "operator", *, leaving: int | None = None) -> Recovered:
        return await self.recovery(name).recover(cause="a test", leaving=leaving)

    async def restore(self, to: LogSequence) -> Recovered:
        return await self.recovery().restore(to, cause="a test")

    async def standing(self) -> StoreDiagnosis:
        return diagnose(await inspect(self.stores()), now=SystemClock().now())

    async def keys(self, folder: str = "") -> list[str]:
        return [info.key async for info in self.storage.list(f"{PREFIX}/{folder}")]


def crash_once(after: int = 0) -> Callable[[str], None]:
    """Return a hook for `crashing` that raises `Crashed` once, after `after` calls."""
    left = after + 1

    def hit(name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Crashed(name)

    return hit
