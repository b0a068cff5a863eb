"""The elected scheduler: who it is, what it starts, and whom it gives which task."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.runmodel.placement import Owner
from sluiceway_common.runmodel.queues import QueueSettings
from sluiceway_server.datamanager.model import Put, View
from sluiceway_server.runrecords.types import EXECUTOR, QUEUE
from sluiceway_server.runs.ports import EngineSettings
from sluiceway_server.runs.sweep import MOVED_BY_SWEEP
from tests.fakes.executor_directory import executor
from tests.support.conditions import eventually
from tests.support.run_engine import GROUP, World, definition, request


class Limits:
    """One setting for all scopes."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings

    def queue_settings(self, view: View, scope: str) -> QueueSettings:
        return self._settings

    def owner(self, view: View, scope: str) -> Owner:
        return Owner()


# --- the election -----------------------------------------------------------------------------------------------------


async def test_another_server_takes_over_an_expired_lease() -> None:
    world = World()
    first = await world.placing_engine("s1")
    second = world.engine("s2")
    await second.scheduler.election.stand()
    world.later(seconds=5.9)
    await second.scheduler.election.stand()
    assert (first.is_scheduler, second.is_scheduler) == (True, False)
    world.later(seconds=0.1)
    await second.scheduler.election.stand()
    assert second.is_scheduler
    run_id = (await first.create_run(request(), created_by="a")).value.run.id
    assert await world.phase(run_id) == "queued", "a scheduler whose term is over decides nothing"
    await first.scheduler.election.stand()
    assert not first.is_scheduler
    assert await second.sweep() == 1
    assert await world.statuses(run_id) == {"build": "running"}


async def test_scheduler_renews_its_lease_without_a_commit() -> None:
    world = World()
    first = await world.placing_engine("s1")
    second = world.engine("s2")
    before = len(world.db.history)
    for _ in range(5):
        await second.scheduler.election.stand()
        world.later(seconds=4)
        await first.scheduler.election.stand()
    assert (first.is_scheduler, second.is_scheduler, len(world.db.history)) == (True, False, before)


async def test_scheduler_renews_its_expired_lease_if_it_is_first() -> None:
    world = World()
    first = await world.placing_engine("s1")
    second = world.engine("s2")
    world.later(seconds=60)
    await first.scheduler.election.stand()
    await second.scheduler.election.stand()
    assert (first.is_scheduler, second.is_scheduler) == (True, False)


async def test_server_takes_its_own_lease_over_after_a_reopen() -> None:
    world = World()
    await world.placing_engine("s1", slots=0)
    again = world.engine("s1")  # the same process, and so the same id and a key that is there
    await again.scheduler.election.stand()
    assert again.is_scheduler


async def test_while_etcd_is_away_nobody_takes_over() -> None:
    world = World()
    await world.placing_engine("s1")
    second = world.engine("s2")
    world.kv.go_away()
    world.later(seconds=60)
    with pytest.raises(Unavailable):
        await second.scheduler.election.stand()
    assert not second.is_scheduler


async def test_of_two_that_take_over_at_once_one_wins() -> None:
    world = World()
    engines = [world.engine(f"s{n}") for n in range(5)]
    await asyncio.gather(*(engine.scheduler.election.stand() for engine in engines))
    assert [engine.is_scheduler for engine in engines].count(True) == 1


async def test_scheduler_that_ends_well_leaves_its_place_at_once() -> None:
    world = World()
    first, second = world.engine("s1"), world.engine("s2")
    working = asyncio.create_task(first.run())

    async def leads() -> bool:
        return first.is_scheduler

    await eventually(leads)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await second.scheduler.election.stand()
    assert second.is_scheduler


async def test_scheduler_hears_from_the_log_what_other_servers_did() -> None:
    world = World()
    scheduler, other = world.engine("s1"), world.engine("s2")
    await world.executors.connect(executor())
    working = asyncio.create_task(scheduler.run())
    try:

        async def leads() -> bool:
            return scheduler.is_scheduler

        await eventually(leads)
        first = (await other.create_run(request(), created_by="a")).value.run.id
        second = (await other.create_run(request(), created_by="a")).value.run.id

        async def first_runs() -> bool:
            return await world.statuses(first) == {"build": "running"}

        async def second_runs() -> bool:
            return await world.statuses(second) == {"build": "running"}

        await eventually(first_runs)
        assert await world.phase(second) == "queued"
        await world.finish(other, first)
        await eventually(second_runs)
    finally:
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working


