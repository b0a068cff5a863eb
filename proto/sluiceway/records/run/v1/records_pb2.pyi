import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.executor.v1 import executor_service_pb2 as _executor_service_pb2
from sluiceway.api.run.v1 import definition_pb2 as _definition_pb2
from sluiceway.api.run.v1 import run_pb2 as _run_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutorUse(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """Whether an executor may hold assignments."""
    __slots__ = ()
    EXECUTOR_USE_UNSPECIFIED: _ClassVar[ExecutorUse]
    """It may, and the object storage knows."""
    EXECUTOR_USE_NONE: _ClassVar[ExecutorUse]
    """It was never given one."""
    EXECUTOR_USE_FIRST: _ClassVar[ExecutorUse]
    """It was given its first one; that is not known to be in the object storage yet, so it was not sent."""
EXECUTOR_USE_UNSPECIFIED: ExecutorUse
EXECUTOR_USE_NONE: ExecutorUse
EXECUTOR_USE_FIRST: ExecutorUse

class RunRecord(_message.Message):
    """A run: what people see of it, and what only the rules need."""
    __slots__ = ("run", "from_fork", "notes", "created_warnings", "forced_time", "forced_by", "config_digest", "scope", "event")
    RUN_FIELD_NUMBER: _ClassVar[int]
    FROM_FORK_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    CREATED_WARNINGS_FIELD_NUMBER: _ClassVar[int]
    FORCED_TIME_FIELD_NUMBER: _ClassVar[int]
    FORCED_BY_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    """What people see."""
    from_fork: bool
    """It comes from a fork."""
    notes: _containers.RepeatedCompositeFieldContainer[_run_pb2.Reason]
    """What the rules noted, such as an approval that expired; their sentences are among the run's warnings too."""
    created_warnings: _containers.RepeatedScalarFieldContainer[str]
    """The warnings that it was created with."""
    forced_time: _timestamp_pb2.Timestamp
    """When the forced stop was asked for."""
    forced_by: str
    """By whom."""
    config_digest: str
    """SHA-256 in hex of its configuration."""
    scope: str
    """The first two segments of its group: where numbers count and locks hold."""
    event: str
    """The event that made it, whose commit the server has read: `push`, `tag`, `pull_request`, `schedule` or `manual`.
    Empty: a caller made it, and its source is what the caller said.
    """
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., from_fork: _Optional[bool] = ..., notes: _Optional[_Iterable[_Union[_run_pb2.Reason, _Mapping]]] = ..., created_warnings: _Optional[_Iterable[str]] = ..., forced_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., forced_by: _Optional[str] = ..., config_digest: _Optional[str] = ..., scope: _Optional[str] = ..., event: _Optional[str] = ...) -> None: ...

