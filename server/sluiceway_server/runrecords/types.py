"""The types of record that the run service keeps, their columns and their indexes.

Ids: a run, an assignment and an executor have their own; a task is `<run>/<task>`, so that a scan by prefix walks one
run; a queue is named by its group, a lock by scope and name, a log by assignment and step.

What has ended is old before long, and there is much of it: the bodies of runs, tasks, assignments and configurations
move to the object storage (`Bodies.REMOTE`), and their rows are small. Columns that only lists of the living need are
empty once a record has come to rest, and its indexes are sparse.

Every transaction that touches a run, one of its tasks or one of its assignments moves the change group `run/<id>`
(`run_group`). Whoever holds a picture of a run with the revision of that group knows whether it is still true.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Bodies, Column, RecordType, Value, Where
from sluiceway_server.runrecords.summaries import summary_of

__all__ = [
    "ASSIGNMENT",
    "EXECUTOR",
    "LOCK",
    "PLACER",
    "PLACER_ID",
    "QUEUE",
    "RECORD_TYPES",
    "REQUEST",
    "RETENTION",
    "RETENTION_ID",
    "RUN",
    "RUN_CONFIG",
    "RUN_NUMBER",
    "TASK",
    "TERMINAL_PHASES",
    "TOPIC_PLACEMENT",
    "TOPIC_RUNS",
    "active_in",
    "executor_topic",
    "group_topic",
    "lock_id",
    "outcomes",
    "run_group",
    "run_topic",
    "task_id",
]

TERMINAL_PHASES = frozenset({api.RUN_PHASE_SETUP_ERROR, api.RUN_PHASE_CANCELLED, api.RUN_PHASE_FINISHED})

OPEN_STATUSES = frozenset({api.TASK_STATUS_UNSPECIFIED, api.TASK_STATUS_NOT_STARTED, api.TASK_STATUS_RUNNING})

FINAL_PHASES = frozenset(
    {
        executor_api.ASSIGNMENT_PHASE_SUCCESS,
        executor_api.ASSIGNMENT_PHASE_FAILED,
        executor_api.ASSIGNMENT_PHASE_STOPPED,
        executor_api.ASSIGNMENT_PHASE_CANCELLED,
        executor_api.ASSIGNMENT_PHASE_LOST,
    }
)

BAD_PHASES = FINAL_PHASES - {executor_api.ASSIGNMENT_PHASE_SUCCESS}


def _milliseconds(stamp: Timestamp) -> int:
    return stamp.seconds * 1000 + stamp.nanos // 1_000_000


def _outcome(phase: int, result: int) -> int:
    return phase * 100 + result


def outcomes(*, phases: Collection[int] = (), result: int = 0) -> tuple[int, ...]:
    """The values of the column `outcome` of runs in one of some phases (empty: any), with a result (0: any)."""
    results = (result,) if result else api.RunResult.values()
    return tuple(_outcome(phase, each) for phase in phases or api.RunPhase.values() for each in results)


def active_in(scope: str, phase: int) -> Where:
    """The filter for the runs of a scope that are queued, or running."""
    return {"scope": scope, "outcome": outcomes(phases=(phase,))}


def _is_over(record: pb.RunRecord) -> bool:
    return record.run.phase in TERMINAL_PHASES


def _is_live(record: pb.AssignmentRecord) -> bool:
    return record.phase not in FINAL_PHASES


def _while_live(of: Callable[[pb.AssignmentRecord], Value]) -> Callable[[pb.AssignmentRecord], Value]:
    return lambda record: of(record) if _is_live(record) else None


def _task_state(record: pb.TaskRecord) -> str | None:
    # `ready` tasks wait for a place and nothing else; `parked` ones wait for an executor that could ever run them.
    if record.task.status != api.TASK_STATUS_NOT_STARTED or not record.task.HasField("runnable_since"):
        return None
    return "parked" if record.parked else "ready"


def _while_waiting(of: Callable[[pb.TaskRecord], Value]) -> Callable[[pb.TaskRecord], Value]:
    return lambda record: None if _task_state(record) is None else of(record)


def _rank(record: pb.TaskRecord) -> int:
    # A level of priority is worth ten minutes of waiting (run-model.md, "Order"): so the order among those that wait
    # does not change with time, and an index can hold it.
    return _milliseconds(record.task.runnable_since) - record.task.priority * 600_000


RUN: RecordType[pb.RunRecord] = RecordType(
    "run",
    pb.RunRecord,
    columns=(
        Column("group", lambda r: r.run.group),
        # Phase and result in one: one index serves every choice of the two, as lists that are merged.
        Column("outcome", lambda r: _outcome(r.run.phase, r.run.result)),
        Column("created", lambda r: _milliseconds(r.run.create_time)),
        Column("scope", lambda r: r.scope),
        Column("number", lambda r: r.run.number),
        Column("summary", summary_of),
    ),
    indexes=(
        ("created",),
        ("outcome", "created"),
        # Lists of a group, or of a scope, name all outcomes when they want any.
        ("group", "outcome", "created"),
        ("scope", "outcome", "created"),
        ("scope", "number"),
    ),
    bodies=Bodies.REMOTE,
    settled=_is_over,
    version=3,
)
TASK: RecordType[pb.TaskRecord] = RecordType(
    "task",
    pb.TaskRecord,
    columns=(
        Column("state", _task_state),
        Column("scope", _while_waiting(lambda r: r.scope)),
        Column("rank", _while_waiting(_rank)),
    ),
    indexes=(("state", "rank"), ("state", "scope", "rank")),
    sparse=("state",),
    bodies=Bodies.REMOTE,
    settled=lambda r: r.task.status not in OPEN_STATUSES,
    version=2,
)
# It never changes, so it is at rest from the beginning. What a run at work needs of it is younger than a day, nearly
# always; and one that waited for longer costs a read of the object storage.
RUN_CONFIG: RecordType[pb.RunConfigRecord] = RecordType(
    "run_config",
    pb.RunConfigRecord,
    # By the digest one sees whether an object with a large configuration is still needed.
    columns=(Column("apart", lambda r: r.digest if r.stored_apart else None),),
    indexes=(("apart",),),
    sparse=("apart",),
    bodies=Bodies.REMOTE,
    version=2,
)
ASSIGNMENT: RecordType[pb.AssignmentRecord] = RecordType(
    "assignment",
    pb.AssignmentRecord,
    columns=(
        Column("executor_id", _while_live(lambda r: r.executor_id)),
        Column("session_id", _while_live(lambda r: r.session_id)),
        Column("run_id", _while_live(lambda r: r.run_id)),
        Column("scope", _while_live(lambda r: r.scope)),
        Column("live", _while_live(lambda r: 1)),
        # What the log of an attempt is found by that was followed by another one: of a task that ended well, the task
        # itself names the assignment.
        Column("bad_end_of", lambda r: r.task_id if r.phase in BAD_PHASES else None),
        Column("bad_attempt", lambda r: r.epoch.attempt if r.phase in BAD_PHASES else None),
    ),
    indexes=(
        ("executor_id", "live"),
        ("session_id", "live"),
        ("run_id", "live"),
        ("scope", "live"),
        ("live",),
        ("bad_end_of", "bad_attempt"),
    ),
    sparse=("live", "bad_end_of"),
    bodies=Bodies.REMOTE,
    settled=lambda r: not _is_live(r),
    version=2,
)
QUEUE: RecordType[pb.QueueRecord] = RecordType(
    "queue", pb.QueueRecord, columns=(Column("scope", lambda r: r.scope),), indexes=(("scope",),)
)
LOCK: RecordType[pb.LockRecord] = RecordType("lock", pb.LockRecord)
RUN_NUMBER: RecordType[pb.RunNumberRecord] = RecordType("run_number", pb.RunNumberRecord)
REQUEST: RecordType[pb.RequestRecord] = RecordType(
    "run_request",
    pb.RequestRecord,
    columns=(Column("time", lambda r: _milliseconds(r.time)),),
    indexes=(("time",),),
)
EXECUTOR: RecordType[pb.ExecutorRecord] = RecordType(
    "executor",
    pb.ExecutorRecord,
    columns=(Column("group", lambda r: r.group), Column("vanished", lambda r: int(r.vanished))),
    indexes=(("group",), ("vanished",)),
)
PLACER: RecordType[pb.PlacerRecord] = RecordType("placer", pb.PlacerRecord)
PLACER_ID = "placer"
RETENTION: RecordType[pb.RetentionRecord] = RecordType("retention", pb.RetentionRecord)
RETENTION_ID = "retention"

RECORD_TYPES: tuple[RecordType[Any], ...] = (
    RUN,
    TASK,
    RUN_CONFIG,
    ASSIGNMENT,
    QUEUE,
    LOCK,
    RUN_NUMBER,
    REQUEST,
    EXECUTOR,
    PLACER,
    RETENTION,
)

TOPIC_RUNS = "runs"
"""Every event of every run."""

TOPIC_PLACEMENT = "placement"
"""For the scheduler: that a transaction of another server changed what placement looks at."""


def _under(prefix: str) -> Callable[[str], str]:
    def named(name: str) -> str:
        return prefix + name

    return named


run_group = _under("run/")
"""Name the change group of a run."""
run_topic = _under("run/")
"""Name the topic of everything about one run."""
group_topic = _under("group/")
"""Name the topic of the events of one group's runs."""
executor_topic = _under("executor/")
"""Name the topic of what an executor is to be told."""


def task_id(run_id: str, task: str) -> str:
    """Name the record of a task."""
    return f"{run_id}/{task}"


def lock_id(scope: str, name: str) -> str:
    """Name the record of a lock. A scope is a path, so the blank cannot be part of it."""
    return f"{scope} {name}"
