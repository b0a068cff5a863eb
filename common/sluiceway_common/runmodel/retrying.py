"""R24: a person asks for another attempt of a task that failed, while the rest of its run continues.

The only rule by which a finished status and a result go back. It undoes what the rules alone concluded from the
failure (R1, R6, R8); what people decided, and what any executor began, stays, and forbids it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.runmodel.limits import MAX_ATTEMPTS
from sluiceway_common.runmodel.model import ManualRetry, RunPhase, RunResult, Task, TaskId, TaskStatus
from sluiceway_common.runmodel.reasons import ReasonCode
from sluiceway_common.runmodel.state import Change, RunState
from sluiceway_common.runmodel.updates import next_attempt
from sluiceway_common.runmodel.wording import quoted, status_words

__all__ = ["TaskCannotBeRetried", "retry_task"]


class TaskCannotBeRetried(FailedPrecondition):
    """Only a failed task can be retried, while its run is running and nothing has followed from its failure."""

    reason = "TASK_CANNOT_BE_RETRIED"


def retry_task(state: RunState, task_id: TaskId, *, by: str, now: datetime) -> Change:
    """Ask for another attempt of a task that is failed or lost (R24).

    Raises:
        NotFound: the run has no such task.
        TaskCannotBeRetried: by the state of the run, of the task, or of a task that depends on it.
    """
    task = state.tasks.get(task_id)
    if task is None:
        raise NotFound(f"run {state.run.id} has no task {task_id}", resource_type="task", resource_name=task_id)
    fault = _fault(state, task)
    if fault:
        raise TaskCannotBeRetried(f"task {quoted(task.name)} cannot be retried: {fault}")
    asked = ManualRetry(task.attempt, by, now)
    again = next_attempt(task) if task.assignment else _undecided(task)
    tasks = dict(state.tasks)
    tasks[task_id] = replace(again, retries=(*task.retries, asked))
    _decide_again(tasks, _descendants(state, [task_id]))
    run = state.run
    if run.result is RunResult.FAILED and not any(_fails_the_run(other) for other in tasks.values()):
        run = replace(run, result=RunResult.UNSET)
        for key, other in state.tasks.items():
            below = _descendants(state, [key])
            if _has_code(other, ReasonCode.RUN_RESULT_SET) and not any(_has_begun(state.tasks[each]) for each in below):
                tasks[key] = _undecided(other)
                _decide_again(tasks, below)
    return Change(before=state, state=replace(state, tasks=tasks).with_run(run))


def _fault(state: RunState, task: Task) -> str:
    """Return why a task cannot be retried; empty: it can."""
    run = state.run
    if run.phase is not RunPhase.RUNNING:
        hint = "; restart the run from it instead" if run.phase is RunPhase.FINISHED else ""
        return f"its run is {run.phase}{hint}"
    if run.is_ending:
        return "its run is being stopped, or timed out"
    if not task.status.is_failure:
        return f"it {status_words(task.status)}, and only a task that failed or is lost can be"
    if task.attempt >= MAX_ATTEMPTS:
        return f"it had {MAX_ATTEMPTS} attempts"
    begun = [state.tasks[key] for key in _descendants(state, [task.id]) if _has_begun(state.tasks[key])]
    if begun:
        first = min(begun, key=lambda each: (each.level, each.name))
        return f"task {quoted(first.name)}, which depends on it, has started already"
    return ""


def _has_begun(task: Task) -> bool:
    """Return whether an executor had it, or it failed while it waited for one."""
    return task.was_attempted or task.status.is_failure


def _fails_the_run(task: Task) -> bool:
    return (task.status.is_failure or task.status is TaskStatus.STOPPED) and not task.ignore_failure


def _has_code(task: Task, code: ReasonCode) -> bool:
    return task.status.is_finished and task.reason is not None and task.reason.code == code


def _decide_again(tasks: dict[TaskId, Task], keys: Iterable[TaskId]) -> None:
    """Undo what R8 and R9 concluded. An approval was given for what was known then, so it is asked for again."""
    for key in keys:
        task = tasks[key]
        if task.status is TaskStatus.NOT_STARTED or _has_code(task, ReasonCode.EDGE_NOT_MATCHED):
            tasks[key] = replace(_undecided(task), approved=None)


def _undecided(task: Task) -> Task:
    return replace(
        task,
        status=TaskStatus.NOT_STARTED,
        reason=None,
        end_time=None,
        waiting_since=None,
        runnable_since=None,
    )


def _descendants(state: RunState, keys: Iterable[TaskId]) -> set[TaskId]:
    found: set[TaskId] = set()
    left = list(keys)
    while left:
        for child in state.graph.children[left.pop()]:
            if child not in found:
                found.add(child)
                left.append(child)
    return found
