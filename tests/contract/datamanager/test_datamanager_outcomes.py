"""Transactions whose outcome is unknown at first: responses of a real etcd are lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import Conflict, Unavailable
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.port import Committed
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.support.conditions import eventually
from tests.support.databases import (
    FAST,
    NOTE,
    count,
    flushed,
    open_database,
)
from tests.support.faulty_stores import FaultyKeyValueStore

FATES = [
    pytest.param(["lost_answer"], id="applied but timed out"),
    pytest.param(["lost_request"], id="not applied and timed out"),
    pytest.param(["late"], id="applied 200 ms after it was given up"),
    pytest.param(["lost_request", "lost_request", "lost_answer"], id="applied at the third time"),
    pytest.param(["late", "away", "lost_answer"], id="late, away, then applied"),
    pytest.param(["away", "away"], id="away"),
]


@pytest.mark.parametrize("fates", FATES)
async def test_a_transaction_whose_outcome_was_unknown_is_applied_once(
    fates: list[str], etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyKeyValueStore(etcd)
    async with open_database(faulty, storage, tmp_path, prefix=etcd_prefix) as database:
        await database.transact(count)
        faulty.plan.extend(fates)
        answers = await asyncio.gather(*(database.transact(count) for _ in range(5)))
        assert sorted(answer.value for answer in answers) == [2, 3, 4, 5, 6]
        await faulty.late_ones_ended()
        assert (await database.transact(count)).value == 7
        assert (await database.get(NOTE, "counter")).number == 7


@pytest.mark.parametrize("fates", FATES)
async def test_unknown_outcomes_under_another_writer_are_applied_once(
    fates: list[str], etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyKeyValueStore(etcd)
    async with (
        open_database(faulty, storage, tmp_path, prefix=etcd_prefix, server_id="one") as one,
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="two") as two,
    ):
        faulty.plan.extend(fates)

        async def many(database: DataManager) -> list[int]:
            return [(await database.transact(count)).value for _ in range(20)]

        values = await asyncio.gather(many(one), many(two), many(one))
        assert sorted(value for part in values for value in part) == list(range(1, 61))
        await faulty.late_ones_ended()
        await one.linearize()
        assert (await one.get(NOTE, "counter")).number == 60


async def test_an_entry_in_doubt_is_found_after_it_was_trimmed(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyKeyValueStore(etcd)
    settings = replace(FAST, keep_log_entries=0)
    async with (
        open_database(faulty, storage, tmp_path, prefix=etcd_prefix, server_id="one", settings=settings) as one,
        open_database(etcd, storage, tmp_path, prefix=etcd_prefix, server_id="two", settings=settings) as two,
    ):
        faulty.plan.append("lost_answer")
        faulty.plan.extend(["away"] * 6)
        waiting = asyncio.create_task(one.transact(count))
        await eventually(lambda: _has(two, "counter"))
        for _ in range(3):
            await two.transact(count)
        await flushed(two)
        assert (await waiting).value == 1
        assert (await one.transact(count)).value == 5


async def _has(database: DataManager, id_: str) -> bool:
    return await database.read(lambda view: view.get(NOTE, id_) is not None)


async def test_a_caller_that_gives_up_does_not_disturb_the_others(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyKeyValueStore(etcd)
    async with open_database(faulty, storage, tmp_path, prefix=etcd_prefix) as database:
        faulty.hold = asyncio.Event()
        tasks = [asyncio.create_task(database.transact(count)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.sleep(0)
        faulty.hold.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [n % 2 == 0 for n in range(10)]
        await database.transact(count)


async def test_write_is_refused_when_etcd_stays_away(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyKeyValueStore(etcd)
    settings = replace(FAST, commit_patience=timedelta(milliseconds=100))
    async with open_database(faulty, storage, tmp_path, prefix=etcd_prefix, settings=settings) as database:
        faulty.plan.extend(["away"] * 20)
        with pytest.raises(Unavailable, match="nothing was written"):
            await database.transact(count)
        faulty.plan.clear()
        assert (await database.transact(count)).value == 1


async def _in_doubt(database: DataManager, faulty: FaultyKeyValueStore) -> asyncio.Task[Committed[int]]:
    """A transaction of which nobody will say whether it is there."""
    faulty.plan.extend(["lost_request"] * 1000)
    in_doubt = asyncio.create_task(database.transact(count))

    async def sent() -> bool:
        return len(faulty.plan) < 1000

    await eventually(sent)
    return in_doubt


async def test_transaction_behind_an_entry_in_doubt_is_refused(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyKeyValueStore(etcd)
    settings = replace(FAST, commit_patience=timedelta(milliseconds=100))
    async with open_database(faulty, storage, tmp_path, prefix=etcd_prefix, settings=settings) as database:
        in_doubt = await _in_doubt(database, faulty)
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable, match="nothing was written"):
                await database.transact(count)
        assert not in_doubt.done()
        faulty.plan.clear()
        assert (await in_doubt).value == 1
        assert (await database.transact(count)).value == 2


async def test_a_server_that_stops_in_doubt_says_so(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyKeyValueStore(etcd)
    settings = replace(FAST, stop_timeout=timedelta(milliseconds=100))
    async with open_database(faulty, storage, tmp_path, prefix=etcd_prefix, settings=settings) as database:
        in_doubt = await _in_doubt(database, faulty)
        queued = asyncio.create_task(database.transact(count))
        await asyncio.sleep(0)
    with pytest.raises(Conflict) as caught:
        await in_doubt
    assert caught.value.reason == "OUTCOME_UNKNOWN"
    with pytest.raises(Unavailable):
        await queued
    with pytest.raises(Unavailable):
        await database.transact(count)
