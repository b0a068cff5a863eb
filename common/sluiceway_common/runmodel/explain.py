"""Why a task or a run waits, where it runs, or why it ended as it did: sentences with machine codes, for every state.

Nothing is decided here. Parents, approvals and attempts are read from the state; the decisions of `placement` and
`queues` are passed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sluiceway_common.runmodel.model import (
    ApprovalState,
    Assignment,
    AssignmentPhase,
    Run,
    RunPhase,
    Task,
    TaskId,
    TaskStatus,
)
from sluiceway_common.runmodel.placement import Waiting
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.state import RunState
from sluiceway_common.runmodel.steps import StepView
from sluiceway_common.runmodel.wording import duration, listing, moment, quoted, run_timed_out, status_words

_MOST_NAMED: Final = 5
_COUNT_WORDS: Final[Mapping[TaskStatus, str]] = {
    TaskStatus.NOT_STARTED: "not started",
    TaskStatus.SKIPPED: "skipped",
    TaskStatus.CANCELLED: "cancelled",
    TaskStatus.RUNNING: "running",
    TaskStatus.STOPPED: "stopped",
    TaskStatus.SUCCESS: "succeeded",
    TaskStatus.FAILED: "failed",
    TaskStatus.LOST: "lost",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task has its state. `lines`: what executors lack, one for each kind."""

    task_id: TaskId
    name: str
    status: TaskStatus
    reasons: tuple[Reason, ...]
    lines: tuple[str, ...] = ()


def explain_run(
    state: RunState, *, placed: Mapping[TaskId, Waiting] | None = None, queued: Collection[Reason] = ()
) -> tuple[Explanation, ...]:
    """Explain each task that has not succeeded, by level, name and id.

    Args:
        state: the stored state.
        placed: the explanations of runnable tasks by the last placement; otherwise the stored reason is used.
        queued: for a queued run: why it is (`explain_queued`).
    """
    placed = placed or {}
    return tuple(
        explain_task(state, key, placed=placed.get(key), queued=queued)
        for key in state.in_order(state.tasks)
        if state.tasks[key].status is not TaskStatus.SUCCESS
    )


def explain_task(
    state: RunState, task_id: TaskId, *, placed: Waiting | None = None, queued: Collection[Reason] = ()
) -> Explanation:
    """Explain one task: why it waits, where it runs and since when, or why it ended as it did.

    Raises:
        KeyError: the run has no such task.
    """
    task = state.tasks[task_id]
    if task.status is TaskStatus.RUNNING:
        return Explanation(task_id, task.name, task.status, _runs(task, state.assignments[task.assignment]))
    if task.status is not TaskStatus.NOT_STARTED:
        return Explanation(task_id, task.name, task.status, _ended(task))
    if state.run.phase is not RunPhase.RUNNING:
        return Explanation(task_id, task.name, task.status, tuple(queued) or (_run_waits(state.run),))
    unfinished = [p for e in task.depends if not (p := state.tasks[e.parent]).status.is_finished]
    if unfinished:
        return Explanation(task_id, task.name, task.status, _waits_for_parents(task, unfinished))
    if task.approval_state is ApprovalState.WAITING:
        return Explanation(task_id, task.name, task.status, (_waits_for_approval(state.run, task),))
    if placed is not None:
        return Explanation(task_id, task.name, task.status, (placed.reason,), placed.lines)
    if task.reason is not None:
        return Explanation(task_id, task.name, task.status, (task.reason,))
    sentence = "it can run; the scheduler has not looked at it yet"
    return Explanation(task_id, task.name, task.status, (Reason(ReasonCode.WAITS_FOR_PLACEMENT, sentence),))


