import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.run.v1 import definition_pb2 as _definition_pb2
from sluiceway.api.run.v1 import run_pb2 as _run_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AssignmentPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSIGNMENT_PHASE_UNSPECIFIED: _ClassVar[AssignmentPhase]
    ASSIGNMENT_PHASE_ASSIGNED: _ClassVar[AssignmentPhase]
    ASSIGNMENT_PHASE_ACCEPTED: _ClassVar[AssignmentPhase]
    ASSIGNMENT_PHASE_RUNNING: _ClassVar[AssignmentPhase]
    ASSIGNMENT_PHASE_SUCCESS: _ClassVar[AssignmentPhase]
    ASSIGNMENT_PHASE_FAILED: _ClassVar[AssignmentPhase]
    ASSIGNMENT_PHASE_STOPPED: _ClassVar[AssignmentPhase]
    ASSIGNMENT_PHASE_CANCELLED: _ClassVar[AssignmentPhase]
    ASSIGNMENT_PHASE_LOST: _ClassVar[AssignmentPhase]
ASSIGNMENT_PHASE_UNSPECIFIED: AssignmentPhase
ASSIGNMENT_PHASE_ASSIGNED: AssignmentPhase
ASSIGNMENT_PHASE_ACCEPTED: AssignmentPhase
ASSIGNMENT_PHASE_RUNNING: AssignmentPhase
ASSIGNMENT_PHASE_SUCCESS: AssignmentPhase
ASSIGNMENT_PHASE_FAILED: AssignmentPhase
ASSIGNMENT_PHASE_STOPPED: AssignmentPhase
ASSIGNMENT_PHASE_CANCELLED: AssignmentPhase
ASSIGNMENT_PHASE_LOST: AssignmentPhase

