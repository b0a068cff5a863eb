"""A real etcd that is full: writes are refused with what to do, and continue by themselves once there is room."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.engine.etcd_capacity import Fullness
from sluiceway_server.datamanager.model import Decision, View
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.kv import FakeKeyValueStore
from tests.support.conditions import eventually
from tests.support.databases import FAST, NOTE, open_database, put
from tests.support.etcd import etcd_process
from tests.support.faulty_stores import FaultyKeyValueStore

T = timedelta(seconds=5)
WATCHED = replace(FAST, etcd_check_interval=timedelta(milliseconds=250), commit_patience=timedelta(seconds=60))


def count(view: View) -> Decision[int]:
    old = view.get(NOTE, "counter")
    value = (old.number if old else 0) + 1
    return Decision(value, [put("counter", rank=value, text="x" * 1000)])


async def test_full_etcd_refuses_only_writes_until_there_is_room(storage: PosixStorage, tmp_path: Path) -> None:
    with etcd_process(tmp_path / "etcd", quota_bytes=16 * 1024**2) as etcd:
        kv = EtcdStore([etcd.endpoint])
        try:
            async with open_database(kv, storage, tmp_path, prefix="p", settings=WATCHED) as database:
                answered = (await database.transact(count)).value

                async def fill() -> None:
                    for _ in range(500):  # somebody else uses this etcd too
                        await kv.put("foreign", b"x" * 1_000_000, timeout=T)

                async def write() -> None:
                    nonlocal answered
                    while True:
                        answered = (await database.transact(count)).value

                with pytest.raises(Unavailable) as filled:
                    await fill()
                assert filled.value.reason == "STORE_FULL"

                # Refused at once, and not when patience ends.
                with pytest.raises(Unavailable) as refused:
                    await asyncio.wait_for(write(), 30)
                assert refused.value.reason == "STORE_FULL"
                assert "alarm disarm" in str(refused.value)
                assert "nothing was written" in str(refused.value)
                assert database.engine.capacity.health.fullness is Fullness.FULL
                assert database.engine.capacity.health.quota_bytes == 16 * 1024**2

                # Reads continue, and transactions that write nothing.
                assert (await database.get(NOTE, "counter")).number == answered
                assert (await database.transact(lambda view: Decision(view.position))).value is not None
                await database.linearize()

                await asyncio.to_thread(etcd.make_room)

                async def has_room() -> bool:
                    return database.engine.capacity.health.fullness is Fullness.WELL

                await eventually(has_room)
                assert (await database.transact(count, durable=True)).value == answered + 1
        finally:
            await kv.close()


async def test_writes_are_slow_and_succeed_while_etcd_is_nearly_full(storage: PosixStorage, tmp_path: Path) -> None:
    kv = FakeKeyValueStore()
    kv.quota_bytes = 100_000
    kv.in_use_bytes = kv.size_bytes = 99_000
    async with open_database(kv, storage, tmp_path, prefix="p", settings=WATCHED) as database:

        async def is_slow() -> bool:
            return database.engine.capacity.health.fullness is Fullness.SLOW

        await eventually(is_slow)
        before = database.position.sequence.counter
        # What comes while a batch waits goes along with the next one: fewer entries, the same results.
        writers = [asyncio.create_task(database.transact(count)) for _ in range(50)]
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*writers)
        assert sorted(answer.value for answer in answers) == list(range(1, 51))
        assert database.position.sequence.counter - before <= 2

        kv.in_use_bytes = kv.size_bytes = 1_000
        waiting = asyncio.create_task(database.transact(count))

        async def is_well() -> bool:
            return database.engine.capacity.health.fullness is Fullness.WELL

        await eventually(is_well)
        assert (await waiting).value == 51


@pytest.mark.parametrize("fate", ["lost_answer", "lost_request", "late"])
async def test_transaction_in_doubt_is_settled_when_etcd_gets_full(
    fate: str, storage: PosixStorage, tmp_path: Path
) -> None:
    kv = FaultyKeyValueStore(FakeKeyValueStore())
    async with open_database(kv, storage, tmp_path, prefix="p", settings=WATCHED) as database:
        await database.transact(count)
        kv.plan.extend([fate, "full", "full", "full"])
        async with asyncio.timeout(30):
            assert (await database.transact(count)).value == 2
        kv.plan.clear()
        await kv.late_ones_ended()
        assert (await database.transact(count)).value == 3