def explain_standing(state: RunState, *, waiting: Reason | None = None) -> tuple[Reason, ...]:
    """Explain a run that is not queued: how far it is, or why it ended as it did.

    Args:
        state: the stored state.
        waiting: of a running run of which no task runs: what it waits for.
    """
    run = state.run
    reasons: list[Reason] = []
    if run.phase is RunPhase.CANCELLED:
        return (run.reason,) if run.reason is not None else ()
    if run.stop is not None:
        forced = f", by force at {moment(run.stop.forced_time)}" if run.stop.forced_time is not None else ""
        sentence = f"run stopped by {run.stop.by} at {moment(run.stop.time)}{forced}"
        reasons.append(Reason(ReasonCode.RUN_STOPPED, sentence))
    if run.timed_out:
        reasons.append(run.reason or run_timed_out(run.timeout))
    reasons += _failures(state)
    if run.phase is RunPhase.RUNNING and waiting is not None:
        reasons.append(waiting)
    if state.tasks:
        reasons.append(Reason(ReasonCode.RUN_PROGRESS, _progress(state)))
    return (*reasons, *run.notes)


def _failures(state: RunState) -> list[Reason]:
    """Return why a run fails: tasks that failed, were lost, or were stopped without a stop; the first few by name."""
    run = state.run
    bad = [
        task
        for key in state.in_order(state.tasks)
        if (task := state.tasks[key]).status.is_failure or (task.status is TaskStatus.STOPPED and not run.is_ending)
        if not task.ignore_failure
    ]
    named = [
        Reason(
            ReasonCode.TASK_FAILED,
            f"task {quoted(task.name)} {status_words(task.status)}"
            + (f": {task.reason.sentence}" if task.reason else ""),
        )
        for task in bad[:_MOST_NAMED]
    ]
    if len(bad) > _MOST_NAMED:
        named.append(Reason(ReasonCode.TASK_FAILED, f"and {len(bad) - _MOST_NAMED} more tasks did not succeed"))
    return named


def _progress(state: RunState) -> str:
    counted = Counter(task.status for task in state.tasks.values())
    parts = [f"{counted[status]} {_COUNT_WORDS[status]}" for status in TaskStatus if counted[status]]
    total = len(state.tasks)
    return f"{total} {'task' if total == 1 else 'tasks'}: {', '.join(parts)}"


def _runs(task: Task, assignment: Assignment) -> tuple[Reason, ...]:
    executor = f"executor {assignment.executor}"
    if assignment.phase is AssignmentPhase.ASSIGNED:
        sentence = f"was given to {executor} at {moment(assignment.assign_time)}, which has not taken it yet"
    elif assignment.phase is AssignmentPhase.ACCEPTED:
        sentence = f"{executor} prepares its pod since {moment(assignment.accept_time or assignment.assign_time)}"
    else:
        sentence = f"runs on {executor} since {moment(assignment.start_time or assignment.assign_time)}"
        step = task.steps.running()
        if step is not None:
            since = f" since {moment(step.start_time)}" if step.start_time is not None else ""
            sentence += f", in {_step(step)}{since}"
    reasons = [Reason(ReasonCode.RUNS_ON_EXECUTOR, sentence + _attempt(task))]
    if task.hold is not None and task.reason is not None:
        reasons.insert(0, task.reason)
    if assignment.stop_requested is not None:
        why = f": {assignment.stop_reason.sentence}" if assignment.stop_reason is not None else ""
        sentence = f"was told to stop at {moment(assignment.stop_requested)}{why}"
        reasons.append(Reason(ReasonCode.TOLD_TO_STOP, sentence))
    return tuple(reasons)


def _ended(task: Task) -> tuple[Reason, ...]:
    reasons = [task.reason] if task.reason is not None else []
    counts = [archive.tests for archive in task.archives if archive.tests is not None]
    failed, total = sum(each.failed for each in counts), sum(each.total for each in counts)
    if failed:
        names = [quoted(name) for each in counts for name in each.failed_names]
        left = failed - len(names[:_MOST_NAMED])
        more = f" and {left} more" if left > 0 else ""
        sentence = f"{failed} of {total} tests failed: {', '.join(names[:_MOST_NAMED])}{more}"
        reasons.append(Reason(ReasonCode.TESTS_FAILED, sentence))
    if not task.assignment:
        return tuple(reasons)
    sentence = status_words(task.status)
    step = task.steps.failed()
    if step is not None:
        status = f" with exit status {step.exit_status}" if step.exit_status is not None else ""
        sentence += f" in {_step(step)}{status}"
    elif task.steps.setup_failed():
        sentence += " in its setup"
    sentence += f" on executor {task.executor}"
    if task.end_time is not None:
        sentence += f" at {moment(task.end_time)}"
        if task.start_time is not None:
            sentence += (
                f", after {duration(timedelta(seconds=round((task.end_time - task.start_time).total_seconds())))}"
            )
    return (*reasons, Reason(ReasonCode.RAN_ON_EXECUTOR, sentence + _attempt(task)))


