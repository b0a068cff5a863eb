"""Wall clocks that go back, jump, and disagree: times of entries never fall, and history ages as it should."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.log.entries import decode_entry
from sluiceway_server.datamanager.model import Decision, LogSequence, Position
from sluiceway_server.datamanager.replica.replica import Replica
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.kv import FakeKeyValueStore
from tests.support.databases import FAST, NOTE, count, open_database, put, take

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = replace(FAST, history=timedelta(hours=24))


class WallClock:
    """A wall clock that a person sets, beside a monotonic one that nobody can."""

    def __init__(self, now: datetime = START) -> None:
        self.wall = now
        self._monotonic = SystemClock()

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self._monotonic.monotonic()


async def times(database: DataManager, number: int) -> list[datetime]:
    return [item.time for item in await take(database, number, Position(LogSequence(1, 0), 0))]


async def test_times_of_entries_never_fall_whatever_a_clock_does(folder_storage: PosixStorage, tmp_path: Path) -> None:
    clock = WallClock()
    async with open_database(FakeKeyValueStore(), folder_storage, tmp_path, prefix="p", clock=clock) as database:
        for moved in (timedelta(), HOUR, -5 * HOUR, timedelta(days=-400), timedelta(days=401), timedelta(minutes=1)):
            clock.wall += moved
            await database.transact(count)
        found = await times(database, 6)
    assert found == sorted(found)
    assert found[1:5] == [START + HOUR, START + HOUR, START + HOUR, START + timedelta(hours=20)]


async def test_times_of_entries_never_fall_when_clocks_disagree(folder_storage: PosixStorage, tmp_path: Path) -> None:
    kv = FakeKeyValueStore()
    ahead, behind = WallClock(START + 3 * HOUR), WallClock(START - 3 * HOUR)
    async with (
        open_database(kv, folder_storage, tmp_path, prefix="p", clock=ahead, server_id="one") as one,
        open_database(kv, folder_storage, tmp_path, prefix="p", clock=behind, server_id="two") as two,
    ):
        for database in (two, one, two, one, two):
            await database.linearize()
            await database.transact(count)
        await one.linearize()
        found = await times(one, 5)
    assert found == [START - 3 * HOUR, *[START + 3 * HOUR] * 4]


async def kept(database: DataManager) -> list[int]:
    """The counters of the entries that the read database keeps for subscribers."""

    def read(file: Replica) -> list[int]:
        raws = file.entries_after(LogSequence(1, 0), limit=10_000, max_bytes=1 << 30)
        return [decode_entry(raw).sequence.counter for raw in raws]

    return await database.engine.readers.raw(read)


async def write(database: DataManager, times: int) -> int:
    """Write so often, each time into the file; what is too old goes at every fiftieth."""
    for _ in range(times):
        await database.transact(count, durable=True)
        await database.read(lambda view: None)
    return database.position.sequence.counter


async def test_history_of_a_clock_ahead_ages_from_its_arrival(folder_storage: PosixStorage, tmp_path: Path) -> None:
    """Else all that follows it in the log would be kept until its time has come."""
    kv, own, mad = FakeKeyValueStore(), WallClock(), WallClock(START + timedelta(days=3650))
    async with open_database(kv, folder_storage, tmp_path, prefix="p", settings=DAY, clock=own) as database:
        async with open_database(kv, folder_storage, tmp_path, prefix="p", clock=mad, server_id="mad") as wrong:
            await wrong.transact(count, durable=True)
        await database.linearize()
        old = await write(database, 10)
        own.wall += timedelta(hours=25)
        last = await write(database, 60)
        assert await kept(database) == list(range(old + 1, last + 1))


async def test_history_has_no_gap_after_a_clock_was_back_for_a_while(
    folder_storage: PosixStorage, tmp_path: Path
) -> None:
    clock = WallClock()
    async with open_database(
        FakeKeyValueStore(), folder_storage, tmp_path, prefix="p", settings=DAY, clock=clock
    ) as database:
        await write(database, 2)
        clock.wall -= timedelta(days=2)
        await write(database, 5)
        clock.wall += timedelta(days=2)
        last = await write(database, 60)
        counters = await kept(database)
        assert counters == list(range(counters[0], last + 1))
        assert counters[0] <= 8


async def test_history_has_its_length_after_a_clock_was_ahead(folder_storage: PosixStorage, tmp_path: Path) -> None:
    clock = WallClock()
    async with open_database(
        FakeKeyValueStore(), folder_storage, tmp_path, prefix="p", settings=DAY, clock=clock
    ) as database:
        clock.wall += timedelta(days=365)
        await write(database, 3)
        clock.wall -= timedelta(days=365)
        old = await write(database, 3)
        clock.wall += timedelta(hours=25)
        last = await write(database, 60)
        assert await kept(database) == list(range(old + 1, last + 1))


@pytest.mark.parametrize("jump", [timedelta(days=-30), timedelta(days=30)], ids=["back", "forward"])
async def test_waits_do_not_follow_the_wall_clock(
    jump: timedelta, folder_storage: PosixStorage, tmp_path: Path
) -> None:
    clock = WallClock()
    async with open_database(FakeKeyValueStore(), folder_storage, tmp_path, prefix="p", clock=clock) as database:
        await database.transact(count)
        clock.wall += jump
        value = (await database.transact(lambda view: Decision(1, [put("x", rank=7)]), durable=True)).value
        assert value == 1
        assert (await database.get(NOTE, "x")).number == 7
        assert clock.monotonic() - database.engine.tip.last_heard < 60
