from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sluiceway.records.storage.v1.storage_pb2 import LiveFile, Manifest, TypeFiles
from sluiceway_common.foundation.errors import DataLoss, NotFound
from sluiceway_server.datamanager.log.entries import sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.tables.manifest import (
    ManifestDamaged,
    ManifestStore,
    decode_manifest,
    encode_manifest,
)
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.stored_files import PREFIX, file_ref

FIRST = Lineage((1,), {})


def manifest(counter: int = 7, epoch: int = 1) -> Manifest:
    return Manifest(
        sequence=sequence_proto(LogSequence(epoch, counter)),
        transactions=3,
        digest=bytes(32),
        total_bytes=1000,
        database_id="database",
        writer="one",
        types=[
            TypeFiles(type="change_group", files=[LiveFile(data=file_ref("data/change_group/x"))]),
            TypeFiles(
                type="run",
                files=[
                    LiveFile(data=file_ref("data/run/1"), index=file_ref("index/run/1")),
                    LiveFile(data=file_ref("data/run/2", first="c", last="c", records=1)),
                ],
            ),
        ],
    )


@pytest.fixture
def storage() -> FakeObjectStorage:
    return FakeObjectStorage()


@pytest.fixture
def store(storage: FakeObjectStorage) -> ManifestStore:
    return ManifestStore(storage, prefix=PREFIX)


async def test_a_manifest_gives_back_what_was_put(store: ManifestStore) -> None:
    assert await store.put(manifest())
    assert await store.read(LogSequence(1, 7)) == manifest()
    with pytest.raises(NotFound):
        await store.read(LogSequence(1, 8))


async def test_the_first_of_two_manifests_of_one_sequence_stays(store: ManifestStore) -> None:
    other = manifest()
    other.writer = "two"
    assert [await store.put(each) for each in (manifest(), other)] == [True, False]
    assert (await store.read(LogSequence(1, 7))).writer == "one"


async def test_manifests_are_listed_from_the_oldest(store: ManifestStore) -> None:
    assert await store.sequences() == []
    numbers = [(1, 300), (2, 1), (1, 7), (1, 4000), (1, 0)]
    for epoch, counter in numbers:
        await store.put(manifest(counter, epoch))
    assert await store.sequences() == sorted(LogSequence(*each) for each in numbers)


async def test_newest_manifest_of_the_history_is_found(store: ManifestStore) -> None:
    for epoch, counter in ((1, 5), (1, 9), (2, 3), (3, 2)):
        await store.put(manifest(counter, epoch))

    async def newest(lineage: Lineage) -> LogSequence | None:
        found = await store.newest(lineage)
        return None if found is None else LogSequence(found.sequence.epoch, found.sequence.counter)

    assert await newest(FIRST) == LogSequence(1, 9)
    assert await newest(Lineage((1, 4), {1: LogSequence(1, 8)})) == LogSequence(1, 5)
    assert await newest(Lineage((1, 2, 4), {1: LogSequence(1, 8), 2: LogSequence(2, 3)})) == LogSequence(2, 3)
    assert await newest(Lineage((1, 3), {1: LogSequence(1, 8)})) == LogSequence(3, 2)
    assert await newest(Lineage((4,), {})) is None


async def test_a_damaged_newest_manifest_is_told_and_not_stepped_over(
    storage: FakeObjectStorage, store: ManifestStore
) -> None:
    await store.put(manifest(5))
    await store.put(manifest(9))
    storage.damage(store.key(LogSequence(1, 9)), b"torn")
    with pytest.raises(ManifestDamaged, match=re.escape(store.key(LogSequence(1, 9)))):
        await store.newest(FIRST)


async def test_a_damaged_void_manifest_is_nobodys_trouble(storage: FakeObjectStorage, store: ManifestStore) -> None:
    await store.put(manifest(5))
    await store.put(manifest(9))
    storage.damage(store.key(LogSequence(1, 9)), b"torn")
    found = await store.newest(Lineage((1, 2), {1: LogSequence(1, 8)}))
    assert found is not None
    assert found.sequence.counter == 5


async def test_newest_is_found_when_a_listed_manifest_is_removed(
    storage: FakeObjectStorage,
) -> None:
    class Cleaned(ManifestStore):
        async def read(self, sequence: LogSequence) -> Manifest:
            if sequence.counter == 5:
                await self.put(manifest(9))
                await storage.delete(self.key(sequence))
            return await super().read(sequence)

    store = Cleaned(storage, prefix=PREFIX)
    await store.put(manifest(5))
    found = await store.newest(FIRST)
    assert found is not None
    assert found.sequence.counter == 9


async def test_a_storage_that_lists_what_it_does_not_have_is_reported(storage: FakeObjectStorage) -> None:
    class Stale(ManifestStore):
        async def read(self, sequence: LogSequence) -> Manifest:
            raise NotFound("gone")

    store = Stale(storage, prefix=PREFIX)
    await store.put(manifest())
    with pytest.raises(DataLoss, match="cannot be found when they are read"):
        await store.newest(FIRST)


