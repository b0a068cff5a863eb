"""The log on its way into segments, and read databases that are built again from them: real etcd, a real folder."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sluiceway_common.foundation.errors import DataLoss, Unavailable
from sluiceway_server.datamanager.model import Delete, LogSequence, Query
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.conditions import eventually
from tests.support.databases import (
    FAST,
    NOTE,
    SHORT_LOG,
    contents,
    count,
    flushed,
    open_database,
    put,
    take,
)
from tests.support.faulty_stores import FaultyStorage


async def test_a_durable_commit_is_in_the_object_storage(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix) as database:
        committed = await database.transact(count, durable=True)
        assert database.engine.tip.flushed.sequence >= committed.position.sequence
        found = [info.key async for info in storage.list(f"{etcd_prefix.strip('/')}/wal/")]
        assert len(found) == 1


async def test_the_log_in_etcd_keeps_only_the_newest_flushed_entries(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=SHORT_LOG) as database:
        for n in range(20):
            await database.commit([put(f"a{n}")])
        await flushed(database)
        keys, _ = await etcd.list_prefix(f"{etcd_prefix.strip('/')}/db/log/", timeout=timedelta(seconds=5))
        assert [LogSequence.parse(key.key.rsplit("/", 1)[1]).counter for key in keys] == [18, 19, 20]


async def test_deleted_replica_is_rebuilt_from_segments_and_log(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=SHORT_LOG) as database:
        start = database.position
        for n in range(30):
            await database.commit([put(f"a{n % 7}", f"g{n % 3}", n), *([Delete(NOTE, "a1")] if n % 5 == 0 else [])])
            if n % 10 == 9:
                await flushed(database)
        before, position = await contents(database), database.position
        group = await database.list(NOTE, Query({"group": "g1"}, ("rank",)))
    async with open_database(
        etcd, storage, tmp_path, prefix=etcd_prefix, settings=SHORT_LOG, server_id="anew"
    ) as database:
        assert database.position == position
        assert await contents(database) == before
        assert await database.list(NOTE, Query({"group": "g1"}, ("rank",))) == group
        assert len(await take(database, 30, start)) == 30
        later = await database.commit([put("later")])
        assert later.position.sequence == position.sequence.next()


async def test_a_reopened_database_continues_where_it_was(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix) as database:
        await database.commit([put("a", rank=1)], groups=["g"])
        start = database.position
    # Another server writes meanwhile.
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="two") as database:
        other = await database.commit([put("b", rank=2)])
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix) as database:
        assert database.position == other.position
        assert await contents(database) == {"a": ("", 1), "b": ("", 2)}
        assert await database.read(lambda view: view.group("g")) == start
        assert [item.position for item in await take(database, 1, start)] == [other.position]
        assert (await database.commit([put("c")])).position > other.position


@pytest.mark.parametrize("damage", [b"", b"this is no database", None], ids=["emptied", "overwritten", "torn"])
async def test_a_damaged_read_database_is_built_again(
    damage: bytes | None, etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix) as database:
        await database.commit([put("a", rank=1)])
    file = tmp_path / "one" / "read.sqlite"
    file.write_bytes(file.read_bytes()[:100] if damage is None else damage * 1000)
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix) as database:
        assert await contents(database) == {"a": ("", 1)}


async def test_segment_stored_without_a_response_is_found(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyStorage(storage)
    async with open_database(etcd, faulty, tmp_path, prefix=etcd_prefix, settings=SHORT_LOG) as database:
        faulty.lose_answers = 2
        for n in range(10):
            await database.commit([put(f"a{n}")])
        await flushed(database)
        for n in range(10):
            await database.commit([put(f"b{n}")])
        await flushed(database)
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="anew") as database:
        assert len(await contents(database)) == 20


async def test_flusher_waits_for_a_storage_that_refuses_access(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyStorage(storage)
    async with open_database(etcd, faulty, tmp_path, prefix=etcd_prefix) as database:
        with capture_logs() as lines:

            async def waits() -> bool:
                return any("have expired" in line["error"] for line in lines if line["event"] == "flush_waits")

            faulty.refuses = True
            committed = await database.commit([put("a")])
            await eventually(waits)
        assert await database.get(NOTE, "a") is not None
        await database.commit([put("b")])
        faulty.refuses = False
        await flushed(database)
        assert database.engine.tip.flushed.sequence > committed.position.sequence


async def test_writes_slow_down_and_fail_while_the_storage_is_away(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyStorage(storage)
    settings = replace(FAST, slow_at_bytes=1000, refuse_at_bytes=1600)
    async with open_database(etcd, faulty, tmp_path, prefix=etcd_prefix, settings=settings) as database:
        faulty.away = True
        written = 0

        async def write_many() -> None:
            nonlocal written
            for n in range(100):
                await database.commit([put(f"a{n}", text=str(n))])
                written += 1

        with pytest.raises(Unavailable) as caught:
            await write_many()
        assert caught.value.reason == "NOT_FLUSHED"
        assert str(caught.value).endswith("The last flush failed: the object storage is away")
        assert 5 < written < 50
        assert database.engine.tip.unflushed_bytes >= 1600
        faulty.away = False
        await flushed(database)
        await database.commit([put("again")])
        assert len(await contents(database)) == written + 1


async def test_two_servers_that_flush_at_once_make_one_history(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    settings = replace(SHORT_LOG, flush_interval=timedelta(milliseconds=5))
    async with (
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="one", settings=settings) as one,
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="two", settings=settings) as two,
    ):
        for n in range(60):
            await (one, two)[n % 2].transact(count)
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="anew") as database:
        assert (await database.get(NOTE, "counter")).number == 60


async def test_a_missing_segment_stops_the_start_with_both_sequences(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=SHORT_LOG) as database:
        for _ in range(3):
            for _ in range(10):
                await database.transact(count)
            await flushed(database)
    keys = [info.key async for info in storage.list(f"{etcd_prefix.strip('/')}/wal/")]
    await storage.delete(keys[0])
    with pytest.raises(DataLoss, match=r"00000001-0000000000000000.*00000001-000000000000001e") as caught:
        async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="anew"):
            pass
    assert caught.value.reason == "LOG_GAP"


async def test_a_damaged_segment_stops_the_start_and_is_named(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, settings=SHORT_LOG) as database:
        for _ in range(10):
            await database.transact(count)
        await flushed(database)
    (key,) = [info.key async for info in storage.list(f"{etcd_prefix.strip('/')}/wal/")][:1]
    body = bytearray(await storage.get(key))
    body[len(body) // 2] ^= 1
    await storage.put(key, bytes(body))
    with pytest.raises(DataLoss, match=key):
        async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="anew"):
            pass
