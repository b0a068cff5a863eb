"""The walk along the log: over segments and etcd, across epochs, to a gap or an entry of another history."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta

import pytest
import zstandard

from sluiceway.records.log.v1 import log_pb2
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, LogEntry, encode_entry, sequence_proto
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import FlushMark, HeadMark, Log
from sluiceway_server.datamanager.log.segments import SegmentStore, encode_segment
from sluiceway_server.datamanager.log.walk import Foreign, Gap, LogEnd, walk
from sluiceway_server.datamanager.model import LogSequence
from tests.fakes.kv import FakeKeyValueStore
from tests.fakes.objectstorage import FakeObjectStorage

SECONDS = timedelta(seconds=5)


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


def chain(epoch: int, last: int, before: bytes, *, writer: str = "one") -> list[LogEntry]:
    made: list[LogEntry] = []
    for counter in range(1, last + 1):
        entry = encode_entry(
            log_pb2.Batch(),
            sequence=seq(epoch, counter),
            batch_id=b"id",
            writer=writer,
            time_us=counter,
            previous_digest=made[-1].digest if made else before,
            compressor=zstandard.ZstdCompressor(),
        )
        made.append(entry)
    return made


ONE = chain(1, 6, GENESIS_DIGEST)
OTHER = chain(1, 6, GENESIS_DIGEST, writer="other")
TWO = chain(2, 4, ONE[3].digest)
LINEAGE = Lineage.of({1: None, 2: seq(1, 4)}, 2)
HISTORY = [entry.sequence for entry in (*ONE[:4], *TWO)]


class Stores:
    def __init__(self) -> None:
        self.kv = FakeKeyValueStore()
        self.segments = SegmentStore(FakeObjectStorage(), prefix="p")
        self.log = Log(self.kv, prefix="p", timeout=SECONDS)

    async def store(self, *parts: list[LogEntry]) -> None:
        for part in parts:
            body = encode_segment(part, total_bytes=sum(len(entry.raw) for entry in part), writer="one")
            await self.segments.put(part[0].sequence, body)

    async def put(self, *entries: LogEntry) -> None:
        """Put entries into etcd, with a head and `flushed`."""
        start = sequence_proto(seq(entries[-1].sequence.epoch, 0))
        flushed = log_pb2.Flushed(sequence=start, digest=GENESIS_DIGEST, first_kept_counter=1, database_id="db")
        head = HeadMark.parse(log_pb2.Head(sequence=start, digest=GENESIS_DIGEST).SerializeToString())
        await self.log.begin(head, FlushMark.parse(flushed.SerializeToString()))
        for entry in entries:
            after = HeadMark.after(head, entry)
            assert (await self.log.append(head, entry, after)).succeeded
            head = after

    async def walk(
        self, *, after: LogEnd | None = None, lineage: Lineage = LINEAGE, etcd: bool = False
    ) -> tuple[list[LogSequence], Foreign | Gap | None]:
        """Return what was walked, and what was found at its end."""
        found, log = list[LogSequence](), self.log if etcd else None
        async with aclosing(walk(self.segments, lineage, after or LogEnd.beginning(lineage), log=log)) as items:
            async for item in items:
                if isinstance(item, Foreign | Gap):
                    return found, item
                found += [entry.sequence for entry in item.entries]
        return found, None


async def test_walk_crosses_epochs_and_leaves_out_void_entries() -> None:
    stores = Stores()
    await stores.store(ONE[:2], ONE[2:], TWO)
    assert await stores.walk() == (HISTORY, None)


@pytest.mark.parametrize("to", HISTORY)
async def test_walk_ends_at_the_entry_where_the_history_is_cut(to: LogSequence) -> None:
    stores = Stores()
    await stores.store(ONE[:2], ONE[2:], TWO[:3], TWO[3:])
    assert await stores.walk(lineage=LINEAGE.until(to)) == (HISTORY[: HISTORY.index(to) + 1], None)


async def test_walk_continues_with_entries_that_only_etcd_has() -> None:
    stores = Stores()
    await stores.store(ONE[:4], TWO[:2])
    await stores.put(*TWO)
    assert await stores.walk() == (HISTORY[:6], None)
    assert await stores.walk(etcd=True) == (HISTORY, None)


async def test_walk_finds_segments_behind_entries_of_etcd() -> None:
    stores = Stores()
    await stores.store(ONE[:4], TWO[:1], TWO[2:])
    await stores.put(*TWO[:2])
    assert await stores.walk(etcd=True) == (HISTORY, None)


async def test_gap_names_both_sides_and_the_first_missing_segment() -> None:
    stores = Stores()
    await stores.store(ONE[:2], TWO)
    walked, gap = await stores.walk()
    assert walked == HISTORY[:2]
    assert gap == Gap(seq(1, 2), stores.segments.key(seq(1, 1)), seq(1, 3), seq(2, 1), stores.segments.key(seq(2, 1)))
    assert isinstance(gap, Gap)
    assert gap.error().reason == "LOG_GAP"
    for part in (gap.before, gap.after, f"wal/{gap.missing}", "sluice db restore"):
        assert str(part) in gap.error().message


async def test_gap_before_the_cut_is_found_without_a_later_object() -> None:
    stores = Stores()
    await stores.store(ONE[:2])
    _, gap = await stores.walk(lineage=LINEAGE.until(seq(2, 0)))
    assert isinstance(gap, Gap)
    assert (gap.before, gap.missing, gap.after, gap.after_in) == (seq(1, 2), seq(1, 3), seq(2, 0), "etcd")


@pytest.mark.parametrize("etcd", [False, True])
async def test_entry_of_another_history_ends_the_walk(etcd: bool) -> None:
    stores = Stores()
    after = LogEnd(seq(1, 2), ONE[1].digest, 0, 0, "a manifest")
    if etcd:
        await stores.put(*OTHER[:4])
    else:
        await stores.store(OTHER[2:4])
    walked, foreign = await stores.walk(after=after, etcd=etcd)
    assert walked == []
    assert isinstance(foreign, Foreign)
    assert foreign.error().reason == "LOG_DIVERGED"
    assert "a manifest" in foreign.error().message
