"""The servicer of `HoldService`: shells in the pods of tasks, and the end of holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import hold_service_pb2 as pb
from sluiceway.api.run.v1 import hold_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound, SluicewayError, Unavailable
from sluiceway_common.foundation.rpc.caller import current_caller, requested_position, set_response_position
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runmodel.model import HoldAction
from sluiceway_server.datamanager.model import Action, Decision, Emit, Position, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.executors.shells import NoPod, Shell, Shells
from sluiceway_server.projects.auditing import Auditor
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, TASK, executor_topic, task_id
from sluiceway_server.runs.audit_subject import audit_subject
from sluiceway_server.runs.engine import Engine, no_run
from sluiceway_server.runs.ports import AssignmentNotice

__all__ = ["HoldServicer"]

log = structlog.get_logger(__name__)

_MAX_TYPED_BYTES = 64 * 1024
_RECORD_SECONDS = 10.0


class ForkRefused(FailedPrecondition):
    """The run is of a fork, whose tasks nobody may enter."""

    reason = "FORK"


class HoldServicer(pb_grpc.HoldServiceServicer):
    """Implements `HoldService`. Rights on the run are checked by the interceptor."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        shells: Shells,
        *,
        is_connected: Callable[[str], bool],
        clock: Clock,
        ids: IdSource,
    ) -> None:
        """Offer holds. `is_connected` says whether an executor has a stream to any server."""
        self._is_connected = is_connected
        self._database = database
        self._engine = engine
        self._shells = shells
        self._clock = clock
        self._ids = ids

    async def ContinueTask(self, request: pb.ContinueTaskRequest, context: object) -> pb.ContinueTaskResponse:
        is_next = request.from_step == pb.CONTINUE_FROM_NEXT
        action = HoldAction.RUN_NEXT_STEP if is_next else HoldAction.RUN_FAILED_STEP
        await self._end_hold(request.run_id, request.task_id, action, request.hold)
        return pb.ContinueTaskResponse()

    async def ReleaseTask(self, request: pb.ReleaseTaskRequest, context: object) -> pb.ReleaseTaskResponse:
        await self._end_hold(request.run_id, request.task_id, HoldAction.RELEASE, request.hold)
        return pb.ReleaseTaskResponse()

    async def _end_hold(self, run_id: str, task: str, action: HoldAction, hold: int) -> None:
        by, audit = current_caller().id, Auditor.of_call(self._ids.new_id())
        position = await self._engine.end_hold(run_id, task, action, by=by, hold=hold, audit=audit)
        set_response_position(str(position))

    async def OpenShell(
        self, request_iterator: AsyncIterator[pb.OpenShellRequest], context: object
    ) -> AsyncIterator[pb.OpenShellResponse]:
        first = await anext(request_iterator, None)
        if first is None or not (first.run_id and first.task_id):
            raise InvalidInput("the first message must name a run and a task")
        run, assignment = await self._read(first.run_id, first.task_id)
        if not self._is_connected(assignment.executor_id):
            raise Unavailable(f"the executor {assignment.executor_id} is not connected now", reason="EXECUTOR_AWAY")
        opened, step, how = self._clock.monotonic(), "", "did not start"

        async def notify(shell_id: str) -> None:
            wanted = executor_api.OpenShell(
                shell_id=shell_id, assignment_id=assignment.id, epoch=assignment.epoch, size=first.size, term=first.term
            )
            notice = Emit(AssignmentNotice.SHELL, (executor_topic(assignment.executor_id),), wanted.SerializeToString())
            await self._record(run, "OpenShell", [f"task {first.task_id}"], notice)

        try:
            async with self._shells.open(assignment.executor_id, assignment.id, notify) as shell:
                step, how = shell.step, "the connection was lost"
                typing = asyncio.create_task(_type(request_iterator, shell), name="typed into a shell")
                try:
                    yield pb.OpenShellResponse(step=step)
                    async for message in shell.output():
                        if message.HasField("end"):
                            how = message.end.message or f"exit status {message.end.exit_status}"
                        yield pb.OpenShellResponse(
                            data=message.data, end=message.end if message.HasField("end") else None
                        )
                finally:
                    typing.cancel()
        finally:
            lasted = f"was open for {self._clock.monotonic() - opened:.0f} s"
            details = [f"task {first.task_id}", lasted, how, *([f'environment of step "{step}"'] if step else [])]
            # Also when the call was cancelled, since the person has left.
            await asyncio.shield(asyncio.ensure_future(self._record_end(run, details)))

    async def _read(self, run_id: str, task: str) -> tuple[records.RunRecord, records.AssignmentRecord]:
        def read(view: View) -> tuple[records.RunRecord | None, records.TaskRecord | None]:
            return view.get(RUN, run_id), view.get(TASK, task_id(run_id, task))

        seen = requested_position()
        run, found = await self._database.read(read, after=Position.parse(seen) if seen else None)
        if run is None:
            raise no_run(run_id)
        if found is None:
            raise NotFound(f"run {run_id} has no task {task}", resource_type="task", resource_name=task)
        if run.from_fork:
            raise ForkRefused("the run is of a fork; nobody may enter its tasks", subject=run_id)
        if found.task.status != run_pb2.TASK_STATUS_RUNNING or not found.task.assignment_id:
            raise NoPod(f'task "{found.task.name}" is not running, so it has no pod', subject=found.task.name)
        return run, await self._database.get(ASSIGNMENT, found.task.assignment_id)

    async def _record(self, run: records.RunRecord, method: str, details: Sequence[str], *more: Action) -> None:
        auditor = Auditor.of_call(self._ids.new_id(), method)
        subject = audit_subject(codec.decode_run(run), *details)

        def decide(view: View) -> Decision[None]:
            return Decision(None, [*more, auditor.record(view, subject, self._clock.now())])

        async with time_limit(_RECORD_SECONDS):
            await self._database.transact(decide)

    async def _record_end(self, run: records.RunRecord, details: Sequence[str]) -> None:
        try:
            await self._record(run, "CloseShell", details)
        except (SluicewayError, TimeoutError):
            log.exception("audit_record_not_written", method="CloseShell", run=run.run.id, details=details)


async def _type(requests: AsyncIterator[pb.OpenShellRequest], shell: Shell) -> None:
    """Send what a person types to a shell, until the person's side ends."""
    async for request in requests:
        if len(request.data) > _MAX_TYPED_BYTES:
            log.info("shell_input_cut", bytes=len(request.data))
        await shell.type(request.data[:_MAX_TYPED_BYTES], request.size if request.HasField("size") else None)
