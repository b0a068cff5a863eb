"""Why a run, a task or an attempt has its state: a stable code, and a sentence for a person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    """Machine codes of reasons. Stable: programs may rely on them.

    `Reason.code` is a plain `str`, because an executor may report a code that is not in this list.
    """

    # why a task was skipped or cancelled
    WHEN_NOT_MATCHED = "when_not_matched"
    EDGE_NOT_MATCHED = "edge_not_matched"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_REJECTED = "approval_rejected"
    RUN_STOPPED = "run_stopped"
    RUN_TIMED_OUT = "run_timed_out"
    RUN_CANCELLED = "run_cancelled"
    RUN_RESULT_SET = "run_result_set"
    # why an attempt, or a run, ended as it did
    TASK_FAILED = "task_failed"
    TESTS_FAILED = "tests_failed"
    TIMEOUT = "timeout"
    WAIT_TIMED_OUT = "wait_timed_out"
    SETUP = "setup"
    ARCHIVE = "archive"
    STOPPED = "stopped"
    EXECUTOR_VANISHED = "executor_vanished"
    DRAINED = "drained"
    OPERATOR = "operator"
    NOT_KNOWN_TO_EXECUTOR = "not_known_to_executor"
    # why a task waits
    WAITS_FOR_PARENTS = "waits_for_parents"
    WAITS_FOR_APPROVAL = "waits_for_approval"
    WAITS_FOR_RUN = "waits_for_run"
    WAITS_FOR_LOCK = "waits_for_lock"
    WAITS_FOR_QUOTA = "waits_for_quota"
    WAITS_FOR_EXECUTOR = "waits_for_executor"
    WAITS_FOR_PLACEMENT = "waits_for_placement"
    WAITS_FOR_RECOVERY = "waits_for_recovery"
    EXECUTOR_OFFLINE = "executor_offline"
    SHARES_SLOTS = "shares_slots"
    WHAT_TO_DO = "what_to_do"
    # the state of a task or a run that waits for nothing
    RUNS_ON_EXECUTOR = "runs_on_executor"
    RAN_ON_EXECUTOR = "ran_on_executor"
    TOLD_TO_STOP = "told_to_stop"
    HELD = "held"
    RUN_PROGRESS = "run_progress"
    SETUP_ERROR = "setup_error"
    # why a run waits
    QUEUE_GROUP_HELD = "queue_group_held"
    QUEUE_HOLDER_WAITS_FOR_APPROVAL = "queue_holder_waits_for_approval"
    QUEUE_BEHIND = "queue_behind"
    QUEUE_CONCURRENCY = "queue_concurrency"
    QUEUE_NEXT = "queue_next"
    SUPERSEDED = "superseded"
    # why an update of an executor was refused
    UNKNOWN_ASSIGNMENT = "unknown_assignment"
    STALE_EPOCH = "stale_epoch"
    STALE_SESSION = "stale_session"
    ATTEMPT_ENDED_OTHERWISE = "attempt_ended_otherwise"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a stable `code` for programs (usually a `ReasonCode`) and one `sentence` for a person."""

    code: str
    sentence: str
