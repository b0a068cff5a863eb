import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.run.v1 import definition_pb2 as _definition_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_PHASE_UNSPECIFIED: _ClassVar[RunPhase]
    RUN_PHASE_SETUP_ERROR: _ClassVar[RunPhase]
    RUN_PHASE_QUEUED: _ClassVar[RunPhase]
    RUN_PHASE_CANCELLED: _ClassVar[RunPhase]
    RUN_PHASE_RUNNING: _ClassVar[RunPhase]
    RUN_PHASE_FINISHED: _ClassVar[RunPhase]

class RunResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_RESULT_UNSPECIFIED: _ClassVar[RunResult]
    RUN_RESULT_SUCCESS: _ClassVar[RunResult]
    RUN_RESULT_FAILED: _ClassVar[RunResult]
    RUN_RESULT_STOPPED: _ClassVar[RunResult]

class TaskStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATUS_UNSPECIFIED: _ClassVar[TaskStatus]
    TASK_STATUS_NOT_STARTED: _ClassVar[TaskStatus]
    TASK_STATUS_SKIPPED: _ClassVar[TaskStatus]
    TASK_STATUS_CANCELLED: _ClassVar[TaskStatus]
    TASK_STATUS_RUNNING: _ClassVar[TaskStatus]
    TASK_STATUS_STOPPED: _ClassVar[TaskStatus]
    TASK_STATUS_SUCCESS: _ClassVar[TaskStatus]
    TASK_STATUS_FAILED: _ClassVar[TaskStatus]
    TASK_STATUS_LOST: _ClassVar[TaskStatus]

class StepPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_PHASE_UNSPECIFIED: _ClassVar[StepPhase]
    STEP_PHASE_NOT_STARTED: _ClassVar[StepPhase]
    STEP_PHASE_RUNNING: _ClassVar[StepPhase]
    STEP_PHASE_SUCCESS: _ClassVar[StepPhase]
    STEP_PHASE_FAILED: _ClassVar[StepPhase]
    STEP_PHASE_STOPPED: _ClassVar[StepPhase]
    STEP_PHASE_SKIPPED: _ClassVar[StepPhase]

class RunEventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_EVENT_KIND_UNSPECIFIED: _ClassVar[RunEventKind]
    RUN_EVENT_KIND_PHASE: _ClassVar[RunEventKind]
    RUN_EVENT_KIND_RESULT: _ClassVar[RunEventKind]
    RUN_EVENT_KIND_TASK_STATUS: _ClassVar[RunEventKind]
    RUN_EVENT_KIND_APPROVAL: _ClassVar[RunEventKind]
    RUN_EVENT_KIND_EXECUTOR: _ClassVar[RunEventKind]
RUN_PHASE_UNSPECIFIED: RunPhase
RUN_PHASE_SETUP_ERROR: RunPhase
RUN_PHASE_QUEUED: RunPhase
RUN_PHASE_CANCELLED: RunPhase
RUN_PHASE_RUNNING: RunPhase
RUN_PHASE_FINISHED: RunPhase
RUN_RESULT_UNSPECIFIED: RunResult
RUN_RESULT_SUCCESS: RunResult
RUN_RESULT_FAILED: RunResult
RUN_RESULT_STOPPED: RunResult
TASK_STATUS_UNSPECIFIED: TaskStatus
TASK_STATUS_NOT_STARTED: TaskStatus
TASK_STATUS_SKIPPED: TaskStatus
TASK_STATUS_CANCELLED: TaskStatus
TASK_STATUS_RUNNING: TaskStatus
TASK_STATUS_STOPPED: TaskStatus
TASK_STATUS_SUCCESS: TaskStatus
TASK_STATUS_FAILED: TaskStatus
TASK_STATUS_LOST: TaskStatus
STEP_PHASE_UNSPECIFIED: StepPhase
STEP_PHASE_NOT_STARTED: StepPhase
STEP_PHASE_RUNNING: StepPhase
STEP_PHASE_SUCCESS: StepPhase
STEP_PHASE_FAILED: StepPhase
STEP_PHASE_STOPPED: StepPhase
STEP_PHASE_SKIPPED: StepPhase
RUN_EVENT_KIND_UNSPECIFIED: RunEventKind
RUN_EVENT_KIND_PHASE: RunEventKind
RUN_EVENT_KIND_RESULT: RunEventKind
RUN_EVENT_KIND_TASK_STATUS: RunEventKind
RUN_EVENT_KIND_APPROVAL: RunEventKind
RUN_EVENT_KIND_EXECUTOR: RunEventKind

