"""A server without a usable read database fills one from the newest manifest, then continues with segments and log."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import Catalogue
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import Bodies, Column, Delete, Position, Put, Query, RecordType
from sluiceway_server.datamanager.replica.cold_bodies import ColdBodyStore
from sluiceway_server.datamanager.replica.rebuild import ReplicaFile
from sluiceway_server.datamanager.replica.schema import Tables
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.databases import NOTE, OTHER, flushed, put
from tests.support.log_builder import JOB, job
from tests.support.remote_bodies import ALL, KEEPING, LEAVING, DatabaseStores, ReadRecorder, everything, remote

GROUPS = ("g", "h", "never")
SHORT_LOG = replace(KEEPING, keep_log_entries=1)


@pytest.fixture
def stores(etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str) -> DatabaseStores:
    return DatabaseStores(etcd, storage, tmp_path, etcd_prefix.strip("/"))


async def write(stores: DatabaseStores, *, more: bool = True) -> dict[str, Any]:
    """A server writes, a checkpoint is made in the middle; return all records."""
    async with stores.server(settings=SHORT_LOG) as database:
        for n in range(5):
            await database.commit(
                [
                    *(
                        job(f"j{n}{m:02}", group="xy"[m % 2], rank=m, done=m % 3 > 0, text=f"{n} {m}")
                        for m in range(30)
                    ),
                    *(put(f"n{n}{m:02}", group="xy"[m % 2], rank=m, text=f"{n} {m}") for m in range(30)),
                ],
                groups=["g"],
            )
        await database.commit([Delete(JOB, "j000"), Delete(NOTE, "n101"), put("n102", "y", 99)], groups=["h"])
        await stores.settle(database)
        if more:
            await database.commit(
                [job("j401", done=True, text="later"), Delete(JOB, "j402"), put("n401")], groups=["g"]
            )
            await flushed(database)
            await database.commit([job("new"), Delete(NOTE, "n402"), put("n403", "x", 3)])
        return await everything(database, groups=GROUPS)


def delete_file(folder: Path) -> None:
    for file in folder.glob("read.sqlite*"):
        file.unlink()


def damage_file(folder: Path) -> None:
    (folder / "read.sqlite").write_bytes(b"this is no database" * 1000)


def cut_file(folder: Path) -> None:
    file = folder / "read.sqlite"
    file.write_bytes(file.read_bytes()[:5000])


def forget_what_it_is(folder: Path) -> None:
    """As when the server died while it filled the file."""
    with sqlite3.connect(folder / "read.sqlite") as connection:
        connection.execute("DELETE FROM about")
    connection.close()


def make_of_another_epoch(folder: Path) -> None:
    with sqlite3.connect(folder / "read.sqlite") as connection:
        connection.execute("UPDATE about SET epoch = 7")
    connection.close()


UNUSABLE = [
    pytest.param(delete_file, id="deleted"),
    pytest.param(damage_file, id="overwritten"),
    pytest.param(cut_file, id="cut off"),
    pytest.param(forget_what_it_is, id="not finished"),
    pytest.param(make_of_another_epoch, id="of another epoch"),
]


@pytest.mark.parametrize("harm", UNUSABLE)
async def test_unusable_replica_is_rebuilt_with_the_same_records(
    stores: DatabaseStores, harm: Callable[[Path], None]
) -> None:
    expected = await write(stores)
    await stores.delete("wal/00000001-0000000000000001")  # the manifest has it
    harm(stores.folder / "one")
    async with stores.server() as database:
        assert await everything(database, groups=GROUPS) == expected
        assert await remote(database) > 90, "the bodies of old records were never here"


async def test_new_server_has_the_same_records_and_writes(stores: DatabaseStores) -> None:
    expected = await write(stores)
    async with stores.server("one") as old, stores.server("new") as new:
        assert await everything(new, groups=GROUPS) == expected
        await new.commit([put("from new"), job("j001", done=True, text="from new")], groups=["h"])
        assert await everything(old, groups=GROUPS) == await everything(new, groups=GROUPS)


async def test_settled_bodies_are_not_read_at_the_start(stores: DatabaseStores) -> None:
    await write(stores, more=False)
    reads = ReadRecorder(stores.storage)
    async with stores.server("new", storage=reads):
        assert {key.split("/")[2] for key in reads.reads} == {"note", "change_group"}


async def test_server_whose_segments_are_gone_uses_the_manifest(stores: DatabaseStores) -> None:
    async with stores.server("away", settings=SHORT_LOG) as away:
        await away.commit([put("before")])
        await flushed(away)
    expected = await write(stores)
    segments = sorted([info.key async for info in stores.storage.list(f"{stores.prefix}/wal/")])
    manifests = sorted([info.key async for info in stores.storage.list(f"{stores.prefix}/manifest/")])
    for key in segments:
        if key.rsplit("/", 1)[1] <= manifests[-1].rsplit("/", 1)[1]:
            await stores.storage.delete(key)
    async with stores.server("away") as away:
        assert await everything(away, groups=GROUPS) == expected


async def test_other_columns_are_computed_from_the_data_files(stores: DatabaseStores) -> None:
    expected = await write(stores)
    changed = replace(
        JOB, columns=(*JOB.columns, Column("text", lambda m: m.database_id)), indexes=(*JOB.indexes, ("text",))
    )
    reads = ReadRecorder(stores.storage)
    async with stores.server("new", types=(NOTE, changed), storage=reads) as database:
        assert "job" in {key.split("/")[2] for key in reads.reads}
        found = await everything(database, (NOTE, changed), groups=GROUPS)
        assert found["records of job"] == expected["records of job"]
        assert found["revisions of job"] == expected["revisions of job"]
        assert await remote(database) > 90
        page = await database.read(lambda view: view.rows(changed, Query({"text": "2 7"})))
        assert [id_ for id_, _ in page.records] == ["j207"]


async def test_columns_of_another_version_are_computed_again(stores: DatabaseStores) -> None:
    await write(stores, more=False)
    changed = replace(JOB, columns=(JOB.columns[0], Column("rank", lambda m: 1000 - m.number)), version=2)
    async with stores.server("new", types=(NOTE, changed)) as database:
        page = await database.read(lambda view: view.rows(changed, Query({"group": "x"}, ("-rank",), 3)))
        assert [fields["rank"] for _, fields in page.records] == [1000, 1000, 1000]


async def test_a_type_that_became_local_is_whole(stores: DatabaseStores) -> None:
    expected = await write(stores)
    local = replace(JOB, bodies=Bodies.LOCAL, settled=None)
    async with stores.server("new", types=(NOTE, local)) as database:
        await stores.delete("data", "index")
        found = await everything(database, (NOTE, local), groups=GROUPS)
        assert found["records of job"] == expected["records of job"]
        assert await remote(database) == 0


async def test_records_of_types_that_are_not_known_are_carried_through(stores: DatabaseStores) -> None:
    types = (*ALL, OTHER)
    other = Put(OTHER, "o", log_pb2.Emit(kind="k", topics=["t"], body=b"bytes"))
    async with stores.server(types=types) as database:
        await database.commit([other, put("a")])
        await stores.settle(database, types=types)
    async with stores.server("old") as old:
        await old.commit([put("b")])
    async with stores.server("old", types=types) as upgraded:
        assert (await upgraded.get(OTHER, "o")).body == b"bytes"


async def test_removed_file_is_read_through_the_newest_manifest(stores: DatabaseStores) -> None:
    async with stores.server() as database:
        await database.commit([put(f"n{n}") for n in range(50)])
        first = await stores.settle(database)
        await database.commit([put("n0", "x", 7)])
        await flushed(database)
    reads = ReadRecorder(stores.storage)

    async def clean(key: str) -> None:
        reads.before_read = None
        await stores.checkpoint()
        for files in first.types:
            for file in files.files:
                await stores.storage.delete(f"{stores.prefix}/{file.data.key}")

    reads.before_read = clean
    async with stores.server("new", storage=reads) as database:
        assert (await database.get(NOTE, "n0")).number == 7
        assert len((await everything(database))["records of note"]) == 50


async def test_a_file_that_is_gone_is_named(stores: DatabaseStores) -> None:
    await write(stores)
    (wait_until_remote,) = await stores.delete("data/note")
    with pytest.raises(DataLoss) as error:
        async with stores.server("new"):
            pass
    assert error.value.reason == "FILE_MISSING"
    assert wait_until_remote in str(error.value)
    assert not (stores.folder / "new" / "read.sqlite").exists()


async def no_wait(position: Position) -> None:
    """Nothing is read before the file is there."""


async def test_a_start_that_is_cancelled_leaves_no_file(stores: DatabaseStores, tmp_path: Path) -> None:
    await write(stores, more=False)
    reads, asked = ReadRecorder(stores.storage), asyncio.Event()

    async def wait(key: str) -> None:
        asked.set()
        await asyncio.Event().wait()

    reads.before_read = wait
    files, lineage = FileStore(reads, prefix=stores.prefix), Lineage((1,), {})
    bodies = ColdBodyStore(files, stores.manifests, lineage, wait_applied=no_wait, timeout=timedelta(seconds=60))
    with ThreadPoolExecutor(1) as writer:
        file = ReplicaFile(
            tmp_path / "f" / "read.sqlite",
            Tables(Catalogue(ALL)),
            writer,
            files,
            bodies,
            "id",
            lineage,
        )
        opening = asyncio.create_task(file.open())
        await asked.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert list((tmp_path / "f").iterdir()) == []


async def test_a_server_that_has_a_usable_file_reads_no_manifest(stores: DatabaseStores) -> None:
    expected = await write(stores)
    reads = ReadRecorder(stores.storage)
    async with stores.server(storage=reads, settings=replace(KEEPING, body_interval=timedelta(hours=1))) as database:
        assert reads.reads == []
        assert await everything(database, groups=GROUPS) == expected


async def test_two_servers_from_one_manifest_read_the_same(stores: DatabaseStores) -> None:
    await write(stores)
    async with stores.server("a", settings=LEAVING) as a, stores.server("b", settings=KEEPING) as b:
        assert await everything(a, groups=GROUPS) == await everything(b, groups=GROUPS)


RENAMED: RecordType[log_pb2.Epoch] = replace(JOB, name="renamed")


async def test_a_type_without_records_in_the_manifest_is_empty(stores: DatabaseStores) -> None:
    await write(stores)
    async with stores.server("new", types=(*ALL, RENAMED)) as database:
        assert await database.read(lambda view: list(view.scan(RENAMED))) == []
        await database.commit([Put(RENAMED, "a", log_pb2.Epoch(writer="x"))])
        assert (await database.get(RENAMED, "a")).writer == "x"
