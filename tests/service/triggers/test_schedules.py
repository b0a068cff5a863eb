"""Schedules: what is stored, and which deliveries and runs come of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as delivery_api
from sluiceway.api.project.v1 import schedule_service_pb2 as api
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound
from sluiceway_common.foundation.rpc.caller import as_caller
from sluiceway_server.datamanager.model import Delete
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.triggers.records import DELIVERY, LINK, SCHEDULE
from sluiceway_server.triggers.schedules import MAX_SCHEDULES
from tests.service.triggers.conftest import COMMIT, EVE, PROJECT_ID, Triggers, configuration


async def create(triggers: Triggers, cron: str = "0 * * * *", **fields: Any) -> api.Schedule:
    with as_caller(EVE):
        request = api.CreateScheduleRequest(project_id=PROJECT_ID, schedule=api.Schedule(cron=cron, **fields))
        return (await triggers.schedules.CreateSchedule(request, None)).schedule


async def listed(triggers: Triggers) -> list[api.Schedule]:
    request = api.ListSchedulesRequest(project_id=PROJECT_ID)
    return list((await triggers.schedules.ListSchedules(request, None)).schedules)


async def deliveries(triggers: Triggers) -> list[delivery_api.Delivery]:
    return await triggers.database.read(lambda view: [record.delivery for _, record in view.scan(DELIVERY)])


def moment(schedule: api.Schedule, field: str = "next_time") -> datetime:
    found: datetime = getattr(schedule, field).ToDatetime(tzinfo=UTC)
    return found


async def test_due_schedule_makes_the_runs_of_its_branch(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "nightly"})
    triggers.forge.refs_["refs/heads/main"] = COMMIT
    schedule = await create(triggers)
    assert (schedule.ref, schedule.created_by) == ("refs/heads/main", EVE.id)
    wait = await triggers.scheduler.fire_due()
    assert wait is not None
    assert await deliveries(triggers) == []
    triggers.clock.advance(timedelta(seconds=wait))
    await triggers.scheduler.fire_due()
    (delivery,) = await deliveries(triggers)
    await triggers.worked(delivery.id)
    (run,) = await triggers.runs()
    assert (run.name, run.group) == ("nightly", f"/project/{PROJECT_ID}/branch/main")
    assert (run.source.commit_sha, run.source.repository) == (COMMIT, "https://git.example.org/eve/app.git")
    (after,) = await listed(triggers)
    assert delivery.event == "schedule"
    assert (after.last_delivery_id, moment(after, "last_time")) == (delivery.id, moment(schedule))
    assert moment(after) == moment(schedule) + timedelta(hours=1)


async def test_each_time_makes_runs_of_the_same_commit(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "nightly"})
    triggers.forge.refs_["refs/heads/main"] = COMMIT
    await create(triggers)
    for _ in range(3):
        triggers.clock.advance(timedelta(hours=1))
        await triggers.scheduler.fire_due()
        await triggers.worker.work()
    assert len(await triggers.runs()) == 3


async def test_times_without_a_server_are_made_up_for_once(triggers: Triggers) -> None:
    await create(triggers)
    triggers.clock.advance(timedelta(days=2))
    await triggers.scheduler.fire_due()
    await triggers.scheduler.fire_due()
    assert len(await deliveries(triggers)) == 1
    (after,) = await listed(triggers)
    assert moment(after) > triggers.clock.now()


async def test_paused_schedule_is_not_due(triggers: Triggers) -> None:
    schedule = await create(triggers, paused=True)
    assert not schedule.HasField("next_time")
    triggers.clock.advance(timedelta(days=1))
    assert await triggers.scheduler.fire_due() is None
    with as_caller(EVE):
        request = api.UpdateScheduleRequest(project_id=PROJECT_ID, schedule=api.Schedule(id=schedule.id))
        request.update_mask.paths.append("paused")
        resumed = (await triggers.schedules.UpdateSchedule(request, None)).schedule
    assert moment(resumed) > triggers.clock.now()


async def test_changed_schedule_is_due_at_its_new_time(triggers: Triggers) -> None:
    schedule = await create(triggers)
    with as_caller(EVE):
        wanted = api.Schedule(id=schedule.id, cron="30 4 * * *", time_zone="Asia/Tokyo", ref="release/1")
        request = api.UpdateScheduleRequest(project_id=PROJECT_ID, schedule=wanted)
        changed = (await triggers.schedules.UpdateSchedule(request, None)).schedule
    assert (changed.cron, changed.ref, moment(changed).strftime("%H:%M")) == (
        "30 4 * * *",
        "refs/heads/release/1",
        "19:30",
    )


async def test_deleted_schedule_is_gone(triggers: Triggers) -> None:
    schedule = await create(triggers)
    request = api.DeleteScheduleRequest(project_id=PROJECT_ID, schedule_id=schedule.id)
    await triggers.schedules.DeleteSchedule(request, None)
    assert await listed(triggers) == []
    with pytest.raises(NotFound, match="has no schedule"):
        await triggers.schedules.DeleteSchedule(request, None)


async def test_schedule_of_a_deleted_project_is_deleted(triggers: Triggers) -> None:
    await create(triggers)
    await triggers.database.commit([Delete(PROJECT, PROJECT_ID)])
    triggers.clock.advance(timedelta(hours=1))
    assert await triggers.scheduler.fire_due() is None
    assert await deliveries(triggers) == []
    assert await triggers.database.read(lambda view: list(view.scan(SCHEDULE))) == []


async def test_wrong_schedule_is_refused_with_all_its_faults(triggers: Triggers) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(triggers, "every day", time_zone="nowhere", ref="refs/pull/1/head")
    assert {violation.path for violation in caught.value.violations} == {
        "schedule.cron",
        "schedule.time_zone",
        "schedule.ref",
    }


async def test_project_has_a_bounded_number_of_schedules(triggers: Triggers) -> None:
    for _ in range(MAX_SCHEDULES):
        await create(triggers, ref="main")
    with pytest.raises(FailedPrecondition, match="which is the most"):
        await create(triggers, ref="main")


async def test_project_without_a_repository_has_no_default(triggers: Triggers) -> None:
    await triggers.database.commit([Delete(LINK, PROJECT_ID)])
    with pytest.raises(FailedPrecondition, match="has no repository"):
        await create(triggers)


async def test_values_of_a_schedule_are_those_of_its_runs(triggers: Triggers) -> None:
    declared = {"version": {"required": True}, "env": {"type": "choice", "options": ["dev", "prod"]}}
    triggers.forge.files[COMMIT] = configuration({"name": "nightly", "inputs": declared})
    triggers.forge.refs_["refs/heads/main"] = COMMIT
    schedule = await create(triggers, inputs={"version": "v1", "env": "prod"})
    assert dict(schedule.inputs) == {"version": "v1", "env": "prod"}
    await fire(triggers)
    (run,) = await triggers.runs()
    assert {each.name: each.value for each in run.inputs} == {"version": "v1", "env": "prod"}
    changed = api.Schedule(id=schedule.id, inputs={"env": "staging"})
    with as_caller(EVE):
        request = api.UpdateScheduleRequest(project_id=PROJECT_ID, schedule=changed)
        assert dict((await triggers.schedules.UpdateSchedule(request, None)).schedule.inputs) == {"env": "staging"}
    await fire(triggers)
    assert len(await triggers.runs()) == 1
    (decision,) = (await deliveries(triggers))[-1].decisions
    assert decision.reason == delivery_api.DECISION_REASON_INPUTS
    assert 'inputs["env"]: must be one of' in decision.sentence
    assert 'inputs["version"]: a value is required' in decision.sentence


async def fire(triggers: Triggers) -> None:
    """Make the deliveries that are due in an hour, and work on them."""
    triggers.clock.advance(timedelta(hours=1))
    await triggers.scheduler.fire_due()
    await triggers.worker.work()


async def test_schedule_with_a_wrong_name_of_an_input_is_refused(triggers: Triggers) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(triggers, inputs={"Env": "x", "env": "a\0"})
    assert [violation.path for violation in caught.value.violations] == [
        'schedule.inputs["Env"]',
        'schedule.inputs["env"]',
    ]
