"""What is shown of runs and tasks beside what is stored: attempts, and what a run waits for."""

from __future__ import annotations

from datetime import timedelta

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_server.datamanager.model import Put
from sluiceway_server.runrecords.codec import put_time, read_time
from sluiceway_server.runrecords.types import PLACER, PLACER_ID
from tests.fakes.executor_directory import executor
from tests.service.runs.test_run_service import Served, serving
from tests.support.run_engine import definition, request


async def _shown(at: Served, run_id: str) -> api.Run:
    """A run, as it is shown alone; a list shows the same."""
    run = (await at.stub.GetRun(pb.GetRunRequest(run_id=run_id))).run
    resolved = (await at.stub.ResolveRun(pb.ResolveRunRequest(reference=run_id))).run
    listed = {each.id: each for each in (await at.stub.ListRuns(pb.ListRunsRequest())).runs}
    assert run.waiting == resolved.waiting == listed[run_id].waiting
    assert run.work_start_time == listed[run_id].work_start_time
    return run


async def _waiting(at: Served, run_id: str) -> str:
    return (await _shown(at, run_id)).waiting.code


# --- what a run waits for -----------------------------------------------------------------------------------------


async def test_run_without_an_executor_waits_for_one() -> None:
    async with serving(slots=0) as at:
        run = (await at.stub.CreateRun(request(definition("a"), definition("b", "a")))).run
        shown = await _shown(at, run.id)
        assert shown.phase == api.RUN_PHASE_RUNNING
        assert shown.waiting.code == "WAITS_FOR_EXECUTOR"
        assert not shown.HasField("work_start_time")
        at.world.later(minutes=5)
        await at.world.executors.connect(executor(slots=1))
        await at.engine.scheduler.place_now()
        shown = await _shown(at, run.id)
        assert not shown.HasField("waiting")
        assert read_time(shown.work_start_time) - read_time(shown.start_time) == timedelta(minutes=5)
        first = shown.work_start_time
        at.world.later(minutes=1)
        await at.world.finish(at.engine, run.id, "a")
        assert (await _shown(at, run.id)).work_start_time == first
        await at.world.finish(at.engine, run.id, "b")
        shown = await _shown(at, run.id)
        assert (shown.phase, shown.HasField("waiting")) == (api.RUN_PHASE_FINISHED, False)


async def test_run_waits_while_all_executors_are_full() -> None:
    async with serving(slots=1) as at:
        busy = (await at.stub.CreateRun(request(group="/user/eve/x"))).run
        run = (await at.stub.CreateRun(request(*(definition(f"t{n}") for n in range(150))))).run
        assert await _waiting(at, run.id) == "WAITS_FOR_EXECUTOR"
        assert await _waiting(at, busy.id) == ""


async def test_run_says_whether_it_waits_for_approval_lock_or_queue() -> None:
    async with serving() as at:
        gated = (await at.stub.CreateRun(request(definition(approval=definition_api.Approval())))).run
        assert await _waiting(at, gated.id) == "WAITS_FOR_APPROVAL"
        queued = (await at.stub.CreateRun(request())).run
        assert await _waiting(at, queued.id) == ""  # its phase says it
        holder = (await at.stub.CreateRun(request(definition(lock="deploy"), group="/user/eve/a"))).run
        locked = (await at.stub.CreateRun(request(definition(lock="deploy"), group="/user/eve/b"))).run
        assert await _waiting(at, holder.id) == ""
        assert await _waiting(at, locked.id) == "WAITS_FOR_LOCK"


async def test_run_waits_for_recovery_while_nothing_may_be_assigned() -> None:
    async with serving(slots=0) as at:
        run = (await at.stub.CreateRun(request())).run
        record = await at.world.db.get(PLACER, PLACER_ID)
        record.open_epoch, record.held_epoch = 0, at.world.db.epoch
        put_time(record.held_since, at.world.clock.now())
        put_time(record.held_until, at.world.clock.now())
        await at.world.db.commit([Put(PLACER, PLACER_ID, record)])
        assert await _waiting(at, run.id) == "WAITS_FOR_RECOVERY"


# --- attempts -----------------------------------------------------------------------------------------------------


