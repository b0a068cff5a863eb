from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluiceway.records.storage.v1.storage_pb2 import FileRef, LiveFile
from sluiceway_common.foundation.errors import NotFound, Unavailable
from sluiceway_server.datamanager.caches import FILE_CACHE_BYTES
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.tables.block import LARGEST_RECORD, FileDamaged, StoredRecord, StoredRow
from sluiceway_server.datamanager.tables.data_file import FileStore
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.conditions import eventually
from tests.support.stored_files import COLUMNS, PREFIX, TYPE, AskedStorage, record, records, write, write_index

POSITIONS = st.builds(
    Position,
    st.builds(LogSequence, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)),
    st.integers(0, 2**32 - 1),
)
IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), IDS, st.binary(max_size=20))


def by_id(made: Sequence[Any]) -> list[Any]:
    return sorted({item.id: item for item in made}.values(), key=lambda item: item.id)


RECORDS = st.lists(st.builds(StoredRecord, IDS, POSITIONS, st.binary(max_size=60)), min_size=1, max_size=60).map(by_id)
ROWS = st.lists(
    st.builds(
        StoredRow, IDS, POSITIONS, st.tuples(VALUES, VALUES, VALUES), st.one_of(st.none(), st.binary(max_size=9))
    ),
    min_size=1,
    max_size=60,
).map(by_id)
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture
def storage() -> AskedStorage:
    return AskedStorage()


@pytest.fixture
def store(storage: AskedStorage) -> FileStore:
    return FileStore(storage, prefix=PREFIX, block_bytes=1000)


async def read(store: FileStore, ref: FileRef) -> list[StoredRecord]:
    return [record async for some in store.records(ref) for record in some]


async def read_rows(store: FileStore, ref: FileRef) -> list[StoredRow]:
    return [row async for some in store.rows(ref) for row in some]


async def holds(value: object) -> bool:
    return bool(value)


async def objects(storage: FakeObjectStorage) -> list[str]:
    return [info.key async for info in storage.list()]


@SLOW
@given(RECORDS, st.integers(1, 500), st.data())
async def test_a_data_file_gives_back_what_was_written(
    content: list[StoredRecord], block_bytes: int, data: st.DataObject
) -> None:
    store = FileStore(FakeObjectStorage(), prefix=PREFIX, block_bytes=block_bytes)
    ref = await write(store, content)
    assert await read(store, ref) == content
    absent = data.draw(st.lists(IDS, max_size=5))
    found = await store.find([LiveFile(data=ref)], [*(item.id for item in content), *absent])
    assert found == {item.id: item for item in content}
    await store.verify(ref)


@SLOW
@given(ROWS, st.integers(1, 500))
async def test_an_index_dump_gives_back_what_was_written(content: list[StoredRow], block_bytes: int) -> None:
    store = FileStore(FakeObjectStorage(), prefix=PREFIX, block_bytes=block_bytes)
    ref = await write_index(store, content)
    assert await store.index_columns(ref) == (COLUMNS, 3)
    assert await read_rows(store, ref) == content
    blocks = [block async for some in store.index_blocks(ref) for block in some]
    for at in range(len(COLUMNS)):
        assert [value for block in blocks for value in block.columns[at]] == [row.values[at] for row in content]
    assert [body for block in blocks for body in block.bodies] == [row.body for row in content]
    await store.verify(ref)


async def test_a_dump_of_a_type_without_columns_has_its_ids(store: FileStore) -> None:
    writer = await store.index_writer(TYPE, "x", columns=(), version=1)
    content = [StoredRow(item.id, item.revision, (), None) for item in records(30)]
    await writer.add_all(content)
    ref = await writer.finish()
    assert await read_rows(store, ref) == content


async def test_a_reference_says_what_the_object_is(storage: AskedStorage, store: FileStore) -> None:
    content = records(100)
    ref = await write(store, content)
    body = await storage.get(f"{PREFIX}/{ref.key}")
    assert ref.key == f"data/{TYPE}/1-0-a"
    assert (ref.size, ref.digest) == (len(body), hashlib.sha256(body).digest())
    assert (ref.first, ref.last, ref.records) == (content[0].id, content[-1].id, 100)
    assert await store.present(ref)
    await FileStore(storage, prefix=PREFIX).verify(ref)


async def test_a_record_larger_than_a_block_is_a_block_of_its_own(store: FileStore) -> None:
    content = [record(1), record(2, b"x" * 5_000_000), record(3), record(4)]
    ref = await write(store, content)
    assert await read(store, ref) == content
    assert [len(some) async for some in store.records(ref)] == [1, 1, 2]


async def test_ids_that_do_not_rise_are_refused(store: FileStore) -> None:
    for wrong in (1, 2):
        writer = await store.data_writer(TYPE, "x")
        await writer.add(record(2))
        with pytest.raises(ValueError, match="ids must rise"):
            await writer.add(record(wrong))
        await writer.abort()


