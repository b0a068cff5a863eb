"""Segments read along the history: across epochs, cut where one was left, around what is void, strange or damaged."""

from __future__ import annotations

from contextlib import aclosing

import pytest
import zstandard

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, LogEntry, encode_entry
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.segments import SegmentStore, encode_segment
from sluiceway_server.datamanager.model import LogSequence
from tests.fakes.objectstorage import FakeObjectStorage


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


def entries(epoch: int, first: int, last: int, before: bytes, *, writer: str = "one") -> list[LogEntry]:
    made: list[LogEntry] = []
    for counter in range(first, last + 1):
        made.append(
            encode_entry(
                log_pb2.Batch(),
                sequence=seq(epoch, counter),
                batch_id=b"id",
                writer=writer,
                time_us=1,
                previous_digest=made[-1].digest if made else before,
                compressor=zstandard.ZstdCompressor(),
            )
        )
    return made


class Folder:
    """Epoch 1 has 1-7 and was left at 4, epoch 3 continues from there with 1-5; void: 5-7, and a segment 8-9 after."""

    def __init__(self) -> None:
        self.storage = FakeObjectStorage()
        self.store = SegmentStore(self.storage, prefix="p")
        one = entries(1, 1, 7, GENESIS_DIGEST)
        late = entries(1, 8, 9, one[-1].digest)
        three = entries(3, 1, 5, one[3].digest)
        self.parts = [one[:2], one[2:], late, three[:3], three[3:]]
        self.lineage = Lineage.of({1: None, 2: seq(1, 6), 3: seq(1, 4)}, 3)

    async def fill(self, *parts: list[LogEntry]) -> None:
        for part in parts or self.parts:
            body = encode_segment(part, total_bytes=sum(len(entry.raw) for entry in part), writer="one")
            await self.store.put(part[0].sequence, body)

    async def read(self, after: LogSequence, store: SegmentStore | None = None) -> list[LogSequence]:
        found = []
        async with aclosing((store or self.store).after(after, self.lineage)) as segments:
            async for segment in segments:
                found += [entry.sequence for entry in segment.entries]
        return found


HISTORY = [*(seq(1, n) for n in range(1, 5)), *(seq(3, n) for n in range(1, 6))]


@pytest.mark.parametrize("skipped", range(len(HISTORY) + 1))
async def test_the_history_is_read_from_any_entry_on(skipped: int) -> None:
    folder = Folder()
    await folder.fill()
    after = seq(1, 0) if skipped == 0 else HISTORY[skipped - 1]
    assert await folder.read(after) == HISTORY[skipped:]


async def test_cut_segment_ends_at_the_accepted_entry() -> None:
    folder = Folder()
    await folder.fill(*folder.parts[:2])
    last = await folder.store.last(folder.lineage)
    assert last is not None
    kept = folder.parts[1][:2]
    assert (last.last, last.digest) == (seq(1, 4), kept[-1].digest)
    assert last.total_bytes == sum(len(entry.raw) for entry in kept)


async def test_newest_segment_of_history_is_not_newest_of_folder() -> None:
    folder = Folder()
    await folder.fill(*folder.parts[:3])
    assert (await folder.store.firsts())[-1] == seq(1, 8)
    last = await folder.store.last(folder.lineage)
    assert last is not None
    assert last.first == seq(1, 3)


async def test_what_comes_later_is_found_by_a_store_that_looked_before() -> None:
    folder = Folder()
    await folder.fill(*folder.parts[:2])
    assert await folder.read(seq(1, 0)) == HISTORY[:4]
    other = SegmentStore(folder.storage, prefix="p")
    assert await folder.read(seq(1, 0), other) == HISTORY[:4]
    await folder.fill(*folder.parts[3:])
    assert await folder.read(seq(1, 4), other) == HISTORY[4:]
    assert await folder.store.newer(seq(3, 1)) == [seq(3, 4)]


async def test_it_ends_at_a_gap_and_continues_when_the_object_is_back() -> None:
    folder = Folder()
    await folder.fill()
    body = await folder.storage.get(folder.store.key(seq(1, 3)))
    await folder.store.delete(seq(1, 3))
    assert await folder.read(seq(1, 0)) == HISTORY[:2]
    await folder.storage.put(folder.store.key(seq(1, 3)), body)
    other = SegmentStore(folder.storage, prefix="p")
    assert await folder.read(seq(1, 0), other) == HISTORY


async def test_a_segment_that_was_cleaned_under_a_reader_is_a_gap() -> None:
    folder = Folder()
    await folder.fill()
    assert await folder.read(seq(1, 0)) == HISTORY
    await folder.storage.delete(folder.store.key(seq(3, 4)))
    assert await folder.read(seq(1, 4)) == HISTORY[4:7]
    assert seq(3, 4) not in await folder.store.firsts()


async def test_an_epoch_that_follows_from_another_entry_is_refused() -> None:
    folder = Folder()
    folder.parts[3] = entries(3, 1, 3, folder.parts[1][-1].digest)
    await folder.fill(*folder.parts[:4])
    with pytest.raises(DataLoss, match="does not follow") as caught:
        await folder.read(seq(1, 0))
    assert caught.value.reason == "LOG_DIVERGED"
    assert folder.store.key(seq(3, 1)) in str(caught.value)


async def test_a_segment_of_another_history_is_refused() -> None:
    folder = Folder()
    folder.parts[4] = entries(3, 4, 5, GENESIS_DIGEST, writer="a stranger")
    await folder.fill()
    with pytest.raises(DataLoss, match="does not follow"):
        await folder.read(seq(1, 0))


async def test_a_segment_under_another_name_is_damaged() -> None:
    folder = Folder()
    await folder.fill(folder.parts[0])
    await folder.storage.put("p/wal/00000001-0000000000000003", await folder.storage.get(folder.store.key(seq(1, 1))))
    with pytest.raises(DataLoss, match="begins with"):
        await folder.store.read(seq(1, 3))


@pytest.mark.parametrize(
    "name", ["readme.txt", ".DS_Store", "00000001-000000000000000A", "1-2", "00000001-0x00000000000003"]
)
async def test_what_is_no_segment_is_ignored_and_reported(name: str) -> None:
    folder = Folder()
    await folder.fill()
    await folder.storage.put(f"p/wal/{name}", b"hello")
    assert await folder.read(seq(1, 0)) == HISTORY
    assert folder.store.strange == {f"p/wal/{name}"}


async def test_what_others_have_cleaned_is_not_remembered_for_ever() -> None:
    storage = FakeObjectStorage()
    flusher, cleaner = SegmentStore(storage, prefix="p"), SegmentStore(storage, prefix="p")
    lineage, log = Lineage.of({1: None}, 1), entries(1, 1, 2500, GENESIS_DIGEST)
    most = 0
    for entry in log:
        await flusher.put(entry.sequence, encode_segment([entry], total_bytes=1, writer="one"))
        last = await flusher.last(lineage)
        assert last is not None
        assert last.last == entry.sequence
        if entry.sequence.counter > 10:
            await cleaner.delete(seq(1, entry.sequence.counter - 10))
        most = max(most, len(flusher._firsts))
    assert most < 1100