class Reason(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ("time", "by", "force")
    TIME_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    by: str
    force: bool
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., by: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class RestartOrigin(_message.Message):
    __slots__ = ("run_id", "kind")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    kind: str
    def __init__(self, run_id: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("id", "number", "name", "group", "annotations", "priority", "timeout", "phase", "result", "reason", "stop_request", "restart_of", "source", "setup_errors", "warnings", "created_by", "create_time", "enqueue_time", "start_time", "end_time", "approval_wait_since", "approval_waited", "timed_out", "task_count", "work_start_time", "waiting")
    class AnnotationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STOP_REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESTART_OF_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SETUP_ERRORS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ENQUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_WAIT_SINCE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_WAITED_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    TASK_COUNT_FIELD_NUMBER: _ClassVar[int]
    WORK_START_TIME_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    id: str
    number: int
    name: str
    group: str
    annotations: _containers.ScalarMap[str, str]
    priority: int
    timeout: _duration_pb2.Duration
    phase: RunPhase
    result: RunResult
    reason: Reason
    stop_request: StopRequest
    restart_of: RestartOrigin
    source: _definition_pb2.Source
    setup_errors: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    created_by: str
    create_time: _timestamp_pb2.Timestamp
    enqueue_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    approval_wait_since: _timestamp_pb2.Timestamp
    approval_waited: _duration_pb2.Duration
    timed_out: bool
    task_count: int
    work_start_time: _timestamp_pb2.Timestamp
    waiting: Reason
    def __init__(self, id: _Optional[str] = ..., number: _Optional[int] = ..., name: _Optional[str] = ..., group: _Optional[str] = ..., annotations: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., phase: _Optional[_Union[RunPhase, str]] = ..., result: _Optional[_Union[RunResult, str]] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ..., stop_request: _Optional[_Union[StopRequest, _Mapping]] = ..., restart_of: _Optional[_Union[RestartOrigin, _Mapping]] = ..., source: _Optional[_Union[_definition_pb2.Source, _Mapping]] = ..., setup_errors: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., created_by: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., enqueue_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., approval_wait_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., approval_waited: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., timed_out: _Optional[bool] = ..., task_count: _Optional[int] = ..., work_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waiting: _Optional[_Union[Reason, _Mapping]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("name", "type", "phase", "exit_status", "start_time", "end_time", "log_size_bytes", "log_sha256", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    EXIT_STATUS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    LOG_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_SHA256_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    phase: StepPhase
    exit_status: int
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    log_size_bytes: int
    log_sha256: str
    reason: Reason
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., phase: _Optional[_Union[StepPhase, str]] = ..., exit_status: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., log_size_bytes: _Optional[int] = ..., log_sha256: _Optional[str] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ...) -> None: ...

class TaskApproval(_message.Message):
    __slots__ = ("needed", "waiting_since", "timeout", "approved_by", "approve_time", "commit_sha", "config_digest")
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    WAITING_SINCE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    APPROVE_TIME_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DIGEST_FIELD_NUMBER: _ClassVar[int]
    needed: bool
    waiting_since: _timestamp_pb2.Timestamp
    timeout: _duration_pb2.Duration
    approved_by: str
    approve_time: _timestamp_pb2.Timestamp
    commit_sha: str
    config_digest: str
    def __init__(self, needed: _Optional[bool] = ..., waiting_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., approved_by: _Optional[str] = ..., approve_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., commit_sha: _Optional[str] = ..., config_digest: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("attempt", "assignment_id", "executor_id", "status", "reason", "timed_out", "start_time", "end_time", "setup_step", "steps")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SETUP_STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    assignment_id: str
    executor_id: str
    status: TaskStatus
    reason: Reason
    timed_out: bool
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    setup_step: Step
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, attempt: _Optional[int] = ..., assignment_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., status: _Optional[_Union[TaskStatus, str]] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ..., timed_out: _Optional[bool] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., setup_step: _Optional[_Union[Step, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("id", "run_id", "name", "level", "depends", "status", "reason", "timed_out", "ignore_failure", "approval", "lock", "attempt", "setup_step", "steps", "start_time", "end_time", "assignment_id", "executor_id", "runnable_since", "labels", "arch", "privileged", "priority", "retry", "timeout", "attempts")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    IGNORE_FAILURE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SETUP_STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    RUNNABLE_SINCE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGED_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    run_id: str
    name: str
    level: int
    depends: _containers.RepeatedCompositeFieldContainer[_definition_pb2.Depend]
    status: TaskStatus
    reason: Reason
    timed_out: bool
    ignore_failure: bool
    approval: TaskApproval
    lock: str
    attempt: int
    setup_step: Step
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    assignment_id: str
    executor_id: str
    runnable_since: _timestamp_pb2.Timestamp
    labels: _containers.ScalarMap[str, str]
    arch: str
    privileged: bool
    priority: int
    retry: _definition_pb2.Retry
    timeout: _duration_pb2.Duration
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    def __init__(self, id: _Optional[str] = ..., run_id: _Optional[str] = ..., name: _Optional[str] = ..., level: _Optional[int] = ..., depends: _Optional[_Iterable[_Union[_definition_pb2.Depend, _Mapping]]] = ..., status: _Optional[_Union[TaskStatus, str]] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ..., timed_out: _Optional[bool] = ..., ignore_failure: _Optional[bool] = ..., approval: _Optional[_Union[TaskApproval, _Mapping]] = ..., lock: _Optional[str] = ..., attempt: _Optional[int] = ..., setup_step: _Optional[_Union[Step, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., assignment_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., runnable_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., arch: _Optional[str] = ..., privileged: _Optional[bool] = ..., priority: _Optional[int] = ..., retry: _Optional[_Union[_definition_pb2.Retry, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ...) -> None: ...

class RunEvent(_message.Message):
    __slots__ = ("position", "time", "kind", "run_id", "group", "task_id", "task_name", "old_value", "new_value")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    OLD_VALUE_FIELD_NUMBER: _ClassVar[int]
    NEW_VALUE_FIELD_NUMBER: _ClassVar[int]
    position: str
    time: _timestamp_pb2.Timestamp
    kind: RunEventKind
    run_id: str
    group: str
    task_id: str
    task_name: str
    old_value: str
    new_value: str
    def __init__(self, position: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[RunEventKind, str]] = ..., run_id: _Optional[str] = ..., group: _Optional[str] = ..., task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., old_value: _Optional[str] = ..., new_value: _Optional[str] = ...) -> None: ...
