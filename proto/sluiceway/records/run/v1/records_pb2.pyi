import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.executor.v1 import executor_service_pb2 as _executor_service_pb2
from sluiceway.api.run.v1 import definition_pb2 as _definition_pb2
from sluiceway.api.run.v1 import run_pb2 as _run_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunRecord(_message.Message):
    __slots__ = ("run", "belongs_to", "from_fork", "notes", "created_warnings", "forced_time", "forced_by", "config_digest", "scope")
    RUN_FIELD_NUMBER: _ClassVar[int]
    BELONGS_TO_FIELD_NUMBER: _ClassVar[int]
    FROM_FORK_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    CREATED_WARNINGS_FIELD_NUMBER: _ClassVar[int]
    FORCED_TIME_FIELD_NUMBER: _ClassVar[int]
    FORCED_BY_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    belongs_to: _containers.RepeatedScalarFieldContainer[str]
    from_fork: bool
    notes: _containers.RepeatedCompositeFieldContainer[_run_pb2.Reason]
    created_warnings: _containers.RepeatedScalarFieldContainer[str]
    forced_time: _timestamp_pb2.Timestamp
    forced_by: str
    config_digest: str
    scope: str
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., belongs_to: _Optional[_Iterable[str]] = ..., from_fork: _Optional[bool] = ..., notes: _Optional[_Iterable[_Union[_run_pb2.Reason, _Mapping]]] = ..., created_warnings: _Optional[_Iterable[str]] = ..., forced_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., forced_by: _Optional[str] = ..., config_digest: _Optional[str] = ..., scope: _Optional[str] = ...) -> None: ...

class AttemptEnd(_message.Message):
    __slots__ = ("status", "end_time", "timed_out", "reason", "attempt", "assignment_id", "executor_id", "start_time", "setup", "steps", "archives")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    SETUP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ARCHIVES_FIELD_NUMBER: _ClassVar[int]
    status: _run_pb2.TaskStatus
    end_time: _timestamp_pb2.Timestamp
    timed_out: bool
    reason: _run_pb2.Reason
    attempt: int
    assignment_id: str
    executor_id: str
    start_time: _timestamp_pb2.Timestamp
    setup: _run_pb2.Step
    steps: _containers.RepeatedCompositeFieldContainer[_run_pb2.Step]
    archives: _containers.RepeatedCompositeFieldContainer[Archive]
    def __init__(self, status: _Optional[_Union[_run_pb2.TaskStatus, str]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timed_out: _Optional[bool] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., attempt: _Optional[int] = ..., assignment_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., setup: _Optional[_Union[_run_pb2.Step, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[_run_pb2.Step, _Mapping]]] = ..., archives: _Optional[_Iterable[_Union[Archive, _Mapping]]] = ...) -> None: ...

class Archive(_message.Message):
    __slots__ = ("step", "digest", "size")
    STEP_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    step: int
    digest: str
    size: int
    def __init__(self, step: _Optional[int] = ..., digest: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class TaskRecord(_message.Message):
    __slots__ = ("task", "parent_ids", "previous", "kept_from", "archives", "runtime", "drivers", "scope", "parked")
    TASK_FIELD_NUMBER: _ClassVar[int]
    PARENT_IDS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FROM_FIELD_NUMBER: _ClassVar[int]
    ARCHIVES_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PARKED_FIELD_NUMBER: _ClassVar[int]
    task: _run_pb2.Task
    parent_ids: _containers.RepeatedScalarFieldContainer[str]
    previous: AttemptEnd
    kept_from: str
    archives: _containers.RepeatedCompositeFieldContainer[Archive]
    runtime: str
    drivers: _containers.RepeatedScalarFieldContainer[str]
    scope: str
    parked: bool
    def __init__(self, task: _Optional[_Union[_run_pb2.Task, _Mapping]] = ..., parent_ids: _Optional[_Iterable[str]] = ..., previous: _Optional[_Union[AttemptEnd, _Mapping]] = ..., kept_from: _Optional[str] = ..., archives: _Optional[_Iterable[_Union[Archive, _Mapping]]] = ..., runtime: _Optional[str] = ..., drivers: _Optional[_Iterable[str]] = ..., scope: _Optional[str] = ..., parked: _Optional[bool] = ...) -> None: ...

class RunConfigRecord(_message.Message):
    __slots__ = ("config", "digest", "stored_apart")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STORED_APART_FIELD_NUMBER: _ClassVar[int]
    config: RunConfig
    digest: str
    stored_apart: bool
    def __init__(self, config: _Optional[_Union[RunConfig, _Mapping]] = ..., digest: _Optional[str] = ..., stored_apart: _Optional[bool] = ...) -> None: ...

class RunConfig(_message.Message):
    __slots__ = ("tasks", "static_environment", "environment", "source", "cache_group")
    class StaticEnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _definition_pb2.EnvironmentValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_definition_pb2.EnvironmentValue, _Mapping]] = ...) -> None: ...
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _definition_pb2.EnvironmentValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_definition_pb2.EnvironmentValue, _Mapping]] = ...) -> None: ...
    TASKS_FIELD_NUMBER: _ClassVar[int]
    STATIC_ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CACHE_GROUP_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[_definition_pb2.TaskDefinition]
    static_environment: _containers.MessageMap[str, _definition_pb2.EnvironmentValue]
    environment: _containers.MessageMap[str, _definition_pb2.EnvironmentValue]
    source: _definition_pb2.Source
    cache_group: str
    def __init__(self, tasks: _Optional[_Iterable[_Union[_definition_pb2.TaskDefinition, _Mapping]]] = ..., static_environment: _Optional[_Mapping[str, _definition_pb2.EnvironmentValue]] = ..., environment: _Optional[_Mapping[str, _definition_pb2.EnvironmentValue]] = ..., source: _Optional[_Union[_definition_pb2.Source, _Mapping]] = ..., cache_group: _Optional[str] = ...) -> None: ...

