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
    """Where an assignment stands."""
    __slots__ = ()
    ASSIGNMENT_PHASE_UNSPECIFIED: _ClassVar[AssignmentPhase]
    """Not given."""
    ASSIGNMENT_PHASE_ASSIGNED: _ClassVar[AssignmentPhase]
    """Decided by the server."""
    ASSIGNMENT_PHASE_ACCEPTED: _ClassVar[AssignmentPhase]
    """In the executor's journal; its pod may be in the making."""
    ASSIGNMENT_PHASE_RUNNING: _ClassVar[AssignmentPhase]
    """Its pod runs: the task's timeout counts from the first report of it."""
    ASSIGNMENT_PHASE_SUCCESS: _ClassVar[AssignmentPhase]
    """All steps succeeded."""
    ASSIGNMENT_PHASE_FAILED: _ClassVar[AssignmentPhase]
    """A step, the setup or an archive failed, or it timed out."""
    ASSIGNMENT_PHASE_STOPPED: _ClassVar[AssignmentPhase]
    """Was told to stop, and did."""
    ASSIGNMENT_PHASE_CANCELLED: _ClassVar[AssignmentPhase]
    """Was told to stop before its pod started."""
    ASSIGNMENT_PHASE_LOST: _ClassVar[AssignmentPhase]
    """Its fate is not known, or its executor gave it up."""
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
    """Which attempt under which epoch of the database; what carries an older one is refused."""
    __slots__ = ("database", "attempt")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    database: int
    """The database's epoch when it was assigned."""
    attempt: int
    """The attempt, from 1."""
    def __init__(self, database: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class HeldAssignment(_message.Message):
    """An assignment that an executor holds."""
    __slots__ = ("assignment_id", "epoch", "phase", "run_id", "task_id")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    """Its id."""
    epoch: Epoch
    """Its epoch."""
    phase: AssignmentPhase
    """Where it stands there."""
    run_id: str
    """Its run."""
    task_id: str
    """Its task."""
    def __init__(self, assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., phase: _Optional[_Union[AssignmentPhase, str]] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class Hello(_message.Message):
    """The first message of a stream."""
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
    """Chosen by the executor inside its group, and kept: 1 to 100 of `a-z A-Z 0-9 . _ -`."""
    session_id: str
    """The session that it goes on with; empty: a new one."""
    session_secret: str
    """Proves that session."""
    journal_id: str
    """Of its journal on disk; another one means that it knows nothing of before."""
    version: str
    """Of its software."""
    archs: _containers.RepeatedScalarFieldContainer[str]
    """That it can run tasks of."""
    labels: _containers.ScalarMap[str, str]
    """What tasks may ask for."""
    slots: int
    """Tasks at a time. 0: it takes no more and ends when what it holds is over; what was assigned before the answer is still taken."""
    privileged_allowed: bool
    """Whether it takes privileged containers."""
    drivers: _containers.RepeatedScalarFieldContainer[str]
    """By name, the default first."""
    dynamic: bool
    """It may vanish, and its siblings clean up after it."""
    held: _containers.RepeatedCompositeFieldContainer[HeldAssignment]
    """All that it holds."""
    expected_group: str
    """The group that it expects its token to be of; another one is refused. Empty: any."""
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., journal_id: _Optional[str] = ..., version: _Optional[str] = ..., archs: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., slots: _Optional[int] = ..., privileged_allowed: _Optional[bool] = ..., drivers: _Optional[_Iterable[str]] = ..., dynamic: _Optional[bool] = ..., held: _Optional[_Iterable[_Union[HeldAssignment, _Mapping]]] = ..., expected_group: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    """Says that the executor lives, apart from its work."""
    __slots__ = ("number", "load", "free_disk_bytes", "running_assignment_ids")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    FREE_DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_ASSIGNMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    number: int
    """Counts up in one stream."""
    load: float
    """0 idle to 1 full, and above."""
    free_disk_bytes: int
    """Of the work folder."""
    running_assignment_ids: _containers.RepeatedScalarFieldContainer[str]
    """The ids of what runs."""
    def __init__(self, number: _Optional[int] = ..., load: _Optional[float] = ..., free_disk_bytes: _Optional[int] = ..., running_assignment_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class StepUpdate(_message.Message):
    """How far a step is."""
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
    """From 0; -1: the setup."""
    phase: _run_pb2.StepPhase
    """Where it stands."""
    exit_status: int
    """Of its command; only when it ended by itself."""
    start_time: _timestamp_pb2.Timestamp
    """When it began."""
    end_time: _timestamp_pb2.Timestamp
    """When it ended."""
    log_size_bytes: int
    """Bytes of its log, at its end."""
    log_sha256: str
    """SHA-256 of them in hex, at its end."""
    reason: _run_pb2.Reason
    """Why it is as it is."""
    def __init__(self, step: _Optional[int] = ..., phase: _Optional[_Union[_run_pb2.StepPhase, str]] = ..., exit_status: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., log_size_bytes: _Optional[int] = ..., log_sha256: _Optional[str] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class AssignmentUpdate(_message.Message):
    """How far an assignment is."""
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
    """Counts up in one session; acknowledged by it."""
    assignment_id: str
    """Which."""
    epoch: Epoch
    """Its epoch."""
    phase: AssignmentPhase
    """Where it stands."""
    steps: _containers.RepeatedCompositeFieldContainer[StepUpdate]
    """Steps that changed since the last update."""
    reason: _run_pb2.Reason
    """Why it failed or was lost: code `STEP_FAILED`, `SETUP_FAILED`, `TIMEOUT`, `ARCHIVE`, `DRAINED` and so on."""
    timed_out: bool
    """It took longer than the task's timeout."""
    pod_start_time: _timestamp_pb2.Timestamp
    """When its pod started; the timeout counts from it."""
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., phase: _Optional[_Union[AssignmentPhase, str]] = ..., steps: _Optional[_Iterable[_Union[StepUpdate, _Mapping]]] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., timed_out: _Optional[bool] = ..., pod_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Updates(_message.Message):
    """Updates that waited together."""
    __slots__ = ("updates",)
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    updates: _containers.RepeatedCompositeFieldContainer[AssignmentUpdate]
    """In order."""
    def __init__(self, updates: _Optional[_Iterable[_Union[AssignmentUpdate, _Mapping]]] = ...) -> None: ...

class PodsGone(_message.Message):
    """The pods of a vanished session are gone."""
    __slots__ = ("session_id", "number")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """That session."""
    number: int
    """Counts up in one session; acknowledged by it."""
    def __init__(self, session_id: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class CommandAcknowledgement(_message.Message):
    """Confirms a message of the server's by its number."""
    __slots__ = ("number", "refused")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    number: int
    """Of the assign, stop, release or clean."""
    refused: _run_pb2.Reason
    """Set: it could not be done, and why."""
    def __init__(self, number: _Optional[int] = ..., refused: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class ConnectRequest(_message.Message):
    """One message from the executor."""
    __slots__ = ("hello", "heartbeat", "updates", "pods_gone", "acknowledgement")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    PODS_GONE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    """The first."""
    heartbeat: Heartbeat
    """At the interval of the welcome."""
    updates: Updates
    """Whenever something changed."""
    pods_gone: PodsGone
    """After a clean."""
    acknowledgement: CommandAcknowledgement
    """After each numbered message of the server's."""
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., updates: _Optional[_Union[Updates, _Mapping]] = ..., pods_gone: _Optional[_Union[PodsGone, _Mapping]] = ..., acknowledgement: _Optional[_Union[CommandAcknowledgement, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    """The answer to a hello."""
    __slots__ = ("session_id", "session_secret", "heartbeat_interval", "max_message_bytes", "group", "fence_after", "database_epoch")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    FENCE_AFTER_FIELD_NUMBER: _ClassVar[int]
    DATABASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session from now on."""
    session_secret: str
    """Proves it at the next hello. Never in a log."""
    heartbeat_interval: _duration_pb2.Duration
    """Between heartbeats."""
    max_message_bytes: int
    """At most this many bytes in one message."""
    group: str
    """The executor's group, as its token says."""
    fence_after: _duration_pb2.Duration
    """Unfed for so long, a pod ends itself."""
    database_epoch: int
    """The database's epoch. When it has grown, the database may have lost what it had acknowledged: the executor says
    anew where all that it holds stands.
    """
    def __init__(self, session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_message_bytes: _Optional[int] = ..., group: _Optional[str] = ..., fence_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., database_epoch: _Optional[int] = ...) -> None: ...

class HeartbeatAcknowledgement(_message.Message):
    """Confirms a heartbeat: pods are fed only while these come."""
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The heartbeat's number."""
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class UpdateAcknowledgement(_message.Message):
    """Confirms an update, or a pods gone: both are numbered from one count."""
    __slots__ = ("number", "refused")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    number: int
    """Its number."""
    refused: _run_pb2.Reason
    """Set: it had no effect, and why; it is not sent again."""
    def __init__(self, number: _Optional[int] = ..., refused: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class StepSpecification(_message.Message):
    """A step with all that it needs."""
    __slots__ = ("definition",)
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    definition: _definition_pb2.StepDefinition
    """What it does; its environment values are resolved, so all are clear."""
    def __init__(self, definition: _Optional[_Union[_definition_pb2.StepDefinition, _Mapping]] = ...) -> None: ...

class Specification(_message.Message):
    """What an executor needs to run an assignment; built when it is sent, never stored, for this executor only."""
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
    """The run's id."""
    run_number: int
    """The run's number."""
    task_id: str
    """The task's id."""
    task_name: str
    """The task's name."""
    runtime: _definition_pb2.Runtime
    """Where it runs."""
    environment: _containers.ScalarMap[str, str]
    """Of all its steps, merged in the order of run-config.md, secrets resolved."""
    working_dir: str
    """Of its steps; never empty."""
    shell: str
    """The command that runs a step's text; never empty."""
    user: str
    """Empty: the container's."""
    steps: _containers.RepeatedCompositeFieldContainer[StepSpecification]
    """In order."""
    timeout: _duration_pb2.Duration
    """From the start of the pod."""
    grace: _duration_pb2.Duration
    """Between TERM and KILL."""
    source: _definition_pb2.Source
    """For clone steps."""
    masks: _containers.RepeatedScalarFieldContainer[bytes]
    """Byte strings that no log may show."""
    log_limit_bytes: int
    """At most this many bytes of log a step."""
    resources: _definition_pb2.Resources
    """Of the pod as a whole."""
    def __init__(self, run_id: _Optional[str] = ..., run_number: _Optional[int] = ..., task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., runtime: _Optional[_Union[_definition_pb2.Runtime, _Mapping]] = ..., environment: _Optional[_Mapping[str, str]] = ..., working_dir: _Optional[str] = ..., shell: _Optional[str] = ..., user: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[StepSpecification, _Mapping]]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., source: _Optional[_Union[_definition_pb2.Source, _Mapping]] = ..., masks: _Optional[_Iterable[bytes]] = ..., log_limit_bytes: _Optional[int] = ..., resources: _Optional[_Union[_definition_pb2.Resources, _Mapping]] = ...) -> None: ...

class Assign(_message.Message):
    """Run this."""
    __slots__ = ("number", "assignment_id", "epoch", "specification")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    number: int
    """Counts up in one session; to be acknowledged once it is in the journal."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """Its epoch."""
    specification: Specification
    """What to run."""
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., specification: _Optional[_Union[Specification, _Mapping]] = ...) -> None: ...

class Stop(_message.Message):
    """End this."""
    __slots__ = ("number", "assignment_id", "epoch", "grace", "force", "discard", "reason")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    DISCARD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    number: int
    """Counts up in one session; to be acknowledged."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """Its epoch."""
    grace: _duration_pb2.Duration
    """Between TERM and KILL; not set: the specification's."""
    force: bool
    """Steps with `always` are not run either."""
    discard: bool
    """The server does not want its outcome: stop and remove it."""
    reason: _run_pb2.Reason
    """Why: a request, the run's timeout, the task's own. It becomes the reason of the task and of the step that was stopped, unless
    the attempt was ending for another one already. Not set: `STOPPED`, on request.
    """
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., force: _Optional[bool] = ..., discard: _Optional[bool] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class Release(_message.Message):
    """Everything of this is stored: local data may go."""
    __slots__ = ("number", "assignment_id")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    number: int
    """Counts up in one session; to be acknowledged."""
    assignment_id: str
    """The assignment's id."""
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ...) -> None: ...

class Siblings(_message.Message):
    """The other live executors of the group."""
    __slots__ = ("executor_ids",)
    EXECUTOR_IDS_FIELD_NUMBER: _ClassVar[int]
    executor_ids: _containers.RepeatedScalarFieldContainer[str]
    """Their ids, sorted."""
    def __init__(self, executor_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Clean(_message.Message):
    """Remove the pods, volumes and networks of a vanished session, then answer with pods gone."""
    __slots__ = ("number", "session_id", "executor_id")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    number: int
    """Counts up in one session; to be acknowledged."""
    session_id: str
    """That session."""
    executor_id: str
    """The executor that had it."""
    def __init__(self, number: _Optional[int] = ..., session_id: _Optional[str] = ..., executor_id: _Optional[str] = ...) -> None: ...

class ConnectResponse(_message.Message):
    """One message to the executor."""
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
    """The first."""
    heartbeat_acknowledgement: HeartbeatAcknowledgement
    """For each heartbeat."""
    update_acknowledgement: UpdateAcknowledgement
    """For each update."""
    assign: Assign
    """Run this."""
    stop: Stop
    """End this."""
    release: Release
    """Local data may go."""
    siblings: Siblings
    """The group changed."""
    clean: Clean
    """Clean up after a vanished session."""
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., heartbeat_acknowledgement: _Optional[_Union[HeartbeatAcknowledgement, _Mapping]] = ..., update_acknowledgement: _Optional[_Union[UpdateAcknowledgement, _Mapping]] = ..., assign: _Optional[_Union[Assign, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ..., siblings: _Optional[_Union[Siblings, _Mapping]] = ..., clean: _Optional[_Union[Clean, _Mapping]] = ...) -> None: ...

class LogReference(_message.Message):
    """Which log."""
    __slots__ = ("assignment_id", "step")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    """The assignment's id."""
    step: int
    """From 0; -1: the setup."""
    def __init__(self, assignment_id: _Optional[str] = ..., step: _Optional[int] = ...) -> None: ...

class PushLogsRequest(_message.Message):
    """One message of logs."""
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
    """The session; in the first message of the stream."""
    session_secret: str
    """Proves it; in the first message of the stream."""
    executor_id: str
    """The executor's id; in the first message of the stream."""
    log: LogReference
    """Which log. Not set in a first message without data."""
    offset: int
    """The offset of the first byte."""
    data: bytes
    """At most 64 KiB."""
    end: bool
    """The log ends after `data`."""
    time: _timestamp_pb2.Timestamp
    """The offset in the log of line starts is not sent; this is when the first byte was written."""
    def __init__(self, session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., executor_id: _Optional[str] = ..., log: _Optional[_Union[LogReference, _Mapping]] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., end: _Optional[bool] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PushLogsResponse(_message.Message):
    """What is stored."""
    __slots__ = ("log", "stored_offset", "complete", "refused", "rewind")
    LOG_FIELD_NUMBER: _ClassVar[int]
    STORED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REWIND_FIELD_NUMBER: _ClassVar[int]
    log: LogReference
    """Which log."""
    stored_offset: int
    """All bytes before it are stored."""
    complete: bool
    """The log is whole and stored."""
    refused: _run_pb2.Reason
    """Set: this log is not wanted, and why; drop it."""
    rewind: bool
    """Bytes at `stored_offset` were expected and later ones came: go back to it. Without it an answer only tells how far storing is."""
    def __init__(self, log: _Optional[_Union[LogReference, _Mapping]] = ..., stored_offset: _Optional[int] = ..., complete: _Optional[bool] = ..., refused: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., rewind: _Optional[bool] = ...) -> None: ...

class GetSpecificationRequest(_message.Message):
    """What `GetSpecification` takes."""
    __slots__ = ("executor_id", "session_id", "session_secret", "assignment_id", "epoch")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id."""
    session_id: str
    """Its session."""
    session_secret: str
    """Proves it."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """Its epoch."""
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ...) -> None: ...

class GetSpecificationResponse(_message.Message):
    """What `GetSpecification` answers."""
    __slots__ = ("specification",)
    SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    specification: Specification
    """The specification."""
    def __init__(self, specification: _Optional[_Union[Specification, _Mapping]] = ...) -> None: ...
