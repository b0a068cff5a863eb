"""Several servers over one etcd: each sees what the others write."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sluiceway_common.foundation.errors import Conflict
from sluiceway_server.datamanager.model import Decision, Delete, View
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.databases import (
    NOTE,
    count,
    open_database,
    put,
    take,
)
from tests.support.faulty_stores import FaultyKeyValueStore


async def test_two_servers_see_what_either_writes(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with (
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="one") as one,
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="two") as two,
    ):
        start = one.position
        answers = await asyncio.gather(*((one, two)[n % 2].transact(count) for n in range(60)))
        assert sorted(answer.value for answer in answers) == list(range(1, 61))
        newest = max(answer.position for answer in answers)
        for database in (one, two):
            assert (await database.get(NOTE, "counter", after=newest)).number == 60
        seen = [await take(database, 60, start) for database in (one, two)]
        assert [item.position for item in seen[0]] == [item.position for item in seen[1]]
        assert [item.position for item in seen[0]] == sorted(answer.position for answer in answers)


async def test_an_idle_server_follows_another_one(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with (
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="one") as one,
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="two") as two,
    ):
        following = asyncio.create_task(take(two, 20, two.position))
        committed = [await one.commit([put(f"a{n}")]) for n in range(20)]
        assert [item.position for item in await following] == [item.position for item in committed]


async def test_record_of_another_server_is_found_without_a_position(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    slow = FaultyKeyValueStore(etcd)
    async with (
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="one") as one,
        open_database(slow, storage, tmp_path, prefix=etcd_prefix, server_id="two") as two,
    ):
        for n in range(10):
            await one.commit([put(f"a{n}", rank=n)])
            assert (await two.get(NOTE, f"a{n}")).number == n


async def test_errors_are_those_of_the_newest_state(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    def make(view: View) -> Decision[str]:
        if view.get(NOTE, "name"):
            raise Conflict("taken")
        return Decision("made", [put("name")])

    async with (
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="one") as one,
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="two") as two,
    ):
        for n in range(10):
            writer, other = ((one, two), (two, one))[n % 2]
            assert (await writer.transact(make)).value == "made"
            await other.commit([Delete(NOTE, "name")])