# --- a new epoch of the database --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["settled", "waited"])
async def test_hold_of_a_new_epoch_lasts_until_executors_settle(ending: str) -> None:
    world = World(epoch=2)
    known = pb.ExecutorRecord(group="default", session_id="session-of-old", slots=1, settled_epoch=1)
    await world.db.commit([Put(EXECUTOR, "old", known)])
    engine = await world.placing_engine()
    run_id = (await engine.create_run(request(), created_by="a")).value.run.id
    assert (await world.phase(run_id), await world.statuses(run_id)) == ("running", {"build": "not_started"})
    if ending == "settled":
        settled = pb.ExecutorRecord(group="default", session_id="session-of-old", slots=1, settled_epoch=2)
        await world.db.commit([Put(EXECUTOR, "old", settled)])
    else:
        world.later(seconds=EngineSettings("s").lost_after.total_seconds())
    await engine.scheduler.election.stand()
    await engine.scheduler.place_now()
    assert await world.statuses(run_id) == {"build": "running"}


# --- whom it gives what -----------------------------------------------------------------------------------------------


async def test_executor_never_gets_more_tasks_than_it_has_slots() -> None:
    world = World()
    engine = await world.placing_engine(slots=3)
    runs = await asyncio.gather(*(engine.create_run(request(group=f"/user/u{n}/x"), created_by="a") for n in range(8)))
    ids = [each.value.run.id for each in runs]
    finished = 0
    while finished < len(ids):
        running = [i for i in ids if await world.statuses(i) == {"build": "running"}]
        assert len(running) == min(3, len(ids) - finished)
        assert len(await engine.live_assignments("e1")) == len(running)
        await world.finish(engine, running[0])
        finished += 1


async def test_least_loaded_executor_that_fits_is_taken() -> None:
    world = World()
    engine = await world.placing_engine(slots=2)
    await world.executors.connect(executor("e2", slots=4))
    await world.executors.connect(executor("arm", slots=40, archs=frozenset({"arm64"})))
    tasks = [definition(f"t{n}", runtime=definition_api.Runtime(arch="amd64")) for n in range(6)]
    run_id = (await engine.create_run(request(*tasks), created_by="a")).value.run.id
    taken = [task.executor_id for task in (await world.tasks(run_id)).values()]
    assert (taken.count("e1"), taken.count("e2"), taken.count("arm")) == (2, 4, 0)


@pytest.mark.parametrize("fault", ["session", "vanished", "draining", "unknown"])
async def test_executor_of_which_the_log_says_otherwise_gets_nothing(fault: str) -> None:
    world = World()
    engine = await world.placing_engine()
    record = pb.ExecutorRecord(group="default", session_id="session-of-e1", slots=4, settled_epoch=1)
    match fault:
        case "session":
            record.session_id = "a newer one"
        case "vanished":
            record.vanished = True
        case "draining":
            record.draining = True
    key = "another" if fault == "unknown" else "e1"
    await world.db.commit([Put(EXECUTOR, key, record)])
    if fault == "unknown":
        await world.executors.connect(executor("e2"))
        world.executors.disconnect("e1")
        await world.db.commit([Put(EXECUTOR, "e2", pb.ExecutorRecord(session_id="other"))])
    run_id = (await engine.create_run(request(), created_by="a")).value.run.id
    assert await world.statuses(run_id) == {"build": "not_started"}
    assert (await world.tasks(run_id))["build"].reason.code == "WAITS_FOR_EXECUTOR"


async def test_tasks_that_no_executor_can_run_do_not_block_others() -> None:
    world = World()
    engine = await world.placing_engine(slots=1)
    unfit = [definition(f"arm{n:03}", runtime=definition_api.Runtime(arch="arm64")) for n in range(150)]
    first = (await engine.create_run(request(*unfit, group="/user/a/x"), created_by="a")).value.run.id
    second = (await engine.create_run(request(group="/user/b/x"), created_by="a")).value.run.id
    third = (await engine.create_run(request(group="/user/c/x"), created_by="a")).value.run.id
    assert await world.statuses(second) == {"build": "running"}
    await world.finish(engine, second)
    assert await world.statuses(third) == {"build": "running"}
    told = (await world.tasks(first))["arm000"].reason
    assert told.message == "1 executor (e1): arch arm64 wanted, have amd64"
    await world.executors.connect(executor("arm", slots=200, archs=frozenset({"arm64"})))
    await engine.scheduler.place_now()
    assert set((await world.statuses(first)).values()) == {"running"}


async def test_task_that_no_driver_can_run_waits_with_a_reason() -> None:
    world = World()
    engine = await world.placing_engine(slots=0)
    await world.executors.connect(executor("plain", drivers=frozenset({"host"})))
    folder = definition("folder")
    folder.runtime.containers[0].image = "/srv/images/debian"
    run_id = (await engine.create_run(request(folder, definition("any")), created_by="a")).value.run.id
    await engine.scheduler.place_now()
    assert await world.statuses(run_id) == {"folder": "not_started", "any": "running"}
    told = (await world.tasks(run_id))["folder"].reason
    assert told.message == "1 executor (plain): driver sandbox wanted, have host"
    await world.executors.connect(executor("boxed", drivers=frozenset({"host", "sandbox"})))
    await engine.scheduler.place_now()
    assert (await world.statuses(run_id))["folder"] == "running"


