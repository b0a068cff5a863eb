"""What an executor is told: numbered commands, sent again until they are acknowledged.

The log says what should be; the server that holds an executor's stream reads the notices to that executor there
(`ports.AssignmentNotice`) and tells it. What the transaction of a notice says of a new run is not read again. Nothing
of this is stored: after a break settling finds out again what has to be told.

A command's number begins with the log's position of the hello. So numbers count up through one session, whichever
servers its streams were on, and nobody has to keep a counter.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import Exhausted, NotFound, SluicewayError, Unavailable
from sluiceway_common.runmodel.model import Reason, ReasonCode
from sluiceway_server.datamanager.model import Applied, Decision, Emit, Position, Put
from sluiceway_server.datamanager.port import Database
from sluiceway_server.runrecords.enums import FINAL_PHASES
from sluiceway_server.runs.engine import AssignmentFinal
from sluiceway_server.runs.ports import AssignmentNotice, Specified, UpdateOutcome

__all__ = ["Commands", "Deliverer", "DurableBarrier", "ExecutorEngine", "Sent", "first_number"]

log = structlog.get_logger(__name__)

_MOST_PENDING = 20_000
_MOST_HEEDED = 20_000

Command = pb.Assign | pb.Stop | pb.Release | pb.Clean

Sent = Callable[[str, str, pb.Assign], None]
"""Hears that an assignment is sent to an executor: its id, its session, and the command."""


class ExecutorEngine(Protocol):
    """What streams ask of the engine (`engine.Engine`)."""

    async def report(
        self, executor_id: str, session_id: str, said: list[pb.AssignmentUpdate]
    ) -> tuple[UpdateOutcome, ...]:
        """Take in updates; one outcome for each."""
        ...

    async def mark_lost(self, assignment_ids: list[str], reason: Reason, *, session_id: str | None = None) -> Position:
        """End attempts as lost."""
        ...

    async def adopt(self, executor_id: str, session_id: str, held: pb.HeldAssignment) -> bool:
        """Store again what the database lost; False when it cannot be."""
        ...

    async def live_assignments(
        self, executor_id: str, *, after: Position | None = None
    ) -> tuple[records.AssignmentRecord, ...]:
        """The assignments of an executor that are not final."""
        ...

    async def assignment(self, assignment_id: str, *, after: Position | None = None) -> records.AssignmentRecord:
        """An assignment. Raises `NotFound`."""
        ...

    async def specification(
        self, assignment_id: str, *, after: Position | None = None, said: Specified | None = None
    ) -> pb.Specification:
        """Build what its executor needs to run it; nothing is read when the log `said` all of it."""
        ...


def first_number(hello: Position) -> int:
    """The number before the first command of a stream, from the position of its hello.

    10 bits of epoch, 43 of counter, 10 for the commands between: a command follows from an entry of the log, so later
    hellos always find a higher number.
    """
    return ((hello.sequence.epoch & 0x3FF) << 53) | ((hello.sequence.counter & ((1 << 43) - 1)) << 10)


class Commands:
    """The commands of one stream that are on their way. `send` puts a message in the stream, without waiting."""

    def __init__(
        self,
        send: Callable[[pb.ConnectResponse], None],
        clock: Clock,
        *,
        hello: Position,
        again_after: timedelta = timedelta(seconds=15),
    ) -> None:
        self._send = send
        self._clock = clock
        self._number = first_number(hello)
        self._again_after = again_after.total_seconds()
        self._pending: dict[int, tuple[pb.ConnectResponse, float]] = {}

    @property
    def pending(self) -> int:
        """How many are not acknowledged."""
        return len(self._pending)

    def issue(self, command: Command) -> int:
        """Number a command, send it and remember it; answers the number.

        Raises:
            Exhausted: the executor acknowledges nothing.
        """
        if len(self._pending) >= _MOST_PENDING:
            raise Exhausted(f"{_MOST_PENDING} commands are not acknowledged; connect again")
        self._number += 1
        command.number = self._number
        match command:
            case pb.Assign():
                message = pb.ConnectResponse(assign=command)
            case pb.Stop():
                message = pb.ConnectResponse(stop=command)
            case pb.Release():
                message = pb.ConnectResponse(release=command)
            case _:
                message = pb.ConnectResponse(clean=command)
        self._pending[self._number] = (message, self._clock.monotonic())
        self._send(message)
        return self._number

    def acknowledge(self, number: int) -> pb.ConnectResponse | None:
        """Forget a command that arrived; answers it, the first time."""
        pending = self._pending.pop(number, None)
        return None if pending is None else pending[0]

    def send_again(self) -> int:
        """Send what has waited too long for its acknowledgement; answers how many."""
        now = self._clock.monotonic()
        due = [number for number, (_, sent) in self._pending.items() if now - sent >= self._again_after]
        for number in due:
            message, _ = self._pending[number]
            self._pending[number] = (message, now)
            self._send(message)
        return len(due)


class DurableBarrier:
    """Waits until all that was committed is in the object storage, once for all who wait at a time.

    What leaves the system waits for this: an executor that was told to let its data go cannot bring it back.
    """

    def __init__(self, database: Database, *, pause: timedelta = timedelta(seconds=1)) -> None:
        self._database = database
        self._pause = pause.total_seconds()
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()

    async def wait(self) -> None:
        """Return when everything that is committed by now is durable. Takes as long as the storage is away."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake.set()
        await future

    async def run(self) -> None:
        """Serve those who wait, until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                served, self._waiting = self._waiting, []
                await self._reach()
                for future in served:
                    if not future.done():
                        future.set_result(None)
        finally:
            for future in self._waiting:
                future.cancel()

    async def _reach(self) -> None:
        while True:
            try:
                # Nothing is written: the answer's position is the last one, and it is waited for.
                await self._database.transact(lambda view: Decision(None), durable=True)
            except SluicewayError as error:
                log.warning("not_durable_yet", error=str(error))
                await asyncio.sleep(self._pause)
            else:
                return


@dataclass(frozen=True, slots=True)
class _Heeded:
    kind: str
    assignment: records.AssignmentRecord
    position: Position
    said: Specified | None


@dataclass(slots=True, eq=False)
class Deliverer:
    """Tells one executor, through the commands of its stream, what the log says.

    Attributes:
        note_use: notes in the executor's record that the object storage knows that it may hold assignments; called
            once, before its first one is sent. None: that was noted before.
        sent: hears of each assignment that is sent.
    """

    executor_id: str
    session_id: str
    engine: ExecutorEngine
    commands: Commands
    barrier: DurableBarrier
    background: Callable[[Awaitable[None]], None]
    note_use: Callable[[], Awaitable[None]] | None = None
    sent: Sent | None = None
    _heeded: deque[_Heeded] = field(default_factory=deque)
    _has_heeded: asyncio.Event = field(default_factory=asyncio.Event)

    def heed(self, notice: Emit, applied: Applied) -> None:
        """Take a notice of the log to this executor, `applied` with it; others are passed over.

        Waits for nothing: who reads the log must not be held up by reads of records, or it is cut off. `deliver` does
        the rest.

        Raises:
            Exhausted: too many notices wait.
        """
        match notice.kind:
            case AssignmentNotice.ASSIGNED | AssignmentNotice.STOP:
                if len(self._heeded) >= _MOST_HEEDED:
                    raise Exhausted(f"{_MOST_HEEDED} notices to the executor {self.executor_id} wait")
                assignment = _put_by(applied, notice.body.decode())
                said = _specified_by(applied, assignment) if notice.kind == AssignmentNotice.ASSIGNED else None
                self._heeded.append(_Heeded(notice.kind, assignment, applied.position, said))
                self._has_heeded.set()
            case AssignmentNotice.ENDED:
                # What is over stays as it is, so the transaction itself says it: nothing is read.
                self.end(_put_by(applied, notice.body.decode()))

    async def deliver(self) -> None:
        """Tell the executor what was heeded, in the order of the log, until cancelled.

        Raises:
            SluicewayError: it could not be read what to tell; end the stream, and settle anew.
        """
        while True:
            await self._has_heeded.wait()
            self._has_heeded.clear()
            while self._heeded:
                heeded = self._heeded.popleft()
                if heeded.kind == AssignmentNotice.ASSIGNED:
                    await self.assign(heeded.assignment, heeded.position, heeded.said)
                else:
                    self.stop(await self.engine.assignment(heeded.assignment.id, after=heeded.position))

    async def assign(
        self, assignment: records.AssignmentRecord, position: Position, said: Specified | None = None
    ) -> None:
        """Send an assignment, if it still is to be run, and is this session's.

        Args:
            assignment: as it was stored at `position`. When it was told to stop or ended since, a notice follows.
            position: what is read is at least as new.
            said: what the specification is built of, if the log said all of it; else it is read.
        """
        if assignment.session_id != self.session_id or assignment.phase != pb.ASSIGNMENT_PHASE_ASSIGNED:
            return
        try:
            specification = await self.engine.specification(assignment.id, after=position, said=said)
        except AssignmentFinal:
            return
        except Unavailable:
            raise
        except SluicewayError as error:
            log.warning("specification_not_built", assignment=assignment.id, error=str(error))
            await self._fail(assignment, error)
            return
        if self.note_use is not None:
            # A recovered database must know that this executor may hold something (`holding`).
            await self.barrier.wait()
            await self.note_use()
            self.note_use = None
        assign = pb.Assign(assignment_id=assignment.id, epoch=assignment.epoch, specification=specification)
        if self.sent is not None:
            self.sent(self.executor_id, self.session_id, assign)
        self.commands.issue(assign)
        if assignment.HasField("stop_requested"):
            self.stop(assignment)

    async def _fail(self, assignment: records.AssignmentRecord, error: SluicewayError) -> None:
        """An attempt that cannot be specified fails in its setup, as one whose image is not there does."""
        update = pb.AssignmentUpdate(
            assignment_id=assignment.id,
            epoch=assignment.epoch,
            phase=pb.ASSIGNMENT_PHASE_FAILED,
            reason=run_pb2.Reason(code="SETUP_FAILED", message=str(error)),
        )
        await self.engine.report(self.executor_id, self.session_id, [update])

    def stop(self, assignment: records.AssignmentRecord) -> None:
        """Tell it to end an attempt, if that is not over."""
        if assignment.session_id == self.session_id and assignment.phase not in FINAL_PHASES:
            command = pb.Stop(assignment_id=assignment.id, epoch=assignment.epoch, force=assignment.stop_forced)
            if assignment.HasField("stop_reason"):
                command.reason.CopyFrom(assignment.stop_reason)
            self.commands.issue(command)

    def end(self, assignment: records.AssignmentRecord) -> None:
        """Tell it that an attempt is over: to let it go, once that is durable, or to remove what it has of it."""
        if assignment.phase == pb.ASSIGNMENT_PHASE_LOST:
            self.discard(assignment.id, assignment.epoch)
        elif assignment.phase in FINAL_PHASES:
            self.background(self._release(assignment.id))

    def discard(self, assignment_id: str, epoch: pb.Epoch) -> None:
        """Tell it to stop and remove an attempt whose outcome nobody wants."""
        self.commands.issue(pb.Stop(assignment_id=assignment_id, epoch=epoch, force=True, discard=True))

    def release(self, assignment_id: str) -> None:
        """Tell it to let go of an attempt, once that is durable."""
        self.background(self._release(assignment_id))

    async def _release(self, assignment_id: str) -> None:
        await self.barrier.wait()
        self.commands.issue(pb.Release(assignment_id=assignment_id))

    async def acknowledged(self, said: pb.CommandAcknowledgement) -> None:
        """Hear that a command arrived, or why it could not be done. Again: nothing."""
        message = self.commands.acknowledge(said.number)
        if message is None or not said.HasField("refused"):
            return
        log.warning("command_refused", executor=self.executor_id, number=said.number, why=said.refused.message)
        if message.HasField("assign"):
            # It never started there, and never will: its fate is known, and the task may go elsewhere (R14).
            reason = Reason(said.refused.code or ReasonCode.NOT_KNOWN_TO_EXECUTOR, said.refused.message)
            await self.engine.mark_lost([message.assign.assignment_id], reason, session_id=self.session_id)


def _specified_by(applied: Applied, assignment: records.AssignmentRecord) -> Specified | None:
    """Return what a transaction says for a specification; None when it does not say all, as most but creations."""
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


def _put_by(applied: Applied, assignment_id: str) -> records.AssignmentRecord:
    for action in applied.actions:
        if (
            isinstance(action, Put)
            and action.id == assignment_id
            and isinstance(action.message, records.AssignmentRecord)
        ):
            return action.message
    raise NotFound(f"the transaction {applied.position} does not say what became of assignment {assignment_id}")


async def assignments_of(
    engine: ExecutorEngine, executor_id: str, held: Iterable[str], position: Position
) -> tuple[records.AssignmentRecord, ...]:
    """Read what the server has of an executor: what is not final, and whatever else it holds."""
    live = await engine.live_assignments(executor_id, after=position)
    named = {assignment.id for assignment in live}
    found = list(live)
    for assignment_id in dict.fromkeys(held):
        if assignment_id not in named:
            try:
                assignment = await engine.assignment(assignment_id, after=position)
            except NotFound:
                continue
            # Another executor's is not to be found out, and not this one's to hold.
            if assignment.executor_id == executor_id:
                found.append(assignment)
    return tuple(found)