class Epoch(_message.Message):
    __slots__ = ("database", "attempt")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    database: int
    attempt: int
    def __init__(self, database: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class HeldAssignment(_message.Message):
    __slots__ = ("assignment_id", "epoch", "phase", "run_id", "task_id")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    epoch: Epoch
    phase: AssignmentPhase
    run_id: str
    task_id: str
    def __init__(self, assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., phase: _Optional[_Union[AssignmentPhase, str]] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("executor_id", "session_id", "session_secret", "journal_id", "version", "archs", "labels", "slots", "privileged_allowed", "drivers", "dynamic", "held", "expected_group")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARCHS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGED_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GROUP_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    session_id: str
    session_secret: str
    journal_id: str
    version: str
    archs: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    slots: int
    privileged_allowed: bool
    drivers: _containers.RepeatedScalarFieldContainer[str]
    dynamic: bool
    held: _containers.RepeatedCompositeFieldContainer[HeldAssignment]
    expected_group: str
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., journal_id: _Optional[str] = ..., version: _Optional[str] = ..., archs: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., slots: _Optional[int] = ..., privileged_allowed: _Optional[bool] = ..., drivers: _Optional[_Iterable[str]] = ..., dynamic: _Optional[bool] = ..., held: _Optional[_Iterable[_Union[HeldAssignment, _Mapping]]] = ..., expected_group: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("number", "load", "free_disk_bytes", "running_assignment_ids")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    FREE_DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_ASSIGNMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    number: int
    load: float
    free_disk_bytes: int
    running_assignment_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, number: _Optional[int] = ..., load: _Optional[float] = ..., free_disk_bytes: _Optional[int] = ..., running_assignment_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class StepUpdate(_message.Message):
    __slots__ = ("step", "phase", "exit_status", "start_time", "end_time", "log_size_bytes", "log_sha256", "reason")
    STEP_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    EXIT_STATUS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    LOG_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_SHA256_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    step: int
    phase: _run_pb2.StepPhase
    exit_status: int
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    log_size_bytes: int
    log_sha256: str
    reason: _run_pb2.Reason
    def __init__(self, step: _Optional[int] = ..., phase: _Optional[_Union[_run_pb2.StepPhase, str]] = ..., exit_status: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., log_size_bytes: _Optional[int] = ..., log_sha256: _Optional[str] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class AssignmentUpdate(_message.Message):
    __slots__ = ("number", "assignment_id", "epoch", "phase", "steps", "reason", "timed_out", "pod_start_time")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    POD_START_TIME_FIELD_NUMBER: _ClassVar[int]
    number: int
    assignment_id: str
    epoch: Epoch
    phase: AssignmentPhase
    steps: _containers.RepeatedCompositeFieldContainer[StepUpdate]
    reason: _run_pb2.Reason
    timed_out: bool
    pod_start_time: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., phase: _Optional[_Union[AssignmentPhase, str]] = ..., steps: _Optional[_Iterable[_Union[StepUpdate, _Mapping]]] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., timed_out: _Optional[bool] = ..., pod_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Updates(_message.Message):
    __slots__ = ("updates",)
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    updates: _containers.RepeatedCompositeFieldContainer[AssignmentUpdate]
    def __init__(self, updates: _Optional[_Iterable[_Union[AssignmentUpdate, _Mapping]]] = ...) -> None: ...

class PodsGone(_message.Message):
    __slots__ = ("session_id", "number")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    number: int
    def __init__(self, session_id: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class CommandAcknowledgement(_message.Message):
    __slots__ = ("number", "refused")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    number: int
    refused: _run_pb2.Reason
    def __init__(self, number: _Optional[int] = ..., refused: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class ConnectRequest(_message.Message):
    __slots__ = ("hello", "heartbeat", "updates", "pods_gone", "acknowledgement")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    PODS_GONE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    updates: Updates
    pods_gone: PodsGone
    acknowledgement: CommandAcknowledgement
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., updates: _Optional[_Union[Updates, _Mapping]] = ..., pods_gone: _Optional[_Union[PodsGone, _Mapping]] = ..., acknowledgement: _Optional[_Union[CommandAcknowledgement, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session_id", "session_secret", "heartbeat_interval", "max_message_bytes", "group", "fence_after", "database_epoch")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    FENCE_AFTER_FIELD_NUMBER: _ClassVar[int]
    DATABASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    session_secret: str
    heartbeat_interval: _duration_pb2.Duration
    max_message_bytes: int
    group: str
    fence_after: _duration_pb2.Duration
    database_epoch: int
    def __init__(self, session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_message_bytes: _Optional[int] = ..., group: _Optional[str] = ..., fence_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., database_epoch: _Optional[int] = ...) -> None: ...

class HeartbeatAcknowledgement(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class UpdateAcknowledgement(_message.Message):
    __slots__ = ("number", "refused")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    number: int
    refused: _run_pb2.Reason
    def __init__(self, number: _Optional[int] = ..., refused: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class StepSpecification(_message.Message):
    __slots__ = ("definition",)
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    definition: _definition_pb2.StepDefinition
    def __init__(self, definition: _Optional[_Union[_definition_pb2.StepDefinition, _Mapping]] = ...) -> None: ...

class Specification(_message.Message):
    __slots__ = ("run_id", "run_number", "task_id", "task_name", "runtime", "environment", "working_dir", "shell", "user", "steps", "timeout", "grace", "source", "masks", "log_limit_bytes", "resources")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIR_FIELD_NUMBER: _ClassVar[int]
    SHELL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    LOG_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    run_number: int
    task_id: str
    task_name: str
    runtime: _definition_pb2.Runtime
    environment: _containers.ScalarMap[str, str]
    working_dir: str
    shell: str
    user: str
    steps: _containers.RepeatedCompositeFieldContainer[StepSpecification]
    timeout: _duration_pb2.Duration
    grace: _duration_pb2.Duration
    source: _definition_pb2.Source
    masks: _containers.RepeatedScalarFieldContainer[bytes]
    log_limit_bytes: int
    resources: _definition_pb2.Resources
    def __init__(self, run_id: _Optional[str] = ..., run_number: _Optional[int] = ..., task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., runtime: _Optional[_Union[_definition_pb2.Runtime, _Mapping]] = ..., environment: _Optional[_Mapping[str, str]] = ..., working_dir: _Optional[str] = ..., shell: _Optional[str] = ..., user: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[StepSpecification, _Mapping]]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., source: _Optional[_Union[_definition_pb2.Source, _Mapping]] = ..., masks: _Optional[_Iterable[bytes]] = ..., log_limit_bytes: _Optional[int] = ..., resources: _Optional[_Union[_definition_pb2.Resources, _Mapping]] = ...) -> None: ...

class Assign(_message.Message):
    __slots__ = ("number", "assignment_id", "epoch", "specification")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    number: int
    assignment_id: str
    epoch: Epoch
    specification: Specification
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., specification: _Optional[_Union[Specification, _Mapping]] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ("number", "assignment_id", "epoch", "grace", "force", "discard", "reason")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    DISCARD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    number: int
    assignment_id: str
    epoch: Epoch
    grace: _duration_pb2.Duration
    force: bool
    discard: bool
    reason: _run_pb2.Reason
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., force: _Optional[bool] = ..., discard: _Optional[bool] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("number", "assignment_id")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    number: int
    assignment_id: str
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ...) -> None: ...

class Siblings(_message.Message):
    __slots__ = ("executor_ids",)
    EXECUTOR_IDS_FIELD_NUMBER: _ClassVar[int]
    executor_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, executor_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Clean(_message.Message):
    __slots__ = ("number", "session_id", "executor_id")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    number: int
    session_id: str
    executor_id: str
    def __init__(self, number: _Optional[int] = ..., session_id: _Optional[str] = ..., executor_id: _Optional[str] = ...) -> None: ...

class ConnectResponse(_message.Message):
    __slots__ = ("welcome", "heartbeat_acknowledgement", "update_acknowledgement", "assign", "stop", "release", "siblings", "clean")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    SIBLINGS_FIELD_NUMBER: _ClassVar[int]
    CLEAN_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    heartbeat_acknowledgement: HeartbeatAcknowledgement
    update_acknowledgement: UpdateAcknowledgement
    assign: Assign
    stop: Stop
    release: Release
    siblings: Siblings
    clean: Clean
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., heartbeat_acknowledgement: _Optional[_Union[HeartbeatAcknowledgement, _Mapping]] = ..., update_acknowledgement: _Optional[_Union[UpdateAcknowledgement, _Mapping]] = ..., assign: _Optional[_Union[Assign, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ..., siblings: _Optional[_Union[Siblings, _Mapping]] = ..., clean: _Optional[_Union[Clean, _Mapping]] = ...) -> None: ...

class LogReference(_message.Message):
    __slots__ = ("assignment_id", "step")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    step: int
    def __init__(self, assignment_id: _Optional[str] = ..., step: _Optional[int] = ...) -> None: ...

class PushLogsRequest(_message.Message):
    __slots__ = ("session_id", "session_secret", "executor_id", "log", "offset", "data", "end", "time")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    session_secret: str
    executor_id: str
    log: LogReference
    offset: int
    data: bytes
    end: bool
    time: _timestamp_pb2.Timestamp
    def __init__(self, session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., executor_id: _Optional[str] = ..., log: _Optional[_Union[LogReference, _Mapping]] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., end: _Optional[bool] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PushLogsResponse(_message.Message):
    __slots__ = ("log", "stored_offset", "complete", "refused", "rewind")
    LOG_FIELD_NUMBER: _ClassVar[int]
    STORED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REWIND_FIELD_NUMBER: _ClassVar[int]
    log: LogReference
    stored_offset: int
    complete: bool
    refused: _run_pb2.Reason
    rewind: bool
    def __init__(self, log: _Optional[_Union[LogReference, _Mapping]] = ..., stored_offset: _Optional[int] = ..., complete: _Optional[bool] = ..., refused: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., rewind: _Optional[bool] = ...) -> None: ...

class GetSpecificationRequest(_message.Message):
    __slots__ = ("executor_id", "session_id", "session_secret", "assignment_id", "epoch")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    session_id: str
    session_secret: str
    assignment_id: str
    epoch: Epoch
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ...) -> None: ...

class GetSpecificationResponse(_message.Message):
    __slots__ = ("specification",)
    SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    specification: Specification
    def __init__(self, specification: _Optional[_Union[Specification, _Mapping]] = ...) -> None: ...
