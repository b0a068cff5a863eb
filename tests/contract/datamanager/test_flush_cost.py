"""What a flush asks of the object storage does not grow with what is stored there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.port import ObjectInfo, ObjectStorage
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.databases import count, open_database


class _CountsListed:
    """An object storage that counts the keys that its lists gave."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage
        self.keys = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def list(self, prefix: str = "", *, start_after: str = "", delimiter: str = "") -> AsyncIterator[ObjectInfo]:
        async for info in self._storage.list(prefix, start_after=start_after, delimiter=delimiter):
            self.keys += 1
            yield info


async def test_servers_that_flush_in_turns_list_new_segments_only(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    counted = _CountsListed(storage)

    async def rounds(number: int, *databases: DataManager) -> int:
        before = counted.keys
        for _ in range(number):
            for database in databases:
                await database.transact(count, durable=True)
        return counted.keys - before

    async with (
        open_database(etcd, counted, tmp_path, prefix=etcd_prefix, server_id="one") as one,
        open_database(etcd, counted, tmp_path, prefix=etcd_prefix, server_id="two") as two,
    ):
        await rounds(20, one, two)
        # Each finds what the other one has put since, and nothing more: 10 flushes, and some looks of the duties.
        assert await rounds(5, one, two) < 60
