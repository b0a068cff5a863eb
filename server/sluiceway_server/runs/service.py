"""The servicer of `RunService`. It reads at or after the position of the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway.records.run.v1.records_pb2 import RunRecord
from sluiceway_common.foundation.clock import IdSource
from sluiceway_common.foundation.errors import InvalidInput, NotFound, PermissionDenied, Violation
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import (
    Caller,
    current_caller,
    requested_position,
    set_response_position,
)
from sluiceway_common.foundation.rpc.fields import checks_fields_itself
from sluiceway_common.foundation.texts import line_fault
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.limits import MAX_TASKS
from sluiceway_common.runmodel.model import RestartKind
from sluiceway_server.archives.artifacts import Artifacts
from sluiceway_server.archives.tests import Tests
from sluiceway_server.datamanager.model import Position, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import Place, place_of, token_of
from sluiceway_server.projects.auditing import Auditor
from sluiceway_server.projects.rights import role_missing
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.executor_messages import time_faults
from sluiceway_server.runrecords.types import (
    RUN,
    TASK,
    TERMINAL_PHASES,
    TOPIC_RUNS,
    group_topic,
    run_topic,
    task_id,
)
from sluiceway_server.runs import watching
from sluiceway_server.runs.access import ScopeRights, VisibleScopes, no_scope
from sluiceway_server.runs.attempts import with_attempts
from sluiceway_server.runs.definition_checks import hold_faults
from sluiceway_server.runs.engine import Engine, no_run
from sluiceway_server.runs.explainer import Explainer
from sluiceway_server.runs.history import history_of
from sluiceway_server.runs.listing import check_list, group_filter, page_faults
from sluiceway_server.runs.log_calls import LogCalls, Logs
from sluiceway_server.runs.log_deletion import LogDeletion
from sluiceway_server.runs.names import Names, group_named
from sluiceway_server.runs.references import resolve
from sluiceway_server.runs.transaction import tasks_of
from sluiceway_server.runs.waits import put_waits

T = TypeVar("T")

_MAX_COMMENT = 500

MAX_TASKS_PAGE = 2_000


class RunServicer(pb_grpc.RunServiceServicer):
    """Implements `RunService`."""

    def __init__(
        self,
        db: Database,
        engine: Engine,
        *,
        explainer: Explainer,
        logs: Logs,
        deletion: LogDeletion,
        artifacts: Artifacts,
        tests: Tests,
        right_on_scope: ScopeRights,
        ids: IdSource,
    ) -> None:
        """Offer runs.

        Args:
            db: where runs are.
            engine: changes them.
            explainer: explains them.
            logs: where logs are read.
            deletion: deletes logs.
            artifacts: lists and reads artifacts.
            tests: lists the tests that tasks have reported.
            right_on_scope: what callers may do with the runs of a scope. Methods that name a run rely on the check of
                the interceptor.
            ids: for audit records.
        """
        self._db = db
        self._ids = ids
        self._right_on_scope = right_on_scope
        self._engine = engine
        self._explainer = explainer
        self._logs = LogCalls(logs)
        self._deletion = deletion
        self._artifacts = artifacts
        self._tests = tests

    # --- runs are made and shown ----------------------------------------------------------------------------------

    @checks_fields_itself
    async def CreateRun(self, request: pb.CreateRunRequest, context: object) -> pb.CreateRunResponse:
        request.run.group, names = await self._group_of_new_run(request.run.group)
        committed = await self._engine.create_run(request, created_by=current_caller().id, audit=self._auditor())
        set_response_position(str(committed.position))
        return pb.CreateRunResponse(run=await self._named(committed.value.run, names))

    async def GetRun(self, request: pb.GetRunRequest, context: object) -> pb.GetRunResponse:
        return pb.GetRunResponse(run=await self._run(request.run_id))

    async def ResolveRun(self, request: pb.ResolveRunRequest, context: object) -> pb.ResolveRunResponse:
        caller = current_caller()

        def read(view: View) -> str:
            return resolve(view, request.reference, user_id=caller.id, visible=self._visible(view, caller))

        try:
            run_id = await self._db.read(read, after=_requested())
        except NotFound:
            # This server may be behind.
            run_id = await self._db.read(read, after=await self._db.linearize())
        return pb.ResolveRunResponse(run=await self._run(run_id))

    async def ListRuns(self, request: pb.ListRunsRequest, context: object) -> pb.ListRunsResponse:
        caller = current_caller()
        request.group, request.group_prefix = await self._groups(request.group, request.group_prefix)
        wanted = check_list(request, user_id=caller.id)

        def read(view: View) -> pb.ListRunsResponse:
            response = wanted.read(view, self._visible(view, caller))
            Names(view).put_in_runs(response.runs)
            return response

        response = await self._db.read(read, after=_requested())
        set_response_position(str(self._db.position))
        return response

    async def ListTasks(self, request: pb.ListTasksRequest, context: object) -> pb.ListTasksResponse:
        found = page_faults(request.page_size, MAX_TASKS_PAGE)
        if found:
            raise InvalidInput(found)
        await self._run_record(request.run_id)
        size = request.page_size or MAX_TASKS_PAGE
        list_of = f"tasks of {request.run_id}"
        last = place_of(request.page_token, list_of, 0).id if request.page_token else None

        def read(view: View) -> pb.ListTasksResponse:
            # All of them, for each page: the tasks of a run lie together, so no index is needed for their order.
            tasks = tasks_of(view, request.run_id)
            # Tasks never leave a run, and the order of two never changes.
            start = next((at + 1 for at, task in enumerate(tasks) if task.id == last), 0)
            page = tasks[start : start + size]
            token = token_of(list_of, Place((), page[-1].id)) if len(tasks) > start + size else ""
            shown = [with_attempts(view, task) for task in page]
            Names(view).put_in_tasks(shown)
            return pb.ListTasksResponse(tasks=shown, next_page_token=token)

        return await self._db.read(read, after=_requested())

    async def GetTask(self, request: pb.GetTaskRequest, context: object) -> pb.GetTaskResponse:
        try:
            record = await self._db.get(TASK, task_id(request.run_id, request.task_id), after=_requested())
        except NotFound as cause:
            await self._run_record(request.run_id)  # says so itself when it is the run that is not there
            raise _no_task(request.run_id, request.task_id) from cause

        def read(view: View) -> api.Task:
            shown = with_attempts(view, record.task)
            Names(view).put_in_tasks([shown])
            return shown

        task = await self._db.read(read)
        set_response_position(str(self._db.position))
        return pb.GetTaskResponse(task=task)

    def _visible(self, view: View, caller: Caller) -> VisibleScopes:
        return VisibleScopes(view, caller, self._right_on_scope)

    async def _is_owner(self, run_id: str) -> bool:
        """Return whether the caller may manage the project of a run. Denies it only after a linearizable read."""
        scope, caller = groups.scope_of((await self._run_record(run_id)).run.group), current_caller()

        def read(view: View) -> bool:
            found = self._right_on_scope(view, caller, scope)
            return found is not None and found >= Right.MANAGE

        return await self._db.read(read, after=_requested()) or await self._db.read(
            read, after=await self._db.linearize()
        )

    async def _group_of_new_run(self, text: str) -> tuple[str, Names]:
        """Return the group that a text names, in which the caller may create runs, and the names of such a run.

        One read for all of it. Refuses only after a linearizable read.
        """
        caller = current_caller()

        def read(view: View) -> tuple[str, Names]:
            group = groups.of_caller(group_named(view, text, visible=self._visible(view, caller)), caller.id)
            names = Names(view)
            if not groups.faults(group):  # or the engine reports them, together with the others
                canonical = groups.canonical(group)
                self._check_scope(view, caller, groups.scope_of(canonical))
                names.load(canonical, caller.id)
            return group, names

        try:
            return await self._db.read(read, after=_requested())
        except (NotFound, PermissionDenied):
            # This server may be behind.
            return await self._db.read(read, after=await self._db.linearize())

    def _check_scope(self, view: View, caller: Caller, scope: str) -> None:
        greatest = self._right_on_scope(view, caller, scope)
        if greatest is None:
            raise no_scope(scope)
        if greatest < Right.CONTROL:
            raise role_missing(f"the runs of {scope}", Right.CONTROL)

    async def _run(self, run_id: str) -> api.Run:
        """Read a run, with what it waits for."""
        run = api.Run()
        run.CopyFrom((await self._run_record(run_id)).run)
        if run.phase == api.RUN_PHASE_RUNNING:
            await self._db.read(lambda view: put_waits(view, [run], tasks_looked_at=MAX_TASKS))
        return await self._named(run)

    async def _named(self, run: api.Run, names: Names | None = None) -> api.Run:
        """Return a run with names for its ids; `names`: those that were read already."""
        shown = api.Run()
        shown.CopyFrom(run)
        if names is not None and names.are_known(shown):
            names.put_in_runs([shown])
        else:
            await self._db.read(lambda view: Names(view).put_in_runs([shown]))
        return shown

    async def _groups(self, *texts: str) -> list[str]:
        """Return the groups that texts name: paths of projects are replaced by their ids."""
        caller = current_caller()

        def read(view: View) -> list[str]:
            return [group_named(view, text, visible=self._visible(view, caller)) for text in texts]

        try:
            return await self._db.read(read, after=_requested())
        except NotFound:
            # This server may be behind.
            return await self._db.read(read, after=await self._db.linearize())

    async def _run_record(self, run_id: str) -> RunRecord:
        try:
            record = await self._db.get(RUN, run_id, after=_requested())
        except NotFound as cause:
            raise no_run(run_id) from cause
        set_response_position(str(self._db.position))
        return record

    # --- and followed ---------------------------------------------------------------------------------------------

    async def WatchRun(self, request: pb.WatchRunRequest, context: object) -> AsyncIterator[pb.WatchRunResponse]:
        run_id = request.run_id
        await self._run_record(run_id)
        if request.after:
            after = _parse("after", request.after)
            is_over = await self._db.read(lambda view: watching.is_over(view, run_id, after), after=after)
        else:
            snapshot = await self._db.read(lambda view: watching.snapshot(view, run_id), after=_requested())
            yield snapshot
            after = Position.parse(snapshot.position)
            is_over = snapshot.run.phase in TERMINAL_PHASES
        if is_over:
            return
        async with aclosing(watching.subscription(self._db, after, run_topic(run_id))) as applied:
            async for each in applied:
                message = watching.changes(each, run_id)
                await self._db.read(lambda view, message=message: watching.put_names(view, message))  # type: ignore[misc]
                yield message
                if message.run.phase in TERMINAL_PHASES:
                    return

    async def WatchRuns(self, request: pb.WatchRunsRequest, context: object) -> AsyncIterator[pb.WatchRunsResponse]:
        found: list[Violation] = []
        caller = current_caller()
        request.group, request.group_prefix = await self._groups(request.group, request.group_prefix)
        group, prefix = group_filter(request.group, request.group_prefix, user_id=caller.id, found=found)
        if found:
            raise InvalidInput(found)
        topic = group_topic(group) if group else TOPIC_RUNS
        if request.after:
            after = _parse("after", request.after)
        else:
            after = await self._db.linearize()
            yield pb.WatchRunsResponse(position=str(after))
        async with aclosing(watching.subscription(self._db, after, topic)) as applied:
            async for each in applied:
                events = [
                    event
                    for event in watching.events(each)
                    if (not group or event.group == group) and (not prefix or groups.is_below(event.group, prefix))
                ]
                if events:
                    events = await self._visible_events(events, caller)
                if events:
                    yield pb.WatchRunsResponse(position=str(each.position), events=events)

    async def _visible_events(self, events: Sequence[api.RunEvent], caller: Caller) -> list[api.RunEvent]:
        """Return the events of the runs that a caller may see now."""

        def read(view: View) -> list[api.RunEvent]:
            visible = self._visible(view, caller)
            return [event for event in events if visible(groups.scope_of(event.group))]

        return await self._db.read(read)

    def _auditor(self) -> Auditor:
        return Auditor.of_call(self._ids.new_id())

    # --- and moved ------------------------------------------------------------------------------------------------

    async def StopRun(self, request: pb.StopRunRequest, context: object) -> pb.StopRunResponse:
        by = current_caller().id
        position = await self._engine.stop_run(
            request.run_id, by=by, force=request.force, request_id=request.request_id, audit=self._auditor()
        )
        set_response_position(str(position))
        return pb.StopRunResponse()

    async def CancelRun(self, request: pb.CancelRunRequest, context: object) -> pb.CancelRunResponse:
        by = current_caller().id
        position = await self._engine.cancel_run(
            request.run_id, by=by, request_id=request.request_id, audit=self._auditor()
        )
        set_response_position(str(position))
        return pb.CancelRunResponse()

    async def RestartRun(self, request: pb.RestartRunRequest, context: object) -> pb.RestartRunResponse:
        committed = await self._engine.restart_run(
            request.run_id,
            _restart_kind(request),
            by=current_caller().id,
            chosen=request.task_ids,
            hold_on_failure=_hold(request),
            inputs=request.inputs,
            request_id=request.request_id,
            audit=self._auditor(),
        )
        set_response_position(str(committed.position))
        return pb.RestartRunResponse(run=await self._named(committed.value.run))

    async def ApproveTask(self, request: pb.ApproveTaskRequest, context: object) -> pb.ApproveTaskResponse:
        position = await self._engine.approve_task(
            request.run_id,
            request.task_id,
            by=current_caller().id,
            is_owner=await self._is_owner(request.run_id),
            commit_sha=request.commit_sha,
            config_digest=request.config_digest,
            request_id=request.request_id,
            audit=self._auditor(),
        )
        set_response_position(str(position))
        return pb.ApproveTaskResponse()

    async def RejectTask(self, request: pb.RejectTaskRequest, context: object) -> pb.RejectTaskResponse:
        if request.comment and (fault := line_fault(request.comment, most=_MAX_COMMENT)) is not None:
            raise InvalidInput([Violation("comment", fault)])
        position = await self._engine.reject_task(
            request.run_id,
            request.task_id,
            by=current_caller().id,
            is_owner=await self._is_owner(request.run_id),
            comment=request.comment,
            request_id=request.request_id,
            audit=self._auditor(),
        )
        set_response_position(str(position))
        return pb.RejectTaskResponse()

    async def RetryTask(self, request: pb.RetryTaskRequest, context: object) -> pb.RetryTaskResponse:
        by, audit = current_caller().id, self._auditor()
        position = await self._engine.retry_task(
            request.run_id, request.task_id, by=by, request_id=request.request_id, audit=audit
        )
        set_response_position(str(position))
        return pb.RetryTaskResponse()

    # --- and explained --------------------------------------------------------------------------------------------

    async def ExplainRun(self, request: pb.ExplainRunRequest, context: object) -> pb.ExplainRunResponse:
        run_id = request.run_id
        await self._run_record(run_id)
        explained = await self._db.read(lambda view: self._explainer.explain_run(view, run_id))
        if explained is None:
            raise no_run(run_id)
        return pb.ExplainRunResponse(explanation=explained)

    async def GetRunHistory(self, request: pb.GetRunHistoryRequest, context: object) -> pb.GetRunHistoryResponse:
        at = None
        if request.HasField("at"):
            if found := list(time_faults("at", request.at)):
                raise InvalidInput(found)
            at = codec.read_time(request.at)
        await self._run_record(request.run_id)
        history = await self._db.read(lambda view: history_of(view, request.run_id, at), after=_requested())
        if history is None:
            raise no_run(request.run_id)
        return pb.GetRunHistoryResponse(history=history)

    async def ExplainTask(self, request: pb.ExplainTaskRequest, context: object) -> pb.ExplainTaskResponse:
        run_id, task = request.run_id, request.task_id
        await self._run_record(run_id)
        explained = await self._db.read(lambda view: self._explainer.explain_task(view, run_id, task))
        if explained is None:
            raise _no_task(run_id, task)
        return pb.ExplainTaskResponse(explanation=explained)

    async def _check_task(self, run_id: str, task: str) -> None:
        try:
            await self._db.get(TASK, task_id(run_id, task), after=_requested())
        except NotFound as cause:
            raise _no_task(run_id, task) from cause

    async def ReadLogs(self, request: pb.ReadLogsRequest, context: object) -> AsyncIterator[pb.ReadLogsResponse]:
        await self._check_task(request.run_id, request.task_id)
        async for response in self._logs.read(request):
            yield response

    async def GetLogIndex(self, request: pb.GetLogIndexRequest, context: object) -> pb.GetLogIndexResponse:
        await self._check_task(request.run_id, request.task_id)
        return pb.GetLogIndexResponse(index=await self._logs.index(request))

    async def SearchLogs(self, request: pb.SearchLogsRequest, context: object) -> AsyncIterator[pb.SearchLogsResponse]:
        await self._run_record(request.run_id)
        tasks = await self._db.read(lambda view: tasks_of(view, request.run_id), after=_requested())
        if request.task_id:
            tasks = [task for task in tasks if task.id == request.task_id]
            if not tasks:
                raise _no_task(request.run_id, request.task_id)
        async for response in self._logs.search(request, tasks):
            yield response

    async def FindLogError(self, request: pb.FindLogErrorRequest, context: object) -> pb.FindLogErrorResponse:
        await self._run_record(request.run_id)
        return pb.FindLogErrorResponse(excerpt=await self._logs.first_error(request))

    async def ListTests(self, request: pb.ListTestsRequest, context: object) -> pb.ListTestsResponse:
        await self._run_record(request.run_id)
        return await self._tests.list(request)

    async def ListArtifacts(self, request: pb.ListArtifactsRequest, context: object) -> pb.ListArtifactsResponse:
        await self._run_record(request.run_id)
        return pb.ListArtifactsResponse(artifacts=await self._artifacts.list(request.run_id))

    async def ReadArtifact(
        self, request: pb.ReadArtifactRequest, context: object
    ) -> AsyncIterator[pb.ReadArtifactResponse]:
        await self._run_record(request.run_id)
        async for response in self._artifacts.read(request):
            yield response

    async def DeleteLogs(self, request: pb.DeleteLogsRequest, context: object) -> pb.DeleteLogsResponse:
        await self._run_record(request.run_id)
        position = await self._deletion.delete(request.run_id, request.task_id, by=current_caller().id)
        set_response_position(str(position))
        return pb.DeleteLogsResponse()


# --- small things -------------------------------------------------------------------------------------------------


def _hold(request: pb.RestartRunRequest) -> timedelta | None:
    if not request.HasField("hold_on_failure"):
        return None
    found = list(hold_faults("hold_on_failure", request.hold_on_failure))
    if found:
        raise InvalidInput(found)
    return codec.read_duration(request.hold_on_failure)


def _restart_kind(request: pb.RestartRunRequest) -> RestartKind:
    wanted = {
        RestartKind.FROM_START: request.from_start,
        RestartKind.FROM_FAILED: request.from_failed,
        RestartKind.FROM_TASKS: bool(request.task_ids),
    }
    kinds = [kind for kind, is_wanted in wanted.items() if is_wanted]
    if len(kinds) != 1:
        message = "set exactly one of from_start, from_failed and task_ids"
        raise InvalidInput([Violation("from_start", message)], message=message)
    return kinds[0]


def _requested() -> Position | None:
    text = requested_position()
    return _parse("sluice-position", text) if text else None


def _parse(path: str, text: str) -> Position:
    try:
        return Position.parse(text.partition(":")[0])
    except ValueError as cause:
        raise InvalidInput([Violation(path, f"{text!r} is not a position")]) from cause


def _no_task(run_id: str, task: str) -> NotFound:
    return NotFound(f"run {run_id!r} has no task {task!r}", resource_type="task", resource_name=task)
