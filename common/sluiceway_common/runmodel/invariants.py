"""The invariants of a run.

`check` names every invariant that a state breaks. Tests call it after every step, the engine before it stores a state:
one that breaks an invariant is the result of a bug, and must not be stored.
"""

from __future__ import annotations

from collections.abc import Iterator

from sluiceway_common.runmodel.model import ApprovalState, RunPhase, RunResult, Task, TaskStatus
from sluiceway_common.runmodel.reasons import ReasonCode
from sluiceway_common.runmodel.state import InvariantBroken, RunState
from sluiceway_common.runmodel.wording import quoted, story_of

_MOST_STORIES = 5


def check(state: RunState, *, before: RunState | None = None) -> None:
    """Refuse a state that breaks an invariant.

    Args:
        state: a fixpoint of the rules, about to be stored.
        before: the stored state before it; then also check that nothing went backwards.

    Raises:
        InvariantBroken: with every sentence of `broken`, and the history of the tasks that they name.
    """
    found = broken(state, before=before)
    if not found:
        return
    named = [task for task in state.tasks.values() if any(quoted(task.name) in fault for fault in found)]
    stories = [story_of(task, state.assignments.get(task.assignment)) for task in named[:_MOST_STORIES]]
    raise InvariantBroken("\n".join([f"run {state.run.id}: " + "; ".join(found), *stories]))


def broken(state: RunState, *, before: RunState | None = None) -> tuple[str, ...]:
    """Return the invariants that a state breaks, as sentences."""
    found = [*_of_run(state), *_of_assignments(state)]
    for task in state.tasks.values():
        found.extend(f"task {quoted(task.name)} {fault}" for fault in _of_task(state, task))
    if before is not None:
        found.extend(_of_step(before, state))
    return tuple(found)


def _of_run(state: RunState) -> Iterator[str]:
    run = state.run
    unfinished = sum(not task.status.is_finished for task in state.tasks.values())
    if run.phase is not RunPhase.RUNNING and state.assignments:
        yield f"it is {run.phase}, but has live assignments"
    if run.phase.is_terminal and unfinished:
        yield f"it is {run.phase}, but {unfinished} of its tasks are not finished"
    if (run.phase is RunPhase.FINISHED) and run.result is RunResult.UNSET:
        yield "it is finished without a result"
    if run.phase in (RunPhase.QUEUED, RunPhase.CANCELLED, RunPhase.SETUP_ERROR) and run.result is not RunResult.UNSET:
        yield f"it is {run.phase} with result {run.result}"
    if run.phase is RunPhase.SETUP_ERROR and state.tasks:
        yield "it has a setup error and tasks"
    if run.phase.is_terminal is (run.end_time is None):
        yield f"it is {run.phase} and its end time is {run.end_time}"
    if run.phase in (RunPhase.RUNNING, RunPhase.FINISHED) and run.start_time is None:
        yield f"it is {run.phase} without a start time"
    if run.phase is RunPhase.RUNNING:
        if run.result is RunResult.UNSET and (unfinished == 0 or run.stop is not None or run.timed_out):
            yield "its result is due, but unset"
        if unfinished == 0 and not state.assignments:
            yield "all of its tasks are finished, but it is running"
    if run.result is RunResult.STOPPED and run.stop is None:
        yield "it was stopped, but nobody asked for that"
    if run.result is RunResult.SUCCESS and any(
        task.status.is_failure and not task.ignore_failure for task in state.tasks.values()
    ):
        yield "it is a success, but one of its tasks failed"


def _of_assignments(state: RunState) -> Iterator[str]:
    for key, assignment in state.assignments.items():
        task = state.tasks.get(assignment.task_id)
        if key != assignment.id or assignment.run_id != state.run.id or task is None:
            yield f"assignment {key} is of another run, or under another key"
        elif assignment.phase.is_final:
            yield f"assignment {key} is final, but among the live ones"
        elif task.assignment != assignment.id:
            yield f"assignment {key} is live, but task {quoted(task.name)} is at {task.assignment!r}"
        elif task.executor != assignment.executor or task.attempt != assignment.epoch.attempt:
            yield f"assignment {key} and task {quoted(task.name)} disagree about executor or attempt"


