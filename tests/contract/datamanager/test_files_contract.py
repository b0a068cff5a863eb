"""Data files, index dumps and manifests in every object storage: a folder, an S3 server, and the unit tests' fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway.records.log.v1 import log_pb2
from sluiceway.records.storage.v1.storage_pb2 import FileRef, LiveFile, Manifest, TypeFiles
from sluiceway_common.foundation.errors import NotFound
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.tables.block import FileDamaged
from sluiceway_server.datamanager.tables.data_file import FileStore
from sluiceway_server.datamanager.tables.manifest import ManifestDamaged, ManifestStore
from sluiceway_server.objectstorage.locate import open_storage
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.stored_files import PREFIX, TYPE, record, records, rows, write, write_index


@pytest.fixture(params=["posix", "fake", "seaweed"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStorage]:
    storage: ObjectStorage
    if request.param == "fake":
        storage = FakeObjectStorage()
    elif request.param == "posix":
        storage = await open_storage(f"posix:{tmp_path / 'objects'}")
    else:
        storage = await open_storage(request.getfixturevalue("s3_url"))
    yield storage
    await storage.close()


@pytest.fixture
def store(storage: ObjectStorage) -> FileStore:
    return FileStore(storage, prefix=PREFIX)


async def keys(storage: ObjectStorage) -> list[str]:
    return [info.key async for info in storage.list(PREFIX)]


async def test_large_file_is_written_read_searched_and_verified(storage: ObjectStorage, store: FileStore) -> None:
    content = [*records(9_000, body_bytes=1_000), record(9_000, b"x" * 4_000_000), record(9_001)]
    ref = await write(store, content)
    assert await keys(storage) == [f"{PREFIX}/data/{TYPE}/1-0-a"]
    assert ref.size > 9_000_000  # more than one part of an upload
    assert await store.present(ref)
    fresh = FileStore(storage, prefix=PREFIX)
    assert [item async for some in fresh.records(ref) for item in some] == content
    found = await fresh.find([LiveFile(data=ref)], [item.id for item in content[::600]] + [content[-2].id])
    assert found == {item.id: item for item in [*content[::600], content[-2]]}
    await fresh.verify(ref)


async def test_an_index_dump_is_written_and_read(storage: ObjectStorage, store: FileStore) -> None:
    content = rows(20_000)
    ref = await write_index(store, content)
    fresh = FileStore(storage, prefix=PREFIX)
    assert [row async for some in fresh.rows(ref) for row in some] == content
    await fresh.verify(ref)


async def test_a_writer_that_is_given_up_leaves_nothing(storage: ObjectStorage, store: FileStore) -> None:
    writer = await store.data_writer(TYPE, "1-0-a")
    await writer.add_all(records(9_000, body_bytes=1_000))
    await writer.abort()
    assert await keys(storage) == []
    with pytest.raises(ValueError, match="given up"):
        await writer.finish()


async def test_a_writer_that_is_cancelled_leaves_nothing(storage: ObjectStorage, store: FileStore) -> None:
    writer = await store.data_writer(TYPE, "1-0-a")

    async def add() -> None:
        try:
            await writer.add_all(records(9_000, body_bytes=1_000))
            await asyncio.Event().wait()
        finally:
            await writer.abort()

    adding = asyncio.create_task(add())
    await asyncio.sleep(0)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert await keys(storage) == []


async def test_a_file_that_was_cleaned_away_is_not_found(storage: ObjectStorage, store: FileStore) -> None:
    ref = await write(store, records(10))
    await storage.delete(f"{PREFIX}/{ref.key}")
    assert not await store.present(ref)
    with pytest.raises(NotFound):
        await store.verify(ref)
    with pytest.raises(NotFound):
        await store.find([LiveFile(data=ref)], [ref.first])


async def test_a_file_that_was_cut_off_is_reported(storage: ObjectStorage, store: FileStore) -> None:
    ref = await write(store, records(1_000))
    key = f"{PREFIX}/{ref.key}"
    body = await storage.get(key)
    for length in (0, 7, 1_000, ref.footer_offset, ref.size - 1):
        await storage.put(key, body[:length])
        fresh = FileStore(storage, prefix=PREFIX)
        with pytest.raises(FileDamaged, match=f"{length} bytes, and the manifest says {ref.size}"):
            await fresh.verify(ref)
        with pytest.raises(FileDamaged, match="cut off"):
            await fresh.find([LiveFile(data=ref)], [ref.first])


def manifest_of(ref: FileRef, counter: int) -> Manifest:
    return Manifest(
        sequence=log_pb2.Sequence(epoch=1, counter=counter),
        types=[TypeFiles(type=TYPE, files=[LiveFile(data=ref)])],
    )


async def test_exactly_one_of_two_manifests_of_one_sequence_is_stored(storage: ObjectStorage, store: FileStore) -> None:
    ref = await write(store, records(10))
    manifests = ManifestStore(storage, prefix=PREFIX)
    made = [manifest_of(ref, 7) for _ in range(4)]
    for number, each in enumerate(made):
        each.writer = f"server-{number}"
    stored = await asyncio.gather(*map(manifests.put, made))
    assert sorted(stored) == [False, False, False, True]
    assert (await manifests.read(LogSequence(1, 7))).writer == made[stored.index(True)].writer


async def test_the_newest_manifest_is_found_and_a_damaged_one_is_told(storage: ObjectStorage, store: FileStore) -> None:
    ref = await write(store, records(10))
    manifests = ManifestStore(storage, prefix=PREFIX)
    lineage = Lineage((1,), {})
    assert await manifests.newest(lineage) is None
    for counter in (5, 300, 20):
        await manifests.put(manifest_of(ref, counter))
    assert await manifests.newest(lineage) == manifest_of(ref, 300)
    await storage.put(manifests.key(LogSequence(1, 300)), b"torn")
    with pytest.raises(ManifestDamaged, match="manifest/00000001-000000000000012c"):
        await manifests.newest(lineage)