async def test_every_attempt_shows_executor_steps_and_exit_codes() -> None:
    async with serving() as at:
        retry = definition_api.Retry(max_attempts=3)
        run = (await at.stub.CreateRun(request(definition(retry=retry), definition("other")))).run
        for status in (3, 4):
            assignment = await at.world.assignment_of(run.id)
            step = {"step": 0, "phase": api.STEP_PHASE_FAILED, "exit_status": status}
            await at.world.report(at.engine, assignment, "accepted", "running")
            at.world.later(seconds=10)
            await at.world.report(at.engine, assignment, "failed", steps=[step])
        await at.world.report(at.engine, await at.world.assignment_of(run.id), "running")
        task_id = await at.world.task_id(run.id, "build")
        task = (await at.stub.GetTask(pb.GetTaskRequest(run_id=run.id, task_id=task_id))).task
        listed = (await at.stub.ListTasks(pb.ListTasksRequest(run_id=run.id))).tasks
        assert next(each for each in listed if each.id == task_id) == task
        first, second, third = task.attempts
        assert [each.attempt for each in task.attempts] == [1, 2, 3]
        assert {each.executor_id for each in task.attempts} == {"e1"}
        assert len({each.assignment_id for each in task.attempts}) == 3
        assert [each.steps[0].exit_status for each in (first, second)] == [3, 4]
        assert [each.status for each in (first, second)] == [api.TASK_STATUS_FAILED] * 2
        assert first.reason.message == 'step "true" failed with exit status 3'
        assert first.end_time.seconds - first.start_time.seconds == 10
        assert (third.status, third.HasField("end_time")) == (api.TASK_STATUS_RUNNING, False)
        assert [len(each.attempts) for each in listed if each.name == "other"] == [1]


async def test_attempts_are_those_that_ran() -> None:
    async with serving(slots=1) as at:
        retry = definition_api.Retry(max_attempts=2)
        run = (await at.stub.CreateRun(request(definition(retry=retry), definition("then", "build")))).run
        at.world.executors.disconnect("e1")
        await at.world.finish(at.engine, run.id, "build", "failed")
        listed = (await at.stub.ListTasks(pb.ListTasksRequest(run_id=run.id))).tasks
        build, then = listed
        assert build.status == api.TASK_STATUS_NOT_STARTED
        assert [(each.attempt, each.status) for each in build.attempts] == [(1, api.TASK_STATUS_FAILED)]
        assert not then.attempts


# --- explanations -------------------------------------------------------------------------------------------------


async def _explained(at: Served, run_id: str) -> tuple[list[str], dict[str, list[str]]]:
    """The sentences about a run, and those about each of its tasks."""
    told = (await at.stub.ExplainRun(pb.ExplainRunRequest(run_id=run_id))).explanation
    tasks = {task.task_name: [reason.message for reason in task.reasons] for task in told.tasks}
    return [reason.message for reason in told.reasons], tasks


async def test_run_is_explained_while_waiting_running_and_failed() -> None:
    async with serving(slots=0) as at:
        run = (await at.stub.CreateRun(request(definition("a"), definition("b", "a")))).run
        told, tasks = await _explained(at, run.id)
        assert told == ["none of its tasks runs: no executor can take one now", "2 tasks: 2 not started"]
        await at.world.executors.connect(executor(slots=1))
        await at.engine.scheduler.place_now()
        await at.world.report(at.engine, await at.world.assignment_of(run.id, "a"), "accepted", "running")
        told, tasks = await _explained(at, run.id)
        assert told == ["2 tasks: 1 not started, 1 running"]
        assert tasks["a"] == ["runs on executor e1 since 2026-01-01 00:00:00Z"]
        at.world.later(seconds=7)
        failed = {"step": 0, "phase": api.STEP_PHASE_FAILED, "exit_status": 7}
        await at.world.report(at.engine, await at.world.assignment_of(run.id, "a"), "failed", steps=[failed])
        told, tasks = await _explained(at, run.id)
        assert told == ['task "a" failed: step "true" failed with exit status 7', "2 tasks: 1 skipped, 1 failed"]
        assert tasks == {
            "a": [
                'step "true" failed with exit status 7',
                'failed in step 1 of 1 ("true") with exit status 7 on executor e1 at 2026-01-01 00:00:07Z, after 7s',
            ],
            "b": ['it runs only if "a" succeeds, and "a" failed'],
        }


async def test_setup_error_is_explained_with_its_first_errors() -> None:
    async with serving() as at:
        errors = [f"fault {number}" for number in range(12)]
        run = (await at.stub.CreateRun(pb.CreateRunRequest(run=request().run, setup_errors=errors))).run
        told, tasks = await _explained(at, run.id)
        assert told == [*errors[:10], "and 2 more; `sluice run get` shows all"]
        assert tasks == {}
