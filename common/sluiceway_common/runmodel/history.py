"""The story of a run, told from its records: what happened when, and how everything stood at a moment.

Nothing is stored for it. A run, its tasks and its attempts keep when each thing happened; what they do not keep follows
from the rules: a task is ready when its last parent ended, and a retry when the attempt before it did. So the story is
there as long as the run is, also of runs whose events are too old to be watched.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluiceway_common.runmodel.holds import WORDS_OF_ACTIONS
from sluiceway_common.runmodel.model import (
    ApprovalState,
    Assignment,
    AssignmentPhase,
    ManualRetry,
    Run,
    RunPhase,
    Task,
    TaskId,
    TaskStatus,
)
from sluiceway_common.runmodel.reasons import Reason
from sluiceway_common.runmodel.wording import duration, listing, quoted, status_words

_NO_START = frozenset({TaskStatus.SKIPPED, TaskStatus.CANCELLED})
_MOST_PARENTS = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        sentence: what happened, for a person; of a task without its name.
        task_id: empty: it is about the run.
        attempt: of the task; 0: it is about none.
        executor: that the attempt is on; empty: none.
        status: of the task from then on; None: as before.
        phase: of the run from then on; None: as before.
    """

    time: datetime
    sentence: str
    task_id: TaskId = ""
    attempt: int = 0
    executor: str = ""
    status: TaskStatus | None = None
    phase: RunPhase | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """How a run stood at a moment: its phase, and for each task its status and the sentence that says why.

    `phase` is None before the run was created.
    """

    phase: RunPhase | None
    tasks: Mapping[TaskId, tuple[TaskStatus, str]]


def story(run: Run, tasks: Mapping[TaskId, Task], attempts: Mapping[TaskId, Sequence[Assignment]]) -> tuple[Entry, ...]:
    """Return what happened, by time.

    Args:
        run: the run.
        tasks: all of its tasks.
        attempts: the assignments of each task of this run, the first one first.
    """
    entries = [*_beginning(run)]
    for task in sorted(tasks.values(), key=lambda each: (each.level, each.name, each.id)):
        entries += _of_task(run, task, tasks, attempts.get(task.id, ()))
        entries += _holds(task)
    entries += _stops(run)
    if run.end_time is not None:
        entries.append(Entry(run.end_time, _end_of_run(run), phase=run.phase))
    return tuple(sorted(entries, key=lambda entry: entry.time))


def moment(run: Run, tasks: Mapping[TaskId, Task], entries: Iterable[Entry], time: datetime) -> Moment:
    """Return how a run stood at a time; `entries`: its story."""
    if time < run.create_time:
        return Moment(None, {})
    phase = RunPhase.QUEUED
    standing: dict[TaskId, tuple[TaskStatus, str]] = {}
    for task in tasks.values():
        names = sorted(tasks[edge.parent].name for edge in task.depends)
        waits = f"waits for {listing([quoted(name) for name in names], limit=_MOST_PARENTS)}" if names else ""
        standing[task.id] = (TaskStatus.NOT_STARTED, waits or "waits until its run starts")
    for entry in entries:
        if entry.time > time:
            break
        phase = entry.phase or phase
        if entry.task_id:
            status, _ = standing[entry.task_id]
            standing[entry.task_id] = (entry.status or status, entry.sentence)
    return Moment(phase, standing)


def _beginning(run: Run) -> Iterator[Entry]:
    by = f" by {run.created_by}" if run.created_by else ""
    restarted = f", as a restart of run {run.restart_of.run_id}" if run.restart_of is not None else ""
    first = run.phase if run.phase is RunPhase.SETUP_ERROR else RunPhase.QUEUED
    yield Entry(run.create_time, f"created{by}{restarted}", phase=first)
    if run.start_time is not None:
        waited = run.start_time - run.create_time
        after = f" after {duration(_whole(waited))} in the queue of its group" if waited.total_seconds() >= 1 else ""
        yield Entry(run.start_time, f"started{after}", phase=RunPhase.RUNNING)


def _stops(run: Run) -> Iterator[Entry]:
    if run.stop is None:
        return
    yield Entry(run.stop.time, f"{run.stop.by} asked it to stop")
    if run.stop.forced_time is not None:
        yield Entry(run.stop.forced_time, f"{run.stop.forced_by or run.stop.by} asked it to stop at once")


def _end_of_run(run: Run) -> str:
    if run.phase is not RunPhase.FINISHED:
        return f"ended: {run.reason.sentence}" if run.reason is not None else f"ended: {run.phase}"
    why = "; ".join(reason.sentence for reason in ((run.reason,) if run.reason else ()) + run.notes)
    return f"ended: {run.result}" + (f": {why}" if why else "")


