"""Checkpoints of a log that was written without a server: over a real etcd, and real storages."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.datamanager.log.etcd_log import Log
from sluiceway_server.datamanager.model import Action, Column, Delete, LogSequence, Position, Put, RecordType
from sluiceway_server.datamanager.tables.checkpoint import files_of
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.log_builder import (
    JOB,
    LOCAL,
    SMALL,
    LogBuilder,
    all_keys,
    checkpointer,
    contents,
    job,
    local,
    rows,
    seq,
    stores,
)


def noise(size: int, *, of: random.Random | None = None) -> str:
    """Text that compresses badly."""
    return (of or random).randbytes(size // 2).hex()


def sequence_of(manifest: Manifest | None) -> LogSequence | None:
    return None if manifest is None else from_sequence_proto(manifest.sequence)


async def test_a_checkpoint_holds_what_the_log_says(
    any_storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    storage = any_storage
    log = LogBuilder(storage, prefix)
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
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
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
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
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
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(Put(tomorrow, "a", log_pb2.Emit(kind="x")), Put(tomorrow, "b", log_pb2.Emit(kind="y")))
    await maker.run(await log.flush(), log.lineage)
    log.commit(Put(tomorrow, "b", log_pb2.Emit(kind="z")), local("a"))
    made = await maker.run(await log.flush(), log.lineage)
    assert await contents(storage, prefix, made) == log.model
    assert ("tomorrow", "a") in log.model


async def test_a_type_whose_last_record_is_deleted_has_no_files(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(local("a"), job("j"))
    await maker.run(await log.flush(), log.lineage)
    log.commit(Delete(LOCAL, "a"), Delete(LOCAL, "never"))
    made = await maker.run(await log.flush(), log.lineage)
    assert made is not None
    assert [type_.type for type_ in made.types] == ["job"]


async def test_revisions_are_those_of_the_log(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log = LogBuilder(storage, prefix)
    log.commit_batch(([local("a")], []), ([local("b")], []), ([local("a")], ["g"]))
    made = await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)
    found = await contents(storage, prefix, made)
    assert found["local", "a"][0] == found["change_group", "g"][0] == Position(seq(1, 1), 2)
    assert found["local", "b"][0] == Position(seq(1, 1), 1)


# -- index dumps


async def test_index_dumps_have_columns_and_bodies_that_may_change(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log = LogBuilder(storage, prefix)
    at = log.commit(job("a", group="g", rank=4, done=True), job("b", rank=5))
    made = await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)
    assert made is not None
    found = await rows(storage, prefix, made, "job")
    assert (found["a"].revision, found["a"].values, found["a"].body) == (at, ("g", 4), None)
    assert (found["b"].values, found["b"].body) == ((None, 5), log.model["job", "b"][1])
    assert not [key for key in await all_keys(storage, prefix, "index") if not key.startswith("index/job/")]


async def test_index_dumps_of_other_versions_are_renewed(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log = LogBuilder(storage, prefix)
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
