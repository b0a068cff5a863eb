"""What a cleaner leaves behind, wherever it dies, as `sluice db verify` and a new server see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sluiceway.datamanager.checkpoints.cleaner import Cleaned
from sluiceway.foundation.crashpoints import Crashed, crashing
from tests.fakes.clock import FakeClock
from tests.support.databases import flushed
from tests.support.operated import SETTINGS, checkpoint, everything, faults, fill, opened
from tests.support.sites import PREFIX, Site
from tests.support.written_log import cleaner

EAGER = replace(SETTINGS, manifests_kept_for=timedelta(0), manifests_kept=1)
POINTS = [f"clean.{when}-{what}" for when in ("before", "after") for what in ("manifest", "file", "segment")]


async def clean(site: Site) -> Cleaned:
    stores = site.stores()
    clock = FakeClock(datetime.now(UTC) + timedelta(days=2))
    lineage = stores.epochs.lineage_of(await stores.epochs.all(), 1)
    return await cleaner(site.storage, site.kv, prefix=PREFIX, clock=clock, settings=EAGER).run(lineage)


async def test_a_clean_that_dies_anywhere_leaves_a_database_that_verifies_clean(site: Site) -> None:
    met: list[str] = []
    async with opened(site) as database:
        for number in range(1, 100):
            for _ in range(2):
                await fill(database, number, records=3)
                await flushed(database)
                await checkpoint(site)
            before = len(met)

            def hit(name: str, before: int = before, number: int = number) -> None:
                met.append(name)
                if len(met) == before + number:
                    raise Crashed(name)

            with crashing(hit, *POINTS):
                try:
                    done = await clean(site)
                except Crashed:
                    done = None
            assert await faults(site) == []
            if done is not None:
                break
        assert set(met) == set(POINTS)
        found = await everything(database)
    async with opened(site, "anew") as database:
        assert await everything(database) == found
