"""Export and import: what comes out of a file is what went in, and nothing is written before the file is known good."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.crashpoints import CRASH_POINTS, Crashed, crashing
from sluiceway_common.foundation.errors import Conflict, DataLoss, FailedPrecondition, NotFound
from sluiceway_server.datamanager.admin.export import export_manifest
from sluiceway_server.datamanager.admin.export_file import ExportDamaged, ExportFile
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.tables.block import StoredRecord
from sluiceway_server.datamanager.tables.change_set import CHANGE_GROUP
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.kv.port import DeleteKey
from tests.support.backing_stores import PREFIX, BackingStores, crash_once
from tests.support.database_operations import (
    check,
    checkpoint,
    everything,
    export,
    fill,
    importer,
    opened,
    unflushed,
    written,
)
from tests.support.databases import NOTE, flushed

_SECONDS = timedelta(seconds=5)
NEW = "new"
START = Position(LogSequence(1, 0), 0)


@pytest.fixture(autouse=True)
async def empty_places(backing: BackingStores) -> None:
    """The etcd of the module is everybody's; each test finds the places to import into empty."""
    await lose(backing, NEW)


async def lose(backing: BackingStores, prefix: str) -> None:
    keys, _ = await backing.kv.list_prefix(f"{prefix}/", timeout=_SECONDS)
    for key in keys:
        await backing.kv.txn(then=(DeleteKey(key.key),), timeout=_SECONDS)


def records_of(path: Path) -> dict[tuple[str, str], StoredRecord]:
    """What an export holds, by type and id."""
    file = ExportFile(path)
    info = file.check()
    found = {(type_, record.id): record for type_, records in file.blocks() for record in records}
    assert len(found) == info.records
    return found


def bodies_of(path: Path) -> dict[tuple[str, str], bytes]:
    return {key: record.body for key, record in records_of(path).items() if key[0] != CHANGE_GROUP}


async def imported(
    backing: BackingStores, *, prefix: str = NEW, server_id: str = "new"
) -> dict[tuple[str, str], bytes]:
    """What a server finds that starts on an imported database."""
    async with opened(backing, server_id, prefix=prefix) as database:
        return await everything(database)


async def all_keys(backing: BackingStores, prefix: str = NEW) -> set[str]:
    stored = {info.key async for info in backing.storage.list(f"{prefix}/")}
    in_etcd, _ = await backing.kv.list_prefix(f"{prefix}/", timeout=_SECONDS)
    return stored | {item.key for item in in_etcd}


async def test_export_has_every_record_revision_and_change_group(backing: BackingStores) -> None:
    expected = await written(backing)
    path = await export(backing.kv, backing.storage, backing.folder / "export")
    assert bodies_of(path) == expected
    info = ExportFile(path).check()
    async with opened(backing) as database:
        revisions = await database.read(lambda view: {id_: view.revision(NOTE, id_) for id_, _ in view.scan(NOTE)})
        groups = await database.read(lambda view: {f"group-{n}": view.group(f"group-{n}") for n in range(4)})
    found = records_of(path)
    assert {id_: found["note", id_].revision for id_ in revisions} == revisions
    assert {name: found[CHANGE_GROUP, name].revision for name in groups} == groups
    assert info.sequence.epoch == 1
    assert info.time <= info.made
    assert not list(backing.folder.glob("*.scratch*"))


async def test_entries_that_only_etcd_has_are_exported_with_etcd(backing: BackingStores) -> None:
    async with unflushed(backing) as database:
        await fill(database, 1, records=8)
        expected = await everything(database)
        with_etcd = await export(backing.kv, backing.storage, backing.folder / "with")
        assert bodies_of(with_etcd) == expected
        with pytest.raises(NotFound, match="nothing to export"):
            await export(None, backing.storage, backing.folder / "without")
    without = await export(None, backing.storage, backing.folder / "without")
    assert bodies_of(without) == expected, "a server that ends flushes"


