"""Checkpoints of a log that was written without a server: over a real etcd, and real storages."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway.datamanager.checkpoints.checkpointer import Overtaken, files_of
from sluiceway.datamanager.log.entries import from_sequence_proto
from sluiceway.datamanager.log.etcdlog import Log
from sluiceway.datamanager.model import Action, Column, Delete, LogSequence, Position, Put, RecordType
from sluiceway.foundation.errors import DataLoss, DeadlineExceeded, Unavailable
from sluiceway.kv.etcd import EtcdStore
from sluiceway.objectstorage.locate import open_storage
from sluiceway.objectstorage.port import ObjectStorage
from sluiceway.objectstorage.posix import PosixStorage
from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.storage.v1.storage_pb2 import Manifest
from tests.fakes.clock import FakeClock
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.written_log import (
    JOB,
    LOCAL,
    SMALL,
    WrittenLog,
    all_keys,
    checkpointer,
    contents,
    job,
    local,
    rows,
    stores,
)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[ObjectStorage]:
    """A folder: for what does not depend on the storage."""
    found = PosixStorage(tmp_path / "objects")
    yield found
    await found.close()


@pytest.fixture(params=["posix", "s3"])
async def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStorage]:
    url = f"posix:{tmp_path / 'objects'}" if request.param == "posix" else request.getfixturevalue("s3_url")
    found = await open_storage(url)
    yield found
    await found.close()


@pytest.fixture
def prefix(etcd_prefix: str) -> str:
    return etcd_prefix.strip("/")


def noise(size: int, *, of: random.Random | None = None) -> str:
    """Text that compresses badly."""
    return (of or random).randbytes(size // 2).hex()


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


def sequence_of(manifest: Manifest | None) -> LogSequence | None:
    return None if manifest is None else from_sequence_proto(manifest.sequence)


# -- what is in it


async def test_a_checkpoint_holds_what_the_log_says(
    any_storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    storage = any_storage
    log = WrittenLog(storage, prefix)
    log.commit(local("a", "1"), local("b", "1"), groups=["g", "h"])
    await log.flush()
    log.commit_batch(([local("a", "2"), local("c")], ["g"]), ([Delete(LOCAL, "b"), job("j", group="x", rank=3)], []))
    log.commit(local("a", "3"))
    flushed = await log.flush()
    made = await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(flushed, log.lineage)
    assert made is not None
    assert await contents(storage, prefix, made) == log.model
    assert [type_.type for type_ in made.types] == ["change_group", "job", "local"]
    assert sequence_of(made) == seq(1, 3)
    assert (made.transactions, made.digest, made.total_bytes) == (1, flushed.digest, flushed.total_bytes)
    assert (made.database_id, made.writer, made.HasField("base")) == ("database", "one", False)
    manifests, _ = stores(storage, prefix)
    assert await manifests.newest(log.lineage) == made
    assert await Log(etcd, prefix=prefix, timeout=timedelta(seconds=5)).checkpoint() == seq(1, 3)
    named = {ref.key for ref in files_of(made)}
    assert await all_keys(storage, prefix) == named
    assert made.written_bytes == sum(ref.size for ref in files_of(made))
    assert made.changed_bytes == sum(len(id_.encode()) + len(body) for (_, id_), (_, body) in log.model.items()) + 1
    assert not list((tmp_path / "one").iterdir()), "the scratch file is gone"


async def test_the_next_one_keeps_untouched_files_by_reference(
    any_storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    storage = any_storage
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    for n in range(40):
        log.commit(*(job(f"{n:03}-{m:03}", done=True, text=noise(2000)) for m in range(20)))
    first = await maker.run(await log.flush(), log.lineage)
    assert first is not None
    before = {live.data.key: live.index.key for type_ in first.types for live in type_.files}
    assert len(before) > 6, "files are split"
    assert all(ref.size < SMALL.file_bytes * 2 for ref in files_of(first))
    log.commit(job("020-005", rank=7), Delete(JOB, "020-006"))
    second = await maker.run(await log.flush(), log.lineage)
    assert second is not None
    after = {live.data.key: live.index.key for type_ in second.types for live in type_.files}
    assert await contents(storage, prefix, second) == log.model
    assert len(set(before) & set(after)) >= len(before) - 2
    assert all(after[key] == before[key] for key in set(before) & set(after)), "so are their dumps"
    assert second.written_bytes < first.written_bytes / 3
    assert sequence_of(first) == from_sequence_proto(second.base)
    assert await contents(storage, prefix, first) == log.states[seq(1, 40)], "the first one is whole still"


async def test_random_histories_in_many_checkpoints(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    chance = random.Random(11)
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    ids = [f"{n:02}" for n in range(60)]
    for _ in range(12):
        for _ in range(chance.randrange(1, 20)):
            batch: list[tuple[list[Action], list[str]]] = []
            for _ in range(chance.randrange(1, 4)):
                some = chance.sample(ids, chance.randrange(0, 6))
                put_one = [job(f"{id_}{chance.randrange(4)}", text=noise(3000, of=chance)) for id_ in some]
                drop = [Delete(JOB, f"{chance.choice(ids)}{chance.randrange(4)}") for _ in range(chance.randrange(3))]
                batch.append(([*put_one, *drop], chance.sample("pqrs", chance.randrange(3))))
            log.commit_batch(*batch)
            if chance.random() < 0.3:
                await log.flush()
        made = await maker.run(await log.flush(), log.lineage)
        assert await contents(storage, prefix, made) == log.model


async def test_records_of_unknown_types_are_carried_through(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    tomorrow: RecordType[log_pb2.Emit] = RecordType("tomorrow", log_pb2.Emit)
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(Put(tomorrow, "a", log_pb2.Emit(kind="x")), Put(tomorrow, "b", log_pb2.Emit(kind="y")))
    await maker.run(await log.flush(), log.lineage)
    log.commit(Put(tomorrow, "b", log_pb2.Emit(kind="z")), local("a"))
    made = await maker.run(await log.flush(), log.lineage)
    assert await contents(storage, prefix, made) == log.model
    assert ("tomorrow", "a") in log.model


async def test_a_type_whose_last_record_is_deleted_has_no_files(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(local("a"), job("j"))
    await maker.run(await log.flush(), log.lineage)
    log.commit(Delete(LOCAL, "a"), Delete(LOCAL, "never"))
    made = await maker.run(await log.flush(), log.lineage)
    assert made is not None
    assert [type_.type for type_ in made.types] == ["job"]


# -- index dumps


async def test_index_dumps_have_the_columns_and_the_bodies_of_what_may_still_change(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log = WrittenLog(storage, prefix)
    at = log.commit(job("a", group="g", rank=4, done=True), job("b", rank=5))
    made = await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)
    assert made is not None
    found = await rows(storage, prefix, made, "job")
    assert (found["a"].revision, found["a"].values, found["a"].body) == (at, ("g", 4), None)
    assert (found["b"].values, found["b"].body) == ((None, 5), log.model["job", "b"][1])
    assert not [key for key in await all_keys(storage, prefix, "index") if not key.startswith("index/job/")]


async def test_dumps_of_other_versions_are_renewed_beside_files_that_nothing_touches(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log = WrittenLog(storage, prefix)
    log.commit(job("a", rank=4, done=True))
    old = checkpointer(storage, etcd, tmp_path, prefix=prefix, server_id="old", types=(LOCAL,))
    first = await old.run(await log.flush(), log.lineage)
    assert first is not None
    assert not await all_keys(storage, prefix, "index"), "the old version does not know the type"

    log.commit(local("x"))
    now = checkpointer(storage, etcd, tmp_path, prefix=prefix, server_id="now")
    second = await now.run(await log.flush(), log.lineage)
    assert second is not None
    assert (await rows(storage, prefix, second, "job"))["a"].values == (None, 4)
    data = {live.data.key for type_ in second.types for live in type_.files if type_.type == "job"}
    assert data == {live.data.key for type_ in first.types for live in type_.files}

    log.commit(local("x"))
    newer_type = replace(JOB, version=2, columns=(Column("rank", lambda m: -m.number),), indexes=())
    new = checkpointer(storage, etcd, tmp_path, prefix=prefix, server_id="new", types=(LOCAL, newer_type))
    third = await new.run(await log.flush(), log.lineage)
    assert third is not None
    assert (await rows(storage, prefix, third, "job"))["a"].values == (-4,)

    log.commit(local("x"))
    again = await now.run(await log.flush(), log.lineage)
    assert again is not None
    assert again.types[0] == third.types[0], "a server of the older version leaves the newer dump alone"


# -- which part of the log


async def test_nothing_to_do(storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path) -> None:
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    assert await maker.run(log.mark(), log.lineage) is None
    log.commit(local("a"))
    made = await maker.run(await log.flush(), log.lineage)
    assert await maker.run(await log.flush(), log.lineage) == made
    assert len(await all_keys(storage, prefix, "manifest")) == 1


async def test_only_what_flushed_names_is_taken_in(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(local("a", "1"))
    early = log.mark()
    log.commit(local("a", "2"))
    await log.flush()
    made = await maker.run(early, log.lineage)
    assert made is not None
    assert (sequence_of(made), made.total_bytes) == (seq(1, 1), early.total_bytes)
    assert await contents(storage, prefix, made) == log.states[seq(1, 1)]
    made = await maker.run(log.mark(), log.lineage)
    assert await contents(storage, prefix, made) == log.model


async def test_it_crosses_epochs_and_leaves_out_what_is_void(
    any_storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    storage = any_storage
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    for n in range(3):
        log.commit(local(f"a{n}"))
    await maker.run(await log.flush(), log.lineage)
    for n in range(5):
        log.commit(local("void" if n > 1 else f"b{n}"))
    await log.flush()
    first_mark = log.begin_epoch(accepted=seq(1, 5))
    made = await maker.run(first_mark, log.lineage)
    assert made is not None
    assert sequence_of(made) == seq(1, 5), "nothing is flushed in the new epoch"
    assert await contents(storage, prefix, made) == log.states[seq(1, 5)]
    log.commit(local("c", "1"))
    await log.flush()
    log.begin_epoch(accepted=seq(2, 2), number=4)
    log.commit(local("c", "2"))
    made = await maker.run(await log.flush(), log.lineage)
    assert sequence_of(made) == seq(4, 2)
    assert await contents(storage, prefix, made) == log.model
    assert ("local", "void") not in log.model


async def test_a_void_manifest_is_not_gone_on_from(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(local("a"))
    await maker.run(await log.flush(), log.lineage)
    log.commit(local("void"))
    await maker.run(await log.flush(), log.lineage)
    log.begin_epoch(accepted=seq(1, 1))
    log.commit(local("b"))
    made = await maker.run(await log.flush(), log.lineage)
    assert made is not None
    assert from_sequence_proto(made.base) == seq(1, 1)
    assert await contents(storage, prefix, made) == log.model


async def test_a_server_whose_epoch_is_over_makes_no_manifest_any_more(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log = WrittenLog(storage, prefix)
    log.commit(local("a"))
    left_behind = checkpointer(storage, etcd, tmp_path, prefix=prefix, server_id="old")
    await left_behind.run(await log.flush(), log.lineage)
    log.commit(local("b"))
    old_mark, old_lineage = await log.flush(), log.lineage
    log.begin_epoch(accepted=seq(1, 2))
    made = await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)
    before = await all_keys(storage, prefix, "manifest", "data")
    with pytest.raises(Overtaken, match=str(seq(2, 1))):
        await left_behind.run(old_mark, old_lineage)
    assert await all_keys(storage, prefix, "manifest", "data") == before
    assert await contents(storage, prefix, made) == log.model


async def test_a_gap_names_both_neighbours(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    for n in range(6):
        log.commit(local(f"a{n}"))
        if n % 2:
            await log.flush()
    await storage.delete(log.segments.key(seq(1, 3)))
    with pytest.raises(DataLoss) as caught:
        await maker.run(log.mark(), log.lineage)
    assert f"ends at {seq(1, 2)}" in str(caught.value)
    assert f"goes on at {seq(1, 5)}" in str(caught.value)
    assert log.segments.key(seq(1, 3)) in str(caught.value)
    assert caught.value.reason == "LOG_GAP"
    await storage.delete(log.segments.key(seq(1, 5)))
    with pytest.raises(DataLoss, match="has nothing after it"):
        await maker.run(log.mark(), log.lineage)
    assert not await all_keys(storage, prefix, "manifest", "data")


async def test_a_gap_before_a_new_epoch_is_told(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    for n in range(4):
        log.commit(local(f"a{n}"))
        await log.flush()
    await storage.delete(log.segments.key(seq(1, 4)))
    mark = log.begin_epoch(accepted=seq(1, 4))
    with pytest.raises(DataLoss, match=str(seq(1, 3))):
        await maker.run(mark, log.lineage)


async def test_another_history_is_not_gone_on_with(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(local("a"))
    mark = await log.flush()
    with pytest.raises(DataLoss, match="different entries"):
        await maker.run(replace(mark, digest=b"another"), log.lineage)
    await maker.run(mark, log.lineage)
    other = WrittenLog(storage, prefix)
    other.commit(local("b"))
    other.commit(local("c"))
    other._pending = other._pending[1:]
    with pytest.raises(DataLoss, match="another history"):
        await maker.run(await other.flush(), other.lineage)


# -- several servers, and things that go wrong


async def test_two_servers_at_once_make_one_manifest(
    any_storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    storage = any_storage
    log = WrittenLog(storage, prefix)
    makers = [checkpointer(storage, etcd, tmp_path, prefix=prefix, server_id=name) for name in ("one", "two", "three")]
    for n in range(4):
        log.commit(*(job(f"{n}-{m}", text=noise(2000)) for m in range(50)))
        mark = await log.flush()
        found = await asyncio.gather(*(maker.run(mark, log.lineage) for maker in makers), return_exceptions=True)
        winners = {made.SerializeToString() for made in found if isinstance(made, Manifest)}
        assert len(winners) == 1
        assert all(isinstance(made, Manifest | Overtaken) for made in found)
        newest = await stores(storage, prefix)[0].newest(log.lineage)
        assert newest is not None
        assert await contents(storage, prefix, newest) == log.model
    manifests = [await stores(storage, prefix)[0].read(seq(1, n)) for n in range(1, 5)]
    assert await all_keys(storage, prefix) == {ref.key for manifest in manifests for ref in files_of(manifest)}, (
        "who loses removes what it made"
    )


async def test_the_answer_of_the_manifests_put_is_lost(etcd: EtcdStore, prefix: str, tmp_path: Path) -> None:
    """A client that repeats a put on its own is told that the object is there: its own one."""

    class Repeating(FakeObjectStorage):
        async def put_if_absent(self, key: str, body: bytes) -> bool:
            await super().put_if_absent(key, body)
            return await super().put_if_absent(key, body) if "/manifest/" in key else True

    storage = Repeating()
    log = WrittenLog(storage, prefix)
    log.commit(local("a"))
    made = await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)
    assert await contents(storage, prefix, made) == log.model


async def test_files_stay_when_it_is_not_known_whether_the_manifest_was_put(
    etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    class Silent(FakeObjectStorage):
        async def put_if_absent(self, key: str, body: bytes) -> bool:
            await super().put_if_absent(key, body)
            if "/manifest/" in key:
                raise Unavailable("no answer came")
            return True

    storage = Silent()
    log = WrittenLog(storage, prefix)
    log.commit(local("a"))
    mark = await log.flush()
    maker = checkpointer(storage, etcd, tmp_path, prefix=prefix)
    with pytest.raises(Unavailable):
        await maker.run(mark, log.lineage)
    made = await maker.run(mark, log.lineage)
    assert await contents(storage, prefix, made) == log.model


async def test_a_file_that_is_gone_is_not_named(
    any_storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    storage = any_storage
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(local("a"), job("j"))
    first = await maker.run(await log.flush(), log.lineage)
    assert first is not None
    (gone,) = [ref.key for ref in files_of(first) if ref.key.startswith("data/job/")]
    await storage.delete(f"{prefix}/{gone}")
    log.commit(local("b"))
    for changed in ("untouched", "touched"):
        with pytest.raises(DataLoss, match=gone) as caught:
            await maker.run(await log.flush(), log.lineage)
        assert caught.value.reason == "FILE_MISSING", changed
        log.commit(job("j", rank=1))
    assert len(await all_keys(storage, prefix, "manifest")) == 1
    assert await all_keys(storage, prefix, "data", "index") == {ref.key for ref in files_of(first)} - {gone}


async def test_damage_is_told_with_the_objects_name_and_changes_nothing(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = WrittenLog(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(local("a", noise(5000)))
    first = await maker.run(await log.flush(), log.lineage)
    assert first is not None
    (ref,) = files_of(first)
    body = bytearray(await storage.get(f"{prefix}/{ref.key}"))
    body[len(body) // 2] ^= 1
    await storage.put(f"{prefix}/{ref.key}", bytes(body))
    log.commit(local("b"))
    fresh = checkpointer(storage, etcd, tmp_path, prefix=prefix, server_id="two")
    with pytest.raises(DataLoss, match=ref.key):
        await fresh.run(await log.flush(), log.lineage)
    key = log.segments.key(seq(1, 2))
    await storage.put(key, (await storage.get(key))[:-1])
    with pytest.raises(DataLoss, match=key):
        await fresh.run(log.mark(), log.lineage)
    assert len(await all_keys(storage, prefix, "manifest", "data")) == 2


async def test_a_body_that_is_no_message_of_its_type_is_told(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    other: RecordType[log_pb2.Put] = RecordType("job", log_pb2.Put)
    log = WrittenLog(storage, prefix)
    log.commit(Put(other, "bad", log_pb2.Put(id="\x08")))
    with pytest.raises(DataLoss, match="'bad'"):
        await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)


async def test_one_that_took_too_long_gives_up(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    clock = FakeClock()

    class Slow:
        """Each look at an object takes four hours."""

        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def head(self, key: str) -> object:
            clock.advance(timedelta(hours=4))
            return await storage.head(key)

    log = WrittenLog(storage, prefix)
    log.commit(local("a"), job("b"))
    maker = checkpointer(Slow(), etcd, tmp_path, prefix=prefix, clock=clock)  # type: ignore[arg-type]
    with pytest.raises(DeadlineExceeded, match="6:00:00"):
        await maker.run(await log.flush(), log.lineage)
    assert not await all_keys(storage, prefix, "manifest", "data", "index")


async def test_one_that_slept_before_its_manifest_removes_it_again(
    any_storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    storage = any_storage
    clock = FakeClock()

    class Sleepy:
        """A server that is paused for a week just before the put; meanwhile its files are cleaned as orphans."""

        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def put_if_absent(self, key: str, body: bytes) -> bool:
            clock.advance(timedelta(days=7))
            for file in await all_keys(storage, prefix):
                await storage.delete(f"{prefix}/{file}")
            return await storage.put_if_absent(key, body)

    log = WrittenLog(storage, prefix)
    log.commit(local("a"))
    maker = checkpointer(Sleepy(), etcd, tmp_path, prefix=prefix, clock=clock)  # type: ignore[arg-type]
    with pytest.raises(DeadlineExceeded, match="slept"):
        await maker.run(await log.flush(), log.lineage)
    assert not await all_keys(storage, prefix, "manifest")
    awake = checkpointer(storage, etcd, tmp_path, prefix=prefix)
    assert await contents(storage, prefix, await awake.run(log.mark(), log.lineage)) == log.model


async def test_a_cancelled_one_leaves_nothing_that_counts(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    started = asyncio.Event()

    class Stuck:
        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def head(self, key: str) -> object:
            started.set()
            await asyncio.Event().wait()
            return None

    log = WrittenLog(storage, prefix)
    log.commit(local("a"))
    maker = checkpointer(Stuck(), etcd, tmp_path, prefix=prefix)  # type: ignore[arg-type]
    running = asyncio.create_task(maker.run(await log.flush(), log.lineage))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not list((tmp_path / "one").iterdir()), "the scratch file is gone"
    assert not await all_keys(storage, prefix, "manifest")
    made = await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(log.mark(), log.lineage)
    assert await contents(storage, prefix, made) == log.model


async def test_etcd_away_at_the_end_does_not_spoil_a_checkpoint(
    storage: ObjectStorage, prefix: str, tmp_path: Path
) -> None:
    from tests.fakes.kv import FakeKeyValueStore

    kv = FakeKeyValueStore()
    kv.go_away()
    log = WrittenLog(storage, prefix)
    log.commit(local("a"))
    made = await checkpointer(storage, kv, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)
    assert await contents(storage, prefix, made) == log.model


async def test_the_key_in_etcd_only_moves_forward(etcd: EtcdStore, prefix: str) -> None:
    log = Log(etcd, prefix=prefix, timeout=timedelta(seconds=5))
    assert await log.checkpoint() is None
    assert await log.advance_checkpoint(seq(1, 5)) == seq(1, 5)
    assert await log.advance_checkpoint(seq(1, 4)) == seq(1, 5)
    await asyncio.gather(*(log.advance_checkpoint(seq(2, n)) for n in range(1, 9)))
    assert await log.checkpoint() == seq(2, 8)
    await etcd.put(log.checkpoint_key, b"\xff no message", timeout=timedelta(seconds=5))
    assert await log.checkpoint() is None
    assert await log.advance_checkpoint(seq(1, 1)) == seq(1, 1)


async def test_revisions_are_those_of_the_log(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log = WrittenLog(storage, prefix)
    log.commit_batch(([local("a")], []), ([local("b")], []), ([local("a")], ["g"]))
    made = await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)
    found = await contents(storage, prefix, made)
    assert found["local", "a"][0] == found["change_group", "g"][0] == Position(seq(1, 1), 2)
    assert found["local", "b"][0] == Position(seq(1, 1), 1)
