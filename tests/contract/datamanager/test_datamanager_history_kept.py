"""What subscribers get of the past, and what servers of another version make of it; over a real etcd and a folder."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import OutOfRange
from sluiceway_server.datamanager.model import Put
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.conditions import eventually
from tests.support.databases import (
    FAST,
    NOTE,
    OTHER,
    contents,
    flushed,
    open_database,
    put,
    take,
)
from tests.support.faulty_stores import FaultyKeyValueStore


async def test_subscriber_reads_older_transactions_from_the_replica(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    settings = replace(FAST, ring_bytes=500)
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=settings) as database:
        start = database.position
        for n in range(100):
            await asyncio.gather(*(database.commit([put(f"a{n}/{m}", text="x" * 50)]) for m in range(3)))
        found = await take(database, 300, start)
        assert [item.position for item in found] == sorted({item.position for item in found})
        middle = found[100].position
        assert [item.position for item in await take(database, 199, middle)] == [i.position for i in found[101:]]


async def test_history_that_is_not_kept_is_out_of_range(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix) as database:
        start = database.position
        await database.commit([put("a")])
        await database.commit([put("b")])
        await flushed(database)
    settings = replace(FAST, history=timedelta(0), ring_bytes=1)
    async with open_database(
        etcd, storage, tmp_path, prefix=etcd_prefix, server_id="anew", settings=settings
    ) as database:
        database_start = database.position
        for key in [info.key async for info in storage.list(f"{etcd_prefix}wal/")]:
            await storage.delete(key)  # as the cleaner does after a day
        with pytest.raises(OutOfRange):
            await take(database, 1, start)
        following = asyncio.create_task(take(database, 1, database_start))
        await database.linearize()
        committed = await database.commit([put("b")])
        assert (await following)[0].position == committed.position


async def test_a_watch_that_was_compacted_away_begins_again(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyKeyValueStore(etcd)
    revision = await etcd.put(f"{etcd_prefix}other", b"", timeout=timedelta(seconds=5))
    await etcd.compact(revision, timeout=timedelta(seconds=5))
    faulty.watch_from.extend([1, 1])
    settings = replace(FAST, check_interval=timedelta(seconds=60))
    async with (
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="one") as one,
        open_database(faulty, storage, tmp_path, prefix=etcd_prefix, server_id="two", settings=settings) as two,
    ):
        following = asyncio.create_task(take(two, 3, two.position))
        for n in range(3):
            await one.commit([put(f"a{n}")])
        assert len(await following) == 3

        async def has_begun_again_twice() -> bool:
            return faulty.watches >= 3

        # What was written meanwhile is read before the watch begins.
        await eventually(has_begun_again_twice)


async def test_records_of_types_that_are_not_known_are_carried_through(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    other = Put(OTHER, "o", log_pb2.Emit(kind="k", topics=["t"], body=b"bytes"))
    async with (
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="new") as new,
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="old", types=(NOTE,)) as old,
    ):
        following = asyncio.create_task(take(old, 1, old.position))
        await new.commit([other, put("a")])
        (applied,) = await following
        first = applied.actions[0]
        assert isinstance(first, Put)
        assert (first.type.name, first.id) == ("other", "o")
        assert first.message.SerializeToString() == other.message.SerializeToString()
        await old.commit([put("b")])
    # The old server is upgraded, and finds what it did not understand.
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="old") as upgraded:
        assert (await upgraded.get(OTHER, "o")).body == b"bytes"
        assert set(await contents(upgraded)) == {"a", "b"}
