"""Why a task or a run waits, in sentences with machine codes: every wait is explained.

Nothing here decides. What can be read from the state (parents, an approval, the run's own wait) is told from it; what
was decided elsewhere (`placement`, `queues`) is passed in and told on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sluiceway.runmodel.model import (
    ApprovalState,
    Reason,
    ReasonCode,
    Run,
    RunPhase,
    Task,
    TaskId,
    TaskStatus,
)
from sluiceway.runmodel.placement import Waiting
from sluiceway.runmodel.state import RunState
from sluiceway.runmodel.wording import duration, listing, quoted, status_words

__all__ = ["Explanation", "explain_queued", "explain_run", "explain_task"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task waits; `reasons` is empty for one that does not. `lines`: what executors lack, one for each kind."""

    task_id: TaskId
    name: str
    status: TaskStatus
    reasons: tuple[Reason, ...]
    lines: tuple[str, ...] = ()


def explain_run(
    state: RunState, *, placed: Mapping[TaskId, Waiting] | None = None, queued: Collection[Reason] = ()
) -> tuple[Explanation, ...]:
    """Explain each task that has not started, by level, name and id.

    Args:
        state: the stored state.
        placed: what the last placement said of the runnable ones; else the reason that they keep is told.
        queued: for a queued run: why it is (`explain_queued`).
    """
    placed = placed or {}
    return tuple(
        explain_task(state, key, placed=placed.get(key), queued=queued)
        for key in state.in_order(state.tasks)
        if state.tasks[key].status is TaskStatus.NOT_STARTED
    )


def explain_task(
    state: RunState, task_id: TaskId, *, placed: Waiting | None = None, queued: Collection[Reason] = ()
) -> Explanation:
    """Explain one task: why it waits, or, when it is over, why it ended as it did (if there is more to say).

    Raises:
        KeyError: the run has no such task.
    """
    task = state.tasks[task_id]
    if task.status is not TaskStatus.NOT_STARTED:
        reasons = (task.reason,) if task.reason is not None else ()
        return Explanation(task_id, task.name, task.status, reasons)
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
    sentence = "it can run; the placer has not looked at it yet"
    return Explanation(task_id, task.name, task.status, (Reason(ReasonCode.WAITS_FOR_PLACEMENT, sentence),))


def explain_queued(
    run: Run, *, decided: Reason | None, holder: RunState | None = None, approvers: Collection[str] = ()
) -> tuple[Reason, ...]:
    """Explain why a queued run has not started.

    Args:
        run: the queued run; of another phase: nothing to explain.
        decided: what `queues.decide` said of it; None: it may start, and the placer will do that.
        holder: the run that holds its group, if one does; then the task for whose approval everybody waits is named.
        approvers: who may approve, as people know them.
    """
    if run.phase is not RunPhase.QUEUED:
        return ()
    if decided is None:
        return (Reason(ReasonCode.QUEUE_NEXT, "it may start; the placer will start it"),)
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
    since = f" since {task.waiting_since:%Y-%m-%d %H:%M:%SZ}" if task.waiting_since is not None else ""
    return (
        f"task {quoted(task.name)} waits for approval{since}{limit}; "
        f"approve it with: sluice run approve {run.id} {task.id}"
    )
