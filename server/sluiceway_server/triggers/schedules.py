"""Schedules: the servicer of `ScheduleService`, and the worker that turns what is due into deliveries.

A due schedule and its delivery are changed in one transaction, so each time makes one delivery, whichever servers work.
Times that passed while nobody worked are made up for by one delivery.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from sluiceway.api.project.v1 import schedule_service_pb2 as api
from sluiceway.api.project.v1 import schedule_service_pb2_grpc as api_grpc
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound, Violation
from sluiceway_common.foundation.rpc.caller import current_caller, requested_position, set_response_position
from sluiceway_server.datamanager.model import Decision, Delete, Position, Put, Query, View
from sluiceway_server.datamanager.port import Committed, Database
from sluiceway_server.projects.quotas import check_one_more
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.projects.tree import NodeType, require
from sluiceway_server.triggers import deliveries
from sluiceway_server.triggers.changes import Changes
from sluiceway_server.triggers.event_rules import scheduled_event
from sluiceway_server.triggers.manual_runs import given_faults
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.records import DELIVERY, LINK, SCHEDULE, delivery_key, schedule_key
from sluiceway_server.triggers.schedule_rules import full_name, next_time, violations
from sluiceway_server.triggers.settings import TriggerSettings

__all__ = ["MAX_SCHEDULES", "ScheduleServicer", "ScheduleWorker"]

log = structlog.get_logger(__name__)

MAX_SCHEDULES = 100
"""Of one project."""
_CHANGEABLE = ("cron", "time_zone", "ref", "run_name", "paused", "inputs")
_AT_ONCE = 100
_RETRY_SECONDS = 5.0
_PROJECTS = frozenset({NodeType.PROJECT})


class ScheduleServicer(api_grpc.ScheduleServiceServicer):
    """Implements `ScheduleService`."""

    def __init__(self, database: Database, providers: Providers, clock: Clock, *, ids: IdSource) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock
        self._ids = ids

    async def CreateSchedule(self, request: api.CreateScheduleRequest, context: Any) -> api.CreateScheduleResponse:
        now = self._clock.now()
        _check(request.schedule, now)
        project_id = await self._project(request.project_id)
        made = api.Schedule(id=self._ids.new_id(), project_id=project_id, created_by=current_caller().id)
        for name in _CHANGEABLE:
            _put(made, name, request.schedule)
        made.ref = full_name(made.ref or await self._default_branch(project_id))
        made.create_time.FromDatetime(now)
        _set_next(made, now)

        def create(view: View) -> Decision[api.Schedule]:
            if view.count(SCHEDULE, {"project_id": project_id}, limit=MAX_SCHEDULES) >= MAX_SCHEDULES:
                raise FailedPrecondition(
                    f"the project has {MAX_SCHEDULES} schedules, which is the most; delete one",
                    reason="TOO_MANY_SCHEDULES",
                    subject=project_id,
                )
            check_one_more(view, require(view, project_id, _PROJECTS), "schedules", SCHEDULE, "project_id")
            return Decision(made, [Put(SCHEDULE, schedule_key(project_id, made.id), pb.ScheduleRecord(schedule=made))])

        return api.CreateScheduleResponse(schedule=_answered(await self._database.transact(create)))

    async def GetSchedule(self, request: api.GetScheduleRequest, context: Any) -> api.GetScheduleResponse:
        project_id = await self._project(request.project_id)
        stored = await self._database.read(lambda view: _stored(view, project_id, request.schedule_id))
        set_response_position(str(self._database.position))
        return api.GetScheduleResponse(schedule=stored)

    async def ListSchedules(self, request: api.ListSchedulesRequest, context: Any) -> api.ListSchedulesResponse:
        query = Query(where={"project_id": await self._project(request.project_id)}, size=MAX_SCHEDULES)
        page = await self._database.list(SCHEDULE, query)
        set_response_position(str(self._database.position))
        return api.ListSchedulesResponse(schedules=[record.schedule for _, record in page.records])

    async def UpdateSchedule(self, request: api.UpdateScheduleRequest, context: Any) -> api.UpdateScheduleResponse:
        wanted, named = request.schedule, tuple(request.update_mask.paths)
        fields = named or tuple(name for name in _CHANGEABLE if getattr(wanted, name))
        if unknown := sorted(set(fields) - set(_CHANGEABLE)):
            raise InvalidInput([Violation("update_mask", f"{unknown[0]!r} cannot be changed")])
        project_id = await self._project(request.project_id)
        default = await self._default_branch(project_id) if "ref" in fields and not wanted.ref else ""
        now = self._clock.now()

        def update(view: View) -> Decision[api.Schedule]:
            changed = api.Schedule()
            changed.CopyFrom(_stored(view, project_id, wanted.id))
            for name in fields:
                _put(changed, name, wanted)
            _check(changed, now)
            changed.ref = full_name(changed.ref or default)
            _set_next(changed, now)
            record = pb.ScheduleRecord(schedule=changed)
            return Decision(changed, [Put(SCHEDULE, schedule_key(project_id, changed.id), record)])

        return api.UpdateScheduleResponse(schedule=_answered(await self._database.transact(update)))

    async def DeleteSchedule(self, request: api.DeleteScheduleRequest, context: Any) -> api.DeleteScheduleResponse:
        project_id = await self._project(request.project_id)

        def delete(view: View) -> Decision[None]:
            stored = _stored(view, project_id, request.schedule_id)
            return Decision(None, [Delete(SCHEDULE, schedule_key(project_id, stored.id))])

        set_response_position(str((await self._database.transact(delete)).position))
        return api.DeleteScheduleResponse()

    async def _default_branch(self, project_id: str) -> str:
        link = await self._database.read(lambda view: view.get(LINK, project_id))
        if link is None:
            raise FailedPrecondition(
                f"project {project_id} has no repository, so there is nothing to run", reason="PROJECT_NOT_LINKED"
            )
        return (await self._providers.repository(link)).repository.default_branch

    async def _project(self, reference: str) -> str:
        """Return the id of a project; the caller's right on it was checked by the interceptor."""
        after = requested_position()
        position = Position.parse(after) if after else await self._database.linearize()
        return (await self._database.read(lambda view: require(view, reference, _PROJECTS), after=position)).id