class AssignmentRecord(_message.Message):
    __slots__ = ("id", "run_id", "task_id", "epoch", "executor_id", "session_id", "phase", "assign_time", "accept_time", "start_time", "end_time", "cause", "reason", "timed_out", "stop_requested", "stop_forced", "lock_scope", "lock_name", "setup", "steps", "scope", "stop_reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_TIME_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    STOP_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    STOP_FORCED_FIELD_NUMBER: _ClassVar[int]
    LOCK_SCOPE_FIELD_NUMBER: _ClassVar[int]
    LOCK_NAME_FIELD_NUMBER: _ClassVar[int]
    SETUP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    run_id: str
    task_id: str
    epoch: _executor_service_pb2.Epoch
    executor_id: str
    session_id: str
    phase: _executor_service_pb2.AssignmentPhase
    assign_time: _timestamp_pb2.Timestamp
    accept_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    cause: _definition_pb2.RetryCause
    reason: _run_pb2.Reason
    timed_out: bool
    stop_requested: _timestamp_pb2.Timestamp
    stop_forced: bool
    lock_scope: str
    lock_name: str
    setup: _run_pb2.Step
    steps: _containers.RepeatedCompositeFieldContainer[_run_pb2.Step]
    scope: str
    stop_reason: _run_pb2.Reason
    def __init__(self, id: _Optional[str] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., epoch: _Optional[_Union[_executor_service_pb2.Epoch, _Mapping]] = ..., executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., phase: _Optional[_Union[_executor_service_pb2.AssignmentPhase, str]] = ..., assign_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., accept_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[_Union[_definition_pb2.RetryCause, str]] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., timed_out: _Optional[bool] = ..., stop_requested: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stop_forced: _Optional[bool] = ..., lock_scope: _Optional[str] = ..., lock_name: _Optional[str] = ..., setup: _Optional[_Union[_run_pb2.Step, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[_run_pb2.Step, _Mapping]]] = ..., scope: _Optional[str] = ..., stop_reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class QueueRecord(_message.Message):
    __slots__ = ("run_id", "group", "scope")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    group: str
    scope: str
    def __init__(self, run_id: _Optional[str] = ..., group: _Optional[str] = ..., scope: _Optional[str] = ...) -> None: ...

class LockRecord(_message.Message):
    __slots__ = ("assignment_id", "run_id")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    run_id: str
    def __init__(self, assignment_id: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class RunNumberRecord(_message.Message):
    __slots__ = ("last",)
    LAST_FIELD_NUMBER: _ClassVar[int]
    last: int
    def __init__(self, last: _Optional[int] = ...) -> None: ...

class RequestRecord(_message.Message):
    __slots__ = ("digest", "run_id", "time")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    digest: str
    run_id: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, digest: _Optional[str] = ..., run_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExecutorRecord(_message.Message):
    __slots__ = ("group", "session_id", "secret_digest", "journal_id", "version", "archs", "labels", "slots", "privileged_allowed", "drivers", "dynamic", "draining", "drain_deadline", "vanished", "pods_gone", "missing_since", "last_seen_time", "session_time", "settled_epoch", "deleted")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_DIGEST_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARCHS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGED_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    DRAIN_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    VANISHED_FIELD_NUMBER: _ClassVar[int]
    PODS_GONE_FIELD_NUMBER: _ClassVar[int]
    MISSING_SINCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    SESSION_TIME_FIELD_NUMBER: _ClassVar[int]
    SETTLED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    group: str
    session_id: str
    secret_digest: bytes
    journal_id: str
    version: str
    archs: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    slots: int
    privileged_allowed: bool
    drivers: _containers.RepeatedScalarFieldContainer[str]
    dynamic: bool
    draining: bool
    drain_deadline: _timestamp_pb2.Timestamp
    vanished: bool
    pods_gone: bool
    missing_since: _timestamp_pb2.Timestamp
    last_seen_time: _timestamp_pb2.Timestamp
    session_time: _timestamp_pb2.Timestamp
    settled_epoch: int
    deleted: bool
    def __init__(self, group: _Optional[str] = ..., session_id: _Optional[str] = ..., secret_digest: _Optional[bytes] = ..., journal_id: _Optional[str] = ..., version: _Optional[str] = ..., archs: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., slots: _Optional[int] = ..., privileged_allowed: _Optional[bool] = ..., drivers: _Optional[_Iterable[str]] = ..., dynamic: _Optional[bool] = ..., draining: _Optional[bool] = ..., drain_deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., vanished: _Optional[bool] = ..., pods_gone: _Optional[bool] = ..., missing_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., session_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., settled_epoch: _Optional[int] = ..., deleted: _Optional[bool] = ...) -> None: ...

class PlacerRecord(_message.Message):
    __slots__ = ("server_id", "term", "beat", "open_epoch", "held_epoch", "held_since", "held_until")
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    OPEN_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HELD_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HELD_SINCE_FIELD_NUMBER: _ClassVar[int]
    HELD_UNTIL_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    term: int
    beat: int
    open_epoch: int
    held_epoch: int
    held_since: _timestamp_pb2.Timestamp
    held_until: _timestamp_pb2.Timestamp
    def __init__(self, server_id: _Optional[str] = ..., term: _Optional[int] = ..., beat: _Optional[int] = ..., open_epoch: _Optional[int] = ..., held_epoch: _Optional[int] = ..., held_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Deadline(_message.Message):
    __slots__ = ("run_id", "executor_id", "time")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    executor_id: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, run_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PlacementNotice(_message.Message):
    __slots__ = ("groups", "scopes", "executors_changed", "deadlines")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    DEADLINES_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedScalarFieldContainer[str]
    scopes: _containers.RepeatedScalarFieldContainer[str]
    executors_changed: bool
    deadlines: _containers.RepeatedCompositeFieldContainer[Deadline]
    def __init__(self, groups: _Optional[_Iterable[str]] = ..., scopes: _Optional[_Iterable[str]] = ..., executors_changed: _Optional[bool] = ..., deadlines: _Optional[_Iterable[_Union[Deadline, _Mapping]]] = ...) -> None: ...
