"""Going back to an earlier entry, and what becomes of the entries that are given up."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition
from sluiceway_server.datamanager.log.entries import decode_entry
from sluiceway_server.datamanager.log.segments import encode_segment
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.datamanager.recovery.history import OrphanedEntries
from tests.support.backing_stores import BackingStores
from tests.support.databases import contents, count, flushed, take


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


async def test_restore_to_an_entry_reports_what_it_gives_up(backing: BackingStores) -> None:
    await backing.written(10)
    restored = await backing.restore(seq(1, 7))
    assert (restored.epoch, restored.accepted) == (2, seq(1, 7))
    assert restored.void == (OrphanedEntries(seq(1, 8), seq(1, 10), 3),)
    assert await backing.contents() == {"counter": ("", 7)}
    async with backing.database("anew") as database:
        seen = await take(database, 7, Position(seq(1, 0), 0))
        assert [item.position.sequence.counter for item in seen] == list(range(1, 8))
        assert (await database.transact(count)).value == 8


async def test_server_drops_entries_that_a_restore_gave_up(backing: BackingStores) -> None:
    await backing.written(10)
    await backing.restore(seq(1, 4))
    async with backing.database("one") as database:
        assert await contents(database) == {"counter": ("", 4)}


async def test_one_may_go_back_into_an_epoch_before_the_present_one(backing: BackingStores) -> None:
    await backing.written(10)
    backing.wipe()
    await backing.recover()
    await backing.written(10)
    restored = await backing.restore(seq(1, 3))
    assert restored.epoch == 3
    assert restored.void == (OrphanedEntries(seq(1, 4), seq(1, 10), 7), OrphanedEntries(seq(2, 1), seq(2, 11), 11))
    assert await backing.contents() == {"counter": ("", 3)}
    # And on from there, as if nothing else had been.
    await backing.written(2)
    backing.wipe()
    assert (await backing.recover()).accepted == seq(3, 3)
    assert await backing.contents() == {"counter": ("", 5)}


@pytest.mark.parametrize(
    ("to", "reason", "says"),
    [
        (seq(1, 11), "SEQUENCE_UNREACHABLE", f"the history ends at {seq(1, 10)}"),
        (seq(2, 1), "SEQUENCE_UNKNOWN", "not part of the present history"),
        (seq(1, 0), "SEQUENCE_UNKNOWN", "not part of the present history"),
    ],
)
async def test_an_entry_that_never_was_is_refused(
    to: LogSequence, reason: str, says: str, backing: BackingStores
) -> None:
    before = await backing.written(10)
    with pytest.raises(FailedPrecondition, match=says) as caught:
        await backing.restore(to)
    assert caught.value.reason == reason
    assert len(await backing.keys("epoch/")) == 1
    assert await backing.contents() == before


async def test_an_entry_that_was_given_up_is_refused(backing: BackingStores) -> None:
    await backing.written(10)
    await backing.restore(seq(1, 4))
    with pytest.raises(FailedPrecondition) as caught:
        await backing.restore(seq(1, 5))
    assert caught.value.reason == "SEQUENCE_UNKNOWN"


async def test_restore_behind_a_missing_segment_names_the_last_entry(backing: BackingStores) -> None:
    await backing.written(5, rounds=3)
    segments = await backing.keys("wal/")
    gap = LogSequence.parse(segments[-2].rsplit("/", 1)[1])
    await backing.storage.delete(segments[-2])
    backing.wipe()
    with pytest.raises(FailedPrecondition, match=f"{seq(1, gap.counter - 1)} can be gone back to"):
        await backing.restore(seq(1, 15))
    assert (await backing.restore(seq(1, gap.counter - 1))).accepted == seq(1, gap.counter - 1)


async def test_damage_after_the_entry_does_not_matter(backing: BackingStores) -> None:
    await backing.written(5, rounds=3)
    segments = await backing.keys("wal/")
    whole = await backing.storage.get(segments[-1])
    await backing.storage.put(segments[-1], whole[: len(whole) // 2])
    first = LogSequence.parse(segments[-1].rsplit("/", 1)[1])
    with pytest.raises(DataLoss, match=segments[-1]):
        await backing.restore(first)
    assert (await backing.restore(seq(1, first.counter - 1))).accepted == seq(1, first.counter - 1)
    assert await backing.contents() == {"counter": ("", first.counter - 1)}


async def test_servers_that_run_follow_into_the_restored_database(backing: BackingStores) -> None:
    async def serve() -> None:
        async with backing.database() as database:
            for _ in range(5):
                await database.transact(count)
            await flushed(database)
            written.set()
            await asyncio.Event().wait()

    written = asyncio.Event()
    server = asyncio.create_task(serve())
    await written.wait()
    await backing.restore(seq(1, 2))
    with pytest.raises(DatabaseLost) as caught:
        await server
    assert caught.value.reason == "EPOCH_CHANGED"
    async with backing.database() as database:
        assert database.epoch == 2
        assert await contents(database) == {"counter": ("", 2)}


async def test_segment_of_a_flusher_left_behind_stays_void(backing: BackingStores) -> None:
    await backing.written(10)
    stores = backing.stores()
    entries = []
    async for entry in stores.log.entries(seq(1, 1)):
        entries.append(entry)
    # Everything after 6 was never stored: the flusher is paused.
    for first in await stores.segments.firsts():
        await stores.segments.delete(first)
    start = encode_segment(entries[:6], total_bytes=sum(len(entry.raw) for entry in entries[:6]), writer="one")
    assert await stores.segments.put(seq(1, 1), start)
    backing.wipe()
    assert (await backing.recover()).accepted == seq(1, 6)
    # It wakes up, and puts what it had in its hands.
    late = encode_segment(entries[6:], total_bytes=sum(len(entry.raw) for entry in entries), writer="one")
    assert await stores.segments.put(seq(1, 7), late)

    assert await backing.contents() == {"counter": ("", 6)}
    await backing.written(3, server_id="two")
    backing.wipe()
    assert (await backing.recover()).epoch == 3
    assert await backing.contents() == {"counter": ("", 9)}
    assert decode_entry(entries[6].raw).sequence == seq(1, 7)
