"""What people ask of a run: R0, R17, R18 and R23.

Each function makes a `Change`; `rules.settle` applies the pass to it. The scheduler uses them too: it starts runs, and
stops or cancels those that a newer run of their group supersedes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sluiceway_common.foundation.errors import FailedPrecondition, NotFound, PermissionDenied
from sluiceway_common.runmodel.decisions import ended, with_notes
from sluiceway_common.runmodel.model import (
    ApprovalGiven,
    ApprovalState,
    Assignment,
    AssignmentId,
    Run,
    RunPhase,
    StopRequest,
    Task,
    TaskId,
    TaskStatus,
)
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.state import Change, RunState
from sluiceway_common.runmodel.stopping import by_id, order_to_stop
from sluiceway_common.runmodel.wording import quoted, status_words, why_ending


class RunNotRunning(FailedPrecondition):
    """Only a running run can be stopped."""

    reason = "RUN_NOT_RUNNING"


class RunNotQueued(FailedPrecondition):
    """Only a queued run can be started or cancelled."""

    reason = "RUN_NOT_QUEUED"


class TaskNotWaiting(FailedPrecondition):
    """Only a task that waits for its approval can be approved or rejected, and only once."""

    reason = "TASK_NOT_WAITING_FOR_APPROVAL"


class ApprovalNeedsOwner(PermissionDenied):
    """The approval of this task is for owners of its project (R18)."""

    reason = "APPROVAL_NEEDS_OWNER"


class ApprovalOutdated(FailedPrecondition):
    """The approval is for another commit or configuration than the run's."""

    reason = "APPROVAL_OUTDATED"


def start_run(state: RunState, now: datetime) -> Change:
    """Start a queued run (R0). That its group is free and `concurrency` allows it is decided in `queues`.

    Raises:
        RunNotQueued: the run is in another phase.
    """
    if state.run.phase is not RunPhase.QUEUED:
        raise RunNotQueued(f"run {state.run.id} cannot be started: its phase is {state.run.phase}, not queued")
    return Change(before=state, state=state.with_run(replace(state.run, phase=RunPhase.RUNNING, start_time=now)))


def request_stop(state: RunState, *, by: str, now: datetime, forced: bool = False) -> Change:
    """Ask a running run to stop (R17). May be repeated.

    The first stop orders every live assignment to stop. A second one that is not forced changes nothing: clean-ups that
    have begun since then continue. A forced one, the first or a later one, stops everything.

    Raises:
        RunNotRunning: the run is in another phase.
    """
    run = state.run
    if run.phase is not RunPhase.RUNNING:
        hint = "; cancel it instead" if run.phase is RunPhase.QUEUED else ""
        raise RunNotRunning(
            f"run {run.id} cannot be stopped: its phase is {run.phase}, not running{hint}",
            metadata={"phase": run.phase},
        )
    if run.stop is not None and (run.stop.forced or not forced):
        return Change(before=state, state=state)
    stop = run.stop or StopRequest(time=now, by=by)
    if forced:
        stop = replace(stop, forced=True, forced_time=now, forced_by=by)
    # After a timeout of the run, what runs now are clean-ups: only a forced stop ends those.
    live, ordered = dict(state.assignments), dict[AssignmentId, Assignment]()
    if forced or not run.timed_out:
        reason = why_ending(replace(run, stop=stop, timed_out=False))
        live, ordered = order_to_stop(live.values(), now, forced=forced, reason=reason)
    stopped = replace(state.with_run(replace(run, stop=stop)), assignments=live)
    return Change(before=state, state=stopped, assignments=by_id(ordered))


def cancel(state: RunState, *, by: str, now: datetime, superseded: bool = False) -> Change:
    """Cancel a queued run and its unfinished tasks (R17).

    Raises:
        RunNotQueued: the run is in another phase.
    """
    run = state.run
    if run.phase is not RunPhase.QUEUED:
        hint = "; stop it instead" if run.phase is RunPhase.RUNNING else ""
        raise RunNotQueued(
            f"run {run.id} cannot be cancelled: its phase is {run.phase}, not queued{hint}",
            metadata={"phase": run.phase},
        )
    reason = Reason(ReasonCode.RUN_CANCELLED, f"the run was cancelled by {by} before it started")
    if superseded:
        reason = Reason(ReasonCode.SUPERSEDED, "a newer run of the same group took its place")
    tasks = {
        key: task if task.status.is_finished else ended(task, TaskStatus.CANCELLED, reason, now)
        for key, task in state.tasks.items()
    }
    cancelled = replace(run, phase=RunPhase.CANCELLED, reason=reason, end_time=now)
    return Change(before=state, state=replace(state.with_run(cancelled), tasks=tasks))


