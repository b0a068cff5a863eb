"""What a cleaner leaves behind, wherever it dies, as `sluice db verify` and a new server see it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sluiceway_common.foundation.crashpoints import Crashed, crashing
from sluiceway_server.datamanager.tables.garbage_collector import Cleaned
from tests.fakes.clock import FakeClock
from tests.support.backing_stores import PREFIX, BackingStores, crash_once
from tests.support.database_operations import SETTINGS, checkpoint, everything, faults, fill, opened
from tests.support.databases import flushed
from tests.support.log_builder import cleaner
from tests.support.store_snapshot import take_snapshot

EAGER = replace(SETTINGS, manifests_kept_for=timedelta(0), manifests_kept=1)
POINTS = [f"clean.{when}-{what}" for when in ("before", "after") for what in ("mark", "manifest", "file", "segment")]


async def clean(backing: BackingStores) -> Cleaned:
    stores = backing.stores()
    clock = FakeClock(datetime.now(UTC) + timedelta(days=2))
    lineage = stores.epochs.lineage_of(await stores.epochs.all(), 1)
    return await cleaner(backing.storage, backing.kv, prefix=PREFIX, clock=clock, settings=EAGER)(lineage)


async def test_crashed_clean_leaves_a_whole_database(backing: BackingStores) -> None:
    async with opened(backing) as database:
        for number in range(4):
            await fill(database, number, records=3)
            await flushed(database)
            await checkpoint(backing)
        found = await everything(database)
    snapshot = await take_snapshot(backing.kv, PREFIX, backing.folder / "objects")
    met: set[str] = set()
    done: Cleaned | None = None
    for number in range(1, 100):
        await snapshot.restore()
        hits: list[str] = []

        def hit(name: str, hits: list[str] = hits, number: int = number) -> None:
            hits.append(name)
            if len(hits) == number:
                raise Crashed(name)

        with crashing(hit, *POINTS):
            try:
                done = await clean(backing)
            except Crashed:
                done = None
        met.update(hits)
        assert await faults(backing) == []
        if done is not None:
            break
    assert done is not None
    assert (done.manifests, done.stopped) == (3, "")
    assert met == set(POINTS)
    async with opened(backing, "anew") as database:
        assert await everything(database) == found


async def test_repeatedly_crashed_cleans_leave_a_whole_database(backing: BackingStores) -> None:
    async with opened(backing) as database:
        for number in (1, 4, 7, 10, 13):
            await fill(database, number, records=3)
            await flushed(database)
            await checkpoint(backing)
            with crashing(crash_once(number), *POINTS), suppress(Crashed):
                await clean(backing)
        assert await faults(backing) == []
        found = await everything(database)
    async with opened(backing, "anew") as database:
        assert await everything(database) == found
