"""The record types of runs and executors: their columns, indexes, ids and topics.

Ids: a run, an assignment and an executor have their own. A task's record is `<run>/<task>`, so that a scan by prefix
reads the tasks of one run. A queue is named by its group, a lock by scope and name.

Most records are of runs that have ended. Bodies of runs, tasks, assignments and configurations therefore move to the
object storage (`Bodies.REMOTE`), and rows are small: columns that only lists of unfinished work need are empty once a
record is settled, and their indexes are sparse.

Every transaction that changes a run, one of its tasks or one of its assignments moves the change group `run/<id>`
(`run_group`). A cached state of a run is current if that group's revision is still the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Bodies, Column, Fields, RecordType, Value, Where
from sluiceway_server.runrecords.enums import BAD_PHASES, FINAL_PHASES

TERMINAL_PHASES = frozenset({api.RUN_PHASE_SETUP_ERROR, api.RUN_PHASE_CANCELLED, api.RUN_PHASE_FINISHED})

OPEN_STATUSES = frozenset({api.TASK_STATUS_UNSPECIFIED, api.TASK_STATUS_NOT_STARTED, api.TASK_STATUS_RUNNING})

SETUP_STEP = -1
"""The index of the setup, where steps are named by their index: in updates and in logs."""

_LONGEST_SUBJECT = 100


def _milliseconds(stamp: Timestamp) -> int:
    return stamp.seconds * 1000 + stamp.nanos // 1_000_000


def _outcome(phase: int, result: int) -> int:
    return phase * 100 + result


def outcomes(*, phases: Collection[int] = (), result: int = 0) -> tuple[int, ...]:
    """Return the values of the column `outcome` for runs in one of `phases` (empty: any) with `result` (0: any)."""
    results = (result,) if result else api.RunResult.values()
    return tuple(_outcome(phase, each) for phase in phases or api.RunPhase.values() for each in results)


def active_in(scope: str, phase: int) -> Where:
    """Return the filter for the runs of a scope in one phase."""
    return {"scope": scope, "outcome": outcomes(phases=(phase,))}


def summary_of(record: pb.RunRecord) -> bytes:
    """Encode what a list shows of a run, for the column `summary`: a list of old runs reads an index and no body.

    It is the `Run` without the fields that only its own page shows, and without what other columns have. Every run has
    one, so a list looks the same when bodies have moved to the object storage.
    """
    run = api.Run()
    run.CopyFrom(record.run)
    for name in ("id", "group", "annotations", "setup_errors", "warnings"):
        run.ClearField(name)
    if run.HasField("source"):
        subject, _, more = run.source.message.partition("\n")
        if more or len(subject) > _LONGEST_SUBJECT:
            run.source.message = subject[:_LONGEST_SUBJECT].rstrip()
    return run.SerializeToString(deterministic=True)


def run_of_row(run_id: str, fields: Fields) -> api.Run:
    """Decode the run that a list shows from a row of `RUN`."""
    summary, group = fields["summary"], fields["group"]
    run = api.Run.FromString(summary if isinstance(summary, bytes) else b"")
    run.id, run.group = run_id, str(group)
    return run


def _is_over(record: pb.RunRecord) -> bool:
    return record.run.phase in TERMINAL_PHASES


def _is_live(record: pb.AssignmentRecord) -> bool:
    return record.phase not in FINAL_PHASES


def _while_live(of: Callable[[pb.AssignmentRecord], Value]) -> Callable[[pb.AssignmentRecord], Value]:
    return lambda record: of(record) if _is_live(record) else None


def _task_state(record: pb.TaskRecord) -> str | None:
    # `ready`: waits for a free slot only. `parked`: no known executor could run it.
    if record.task.status != api.TASK_STATUS_NOT_STARTED or not record.task.HasField("runnable_since"):
        return None
    return "parked" if record.parked else "ready"


def _while_waiting(of: Callable[[pb.TaskRecord], Value]) -> Callable[[pb.TaskRecord], Value]:
    return lambda record: None if _task_state(record) is None else of(record)


def _rank(record: pb.TaskRecord) -> int:
    # A level of priority is worth ten minutes of waiting (run-model.md, "Order"). So the order of waiting tasks does
    # not change with time, and an index can hold it.
    return _milliseconds(record.task.runnable_since) - record.task.priority * 600_000


RUN: RecordType[pb.RunRecord] = RecordType(
    "run",
    pb.RunRecord,
    columns=(
        Column("group", lambda r: r.run.group),
        # Phase and result in one column: one index serves every combination, as lists that are merged.
        Column("outcome", lambda r: _outcome(r.run.phase, r.run.result)),
        Column("created", lambda r: _milliseconds(r.run.create_time)),
        Column("scope", lambda r: r.scope),
        Column("number", lambda r: r.run.number),
        Column("summary", summary_of),
    ),
    indexes=(
        ("created",),
        ("outcome", "created"),
        # Lists of a group or a scope that want any outcome name them all.
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
# It never changes, so it is settled from the beginning. A running run nearly always reads it within a day; after that
# it costs a read of the object storage.
RUN_CONFIG: RecordType[pb.RunConfigRecord] = RecordType(
    "run_config",
    pb.RunConfigRecord,
    # The digest shows whether an object with a large configuration is still needed.
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
        # These find earlier attempts of a task and their logs. The last attempt is named by the task itself.
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
EXECUTOR_GROUP: RecordType[pb.ExecutorGroupRecord] = RecordType("executor_group", pb.ExecutorGroupRecord)
PLACER: RecordType[pb.PlacerRecord] = RecordType("placer", pb.PlacerRecord)
PLACER_ID = "placer"
RETENTION: RecordType[pb.RetentionRecord] = RecordType("retention", pb.RetentionRecord)
RETENTION_ID = "retention"

CACHE: RecordType[pb.CacheRecord] = RecordType(
    "cache",
    pb.CacheRecord,
    columns=(
        Column("scope", lambda r: r.scope),
        Column("created", lambda r: _milliseconds(r.create_time)),
        Column("used", lambda r: _milliseconds(r.use_time)),
    ),
    indexes=(("scope", "created"), ("used",)),
)

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
    EXECUTOR_GROUP,
    PLACER,
    RETENTION,
    CACHE,
)

TOPIC_RUNS = "runs"
"""Every event of every run."""

TOPIC_PLACEMENT = "placement"
"""For the scheduler: a transaction of another server changed what placement reads."""


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
"""Name the topic of notices to an executor."""


def task_id(run_id: str, task: str) -> str:
    """Return the id of the record of a task."""
    return f"{run_id}/{task}"


def lock_id(scope: str, name: str) -> str:
    """Return the id of the record of a lock. A scope is a path, so it has no space."""
    return f"{scope} {name}"