async def test_a_record_that_no_reader_would_take_is_refused(store: FileStore) -> None:
    writer = await store.data_writer(TYPE, "x")
    with pytest.raises(ValueError, match=r"record|bytes"):
        await writer.add(record(1, bytes(LARGEST_RECORD)))
    await writer.add(record(2, bytes(LARGEST_RECORD - 100)))
    assert (await writer.finish()).records == 1


async def test_a_row_has_a_value_for_each_column(store: FileStore) -> None:
    writer = await store.index_writer(TYPE, "x", columns=COLUMNS, version=1)
    with pytest.raises(ValueError, match="2 values for 3 columns"):
        await writer.add(StoredRow("a", record(1).revision, ("a", "b"), None))


@pytest.mark.parametrize(
    ("type_name", "name"),
    [("run", ""), ("run", "a/b"), ("", "a"), ("../run", "a"), ("run task", "a")],
)
async def test_names_that_would_lie_elsewhere_are_refused(store: FileStore, type_name: str, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be called"):
        await store.data_writer(type_name, name)


async def test_a_file_of_no_records_is_refused(storage: AskedStorage, store: FileStore) -> None:
    writer = await store.data_writer(TYPE, "x")
    with pytest.raises(ValueError, match="no records"):
        await writer.finish()
    assert await objects(storage) == []


async def test_file_is_invisible_before_its_end_and_after_an_abort(storage: AskedStorage, store: FileStore) -> None:
    writer = await store.data_writer(TYPE, "x")
    await writer.add_all(records(20_000))
    assert storage.chunks
    assert await objects(storage) == []
    await writer.abort()
    await writer.abort()
    for use in (writer.add(record(30_000)), writer.finish()):
        with pytest.raises(ValueError, match="given up"):
            await use
    assert await objects(storage) == []


async def test_finished_file_survives_an_abort_and_is_closed(storage: AskedStorage, store: FileStore) -> None:
    writer = await store.data_writer(TYPE, "x")
    await writer.add(record(1))
    ref = await writer.finish()
    await writer.abort()
    with pytest.raises(ValueError, match="finished"):
        await writer.add(record(2))
    await store.verify(ref)
    assert await objects(storage) == [f"{PREFIX}/{ref.key}"]


async def test_a_file_that_lost_a_part_on_its_way_cannot_be_finished(storage: AskedStorage, store: FileStore) -> None:
    writer = await store.data_writer(TYPE, "x")
    storage.go_away()
    with pytest.raises(Unavailable):
        await writer.add_all(records(20_000))
    storage.come_back()
    with pytest.raises(ValueError, match="given up"):
        await writer.finish()
    await writer.abort()
    assert await objects(storage) == []


async def test_file_that_the_storage_refuses_leaves_nothing(storage: AskedStorage, store: FileStore) -> None:
    writer = await store.data_writer(TYPE, "x")
    await writer.add(record(1))
    storage.fill_up()
    with pytest.raises(Unavailable):
        await writer.finish()
    storage.make_room()
    assert await objects(storage) == []


async def test_a_writer_that_was_cancelled_cannot_be_finished(storage: AskedStorage, store: FileStore) -> None:
    writer = await store.data_writer(TYPE, "x")
    storage.hold()
    adding = asyncio.create_task(writer.add_all(records(20_000)))
    await eventually(lambda: holds(storage.chunks))
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    storage.release()
    with pytest.raises(ValueError, match="given up"):
        await writer.finish()
    await writer.abort()
    assert await objects(storage) == []


async def test_a_writer_holds_a_few_blocks_and_not_the_file(storage: AskedStorage) -> None:
    store = FileStore(storage, prefix=PREFIX)
    writer = await store.data_writer(TYPE, "x")
    added = 0
    for item in records(8_000, body_bytes=1_000):
        await writer.add(item)
        added += 1_000
        assert added - sum(storage.chunks) < 1_000_000
    assert max(storage.chunks) < 1_000_000
    assert len(storage.chunks) < 20  # one hop to a thread for many blocks


async def test_the_size_of_a_file_is_known_while_it_grows(storage: AskedStorage) -> None:
    writer = await FileStore(storage, prefix=PREFIX).data_writer(TYPE, "x")
    before = writer.size
    for item in records(3_000, body_bytes=1_000):
        await writer.add(item)
        assert writer.size >= 0.99 * before  # an estimate, but it never jumps back by much
        before = writer.size
    ref = await writer.finish()
    assert ref.records == 3_000
    assert abs(ref.size - before) < 0.05 * ref.size


async def test_a_file_that_is_full_has_a_footer_that_readers_take(storage: AskedStorage) -> None:
    # Long ids, nothing else, and all alike: the index of the blocks is larger than the blocks.
    store = FileStore(storage, prefix=PREFIX, block_bytes=1000)
    writer = await store.data_writer(TYPE, "x")
    number = 0
    while not writer.full:
        await writer.add(StoredRecord(f"{'x' * 700}{number:08}", record(1).revision, b""))
        number += 1
    assert writer.size < 1024 * 1024
    ref = await writer.finish()
    assert len(await store.find([LiveFile(data=ref)], [ref.first, ref.last])) == 2


async def test_records_are_found_with_one_range_read_for_each_block(storage: AskedStorage, store: FileStore) -> None:
    content = records(400)
    halves = [await write(store, content[:200], name="a"), await write(store, content[200:], name="b")]
    files = [LiveFile(data=ref) for ref in halves]
    ids = [content[0].id, content[1].id, content[100].id, content[300].id]
    assert await store.find(files, ids) == {item.id: item for item in content if item.id in ids}
    keys = [key for key, _, _ in storage.ranges]
    assert sorted(keys) == sorted([f"{PREFIX}/{halves[0].key}"] * 3 + [f"{PREFIX}/{halves[1].key}"] * 2)
    storage.ranges.clear()
    assert len(await store.find(files, ids)) == 4
    assert storage.ranges == []


async def test_ids_outside_of_all_files_need_no_reading(storage: AskedStorage, store: FileStore) -> None:
    content = records(20)
    files = [LiveFile(data=await write(store, content[:5], name="a"))]
    files.append(LiveFile(data=await write(store, content[10:], name="b")))
    assert await store.find(files, ["", "a", "zz", content[7].id]) == {}
    assert await store.find([], ["a"]) == {}
    assert await store.find(files, []) == {}
    assert storage.ranges == []


async def test_what_is_kept_of_files_weighs_no_more_than_its_limit(storage: AskedStorage) -> None:
    store = FileStore(storage, prefix=PREFIX)
    files = []
    for number in range(4):
        content = records(6_000, body_bytes=1_000, first=number * 6_000)
        files.append(LiveFile(data=await write(store, content, name=str(number))))
    for number in range(0, 24_000, 60):
        found = await store.find(files, [record(number).id])
        assert len(found) == 1
        assert store._cache.weight <= FILE_CACHE_BYTES
    assert store._cache.weight > FILE_CACHE_BYTES // 2


async def test_a_huge_block_does_not_push_out_all_others(storage: AskedStorage) -> None:
    store = FileStore(storage, prefix=PREFIX)
    files = [LiveFile(data=await write(store, [record(1), record(2, bytes(4_000_000)), record(3)]))]
    assert len(await store.find(files, [record(1).id])) == 1
    assert len(await store.find(files, [record(2).id])) == 1
    assert store._cache.weight < 100_000
    storage.ranges.clear()
    assert len(await store.find(files, [record(1).id])) == 1
    assert storage.ranges == []


async def test_reading_a_file_goes_not_far_ahead_of_its_reader(storage: AskedStorage) -> None:
    store = FileStore(storage, prefix=PREFIX)
    ref = await write(store, records(10_000, body_bytes=1_000))
    storage.ranges.clear()
    async with aclosing(store.records(ref)) as some:
        assert len(await anext(some)) < 100
        for _ in range(20):
            await asyncio.sleep(0)
    assert len(storage.ranges) <= 3  # the footer, what is read, and what is read ahead
    assert max(length for _, _, length in storage.ranges) < 1_100_000


async def test_a_reader_that_leaves_early_leaves_no_task_behind(store: FileStore) -> None:
    ref = await write(store, records(25_000))
    async with aclosing(store.records(ref)) as some:
        await anext(some)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_reader_that_is_cancelled_leaves_no_task_behind(storage: AskedStorage, store: FileStore) -> None:
    ref = await write(store, records(25_000))
    reading = asyncio.create_task(read(store, ref))
    await eventually(lambda: holds(storage.ranges[1:]))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_file_that_is_gone_is_not_found_and_not_damaged(storage: AskedStorage, store: FileStore) -> None:
    ref = await write(store, records(10))
    await storage.delete(f"{PREFIX}/{ref.key}")
    assert not await store.present(ref)
    for use in (read(store, ref), store.find([LiveFile(data=ref)], [ref.first]), store.verify(ref)):
        with pytest.raises(NotFound):
            await use


async def test_one_of_many_files_that_is_gone_is_raised_as_itself(storage: AskedStorage, store: FileStore) -> None:
    content = records(30)
    files = [LiveFile(data=await write(store, [item], name=item.id)) for item in content]
    await storage.delete(f"{PREFIX}/{files[17].data.key}")
    with pytest.raises(NotFound, match=files[17].data.key):
        await store.find(files, [item.id for item in content])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_file_of_another_size_is_not_the_one_that_was_written(storage: AskedStorage, store: FileStore) -> None:
    ref = await write(store, records(10))
    body = await storage.get(f"{PREFIX}/{ref.key}")
    storage.damage(f"{PREFIX}/{ref.key}", body + b"x")
    assert not await store.present(ref)
    with pytest.raises(FileDamaged, match=f"{ref.size + 1} bytes, and the manifest says {ref.size}"):
        await store.verify(ref)
