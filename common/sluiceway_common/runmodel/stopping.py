"""Orders to live attempts to stop (R7, R16, R17), and the times at which timeouts pass (R16)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sluiceway_common.runmodel.model import Assignment, AssignmentId, Run, RunPhase, Task
from sluiceway_common.runmodel.reasons import Reason
from sluiceway_common.runmodel.state import RunState, Tally
from sluiceway_common.runmodel.wording import task_timed_out


def next_deadline(state: RunState) -> datetime | None:
    """Return the time of the next pass if nothing happens before: a timeout of the run, a task, an approval or a wait.

    None: time alone changes nothing. For a fixpoint that remembers its last pass this is cheap, and may be too early,
    by the timeout of an attempt that has ended. For a state without memory it is exact.
    """
    run = state.run
    if run.phase is not RunPhase.RUNNING:
        return None
    tasks: Iterable[Task] = state.tasks.values()
    if state.tally is not None and not state.dirty:
        times = [state.tally.task_deadline] if state.tally.task_deadline is not None else []
        tasks = (state.tasks[key] for key in state.tally.waiting | state.tally.timed)
    else:
        times = [d for a in state.assignments.values() if (d := _deadline(a, state.tasks[a.task_id])) is not None]
    for task in tasks:
        if task.waiting_since is not None and task.approval is not None and not task.status.is_finished:
            times.append(task.waiting_since + task.approval.timeout)
        if task.runnable_since is not None and task.wait_timeout is not None and not task.status.is_finished:
            times.append(task.runnable_since + task.wait_timeout)
    if run.timeout is not None and run.start_time is not None and not run.timed_out and run.approval_wait_since is None:
        times.append(run.start_time + run.timeout + run.approval_waited)
    return min(times, default=None)


def order_to_stop(
    assignments: Iterable[Assignment], now: datetime, *, forced: bool, reason: Reason
) -> tuple[dict[AssignmentId, Assignment], dict[AssignmentId, Assignment]]:
    """Order assignments to stop, by force or not, unless they were already ordered to.

    Returns:
        All assignments, and those of them that changed.
    """
    live: dict[AssignmentId, Assignment] = {}
    changed: dict[AssignmentId, Assignment] = {}
    for assignment in assignments:
        new = assignment
        if assignment.stop_requested is None or (forced and not assignment.stop_forced):
            if assignment.stop_requested is None:
                new = replace(new, stop_requested=now, stop_reason=reason)
            new = replace(new, stop_forced=forced)
            changed[assignment.id] = new
        live[assignment.id] = new
    return live, changed


def expire_tasks(
    state: RunState, tally: Tally, now: datetime
) -> tuple[Mapping[AssignmentId, Assignment], dict[AssignmentId, Assignment], datetime | None]:
    """Mark attempts whose timeout has passed, and order them to stop (R16). They end as failed (`updates`).

    Returns:
        The live assignments, those that changed, and a time before which none of the others is due.
    """
    tasks = state.tasks
    if state.tally is not None:
        bound = tally.task_deadline
        for task_id in state.dirty:
            assignment = state.assignments.get(tasks[task_id].assignment)
            due = _deadline(assignment, tasks[task_id]) if assignment is not None else None
            if due is not None and (bound is None or due < bound):
                bound = due
        if bound is None or now < bound:
            return state.assignments, {}, bound
    marked: dict[AssignmentId, Assignment] = {}
    bound = None
    for assignment in state.assignments.values():
        task = tasks[assignment.task_id]
        due = _deadline(assignment, task)
        if due is None:
            continue
        if due <= now:
            reason = task_timed_out(task.timeout)
            marked[assignment.id] = replace(assignment, timed_out=True, stop_requested=now, stop_reason=reason)
        elif bound is None or due < bound:
            bound = due
    live = {**state.assignments, **marked} if marked else state.assignments
    return live, marked, bound


def count_approval_wait(run: Run, now: datetime, *, only_approvals: bool) -> Run:
    """Count the time in which the run waits for approvals only: its timeout leaves it out (R16)."""
    waits = only_approvals and run.phase is RunPhase.RUNNING
    if waits is (run.approval_wait_since is not None):
        return run
    if run.approval_wait_since is None:
        return replace(run, approval_wait_since=now)
    waited = max(now - run.approval_wait_since, timedelta())
    return replace(run, approval_wait_since=None, approval_waited=run.approval_waited + waited)


def _deadline(assignment: Assignment, task: Task) -> datetime | None:
    """Return when the timeout of an attempt passes. None: never, it is held, or it was ordered to stop before."""
    if task.timeout is None or assignment.start_time is None or assignment.stop_requested is not None:
        return None
    if task.hold is not None:
        return None
    return assignment.start_time + task.timeout + task.held


def by_id(assignments: Mapping[AssignmentId, Assignment]) -> tuple[Assignment, ...]:
    """Sort by id."""
    return tuple(assignments[key] for key in sorted(assignments))
