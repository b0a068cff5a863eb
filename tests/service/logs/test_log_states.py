"""What the records say of logs: of each attempt, also of those that were lost."""

from __future__ import annotations

from datetime import datetime

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel.model import Epoch
from sluiceway_common.runmodel.reasons import Reason
from sluiceway_server.datamanager.model import Put
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.states import LogState, StoredLogStates
from sluiceway_server.runrecords.types import SETUP_STEP, TASK, task_id
from tests.support.run_engine import World, definition, request


def step(index: int, phase: str, now: datetime, *, size: int = 0, ended: bool = True) -> executor_api.StepUpdate:
    update = executor_api.StepUpdate(
        step=index, phase=f"STEP_PHASE_{phase}", log_size_bytes=size, log_sha256="ab" * 32 if ended else ""
    )
    update.start_time.FromDatetime(now)
    return update


def known(state: LogState) -> tuple[bool, int | None, bool]:
    return state.is_over, state.size, state.may_be_empty


async def test_size_of_each_attempt_is_the_reported_one() -> None:
    world = World()
    engine = await world.placing_engine()
    retry = definition_api.Retry(
        max_attempts=2, on=[definition_api.RETRY_CAUSE_FAILED, definition_api.RETRY_CAUSE_LOST]
    )
    run_id = (await engine.create_run(request(definition(retry=retry)), created_by="a")).value.run.id
    states, now = StoredLogStates(world.db), world.clock.now()
    task = await world.task_id(run_id, "build")

    async def find(attempt: int, step: int = 0) -> LogState:
        return await states.find(run_id, task, attempt=attempt, step=step)

    first = await world.assignment_of(run_id)
    assert known(await find(1)) == (False, None, True)
    await world.report(engine, first, "accepted", "running")
    await world.report(engine, first, "running", steps=[step(0, "RUNNING", now, ended=False)])
    assert known(await find(1)) == (False, None, False)
    reported = [step(-1, "SUCCESS", now, size=3), step(0, "FAILED", now, size=7)]
    await world.report(engine, first, "failed", steps=reported)
    second = await world.assignment_of(run_id)
    assert second.id != first.id
    assert known(await find(1)) == (True, 7, True)
    assert known(await find(1, SETUP_STEP)) == (True, 3, True)
    assert (await find(1)).key == LogKey(run_id, task, Epoch(1, 1), 0)
    await world.report(engine, second, "accepted", "running")
    await world.report(engine, second, "running", steps=[step(0, "RUNNING", now, ended=False)])
    await engine.mark_lost([second.id], Reason("executor_vanished", "it is gone"))
    assert await world.statuses(run_id) == {"build": "lost"}
    assert known(await find(2)) == (True, None, False)
    assert known(await find(0)) == known(await find(2))
    assert known(await find(2, SETUP_STEP)) == (True, None, True), "it never began"
    assert known(await find(1)) == (True, 7, True)
    assert (await find(2)).title == 'the log of step "true" of task "build" (attempt 2)'
    with pytest.raises(NotFound, match="no attempt 3"):
        await find(3)
    with pytest.raises(NotFound, match="no step 1"):
        await find(1, 1)


async def test_task_kept_by_a_restart_has_the_logs_of_its_first_run() -> None:
    world = World()
    task = api.Task(
        id="t", name="build", status="TASK_STATUS_SUCCESS", attempt=1, assignment_id="a", steps=[api.Step()]
    )
    await world.db.commit([Put(TASK, task_id("later", "t"), pb.TaskRecord(task=task, kept_from="first"))])
    state = await StoredLogStates(world.db).find("later", "t", attempt=0, step=0)
    assert state.key.path.startswith("logs/first/t/")