class ScheduleWorker:
    """Makes deliveries of schedules that are due. Runs on the elected server."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        ids: IdSource,
        settings: TriggerSettings,
        is_elected: Callable[[], bool],
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._is_elected = is_elected

    async def run(self) -> None:
        """Work until cancelled."""
        changes = Changes(self._database, (SCHEDULE,), interval=self._settings.interval)
        await changes.drive(
            self.fire_due, is_elected=self._is_elected, event="schedules_wait", retry_seconds=_RETRY_SECONDS
        )

    async def fire_due(self) -> float | None:
        """Make the deliveries of all schedules that are due. Returns the seconds until the next one is; None: none is.

        Raises:
            Unavailable: the database is away.
        """
        query = Query(where={"active": 1}, order=("due",), size=_AT_ONCE)
        while True:
            found = await self._database.read(lambda view: view.rows(SCHEDULE, query).records)
            now = self._clock.now()
            times = [(key, due) for key, row in found if isinstance(due := row["due"], int)]
            due_keys = [key for key, due in times if due <= now.timestamp() * 1000]
            if not due_keys:
                return max(0.0, times[0][1] / 1000 - now.timestamp()) if times else None
            for key in due_keys:
                await self._fire(key, now)

    async def _fire(self, key: str, now: datetime) -> None:
        delivery_id = self._ids.new_id()

        def fire(view: View) -> Decision[bool]:
            stored = view.get(SCHEDULE, key)
            if stored is None or not stored.schedule.HasField("next_time"):
                return Decision(False)
            due = stored.schedule.next_time.ToDatetime(tzinfo=UTC)
            project_id = stored.schedule.project_id
            if due > now:
                return Decision(False)
            if view.fields(PROJECT, project_id) is None:
                return Decision(False, [Delete(SCHEDULE, key)])
            changed = pb.ScheduleRecord()
            changed.CopyFrom(stored)
            schedule = changed.schedule
            schedule.last_time.FromDatetime(due)
            schedule.last_delivery_id = delivery_id
            _set_next(schedule, now)
            delivery = deliveries.new_delivery(
                project_id,
                delivery_id,
                provider_id="",
                provider_key="",
                event=scheduled_event(schedule, due),
                verdict=None,
                now=now,
            )
            delivery.order = str(view.position)
            place = delivery_key(project_id, delivery_id)
            return Decision(True, [Put(SCHEDULE, key, changed), Put(DELIVERY, place, delivery)])

        if (await self._database.transact(fire)).value:
            log.info("schedule_due", schedule=key, delivery=delivery_id)


def _put(schedule: api.Schedule, name: str, wanted: api.Schedule) -> None:
    if name == "inputs":
        schedule.ClearField("inputs")
        schedule.inputs.update(wanted.inputs)
    else:
        setattr(schedule, name, getattr(wanted, name))


def _check(schedule: api.Schedule, now: datetime) -> None:
    found = [*violations(schedule, now), *given_faults(schedule.inputs, holder="schedule.")]
    if found:
        raise InvalidInput(found)


def _set_next(schedule: api.Schedule, now: datetime) -> None:
    following = None if schedule.paused else next_time(schedule.cron, schedule.time_zone, now)
    if following is None:
        schedule.ClearField("next_time")
    else:
        schedule.next_time.FromDatetime(following)


def _stored(view: View, project_id: str, schedule_id: str) -> api.Schedule:
    record = view.get(SCHEDULE, schedule_key(project_id, schedule_id))
    if record is None:
        raise NotFound(
            f"the project has no schedule {schedule_id!r}", resource_type="schedule", resource_name=schedule_id
        )
    return record.schedule


def _answered(committed: Committed[api.Schedule]) -> api.Schedule:
    set_response_position(str(committed.position))
    return committed.value
