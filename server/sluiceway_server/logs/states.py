"""Finds which log a reader asks for, and whether more of it may come: from the records of tasks and assignments."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.run.v1 import run_pb2
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.datamanager.model import Position, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.runrecords.enums import STATUSES
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, SETUP_STEP, TASK, run_of_row, run_topic, task_id

_FINISHED = frozenset(stored for status, stored in STATUSES.items() if status.is_finished)
_STEP_FINAL = frozenset(
    {
        run_pb2.STEP_PHASE_SUCCESS,
        run_pb2.STEP_PHASE_FAILED,
        run_pb2.STEP_PHASE_STOPPED,
        run_pb2.STEP_PHASE_SKIPPED,
    }
)


@dataclass(frozen=True, slots=True)
class LogState:
    """What the database knows of a log.

    Attributes:
        key: its identity.
        is_over: the attempt is over: what is not stored by now never will be.
        size: of the whole log, as the executor reported when the step ended; None: it did not.
        title: its name in messages.
        may_be_empty: False: the step ran, and no size was reported.
        deleted: by whom or why and when it was deleted, for people; empty: it was not.
    """

    key: LogKey
    is_over: bool
    size: int | None
    title: str = "the log"
    may_be_empty: bool = True
    deleted: str = ""


class LogStates(Protocol):
    """Finds logs by runs, tasks, attempts and steps."""

    async def find(self, run_id: str, task: str, *, attempt: int, step: int, fresh: bool = False) -> LogState:
        """Return the state of a log; attempt 0 is the latest, `SETUP_STEP` the setup. Raises `NotFound`.

        `fresh`: read linearizably.
        """
        ...

    @property
    def position(self) -> Position:
        """The position that `find` reads at, or an earlier one."""
        ...

    async def changed(self, run_id: str, *, since: Position) -> None:
        """Return when a run has changed after a position.

        Raises:
            OutOfRange, Exhausted, Unavailable: changes cannot be followed now; call `find` again later.
        """
        ...


class StoredLogStates:
    """`LogStates` from the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, run_id: str, task: str, *, attempt: int, step: int, fresh: bool = False) -> LogState:
        if fresh:
            await self._database.linearize()
        record = await self._database.get(TASK, task_id(run_id, task))
        found = record.task
        # A task without an attempt will have a first one, whose log can be followed already.
        latest = max(1, found.attempt)
        if not 0 <= attempt <= latest:
            raise NotFound(
                f"the task {found.name} has no attempt {attempt}; its latest is {latest}",
                resource_type="attempt",
                resource_name=f"{task}/{attempt}",
            )
        attempt = attempt or latest
        if step != SETUP_STEP and not 0 <= step < len(found.steps):
            raise NotFound(
                f"the task {found.name} has no step {step}; it has {len(found.steps)}",
                resource_type="step",
                resource_name=f"{task}/{step}",
            )
        assignment, shown = await self._attempt(found, attempt, step)
        is_over = (
            attempt < latest
            or found.status in _FINISHED
            # It waits for a retry.
            or (found.status == run_pb2.TASK_STATUS_NOT_STARTED and found.attempt > 0)
        )
        # A future attempt will be of the present epoch of the database.
        epoch = Epoch(self._database.epoch if assignment is None else assignment.epoch.database, attempt)
        # A step whose executor was lost has a final phase too, but neither a digest nor a size. One whose executor was
        # restarted while it ran may have no digest.
        is_reported = shown.phase in _STEP_FINAL and bool(shown.log_sha256 or shown.log_size_bytes)
        name = "the setup" if step == SETUP_STEP else f'step "{shown.name}"'
        return LogState(
            LogKey(record.kept_from or run_id, found.id, epoch, step),
            is_over,
            shown.log_size_bytes if is_reported else None,
            title=f'the log of {name} of task "{found.name}" (attempt {attempt})',
            may_be_empty=is_reported or not shown.HasField("start_time"),
            deleted=await self._why_deleted(record, record.kept_from or run_id),
        )

    @property
    def position(self) -> Position:
        return self._database.position

    async def changed(self, run_id: str, *, since: Position) -> None:
        async with aclosing(self._database.subscribe(after=since, topics=[run_topic(run_id)])) as changes:
            await anext(changes)

    async def _why_deleted(self, record: pb.TaskRecord, ran_in: str) -> str:
        task = record.task
        if task.HasField("logs_delete_time"):
            return f"by {task.logs_deleted_by} on {_moment(task.logs_delete_time)}"
        if task.status not in _FINISHED:
            return ""
        fields = await self._database.read(lambda view: view.fields(RUN, ran_in))
        if fields is None:
            return "with its run, as old runs are" if record.kept_from else ""
        run = run_of_row(ran_in, fields)
        if not run.HasField("logs_delete_time"):
            return ""
        return f"on {_moment(run.logs_delete_time)}: it was older than logs are kept"

    async def _attempt(
        self, task: run_pb2.Task, attempt: int, step: int
    ) -> tuple[pb.AssignmentRecord | None, run_pb2.Step]:
        """Return the assignment of an attempt, if there is one, and the step in it."""
        query = Query(where={"bad_end_of": task.id, "bad_attempt": attempt}, size=10)

        is_last = attempt == task.attempt and bool(task.assignment_id)

        def read(view: View) -> pb.AssignmentRecord | None:
            if is_last:
                return view.get(ASSIGNMENT, task.assignment_id)
            ended = view.select(ASSIGNMENT, query).records
            return max((record for _, record in ended), key=lambda record: record.epoch.database, default=None)

        assignment = await self._database.read(read)
        of = task if is_last else assignment
        if of is None:
            return None, run_pb2.Step()
        if step == SETUP_STEP:
            return assignment, of.setup_step if isinstance(of, run_pb2.Task) else of.setup
        return assignment, of.steps[step] if step < len(of.steps) else run_pb2.Step()


def _moment(time: Timestamp) -> str:
    return f"{time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
