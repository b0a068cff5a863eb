"""Stores that do not belong together, or were tampered with: what a server says, and what it never does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition, SluicewayError
from sluiceway_server.datamanager.engine.opening import RecoverAlways, RecoverIfRolledBack
from sluiceway_server.datamanager.log.entries import decode_entry
from sluiceway_server.datamanager.log.segments import encode_segment
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.port import DatabaseLost, Seen
from sluiceway_server.datamanager.recovery.diagnosis import Kind
from sluiceway_server.kv.port import DeleteKey
from tests.support.backing_stores import PREFIX, BackingStores
from tests.support.conditions import eventually
from tests.support.databases import FAST, contents, count, flushed
from tests.support.etcd import etcd_process
from tests.support.faulty_stores import FaultyStorage

_SECONDS = timedelta(seconds=5)


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


async def refused(backing: BackingStores, **options: object) -> SluicewayError:
    before = await backing.keys()
    with pytest.raises((FailedPrecondition, DataLoss)) as caught:
        async with backing.database("a new server", **options):  # type: ignore[arg-type]
            pass
    assert await backing.keys() == before
    assert isinstance(caught.value, SluicewayError)
    return caught.value


async def test_a_server_that_was_given_a_wrong_etcd_forks_nothing(backing: BackingStores, tmp_path: Path) -> None:
    await backing.written(5)
    with etcd_process(tmp_path / "mistyped") as other:
        mistyped = BackingStores(other, backing.folder)
        assert (await refused(mistyped)).reason == "ETCD_EMPTY"
        seen = Seen(seq(1, 5), bytes(32))
        assert (await refused(mistyped, recover=RecoverIfRolledBack(seen))).reason == "ETCD_EMPTY"
        await mistyped.close()
    async with backing.database() as database:
        assert database.epoch == 1


async def test_two_databases_on_one_prefix_are_never_recovered(backing: BackingStores, tmp_path: Path) -> None:
    before = await backing.written(5)
    other = BackingStores(backing.etcd, tmp_path / "other")
    with etcd_process(tmp_path / "etcd-of-the-other") as process:
        there = BackingStores(process, tmp_path / "other")
        await there.written(5)
        await there.close()
    standing = await other.standing()
    assert standing.kind is Kind.OTHER_DATABASE
    assert len(standing.holdings.databases) == 2
    assert all(name in standing.message for name in standing.holdings.databases)
    assert (await refused(other, recover=RecoverAlways())).reason == "OTHER_DATABASE"
    with pytest.raises(FailedPrecondition) as caught:
        await other.recover()
    assert caught.value.reason == "OTHER_DATABASE"
    await other.close()
    assert await backing.contents() == before


async def test_a_segment_of_another_database_is_not_taken_in(backing: BackingStores) -> None:
    await backing.written(5)
    stores = backing.stores()
    last = (await stores.segments.firsts())[-1]
    segment = await stores.segments.read(last)
    await stores.segments.delete(last)
    foreign = encode_segment(segment.entries, total_bytes=segment.total_bytes, writer="x", database_id="another")
    await stores.segments.put(last, foreign)
    assert (await refused(backing)).reason == "OTHER_DATABASE"
    backing.wipe()
    with pytest.raises((DataLoss, FailedPrecondition), match="another") as caught:
        await backing.recover()
    assert isinstance(caught.value, SluicewayError)
    assert caught.value.reason == "OTHER_DATABASE"


@pytest.mark.parametrize("key", ["head", "flushed"])
async def test_a_key_that_somebody_deleted_is_told_and_recovered_from(key: str, backing: BackingStores) -> None:
    before = await backing.written(5)
    await backing.kv.txn(then=(DeleteKey(f"{PREFIX}/db/{key}"),), timeout=_SECONDS)
    error = await refused(backing)
    assert error.reason == "ETCD_TORN"
    assert key in str(error)
    assert (await backing.recover()).accepted == seq(1, 5)
    assert await backing.contents() == before


@pytest.mark.parametrize("keys", [["head"], ["flushed"], ["head", "flushed"]], ids=" and ".join)
async def test_entries_that_only_etcd_has_survive_deleted_keys(keys: list[str], backing: BackingStores) -> None:
    await backing.written(3)
    faulty = FaultyStorage(backing.storage)
    impatient = replace(FAST, stop_timeout=timedelta(milliseconds=100))
    async with backing.database(storage=faulty, settings=impatient) as database:
        faulty.away = True
        for _ in range(4):
            await database.transact(count)
        before = await contents(database)
    for key in keys:
        await backing.kv.txn(then=(DeleteKey(f"{PREFIX}/db/{key}"),), timeout=_SECONDS)
    recovered = await backing.recover()
    assert recovered.accepted == seq(1, 7)
    assert await backing.contents() == before


@pytest.mark.parametrize("key", ["head", "flushed"])
async def test_a_key_that_somebody_overwrote_is_named_with_what_to_do(key: str, backing: BackingStores) -> None:
    before = await backing.written(3)
    await backing.kv.put(f"{PREFIX}/db/{key}", b"hello", timeout=_SECONDS)
    with pytest.raises(DataLoss, match=f"{PREFIX}/db/{key}.*delete") as caught:
        async with backing.database():
            pass
    assert caught.value.reason == "ETCD_DAMAGED"
    # What it says helps.
    await backing.kv.txn(then=(DeleteKey(f"{PREFIX}/db/{key}"),), timeout=_SECONDS)
    await backing.recover()
    assert await backing.contents() == before


@pytest.mark.parametrize("key", ["head", "flushed"])
async def test_key_overwritten_under_a_server_ends_its_database(key: str, backing: BackingStores) -> None:
    async def serve() -> None:
        async with backing.database() as database:
            await database.transact(count)
            await flushed(database)
            await backing.kv.put(f"{PREFIX}/db/{key}", b"hello", timeout=_SECONDS)
            await asyncio.Event().wait()

    async with asyncio.timeout(30):
        with pytest.raises(DatabaseLost, match=f"{PREFIX}/db/{key}.*delete"):
            await serve()


async def test_copy_of_etcd_in_another_cluster_needs_a_recovery(backing: BackingStores, tmp_path: Path) -> None:
    before = await backing.written(5)
    keys, _ = await backing.kv.list_prefix(f"{PREFIX}/", timeout=_SECONDS)
    with etcd_process(tmp_path / "restored") as process:
        restored = BackingStores(process, backing.folder)
        for key in keys:
            await restored.kv.put(key.key, key.value, timeout=_SECONDS)
        assert (await refused(restored)).reason == "OTHER_CLUSTER"
        assert (await restored.recover()).epoch == 2
        assert await restored.contents() == before
        await restored.close()
    # The old one is left behind.
    assert (await refused(backing)).reason == "ETCD_BEHIND"


async def test_what_two_histories_hold_is_never_mixed(backing: BackingStores) -> None:
    """Etcd went back, and a server that had slept since then wrote on: both acknowledged other entries."""
    await backing.written(5)
    copy = backing.snapshot()
    await backing.written(5)
    backing.go_back(copy)
    stores = backing.stores()
    kept = [await stores.segments.read(first) for first in await stores.segments.newer(seq(1, 5))]
    for segment in kept:
        await stores.segments.delete(segment.first)
    sleeper = backing.written(7, server_id="sleeper")
    await sleeper
    for first in await stores.segments.newer(seq(1, 5)):
        await stores.segments.delete(first)
    for segment in kept:
        body = encode_segment(segment.entries, total_bytes=segment.total_bytes, writer="one")
        await stores.segments.put(segment.first, body)

    # The storage has 6-10 of the first history, etcd 6-12 of the second.
    standing = await backing.standing()
    assert standing.kind in {Kind.DIVERGED, Kind.STORAGE_BEHIND}
    assert (await refused(backing)).reason == standing.kind
    recovered = await backing.recover()
    assert recovered.accepted == seq(1, 10)
    assert [(void.first, void.last, void.entries) for void in recovered.void] == [(seq(1, 6), seq(1, 12), 7)]
    assert await backing.contents() == {"counter": ("", 10)}


async def test_flusher_stops_when_the_newest_segment_is_lost(backing: BackingStores) -> None:
    async def serve() -> None:
        async with backing.database() as database:
            await database.transact(count)
            await flushed(database)
            newest = (await backing.keys("wal/"))[-1]
            await backing.storage.delete(newest)
            await database.transact(count)
            await asyncio.Event().wait()

    with pytest.raises(DatabaseLost, match="segments are gone") as caught:
        await serve()
    assert caught.value.reason == "LOG_GAP"
    # The server put back what it knew.
    assert await backing.contents() == {"counter": ("", 2)}


async def test_a_torn_segment_is_named_by_a_recovery(backing: BackingStores) -> None:
    await backing.written(5, rounds=2)
    segments = await backing.keys("wal/")
    body = await backing.storage.get(segments[0])
    await backing.storage.put(segments[0], body[:-3])
    backing.wipe()
    with pytest.raises(DataLoss, match=segments[0]) as caught:
        await backing.recover()
    assert caught.value.reason == "SEGMENT_DAMAGED"
    assert len(await backing.keys("epoch/")) == 1
    await backing.storage.put(segments[0], body)
    assert (await backing.recover()).accepted == seq(1, 10)


async def test_a_torn_epoch_object_is_named(backing: BackingStores) -> None:
    await backing.written(5)
    (key,) = await backing.keys("epoch/")
    body = await backing.storage.get(key)
    await backing.storage.put(key, body[:-3])
    assert (await refused(backing)).reason == "EPOCH_DAMAGED"
    await backing.storage.put(key, body)
    async with backing.database() as database:
        assert await contents(database) == {"counter": ("", 5)}


async def test_files_that_do_not_belong_there_harm_nothing(backing: BackingStores) -> None:
    before = await backing.written(5)
    await backing.storage.put(f"{PREFIX}/wal/README", b"hello")
    await backing.storage.put(f"{PREFIX}/epoch/README", b"hello")
    assert (await backing.standing()).holdings.strange == {f"{PREFIX}/wal/README"}
    backing.wipe()
    assert (await backing.recover()).won
    assert await backing.contents() == before


async def test_storage_in_use_is_not_recovered_unless_forced(backing: BackingStores, tmp_path: Path) -> None:
    with etcd_process(tmp_path / "elsewhere") as process:
        wrong = BackingStores(process, backing.folder)
        recovery = wrong.recovery()
        async with backing.database() as database:

            async def busy() -> None:
                while True:
                    await database.transact(count)
                    await flushed(database)

            writer = asyncio.create_task(busy())
            await eventually(lambda: _stored(backing))
            with pytest.raises(FailedPrecondition, match=r"one (put|works)") as caught:
                await recovery.refuse_if_in_use(span=timedelta(seconds=20))
            assert caught.value.reason == "STORAGE_IN_USE"
            writer.cancel()
        await wrong.recovery().refuse_if_in_use(span=timedelta(milliseconds=50))
        await wrong.close()


async def test_storage_of_idle_servers_is_not_recovered(backing: BackingStores, tmp_path: Path) -> None:
    with etcd_process(tmp_path / "elsewhere") as process:
        wrong = BackingStores(process, backing.folder)
        settings = replace(FAST, etcd_name="http://the-right-one")
        async with backing.database(settings=settings) as database, backing.database("two", settings=settings):
            await database.transact(count)
            await flushed(database)
            idle = {key: await backing.storage.get(key) for key in await backing.keys("")}
            for _ in range(2):
                with pytest.raises(FailedPrecondition, match="etcd at http://the-right-one") as caught:
                    await wrong.recovery().refuse_if_in_use(span=timedelta(seconds=20))
                assert caught.value.reason == "STORAGE_IN_USE"
            # Two at a time: the later probe takes the place of the earlier one, and one reply is for both.
            both = [wrong.recovery(name).refuse_if_in_use(span=timedelta(seconds=20)) for name in ("a", "b")]
            refusals = await asyncio.gather(*both, return_exceptions=True)
            assert all(isinstance(error, FailedPrecondition) for error in refusals)
            # Those who work in the same etcd notice a recovery by themselves.
            await backing.recovery().refuse_if_in_use(span=timedelta(seconds=1))
            # So it is when a server recovers by itself.
            with pytest.raises(FailedPrecondition, match="in use"):
                await wrong.recovery().recover(cause="a test", quiet=timedelta(seconds=1))
            now = {key: await backing.storage.get(key) for key in await backing.keys("")}
            assert {key for key in now if now[key] != idle.get(key)} == {
                f"{PREFIX}/in-use/probe",
                f"{PREFIX}/in-use/reply",
            }
        await wrong.recovery().refuse_if_in_use(span=timedelta(seconds=1))  # nobody is there to reply
        await wrong.close()


async def test_a_server_whose_etcd_is_away_does_not_claim_the_storage(backing: BackingStores, tmp_path: Path) -> None:
    with etcd_process(tmp_path / "elsewhere") as process:
        wrong = BackingStores(process, backing.folder)
        async with backing.database(settings=replace(FAST, etcd_timeout=timedelta(seconds=2))) as database:
            await database.transact(count)
            await flushed(database)
            backing.etcd.stop()
            await wrong.recovery().refuse_if_in_use(span=timedelta(seconds=1))
            backing.etcd.start()
            with pytest.raises(FailedPrecondition, match="in use"):
                await wrong.recovery().refuse_if_in_use(span=timedelta(seconds=20))
        await wrong.close()


async def _stored(backing: BackingStores) -> bool:
    return bool(await backing.keys("wal/"))


async def test_a_recovery_waits_until_others_have_saved_what_they_know(backing: BackingStores) -> None:
    """A server whose storage was slow puts its entries while another one recovers."""
    await backing.written(5)
    stores = backing.stores()
    async with backing.database("late", settings=replace(FAST, flush_interval=timedelta(seconds=60))) as database:
        for _ in range(3):
            await database.transact(count)
        known = [decode_entry(entry.raw) async for entry in stores.log.entries(seq(1, 6))]
    for first in await stores.segments.newer(seq(1, 5)):
        await stores.segments.delete(first)
    backing.wipe()
    total = sum(len(entry.raw) for entry in known)
    left = list(known)

    async def another_one_is_stored(seconds: float) -> None:
        if left:
            entry = left.pop(0)
            await stores.segments.put(entry.sequence, encode_segment([entry], total_bytes=total, writer="late"))
        await asyncio.sleep(seconds)

    recovery = backing.recovery(sleep=another_one_is_stored)
    recovered = await recovery.recover(cause="a test", quiet=timedelta(milliseconds=500))
    assert recovered.accepted == seq(1, 8)
    assert await backing.contents() == {"counter": ("", 8)}


async def test_server_left_behind_at_another_etcd_stops(backing: BackingStores, tmp_path: Path) -> None:
    """The operator recovered with a mistyped etcd, and forced it: the two must not continue side by side."""
    await backing.written(5)
    ready, write = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with backing.database("left behind") as database:
            ready.set()
            await write.wait()
            await database.transact(count)
            await asyncio.Event().wait()

    server = asyncio.create_task(serve())
    await ready.wait()
    with etcd_process(tmp_path / "mistyped") as process:
        mistyped = BackingStores(process, backing.folder)
        await mistyped.recover()
        write.set()
        with pytest.raises(DatabaseLost, match="another etcd") as lost:
            await server
        assert lost.value.reason == "EPOCH_CHANGED"
        assert lost.value.seen is not None
        assert (await refused(backing, recover=RecoverIfRolledBack(lost.value.seen))).reason == "ETCD_BEHIND"
        assert await mistyped.contents() == {"counter": ("", 5)}
        await mistyped.close()
