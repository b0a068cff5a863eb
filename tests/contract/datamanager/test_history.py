"""What subscribers get of the past: from memory, the read database and the segments, as one history."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import OutOfRange, Unavailable
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.support.backing_stores import BackingStores
from tests.support.databases import NOTE, flushed, put, take
from tests.support.remote_bodies import KEEPING, DatabaseStores

SMALL_RING = replace(KEEPING, ring_bytes=1, keep_log_entries=1)


@pytest.fixture
def stores(etcd: EtcdStore, storage: ObjectStorage, tmp_path: Path, etcd_prefix: str) -> DatabaseStores:
    return DatabaseStores(etcd, storage, tmp_path, etcd_prefix.strip("/"))


async def written(database: DataManager, count: int, *, name: str = "n") -> list[Position]:
    """Commit, each several at once, so that some entries have more than one transaction; return the positions."""
    found: list[Position] = []
    for n in range(count):
        answers = await asyncio.gather(*(database.commit([put(f"{name}{n}/{m}")]) for m in range(3)))
        found += [answer.position for answer in answers]
    return sorted(found)


async def test_server_that_began_from_a_manifest_has_all_history(
    stores: DatabaseStores,
) -> None:
    async with stores.server(settings=SMALL_RING) as database:
        start = database.position
        positions = await written(database, 20)
        await stores.settle(database)
        positions += await written(database, 5, name="later")
        await flushed(database)
        positions += await written(database, 2, name="last")
    async with stores.server("new", settings=SMALL_RING) as new:
        found = [applied.position for applied in await take(new, len(positions), start)]
        assert found == positions
        # From the middle of every entry, and from its end.
        for at, position in enumerate(positions[:-1:7]):
            rest = positions[7 * at + 1 :]
            assert [applied.position for applied in await take(new, len(rest), position)] == rest


async def test_subscriber_misses_nothing_after_the_segments(
    stores: DatabaseStores,
) -> None:
    async with stores.server(settings=SMALL_RING) as database:
        start = database.position
        positions = await written(database, 10)
        await stores.settle(database)
    async with stores.server("new", settings=SMALL_RING) as new:
        reading = asyncio.create_task(take(new, len(positions) + 15, start))
        positions += await written(new, 5, name="new")
        assert [applied.position for applied in await reading] == positions


async def test_history_before_the_oldest_segment_is_out_of_range(stores: DatabaseStores) -> None:
    async with stores.server(settings=SMALL_RING) as database:
        start = database.position
        early = await written(database, 3)
        await stores.settle(database)
        await stores.delete("wal")
        late = await written(database, 3, name="late")
        await flushed(database)
    async with stores.server("new", settings=SMALL_RING) as new:
        for after in (start, early[0], early[-2]):
            with pytest.raises(OutOfRange):
                await take(new, 1, after)
        # The manifest is of this position, so what follows it is all there.
        assert [applied.position for applied in await take(new, len(late), early[-1])] == late


async def test_server_away_for_long_reads_history_from_segments(
    stores: DatabaseStores,
) -> None:
    async with stores.server(settings=SMALL_RING) as database:
        start = database.position
        positions = await written(database, 10)
        await flushed(database)
        before = len(positions)
        positions += await written(database, 10, name="more")
        await flushed(database)
    # As when entries in the middle were too old to be kept when they were caught up with.
    with sqlite3.connect(stores.folder / "one" / "read.sqlite") as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM entries ORDER BY key")]
        connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys[3:-3]])
    connection.close()
    async with stores.server(settings=SMALL_RING) as database:
        assert [applied.position for applied in await take(database, len(positions), start)] == positions
        rest = positions[before:]
        assert [applied.position for applied in await take(database, len(rest), positions[before - 1])] == rest


async def test_a_storage_that_is_away_is_reported_as_such(stores: DatabaseStores) -> None:
    async with stores.server(settings=SMALL_RING) as database:
        start = database.position
        await written(database, 3)
        await stores.settle(database)

    class Away:
        def __getattr__(self, name: str) -> object:
            return getattr(stores.storage, name)

        async def get(self, key: str) -> bytes:
            if "/wal/" in key and is_away:
                raise Unavailable("the object storage is away")
            return await stores.storage.get(key)

    is_away = False
    async with stores.server("new", settings=SMALL_RING, storage=Away()) as new:
        is_away = True
        with pytest.raises(Unavailable):
            await take(new, 1, start)
        is_away = False
        assert len(await take(new, 9, start)) == 9


async def test_history_spans_epochs_and_void_positions_are_refused(backing: BackingStores) -> None:
    async with backing.database(settings=SMALL_RING) as database:
        start = database.position
        positions = await written(database, 4)
        await flushed(database)
        accepted = database.position
        void = await written(database, 2, name="void")
        await flushed(database)
    await backing.restore(accepted.sequence)
    async with backing.database("anew", settings=SMALL_RING) as database:
        assert database.epoch == 2
        positions += await written(database, 3, name="second")
        await flushed(database)
        assert [applied.position for applied in await take(database, len(positions), start)] == positions
        assert [applied.position for applied in await take(database, 9, positions[11])] == positions[12:]
        for after in void:
            with pytest.raises(OutOfRange):
                await take(database, 1, after)
        with pytest.raises(Unavailable):
            await take(database, 1, Position(LogSequence(3, 1), 0))


async def test_manifest_before_an_epoch_and_segments_after_are_one(backing: BackingStores) -> None:
    stores = DatabaseStores(backing.kv, backing.storage, backing.folder, "p")
    async with stores.server(settings=SMALL_RING) as database:
        positions = await written(database, 4)
        await stores.settle(database)
        positions += await written(database, 2, name="accepted")
        await flushed(database)
        accepted = database.position
        await written(database, 2, name="void")
        await flushed(database)
    await backing.restore(accepted.sequence)
    async with stores.server("anew", settings=SMALL_RING) as database:
        await database.commit([put("second")])
        ids = await database.read(lambda view: {id_ for id_, _ in view.scan(NOTE)})
        assert ids == {f"n{n}/{m}" for n in range(4) for m in range(3)} | {
            f"accepted{n}/{m}" for n in range(2) for m in range(3)
        } | {"second"}
        found = await take(database, 7, positions[11])
        assert [applied.position for applied in found[:6]] == positions[12:]
        assert found[6].position.sequence.epoch == 2
