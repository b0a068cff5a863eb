"""The real database when things go wrong: over a real etcd and a folder, with answers lost on the way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway.datamanager.database import DataManager
from sluiceway.datamanager.model import Applied, Decision, Delete, LogSequence, Position, Put, Query, View
from sluiceway.foundation.errors import Conflict, DataLoss, FailedPrecondition, OutOfRange, Unavailable
from sluiceway.kv.etcd import EtcdStore
from sluiceway.objectstorage.posix import PosixStorage
from sluiceway.records.log.v1 import log_pb2
from tests.fakes.kv import FakeKeyValueStore
from tests.support.conditions import eventually
from tests.support.databases import FAST, NOTE, OTHER, note, open_database, put
from tests.support.faulty_stores import FaultyKeyValueStore, FaultyStorage

SHORT_LOG = replace(FAST, keep_log_entries=3)


def count(view: View) -> Decision[int]:
    old = view.get(NOTE, "counter")
    value = (old.number if old else 0) + 1
    return Decision(value, [put("counter", rank=value)])


async def contents(database: DataManager) -> dict[str, tuple[str, int]]:
    return await database.read(lambda view: {id_: (m.writer, m.number) for id_, m in view.scan(NOTE)})


async def flushed(database: DataManager) -> None:
    async def holds() -> bool:
        status = database.status()
        return status.flushed == status.committed.sequence

    await eventually(holds)


async def take(database: DataManager, number: int, after: Position) -> list[Applied]:
    found = []
    async with asyncio.timeout(10), aclosing(database.subscribe(after=after)) as applied:
        async for item in applied:
            found.append(item)
            if len(found) == number:
                break
    return found


# -- several servers


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


async def test_a_record_that_another_server_made_is_found_without_a_position(
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


# -- unknown outcomes

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


async def test_etcd_that_stays_away_refuses_after_a_while_and_writes_nothing(
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


async def test_a_server_that_stops_in_doubt_says_so(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyKeyValueStore(etcd)
    settings = replace(FAST, stop_timeout=timedelta(milliseconds=100))
    async with open_database(faulty, storage, tmp_path, prefix=etcd_prefix, settings=settings) as database:
        faulty.plan.extend(["lost_request"] * 1000)
        in_doubt = asyncio.create_task(database.transact(count))

        async def sent() -> bool:
            return len(faulty.plan) < 1000

        await eventually(sent)
        queued = asyncio.create_task(database.transact(count))
        await asyncio.sleep(0)
    with pytest.raises(Conflict) as caught:
        await in_doubt
    assert caught.value.reason == "OUTCOME_UNKNOWN"
    with pytest.raises(Unavailable):
        await queued
    with pytest.raises(Unavailable):
        await database.transact(count)


# -- flush, rebuild, reopen


async def test_a_durable_commit_is_in_the_object_storage(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    async with open_database(etcd, storage, tmp_path, prefix=etcd_prefix) as database:
        committed = await database.transact(count, durable=True)
        assert database.status().flushed >= committed.position.sequence
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


async def test_a_deleted_read_database_is_built_again_from_segments_and_log(
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


async def test_a_reopened_database_goes_on_where_it_was(
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


async def test_a_segment_that_was_stored_without_an_answer_is_found_again(
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


async def test_writes_slow_down_and_are_refused_while_the_storage_is_away(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
) -> None:
    faulty = FaultyStorage(storage)
    settings = replace(FAST, slow_at_bytes=1500, refuse_at_bytes=3000)
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
        assert 5 < written < 50
        assert database.status().unflushed_bytes >= 3000
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


# -- history


async def test_a_subscriber_reads_what_memory_has_no_more_from_the_read_database(
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
        with pytest.raises(OutOfRange):
            await take(database, 1, start)
        following = asyncio.create_task(take(database, 1, database_start))
        await database.linearize()
        committed = await database.commit([put("b")])
        assert (await following)[0].position == committed.position


async def test_a_watch_that_was_compacted_away_begins_anew(
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
        assert faulty.watches >= 3


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


# -- etcd and storage that do not belong together


async def test_an_empty_etcd_beside_a_full_storage_is_refused(storage: PosixStorage, tmp_path: Path) -> None:
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


async def test_an_empty_storage_beside_a_full_etcd_is_refused(storage: PosixStorage, tmp_path: Path) -> None:
    kv = FakeKeyValueStore()
    async with open_database(kv, storage, tmp_path, prefix="p") as database:
        await database.transact(count, durable=True)
    with pytest.raises(FailedPrecondition) as caught:
        async with open_database(kv, PosixStorage(tmp_path / "elsewhere"), tmp_path, prefix="p"):
            pass
    assert caught.value.reason == "STORAGE_EMPTY"


async def test_two_databases_in_one_storage_folder_are_refused(storage: PosixStorage, tmp_path: Path) -> None:
    async with open_database(FakeKeyValueStore(), storage, tmp_path, prefix="p") as database:
        await database.transact(count, durable=True)
    other = FakeKeyValueStore(cluster_id=7)
    async with open_database(other, PosixStorage(tmp_path / "elsewhere"), tmp_path, prefix="p", server_id="two"):
        pass
    with pytest.raises(FailedPrecondition) as caught:
        async with open_database(other, storage, tmp_path, prefix="p", server_id="three"):
            pass
    assert caught.value.reason == "STORES_DISAGREE"


async def test_a_crash_between_epoch_and_head_starts_over(storage: PosixStorage, tmp_path: Path) -> None:
    kv = FakeKeyValueStore()
    async with open_database(kv, storage, tmp_path, prefix="p"):
        pass
    # The epoch object is there, and etcd is as it was before.
    kv.wipe(cluster_id=1001)
    async with open_database(kv, storage, tmp_path, prefix="p") as database:
        assert (await database.transact(count)).value == 1


async def test_two_first_starts_at_once_make_one_database(
    etcd: EtcdStore, storage: PosixStorage, tmp_path: Path, etcd_prefix: str
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
async def test_a_server_whose_etcd_changed_under_it_ends(wreck: object, storage: PosixStorage, tmp_path: Path) -> None:
    assert callable(wreck)
    kv = FakeKeyValueStore()

    async def serve() -> None:
        async with open_database(kv, storage, tmp_path, prefix="p") as database:
            old = kv.snapshot()
            for _ in range(5):
                await database.transact(count)
            wreck(kv, old)
            await asyncio.sleep(30)

    with pytest.raises(ExceptionGroup) as caught:
        await serve()
    assert caught.group_contains(FailedPrecondition, match="etcd|cluster")


async def test_the_error_of_the_body_comes_out_as_itself(storage: PosixStorage, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with open_database(FakeKeyValueStore(), storage, tmp_path, prefix="p"):
            raise KeyError("mine")


async def test_status_tells_where_everything_is(storage: PosixStorage, tmp_path: Path) -> None:
    async with open_database(FakeKeyValueStore(), storage, tmp_path, prefix="p") as database:
        committed = await database.transact(count, durable=True)
        status = database.status()
        assert status.ready
        assert (status.epoch, status.committed, status.unflushed_bytes) == (1, committed.position, 0)
        assert note() == log_pb2.Epoch()
    assert not database.ready
