"""Holds: the pod of an attempt is kept after a failed step, until a person continues or its limit passes.

H1. A held task is running for all rules: its run has no result by it, its group, its lock and its slot stay busy.
H2. The executor reports a hold and its end. It begins when the first report of its number is applied.
H3. The timeout of a task does not count while it is held; that of its run does.
H4. A hold has one order: to run the failed step again, to run the next one, or to release. Another one is refused.
H5. A stop, its limit, or the loss of its executor ends a hold. An order that was not carried out has no effect then.
H6. A run of a fork holds no pod.

Pure. `updates.report` applies what an executor reports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.runmodel.model import Hold, HoldAction, HoldOrder, Task, TaskId, TaskStatus
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.state import Change, RunState
from sluiceway_common.runmodel.steps import Steps
from sluiceway_common.runmodel.wording import moment, quoted, status_words

MAX_HOLD: Final = timedelta(hours=24)
MAX_CONTINUATIONS: Final = 100
"""Of one attempt: those that are stored. A person who needs more starts a new run."""


class TaskNotHeld(FailedPrecondition):
    """Only a task whose pod is held can be continued or released."""

    reason = "TASK_NOT_HELD"


class HoldEnds(FailedPrecondition):
    """The hold already ends in another way."""

    reason = "HOLD_ENDS"


@dataclass(frozen=True, slots=True)
class ReportedHold:
    """A hold as an executor reports it: its number, the step that failed, and how long it lasts at most."""

    number: int
    step: int
    limit: timedelta


def reported(task: Task, hold: ReportedHold | None, steps: Steps, now: datetime) -> Task:
    """Return a task after a report about its hold (H2). `steps`: as they are now.

    The same hold may be reported again; it keeps the time at which it began.
    """
    was = task.hold
    if hold is not None and was is not None and hold.number == was.number:
        return task
    if was is not None:
        held = task.held + max(now - was.start_time, timedelta())
        task = replace(task, hold=None, held=held, reason=None)
    if hold is None:
        return task
    until = now + min(max(hold.limit, timedelta()), MAX_HOLD)
    return replace(task, hold=Hold(hold.number, hold.step, now, until), reason=_why_held(steps, until))


def order(state: RunState, task_id: TaskId, action: HoldAction, *, by: str, now: datetime, hold: int = 0) -> Change:
    """Ask for the end of the hold of a task (H4). The same order again changes nothing.

    Args:
        state: the run.
        task_id: the task.
        action: how it continues.
        by: who asks.
        now: the time.
        hold: the number of the hold that is meant; 0: the present one.

    Raises:
        NotFound: the run has no such task.
        TaskNotHeld: its pod is not held, or that hold is over.
        HoldEnds: it is already to end in another way, or it was continued too often.
    """
    task = state.tasks.get(task_id)
    if task is None:
        raise NotFound(f"run {state.run.id} has no task {task_id}", resource_type="task", resource_name=task_id)
    assignment = state.assignments.get(task.assignment)
    if task.hold is None or assignment is None or (hold and hold != task.hold.number):
        raise TaskNotHeld(_why_not_held(task), subject=task.name)
    if assignment.stop_requested is not None:
        raise HoldEnds(f"task {quoted(task.name)} is being stopped", subject=task.name)
    known = assignment.hold_order
    if known is not None and known.hold == task.hold.number:
        if known.action is action:
            return Change(before=state, state=state)
        raise HoldEnds(
            f"{known.by} asked for another end of the hold: {WORDS_OF_ACTIONS[known.action]}", subject=task.name
        )
    if action is not HoldAction.RELEASE and len(task.continuations) >= MAX_CONTINUATIONS:
        raise HoldEnds(
            f"it was continued {MAX_CONTINUATIONS} times; release it, and restart the run", subject=task.name
        )
    ordered = HoldOrder(task.hold.number, action, by, now)
    continued = replace(task, continuations=(*task.continuations, ordered))
    told = replace(assignment, hold_order=ordered)
    return Change(before=state, state=state.with_task(continued).with_assignment(told), assignments=(told,))


WORDS_OF_ACTIONS: Final = {
    HoldAction.RUN_FAILED_STEP: "to run the failed step again",
    HoldAction.RUN_NEXT_STEP: "to run the next step",
    HoldAction.RELEASE: "to release it",
}


def _why_held(steps: Steps, until: datetime) -> Reason:
    failed = steps.failed()
    what = "a step failed"
    if failed is not None:
        status = f" with exit status {failed.exit_status}" if failed.exit_status is not None else ""
        what = f"step {quoted(failed.name)} failed{status}"
    return Reason(ReasonCode.HELD, f"failed, held until {moment(until)}: {what}")


def _why_not_held(task: Task) -> str:
    name = f"task {quoted(task.name)}"
    if task.hold is not None:
        return f"that hold of {name} is over: its present one is number {task.hold.number}"
    if task.status is TaskStatus.RUNNING:
        return f"{name} is running; its pod is not held"
    return f"the pod of {name} is not held: it {status_words(task.status)}"