def _of_task(state: RunState, task: Task) -> Iterator[str]:
    status = task.status
    if (status is TaskStatus.RUNNING) is not (task.assignment in state.assignments):
        yield f"is {status}, its assignment {task.assignment!r} is {'not ' * (status is TaskStatus.RUNNING)}live"
    if status.is_finished is (task.end_time is None):
        yield f"is {status} and its end time is {task.end_time}"
    if status is TaskStatus.NOT_STARTED and task.assignment:
        yield "is not started, but has an assignment"
    gave_up = status is TaskStatus.FAILED and task.reason is not None and task.reason.code == ReasonCode.WAIT_TIMED_OUT
    if status in (TaskStatus.SUCCESS, TaskStatus.FAILED, TaskStatus.LOST, TaskStatus.STOPPED) and not (
        task.was_attempted or task.kept_from or gave_up
    ):
        yield f"is {status}, but was never attempted"
    if status in (TaskStatus.SKIPPED, TaskStatus.CANCELLED) and task.reason is None:
        yield f"is {status} without a reason"
    if status is not TaskStatus.NOT_STARTED and (task.waiting_since is not None or task.runnable_since is not None):
        yield f"is {status}, but waits"
    if status is TaskStatus.RUNNING and task.approval_state not in (ApprovalState.NOT_NEEDED, ApprovalState.GIVEN):
        yield "runs without its approval"
    if task.hold is not None and status is not TaskStatus.RUNNING:
        yield f"is {status}, but its pod is held"
    if task.timed_out and status is not TaskStatus.FAILED:
        yield f"timed out, but is {status}"
    if not 1 <= task.attempt <= max(task.retry.max_attempts, 1) + len(task.retries):
        yield f"is at attempt {task.attempt} of at most {task.retry.max_attempts}"
    level = 1 + max((state.tasks[edge.parent].level for edge in task.depends), default=-1)
    if task.level != level:
        yield f"is at level {task.level}, not {level}"


def _of_step(before: RunState, after: RunState) -> Iterator[str]:
    """Check what never goes backwards: terminal phases, results, finished statuses, numbers of attempts."""
    old, new = before.run, after.run
    if old.phase.is_terminal and new.phase is not old.phase:
        yield f"it went from {old.phase} to {new.phase}"
    if old.phase is RunPhase.RUNNING and new.phase in (RunPhase.QUEUED, RunPhase.CANCELLED, RunPhase.SETUP_ERROR):
        yield f"it went from {old.phase} to {new.phase}"
    # R24 alone lets a result and finished statuses go back.
    retried = {k for k, t in after.tasks.items() if k in before.tasks and t.retries != before.tasks[k].retries}
    goes_back = bool(retried) and old.result is RunResult.FAILED and new.result is not RunResult.STOPPED
    if old.result is not RunResult.UNSET and new.result is not old.result and not goes_back:
        yield f"its result went from {old.result} to {new.result}"
    if before.tasks.keys() != after.tasks.keys():
        yield "its tasks are not the same ones"
        return
    for key, task in after.tasks.items():
        was = before.tasks[key]
        if was is task:
            continue
        undone = retried and (key in retried or was.status in (TaskStatus.SKIPPED, TaskStatus.CANCELLED))
        if was.status.is_finished and task.status is not was.status and not undone:
            yield f"task {quoted(task.name)} went from {was.status} to {task.status}"
        ended_before_retry = was.waits_for_retry and task.status.is_finished
        if task.attempt < was.attempt and not ended_before_retry:
            yield f"task {quoted(task.name)} went from attempt {was.attempt} to {task.attempt}"
        back = was.status is TaskStatus.RUNNING and task.status is TaskStatus.NOT_STARTED
        if back and task.attempt != was.attempt + 1:
            yield f"task {quoted(task.name)} went back without a new attempt"
