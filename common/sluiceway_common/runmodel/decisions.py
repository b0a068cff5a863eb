"""What one round decides for the run and for each task: R1-R4, R6-R11, R14 and the run's timeout (R16).

Every decision is a function of the frozen state of a round; `rules` makes the changes of a round together, and repeats
rounds until one changes nothing.

Who wins a tie: a failure over success over a stop (R1, R2, R3, in this order), all three over the run's timeout. A
stop or a timeout over what conditions say, but for clean-ups (R7). A condition that does not match over an approval
(R8, R9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sluiceway_common.runmodel.model import (
    ApprovalState,
    AttemptEnd,
    Condition,
    Edge,
    Run,
    RunPhase,
    RunResult,
    Task,
    TaskId,
    TaskStatus,
)
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.state import Tally, fast_replace
from sluiceway_common.runmodel.wording import duration, edge_not_matched, run_timed_out, status_words, why_ending

_C = Condition
_HOLDS: Final[Mapping[TaskStatus, frozenset[Condition]]] = {
    TaskStatus.SUCCESS: frozenset({_C.ALWAYS, _C.ON_SUCCESS}),
    TaskStatus.FAILED: frozenset({_C.ALWAYS, _C.ON_FAILURE}),
    TaskStatus.LOST: frozenset({_C.ALWAYS, _C.ON_FAILURE}),
    TaskStatus.SKIPPED: frozenset({_C.ALWAYS, _C.ON_SKIPPED}),
    TaskStatus.STOPPED: frozenset({_C.ALWAYS, _C.ON_STOPPED}),
    TaskStatus.CANCELLED: frozenset({_C.ALWAYS, _C.ON_STOPPED}),
}
# A task whose approval expired or was refused was meant to run: to a child that waits for "not needed" it is not
# skipped (R9, R23).
_HOLDS_WITHOUT_APPROVAL: Final = frozenset({_C.ALWAYS})
_WITHOUT_APPROVAL: Final = {ApprovalState.EXPIRED: "expired", ApprovalState.REJECTED: "was rejected"}


def _edge_matches(edge: Edge, parent: Task) -> bool:
    """Return whether one of the edge's conditions holds for a parent that is finished.

    `ignore_failure` changes nothing here (R11): a failure that is ignored is still a failure to the children.
    """
    holds = _HOLDS[parent.status]
    if parent.status is TaskStatus.SKIPPED and parent.approval_state in _WITHOUT_APPROVAL:
        holds = _HOLDS_WITHOUT_APPROVAL
    return not edge.conditions.isdisjoint(holds)


def decide_run(run: Run, tally: Tally, now: datetime, *, assigned: bool) -> Run:
    """Decide result and phase of a running run: R1-R4, and its timeout (R16). The run itself: no change."""
    finished = tally.unfinished == 0
    if run.result is not RunResult.UNSET:
        if finished and not assigned:
            return replace(run, phase=RunPhase.FINISHED, end_time=now)
    elif tally.failures or (tally.stops and run.stop is None):
        run = replace(run, result=RunResult.FAILED)
    elif finished:
        return replace(run, result=RunResult.SUCCESS)
    elif run.stop is not None:
        run = replace(run, result=RunResult.STOPPED)
    if finished or run.timed_out or run.timeout is None or run.start_time is None:
        return run
    waited = run.approval_waited
    if run.approval_wait_since is not None:
        waited += max(now - run.approval_wait_since, timedelta())
    if now - run.start_time - waited < run.timeout:
        return run
    if run.result is not RunResult.UNSET:
        return replace(run, timed_out=True)
    return replace(run, timed_out=True, result=RunResult.FAILED, reason=run_timed_out(run.timeout))


def decide_task(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task:
    """Apply the first of R14, R7, R6, R8, R9 and R22 that decides on a task that is not started.

    Returns:
        The task as it is to be; the task itself if nothing changes.
    """
    for _, rule in _TASK_RULES:
        decided = rule(run, task, tasks, now)
        if decided is not None:
            return decided
    return task


def _restore_last_attempt(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    if not run.is_ending or task.previous is None or not task.waits_for_retry:
        return None
    return _ended_as_before(task, task.previous, task.previous.reason)


def _ended_as_before(task: Task, last: AttemptEnd, reason: Reason | None) -> Task:
    """Return a task that waits for its retry, with the outcome of its last attempt."""
    return replace(
        task,
        status=last.status,
        timed_out=last.timed_out,
        reason=reason,
        attempt=last.attempt,
        assignment=last.assignment,
        executor=last.executor,
        steps=last.steps,
        archives=last.archives,
        start_time=last.start_time,
        end_time=last.end_time,
        previous=None,
        runnable_since=None,
    )


def _skip_when_ending(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    if not run.is_ending or (task.is_clean_up and not run.is_forced):
        return None
    reason = why_ending(run)
    not_started = Reason(reason.code, f"{reason.sentence}, before this task started")
    return ended(task, TaskStatus.SKIPPED, not_started, now)


def _cancel_when_decided(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    if run.result is RunResult.UNSET or task.depends or task.was_attempted or run.is_ending:
        return None
    reason = Reason(ReasonCode.RUN_RESULT_SET, f"the run's result was {run.result} before this task started")
    return ended(task, TaskStatus.CANCELLED, reason, now)


def _follow_parents(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    unmatched: list[tuple[str, TaskId, Edge, Task]] = []
    for edge in task.depends:
        parent = tasks[edge.parent]
        status = parent.status
        if status is TaskStatus.NOT_STARTED or status is TaskStatus.RUNNING:
            return task
        if not _edge_matches(edge, parent):
            unmatched.append((parent.name, parent.id, edge, parent))
    if not unmatched:
        return None
    # The first by name, not by place: the order in which edges were written decides nothing.
    edge, parent = min(unmatched, key=lambda item: item[:2])[2:]
    why = status_words(parent.status)
    if parent.approval_state in _WITHOUT_APPROVAL:
        why += f" because its approval {_WITHOUT_APPROVAL[parent.approval_state]}"
    sentence = edge_not_matched(parent.name, edge.conditions, why)
    return ended(task, TaskStatus.SKIPPED, Reason(ReasonCode.EDGE_NOT_MATCHED, sentence), now)


def _wait_for_approval(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    if task.approval is None or task.approved is not None:
        return None
    limit = duration(task.approval.timeout)
    if task.waiting_since is None:
        by = " by an owner" if task.approval.owners_only else ""
        reason = Reason(ReasonCode.WAITS_FOR_APPROVAL, f"waits for approval{by}, for at most {limit}")
        return replace(task, waiting_since=now, reason=reason)
    if now - task.waiting_since < task.approval.timeout:
        return task
    reason = Reason(ReasonCode.APPROVAL_EXPIRED, f"nobody approved it within {limit}")
    return ended(task, TaskStatus.SKIPPED, reason, now)


def _give_up_waiting(run: Run, task: Task, tasks: Mapping[TaskId, Task], now: datetime) -> Task | None:
    if task.wait_timeout is None or task.runnable_since is None or now - task.runnable_since < task.wait_timeout:
        return None
    sentence = f"no executor took it within {duration(task.wait_timeout)}"
    if task.previous is None:
        return ended(task, TaskStatus.FAILED, Reason(ReasonCode.WAIT_TIMED_OUT, sentence), now)
    last = task.previous.reason
    sentence = f"no executor took attempt {task.attempt} within {duration(task.wait_timeout)}"
    sentence += f"; attempt {task.previous.attempt}: {last.sentence}" if last is not None else ""
    return _ended_as_before(task, task.previous, Reason(ReasonCode.WAIT_TIMED_OUT, sentence))


_TaskRule = Callable[[Run, Task, Mapping[TaskId, Task], datetime], Task | None]
_TASK_RULES: Final[tuple[tuple[str, _TaskRule], ...]] = (
    # In this order; each returns the task as it is to be, the task itself if it stays, or None if it does not decide.
    ("R14", _restore_last_attempt),  # a stop meets a retry that is due
    ("R7", _skip_when_ending),  # a stop or a timeout, but for clean-ups
    ("R6", _cancel_when_decided),  # the result is set before a task without parents started
    ("R8", _follow_parents),  # not all parents count yet, or one does not match
    ("R9", _wait_for_approval),  # an approval is missing, or expired
    ("R22", _give_up_waiting),  # no executor took it in time
)


def ended(task: Task, status: TaskStatus, reason: Reason, now: datetime) -> Task:
    """Return a task without an attempt as finished: skipped or cancelled, and why."""
    return fast_replace(task, status=status, reason=reason, end_time=now, waiting_since=None, runnable_since=None)


def with_notes(run: Run, notes: Iterable[Reason]) -> Run:
    """Note on a run which approvals were not given (R9, R23), since it may still be a success."""
    added = set(notes)
    if not added:
        return run
    return replace(run, notes=tuple(sorted(added.union(run.notes), key=lambda note: (note.code, note.sentence))))


def is_ready(task: Task, tasks: Mapping[TaskId, Task]) -> bool:
    """Return whether a task is runnable (R10). Only at a fixpoint: edges of a task that is not skipped hold there."""
    if task.status is not TaskStatus.NOT_STARTED or (task.approval is not None and task.approved is None):
        return False
    return all(tasks[edge.parent].status.is_finished for edge in task.depends)
