"""The attempts of a task, as the API shows them. Pure, over one view.

The present or last attempt is the task itself. Each earlier one ended badly, or no other would have followed it; its
assignment has how it ended, and an index finds assignments by task.
"""

from __future__ import annotations

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel.limits import MAX_ATTEMPTS
from sluiceway_common.runmodel.model import AssignmentPhase, TaskStatus
from sluiceway_server.datamanager.model import Query, View
from sluiceway_server.runrecords import codec, enums
from sluiceway_server.runrecords.types import ASSIGNMENT

_STATUS_OF_END = {
    AssignmentPhase.FAILED: TaskStatus.FAILED,
    AssignmentPhase.STOPPED: TaskStatus.STOPPED,
    AssignmentPhase.CANCELLED: TaskStatus.STOPPED,
    AssignmentPhase.LOST: TaskStatus.LOST,
}
# An attempt may have a second assignment: one of an epoch of the database that was given up.
_MOST_ASSIGNMENTS = 2 * MAX_ATTEMPTS


def with_attempts(view: View, task: api.Task) -> api.Task:
    """Copy a task and fill in its attempts."""
    shown = api.Task()
    shown.CopyFrom(task)
    last = task.attempt if task.assignment_id else task.attempt + 1
    shown.attempts.extend(_earlier(record) for record in earlier_assignments(view, task.id, before=last))
    if task.assignment_id:
        shown.attempts.append(_last(task))
    return shown


def earlier_assignments(view: View, task_id: str, *, before: int) -> list[pb.AssignmentRecord]:
    """Return the assignments of the attempts of a task before one, the first attempt first."""
    if before <= 1:
        return []
    query = Query({"bad_end_of": task_id}, ("bad_attempt",), _MOST_ASSIGNMENTS)
    earlier = {record.epoch.attempt: record for _, record in view.select(ASSIGNMENT, query).records}
    return [record for attempt, record in sorted(earlier.items()) if attempt < before]


def _last(task: api.Task) -> api.Attempt:
    attempt = api.Attempt(
        attempt=task.attempt,
        assignment_id=task.assignment_id,
        executor_id=task.executor_id,
        status=task.status,
        timed_out=task.timed_out,
        setup_step=task.setup_step,
        steps=task.steps,
    )
    for name in ("reason", "start_time", "end_time"):
        if task.HasField(name):
            getattr(attempt, name).CopyFrom(getattr(task, name))
    return attempt


def _earlier(record: pb.AssignmentRecord) -> api.Attempt:
    phase = codec.decode_assignment(record).phase
    attempt = api.Attempt(
        attempt=record.epoch.attempt,
        assignment_id=record.id,
        executor_id=record.executor_id,
        status=enums.STATUSES[_STATUS_OF_END[phase]],
        timed_out=record.timed_out,
        setup_step=record.setup,
        steps=record.steps,
    )
    for name in ("reason", "start_time", "end_time"):
        if record.HasField(name):
            getattr(attempt, name).CopyFrom(getattr(record, name))
    return attempt
