"""Which part of the log a checkpoint takes in: across epochs, without what is void, and never over a gap."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.datamanager.log.etcd_log import Log
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.tables.checkpoint import Overtaken
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.log_builder import (
    LogBuilder,
    all_keys,
    checkpointer,
    contents,
    local,
    seq,
)


def sequence_of(manifest: Manifest | None) -> LogSequence | None:
    return None if manifest is None else from_sequence_proto(manifest.sequence)


async def test_nothing_to_do(storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path) -> None:
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    assert await maker.run(log.mark(), log.lineage) is None
    log.commit(local("a"))
    made = await maker.run(await log.flush(), log.lineage)
    assert await maker.run(await log.flush(), log.lineage) == made
    assert len(await all_keys(storage, prefix, "manifest")) == 1


async def test_only_what_flushed_names_is_taken_in(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
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
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
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
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
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
    log = LogBuilder(storage, prefix)
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
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    for n in range(6):
        log.commit(local(f"a{n}"))
        if n % 2:
            await log.flush()
    await storage.delete(log.segments.key(seq(1, 3)))
    with pytest.raises(DataLoss) as caught:
        await maker.run(log.mark(), log.lineage)
    assert f"after {seq(1, 2)}" in str(caught.value)
    assert log.segments.key(seq(1, 5)) in str(caught.value)
    assert f"wal/{seq(1, 3)}" in str(caught.value)
    assert caught.value.reason == "LOG_GAP"
    await storage.delete(log.segments.key(seq(1, 5)))
    with pytest.raises(DataLoss, match=r"\(in etcd\)"):
        await maker.run(log.mark(), log.lineage)
    assert not await all_keys(storage, prefix, "manifest", "data")


async def test_a_gap_before_a_new_epoch_is_reported(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
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
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
    log.commit(local("a"))
    mark = await log.flush()
    with pytest.raises(DataLoss, match="different entries"):
        await maker.run(replace(mark, digest=b"another"), log.lineage)
    await maker.run(mark, log.lineage)
    other = LogBuilder(storage, prefix)
    other.commit(local("b"))
    other.commit(local("c"))
    other._pending = other._pending[1:]
    with pytest.raises(DataLoss, match="another history"):
        await maker.run(await other.flush(), other.lineage)


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