class AttemptEnd(_message.Message):
    """How the attempt before the present one ended."""
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
    """The status that the task would have."""
    end_time: _timestamp_pb2.Timestamp
    """When."""
    timed_out: bool
    """It took too long."""
    reason: _run_pb2.Reason
    """Why it ended so."""
    attempt: int
    """Its number."""
    assignment_id: str
    """Its assignment."""
    executor_id: str
    """Its executor."""
    start_time: _timestamp_pb2.Timestamp
    """When its pod started."""
    setup: _run_pb2.Step
    """The preparation of its pod."""
    steps: _containers.RepeatedCompositeFieldContainer[_run_pb2.Step]
    """Its steps."""
    archives: _containers.RepeatedCompositeFieldContainer[_executor_service_pb2.Archive]
    """What it stored."""
    def __init__(self, status: _Optional[_Union[_run_pb2.TaskStatus, str]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timed_out: _Optional[bool] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., attempt: _Optional[int] = ..., assignment_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., setup: _Optional[_Union[_run_pb2.Step, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[_run_pb2.Step, _Mapping]]] = ..., archives: _Optional[_Iterable[_Union[_executor_service_pb2.Archive, _Mapping]]] = ...) -> None: ...

class CacheRecord(_message.Message):
    """A cache: files of one run for later ones."""
    __slots__ = ("scope", "key", "object", "digest", "size", "create_time", "use_time", "run_id", "files")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    USE_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    scope: str
    """The path of those that share it: a project, a user, or what the run named."""
    key: str
    """Its key."""
    object: str
    """The object that has its bytes."""
    digest: str
    """SHA-256 in hex of its bytes."""
    size: int
    """Bytes."""
    create_time: _timestamp_pb2.Timestamp
    """When it was stored."""
    use_time: _timestamp_pb2.Timestamp
    """When it was last restored, or stored; exact to an hour."""
    run_id: str
    """The run that stored it."""
    files: int
    """Files in it."""
    def __init__(self, scope: _Optional[str] = ..., key: _Optional[str] = ..., object: _Optional[str] = ..., digest: _Optional[str] = ..., size: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., use_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., run_id: _Optional[str] = ..., files: _Optional[int] = ...) -> None: ...

class TaskRecord(_message.Message):
    """A task: what people see of it, and what only rules and placement need."""
    __slots__ = ("task", "parent_ids", "previous", "kept_from", "archives", "runtime", "drivers", "scope", "parked", "held")
    TASK_FIELD_NUMBER: _ClassVar[int]
    PARENT_IDS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FROM_FIELD_NUMBER: _ClassVar[int]
    ARCHIVES_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PARKED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    task: _run_pb2.Task
    """What people see."""
    parent_ids: _containers.RepeatedScalarFieldContainer[str]
    """The ids of the parents, in the order of `task.depends`."""
    previous: AttemptEnd
    """The attempt before this one."""
    kept_from: str
    """The run in which it ran, of a task that a restart kept."""
    archives: _containers.RepeatedCompositeFieldContainer[_executor_service_pb2.Archive]
    """Of the last attempt."""
    runtime: str
    """The type of its runtime."""
    drivers: _containers.RepeatedScalarFieldContainer[str]
    """The drivers that may run it; empty: any."""
    scope: str
    """The scope of its run."""
    parked: bool
    """No live executor could ever run it; looked at again when the executors change."""
    held: _duration_pb2.Duration
    """How long the pod of the present attempt was held, ended holds only."""
    def __init__(self, task: _Optional[_Union[_run_pb2.Task, _Mapping]] = ..., parent_ids: _Optional[_Iterable[str]] = ..., previous: _Optional[_Union[AttemptEnd, _Mapping]] = ..., kept_from: _Optional[str] = ..., archives: _Optional[_Iterable[_Union[_executor_service_pb2.Archive, _Mapping]]] = ..., runtime: _Optional[str] = ..., drivers: _Optional[_Iterable[str]] = ..., scope: _Optional[str] = ..., parked: _Optional[bool] = ..., held: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RunConfigRecord(_message.Message):
    """What a run was made of. Never changes."""
    __slots__ = ("config", "digest", "stored_apart")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STORED_APART_FIELD_NUMBER: _ClassVar[int]
    config: RunConfig
    """Unset when it is stored by digest."""
    digest: str
    """SHA-256 in hex of `config`."""
    stored_apart: bool
    """It is in the object storage, under its digest."""
    def __init__(self, config: _Optional[_Union[RunConfig, _Mapping]] = ..., digest: _Optional[str] = ..., stored_apart: _Optional[bool] = ...) -> None: ...

class RunConfig(_message.Message):
    """The body of a run's configuration."""
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
    """As the caller rendered them."""
    static_environment: _containers.MessageMap[str, _definition_pb2.EnvironmentValue]
    """See run-model.md, "Records"."""
    environment: _containers.MessageMap[str, _definition_pb2.EnvironmentValue]
    """See there."""
    source: _definition_pb2.Source
    """Where the run came from."""
    cache_group: str
    """Which caches it shares."""
    def __init__(self, tasks: _Optional[_Iterable[_Union[_definition_pb2.TaskDefinition, _Mapping]]] = ..., static_environment: _Optional[_Mapping[str, _definition_pb2.EnvironmentValue]] = ..., environment: _Optional[_Mapping[str, _definition_pb2.EnvironmentValue]] = ..., source: _Optional[_Union[_definition_pb2.Source, _Mapping]] = ..., cache_group: _Optional[str] = ...) -> None: ...

class AssignmentRecord(_message.Message):
    """One attempt of one task on one executor."""
    __slots__ = ("id", "run_id", "task_id", "epoch", "executor_id", "session_id", "phase", "assign_time", "accept_time", "start_time", "end_time", "cause", "reason", "timed_out", "stop_requested", "stop_forced", "lock_scope", "lock_name", "setup", "steps", "scope", "stop_reason", "hold_order")
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
    HOLD_ORDER_FIELD_NUMBER: _ClassVar[int]
    id: str
    """Its id."""
    run_id: str
    """Its run."""
    task_id: str
    """Its task."""
    epoch: _executor_service_pb2.Epoch
    """The database's epoch and the attempt."""
    executor_id: str
    """The executor."""
    session_id: str
    """The executor's session that owns it."""
    phase: _executor_service_pb2.AssignmentPhase
    """Where it stands."""
    assign_time: _timestamp_pb2.Timestamp
    """When it was decided."""
    accept_time: _timestamp_pb2.Timestamp
    """When the executor had it in its journal."""
    start_time: _timestamp_pb2.Timestamp
    """When its pod started."""
    end_time: _timestamp_pb2.Timestamp
    """When it became final."""
    cause: _definition_pb2.RetryCause
    """Why it did not succeed."""
    reason: _run_pb2.Reason
    """The same, for people."""
    timed_out: bool
    """The task's timeout passed."""
    stop_requested: _timestamp_pb2.Timestamp
    """Since when it is told to stop."""
    stop_forced: bool
    """Told to stop without clean-up steps."""
    lock_scope: str
    """The scope of the lock that it holds."""
    lock_name: str
    """The name of the lock; empty: none."""
    setup: _run_pb2.Step
    """The preparation of its pod."""
    steps: _containers.RepeatedCompositeFieldContainer[_run_pb2.Step]
    """Its steps."""
    scope: str
    """The scope of its run."""
    stop_reason: _run_pb2.Reason
    """Why it is told to stop."""
    hold_order: _run_pb2.TaskContinuation
    """How the last hold is to end."""
    def __init__(self, id: _Optional[str] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., epoch: _Optional[_Union[_executor_service_pb2.Epoch, _Mapping]] = ..., executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., phase: _Optional[_Union[_executor_service_pb2.AssignmentPhase, str]] = ..., assign_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., accept_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[_Union[_definition_pb2.RetryCause, str]] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., timed_out: _Optional[bool] = ..., stop_requested: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stop_forced: _Optional[bool] = ..., lock_scope: _Optional[str] = ..., lock_name: _Optional[str] = ..., setup: _Optional[_Union[_run_pb2.Step, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[_run_pb2.Step, _Mapping]]] = ..., scope: _Optional[str] = ..., stop_reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., hold_order: _Optional[_Union[_run_pb2.TaskContinuation, _Mapping]] = ...) -> None: ...

class QueueRecord(_message.Message):
    """Which run holds a group; its id is the group."""
    __slots__ = ("run_id", "group", "scope")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run that holds it."""
    group: str
    """The group."""
    scope: str
    """The scope of the group."""
    def __init__(self, run_id: _Optional[str] = ..., group: _Optional[str] = ..., scope: _Optional[str] = ...) -> None: ...

class LockRecord(_message.Message):
    """Which assignment holds a lock; its id is the scope and the name."""
    __slots__ = ("assignment_id", "run_id")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    """The assignment."""
    run_id: str
    """Its run."""
    def __init__(self, assignment_id: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class RunNumberRecord(_message.Message):
    """The last number that a run of a scope got; its id is the scope."""
    __slots__ = ("last",)
    LAST_FIELD_NUMBER: _ClassVar[int]
    last: int
    """That number."""
    def __init__(self, last: _Optional[int] = ...) -> None: ...

class RequestRecord(_message.Message):
    """What an idempotency key answered."""
    __slots__ = ("digest", "run_id", "time")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    digest: str
    """SHA-256 in hex of the body of the first call."""
    run_id: str
    """The run that it made."""
    time: _timestamp_pb2.Timestamp
    """When."""
    def __init__(self, digest: _Optional[str] = ..., run_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExecutorRecord(_message.Message):
    """An executor that said hello at least once; its id is the executor's."""
    __slots__ = ("group", "session_id", "secret_digest", "journal_id", "version", "archs", "labels", "slots", "privileged_allowed", "drivers", "dynamic", "draining", "drain_deadline", "vanished", "missing_since", "last_seen_time", "session_time", "settled_epoch", "deleted", "use", "cleaners")
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
    MISSING_SINCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    SESSION_TIME_FIELD_NUMBER: _ClassVar[int]
    SETTLED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    CLEANERS_FIELD_NUMBER: _ClassVar[int]
    group: str
    """The group of its token."""
    session_id: str
    """Its session."""
    secret_digest: bytes
    """SHA-256 of the session's secret."""
    journal_id: str
    """Of its journal on disk."""
    version: str
    """Of its software."""
    archs: _containers.RepeatedScalarFieldContainer[str]
    """That it can run tasks of."""
    labels: _containers.ScalarMap[str, str]
    """What tasks may ask for."""
    slots: int
    """Tasks at a time."""
    privileged_allowed: bool
    """Whether it takes privileged containers."""
    drivers: _containers.RepeatedScalarFieldContainer[str]
    """By name, the default first."""
    dynamic: bool
    """It may vanish."""
    draining: bool
    """An operator drained it: it is given no more work."""
    drain_deadline: _timestamp_pb2.Timestamp
    """What still runs then is lost. Not set: there is no limit."""
    vanished: bool
    """Its session is fenced: the executor counts as gone."""
    missing_since: _timestamp_pb2.Timestamp
    """When its key went missing, as far as is known."""
    last_seen_time: _timestamp_pb2.Timestamp
    """When it was last seen to come or go."""
    session_time: _timestamp_pb2.Timestamp
    """When its session began."""
    settled_epoch: int
    """The epoch of the database in which it settled last; nothing is assigned in a new one before all have that may hold
    assignments.
    """
    deleted: bool
    """An operator wants it gone."""
    use: ExecutorUse
    """Whether it may hold assignments."""
    cleaners: _containers.RepeatedScalarFieldContainer[str]
    """The siblings that are to remove the pods of its vanished session, and have not reported yet."""
    def __init__(self, group: _Optional[str] = ..., session_id: _Optional[str] = ..., secret_digest: _Optional[bytes] = ..., journal_id: _Optional[str] = ..., version: _Optional[str] = ..., archs: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., slots: _Optional[int] = ..., privileged_allowed: _Optional[bool] = ..., drivers: _Optional[_Iterable[str]] = ..., dynamic: _Optional[bool] = ..., draining: _Optional[bool] = ..., drain_deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., vanished: _Optional[bool] = ..., missing_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., session_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., settled_epoch: _Optional[int] = ..., deleted: _Optional[bool] = ..., use: _Optional[_Union[ExecutorUse, str]] = ..., cleaners: _Optional[_Iterable[str]] = ...) -> None: ...

class ExecutorGroupRecord(_message.Message):
    """The settings of an executor group, by its name. A group without them serves all runs."""
    __slots__ = ("serves", "serves_all", "takes_forks", "create_time")
    SERVES_FIELD_NUMBER: _ClassVar[int]
    SERVES_ALL_FIELD_NUMBER: _ClassVar[int]
    TAKES_FORKS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    serves: _containers.RepeatedScalarFieldContainer[str]
    """The ids of the nodes of the tree whose runs it serves, with all below them."""
    serves_all: bool
    """It serves all runs."""
    takes_forks: bool
    """It takes runs of forks."""
    create_time: _timestamp_pb2.Timestamp
    """When it was created."""
    def __init__(self, serves: _Optional[_Iterable[str]] = ..., serves_all: _Optional[bool] = ..., takes_forks: _Optional[bool] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PlacerRecord(_message.Message):
    """Who places tasks; there is one, `placer`."""
    __slots__ = ("server_id", "term", "open_epoch", "held_epoch", "held_since", "held_until")
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    OPEN_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HELD_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HELD_SINCE_FIELD_NUMBER: _ClassVar[int]
    HELD_UNTIL_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    """The server."""
    term: int
    """Grows with each that takes over."""
    open_epoch: int
    """The epoch of the database in which it may assign."""
    held_epoch: int
    """The epoch in which nothing may be assigned yet, while that is so."""
    held_since: _timestamp_pb2.Timestamp
    """Since when that is so."""
    held_until: _timestamp_pb2.Timestamp
    """It is over then at the latest."""
    def __init__(self, server_id: _Optional[str] = ..., term: _Optional[int] = ..., open_epoch: _Optional[int] = ..., held_epoch: _Optional[int] = ..., held_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RetentionRecord(_message.Message):
    """How far the retention is; there is one, `retention`."""
    __slots__ = ("time",)
    TIME_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    """The time that ages are measured by. It follows the clock of the server that sweeps, but not in leaps."""
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Deadline(_message.Message):
    """When the placer is to look at something again, since a time will have come then."""
    __slots__ = ("run_id", "executor_id", "time")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """A running run: its timeout, or that of a task or an approval of it."""
    executor_id: str
    """An executor that is drained."""
    time: _timestamp_pb2.Timestamp
    """When. Not set: no more."""
    def __init__(self, run_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PlacementNotice(_message.Message):
    """What the placer should know of a transaction of another server; in the log."""
    __slots__ = ("groups", "scopes", "executors_changed", "deadlines")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    DEADLINES_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedScalarFieldContainer[str]
    """Groups that became empty or got a run."""
    scopes: _containers.RepeatedScalarFieldContainer[str]
    """Scopes with a task that became runnable, or in which a run ended."""
    executors_changed: bool
    """An executor may take tasks that none could before."""
    deadlines: _containers.RepeatedCompositeFieldContainer[Deadline]
    """Those that changed."""
    def __init__(self, groups: _Optional[_Iterable[str]] = ..., scopes: _Optional[_Iterable[str]] = ..., executors_changed: _Optional[bool] = ..., deadlines: _Optional[_Iterable[_Union[Deadline, _Mapping]]] = ...) -> None: ...
