"""Checkpoints of several servers at once, and of one whose storage or etcd fails it, or that slept."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.storage.v1.storage_pb2 import Manifest
from sluiceway_common.foundation.errors import DataLoss, DeadlineExceeded, Unavailable
from sluiceway_server.datamanager.model import Put, RecordType
from sluiceway_server.datamanager.tables.checkpoint import Overtaken, files_of
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.fakes.clock import FakeClock
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.log_builder import (
    LogBuilder,
    all_keys,
    checkpointer,
    contents,
    job,
    local,
    seq,
    stores,
)


def noise(size: int, *, of: random.Random | None = None) -> str:
    """Text that compresses badly."""
    return (of or random).randbytes(size // 2).hex()


async def test_two_servers_at_once_make_one_manifest(
    any_storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    storage = any_storage
    log = LogBuilder(storage, prefix)
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


async def test_the_response_of_the_manifests_put_is_lost(etcd: EtcdStore, prefix: str, tmp_path: Path) -> None:
    """A client that retries a put by itself gets the error that the object exists: its own one."""

    class Repeating(FakeObjectStorage):
        async def put_if_absent(self, key: str, body: bytes) -> bool:
            await super().put_if_absent(key, body)
            return await super().put_if_absent(key, body) if "/manifest/" in key else True

    storage = Repeating()
    log = LogBuilder(storage, prefix)
    log.commit(local("a"))
    made = await checkpointer(storage, etcd, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)
    assert await contents(storage, prefix, made) == log.model


async def test_files_stay_when_the_put_of_the_manifest_is_in_doubt(
    etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    class Silent(FakeObjectStorage):
        async def put_if_absent(self, key: str, body: bytes) -> bool:
            await super().put_if_absent(key, body)
            if "/manifest/" in key:
                raise Unavailable("no answer came")
            return True

    storage = Silent()
    log = LogBuilder(storage, prefix)
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
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
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


async def test_damage_names_the_object_and_changes_nothing(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    log, maker = LogBuilder(storage, prefix), checkpointer(storage, etcd, tmp_path, prefix=prefix)
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


async def test_a_body_that_is_no_message_of_its_type_is_reported(
    storage: ObjectStorage, etcd: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    other: RecordType[log_pb2.Put] = RecordType("job", log_pb2.Put)
    log = LogBuilder(storage, prefix)
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

    log = LogBuilder(storage, prefix)
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

    log = LogBuilder(storage, prefix)
    log.commit(local("a"))
    maker = checkpointer(Sleepy(), etcd, tmp_path, prefix=prefix, clock=clock)  # type: ignore[arg-type]
    with pytest.raises(DeadlineExceeded, match="suspended"):
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

    log = LogBuilder(storage, prefix)
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
    log = LogBuilder(storage, prefix)
    log.commit(local("a"))
    made = await checkpointer(storage, kv, tmp_path, prefix=prefix).run(await log.flush(), log.lineage)
    assert await contents(storage, prefix, made) == log.model
