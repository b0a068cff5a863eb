"""The status of a database: both stores as they are, whatever they are."""

from __future__ import annotations

from datetime import timedelta

from sluiceway.api.database.v1 import database_service_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.app.database_status import database_status
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.port import DeleteKey, KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.backing_stores import PREFIX, BackingStores
from tests.support.database_operations import checkpoint, written
from tests.support.faulty_stores import FaultyStorage

_SECONDS = timedelta(seconds=5)


async def seen(
    backing: BackingStores, *, kv: KeyValueStore | None = None, storage: ObjectStorage | None = None
) -> pb.GetDatabaseStatusResponse:
    return await database_status(backing.stores(kv=kv, storage=storage), now=SystemClock().now())


async def test_status_of_a_healthy_database_has_no_findings(backing: BackingStores) -> None:
    await written(backing)
    made = await checkpoint(backing)
    found = await seen(backing)
    assert list(found.findings) == []
    end = str(from_sequence_proto(made.sequence))
    assert end == found.head == found.flushed == found.checkpoint == found.recoverable
    assert found.unflushed_bytes == 0
    assert found.newest_segment.sequence == found.newest_manifest.sequence == end
    segment, manifest = found.newest_segment.time.ToMicroseconds(), found.newest_manifest.time.ToMicroseconds()
    assert segment <= manifest <= found.time.ToMicroseconds()
    keys = await backing.keys()
    assert {item.kind: item.count for item in found.objects} == {
        kind: sum(key.startswith(f"{PREFIX}/{kind}/") for key in keys)
        for kind in ("epoch", "wal", "data", "index", "manifest")
    }
    assert sum(item.bytes for item in found.objects) == sum(
        [info.size_bytes async for info in backing.storage.list(f"{PREFIX}/")]
    )


async def test_two_empty_stores_are_a_database_that_is_not_there_yet(backing: BackingStores) -> None:
    found = await seen(backing)
    (finding,) = found.findings
    assert "are empty" in finding
    assert (found.epoch, found.database_id) == (0, "")


async def test_each_disagreement_is_found_and_the_rest_is_shown(backing: BackingStores) -> None:
    await written(backing)
    await backing.kv.txn(then=(DeleteKey(f"{PREFIX}/db/flushed"),), timeout=_SECONDS)
    found = await seen(backing)
    assert any("not the key flushed" in finding for finding in found.findings)
    assert found.head
    await backing.lose_keys()
    found = await seen(backing)
    (finding,) = found.findings
    assert "sluice db recover" in finding
    assert found.epoch == 1
    await backing.recover()
    found = await seen(backing)
    assert (list(found.findings), found.epoch) == ([], 2)
    assert [epoch.accepted for epoch in found.epochs] == ["", "00000001-000000000000003c"]


async def test_one_store_that_is_away_does_not_hide_the_other(backing: BackingStores) -> None:
    await written(backing)
    nowhere = EtcdStore(["http://127.0.0.1:1"])
    found = await seen(backing, kv=nowhere)
    await nowhere.close()
    assert found.etcd_fault
    assert not found.head
    assert found.recoverable == "00000001-000000000000003c"
    assert any("etcd" in finding and "does not respond" in finding for finding in found.findings)

    class Away(FaultyStorage):
        def list(self, prefix: str = "", **_: str):
            raise Unavailable("the storage is away")

    found = await seen(backing, storage=Away(backing.storage))
    assert found.storage_fault
    assert (found.head, list(found.objects)) == ("00000001-000000000000003c", [])
    assert any("object storage does not respond" in finding for finding in found.findings)


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
