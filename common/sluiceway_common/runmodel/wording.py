"""The text of states, durations and lists in sentences. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sluiceway_common.runmodel.model import Assignment, Condition, Run, Task, TaskStatus
from sluiceway_common.runmodel.reasons import Reason, ReasonCode

CONDITION_ORDER = tuple(Condition)

_STATUS_WORDS = {
    TaskStatus.NOT_STARTED: "has not started",
    TaskStatus.SKIPPED: "was skipped",
    TaskStatus.CANCELLED: "was cancelled",
    TaskStatus.RUNNING: "is running",
    TaskStatus.STOPPED: "was stopped",
    TaskStatus.SUCCESS: "succeeded",
    TaskStatus.FAILED: "failed",
    TaskStatus.LOST: "was lost",
}
_CONDITION_WORDS = {
    Condition.ON_SUCCESS: "succeeds",
    Condition.ON_FAILURE: "fails",
    Condition.ON_SKIPPED: "is skipped",
    Condition.ON_STOPPED: "is stopped",
    Condition.ALWAYS: "ends",
}


def status_words(status: TaskStatus) -> str:
    """`failed` as "failed", `running` as "is running": what follows a task's name."""
    return _STATUS_WORDS[status]


def edge_not_matched(parent: str, conditions: Iterable[Condition], why: str) -> str:
    """Return why a task was skipped: `it runs only if "build" succeeds, and "build" failed`.

    Args:
        parent: the name of the task that it depends on.
        conditions: of the edge; written in one fixed order, as "succeeds or fails".
        why: what became of the parent, such as "failed".
    """
    names = set(conditions)
    wanted = " or ".join(_CONDITION_WORDS[c] for c in CONDITION_ORDER if c in names)
    return f"it runs only if {quoted(parent)} {wanted}, and {quoted(parent)} {why}"


def quoted(name: str) -> str:
    """Put a name into double quotes."""
    return f'"{name}"'


def listing(items: Sequence[str], *, limit: int = 5) -> str:
    """Join as "a, b and c"; beyond `limit` as "a, b, c and 4 more"."""
    shown = list(items)
    if len(shown) > limit:
        shown = [*shown[: limit - 1], f"{len(items) - limit + 1} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def moment(time: datetime) -> str:
    """Write a time as "2026-01-31 12:00:00Z"."""
    return f"{time:%Y-%m-%d %H:%M:%SZ}"


def duration(value: timedelta) -> str:
    """Write a duration as the configuration does: "1h30m", "7d", "45s". Below a second: "0.2s"."""
    seconds = value.total_seconds()
    if seconds < 0:
        return f"-{duration(-value)}"
    if seconds != int(seconds):
        return f"{seconds:.6f}".rstrip("0") + "s"
    left = int(seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


def story_of(task: Task, assignment: Assignment | None) -> str:
    """Write the history of a task, for debugging; `assignment`: its live one."""
    parts = []
    if task.previous is not None:
        last = task.previous
        parts.append(f"attempt {last.attempt} {last.status} on {last.executor} at {moment(last.end_time)}")
    if task.runnable_since is not None:
        parts.append(f"runnable since {moment(task.runnable_since)}")
    if task.waiting_since is not None:
        parts.append(f"waits for approval since {moment(task.waiting_since)}")
    now = f"attempt {task.attempt} {task.status}"
    if task.assignment:
        now += f" by assignment {task.assignment} on {task.executor}"
    if assignment is not None:
        now += f", {assignment.phase} since {moment(assignment.start_time or assignment.assign_time)}"
    if task.end_time is not None:
        now += f" at {moment(task.end_time)}"
    if task.reason is not None:
        now += f" ({task.reason.code}: {task.reason.sentence})"
    return f"task {quoted(task.name)}: {'; '.join([*parts, now])}"


def run_timed_out(timeout: timedelta | None) -> Reason:
    """Return why a run failed, and its tasks were stopped, when the timeout of the run passed (R16)."""
    return Reason(ReasonCode.RUN_TIMED_OUT, f"run timed out{_after(timeout)}")


def task_timed_out(timeout: timedelta | None) -> Reason:
    """Return why a task failed when its own timeout passed (R16)."""
    return Reason(ReasonCode.TIMEOUT, f"timed out{_after(timeout)}")


def why_ending(run: Run) -> Reason:
    """Return why the tasks of a run stop, or are not started any more: its timeout, or the stop (R7).

    A clean-up that a timeout left is ended by a forced stop only.
    """
    if run.timed_out and not run.is_forced:
        return run_timed_out(run.timeout)
    return Reason(ReasonCode.RUN_STOPPED, f"run stopped by {run.stop.by}" if run.stop is not None else "run stopped")


def _after(timeout: timedelta | None) -> str:
    return f" after {duration(timeout)}" if timeout is not None else ""
