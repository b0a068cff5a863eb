"""The overview: both stores as they are, whatever they are."""

from __future__ import annotations

from datetime import timedelta

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.admin.status import Overview, overview
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import Kind
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import DeleteKey, KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.faulty_stores import FaultyStorage
from tests.support.operated import checkpoint, written
from tests.support.sites import PREFIX, Site

_SECONDS = timedelta(seconds=5)


async def seen(site: Site, *, kv: KeyValueStore | None = None, storage: ObjectStorage | None = None) -> Overview:
    return await overview(
        kv or site.kv,
        storage or site.storage,
        prefix=PREFIX,
        etcd_name="etcd",
        now=SystemClock().now(),
        timeout=_SECONDS,
    )


async def test_of_a_healthy_database_everything_is_shown_and_nothing_found(site: Site) -> None:
    await written(site)
    made = await checkpoint(site)
    found = await seen(site)
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
    keys = await site.keys()
    assert {item.kind: item.count for item in found.storage.objects} == {
        kind: sum(key.startswith(f"{PREFIX}/{kind}/") for key in keys)
        for kind in ("epoch", "wal", "data", "index", "manifest")
    }
    assert sum(item.bytes for item in found.storage.objects) == sum(
        [info.size_bytes async for info in site.storage.list(f"{PREFIX}/")]
    )


async def test_two_empty_stores_are_a_database_that_is_not_there_yet(site: Site) -> None:
    found = await seen(site)
    assert found.kind is Kind.NEW
    assert found.epoch is None


async def test_each_disagreement_is_found_and_the_rest_is_shown(site: Site) -> None:
    await written(site)
    await site.kv.txn(then=(DeleteKey(f"{PREFIX}/db/flushed"),), timeout=_SECONDS)
    found = await seen(site)
    assert found.kind is Kind.ETCD_TORN
    assert any("flushed" in finding for finding in found.findings)
    assert found.etcd is not None
    assert found.etcd.head is not None
    await site.lose_keys()
    found = await seen(site)
    assert found.kind is Kind.ETCD_EMPTY
    (finding,) = found.findings
    assert "sluice db recover" in finding
    assert found.epoch is not None
    assert found.epoch.number == 1
    await site.recover()
    found = await seen(site)
    assert (found.kind, found.epoch and found.epoch.number) == (Kind.HEALTHY, 2)
    assert found.storage is not None
    assert [epoch.accepted for epoch in found.storage.epochs][1] == LogSequence(1, 60)


async def test_one_store_that_is_away_does_not_hide_the_other(site: Site) -> None:
    await written(site)
    nowhere = EtcdStore(["http://127.0.0.1:1"])
    found = await seen(site, kv=nowhere)
    await nowhere.close()
    assert found.etcd is None
    assert found.etcd_fault
    assert found.storage is not None
    assert found.storage.recoverable == LogSequence(1, 60)
    assert any("etcd" in finding and "does not answer" in finding for finding in found.findings)

    class Away(FaultyStorage):
        def list(self, prefix: str = "", **_: str):
            raise Unavailable("the storage is away")

    found = await seen(site, storage=Away(site.storage))
    assert found.storage is None
    assert found.etcd is not None
    assert found.etcd.head is not None
    assert any("object storage does not answer" in finding for finding in found.findings)


async def test_damage_becomes_a_finding(site: Site) -> None:
    await written(site)
    for folder in ("epoch", "manifest", "wal"):
        key = (await site.keys(f"{folder}/"))[-1]
        body = await site.storage.get(key)
        await site.storage.put(key, body[:-1])
        found = await seen(site)
        assert any(key in finding for finding in found.findings), found.findings
        await site.storage.put(key, body)
    assert not (await seen(site)).findings
