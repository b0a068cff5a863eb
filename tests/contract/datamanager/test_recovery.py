"""Recovery into a new epoch, over a real etcd that is wiped or set back, and a folder."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_common.foundation.crashpoints import CRASH_POINTS, Crashed, crashing
from sluiceway_common.foundation.errors import Conflict, DataLoss, FailedPrecondition
from sluiceway_server.datamanager.log.entries import sequence_proto
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.datamanager.recovery.diagnosis import Kind
from sluiceway_server.datamanager.recovery.recovery import Recovered
from tests.support.backing_stores import PREFIX, BackingStores, crash_once
from tests.support.conditions import eventually
from tests.support.databases import contents, count, take
from tests.support.faulty_stores import FaultyKeyValueStore, FaultyStorage


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


async def unflushed(backing: BackingStores, times: int) -> LogSequence:
    """Write what etcd has and the object storage does not; return the last entry."""
    storage = FaultyStorage(backing.storage)
    storage.away = True
    async with backing.database("cut off", storage=storage) as database:
        for _ in range(times):
            await database.transact(count)
        last = database.position.sequence
    shutil.rmtree(backing.folder / "cut off")
    return last


# -- etcd was wiped


async def test_wiped_etcd_is_recovered_by_an_operator(backing: BackingStores) -> None:
    before = await backing.written(10, rounds=3)
    backing.wipe()
    with pytest.raises(FailedPrecondition) as caught:
        async with backing.database():
            pass
    assert caught.value.reason == "ETCD_EMPTY"

    recovered = await backing.recover()

    assert recovered == Recovered(2, seq(1, 30), won=True)
    assert (await backing.standing()).is_healthy
    async with backing.database("one") as one, backing.database("two") as two:
        assert one.epoch == 2
        assert one.position.sequence == seq(2, 1)
        assert await contents(one) == await contents(two) == before
        assert (await one.transact(count, durable=True)).value == 31
        assert (await two.transact(count)).value == 32
    assert await backing.contents() == {"counter": ("", 32)}


async def test_a_healthy_database_is_not_recovered(backing: BackingStores) -> None:
    await backing.written(3)
    with pytest.raises(FailedPrecondition) as caught:
        await backing.recover()
    assert caught.value.reason == "NOTHING_TO_RECOVER"
    assert await backing.keys("epoch/") == [f"{PREFIX}/epoch/00000001"]


async def test_a_database_whose_storage_is_empty_is_not_recovered(backing: BackingStores) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await backing.recover()
    assert caught.value.reason == "NOTHING_TO_RECOVER"


async def test_gap_stops_a_recovery_and_a_restore_goes_before_it(backing: BackingStores) -> None:
    await backing.written(10, rounds=3)
    backing.wipe()
    segments = await backing.keys("wal/")
    lost = segments[len(segments) // 2]
    await backing.storage.delete(lost)
    before_gap = LogSequence.parse(lost.rsplit("/", 1)[1]).counter - 1
    after_gap = segments[segments.index(lost) + 1]

    with pytest.raises(DataLoss) as caught:
        await backing.recover()

    assert caught.value.reason == "LOG_GAP"
    message = str(caught.value)
    assert segments[segments.index(lost) - 1] in message
    assert after_gap in message
    assert f"sluice db restore --to {seq(1, before_gap)}" in message
    assert await backing.keys("epoch/") == [f"{PREFIX}/epoch/00000001"]
    restored = await backing.restore(seq(1, before_gap))
    assert restored.accepted == seq(1, before_gap)
    assert await backing.contents() == {"counter": ("", before_gap)}


async def test_what_only_etcd_has_is_kept(backing: BackingStores) -> None:
    await backing.written(5)
    last = await unflushed(backing, 7)
    recovered = await backing.recover(leaving=1)
    assert (recovered.accepted, recovered.void) == (last, ())
    assert await backing.contents() == {"counter": ("", 12)}


async def test_segments_that_are_lost_are_made_again_from_etcd(backing: BackingStores) -> None:
    await backing.written(5, rounds=2)
    for key in await backing.keys("wal/"):
        await backing.storage.delete(key)
    assert (await backing.standing()).kind is Kind.STORAGE_BEHIND
    recovered = await backing.recover()
    assert recovered.accepted == seq(1, 10)
    backing.wipe()
    assert (await backing.recover()).accepted == seq(2, 1)
    assert await backing.contents() == {"counter": ("", 10)}


async def test_one_recovery_after_the_other_keeps_all_epochs(backing: BackingStores) -> None:
    for epoch in range(1, 5):
        await backing.written(5)
        backing.wipe()
        assert (await backing.recover()).epoch == epoch + 1
    assert await backing.contents() == {"counter": ("", 20)}
    async with backing.database("anew") as database:
        seen = await take(database, 20, Position(seq(1, 0), 0))
        assert [item.position.sequence.epoch for item in seen] == [1] * 5 + [2] * 5 + [3] * 5 + [4] * 5


async def test_a_manifest_stands_for_the_segments_that_were_cleaned(backing: BackingStores) -> None:
    await backing.written(10, rounds=2)
    stores = backing.stores()
    segments = [await stores.segments.read(first) for first in await stores.segments.firsts()]
    cleaned = [segment for segment in segments if segment.last <= seq(1, 10)]
    base = cleaned[-1]
    await stores.manifests.put(
        storage_pb2.Manifest(
            sequence=sequence_proto(base.last),
            transactions=base.entries[-1].transactions,
            digest=base.digest,
            total_bytes=base.total_bytes,
            time_us=base.entries[-1].time_us,
        )
    )
    for segment in cleaned:
        await stores.segments.delete(segment.first)
    backing.wipe()
    recovered = await backing.recover()
    assert recovered.accepted == seq(1, 20)
    assert await backing.stores().log.checkpoint() == base.last == seq(1, 10)
    with pytest.raises(FailedPrecondition, match=str(base.last)) as caught:
        await backing.restore(seq(1, 1))
    assert caught.value.reason == "SEQUENCE_UNREACHABLE"


# -- several at once, and crashes


async def test_of_two_recoverers_one_wins_and_the_other_joins(backing: BackingStores) -> None:
    await backing.written(10)
    backing.wipe()
    results = await asyncio.gather(*(backing.recover(f"operator {n}") for n in range(3)), return_exceptions=True)
    done = [result for result in results if isinstance(result, Recovered)]
    late = [result for result in results if isinstance(result, FailedPrecondition)]
    assert sum(result.won for result in done) == 1
    assert len(done) + len(late) == 3
    assert all(error.reason == "NOTHING_TO_RECOVER" for error in late)
    standing = await backing.standing()
    assert standing.is_healthy
    assert all(result.epoch == standing.holdings.present for result in done)
    assert await backing.contents() == {"counter": ("", 10)}


def points(prefix: str, without: str = "-") -> list[str]:
    return sorted(name for name in CRASH_POINTS if name.startswith(prefix) and not name.endswith(without))


@pytest.mark.parametrize("point", points("recover.", without="rescue"))
async def test_a_recovery_that_dies_is_done_again(point: str, backing: BackingStores) -> None:
    await backing.written(5)
    await unflushed(backing, 3)
    with crashing(crash_once(), point), pytest.raises(Crashed):
        await backing.recover(leaving=1)
    standing = await backing.standing()
    if standing.is_healthy and standing.holdings.present == 1:
        assert (await backing.recover(leaving=1)).won
    elif not standing.is_healthy:
        assert (await backing.recover()).won
    assert await backing.contents() == {"counter": ("", 8)}
    # Whatever it left behind, the next one is as any other.
    backing.wipe()
    await backing.recover()
    assert await backing.contents() == {"counter": ("", 8)}


@pytest.mark.parametrize("point", points("epoch."))
async def test_a_first_start_that_dies_is_gone_on_with(point: str, backing: BackingStores) -> None:
    with crashing(crash_once(), point), pytest.raises(Crashed):
        async with backing.database():
            pass
    assert await backing.written(3) == {"counter": ("", 3)}


async def test_epoch_object_of_a_failed_recovery_is_harmless(backing: BackingStores) -> None:
    before = await backing.written(5)
    with crashing(crash_once(), "recover.before-head"), pytest.raises(Crashed):
        await backing.recover(leaving=1)
    assert len(await backing.keys("epoch/")) == 2
    assert (await backing.standing()).is_healthy
    async with backing.database() as database:
        assert database.epoch == 1
        assert await contents(database) == before
        await database.transact(count, durable=True)
    backing.wipe()
    assert (await backing.recover()).epoch == 3
    assert await backing.contents() == {"counter": ("", 6)}


async def test_a_recovery_whose_response_was_lost_has_happened_once(backing: BackingStores) -> None:
    await backing.written(5)
    backing.wipe()
    for fates in (["lost_answer"], ["lost_request", "lost_answer"], ["late"], ["away", "late", "away"]):
        faulty = FaultyKeyValueStore(backing.kv)
        faulty.plan.extend(fates)
        recovered = await backing.recovery(kv=faulty).recover(
            cause="a test", leaving=(await backing.standing()).holdings.present
        )
        await faulty.late_ones_ended()
        standing = await backing.standing()
        assert (recovered.won, standing.is_healthy, standing.holdings.present) == (True, True, recovered.epoch)
    assert await backing.contents() == {"counter": ("", 5)}


async def test_late_entry_is_refused_after_a_recovery(backing: BackingStores) -> None:
    await backing.written(5)
    faulty = FaultyKeyValueStore(backing.kv)
    faulty.apply_late = asyncio.Event()
    faulty.plan.extend(["late", *["away"] * 9])

    async def serve() -> None:
        async with backing.database(kv=faulty) as database:
            with pytest.raises(Conflict) as caught:
                await database.transact(count)
            assert caught.value.reason == "OUTCOME_UNKNOWN"
            await asyncio.Event().wait()

    async def is_in_doubt() -> bool:
        return len(faulty.plan) < 9

    server = asyncio.create_task(serve())
    await eventually(is_in_doubt)
    recovered = await backing.recover(leaving=1)
    assert recovered.accepted == seq(1, 5)
    faulty.apply_late.set()
    await faulty.late_ones_ended()

    with pytest.raises(DatabaseLost) as caught:
        await server
    assert caught.value.reason == "EPOCH_CHANGED"
    assert await backing.contents() == {"counter": ("", 5)}
