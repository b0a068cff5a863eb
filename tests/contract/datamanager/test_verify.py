"""Verify: silent about a database that is whole, also while it is written; and of every damage it names the object."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from sluiceway.records.storage.v1.storage_pb2 import LiveFile, Manifest
from sluiceway_common.foundation.errors import NotFound
from sluiceway_server.datamanager.log.segments import decode_segment, encode_segment
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.tables.block import StoredRecord
from sluiceway_server.datamanager.tables.checkpoint import files_of
from sluiceway_server.datamanager.tables.compaction import index_rows
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.manifest import encode_manifest
from sluiceway_server.kv.port import DeleteKey
from tests.support.backing_stores import PREFIX, BackingStores
from tests.support.database_operations import (
    SETTINGS,
    check,
    checkpoint,
    everything,
    faults,
    fill,
    opened,
    unflushed,
    written,
)
from tests.support.databases import flushed
from tests.support.log_builder import JOB

_SECONDS = timedelta(seconds=5)


async def keys_of(backing: BackingStores, folder: str) -> list[str]:
    return await backing.keys(f"{folder}/")


async def test_whole_database_has_no_faults_and_all_objects_are_read(backing: BackingStores) -> None:
    await written(backing, rounds=3)
    findings, progress = await check(backing)
    assert findings == []
    keys = await backing.keys()
    sizes = [info.size_bytes async for info in backing.storage.list(f"{PREFIX}/")]
    assert (progress.objects, progress.all_objects, progress.bytes) == (len(keys), len(keys), sum(sizes))
    assert {key.split("/")[1] for key in keys} == {"epoch", "wal", "data", "index", "manifest"}


async def test_without_etcd_the_object_storage_is_verified_alone(backing: BackingStores) -> None:
    await written(backing)
    findings, _ = await check(backing, kv=False)
    assert [(finding.is_fault, "etcd was not asked" in finding.message) for finding in findings] == [(False, True)]


async def test_no_database_is_not_a_healthy_one(backing: BackingStores) -> None:
    for kv in (True, False):
        with pytest.raises(NotFound, match="no database"):
            await check(backing, kv=kv)


@pytest.mark.parametrize("folder", ["epoch", "wal", "data", "index", "manifest"])
async def test_every_changed_byte_is_a_fault_that_names_the_object(backing: BackingStores, folder: str) -> None:
    await written(backing)
    keys = await keys_of(backing, folder)
    assert keys
    for key in keys:
        body = await backing.storage.get(key)
        for at in sorted({0, 9, len(body) // 2, len(body) - 1}):
            await backing.storage.put(key, body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
            found = await faults(backing)
            assert any(key.removeprefix(f"{PREFIX}/") in f"{finding.object} {finding.message}" for finding in found), (
                f"byte {at} of {key}: {found}"
            )
            assert all("copy" in finding.message or "eport it" in finding.message for finding in found)
        await backing.storage.put(key, body)
    assert await faults(backing) == []


@pytest.mark.parametrize("folder", ["epoch", "data", "index"])
async def test_every_object_that_is_missing_is_a_fault_that_names_it(backing: BackingStores, folder: str) -> None:
    await written(backing)
    keys = await keys_of(backing, folder)
    assert keys
    for key in keys:
        body = await backing.storage.get(key)
        await backing.storage.delete(key)
        found = await faults(backing)
        assert any(key.removeprefix(f"{PREFIX}/") in f"{finding.object} {finding.message}" for finding in found), found
        await backing.storage.put(key, body)
    assert await faults(backing) == []


async def test_missing_segment_is_a_gap_that_names_both_sides(
    backing: BackingStores,
) -> None:
    await written(backing, rounds=3)
    oldest = min(await backing.stores().manifests.sequences())
    segments = [key for key in await keys_of(backing, "wal") if key.removeprefix(f"{PREFIX}/wal/") > str(oldest)]
    assert len(segments) > 3
    for before, key, after in zip(segments, segments[1:], segments[2:], strict=False):
        body = await backing.storage.get(key)
        await backing.storage.delete(key)
        (fault,) = await faults(backing)
        assert before in fault.message
        assert after in fault.message
        await backing.storage.put(key, body)
    # Without the last one, etcd knows better.
    await backing.storage.delete(segments[-1])
    found = await faults(backing)
    assert any("segments are missing" in fault.message for fault in found)


async def test_what_lies_before_the_oldest_manifest_may_be_gone(backing: BackingStores) -> None:
    await written(backing, rounds=3)
    oldest = min(await backing.stores().manifests.sequences())
    segments = await keys_of(backing, "wal")
    for key in segments:
        segment = decode_segment(key, await backing.storage.get(key))
        if segment.last <= oldest:
            await backing.storage.delete(key)
            assert await faults(backing) == []
    assert len(await keys_of(backing, "wal")) < len(segments)


async def test_whole_segment_of_another_history_is_a_fault(backing: BackingStores) -> None:
    await written(backing)
    key = (await keys_of(backing, "wal"))[2]
    segment = decode_segment(key, await backing.storage.get(key))
    first = segment.entries[0]
    other = encode_segment(segment.entries[:1], total_bytes=segment.total_bytes, writer="x", database_id="another")
    await backing.storage.put(key, other)
    (fault, *_) = await faults(backing)
    assert "another" in fault.message
    assert fault.object == key
    # Bytes that are counted wrong.
    wrong = encode_segment(segment.entries, total_bytes=segment.total_bytes + 1, writer="x")
    await backing.storage.put(key, wrong)
    assert any(str(first.sequence) in fault.message for fault in await faults(backing))


async def _replace_newest(backing: BackingStores, change: str) -> Manifest:
    """Write the newest manifest again, with a file of jobs that is whole and not what it should be."""
    stores, files = backing.stores(), FileStore(backing.storage, prefix=PREFIX)
    sequence = max(await stores.manifests.sequences())
    manifest = await stores.manifests.read(sequence)
    jobs = next(item for item in manifest.types if item.type == "job")
    live = jobs.files[0]
    records = [record async for piece in files.records(live.data) for record in piece]
    rows = index_rows(JOB, records)
    if change == "a record is missing":
        del records[3], rows[3]
    elif change == "a column is wrong":
        rows[3] = rows[3]._replace(values=("other", 99))
    elif change == "a row is missing":
        del rows[3]
    elif change == "a body is kept that is settled":
        at = next(at for at, row in enumerate(rows) if row.body is None)
        rows[at] = rows[at]._replace(body=records[at].body)
    elif change == "a body is no message":
        records[3] = StoredRecord(records[3].id, records[3].revision, b"\xff\xff\xff")
    data = await files.data_writer("job", "written-again")
    index = await files.index_writer("job", "written-again", columns=[c.name for c in JOB.columns], version=JOB.version)
    for record in records:
        await data.add(record)
    for row in rows:
        await index.add(row)
    made = LiveFile(data=await data.finish(), index=await index.finish())
    if change == "a row is missing":
        # The manifest itself would be refused.
        made.index.records = made.data.records
    jobs.files[0].CopyFrom(made)
    await backing.storage.put(stores.manifests.key(sequence), encode_manifest(manifest))
    return manifest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("a record is missing", "does not hold the job"),
        ("a column is wrong", "other columns of"),
        ("a row is missing", "index/job/written-again"),
        ("a body is kept that is settled", "other columns of"),
        ("a body is no message", "cannot be read as"),
    ],
)
async def test_files_that_are_whole_and_hold_something_else_are_faults(
    backing: BackingStores, change: str, says: str
) -> None:
    await written(backing, rounds=3)
    await _replace_newest(backing, change)
    found = await faults(backing)
    assert any(says in fault.message for fault in found), found


async def test_deleted_log_key_is_a_fault_unless_it_is_flushed(backing: BackingStores) -> None:
    async with opened(backing) as database:
        await fill(database, 0)
        await flushed(database)
    log = backing.stores().log
    look = await log.look()
    assert look.flushed is not None
    flushed_one = f"{PREFIX}/db/log/{look.flushed.sequence}"
    await backing.kv.txn(then=(DeleteKey(flushed_one),), timeout=_SECONDS)
    assert await faults(backing) == []


async def test_deleted_log_key_that_only_etcd_had_is_a_fault(backing: BackingStores) -> None:
    async with unflushed(backing) as database:
        await fill(database, 0, records=6)
        found = await check(backing)
        assert [finding for finding in found[0] if finding.is_fault] == []
        deleted = f"{PREFIX}/db/log/{LogSequence(1, 3)}"
        await backing.kv.txn(then=(DeleteKey(deleted),), timeout=_SECONDS)
        (fault,) = await faults(backing)
        assert str(LogSequence(1, 3)) in fault.message
        assert "etcd lacks" in fault.message


async def test_a_clean_mark_that_somebody_changed_is_a_fault(backing: BackingStores) -> None:
    await written(backing)
    key = backing.stores().log.cleaned_key
    await backing.kv.put(key, b"\xff no message", timeout=_SECONDS)
    (fault,) = await faults(backing)
    assert (fault.object, key in fault.message) == (key, True)


async def test_what_is_void_or_named_by_nobody_is_a_note(backing: BackingStores) -> None:
    await written(backing)
    async with opened(backing) as database:
        await fill(database, 2)
        await flushed(database)
    stored = max(await backing.stores().segments.firsts())
    await backing.restore(LogSequence(stored.epoch, stored.counter - 10))
    await backing.storage.put(f"{PREFIX}/data/note/orphan", b"something")
    await backing.storage.put(f"{PREFIX}/wal/README", b"hello")
    findings, _ = await check(backing)
    assert [finding for finding in findings if finding.is_fault] == []
    notes = {finding.object: finding.message for finding in findings}
    assert any("are void" in message for message in notes.values())
    assert "named by no manifest" in notes[f"{PREFIX}/data/note/orphan"]
    assert "Move it away" in notes[f"{PREFIX}/wal/README"]


async def test_a_wiped_etcd_is_a_fault_that_says_what_to_do(backing: BackingStores) -> None:
    await written(backing)
    await backing.lose_keys()
    found = await faults(backing)
    assert any("is empty" in fault.message and "sluice db recover" in fault.message for fault in found)


async def test_no_false_fault_while_servers_write_and_clean(backing: BackingStores) -> None:
    await written(backing)
    done = asyncio.Event()

    async def write() -> None:
        async with opened(backing, "writer", settings=replace(SETTINGS, keep_log_entries=3)) as database:
            round_ = 3
            while not done.is_set():
                await fill(database, round_, records=10)
                round_ += 1

    async def keep() -> None:
        """Checkpoint, and clean as the cleaner does: the manifest, then what only it needed."""
        while not done.is_set():
            await checkpoint(backing)
            stores = backing.stores()
            manifests = await stores.manifests.sequences()
            for sequence in manifests[:-2]:
                gone = await stores.manifests.read(sequence)
                await backing.storage.delete(stores.manifests.key(sequence))
                kept = {ref for other in manifests[-2:] for ref in _keys(await stores.manifests.read(other))}
                for key in set(_keys(gone)) - kept:
                    await backing.storage.delete(f"{PREFIX}/{key}")
            for first in await stores.segments.firsts():
                segment = await stores.segments.read(first)
                if segment.last <= manifests[-2:][0]:
                    await stores.segments.delete(first)
            await asyncio.sleep(0.05)

    async def verify() -> None:
        try:
            for _ in range(8):
                assert await faults(backing) == []
        finally:
            done.set()

    async with asyncio.TaskGroup() as group:
        for work in (write(), keep(), verify()):
            group.create_task(work)


def _keys(manifest: Manifest) -> list[str]:
    return [ref.key for ref in files_of(manifest)]


async def test_what_is_read_is_not_changed(backing: BackingStores) -> None:
    before = await written(backing)
    keys = await backing.keys()
    await check(backing)
    assert await backing.keys() == keys
    async with opened(backing) as database:
        assert await everything(database) == before