async def test_out_of_a_manifest_comes_the_database_as_it_was_then(backing: BackingStores) -> None:
    expected = await written(backing, rounds=1)
    manifest = await checkpoint(backing)
    async with opened(backing) as database:
        await fill(database, 5)
    path = backing.folder / "export"
    made = SystemClock().now()
    async with aclosing(export_manifest(FileStore(backing.storage, prefix=PREFIX), manifest, made=made)) as pieces:
        path.write_bytes(b"".join([piece async for piece in pieces]))
    assert bodies_of(path) == expected


async def test_an_export_is_consistent_while_it_is_written_to(backing: BackingStores) -> None:
    await written(backing)
    done = asyncio.Event()

    async def write() -> None:
        async with opened(backing, "writer") as database:
            n = 0
            while not done.is_set():
                n += 1
                # Two records that always say the same.
                await fill(database, n, records=2)

    async def read() -> None:
        try:
            for n in range(5):
                found = records_of(await export(backing.kv, backing.storage, backing.folder / f"export-{n}"))
                together = {found["note", "note-001"].revision, found["job", "job-001"].revision}
                assert len(together) == 1
        finally:
            done.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(read())


async def test_export_fills_a_gap_from_etcd_or_fails(backing: BackingStores) -> None:
    expected = await written(backing)
    newest = max(await backing.stores().manifests.sequences())
    segments = [first for first in await backing.stores().segments.firsts() if first > newest]
    await backing.stores().segments.delete(segments[1])
    assert bodies_of(await export(backing.kv, backing.storage, backing.folder / "export")) == expected
    keys, _ = await backing.kv.list_prefix(f"{PREFIX}/db/log/", timeout=_SECONDS)
    for key in keys:
        await backing.kv.txn(then=(DeleteKey(key.key),), timeout=_SECONDS)
    for kv in (backing.kv, None):
        with pytest.raises(DataLoss, match="has a gap") as caught:
            await export(kv, backing.storage, backing.folder / "export")
        assert caught.value.reason == "LOG_GAP"
        assert str(segments[2]) in caught.value.message


async def test_stores_that_disagree_are_exported_without_etcd_only(backing: BackingStores) -> None:
    expected = await written(backing)
    await backing.kv.txn(then=(DeleteKey(f"{PREFIX}/db/flushed"),), timeout=_SECONDS)
    with pytest.raises(FailedPrecondition, match="leave --etcd out"):
        await export(backing.kv, backing.storage, backing.folder / "export")
    assert bodies_of(await export(None, backing.storage, backing.folder / "export")) == expected
    # An etcd that is empty is no reason to ask twice.
    await backing.lose_keys()
    assert bodies_of(await export(backing.kv, backing.storage, backing.folder / "export")) == expected


async def test_an_imported_database_has_the_same_records_and_works(backing: BackingStores) -> None:
    expected = await written(backing)
    path = await export(backing.kv, backing.storage, backing.folder / "export")
    told: list[int] = []
    result = await importer(backing, path, prefix=NEW).run(progress=told.append)
    assert told == sorted(told)
    assert told[-1] == result.info.records
    assert await imported(backing) == expected
    async with opened(backing, "second", prefix=NEW) as database:
        revisions = await database.read(lambda view: {view.revision(NOTE, id_) for id_, _ in view.scan(NOTE)})
        assert revisions == {START}
        assert await database.read(lambda view: view.group("group-1")) == START
        before = await everything(database)
        await fill(database, 9)
        await flushed(database)
        after = await everything(database)
    assert before == expected
    assert after != before
    await checkpoint(backing, prefix=NEW)
    assert await imported(backing, server_id="third") == after
    findings, _ = await check(backing, prefix=NEW)
    assert [finding for finding in findings if finding.is_fault] == []
    again = await export(backing.kv, backing.storage, backing.folder / "again", prefix=NEW)
    assert bodies_of(again) == after


async def test_import_survives_loss_of_etcd_before_the_first_write(backing: BackingStores) -> None:
    expected = await written(backing)
    path = await export(backing.kv, backing.storage, backing.folder / "export")
    await importer(backing, path, prefix=NEW).run()
    await lose(backing, NEW)
    recovered = await backing.recovery(prefix=NEW).recover(cause="a test")
    assert recovered.epoch == 2
    assert await imported(backing) == expected


