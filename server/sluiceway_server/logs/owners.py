"""Finds which log an executor may write: that of a step of an assignment of its session."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound, Unavailable
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR, SETUP_STEP, TASK, task_id

_MAX_REMEMBERED = 10_000


class LogOwners(Protocol):
    """Finds logs by assignments."""

    async def key_of(self, executor_id: str, session_id: str, assignment_id: str, step: int) -> LogKey:
        """Return the key of the log of a step of an assignment of this session.

        Raises:
            NotFound: there is no such assignment or step.
            FailedPrecondition: the assignment belongs to another session.
            Unavailable: the executor has not settled in this epoch of the database.
        """
        ...


@dataclass(frozen=True, slots=True)
class _LogOwner:
    executor_id: str
    session_id: str
    run_id: str
    task_id: str
    task_name: str
    epoch: Epoch
    steps: int


class StoredLogOwners:
    """`LogOwners` from the database.

    The session of an assignment never changes in an epoch of the database, so it is remembered: of assignments that
    this server sent to their executors (`on_assign`), and of those that it read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[int, str], _LogOwner] = OrderedDict()

    def on_assign(self, executor_id: str, session_id: str, assign: pb.Assign) -> None:
        """Remember an assignment that is sent to its executor."""
        specification = assign.specification
        epoch = Epoch(assign.epoch.database, assign.epoch.attempt)
        owner = _LogOwner(
            executor_id,
            session_id,
            specification.run_id,
            specification.task_id,
            specification.task_name,
            epoch,
            steps=len(specification.steps),
        )
        self._remember(assign.assignment_id, owner)

    async def key_of(self, executor_id: str, session_id: str, assignment_id: str, step: int) -> LogKey:
        owner = self._known.get((self._database.epoch, assignment_id))
        if owner is None:
            owner = await self._read(executor_id, assignment_id)
            self._remember(assignment_id, owner)
        if (owner.executor_id, owner.session_id) != (executor_id, session_id):
            raise FailedPrecondition(
                f"the assignment {assignment_id} is not of this session", reason="STALE_SESSION", subject=assignment_id
            )
        if step != SETUP_STEP and not 0 <= step < owner.steps:
            raise NotFound(f"the task {owner.task_name} has no step {step}", reason="STEP_UNKNOWN")
        return LogKey(owner.run_id, owner.task_id, owner.epoch, step)

    async def _read(self, executor_id: str, assignment_id: str) -> _LogOwner:
        try:
            assignment = await self._database.get(ASSIGNMENT, assignment_id)
        except NotFound as error:
            if await self._database.read(lambda view: _has_settled(view, executor_id)):
                raise
            # The database may have lost it with its last moments: then the executor is about to report it.
            raise Unavailable(
                f"the executor {executor_id} has not settled yet; push again", reason="NOT_SETTLED"
            ) from error
        task = (await self._database.get(TASK, task_id(assignment.run_id, assignment.task_id))).task
        return _LogOwner(
            assignment.executor_id,
            assignment.session_id,
            assignment.run_id,
            assignment.task_id,
            task.name,
            Epoch(assignment.epoch.database, assignment.epoch.attempt),
            steps=len(task.steps),
        )

    def _remember(self, assignment_id: str, owner: _LogOwner) -> None:
        self._known[self._database.epoch, assignment_id] = owner
        if len(self._known) > _MAX_REMEMBERED:
            self._known.popitem(last=False)


def _has_settled(view: View, executor_id: str) -> bool:
    record = view.get(EXECUTOR, executor_id)
    return record is not None and record.settled_epoch == view.position.sequence.epoch