def _step(step: StepView) -> str:
    return f"step {step.index + 1} of {step.count} ({quoted(step.name)})"


def _attempt(task: Task) -> str:
    # A person may have asked for more attempts than the task retries by itself.
    most = max(task.attempt, task.retry.max_attempts)
    return f", attempt {task.attempt} of {most}" if most > 1 else ""


def explain_queued(
    run: Run, *, decided: Reason | None, holder: RunState | None = None, approvers: Collection[str] = ()
) -> tuple[Reason, ...]:
    """Explain why a queued run has not started.

    Args:
        run: the queued run; of another phase: nothing to explain.
        decided: the reason of `queues.decide`; None: it may start, and the scheduler will start it.
        holder: the run that holds its group, if one does; then the task whose approval it waits for is named.
        approvers: who may approve, as people know them.
    """
    if run.phase is not RunPhase.QUEUED:
        return ()
    if decided is None:
        return (Reason(ReasonCode.QUEUE_NEXT, "it may start; the scheduler will start it"),)
    reasons = [decided]
    if holder is not None and holder.run.group == run.group:
        who = f" (it may be approved by {listing(sorted(approvers))})" if approvers else ""
        for key in holder.in_order(holder.tasks):
            task = holder.tasks[key]
            if task.status is TaskStatus.NOT_STARTED and task.approval_state is ApprovalState.WAITING:
                sentence = f"run {holder.run.number}: {_approval_sentence(holder.run, task)}{who}"
                reasons.append(Reason(ReasonCode.QUEUE_HOLDER_WAITS_FOR_APPROVAL, sentence))
    return tuple(reasons)


def _run_waits(run: Run) -> Reason:
    if run.phase is RunPhase.QUEUED:
        return Reason(ReasonCode.WAITS_FOR_RUN, f"its run {run.number} is queued in group {run.group}")
    return Reason(ReasonCode.WAITS_FOR_RUN, f"its run {run.number} is {run.phase}")


def _waits_for_parents(task: Task, unfinished: list[Task]) -> tuple[Reason, ...]:
    named = sorted(unfinished, key=lambda parent: (parent.level, parent.name))
    parts = [f"{quoted(parent.name)}, which {_stands(parent)}" for parent in named]
    reasons = [Reason(ReasonCode.WAITS_FOR_PARENTS, f"waits for {listing(parts)}")]
    if task.approval is not None and task.approved is None:
        reasons.append(Reason(ReasonCode.WAITS_FOR_APPROVAL, "needs an approval after that"))
    return tuple(reasons)


def _stands(parent: Task) -> str:
    if parent.approval_state is ApprovalState.WAITING:
        return "waits for approval"
    if parent.waits_for_retry:
        return f"waits for its attempt {parent.attempt}"
    return status_words(parent.status)


def _waits_for_approval(run: Run, task: Task) -> Reason:
    return Reason(ReasonCode.WAITS_FOR_APPROVAL, _approval_sentence(run, task))


def _approval_sentence(run: Run, task: Task) -> str:
    limit = f", for at most {duration(task.approval.timeout)}" if task.approval is not None else ""
    by = " by an owner of the project" if task.approval is not None and task.approval.owners_only else ""
    since = f" since {moment(task.waiting_since)}" if task.waiting_since is not None else ""
    return (
        f"task {quoted(task.name)} waits for approval{by}{since}{limit}; "
        f"approve it with: sluice run approve {run.id} {task.id}"
    )
