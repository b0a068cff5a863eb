"""The quota of running tasks: how the scheduler obeys it, what explains it, and what ends the wait."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.api.project.v1 import quota_service_pb2 as pb_api
from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, as_caller
from sluiceway_server.app.quota_service import QuotaServicer
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.quotas import INSTALLATION
from sluiceway_server.projects.records import QUOTA
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.explainer import Explainer
from sluiceway_server.runs.task_quotas import RunningTasks
from tests.support.conditions import eventually
from tests.support.project_services import IDS, tree_actions
from tests.support.run_engine import World, request

PUBLIC, PRIVATE = "public-project", "private-project"


async def _world(**limits: int) -> tuple[World, Engine]:
    """Return a world with the tree and four slots; `limits`: the quotas of nodes, by name."""
    world = World(types=RECORD_TYPES)
    await world.db.commit(tree_actions())
    for name, limit in limits.items():
        await _limit(world, name.replace("_", "-"), limit)
    return world, await world.placing_engine()


async def _limit(world: World, name: str, limit: int) -> None:
    id_ = IDS.get(name, name)
    quota = pb.Quota(parent_id="" if name == INSTALLATION else id_, running_tasks=limit)
    await world.db.commit([Put(QUOTA, id_, quota)])


async def _create(world: World, engine: Engine, project: str, number: int) -> list[str]:
    """Create runs of one task each, in groups of their own."""
    made = []
    for each in range(number):
        wanted = request(group=f"/project/{IDS[project]}/branch/{each}")
        made.append((await engine.create_run(wanted, created_by="a")).value.run.id)
    return made


async def _running(world: World, runs: list[str]) -> list[str]:
    return [id_ for id_ in runs if "running" in (await world.statuses(id_)).values()]


async def _used(world: World, name: str) -> int:
    return await world.db.read(lambda view: RunningTasks(view).used(IDS[name]))


async def _sentence(world: World, run_id: str) -> str:
    (task,) = (await world.tasks(run_id)).values()
    return task.reason.message


async def test_projects_of_an_organization_share_its_quota() -> None:
    world, engine = await _world(acme=2)
    runs = await _create(world, engine, PUBLIC, 2) + await _create(world, engine, PRIVATE, 1)
    other = await _create(world, engine, "own-project", 1)
    assert await _running(world, runs) == runs[:2]
    assert await _running(world, other) == other
    assert await _sentence(world, runs[2]) == "quota of running tasks: 2 of 2 of organization acme"
    assert (await _used(world, "acme"), await _used(world, "owner"), await _used(world, "public-group")) == (2, 1, 2)
    # The end of a task makes room in the transaction that notes it.
    await world.finish(engine, runs[0])
    assert await _running(world, runs) == runs[1:]


async def test_quota_of_a_project_and_of_its_organization_both_count() -> None:
    world, engine = await _world(acme=3, public_project=1)
    public = await _create(world, engine, PUBLIC, 2)
    private = await _create(world, engine, PRIVATE, 2)
    assert await _running(world, public + private) == [public[0], *private]
    assert await _sentence(world, public[1]) == "quota of running tasks: 1 of 1 of project public-project"


@pytest.mark.parametrize(("own", "running"), [(0, 1), (2, 2)])
async def test_quota_of_the_installation_counts_where_no_other_is_set(own: int, running: int) -> None:
    world, engine = await _world(installation=1)
    if own:
        await _limit(world, "acme", own)
    runs = await _create(world, engine, PUBLIC, 3)
    assert len(await _running(world, runs)) == running
    # It is that of each owner, and not of all together.
    other = await _create(world, engine, "own-project", 2)
    assert len(await _running(world, other)) == 1


async def test_explanation_counts_what_runs_now() -> None:
    world, engine = await _world(acme=1)
    runs = await _create(world, engine, PUBLIC, 2)
    explainer = Explainer(world.executors, world.clock, times=ExecutorTimes())

    async def explained() -> list[str]:
        found = await world.db.read(lambda view: explainer.explain_run(view, runs[1]))
        assert found is not None
        return [reason.message for reason in found.tasks[0].reasons]

    assert await explained() == ["quota of running tasks: 1 of 1 of organization acme"]
    await _limit(world, "acme", 0)
    await _limit(world, PUBLIC, 1)
    assert await explained() == ["quota of running tasks: 1 of 1 of project public-project"]


async def test_raised_quota_is_placed_at_once() -> None:
    world, engine = await _world(acme=1)
    runs = await _create(world, engine, PUBLIC, 2)
    assert len(await _running(world, runs)) == 1
    working = asyncio.create_task(engine.scheduler.run())
    try:

        async def leads() -> bool:
            return engine.is_scheduler

        async def both_run() -> bool:
            return len(await _running(world, runs)) == 2

        await eventually(leads)
        servicer = QuotaServicer(world.db, clock=world.clock, ids=world.ids)
        with as_caller(Caller(CallerKind.OPERATOR, "admin")):
            quota = pb_api.Quota(running_tasks=2)
            await servicer.SetQuota(pb_api.SetQuotaRequest(node_id="org/acme", quota=quota), None)
        await eventually(both_run)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