async def test_owner_with_many_tasks_does_not_hide_the_one_of_another() -> None:
    world = World()
    engine = await world.placing_engine(slots=2)
    many = [definition(f"t{n:03}") for n in range(200)]
    greedy = (await engine.create_run(request(*many, group="/user/greedy/x"), created_by="a")).value.run.id
    modest = (await engine.create_run(request(group="/user/modest/x"), created_by="a")).value.run.id
    assert await world.statuses(modest) == {"build": "not_started"}
    running = [name for name, status in (await world.statuses(greedy)).items() if status == "running"]
    await world.finish(engine, greedy, running[0])
    assert await world.statuses(modest) == {"build": "running"}


async def test_priority_goes_first_when_slots_are_scarce() -> None:
    world = World()
    engine = await world.placing_engine(slots=1)
    tasks = [definition("a"), definition("b"), definition("c", priority=5)]
    run_id = (await engine.create_run(request(*tasks), created_by="a")).value.run.id
    assert await world.statuses(run_id) == {"a": "not_started", "b": "not_started", "c": "running"}


# --- queues -----------------------------------------------------------------------------------------------------------


async def test_concurrency_holds_over_all_groups_of_a_project() -> None:
    world = World(scopes=Limits(QueueSettings(concurrency=1)))
    engine = await world.placing_engine()
    first = (await engine.create_run(request(group="/project/p/branch/a"), created_by="a")).value.run.id
    second = (await engine.create_run(request(group="/project/p/branch/b"), created_by="a")).value.run.id
    other = (await engine.create_run(request(group="/project/q/branch/a"), created_by="a")).value.run.id
    assert [await world.phase(i) for i in (first, second, other)] == ["running", "queued", "running"]
    await world.finish(engine, first)
    assert await world.phase(second) == "running"


async def test_newer_run_replaces_queued_ones_if_the_project_says_so() -> None:
    world = World(scopes=Limits(QueueSettings(cancel_superseded=True)))
    engine = await world.placing_engine()
    ids = [(await engine.create_run(request(), created_by="a")).value.run.id for _ in range(4)]
    assert [await world.phase(i) for i in ids] == ["running", "cancelled", "cancelled", "queued"]
    await world.finish(engine, ids[0])
    assert await world.phase(ids[3]) == "running"


async def test_newer_run_stops_one_that_waits_if_the_project_says_so() -> None:
    world = World(scopes=Limits(QueueSettings(cancel_superseded=True)))
    engine = await world.placing_engine()
    gate = definition(approval=definition_api.Approval())
    first = (await engine.create_run(request(gate), created_by="a")).value.run.id
    second = (await engine.create_run(request(), created_by="a")).value.run.id
    assert [await world.phase(first), await world.result(first)] == ["finished", "stopped"]
    assert await world.phase(second) == "running"


async def test_fully_skipped_runs_leave_their_group_at_once() -> None:
    world = World()
    engine = await world.placing_engine()
    blocking = (await engine.create_run(request(), created_by="a")).value.run.id
    skipped = [(await engine.create_run(request(definition(skip=True)), created_by="a")).value.run.id for _ in range(5)]
    last = (await engine.create_run(request(), created_by="a")).value.run.id
    await world.finish(engine, blocking)
    assert [await world.result(i) for i in skipped] == ["success"] * 5
    assert await world.phase(last) == "running"
    assert (await world.db.get(QUEUE, GROUP)).run_id == last


# --- the sweep --------------------------------------------------------------------------------------------------------


async def test_run_that_may_start_since_a_moment_is_no_defect() -> None:
    world = World(scopes=Limits(QueueSettings(concurrency=1)))
    first = await world.placing_engine()
    first_id = (await first.create_run(request(group="/user/u/a"), created_by="a")).value.run.id
    second_id = (await first.create_run(request(group="/user/u/b"), created_by="a")).value.run.id
    other = world.engine("s2")
    scheduler = world.engine("s1", sweep_patience=timedelta(milliseconds=300))
    await scheduler.scheduler.election.stand()
    assert await world.phase(second_id) == "queued"
    counted = MOVED_BY_SWEEP._value.get()

    async def end_the_first() -> None:
        # While the sweep waits for those that others are about to start.
        for _ in range(50):
            await asyncio.sleep(0)
        await world.finish(other, first_id)

    _, moved = await asyncio.gather(end_the_first(), scheduler.sweep())
    assert (moved, MOVED_BY_SWEEP._value.get()) == (0, counted)
    assert await world.phase(second_id) == "queued"
    assert await scheduler.sweep() == 1
    assert await world.phase(second_id) == "running"


