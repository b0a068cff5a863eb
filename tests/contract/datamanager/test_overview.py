"""The overview: both stores as they are, whatever they are."""

from __future__ import annotations

from datetime import timedelta

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.admin.status import Overview, overview
from sluiceway_server.datamanager.log.epochs import accepted_of
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import Kind
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import DeleteKey, KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.backing_stores import PREFIX, BackingStores
from tests.support.database_operations import checkpoint, written
from tests.support.faulty_stores import FaultyStorage

_SECONDS = timedelta(seconds=5)


async def seen(
    backing: BackingStores, *, kv: KeyValueStore | None = None, storage: ObjectStorage | None = None
) -> Overview:
    return await overview(backing.stores(kv=kv, storage=storage), now=SystemClock().now())


async def test_overview_of_a_healthy_database_has_no_findings(backing: BackingStores) -> None:
    await written(backing)
    made = await checkpoint(backing)
    found = await seen(backing)
    assert (found.kind, tuple(found.findings)) == (Kind.HEALTHY, ())
    assert found.etcd is not None
    assert found.storage is not None
    assert found.etcd.head is not None
    assert found.etcd.flushed is not None
    end = found.etcd.head.sequence
    assert end == found.etcd.flushed.sequence == found.etcd.checkpoint == found.storage.recoverable
    assert end.counter == made.sequence.counter
    assert found.etcd.unflushed_bytes == 0
    assert found.storage.newest_segment is not None
    assert found.storage.newest_manifest is not None
    assert found.storage.newest_segment.sequence == found.storage.newest_manifest.sequence == end
    assert found.storage.newest_segment.time <= found.storage.newest_manifest.time <= found.time
    keys = await backing.keys()
    assert {item.kind: item.count for item in found.storage.objects} == {
        kind: sum(key.startswith(f"{PREFIX}/{kind}/") for key in keys)
        for kind in ("epoch", "wal", "data", "index", "manifest")
    }
    assert sum(item.bytes for item in found.storage.objects) == sum(
        [info.size_bytes async for info in backing.storage.list(f"{PREFIX}/")]
    )


async def test_two_empty_stores_are_a_database_that_is_not_there_yet(backing: BackingStores) -> None:
    found = await seen(backing)
    assert found.kind is Kind.NEW
    assert found.epoch is None


async def test_each_disagreement_is_found_and_the_rest_is_shown(backing: BackingStores) -> None:
    await written(backing)
    await backing.kv.txn(then=(DeleteKey(f"{PREFIX}/db/flushed"),), timeout=_SECONDS)
    found = await seen(backing)
    assert found.kind is Kind.ETCD_TORN
    assert any("flushed" in finding for finding in found.findings)
    assert found.etcd is not None
    assert found.etcd.head is not None
    await backing.lose_keys()
    found = await seen(backing)
    assert found.kind is Kind.ETCD_EMPTY
    (finding,) = found.findings
    assert "sluice db recover" in finding
    assert found.epoch is not None
    assert found.epoch.number == 1
    await backing.recover()
    found = await seen(backing)
    assert (found.kind, found.epoch and found.epoch.number) == (Kind.HEALTHY, 2)
    assert found.storage is not None
    assert accepted_of(found.storage.epochs[1]) == LogSequence(1, 60)


async def test_one_store_that_is_away_does_not_hide_the_other(backing: BackingStores) -> None:
    await written(backing)
    nowhere = EtcdStore(["http://127.0.0.1:1"])
    found = await seen(backing, kv=nowhere)
    await nowhere.close()
    assert found.etcd is None
    assert found.etcd_fault
    assert found.storage is not None
    assert found.storage.recoverable == LogSequence(1, 60)
    assert any("etcd" in finding and "does not answer" in finding for finding in found.findings)

    class Away(FaultyStorage):
        def list(self, prefix: str = "", **_: str):
            raise Unavailable("the storage is away")

    found = await seen(backing, storage=Away(backing.storage))
    assert found.storage is None
    assert found.etcd is not None
    assert found.etcd.head is not None
    assert any("object storage does not answer" in finding for finding in found.findings)


async def test_damage_becomes_a_finding(backing: BackingStores) -> None:
    await written(backing)
    for folder in ("epoch", "manifest", "wal"):
        key = (await backing.keys(f"{folder}/"))[-1]
        body = await backing.storage.get(key)
        await backing.storage.put(key, body[:-1])
        found = await seen(backing)
        assert any(key in finding for finding in found.findings), found.findings
        await backing.storage.put(key, body)
    assert not (await seen(backing)).findings
