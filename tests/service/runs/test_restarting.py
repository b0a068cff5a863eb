"""Restarts through the engine: what the new run has, and which calls are refused."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput, NotFound, SluicewayError
from sluiceway_common.runmodel.model import RestartKind
from sluiceway_server.logs.states import StoredLogStates
from sluiceway_server.runrecords.types import RUN_CONFIG, TASK, task_id
from sluiceway_server.runs.engine import Engine
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.run_engine import World, definition, request

START, FAILED, TASKS = RestartKind.FROM_START, RestartKind.FROM_FAILED, RestartKind.FROM_TASKS
GRAPH = (definition("lint"), definition("test", "lint"), definition("docs", "lint"), definition("publish", "test"))


async def failed_run(world: World, engine: Engine) -> str:
    """Create a run whose test fails: lint and docs succeed, publish is skipped."""
    made = await engine.create_run(request(*GRAPH), created_by="ann")
    run_id = made.value.run.id
    for name, phase in (("lint", "success"), ("docs", "success"), ("test", "failed")):
        await world.finish(engine, run_id, name, phase)
    assert await world.result(run_id) == "failed"
    return run_id


async def restarted(engine: Engine, run_id: str, kind: RestartKind, **more: Any) -> api.Run:
    return (await engine.restart_run(run_id, kind, by="bob", **more)).value.run


async def test_restart_from_failed_keeps_what_succeeded() -> None:
    world = World()
    engine = await world.placing_engine()
    first = await failed_run(world, engine)
    run = await restarted(engine, first, FAILED)
    assert (run.number, run.group, run.created_by) == (2, (await world.run(first)).group, "bob")
    assert (run.restart_of.run_id, run.restart_of.kind) == (first, "from_failed")
    assert await world.statuses(run.id) == {
        "lint": "success",
        "docs": "success",
        "test": "running",
        "publish": "not_started",
    }
    before, after = await world.tasks(first), await world.tasks(run.id)
    assert {name for name in before if before[name].id == after[name].id} == {"lint", "docs"}
    assert after["lint"].steps == before["lint"].steps
    await world.finish(engine, run.id, "test")
    await world.finish(engine, run.id, "publish")
    assert await world.result(run.id) == "success"
    assert await world.result(first) == "failed"


async def test_log_of_a_kept_task_is_that_of_the_first_run() -> None:
    world = World()
    engine = await world.placing_engine()
    first = await failed_run(world, engine)
    second = await restarted(engine, first, FAILED)
    await world.finish(engine, second.id, "test", "failed")
    third = await restarted(engine, second.id, FAILED)
    lint = (await world.tasks(first))["lint"].id
    states = StoredLogStates(world.db)
    keys = {(await states.find(run, lint, attempt=1, step=0)).key for run in (first, second.id, third.id)}
    assert len(keys) == 1
    record: pb.TaskRecord = await world.db.get(TASK, task_id(third.id, lint))
    assert record.kept_from == first


async def test_restart_from_start_runs_every_task_again() -> None:
    world = World()
    engine = await world.placing_engine()
    first = await failed_run(world, engine)
    run = await restarted(engine, first, START)
    assert await world.statuses(run.id) == {
        "lint": "running",
        "docs": "not_started",
        "test": "not_started",
        "publish": "not_started",
    }
    ids = {task.id for task in (await world.tasks(first)).values()}
    assert not ids & {task.id for task in (await world.tasks(run.id)).values()}


async def test_restart_of_a_task_runs_its_descendants_again() -> None:
    world = World()
    engine = await world.placing_engine()
    first = (await engine.create_run(request(*GRAPH), created_by="ann")).value.run.id
    for name in ("lint", "docs", "test", "publish"):
        await world.finish(engine, first, name)
    chosen = [await world.task_id(first, "test")]
    run = await restarted(engine, first, TASKS, chosen=chosen)
    assert await world.statuses(run.id) == {
        "lint": "success",
        "docs": "success",
        "test": "running",
        "publish": "not_started",
    }


async def test_new_run_waits_for_its_group() -> None:
    world = World()
    engine = await world.placing_engine()
    first = await failed_run(world, engine)
    other = (await engine.create_run(request(), created_by="ann")).value.run.id
    run = await restarted(engine, first, START)
    assert (await world.phase(run.id), run.number) == ("queued", 3)
    await world.finish(engine, other)
    assert await world.phase(run.id) == "running"


async def test_same_request_id_creates_one_run() -> None:
    world = World()
    engine = await world.placing_engine()
    first = await failed_run(world, engine)
    made = [await restarted(engine, first, FAILED, request_id="once") for _ in range(2)]
    assert made[0].id == made[1].id
    with pytest.raises(InvalidInput) as caught:
        await restarted(engine, first, START, request_id="once")
    assert caught.value.reason == "REQUEST_ID_REUSED"
    assert (await restarted(engine, first, FAILED)).number == 3


async def test_large_configuration_is_shared() -> None:
    storage = FakeObjectStorage()
    world = World(bodies=storage)
    engine = world.engine(config_inline_bytes=10)
    first = (await engine.create_run(request(), created_by="ann")).value.run.id
    await engine.cancel_run(first, by="ann")
    run = await restarted(engine, first, START)
    records = [await world.db.get(RUN_CONFIG, run_id) for run_id in (first, run.id)]
    assert records[0] == records[1]
    assert records[0].stored_apart
    assert len([info async for info in storage.list("")]) == 1


@pytest.mark.parametrize(
    ("kind", "chosen", "reason"),
    [
        pytest.param(START, [], "RUN_CANNOT_BE_RESTARTED", id="it runs"),
        pytest.param(FAILED, [], "RUN_CANNOT_BE_RESTARTED", id="it runs and nothing failed"),
        pytest.param(TASKS, ["nobody"], "INVALID_INPUT", id="a task of no run"),
        pytest.param(TASKS, [], "INVALID_INPUT", id="no task"),
    ],
)
async def test_refused_restart_creates_nothing(kind: RestartKind, chosen: list[str], reason: str) -> None:
    world = World()
    engine = await world.placing_engine()
    first = (await engine.create_run(request(), created_by="ann")).value.run.id
    with pytest.raises(SluicewayError) as caught:
        await restarted(engine, first, kind, chosen=chosen, request_id="r")
    assert caught.value.reason == reason
    # Neither its number nor its request id is used up.
    await world.finish(engine, first)
    assert (await restarted(engine, first, START, request_id="r")).number == 2


async def test_restart_of_an_unknown_run_is_not_found() -> None:
    engine = World().engine()
    with pytest.raises(NotFound, match="there is no run 'nobody'"):
        await restarted(engine, "nobody", START)
