from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zstandard

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import DataLoss, Unavailable
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, LogEntry, encode_entry
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.tables.change_set import CHANGE_GROUP, Change, Changes


def entry(counter: int, *transactions: log_pb2.Transaction) -> LogEntry:
    return encode_entry(
        log_pb2.Batch(transactions=transactions),
        sequence=LogSequence(1, counter),
        batch_id=b"id",
        writer="test",
        time_us=0,
        previous_digest=GENESIS_DIGEST,
        compressor=zstandard.ZstdCompressor(),
    )


def transaction(*actions: log_pb2.Action, groups: tuple[str, ...] = ()) -> log_pb2.Transaction:
    return log_pb2.Transaction(actions=actions, groups=groups)


def put(id_: str, body: bytes, type_: str = "note") -> log_pb2.Action:
    return log_pb2.Action(put=log_pb2.Put(type=type_, id=id_, body=body))


def delete(id_: str, type_: str = "note") -> log_pb2.Action:
    return log_pb2.Action(delete=log_pb2.Delete(type=type_, id=id_))


def at(counter: int, index: int) -> Position:
    return Position(LogSequence(1, counter), index)


@pytest.fixture
async def scratch(tmp_path: Path) -> AsyncIterator[Changes]:
    async with Changes.open(tmp_path / "folder" / "scratch.sqlite") as found:
        yield found


async def changes(
    scratch: Changes, type_: str = "note", after: str | None = None, before: str | None = None, page: int = 10**6
) -> list[list[Change]]:
    return [piece async for piece in scratch.pages(type_, after=after, before=before, page_bytes=page)]


async def test_only_the_last_action_on_a_record_counts(scratch: Changes) -> None:
    await scratch.add(
        [
            entry(1, transaction(put("a", b"1"), put("b", b"1")), transaction(put("a", b"2"), put("a", b"3"))),
            entry(2, transaction(delete("b"), put("c", b"1"), delete("d"))),
        ]
    )
    await scratch.add([entry(3, transaction(delete("c")), transaction(put("c", b"2"), delete("a")))])
    assert await changes(scratch) == [
        [
            Change("a", at(3, 1), None),
            Change("b", at(2, 0), None),
            Change("c", at(3, 1), b"2"),
            Change("d", at(2, 0), None),
        ]
    ]
    assert [piece async for piece in scratch.sizes("note")] == [[("a", None), ("b", None), ("c", 2), ("d", None)]]
    assert await scratch.changed_bytes() == 5


async def test_change_groups_are_records_without_a_body(scratch: Changes) -> None:
    emit = log_pb2.Action(emit=log_pb2.Emit(kind="k", topics=["t"], body=b"x"))
    await scratch.add([entry(1, transaction(emit, groups=("g", "é")), transaction(put("a", b""), groups=("g",)))])
    assert await scratch.types() == [CHANGE_GROUP, "note"]
    assert await changes(scratch, CHANGE_GROUP) == [[Change("g", at(1, 1), b""), Change("é", at(1, 0), b"")]]
    assert await changes(scratch) == [[Change("a", at(1, 1), b"")]]
    assert await scratch.changed_bytes() == 1 + 2 + 1


async def test_types_are_apart_and_unknown_ones_pass_through(scratch: Changes) -> None:
    await scratch.add([entry(1, transaction(put("a", b"1"), put("a", b"\xff\x00", type_="of_tomorrow")))])
    assert await changes(scratch, "of_tomorrow") == [[Change("a", at(1, 0), b"\xff\x00")]]


async def test_pages_are_sorted_by_code_point_and_bounded(scratch: Changes) -> None:
    ids = ["", "A", "a", "a\0b", "ab", "z", "é", "\uffff", "\U0001f600"]
    await scratch.add([entry(1, transaction(*(put(id_, b"123456789") for id_ in reversed(ids))))])
    assert [change.id for page in await changes(scratch) for change in page] == sorted(ids)
    assert [len(page) for page in await changes(scratch, page=170)] == [3, 3, 3]
    assert [change.id for page in await changes(scratch, after="a", before="é") for change in page] == [
        "a\0b",
        "ab",
        "z",
    ]
    assert await changes(scratch, after="\U0001f600") == []


async def test_what_a_crash_left_is_replaced_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "scratch.sqlite"
    async with Changes.open(path) as left:
        await left.add([entry(1, transaction(put("a", b"1")))])
        crashed = path.read_bytes()
    assert not path.exists()
    path.write_bytes(crashed)
    async with Changes.open(path) as scratch:
        assert await scratch.types() == []
        assert path.exists()
    assert not path.exists()


async def test_a_damaged_entry_is_reported(scratch: Changes) -> None:
    good = entry(7, transaction(put("a", b"1" * 200)))
    message = log_pb2.Entry.FromString(good.raw)
    message.batch = message.batch[:-3]
    damaged = LogEntry(good.sequence, b"", "", 0, b"", b"", 1, message.SerializeToString())
    with pytest.raises(DataLoss, match="00000001-0000000000000007"):
        await scratch.add([damaged])


async def test_a_disk_without_room_is_something_that_passes(scratch: Changes) -> None:
    # As many pages as it has: the next one is refused as on a full disk.
    await scratch._run(lambda: scratch._connection.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(Unavailable, match="Make room") as caught:
        await scratch.add([entry(n, transaction(put("a", b"1" * 10_000))) for n in range(5)])
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


async def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="scratch"):
        async with Changes.open(tmp_path / "file" / "scratch.sqlite"):
            pass
