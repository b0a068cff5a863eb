"""The states of runs, tasks, assignments and approvals. Import them from `model`, with the records that have them.

There are three state machines, coupled in one direction only:

    assignment (one attempt on one executor)  ->  task  ->  run

An assignment ends by its executor's report, or as `lost`. A task has the status of its last assignment, or one that the
rules set while it has had none. The state of a run follows from its tasks, and from a stop or a timeout. The only
effect in the other direction is that a stopped run orders its assignments to stop.
"""

from __future__ import annotations

from enum import StrEnum


class RunPhase(StrEnum):
    """The phase of a run. A terminal phase never changes."""

    SETUP_ERROR = "setup_error"
    QUEUED = "queued"
    CANCELLED = "cancelled"
    RUNNING = "running"
    FINISHED = "finished"

    @property
    def is_terminal(self) -> bool:
        """All but queued and running."""
        return self is not RunPhase.QUEUED and self is not RunPhase.RUNNING


class RunResult(StrEnum):
    """The result of a run. Set once."""

    UNSET = "unset"
    SUCCESS = "success"
    FAILED = "failed"
    STOPPED = "stopped"


class TaskStatus(StrEnum):
    """The status of a task. It is `running` from the moment that it is assigned."""

    NOT_STARTED = "not_started"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    RUNNING = "running"
    STOPPED = "stopped"
    SUCCESS = "success"
    FAILED = "failed"
    LOST = "lost"

    @property
    def is_finished(self) -> bool:
        """All but not_started and running: the task *counts* for its children."""
        return self is not TaskStatus.NOT_STARTED and self is not TaskStatus.RUNNING

    @property
    def is_failure(self) -> bool:
        """Failed or lost: what `on_failure` matches."""
        return self is TaskStatus.FAILED or self is TaskStatus.LOST


class AssignmentPhase(StrEnum):
    """The phase of an attempt, in order; the last five are final."""

    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether the attempt is over."""
        return self not in (AssignmentPhase.ASSIGNED, AssignmentPhase.ACCEPTED, AssignmentPhase.RUNNING)


class ApprovalState(StrEnum):
    """The state of the approval of a task, as in events."""

    NOT_NEEDED = "not_needed"
    NOT_ASKED = "not_asked"
    WAITING = "waiting"
    GIVEN = "given"
    EXPIRED = "expired"
    REJECTED = "rejected"


class RestartKind(StrEnum):
    """What was restarted."""

    FROM_START = "from_start"
    FROM_FAILED = "from_failed"
    FROM_TASKS = "from_tasks"
