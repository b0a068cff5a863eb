"""A run, its tasks and their assignments: records as values.

Everything here is frozen. Only the functions of this package make new values; nobody assigns to a phase, a result or
a status (`phases`).

The records have what rules and placement need. What only an executor needs (commands, images, environments) is in the
configuration of the run, which no rule reads.

Times are `datetime` with time zone UTC, given from outside. Ids are UUIDv7 strings, so their order is that of creation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from sluiceway_common.runmodel.conditions import Condition, RetryCause
from sluiceway_common.runmodel.hold_state import Hold, HoldAction, HoldOrder
from sluiceway_common.runmodel.limits import DEFAULT_APPROVAL_TIMEOUT
from sluiceway_common.runmodel.phases import (
    ApprovalState,
    AssignmentPhase,
    RestartKind,
    RunPhase,
    RunResult,
    TaskStatus,
)
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.steps import Steps

__all__ = [
    "ANY_EXECUTOR",
    "DEFAULT_RETRY",
    "ApprovalGiven",
    "ApprovalNeed",
    "ApprovalState",
    "Archive",
    "Assignment",
    "AssignmentId",
    "AssignmentPhase",
    "AttemptEnd",
    "Condition",
    "Edge",
    "Epoch",
    "ExecutorId",
    "Hold",
    "HoldAction",
    "HoldOrder",
    "ManualRetry",
    "Needs",
    "RestartKind",
    "RestartOf",
    "Retry",
    "RetryCause",
    "Run",
    "RunId",
    "RunPhase",
    "RunResult",
    "Source",
    "StopRequest",
    "Task",
    "TaskId",
    "TaskStatus",
    "TestCounts",
]

RunId = str
TaskId = str
AssignmentId = str
ExecutorId = str

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """What fences an attempt: the database's epoch when it was assigned, and the attempt (from 1)."""

    database: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A stop was asked for: first when and by whom; and when it was forced, if it was, and by whom."""

    time: datetime
    by: str
    forced: bool = False
    forced_time: datetime | None = None
    forced_by: str = ""


@dataclass(frozen=True, slots=True)
class RestartOf:
    """The run that this one is a restart of."""

    run_id: RunId
    kind: RestartKind


@dataclass(frozen=True, slots=True)
class Source:
    """What a run was created from. Strings that do not apply are empty."""

    repository: str = ""
    ref_type: str = ""
    ref: str = ""
    branch: str = ""
    tag: str = ""
    pull_request_id: str = ""
    commit_sha: str = ""
    message: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        number: counted from 1 in `scope`.
        group: the path in which it queues; canonical, segments percent-escaped (`groups.py`).
        scope: the first two segments of `group`, such as `/project/<id>`: where numbers count, where locks and
            `concurrency` hold, and the owner in fair share.
        reason: why it has its result (`timeout`, `task_failed`), if there is more to say than the result.
        event: what made it, as the records say (`RunRecord.event`); empty: a caller.
        notes: what a person should know besides the result, such as an approval that expired. Sorted.
        stop: the stop that was asked for, if one was. A timeout is not a stop: see `timed_out`.
        timed_out: the run's own `timeout` passed while tasks were left.
        approval_waited: how long nothing but an approval was waited for, ended waits only; `timeout` does not count it.
        approval_wait_since: since when nothing but an approval is waited for now.
        work_start_time: when the first of its tasks was given to an executor.
        config_digest: of the rendered configuration; an approval is for exactly this.
    """

    id: RunId
    number: int
    name: str
    group: str
    scope: str
    phase: RunPhase
    create_time: datetime
    result: RunResult = RunResult.UNSET
    reason: Reason | None = None
    notes: tuple[Reason, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    from_fork: bool = False
    event: str = ""
    stop: StopRequest | None = None
    restart_of: RestartOf | None = None
    priority: int = 0
    timeout: timedelta | None = None
    timed_out: bool = False
    approval_waited: timedelta = timedelta()
    approval_wait_since: datetime | None = None
    enqueue_time: datetime | None = None
    start_time: datetime | None = None
    work_start_time: datetime | None = None
    end_time: datetime | None = None
    created_by: str = ""
    source: Source = Source()
    config_digest: str = ""

    @property
    def is_ending(self) -> bool:
        """Whether a stop was requested or the run timed out: what R6, R7 and R14 call *stop requested*."""
        return self.stop is not None or self.timed_out

    @property
    def is_forced(self) -> bool:
        """Whether a forced stop was requested: then clean-ups are not started either."""
        return self.stop is not None and self.stop.forced


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge of the graph, kept at the child: the parent, and the alternatives that it must match."""

    parent: TaskId
    conditions: frozenset[Condition] = frozenset({Condition.ON_SUCCESS})


@dataclass(frozen=True, slots=True)
class ApprovalNeed:
    """A task needs an approval, for at most `timeout` from when it begins to wait; perhaps one of an owner (R18)."""

    timeout: timedelta = DEFAULT_APPROVAL_TIMEOUT
    owners_only: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalGiven:
    """Who approved what, and when. `commit_sha` and `config_digest` are those of the run at that time."""

    by: str
    time: datetime
    commit_sha: str = ""
    config_digest: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a task may be attempted, the first time included, and after which causes.

    Attributes:
        exit_codes: after the cause `failed` only if the step that failed ended with one of these; empty: any.
        avoid_executor: the next attempt goes to another executor than the last one, if another one could run the task.
    """

    max_attempts: int = 1
    on: frozenset[RetryCause] = frozenset({RetryCause.FAILED, RetryCause.TIMEOUT, RetryCause.SETUP})
    exit_codes: frozenset[int] = frozenset()
    avoid_executor: bool = False


DEFAULT_RETRY = Retry()


@dataclass(frozen=True, slots=True)
class Needs:
    """What a task requires of its executor.

    Attributes:
        arch: empty: any.
        labels: each must be there with this value.
        privileged: one of its containers, or services, is privileged.
        runtime: the runtime's type.
        drivers: the drivers that may run it; empty: any.
    """

    arch: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    privileged: bool = False
    runtime: str = "pod"
    drivers: frozenset[str] = frozenset()


ANY_EXECUTOR = Needs()


class ArchiveKind(StrEnum):
    """What an archive is for: descendants of its task, people, or later runs."""

    WORKSPACE = "workspace"
    ARTIFACT = "artifact"
    CACHE = "cache"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class TestCounts:
    """How many tests a report has, and which failed: the first few by name."""

    __test__ = False

    total: int
    failed: int
    skipped: int
    failed_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Archive:
    """What a step stored.

    Attributes:
        step: its index.
        digest: SHA-256 of the bytes, in hex.
        size: in bytes.
        kind: what it is for; never a cache, which belongs to no task.
        name: of an artifact.
        files: how many are in it.
        tests: of a report.
    """

    step: int
    digest: str
    size: int
    kind: ArchiveKind = ArchiveKind.WORKSPACE
    name: str = ""
    files: int = 0
    tests: TestCounts | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended whose retry is due; a stop restores this (R14)."""

    status: TaskStatus
    attempt: int
    assignment: AssignmentId
    executor: ExecutorId
    steps: Steps
    end_time: datetime
    start_time: datetime | None = None
    timed_out: bool = False
    reason: Reason | None = None
    archives: tuple[Archive, ...] = ()


@dataclass(frozen=True, slots=True)
class ManualRetry:
    """Who asked for another attempt after the one with this number, and when (R24)."""

    attempt: int
    by: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """A node of a run's graph, and its status.

    Attributes:
        level: 0 without parents, else one more than the highest parent.
        reason: why it waits, was skipped, was cancelled, failed or is lost.
        approval: None when none is needed.
        waiting_since: it waits for its approval since then (R9).
        attempt: the number of the present attempt, from 1; of the next one while the task is not started.
        assignment: that of the present attempt, or of the last one; empty before the first and while a retry is due.
        executor: the executor of `assignment`.
        previous: how the attempt before this one ended, when there was one.
        runnable_since: it has been runnable since then (R10); empty once it is assigned.
        wait_timeout: how long it may be runnable without an executor that takes it (R22); None: without end.
        kept_from: in a restart: the run in which this task ran; its id, logs and archives are shared.
        steps: of the present attempt; those of earlier ones are in their assignments.
        hold: its pod is held after a failed step; the task is still running (H1).
        held: how long its pod was held, ended holds of the present attempt only; `timeout` does not count it.
        continuations: how people ended the holds of the present attempt.
        retries: what people asked for after it had failed (R24).
    """

    id: TaskId
    name: str
    steps: Steps
    level: int = 0
    depends: tuple[Edge, ...] = ()
    status: TaskStatus = TaskStatus.NOT_STARTED
    reason: Reason | None = None
    timed_out: bool = False
    ignore_failure: bool = False
    approval: ApprovalNeed | None = None
    waiting_since: datetime | None = None
    approved: ApprovalGiven | None = None
    lock: str = ""
    retry: Retry = DEFAULT_RETRY
    timeout: timedelta | None = None
    wait_timeout: timedelta | None = None
    priority: int = 0
    needs: Needs = ANY_EXECUTOR
    attempt: int = 1
    assignment: AssignmentId = ""
    executor: ExecutorId = ""
    previous: AttemptEnd | None = None
    runnable_since: datetime | None = None
    kept_from: RunId = ""
    archives: tuple[Archive, ...] = ()
    start_time: datetime | None = None
    end_time: datetime | None = None
    hold: Hold | None = None
    held: timedelta = timedelta()
    continuations: tuple[HoldOrder, ...] = ()
    retries: tuple[ManualRetry, ...] = ()

    @property
    def was_attempted(self) -> bool:
        """Whether it ever had an assignment."""
        return self.attempt > 1 or self.assignment != ""

    @property
    def avoids(self) -> ExecutorId:
        """The executor that its next attempt avoids; empty: none."""
        return self.previous.executor if self.retry.avoid_executor and self.previous is not None else ""

    @property
    def waits_for_retry(self) -> bool:
        """Whether an attempt ended and the next one is due."""
        return self.status is TaskStatus.NOT_STARTED and self.attempt > 1

    @property
    def approval_state(self) -> ApprovalState:
        """The state of its approval."""
        if self.approval is None:
            return ApprovalState.NOT_NEEDED
        if self.approved is not None:
            return ApprovalState.GIVEN
        if self.waiting_since is not None:
            return ApprovalState.WAITING
        code = self.reason.code if self.reason is not None else ""
        if code == ReasonCode.APPROVAL_EXPIRED:
            return ApprovalState.EXPIRED
        return ApprovalState.REJECTED if code == ReasonCode.APPROVAL_REJECTED else ApprovalState.NOT_ASKED

    @property
    def is_clean_up(self) -> bool:
        """Whether its conditions decide about it even after a stop (R7).

        Each of its edges names `always` or `on_stopped`, it has at least one, and it needs no approval.
        """
        return (
            bool(self.depends)
            and self.approval is None
            and all(Condition.ALWAYS in e.conditions or Condition.ON_STOPPED in e.conditions for e in self.depends)
        )


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt of one task on one executor.

    Attributes:
        session: the executor's session that owns it; a report of another one is refused.
        start_time: when its pod started.
        cause: why it did not succeed; None while it is not final, on success and on a stop.
        timed_out: the task's timeout passed; it was ordered to stop for that.
        stop_requested: when it was ordered to stop, and `stop_reason`: why.
        stop_forced: ordered to stop at once, without grace and without clean-up steps.
        lock: the lock that it holds until it is final, as (scope, name).
        steps: their final state; None until the attempt is over.
        hold_order: how its last hold is to end; the executor is sent it until it has reported that end.
    """

    id: AssignmentId
    run_id: RunId
    task_id: TaskId
    epoch: Epoch
    executor: ExecutorId
    session: str
    assign_time: datetime
    phase: AssignmentPhase = AssignmentPhase.ASSIGNED
    accept_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    cause: RetryCause | None = None
    reason: Reason | None = None
    timed_out: bool = False
    stop_requested: datetime | None = None
    stop_reason: Reason | None = None
    stop_forced: bool = False
    lock: tuple[str, str] | None = None
    steps: Steps | None = None
    hold_order: HoldOrder | None = None
