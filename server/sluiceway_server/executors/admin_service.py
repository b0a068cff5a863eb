"""The servicer of ExecutorAdminService, with which people list, drain and delete executors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import grpc.aio
import structlog

from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_admin_service_pb2_grpc as pb_grpc
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import InvalidInput, NotFound, SluicewayError, Violation
from sluiceway_common.foundation.rpc.caller import Caller, current_caller, requested_position, set_response_position
from sluiceway_common.runmodel.executor_state import Deleted, Drained, ExecutorPhase, Undrained
from sluiceway_common.runmodel.wording import duration
from sluiceway_server.datamanager.model import Action, Decision, Emit, Position, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.executors import groups
from sluiceway_server.executors.failure_detector import FailureDetector
from sluiceway_server.executors.presence import GroupDirectory
from sluiceway_server.projects.fields import changed_fields
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.executor_record import drain_of, has_live_assignments, phase_of, transition
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR, RUN, TASK, TOPIC_PLACEMENT, task_id
from sluiceway_server.runs.access import VisibleScopes, right_on_scope
from sluiceway_server.runs.transaction import KIND_PLACEMENT

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

_DEFAULT_PAGE, _MAX_PAGE = 100, 1000
_MAX_DRAIN = timedelta(days=30)


class ExecutorAdminServicer(pb_grpc.ExecutorAdminServiceServicer):
    """Serves people."""

    def __init__(
        self, database: Database, directory: GroupDirectory, *, detector: FailureDetector, clock: Clock
    ) -> None:
        self._database = database
        self._directory = directory
        self._detector = detector
        self._clock = clock

    async def ListExecutors(self, request: pb.ListExecutorsRequest, context: Context) -> pb.ListExecutorsResponse:
        size = _page_size(request.page_size)
        order = () if request.group else ("group",)
        where = {"group": request.group} if request.group else {}
        query = Query(where=where, order=order, size=size, token=request.page_token)

        def read(view: View) -> pb.ListExecutorsResponse:
            page = view.select(EXECUTOR, query)
            shown = [self._show(view, id_, record) for id_, record in page.records if not _is_deleted(record)]
            return pb.ListExecutorsResponse(executors=shown, next_page_token=page.next_token)

        return await self._database.read(read, after=_after())

    async def GetExecutor(self, request: pb.GetExecutorRequest, context: Context) -> pb.GetExecutorResponse:
        record = await self._database.get(EXECUTOR, request.executor_id, after=_after())
        if _is_deleted(record):
            raise _no_executor(request.executor_id)
        caller = current_caller()

        def read(view: View) -> pb.Executor:
            executor = self._show(view, request.executor_id, record)
            executor.assignments.extend(_assignments(view, request.executor_id, caller))
            return executor

        return pb.GetExecutorResponse(executor=await self._database.read(read))

    async def ListExecutorGroups(
        self, request: pb.ListExecutorGroupsRequest, context: Context
    ) -> pb.ListExecutorGroupsResponse:
        size = _page_size(request.page_size)
        if request.page_token and not request.page_token.startswith(_TOKEN):
            raise InvalidInput([Violation("page_token", "is not of this list")])
        after = request.page_token.removeprefix(_TOKEN)
        caller, now = current_caller(), self._clock.now()

        def read(view: View) -> pb.ListExecutorGroupsResponse:
            names = [name for name in groups.group_names(view, now) if name > after or not request.page_token]
            page = names[:size]
            return pb.ListExecutorGroupsResponse(
                executor_groups=groups.show_groups(view, page, self._directory, caller=caller, now=now),
                next_page_token=_TOKEN + page[-1] if len(names) > size else "",
            )

        return await self._database.read(read, after=_after())

    async def GetExecutorGroup(
        self, request: pb.GetExecutorGroupRequest, context: Context
    ) -> pb.GetExecutorGroupResponse:
        return pb.GetExecutorGroupResponse(executor_group=await self._group(request.name, _after()))

    async def CreateExecutorGroup(
        self, request: pb.CreateExecutorGroupRequest, context: Context
    ) -> pb.CreateExecutorGroupResponse:
        wanted, caller, now = request.executor_group, current_caller(), self._clock.now()
        committed = await self._database.transact(
            lambda view: Decision(None, groups.create_group(view, wanted, caller, now))
        )
        set_response_position(str(committed.position))
        return pb.CreateExecutorGroupResponse(executor_group=await self._group(wanted.name, committed.position))

    async def UpdateExecutorGroup(
        self, request: pb.UpdateExecutorGroupRequest, context: Context
    ) -> pb.UpdateExecutorGroupResponse:
        wanted, now = request.executor_group, self._clock.now()
        fields = changed_fields(wanted, request.update_mask, groups.CHANGEABLE)
        takes_forks = self._directory.takes_forks(wanted.name)
        committed = await self._database.transact(
            lambda view: Decision(None, groups.update_group(view, wanted, fields, takes_forks=takes_forks, now=now))
        )
        set_response_position(str(committed.position))
        return pb.UpdateExecutorGroupResponse(executor_group=await self._group(wanted.name, committed.position))

    async def DeleteExecutorGroup(
        self, request: pb.DeleteExecutorGroupRequest, context: Context
    ) -> pb.DeleteExecutorGroupResponse:
        now = self._clock.now()

        def function(view: View) -> Decision[Sequence[str]]:
            deleted = groups.delete_group(view, request.name, force=request.force, now=now)
            return Decision(deleted.executor_ids, deleted.actions)

        committed = await self._database.transact(function)
        set_response_position(str(committed.position))
        for executor_id in committed.value:
            await self._lose_deleted(executor_id, committed.position)
        return pb.DeleteExecutorGroupResponse()

    async def DrainExecutor(self, request: pb.DrainExecutorRequest, context: Context) -> pb.DrainExecutorResponse:
        await self._drain_one(request.executor_id, Drained(self._deadline(request)))
        return pb.DrainExecutorResponse()

    async def UndrainExecutor(self, request: pb.UndrainExecutorRequest, context: Context) -> pb.UndrainExecutorResponse:
        await self._drain_one(request.executor_id, Undrained())
        return pb.UndrainExecutorResponse()

    async def DrainExecutors(self, request: pb.DrainExecutorsRequest, context: Context) -> pb.DrainExecutorsResponse:
        event = Drained(self._deadline(request))
        return pb.DrainExecutorsResponse(executor_ids=await self._drain_all(request.selector, event))

    async def UndrainExecutors(
        self, request: pb.UndrainExecutorsRequest, context: Context
    ) -> pb.UndrainExecutorsResponse:
        return pb.UndrainExecutorsResponse(executor_ids=await self._drain_all(request.selector, Undrained()))

    def _deadline(self, request: pb.DrainExecutorRequest | pb.DrainExecutorsRequest) -> datetime | None:
        if not request.HasField("timeout"):
            return None
        timeout = codec.read_duration(request.timeout)
        if not timedelta() <= timeout <= _MAX_DRAIN:
            raise InvalidInput([Violation("timeout", f"it must be between 0s and {duration(_MAX_DRAIN)}")])
        return self._clock.now() + timeout

    async def _drain_one(self, executor_id: str, event: Drained | Undrained) -> None:
        now = self._clock.now()

        def function(view: View) -> Decision[None]:
            _existing(view, executor_id)
            return Decision(None, _drain(view, [executor_id], event, now))

        set_response_position(str((await self._database.transact(function)).position))

    async def _drain_all(self, selector: pb.ExecutorSelector, event: Drained | Undrained) -> list[str]:
        if not selector.group and not selector.labels:
            raise InvalidInput([Violation("selector", "it must name a group or a label, or both")])
        wanted = set(selector.labels.items())
        now = self._clock.now()

        def function(view: View) -> Decision[list[str]]:
            named = [
                id_
                for id_, record in view.scan(EXECUTOR)
                if not _is_deleted(record)
                and selector.group in ("", record.group)
                and wanted <= set(record.labels.items())
            ]
            return Decision(named, _drain(view, named, event, now))

        committed = await self._database.transact(function)
        set_response_position(str(committed.position))
        return committed.value

    async def DeleteExecutor(self, request: pb.DeleteExecutorRequest, context: Context) -> pb.DeleteExecutorResponse:
        executor_id = request.executor_id
        now = self._clock.now()

        def function(view: View) -> Decision[None]:
            _existing(view, executor_id)
            deleted = Deleted(has_assignments=has_live_assignments(view, executor_id))
            return Decision(None, transition(view, executor_id, deleted, now))

        committed = await self._database.transact(function)
        set_response_position(str(committed.position))
        await self._lose_deleted(executor_id, committed.position)
        return pb.DeleteExecutorResponse()

    async def _lose_deleted(self, executor_id: str, after: Position) -> None:
        try:
            await self._detector.lose_deleted(executor_id, after=after)
        except SluicewayError as error:
            # It is deleted. What it ran is lost when the database is back: the failure detectors check for that.
            log.warning("tasks_of_deleted_executor_not_lost_yet", executor=executor_id, error=str(error))

    def _show(self, view: View, executor_id: str, record: records.ExecutorRecord) -> pb.Executor:
        used = view.select(ASSIGNMENT, Query(where={"executor_id": executor_id, "live": 1}, size=_MAX_PAGE)).records
        presence = self._directory.find(record.group, executor_id)
        is_draining = drain_of(record) is not None
        is_active = phase_of(record) is ExecutorPhase.ACTIVE
        executor = pb.Executor(
            id=executor_id,
            group=record.group,
            siblings=self._directory.siblings(record.group, executor_id),
            version=record.version,
            archs=record.archs,
            labels=record.labels,
            slots=record.slots,
            slots_used=len(used),
            privileged_allowed=record.privileged_allowed,
            drivers=record.drivers,
            dynamic=record.dynamic,
            draining=is_draining,
            drained=is_draining and not used,
            vanished=phase_of(record) is ExecutorPhase.VANISHED,
            online=is_active and presence is not None and presence.session == record.session_id,
        )
        for name in ("last_seen_time", "session_time", "drain_deadline"):
            if record.HasField(name):
                getattr(executor, name).CopyFrom(getattr(record, name))
        return executor

    async def _group(self, name: str, after: Position | None) -> pb.ExecutorGroup:
        caller, now = current_caller(), self._clock.now()

        def read(view: View) -> pb.ExecutorGroup:
            if not groups.exists(view, name, now):
                raise groups.no_group(name)
            return groups.show_groups(view, [name], self._directory, caller=caller, now=now)[0]

        return await self._database.read(read, after=after)


def _assignments(view: View, executor_id: str, caller: Caller) -> Iterator[pb.ExecutorAssignment]:
    """Yield the assignments that an executor holds, the oldest first, of runs that `caller` may see."""
    may_see = VisibleScopes(view, caller, right_on_scope)
    query = Query(where={"executor_id": executor_id, "live": 1}, size=_MAX_PAGE)
    held = sorted(view.select(ASSIGNMENT, query).records, key=lambda item: item[1].assign_time.ToNanoseconds())
    for id_, record in held:
        run, task = view.get(RUN, record.run_id), view.get(TASK, task_id(record.run_id, record.task_id))
        if run is None or task is None or not may_see(record.scope):
            continue
        shown = pb.ExecutorAssignment(
            id=id_,
            run_id=record.run_id,
            run_number=run.run.number,
            group=run.run.group,
            task_id=record.task_id,
            task_name=task.task.name,
            attempt=record.epoch.attempt,
            assign_time=record.assign_time,
        )
        if record.HasField("start_time"):
            shown.start_time.CopyFrom(record.start_time)
        yield shown


_TOKEN = "groups:"  # noqa: S105 - of a page


def _drain(view: View, executor_ids: Sequence[str], event: Drained | Undrained, now: datetime) -> list[Action]:
    """Return the actions that drain or undrain executors, and notify the scheduler; none if nothing changes."""
    actions = [action for executor_id in executor_ids for action in transition(view, executor_id, event, now)]
    if actions:
        notice = records.PlacementNotice(executors_changed=isinstance(event, Undrained))
        for executor_id in executor_ids:
            deadline = notice.deadlines.add(executor_id=executor_id)
            if isinstance(event, Drained) and event.deadline is not None:
                codec.put_time(deadline.time, event.deadline)
        actions.append(Emit(KIND_PLACEMENT, (TOPIC_PLACEMENT,), notice.SerializeToString()))
    return actions


def _is_deleted(record: records.ExecutorRecord) -> bool:
    return phase_of(record) is ExecutorPhase.DELETED


def _existing(view: View, executor_id: str) -> records.ExecutorRecord:
    record = view.get(EXECUTOR, executor_id)
    if record is None or _is_deleted(record):
        raise _no_executor(executor_id)
    return record


def _no_executor(executor_id: str) -> NotFound:
    return NotFound(f"there is no executor {executor_id!r}", resource_type="executor", resource_name=executor_id)


def _page_size(wanted: int) -> int:
    if not 0 <= wanted <= _MAX_PAGE:
        raise InvalidInput([Violation("page_size", f"1 to {_MAX_PAGE}; 0 is {_DEFAULT_PAGE}")])
    return wanted or _DEFAULT_PAGE


def _after() -> Position | None:
    requested = requested_position()
    if requested is None:
        return None
    try:
        return Position.parse(requested)
    except ValueError as cause:
        raise InvalidInput([Violation("sluice-position", "is not a position")]) from cause