async def test_import_of_a_damaged_file_writes_nothing(backing: BackingStores) -> None:
    await written(backing, rounds=1)
    path = await export(backing.kv, backing.storage, backing.folder / "export")
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (
        whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        whole[:middle],
        whole + b"\0",
        b"not an export",
        b"",
    ):
        path.write_bytes(content)
        with pytest.raises(ExportDamaged, match="at byte"):
            await importer(backing, path, prefix=NEW).run()
        assert await all_keys(backing) == set()


@pytest.mark.parametrize("what", ["a database", "a key in etcd", "an epoch object", "a segment", "a manifest"])
async def test_an_import_goes_into_an_empty_place_only(backing: BackingStores, what: str) -> None:
    await written(backing, rounds=1)
    path = await export(backing.kv, backing.storage, backing.folder / "export")
    prefix = PREFIX if what == "a database" else NEW
    folders = {"an epoch object": "epoch", "a segment": "wal", "a manifest": "manifest"}
    if what == "a key in etcd":
        await backing.kv.put(f"{NEW}/executors/x", b"", timeout=_SECONDS)
    elif what in folders:
        await checkpoint(backing)
        (key, *_) = await backing.keys(f"{folders[what]}/")
        await backing.storage.put(NEW + key.removeprefix(PREFIX), await backing.storage.get(key))
    before = await all_keys(backing, prefix)
    with pytest.raises(FailedPrecondition, match="empty place") as caught:
        await importer(backing, path, prefix=prefix).run()
    assert caught.value.reason == "NOT_EMPTY"
    assert await all_keys(backing, prefix) == before


POINTS = sorted(
    {name for name in CRASH_POINTS if name.startswith("import.")}
    | {"checkpoint.before-data-file", "checkpoint.after-index-dump"}
)


@pytest.mark.parametrize("point", POINTS)
async def test_import_that_crashed_is_repeated_or_recovered(backing: BackingStores, point: str) -> None:
    expected = await written(backing, rounds=1)
    path = await export(backing.kv, backing.storage, backing.folder / "export")
    if point.endswith("leftovers"):
        with crashing(crash_once(), "import.after-manifest"), pytest.raises(Crashed):
            await importer(backing, path, prefix=NEW).run()
    with crashing(crash_once(), point), pytest.raises(Crashed):
        await importer(backing, path, prefix=NEW).run()
    if point in {"import.after-epoch", "import.before-head", "import.after-head"}:
        # The place is taken: by a database that is whole, or lacks its head in etcd only.
        with pytest.raises(FailedPrecondition) as caught:
            await importer(backing, path, prefix=NEW).run()
        assert caught.value.reason == "NOT_EMPTY"
        assert ("sluice db recover" in caught.value.message) == (point != "import.after-head")
        if point != "import.after-head":
            await backing.recovery(prefix=NEW).recover(cause="a test")
    else:
        await importer(backing, path, prefix=NEW).run()
    assert await imported(backing) == expected
    findings, _ = await check(backing, prefix=NEW)
    assert [finding for finding in findings if finding.is_fault] == []


async def test_one_of_two_imports_wins_and_the_database_is_whole(backing: BackingStores) -> None:
    first_records = await written(backing, rounds=1)
    first = await export(backing.kv, backing.storage, backing.folder / "first")
    async with opened(backing) as database:
        await fill(database, 7)
        second_records = await everything(database)
    second = await export(backing.kv, backing.storage, backing.folder / "second")
    outcomes = await asyncio.gather(
        importer(backing, first, prefix=NEW).run(), importer(backing, second, prefix=NEW).run(), return_exceptions=True
    )
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert failed
    assert all(isinstance(outcome, Conflict | FailedPrecondition) for outcome in failed), failed
    with suppress(FailedPrecondition):
        await importer(backing, second, prefix=NEW).run()
    assert await imported(backing) in (first_records, second_records)


async def test_an_import_of_unknown_types_carries_them_through(backing: BackingStores) -> None:
    expected = await written(backing, rounds=1)
    path = await export(backing.kv, backing.storage, backing.folder / "export")
    await importer(backing, path, prefix=NEW, types=()).run()
    again = await export(backing.kv, backing.storage, backing.folder / "again", prefix=NEW)
    assert bodies_of(again) == expected
    assert await imported(backing) == expected
