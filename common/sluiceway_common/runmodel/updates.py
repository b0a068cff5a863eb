"""What the scheduler and the executors do to an attempt: R13, R14, R15.

An attempt moves along one line, and only forward:

    assigned -> accepted -> running -> success | failed | stopped | cancelled | lost

It may skip phases, because a report can be overtaken by the next one. A report of a phase that is stored already, or
that the attempt has passed, is acknowledged and has no effect: reports are sent again until they are acknowledged. A
report of an older epoch, of a session that does not own the attempt, or of another end than the stored one is refused;
on a stream that is an acknowledgement with a reason, and the stream continues.

A *stop for a timeout* is special: the server marked the attempt as timed out and ordered it to stop, so its executor
reports `stopped`, and `failed`, timed out, is stored. An attempt that succeeded before the order arrived is a success.

Each function returns a `Change`; `rules.settle` applies the pass to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.runmodel import holds
from sluiceway_common.runmodel.limits import MAX_ATTEMPTS
from sluiceway_common.runmodel.model import (
    Archive,
    Assignment,
    AssignmentId,
    AssignmentPhase,
    AttemptEnd,
    Epoch,
    ExecutorId,
    RetryCause,
    Run,
    RunPhase,
    Task,
    TaskId,
    TaskStatus,
)
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.state import Change, InvariantBroken, RunState
from sluiceway_common.runmodel.steps import Steps
from sluiceway_common.runmodel.wording import quoted, story_of, task_timed_out, why_ending


class TaskNotRunnable(FailedPrecondition):
    """Only a runnable task (R10) can be assigned."""

    reason = "TASK_NOT_RUNNABLE"


class ReportOutcome(StrEnum):
    """The outcome of a report."""

    APPLIED = "applied"
    NO_EFFECT = "no_effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Report:
    """The state of an attempt as an executor reports it: the whole state, not what changed.

    Attributes:
        cause: of phase `failed`: failed, timeout or setup. Ignored for other phases.
        reason: more about the end, such as `archive` or `drained`.
        steps: all of them as they are now; None: as they were.
        archives: what its steps have stored for descendants and people; None: nothing new.
        hold: its pod is held; None: it is not.
    """

    assignment: AssignmentId
    epoch: Epoch
    session: str
    phase: AssignmentPhase
    cause: RetryCause | None = None
    reason: Reason | None = None
    steps: Steps | None = None
    archives: tuple[Archive, ...] | None = None
    hold: holds.ReportedHold | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """The outcome of a report: `reason` is why it was refused; `change` is empty unless it was applied."""

    outcome: ReportOutcome
    change: Change
    reason: Reason | None = None


# --- the scheduler ---------------------------------------------------------------------------------------------------


def assign(
    state: RunState,
    task_id: TaskId,
    *,
    assignment_id: AssignmentId,
    executor: ExecutorId,
    session: str,
    database_epoch: int,
    now: datetime,
) -> Change:
    """Assign a runnable task to an executor's session. `state` must be a fixpoint of the rules.

    Raises:
        NotFound: the run has no such task.
        TaskNotRunnable: it is not runnable (R10).
    """
    task = _task(state, task_id)
    if state.run.phase is not RunPhase.RUNNING or task.status is not TaskStatus.NOT_STARTED or not task.runnable_since:
        raise TaskNotRunnable(f"task {quoted(task.name)} of run {state.run.id} is not runnable: it is {task.status}")
    assignment = Assignment(
        id=assignment_id,
        run_id=state.run.id,
        task_id=task_id,
        epoch=Epoch(database_epoch, task.attempt),
        executor=executor,
        session=session,
        assign_time=now,
        lock=(state.run.scope, task.lock) if task.lock else None,
    )
    return _taken_up(state, task, assignment)


def keep_reasons(state: RunState, reasons: Mapping[TaskId, Reason]) -> Change:
    """Store on runnable tasks why placement did not assign them; tasks that are not runnable any more are ignored.

    A reason that a task has already changes nothing, so the scheduler may store the same one repeatedly.
    """
    now = state
    for task_id in sorted(reasons):
        task = now.tasks.get(task_id)
        if task is not None and task.runnable_since is not None and task.reason != reasons[task_id]:
            now = now.with_task(replace(task, reason=reasons[task_id]))
    return Change(before=state, state=now)


def adopt(state: RunState, assignment: Assignment, now: datetime) -> Change:
    """Store again, as it is, an assignment that an executor holds and that was lost with the newest part of the log.

    The caller checks that the epoch of the database has grown since. If the run is ending, it is ordered to stop.

    Raises:
        NotFound: the run has no such task.
        TaskNotRunnable: the task is not `not_started`, is at a later attempt, or its run is not running.
    """
    task = _task(state, assignment.task_id)
    if (
        state.run.phase is not RunPhase.RUNNING
        or task.status is not TaskStatus.NOT_STARTED
        or assignment.epoch.attempt < task.attempt
        or assignment.phase.is_final
    ):
        raise TaskNotRunnable(
            f"attempt {assignment.epoch.attempt} of task {quoted(task.name)} cannot be adopted: "
            f"the task is {task.status}, at attempt {task.attempt}, its run is {state.run.phase}"
        )
    if state.run.is_ending and assignment.stop_requested is None:
        assignment = replace(
            assignment, stop_requested=now, stop_reason=why_ending(state.run), stop_forced=state.run.is_forced
        )
    return _taken_up(state, replace(task, attempt=assignment.epoch.attempt), assignment)


def _taken_up(state: RunState, task: Task, assignment: Assignment) -> Change:
    running = replace(
        task,
        status=TaskStatus.RUNNING,
        assignment=assignment.id,
        executor=assignment.executor,
        reason=None,
        waiting_since=None,
        runnable_since=None,
        start_time=assignment.start_time,
    )
    taken = state
    if state.run.work_start_time is None:
        # No rule reads it, so the tally stays valid.
        taken = replace(state, run=replace(state.run, work_start_time=assignment.assign_time))
    return Change(before=state, state=taken.with_task(running).with_assignment(assignment), assignments=(assignment,))


# --- the executor -------------------------------------------------------------------------------------------------

_RANK: Final[Mapping[AssignmentPhase, int]] = {
    AssignmentPhase.ASSIGNED: 0,
    AssignmentPhase.ACCEPTED: 1,
    AssignmentPhase.RUNNING: 2,
}
_FINAL_RANK: Final = 3

_STATUS_OF_END: Final[Mapping[AssignmentPhase, TaskStatus]] = {
    AssignmentPhase.SUCCESS: TaskStatus.SUCCESS,
    AssignmentPhase.FAILED: TaskStatus.FAILED,
    AssignmentPhase.STOPPED: TaskStatus.STOPPED,
    AssignmentPhase.CANCELLED: TaskStatus.STOPPED,
    AssignmentPhase.LOST: TaskStatus.LOST,
}


def report(state: RunState, assignment: Assignment | None, update: Report, now: datetime) -> Reported:
    """Apply the report of an executor about an attempt (R15). May be repeated.

    Args:
        state: the run of the assignment.
        assignment: the stored record, final or not; None when there is none.
        update: the report.
        now: the time of the transaction; a pod counts as started when its first report of `running` is applied.
    """
    if assignment is None:
        return _refused(state, ReasonCode.UNKNOWN_ASSIGNMENT, f"assignment {update.assignment} is not known here")
    end = _end_of(assignment, update.phase)
    if _is_no_news(state, assignment, update, end, now):
        return Reported(ReportOutcome.NO_EFFECT, Change(before=state, state=state))
    if update.epoch != assignment.epoch:
        return _refused(
            state,
            ReasonCode.STALE_EPOCH,
            f"the report is of epoch {update.epoch.database}.{update.epoch.attempt}, "
            f"the assignment of {assignment.epoch.database}.{assignment.epoch.attempt}",
        )
    if update.session != assignment.session:
        return _refused(state, ReasonCode.STALE_SESSION, "another session of the executor owns the assignment")
    if assignment.phase.is_final:
        return _refused(
            state,
            ReasonCode.ATTEMPT_ENDED_OTHERWISE,
            f"the attempt ended as {assignment.phase}; it cannot end as {end} too",
        )
    task = _with_report(state.tasks[assignment.task_id], update, now)
    if not end.is_final:
        return Reported(ReportOutcome.APPLIED, _moved(state, task, assignment, end, now))
    cause = _cause(assignment, end, update)
    # An executor does not know why it was ordered to stop.
    reason = _why(task, assignment, end, cause, update.reason if end is update.phase else None)
    return Reported(
        ReportOutcome.APPLIED,
        _finish(state, task, assignment, end, cause=cause, reason=reason, now=now),
    )


def mark_lost(state: RunState, assignments: Iterable[AssignmentId], *, reason: Reason, now: datetime) -> Change:
    """End attempts as lost (R13). Those that are not live any more are ignored.

    The caller knows that their pods are gone, or that `lost_after` has passed.
    """
    change = Change(before=state, state=state)
    for key in sorted(set(assignments)):
        live = change.state.assignments.get(key)
        if live is None:
            continue
        task = change.state.tasks[live.task_id]
        change = change.then(
            _finish(change.state, task, live, AssignmentPhase.LOST, cause=RetryCause.LOST, reason=reason, now=now)
        )
    return change


def _end_of(assignment: Assignment, phase: AssignmentPhase) -> AssignmentPhase:
    """Return the phase to store for a reported one: a stop because of a timeout is a failure."""
    if phase is AssignmentPhase.STOPPED and assignment.timed_out and assignment.stop_requested is not None:
        return AssignmentPhase.FAILED
    return phase


def _is_no_news(state: RunState, assignment: Assignment, update: Report, end: AssignmentPhase, now: datetime) -> bool:
    if assignment.phase.is_final:
        return not end.is_final or end is assignment.phase
    if _RANK.get(end, _FINAL_RANK) > _RANK[assignment.phase]:
        return False
    task = state.tasks[assignment.task_id]
    return _with_report(task, update, now) == task


def _moved(state: RunState, task: Task, assignment: Assignment, phase: AssignmentPhase, now: datetime) -> Change:
    if _RANK[phase] > _RANK[assignment.phase]:
        started = phase is AssignmentPhase.RUNNING
        assignment = replace(
            assignment,
            phase=phase,
            accept_time=assignment.accept_time or now,
            start_time=now if started else None,
        )
        if started:
            task = replace(task, start_time=now)
    return Change(before=state, state=state.with_task(task).with_assignment(assignment), assignments=(assignment,))


def _cause(assignment: Assignment, end: AssignmentPhase, update: Report) -> RetryCause | None:
    if end is AssignmentPhase.LOST:
        return RetryCause.LOST
    if end is not AssignmentPhase.FAILED:
        return None
    if assignment.timed_out:
        return RetryCause.TIMEOUT
    return update.cause if update.cause not in (None, RetryCause.LOST) else RetryCause.FAILED


def _why(
    task: Task, assignment: Assignment, end: AssignmentPhase, cause: RetryCause | None, reported: Reason | None
) -> Reason | None:
    if end in (AssignmentPhase.STOPPED, AssignmentPhase.CANCELLED) and assignment.stop_reason is not None:
        return assignment.stop_reason
    if reported is not None or end is AssignmentPhase.SUCCESS:
        return reported
    if cause is RetryCause.TIMEOUT:
        return task_timed_out(task.timeout)
    if cause is RetryCause.SETUP:
        return Reason(ReasonCode.SETUP, "its setup failed; the setup log says why")
    if cause is RetryCause.LOST:
        return Reason(ReasonCode.EXECUTOR_VANISHED, "its executor lost it")
    if cause is RetryCause.FAILED:
        failed = task.steps.failed()
        if failed is None:
            return Reason(ReasonCode.TASK_FAILED, "it failed")
        status = f" with exit status {failed.exit_status}" if failed.exit_status is not None else ""
        return Reason(ReasonCode.TASK_FAILED, f"step {quoted(failed.name)} failed{status}")
    before = " before its pod started" if end is AssignmentPhase.CANCELLED else ""
    return Reason(ReasonCode.STOPPED, f"it was stopped{before}")


def _finish(
    state: RunState,
    task: Task,
    assignment: Assignment,
    end: AssignmentPhase,
    *,
    cause: RetryCause | None,
    reason: Reason | None,
    now: datetime,
) -> Change:
    """Make an attempt final; set the status of the task, or begin its next attempt (R14)."""
    if task.assignment != assignment.id:
        raise InvariantBroken(f"assignment {assignment.id} ends, and is not that of {story_of(task, assignment)}")
    steps = task.steps.ended()
    timed_out = cause is RetryCause.TIMEOUT
    over = replace(
        assignment,
        phase=end,
        end_time=now,
        cause=cause,
        reason=reason,
        timed_out=timed_out or assignment.timed_out,
        steps=steps,
    )
    ended = replace(
        holds.reported(task, None, steps, now),
        status=_STATUS_OF_END[end],
        reason=reason,
        timed_out=timed_out,
        steps=steps,
        end_time=now,
    )
    if _retry_is_due(state.run, task, cause):
        ended = next_attempt(ended)
    return Change(before=state, state=state.with_task(ended).with_assignment(over), assignments=(over,))


def _retry_is_due(run: Run, task: Task, cause: RetryCause | None) -> bool:
    """Return whether another attempt follows one that failed for a cause; `task` has the steps of that attempt."""
    if cause is RetryCause.FAILED and task.retry.exit_codes:
        failed = task.steps.failed()
        if failed is None or failed.exit_status not in task.retry.exit_codes:
            return False
    return (
        cause is not None
        and cause in task.retry.on
        and task.attempt < min(task.retry.max_attempts, MAX_ATTEMPTS)
        and not run.is_ending
    )


def next_attempt(ended: Task) -> Task:
    """Return a task whose attempt is over as one that waits for its next attempt (R14, R24)."""
    if ended.end_time is None:
        raise InvariantBroken(f"an attempt has no end: {story_of(ended, None)}")
    last = AttemptEnd(
        status=ended.status,
        attempt=ended.attempt,
        assignment=ended.assignment,
        executor=ended.executor,
        end_time=ended.end_time,
        start_time=ended.start_time,
        timed_out=ended.timed_out,
        reason=ended.reason,
        steps=ended.steps,
        archives=ended.archives,
    )
    return replace(
        ended,
        status=TaskStatus.NOT_STARTED,
        attempt=ended.attempt + 1,
        previous=last,
        assignment="",
        executor="",
        reason=None,
        timed_out=False,
        steps=ended.steps.blank(),
        archives=(),
        held=timedelta(),
        continuations=(),
        start_time=None,
        end_time=None,
    )


def _with_report(task: Task, update: Report, now: datetime) -> Task:
    steps = task.steps if update.steps is None else update.steps
    archives = task.archives if update.archives is None else update.archives
    task = holds.reported(task, None if update.phase.is_final else update.hold, steps, now)
    if steps == task.steps and archives == task.archives:
        return task
    return replace(task, steps=steps, archives=archives)


def _task(state: RunState, task_id: TaskId) -> Task:
    task = state.tasks.get(task_id)
    if task is None:
        raise NotFound(f"run {state.run.id} has no task {task_id}", resource_type="task", resource_name=task_id)
    return task


def _refused(state: RunState, code: ReasonCode, sentence: str) -> Reported:
    return Reported(ReportOutcome.REFUSED, Change(before=state, state=state), Reason(code, sentence))