def reject(state: RunState, task_id: TaskId, *, by: str, is_owner: bool, why: str, now: datetime) -> Change:
    """Refuse the approval of a task that waits for it (R23): the task is skipped, and the run continues without it.

    Args:
        state: the run.
        task_id: the task.
        by: who refuses it.
        is_owner: whether they may manage the run's project.
        why: in one line; may be empty.
        now: the time.

    Raises:
        NotFound: the run has no such task.
        TaskNotWaiting: it does not wait for an approval.
        ApprovalNeedsOwner: only an owner may reject it.
    """
    task = _waiting_task(state, task_id, "rejected")
    _check_role(task, "rejected", is_owner=is_owner)
    reason = Reason(ReasonCode.APPROVAL_REJECTED, f"rejected by {by}" + (f": {why}" if why else ""))
    note = Reason(ReasonCode.APPROVAL_REJECTED, f"approval of {quoted(task.name)} rejected")
    rejected = ended(task, TaskStatus.SKIPPED, reason, now)
    return Change(before=state, state=state.with_task(rejected).with_run(with_notes(state.run, [note])))


def approve(state: RunState, task_id: TaskId, given: ApprovalGiven, *, is_owner: bool) -> Change:
    """Approve a task that waits for its approval (R18). One approval is enough.

    `given` may leave commit and configuration digest empty; the record keeps the run's. `is_owner`: whether
    they may manage the run's project.

    Raises:
        NotFound: the run has no such task.
        TaskNotWaiting: it does not wait for an approval; a second approval finds this too.
        ApprovalNeedsOwner: only an owner may approve it.
        ApprovalOutdated: `given` names another commit or configuration than the run's.
    """
    run = state.run
    task = _waiting_task(state, task_id, "approved")
    _check_role(task, "approved", is_owner=is_owner)
    for word, approved, present in (
        ("commit", given.commit_sha, run.source.commit_sha),
        ("configuration", given.config_digest, run.config_digest),
    ):
        if approved and approved != present:
            raise ApprovalOutdated(
                f"task {quoted(task.name)} cannot be approved: "
                f"the approval is for {word} {approved}, the run is of {present or 'none'}"
            )
    kept = replace(given, commit_sha=run.source.commit_sha, config_digest=run.config_digest)
    return Change(before=state, state=state.with_task(replace(task, approved=kept, waiting_since=None, reason=None)))


def _check_role(task: Task, done: str, *, is_owner: bool) -> None:
    if task.approval is not None and task.approval.owners_only and not is_owner:
        raise ApprovalNeedsOwner(
            f"task {quoted(task.name)} can be {done} by owners of its project only, as its configuration says"
        )


def _waiting_task(state: RunState, task_id: TaskId, done: str) -> Task:
    """Return a task that waits for its approval; `done`: what was to be done with it, as a participle."""
    run = state.run
    task = state.tasks.get(task_id)
    if task is None:
        raise NotFound(f"run {run.id} has no task {task_id}", resource_type="task", resource_name=task_id)
    if (
        run.phase is not RunPhase.RUNNING
        or task.status is not TaskStatus.NOT_STARTED
        or task.approval_state is not ApprovalState.WAITING
    ):
        raise TaskNotWaiting(
            _why_not_waiting(run, task, done), metadata={"status": task.status, "run_phase": run.phase}
        )
    return task


def _why_not_waiting(run: Run, task: Task, done: str) -> str:
    name = f"task {quoted(task.name)}"
    if run.phase is not RunPhase.RUNNING:
        return f"{name} cannot be {done}: its run is {run.phase}"
    if task.approval is None:
        return f"{name} needs no approval"
    if task.approved is not None:
        return f"{name} was approved already, by {task.approved.by}"
    if task.status is not TaskStatus.NOT_STARTED:
        return f"{name} cannot be {done}: it {status_words(task.status)}"
    return f"{name} does not wait for an approval yet: its parents come first"
