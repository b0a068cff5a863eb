"""How long archives are kept, and what is deleted when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput, NotFound
from sluiceway_common.runmodel.model import ArchiveKind
from sluiceway_server.archives.finding import cache_id
from sluiceway_server.archives.layout import cache_object, run_object
from sluiceway_server.datamanager.model import Decision, Put, View
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.runrecords.types import CACHE
from sluiceway_server.runs.archive_retention import ArchiveRetention
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.project_retention import read_retentions
from sluiceway_server.runs.retention_rules import RetentionSettings
from tests.support.run_engine import World, definition, request

DAY = timedelta(days=1)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


async def no_bytes() -> AsyncIterator[bytes]:
    for _ in ():
        yield b""


class Kept:
    def __init__(self, world: World, engine: Engine) -> None:
        self.world, self.engine = world, engine
        self.sweeper = ArchiveRetention(world.db, world.archive_store, settings=RetentionSettings())

    async def run(self, *, finished: bool = True, group: str = "/user/admin/app") -> str:
        made = (await self.engine.create_run(request(definition("build"), group=group), created_by="a")).value.run
        if finished:
            await self.world.finish(self.engine, made.id, "build")
        for kind in (ArchiveKind.WORKSPACE, ArchiveKind.ARTIFACT):
            await self.put(run_object(kind, made.id, EMPTY))
        return made.id

    async def put(self, name: str) -> None:
        await self.world.archive_store.put(name, no_bytes(), sha256=EMPTY, size=0)

    async def cache(self, key: str) -> None:
        name = cache_object(self.world.ids.new_id())
        await self.put(name)
        record = pb.CacheRecord(scope="/project/1", key=key, object=name, digest=EMPTY)
        record.create_time.FromDatetime(self.world.clock.now())
        record.use_time.FromDatetime(self.world.clock.now())

        def store(view: View) -> Decision[None]:
            return Decision(None, [Put(CACHE, cache_id("/project/1", key), record)])

        await self.world.db.transact(store)

    async def after(self, span: timedelta) -> set[str]:
        """Sweep at a time, and return the folders that have objects."""
        self.world.clock.advance(span)
        retentions = await self.world.db.read(lambda view: read_retentions(view, RetentionSettings().kept))
        while await self.sweeper.sweep(retentions, self.world.clock.now()):
            pass
        names = [info.key async for info in self.world.storage.list()]
        return {
            "/".join(name.split("/")[:2]) for name in names if name.startswith(("workspaces/", "artifacts/", "caches/"))
        }


@pytest.fixture
async def kept() -> Kept:
    world = World()
    return Kept(world, await world.placing_engine(slots=10_000))


async def test_workspaces_go_before_artifacts(kept: Kept) -> None:
    run_id = await kept.run()
    assert await kept.after(7 * DAY - timedelta(hours=1)) == {f"workspaces/{run_id}", f"artifacts/{run_id}"}
    assert await kept.after(timedelta(hours=1)) == {f"artifacts/{run_id}"}
    assert await kept.after(23 * DAY) == set()


async def test_archives_of_an_unfinished_run_are_kept(kept: Kept) -> None:
    run_id = await kept.run(finished=False)
    assert await kept.after(100 * DAY) == {f"workspaces/{run_id}", f"artifacts/{run_id}"}


async def test_archives_of_no_run_go_when_they_are_a_day_old(kept: Kept) -> None:
    lost = kept.world.ids.new_id()
    await kept.put(run_object(ArchiveKind.WORKSPACE, lost, EMPTY))
    await kept.put("workspaces/not-an-id/x")
    assert await kept.after(timedelta(hours=23)) == {f"workspaces/{lost}", "workspaces/not-an-id"}
    assert await kept.after(timedelta(hours=2)) == {"workspaces/not-an-id"}


async def test_cache_goes_a_week_after_its_last_use(kept: Kept) -> None:
    await kept.cache("old")
    await kept.after(5 * DAY)
    await kept.cache("young")
    assert len(await kept.after(3 * DAY)) == 1
    with pytest.raises(NotFound):
        await kept.world.db.get(CACHE, cache_id("/project/1", "old"))
    assert (await kept.world.db.get(CACHE, cache_id("/project/1", "young"))).key == "young"
    assert await kept.after(7 * DAY) == set()


@pytest.mark.parametrize(("sha256", "size"), [(EMPTY, 1), ("0" * 64, 0)], ids=["size", "digest"])
async def test_bytes_that_are_not_those_described_are_not_stored(kept: Kept, sha256: str, size: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        await kept.world.archive_store.put("workspaces/x/y", no_bytes(), sha256=sha256, size=size)
    assert refused.value.reason == "ARCHIVE_DAMAGED"
    assert not await kept.world.archive_store.exists("workspaces/x/y")


async def test_short_times_of_a_project_are_found_behind_others() -> None:
    """A sweep that ends at the first young run still finds those of a project that keeps things for less time."""
    world = World()
    kept = Kept(world, await world.placing_engine(slots=10_000))
    kept.sweeper = ArchiveRetention(world.db, world.archive_store, settings=replace(RetentionSettings(), at_once=1))
    project_id = world.ids.new_id()
    project = project_pb.Project(name="short")
    project.retention.artifacts.FromTimedelta(timedelta(hours=1))
    await world.db.transact(lambda view: Decision(None, [Put(PROJECT, project_id, project)]))
    first = await kept.run()
    short = await kept.run(group=f"/project/{project_id}/branch/main")
    last = await kept.run()
    left = {f"{kind}/{run}" for kind in ("workspaces", "artifacts") for run in (first, last)}
    assert await kept.after(timedelta(minutes=59)) == left | {f"workspaces/{short}", f"artifacts/{short}"}
    assert await kept.after(timedelta(minutes=2)) == left