def _of_task(run: Run, task: Task, tasks: Mapping[TaskId, Task], attempts: Sequence[Assignment]) -> Iterator[Entry]:
    if task.kept_from:
        sentence = f"kept from run {task.kept_from}, where it {status_words(task.status)}"
        yield Entry(run.create_time, sentence, task.id, status=task.status)
        return
    ready = _ready_time(run, task, tasks)
    if ready is not None and not (task.status in _NO_START and task.end_time == ready):
        ready = yield from _approval(task, ready)
        numbers = {assignment.epoch.attempt for assignment in attempts}
        yield from (_asked(task, each) for each in task.retries if each.attempt not in numbers)
        for assignment in attempts:
            yield from _attempt(task, assignment, ready)
            ready = assignment.end_time
            if (retry := _manual_retry(task, assignment)) is not None:
                yield _asked(task, retry)
                ready = retry.time
        if ready is not None and task.status is TaskStatus.NOT_STARTED:
            yield Entry(ready, _with_reason("waits for an executor", task.reason), task.id, task.attempt)
    if task.end_time is not None and (not attempts or attempts[-1].end_time != task.end_time):
        sentence = _with_reason(status_words(task.status), task.reason)
        yield Entry(task.end_time, sentence, task.id, status=task.status)


def _ready_time(run: Run, task: Task, tasks: Mapping[TaskId, Task]) -> datetime | None:
    """Return when the last of its parents ended in this run; None: not yet."""
    ends = [tasks[edge.parent].end_time for edge in task.depends]
    if run.start_time is None or any(end is None for end in ends):
        return None
    return max([run.start_time, *(end for end in ends if end is not None)])


def _approval(task: Task, ready: datetime) -> Generator[Entry, None, datetime | None]:
    """Yield what happened to the approval of a task; return from when it only needed an executor."""
    if task.approval is None:
        return ready
    yield Entry(ready, "waits for approval", task.id)
    if task.approval_state is not ApprovalState.GIVEN or task.approved is None:
        return None
    waited = _whole(task.approved.time - ready)
    yield Entry(task.approved.time, f"approved by {task.approved.by} after {duration(waited)}", task.id)
    return task.approved.time


def _attempt(task: Task, assignment: Assignment, ready: datetime | None) -> Iterator[Entry]:
    number, executor = assignment.epoch.attempt, assignment.executor
    waited = assignment.assign_time - ready if ready is not None else None
    after = f" after {duration(_whole(waited))}" if waited is not None and waited.total_seconds() >= 1 else ""
    if after and ready is not None:
        yield Entry(ready, "waits for an executor", task.id, number, status=TaskStatus.NOT_STARTED)
    again = f"attempt {number} " if number > 1 else ""
    sentence = f"{again}assigned to {executor}{after}"
    yield Entry(assignment.assign_time, sentence, task.id, number, executor, TaskStatus.RUNNING)
    if assignment.start_time is not None:
        yield Entry(assignment.start_time, f"runs on {executor}", task.id, number, executor)
    if assignment.stop_requested is not None:
        sentence = _with_reason("ordered to stop", assignment.stop_reason)
        yield Entry(assignment.stop_requested, sentence, task.id, number, executor)
    if assignment.end_time is None:
        return
    is_last = task.status.is_finished and task.assignment == assignment.id
    status, reason = (task.status, task.reason) if is_last else (TaskStatus.NOT_STARTED, assignment.reason)
    what = status_words(task.status) if is_last else f"attempt {number} {assignment.phase}, and is followed by another"
    if not is_last and _manual_retry(task, assignment) is not None:
        status = TaskStatus.LOST if assignment.phase is AssignmentPhase.LOST else TaskStatus.FAILED
        what = status_words(status)
    yield Entry(assignment.end_time, _with_reason(what, reason), task.id, number, executor, status)


def _manual_retry(task: Task, assignment: Assignment) -> ManualRetry | None:
    """Return what a person asked for after an attempt."""
    return next((each for each in task.retries if each.attempt == assignment.epoch.attempt), None)


def _asked(task: Task, retry: ManualRetry) -> Entry:
    return Entry(retry.time, f"another attempt was asked for by {retry.by}", task.id, status=TaskStatus.NOT_STARTED)


def _holds(task: Task) -> Iterator[Entry]:
    """Yield how people ended the holds of the last attempt, and the hold that it has now."""
    for order in task.continuations:
        yield Entry(order.time, f"{order.by} asked {WORDS_OF_ACTIONS[order.action]}", task.id, task.attempt)
    if task.hold is not None and task.reason is not None:
        yield Entry(task.hold.start_time, task.reason.sentence, task.id, task.attempt, task.executor)


def _with_reason(sentence: str, reason: Reason | None) -> str:
    return sentence if reason is None else f"{sentence}: {reason.sentence}"


def _whole(value: timedelta) -> timedelta:
    """Return whole seconds of a duration."""
    return timedelta(seconds=max(0, int(value.total_seconds())))
