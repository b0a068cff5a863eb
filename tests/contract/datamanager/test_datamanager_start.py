"""What a server finds when it starts, or while it runs: etcd and object storage that belong together, or do not."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.kv import FakeKeyValueStore
from tests.support.databases import (
    FAST,
    count,
    open_database,
)
from tests.support.faulty_stores import FaultyStorage


async def test_an_empty_etcd_beside_a_full_storage_is_refused(storage: ObjectStorage, tmp_path: Path) -> None:
    kv = FakeKeyValueStore()
    async with open_database(kv, storage, tmp_path, prefix="p") as database:
        await database.transact(count, durable=True)
    settings = replace(FAST, etcd_name="etcd.example:2379")
    with pytest.raises(FailedPrecondition) as caught:
        async with open_database(FakeKeyValueStore(cluster_id=7), storage, tmp_path, prefix="p", settings=settings):
            pass
    assert caught.value.reason == "ETCD_EMPTY"
    message = str(caught.value)
    assert message.startswith("etcd at etcd.example:2379 is empty, storage holds epoch 1, last written 0:00:0")
    assert message.endswith("ago by one; run `sluice db recover`")


async def test_an_empty_storage_beside_a_full_etcd_is_refused(storage: ObjectStorage, tmp_path: Path) -> None:
    kv = FakeKeyValueStore()
    async with open_database(kv, storage, tmp_path, prefix="p") as database:
        await database.transact(count, durable=True)
    with pytest.raises(FailedPrecondition) as caught:
        async with open_database(kv, PosixStorage(tmp_path / "elsewhere"), tmp_path, prefix="p"):
            pass
    assert caught.value.reason == "STORAGE_EMPTY"


async def test_two_databases_in_one_storage_folder_are_refused(storage: ObjectStorage, tmp_path: Path) -> None:
    async with open_database(FakeKeyValueStore(), storage, tmp_path, prefix="p") as database:
        await database.transact(count, durable=True)
    other = FakeKeyValueStore(cluster_id=7)
    async with open_database(other, PosixStorage(tmp_path / "elsewhere"), tmp_path, prefix="p", server_id="two"):
        pass
    with pytest.raises(FailedPrecondition) as caught:
        async with open_database(other, storage, tmp_path, prefix="p", server_id="three"):
            pass
    assert caught.value.reason == "OTHER_DATABASE"
    assert len(re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-7", str(caught.value))) == 2


async def test_a_crash_between_epoch_and_head_starts_over(storage: ObjectStorage, tmp_path: Path) -> None:
    kv = FakeKeyValueStore()
    async with open_database(kv, storage, tmp_path, prefix="p"):
        pass
    # The epoch object is there, and etcd is as it was before.
    kv.wipe(cluster_id=1001)
    async with open_database(kv, storage, tmp_path, prefix="p") as database:
        assert (await database.transact(count)).value == 1


async def test_two_first_starts_at_once_make_one_database(
    etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async def run(server: str) -> int:
        async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id=server) as database:
            return (await database.transact(count)).value

    assert sorted(await asyncio.gather(*(run(f"s{n}") for n in range(4)))) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "wreck",
    [
        pytest.param(lambda kv, old: kv.wipe(cluster_id=7), id="wiped"),
        pytest.param(lambda kv, old: kv.restore(old), id="restored to an older snapshot"),
    ],
)
async def test_a_server_whose_etcd_changed_under_it_ends(wreck: object, storage: ObjectStorage, tmp_path: Path) -> None:
    assert callable(wreck)
    kv = FakeKeyValueStore()

    async def serve() -> None:
        async with open_database(kv, storage, tmp_path, prefix="p") as database:
            old = kv.snapshot()
            for _ in range(5):
                await database.transact(count)
            wreck(kv, old)
            await asyncio.sleep(30)

    with pytest.raises(DatabaseLost, match=r"etcd|cluster") as caught:
        await serve()
    assert caught.value.reason == "ETCD_CHANGED"
    assert caught.value.seen is not None
    assert caught.value.seen.sequence == LogSequence(1, 5)


async def test_failure_of_a_loop_is_not_a_lost_database(storage: ObjectStorage, tmp_path: Path) -> None:
    class Broken(FaultyStorage):
        async def put_if_absent(self, key: str, body: bytes) -> bool:
            if "/wal/" in key:
                raise ZeroDivisionError
            return await self._storage.put_if_absent(key, body)

    async def serve() -> None:
        async with open_database(FakeKeyValueStore(), Broken(storage), tmp_path, prefix="p") as database:
            await database.transact(count)
            await asyncio.sleep(30)

    with pytest.raises(ExceptionGroup) as caught:
        await serve()
    assert caught.group_contains(ZeroDivisionError)


async def test_the_error_of_the_body_comes_out_as_itself(storage: ObjectStorage, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with open_database(FakeKeyValueStore(), storage, tmp_path, prefix="p"):
            raise KeyError("mine")


async def test_a_durable_commit_leaves_nothing_unflushed(storage: ObjectStorage, tmp_path: Path) -> None:
    async with open_database(FakeKeyValueStore(), storage, tmp_path, prefix="p") as database:
        committed = await database.transact(count, durable=True)
        assert (database.epoch, database.position) == (1, committed.position)
        assert database.engine.tip.unflushed_bytes == 0
