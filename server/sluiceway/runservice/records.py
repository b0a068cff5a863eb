"""The types of record that the run service keeps, their columns and their indexes.

Ids: a run, an assignment and an executor have their own; a task is `<run>/<task>`, so that a scan by prefix walks one
run; a queue is named by its group, a lock by scope and name, a log by assignment and step.

Every transaction that touches a run, one of its tasks or one of its assignments moves the change group `run/<id>`
(`run_group`). Whoever holds a picture of a run with the revision of that group knows whether it is still true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.datamanager.model import Column, RecordType
from sluiceway.records.run.v1 import records_pb2 as pb

__all__ = [
    "ASSIGNMENT",
    "EXECUTOR",
    "LOCK",
    "PLACER",
    "PLACER_ID",
    "QUEUE",
    "RECORD_TYPES",
    "REQUEST",
    "RUN",
    "RUN_CONFIG",
    "RUN_NUMBER",
    "TASK",
    "TOPIC_PLACEMENT",
    "TOPIC_RUNS",
    "executor_topic",
    "group_topic",
    "lock_id",
    "run_group",
    "run_topic",
    "task_id",
]

FINAL_PHASES = frozenset(
    {
        executor_api.ASSIGNMENT_PHASE_SUCCESS,
        executor_api.ASSIGNMENT_PHASE_FAILED,
        executor_api.ASSIGNMENT_PHASE_STOPPED,
        executor_api.ASSIGNMENT_PHASE_CANCELLED,
        executor_api.ASSIGNMENT_PHASE_LOST,
    }
)


def _milliseconds(stamp: Timestamp) -> int:
    return stamp.seconds * 1000 + stamp.nanos // 1_000_000


def _task_state(record: pb.TaskRecord) -> str:
    # `ready` tasks wait for a place and nothing else; `parked` ones wait for an executor that could ever run them.
    if record.task.status != api.TASK_STATUS_NOT_STARTED or not record.task.HasField("runnable_since"):
        return ""
    return "parked" if record.parked else "ready"


def _rank(record: pb.TaskRecord) -> int:
    # A level of priority is worth ten minutes of waiting (run-model.md, "Order"): so the order among those that wait
    # does not change with time, and an index can hold it.
    return _milliseconds(record.task.runnable_since) - record.task.priority * 600_000


RUN: RecordType[pb.RunRecord] = RecordType(
    "run",
    pb.RunRecord,
    columns=(
        Column("group", lambda r: r.run.group),
        Column("scope", lambda r: r.scope),
        Column("phase", lambda r: int(r.run.phase)),
        Column("result", lambda r: int(r.run.result)),
        Column("number", lambda r: r.run.number),
        Column("created", lambda r: _milliseconds(r.run.create_time)),
    ),
    indexes=(
        ("created",),
        ("group", "created"),
        ("phase", "created"),
        ("result", "created"),
        ("group", "phase", "created"),
        ("group", "result", "created"),
        ("phase", "result", "created"),
        ("group", "phase", "result", "created"),
        ("scope", "phase", "created"),
    ),
)
TASK: RecordType[pb.TaskRecord] = RecordType(
    "task",
    pb.TaskRecord,
    columns=(
        Column("run_id", lambda r: r.task.run_id),
        Column("level", lambda r: r.task.level),
        Column("name", lambda r: r.task.name),
        Column("state", _task_state),
        Column("scope", lambda r: r.scope),
        Column("rank", _rank),
    ),
    indexes=(("run_id", "level", "name"), ("state", "rank"), ("state", "scope", "rank")),
)
RUN_CONFIG: RecordType[pb.RunConfigRecord] = RecordType("run_config", pb.RunConfigRecord)
ASSIGNMENT: RecordType[pb.AssignmentRecord] = RecordType(
    "assignment",
    pb.AssignmentRecord,
    columns=(
        Column("executor_id", lambda r: r.executor_id),
        Column("session_id", lambda r: r.session_id),
        Column("run_id", lambda r: r.run_id),
        Column("task_id", lambda r: r.task_id),
        Column("scope", lambda r: r.scope),
        Column("attempt", lambda r: r.epoch.attempt),
        Column("live", lambda r: int(r.phase not in FINAL_PHASES)),
    ),
    indexes=(
        ("executor_id", "live"),
        ("session_id", "live"),
        ("run_id", "live"),
        ("scope", "live"),
        ("live",),
        ("task_id", "attempt"),
    ),
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
)

TOPIC_RUNS = "runs"
"""Every event of every run."""

TOPIC_PLACEMENT = "placement"
"""For the placer: that a transaction of another server changed what placement looks at."""


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
