"""Deadlines are kept on time by the scheduler, whichever server set them, and each passes once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.sweep import MOVED_BY_SWEEP
from tests.fakes.executor_directory import executor
from tests.support.conditions import eventually
from tests.support.run_engine import World, definition, request

NEVER = timedelta(hours=1)


def timed(*tasks: definition_api.TaskDefinition, seconds: int = 60) -> pb.CreateRunRequest:
    made = request(*tasks)
    made.run.timeout.CopyFrom(Duration(seconds=seconds))
    return made


@asynccontextmanager
async def working(*engines: Engine) -> AsyncIterator[None]:
    """Run the background work of engines; the first one is the scheduler."""
    tasks = []
    try:
        for engine in engines:
            tasks.append(asyncio.create_task(engine.run()))

            async def has_begun(engine: Engine = engine) -> bool:
                return engines[0].is_scheduler

            await eventually(has_begun)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


# --- what passes, by a clock that is moved ------------------------------------------------------------------------


async def test_run_times_out_at_its_time_and_its_task_says_so() -> None:
    world = World()
    engine = await world.placing_engine()
    run_id = (await engine.create_run(timed(definition("a"), definition("b", "a")), created_by="a")).value.run.id
    world.later(seconds=59.999)
    await engine.look_at_due()
    assert not (await world.run(run_id)).timed_out
    world.later(seconds=0.001)
    counted = MOVED_BY_SWEEP._value.get()
    await engine.look_at_due()
    run = await world.run(run_id)
    assert (run.timed_out, await world.result(run_id), run.reason.message) == (True, "failed", "run timed out after 1m")
    assert (await world.assignment_of(run_id, "a")).stop_reason.message == "run timed out after 1m"
    await world.report(engine, await world.assignment_of(run_id, "a"), "stopped")
    tasks = await world.tasks(run_id)
    assert (tasks["a"].reason.code, tasks["a"].reason.message) == ("RUN_TIMED_OUT", "run timed out after 1m")
    assert await world.statuses(run_id) == {"a": "stopped", "b": "skipped"}
    assert MOVED_BY_SWEEP._value.get() == counted


async def test_task_of_a_silent_executor_times_out() -> None:
    world = World()
    engine = await world.placing_engine()
    task = definition(task_timeout_interval=Duration(seconds=10))
    run_id = (await engine.create_run(request(task), created_by="a")).value.run.id
    world.later(seconds=100)
    assignment = await world.assignment_of(run_id)
    await world.report(engine, assignment, "running")
    world.later(seconds=9)
    await engine.look_at_due()
    assert not (await world.assignment_of(run_id)).HasField("stop_requested")
    world.later(seconds=1)
    await engine.look_at_due()
    assert (await world.assignment_of(run_id)).stop_reason.message == "timed out after 10s"


async def test_approval_expires_at_its_time_and_the_run_says_so() -> None:
    world = World()
    engine = await world.placing_engine()
    gate = definition(approval=definition_api.Approval(timeout=Duration(seconds=60)))
    run_id = (await engine.create_run(request(gate), created_by="a")).value.run.id
    world.later(seconds=60)
    await engine.look_at_due()
    assert await world.statuses(run_id) == {"build": "skipped"}
    assert await world.result(run_id) == "success"
    assert "expired" in (await world.run(run_id)).warnings[0]
    assert "build: waiting>expired" in world.told(run_id)


async def test_task_that_no_executor_takes_fails_at_its_time() -> None:
    world = World()
    engine = await world.placing_engine(slots=0)
    task = definition("build", wait_timeout=Duration(seconds=60))
    run_id = (await engine.create_run(request(task, definition("then", "build")), created_by="a")).value.run.id
    world.later(seconds=59)
    await engine.look_at_due()
    assert await world.statuses(run_id) == {"build": "not_started", "then": "not_started"}
    world.later(seconds=1)
    await engine.look_at_due()
    assert await world.statuses(run_id) == {"build": "failed", "then": "skipped"}
    reason = (await world.tasks(run_id))["build"].reason
    assert (reason.code, reason.message) == ("WAIT_TIMED_OUT", "no executor took it within 1m")
    assert await world.result(run_id) == "failed"


async def test_wait_for_an_approval_moves_the_deadline_of_its_run() -> None:
    world = World()
    engine = await world.placing_engine()
    made = timed(definition("gate", approval=definition_api.Approval()), definition("then", "gate"))
    run_id = (await engine.create_run(made, created_by="a")).value.run.id
    world.later(hours=2)
    await engine.look_at_due()
    await engine.approve_task(run_id, await world.task_id(run_id, "gate"), by="a", is_owner=False)
    world.later(seconds=59)
    await engine.look_at_due()
    assert not (await world.run(run_id)).timed_out
    world.later(seconds=1)
    await engine.look_at_due()
    assert (await world.run(run_id)).timed_out


async def test_deadline_that_two_servers_look_at_passes_once() -> None:
    world = World()
    first = await world.placing_engine("s1")
    run_id = (await first.create_run(timed(), created_by="a")).value.run.id
    world.later(seconds=30)
    second = await world.placing_engine("s2", slots=0)  # the first one gave no sign of life
    world.later(seconds=30)
    await second.scheduler.election.stand()
    await second.sweep()
    for engine in (first, second, first):
        await engine.look_at_due()
    assert (await world.run(run_id)).timed_out
    assert [told for told in world.told(run_id) if told.endswith(">FAILED")] == ["run: UNSPECIFIED>FAILED"]


async def test_runs_that_are_over_keep_no_timer() -> None:
    world = World()
    engine = await world.placing_engine()
    for _ in range(3):
        run_id = (await engine.create_run(timed(), created_by="a")).value.run.id
        assert len(engine._timers) == 1
        await world.finish(engine, run_id)
        assert len(engine._timers) == 0


# --- who keeps them, by the clock of the machine --------------------------------------------------------------------


async def test_scheduler_keeps_a_deadline_of_another_server() -> None:
    world = World(clock=SystemClock())
    scheduler, other = world.engine("s1", sweep_interval=NEVER), world.engine("s2", sweep_interval=NEVER)
    await world.executors.connect(executor())
    async with working(scheduler, other):
        task = definition(task_timeout_interval=Duration(nanos=200_000_000))
        run_id = (await other.create_run(request(task), created_by="a")).value.run.id

        async def is_assigned() -> bool:
            return bool((await world.tasks(run_id))["build"].assignment_id)

        await eventually(is_assigned)
        await world.report(other, await world.assignment_of(run_id), "running")

        async def is_told_to_stop() -> bool:
            return (await world.assignment_of(run_id)).timed_out

        await eventually(is_told_to_stop)


async def test_new_scheduler_keeps_the_deadlines_set_before() -> None:
    world = World(clock=SystemClock())
    before = world.engine("s1")
    await before.scheduler.election.stand()
    made = request()
    made.run.timeout.CopyFrom(Duration(nanos=300_000_000))
    run_id = (await before.create_run(made, created_by="a")).value.run.id
    await before.scheduler.election.resign()
    async with working(world.engine("s2", sweep_interval=NEVER)):

        async def timed_out() -> bool:
            return (await world.run(run_id)).timed_out

        await eventually(timed_out)
