"""Turns notices of the log into commands to one executor.

The log says what should be. The server that has an executor's stream reads the notices to that executor
(`ports.AssignmentNotice`) and issues commands. The transaction that creates a run contains all that its first
assignments need, so that nothing is read for those. Nothing of this is stored: after a break, both sides settle.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import Exhausted, NotFound, SluicewayError, Unavailable
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_server.datamanager.model import Applied, Emit, Position, Put
from sluiceway_server.executors.commands import CommandBuffer
from sluiceway_server.executors.durability import DurableBarrier
from sluiceway_server.runrecords.enums import FINAL_PHASES
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.ports import AssignmentNotice, Specified
from sluiceway_server.runs.specifications import AssignmentFinal

log = structlog.get_logger(__name__)

_MAX_PENDING_NOTICES = 20_000

OnAssign = Callable[[str, str, pb.Assign], None]
"""Called with an executor's id, its session, and the assignment that is sent to it."""

OnPodsGone = Callable[[str, str], Awaitable[None]]
"""Called with the id of an executor, and the vanished session whose pods it has removed."""


@dataclass(frozen=True, slots=True)
class _PendingNotice:
    kind: str
    assignment: records.AssignmentRecord
    position: Position
    specified: Specified | None


@dataclass(slots=True, eq=False)
class Deliverer:
    """Issues the commands of one stream.

    Attributes:
        background: runs what waits for the object storage, until the stream ends.
        record_use: stores in the executor's record that the object storage knows that it may hold assignments; called
            once, before its first one is sent. None: that is stored already.
        on_assign: called for each assignment that is sent.
        on_pods_gone: called when the executor has removed the pods of a vanished session, or cannot.
    """

    executor_id: str
    session_id: str
    engine: Engine
    commands: CommandBuffer
    barrier: DurableBarrier
    background: Callable[[Awaitable[None]], None]
    record_use: Callable[[], Awaitable[None]] | None = None
    on_assign: OnAssign | None = None
    on_pods_gone: OnPodsGone | None = None
    _notices: deque[_PendingNotice] = field(default_factory=deque)
    _has_notices: asyncio.Event = field(default_factory=asyncio.Event)

    def accept(self, notice: Emit, applied: Applied) -> None:
        """Queue a notice of the log to this executor for `run`; `applied` is its transaction. Ignore other notices.

        This never waits: the database cuts off a subscriber that is held up by reads of records.

        Raises:
            Exhausted: too many notices are queued.
        """
        match notice.kind:
            case AssignmentNotice.ASSIGNED | AssignmentNotice.STOP | AssignmentNotice.END_HOLD:
                if len(self._notices) >= _MAX_PENDING_NOTICES:
                    raise Exhausted(f"{_MAX_PENDING_NOTICES} notices to the executor {self.executor_id} wait")
                assignment = _stored_by(applied, notice.body.decode())
                specified = _specified_by(applied, assignment) if notice.kind == AssignmentNotice.ASSIGNED else None
                self._notices.append(_PendingNotice(notice.kind, assignment, applied.position, specified))
                self._has_notices.set()
            case AssignmentNotice.SHELL:
                self.commands.pass_on(pb.ConnectResponse(open_shell=pb.OpenShell.FromString(notice.body)))
            case AssignmentNotice.ENDED:
                # A final assignment does not change any more, so that the transaction has all of it: nothing is read.
                self.end(_stored_by(applied, notice.body.decode()))

    async def run(self) -> None:
        """Issue commands for the queued notices, in the order of the log, until cancelled.

        Raises:
            SluicewayError: the records for a command could not be read; end the stream, so that both sides settle.
        """
        while True:
            await self._has_notices.wait()
            self._has_notices.clear()
            while self._notices:
                notice = self._notices.popleft()
                if notice.kind == AssignmentNotice.ASSIGNED:
                    await self.assign(notice.assignment, notice.position, notice.specified)
                elif notice.kind == AssignmentNotice.STOP:
                    self.stop(await self.engine.assignment(notice.assignment.id, after=notice.position))
                else:
                    self.end_hold(notice.assignment)

    async def assign(
        self, assignment: records.AssignmentRecord, position: Position, specified: Specified | None = None
    ) -> None:
        """Send an assignment, if it still is to be run, and belongs to this session.

        Args:
            assignment: as it was stored at `position`. If it was stopped or ended since, a notice follows.
            position: reads are at least as new.
            specified: the records that the specification is built of; None: they are read.
        """
        if assignment.session_id != self.session_id or assignment.phase != pb.ASSIGNMENT_PHASE_ASSIGNED:
            return
        try:
            specification = await self.engine.specifications.build(assignment.id, after=position, specified=specified)
        except AssignmentFinal:
            return
        except Unavailable:
            raise
        except SluicewayError as error:
            log.warning("specification_not_built", assignment=assignment.id, error=str(error))
            await self._fail(assignment, error)
            return
        if self.record_use is not None:
            # A recovered database must know that this executor may hold something (`recovery_hold`).
            await self.barrier.wait()
            await self.record_use()
            self.record_use = None
        assign = pb.Assign(assignment_id=assignment.id, epoch=assignment.epoch, specification=specification)
        if self.on_assign is not None:
            self.on_assign(self.executor_id, self.session_id, assign)
        self.commands.issue(assign)
        if assignment.HasField("stop_requested"):
            self.stop(assignment)

    async def _fail(self, assignment: records.AssignmentRecord, error: SluicewayError) -> None:
        """Report an attempt that cannot be specified as failed in its setup, like one whose image does not exist."""
        update = pb.AssignmentUpdate(
            assignment_id=assignment.id,
            epoch=assignment.epoch,
            phase=pb.ASSIGNMENT_PHASE_FAILED,
            cause=definition_pb2.RETRY_CAUSE_SETUP,
            reason=run_pb2.Reason(code="SETUP_FAILED", message=str(error)),
        )
        await self.engine.report(self.executor_id, self.session_id, [update])

    def stop(self, assignment: records.AssignmentRecord) -> None:
        """Stop an attempt, if it is not over and belongs to this session."""
        if assignment.session_id == self.session_id and assignment.phase not in FINAL_PHASES:
            command = pb.Stop(assignment_id=assignment.id, epoch=assignment.epoch, force=assignment.stop_forced)
            if assignment.HasField("stop_reason"):
                command.reason.CopyFrom(assignment.stop_reason)
            self.commands.issue(command)

    def end_hold(self, assignment: records.AssignmentRecord) -> None:
        """End the hold of an attempt as it was ordered, if the attempt is not over and belongs to this session.

        The executor ignores the order for a hold that is over.
        """
        if assignment.session_id == self.session_id and assignment.phase not in FINAL_PHASES:
            order = assignment.hold_order
            self.commands.issue(
                pb.EndHold(
                    assignment_id=assignment.id,
                    epoch=assignment.epoch,
                    hold=order.hold,
                    action=order.action,
                    by=order.by,
                )
            )

    def end(self, assignment: records.AssignmentRecord) -> None:
        """Release an attempt that is over; discard it if the executor did not end it."""
        if assignment.phase == pb.ASSIGNMENT_PHASE_LOST:
            self.discard(assignment.id, assignment.epoch)
        elif assignment.phase in FINAL_PHASES:
            self.release(assignment.id)

    def discard(self, assignment_id: str, epoch: pb.Epoch) -> None:
        """Stop and remove an attempt whose outcome is not used."""
        self.commands.issue(pb.Stop(assignment_id=assignment_id, epoch=epoch, force=True, discard=True))

    def clean(self, command: pb.Clean) -> None:
        """Have the executor remove the pods of a vanished session of a sibling."""
        self.commands.issue(pb.Clean(session_id=command.session_id, executor_id=command.executor_id))

    def release(self, assignment_id: str) -> None:
        """Release an attempt as soon as its end is in the object storage."""
        self.background(self._release(assignment_id))

    async def _release(self, assignment_id: str) -> None:
        await self.barrier.wait()
        self.commands.issue(pb.Release(assignment_id=assignment_id))

    async def acknowledge(self, acknowledgement: pb.CommandAcknowledgement) -> None:
        """Remove a command that was acknowledged; end the attempt as lost if an assignment was refused. Idempotent."""
        message = self.commands.acknowledge(acknowledgement.number)
        if message is None or not acknowledgement.HasField("refused"):
            return
        refused = acknowledgement.refused
        log.warning("command_refused", executor=self.executor_id, number=acknowledgement.number, reason=refused.message)
        if message.HasField("assign"):
            # It never started there, and never will: its fate is known, and the task may go elsewhere (R14).
            reason = Reason(refused.code or ReasonCode.NOT_KNOWN_TO_EXECUTOR, refused.message)
            await self.engine.mark_lost([message.assign.assignment_id], reason, session_id=self.session_id)
        elif message.HasField("clean") and self.on_pods_gone is not None:
            # It tried, and will not try again: the tasks need not wait for it.
            await self.on_pods_gone(self.executor_id, message.clean.session_id)


def _specified_by(applied: Applied, assignment: records.AssignmentRecord) -> Specified | None:
    """Return the records for a specification if a transaction stores all of them, as creations do; else None."""
    run: records.RunRecord | None = None
    task: records.TaskRecord | None = None
    config: records.RunConfigRecord | None = None
    for action in applied.actions:
        match action:
            case Put(id=id_, message=records.RunRecord() as message) if id_ == assignment.run_id:
                run = message
            case Put(id=id_, message=records.RunConfigRecord() as message) if id_ == assignment.run_id:
                config = message
            case Put(message=records.TaskRecord() as message) if message.task.id == assignment.task_id:
                task = message
    return (run, task, config) if run is not None and task is not None and config is not None else None


def _stored_by(applied: Applied, assignment_id: str) -> records.AssignmentRecord:
    for action in applied.actions:
        match action:
            case Put(id=id_, message=records.AssignmentRecord() as message) if id_ == assignment_id:
                return message
    raise NotFound(f"the transaction {applied.position} does not store the assignment {assignment_id}")