async def test_a_manifest_under_another_name_is_reported(storage: FakeObjectStorage, store: ManifestStore) -> None:
    await store.put(manifest(7))
    await storage.put(store.key(LogSequence(1, 8)), await storage.get(store.key(LogSequence(1, 7))))
    with pytest.raises(ManifestDamaged, match=f"it is the manifest of {LogSequence(1, 7)}"):
        await store.read(LogSequence(1, 8))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "readme",
        "00000001-000000000000000x",
        "00000001-000000000000000A",
        "00000001-0000000000000007.tmp",
        "+0000001-0000000000000007",
    ],
)
async def test_other_names_among_manifests_are_ignored_and_logged_once(
    storage: FakeObjectStorage, store: ManifestStore, name: str
) -> None:
    await store.put(manifest(7))
    await storage.put(f"{PREFIX}/manifest/{name}", b"")
    with capture_logs() as lines:
        assert await store.sequences() == [LogSequence(1, 7)]
        assert await store.newest(FIRST) == manifest(7)
    assert [line["key"] for line in lines] == [f"{PREFIX}/manifest/{name}"]


@given(st.data())
def test_a_changed_byte_is_reported(data: st.DataObject) -> None:
    body = bytearray(encode_manifest(manifest()))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ManifestDamaged, match="manifest/x"):
        decode_manifest("manifest/x", bytes(body))


@given(st.data())
def test_a_manifest_that_was_cut_off_or_grew_is_reported(data: st.DataObject) -> None:
    body = encode_manifest(manifest())
    changed = data.draw(
        st.one_of(st.integers(0, len(body) - 1).map(lambda end: body[:end]), st.binary(min_size=1).map(body.__add__))
    )
    with pytest.raises(ManifestDamaged, match="manifest/x"):
        decode_manifest("manifest/x", changed)


def test_a_manifest_of_another_version_is_reported_as_such() -> None:
    body = encode_manifest(manifest())
    with pytest.raises(ManifestDamaged, match="format version 9, and this server reads 1 only"):
        decode_manifest("manifest/x", body[:7] + b"\x09" + body[8:])


def _of_run(made: Manifest) -> TypeFiles:
    return made.types[1]


def _set(path: str, value: object) -> Callable[[Manifest], None]:
    def twist(made: Manifest) -> None:
        *way, name = path.split(".")
        target = _of_run(made).files[0]
        for part in way:
            target = getattr(target, part)
        setattr(target, name, value)

    return twist


def _twice(made: Manifest) -> None:
    made.types.append(_of_run(made))


def _overlapping(made: Manifest) -> None:
    _of_run(made).files[1].data.first = "b"


def _unsorted(made: Manifest) -> None:
    made.types.reverse()


def _without_files(made: Manifest) -> None:
    del _of_run(made).files[:]


def _without_data(made: Manifest) -> None:
    _of_run(made).files[0].ClearField("data")


def _without_sequence(made: Manifest) -> None:
    made.ClearField("sequence")


FAULTS: dict[str, tuple[Callable[[Manifest], None], str]] = {
    "no-sequence": (_without_sequence, "names no sequence"),
    "types-unsorted": (_unsorted, "types are out of order"),
    "a-type-twice": (_twice, "types are out of order"),
    "a-type-without-files": (_without_files, "the type run has no files"),
    "files-overlap": (_overlapping, "data/run/2 is out of order, or overlaps"),
    "no-data-file": (_without_data, "is not in the folder data/run/"),
    "a-foreign-folder": (_set("data.key", "wal/run/1"), "is not in the folder data/run/"),
    "another-types-folder": (_set("data.key", "data/task/1"), "is not in the folder data/run/"),
    "a-folder-below": (_set("data.key", "data/run/a/b"), "is not in the folder data/run/"),
    "only-the-folder": (_set("data.key", "data/run/"), "is not in the folder data/run/"),
    "a-dump-among-the-data": (_set("index.key", "data/run/1"), "is not in the folder index/run/"),
    "a-short-digest": (_set("data.digest", b"x"), "does not say what data/run/1 is"),
    "a-footer-beyond-the-end": (_set("data.footer_offset", 200), "does not say what data/run/1 is"),
    "no-records": (_set("data.records", 0), "does not say which records are in data/run/1"),
    "a-range-backwards": (_set("data.first", "bb"), "does not say which records are in data/run/1"),
    "a-dump-of-other-records": (_set("index.records", 3), "index/run/1 is not of the records of data/run/1"),
}


@pytest.mark.parametrize(("twist", "says"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_manifest_that_cannot_be_is_neither_written_nor_read(
    store: ManifestStore, twist: Callable[[Manifest], None], says: str
) -> None:
    made = manifest()
    twist(made)
    with pytest.raises(ValueError, match=says):
        await store.put(made)
    # Somebody else's program wrote it, with a checksum that holds.
    content = made.SerializeToString()
    body = encode_manifest(manifest())[:8] + hashlib.sha256(content).digest() + content
    with pytest.raises(ManifestDamaged, match=says):
        decode_manifest("manifest/x", body)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_content_is_read_or_reported(content: bytes) -> None:
    body = encode_manifest(manifest())[:8] + hashlib.sha256(content).digest() + content
    try:
        decode_manifest("manifest/x", body)
    except ManifestDamaged:
        return
    assert Manifest.FromString(content).sequence.epoch >= 1