async def test_timeout_of_a_run_passes_in_the_sweep_and_is_no_defect() -> None:
    world = World()
    engine = await world.placing_engine()
    made = request(definition("a"), definition("b", "a"))
    made.run.timeout.CopyFrom(Duration(seconds=60))
    run_id = (await engine.create_run(made, created_by="a")).value.run.id
    world.later(seconds=61)
    counted = MOVED_BY_SWEEP._value.get()
    assert await engine.sweep() == 0
    assert MOVED_BY_SWEEP._value.get() == counted
    run = await world.run(run_id)
    assert (run.timed_out, await world.result(run_id), run.reason.code) == (True, "failed", "RUN_TIMED_OUT")
    assert (await world.assignment_of(run_id, "a")).HasField("stop_requested")
    await world.finish(engine, run_id, "a", "stopped")
    assert await world.statuses(run_id) == {"a": "stopped", "b": "skipped"}


async def test_approval_expires_in_the_sweep_and_the_run_says_so() -> None:
    world = World()
    engine = await world.placing_engine()
    gate = definition(approval=definition_api.Approval(timeout=Duration(seconds=60)))
    run_id = (await engine.create_run(request(gate), created_by="a")).value.run.id
    world.later(seconds=60)
    assert await engine.sweep() == 0
    assert await world.statuses(run_id) == {"build": "skipped"}
    assert await world.result(run_id) == "success"
    assert "expired" in (await world.run(run_id)).warnings[0]
    assert "build: waiting>expired" in world.told(run_id)


async def test_run_that_nobody_started_is_started_and_counted() -> None:
    world = World()
    lonely = world.engine("s2")
    run_id = (await lonely.create_run(request(), created_by="a")).value.run.id
    engine = world.engine("s1")
    await engine.scheduler.election.stand()
    await world.executors.connect(executor())
    counted = MOVED_BY_SWEEP._value.get()
    assert await engine.sweep() == 1
    assert MOVED_BY_SWEEP._value.get() == counted + 1
    assert await world.phase(run_id) == "running"


async def test_run_that_the_scheduler_is_about_to_start_is_no_defect() -> None:
    world = World()
    lonely = world.engine("s2")
    engine = world.engine("s1")
    await engine.scheduler.election.stand()
    await engine.scheduler.place_now()
    run_id = (await lonely.create_run(request(), created_by="a")).value.run.id
    counted = MOVED_BY_SWEEP._value.get()
    read = world.db.read

    async def then_the_scheduler_hears_of_it(function: Any, **more: Any) -> Any:
        found = await read(function, **more)
        if isinstance(found, dict | list) and GROUP in found:
            world.db.read = read  # type: ignore[method-assign]  # once
            engine.scheduler._groups.add(GROUP)
            await engine.scheduler.place_now()
        return found

    world.db.read = then_the_scheduler_hears_of_it  # type: ignore[method-assign]  # between two looks of the sweep
    assert await engine.sweep() == 0
    assert await world.phase(run_id) == "running"
    assert MOVED_BY_SWEEP._value.get() == counted


async def test_run_starts_no_earlier_than_the_one_before_it_ends() -> None:
    world = World()
    engine = await world.placing_engine()
    first = (await engine.create_run(request(), created_by="a")).value.run.id
    second = (await engine.create_run(request(), created_by="a")).value.run.id
    assignment = await world.assignment_of(first)
    transact = world.db.transact

    async def waits(function: Any, *, durable: bool = False) -> Any:
        world.later(seconds=1)
        return await transact(function, durable=durable)

    world.db.transact = waits  # type: ignore[method-assign]  # a committer with a queue
    before = world.clock.now()
    await world.report(engine, assignment, "success")
    ended, started = (await world.run(first)).end_time, (await world.run(second)).start_time
    assert started.ToMicroseconds() >= ended.ToMicroseconds()
    assert (ended.ToDatetime(UTC) - before) == timedelta(seconds=1)


async def test_sweep_of_a_quiet_system_changes_nothing() -> None:
    world = World()
    engine = await world.placing_engine(slots=1)
    tasks = (definition("a"), definition("b"), definition("c", "a"), definition(approval=definition_api.Approval()))
    await engine.create_run(request(*tasks), created_by="a")
    await engine.create_run(request(), created_by="a")
    before = world.db.position
    world.clock.advance(timedelta(seconds=30))
    assert await engine.sweep() == 0
    assert world.db.position == before
