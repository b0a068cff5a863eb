import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.run.v1 import definition_pb2 as _definition_pb2
from sluiceway.api.run.v1 import shell_pb2 as _shell_pb2
from sluiceway.api.run.v1 import test_report_pb2 as _test_report_pb2
from sluiceway.api.run.v1 import run_pb2 as _run_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AssignmentPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The phase of an assignment. The phases from `SUCCESS` on are final."""
    __slots__ = ()
    ASSIGNMENT_PHASE_UNSPECIFIED: _ClassVar[AssignmentPhase]
    """Not set."""
    ASSIGNMENT_PHASE_ASSIGNED: _ClassVar[AssignmentPhase]
    """The server has decided it."""
    ASSIGNMENT_PHASE_ACCEPTED: _ClassVar[AssignmentPhase]
    """The assignment is in the executor's journal. Its pod may be in setup."""
    ASSIGNMENT_PHASE_RUNNING: _ClassVar[AssignmentPhase]
    """The pod runs. The task's timeout counts from the first report of this phase."""
    ASSIGNMENT_PHASE_SUCCESS: _ClassVar[AssignmentPhase]
    """Every step succeeded."""
    ASSIGNMENT_PHASE_FAILED: _ClassVar[AssignmentPhase]
    """A step, the setup or an archive failed, or the attempt timed out."""
    ASSIGNMENT_PHASE_STOPPED: _ClassVar[AssignmentPhase]
    """The assignment was stopped on request."""
    ASSIGNMENT_PHASE_CANCELLED: _ClassVar[AssignmentPhase]
    """The assignment was stopped before its pod started."""
    ASSIGNMENT_PHASE_LOST: _ClassVar[AssignmentPhase]
    """The outcome is not known, or the executor gave the assignment up."""

class ArchiveKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The purpose of an archive."""
    __slots__ = ()
    ARCHIVE_KIND_UNSPECIFIED: _ClassVar[ArchiveKind]
    """Not set."""
    ARCHIVE_KIND_WORKSPACE: _ClassVar[ArchiveKind]
    """Files for the tasks that descend from the one that saved them."""
    ARCHIVE_KIND_ARTIFACT: _ClassVar[ArchiveKind]
    """Files for people."""
    ARCHIVE_KIND_CACHE: _ClassVar[ArchiveKind]
    """Files for later runs."""
    ARCHIVE_KIND_REPORT: _ClassVar[ArchiveKind]
    """The tests of a `save_reports` step: a `TestReport`."""
ASSIGNMENT_PHASE_UNSPECIFIED: AssignmentPhase
ASSIGNMENT_PHASE_ASSIGNED: AssignmentPhase
ASSIGNMENT_PHASE_ACCEPTED: AssignmentPhase
ASSIGNMENT_PHASE_RUNNING: AssignmentPhase
ASSIGNMENT_PHASE_SUCCESS: AssignmentPhase
ASSIGNMENT_PHASE_FAILED: AssignmentPhase
ASSIGNMENT_PHASE_STOPPED: AssignmentPhase
ASSIGNMENT_PHASE_CANCELLED: AssignmentPhase
ASSIGNMENT_PHASE_LOST: AssignmentPhase
ARCHIVE_KIND_UNSPECIFIED: ArchiveKind
ARCHIVE_KIND_WORKSPACE: ArchiveKind
ARCHIVE_KIND_ARTIFACT: ArchiveKind
ARCHIVE_KIND_CACHE: ArchiveKind
ARCHIVE_KIND_REPORT: ArchiveKind

class Epoch(_message.Message):
    """The epoch of an assignment. Messages of an older epoch are refused."""
    __slots__ = ("database", "attempt")
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    database: int
    """The epoch of the database when the task was assigned."""
    attempt: int
    """The number of the attempt, from 1."""
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
    """The assignment's id."""
    epoch: Epoch
    """The epoch of the assignment."""
    phase: AssignmentPhase
    """The phase of the assignment at the executor."""
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
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
    """The id that the executor has chosen in its group, and keeps: 1 to 100 of `a-z A-Z 0-9 . _ -`."""
    session_id: str
    """The session that the executor continues. Empty: a new one."""
    session_secret: str
    """The secret of that session."""
    journal_id: str
    """The id of the executor's journal on disk. Another id means that it has lost its earlier state."""
    version: str
    """The version of the executor's software."""
    archs: _containers.RepeatedScalarFieldContainer[str]
    """The architectures of the tasks that the executor can run."""
    labels: _containers.ScalarMap[str, str]
    """The labels that tasks can require."""
    slots: int
    """The number of tasks that the executor can run at the same time. 0: it takes no more, and ends when those that it
    holds are finished. Tasks that were assigned before the welcome are still accepted.
    """
    privileged_allowed: bool
    """Whether the executor runs privileged containers."""
    drivers: _containers.RepeatedScalarFieldContainer[str]
    """The names of the drivers, the default first."""
    dynamic: bool
    """Whether the executor may vanish at any time, and be cleaned up by its siblings."""
    held: _containers.RepeatedCompositeFieldContainer[HeldAssignment]
    """All assignments that the executor holds."""
    expected_group: str
    """The group that the executor expects its token to belong to. Another one is refused. Empty: any group."""
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., journal_id: _Optional[str] = ..., version: _Optional[str] = ..., archs: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., slots: _Optional[int] = ..., privileged_allowed: _Optional[bool] = ..., drivers: _Optional[_Iterable[str]] = ..., dynamic: _Optional[bool] = ..., held: _Optional[_Iterable[_Union[HeldAssignment, _Mapping]]] = ..., expected_group: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    """Shows that the executor is alive, independently of its work."""
    __slots__ = ("number", "load", "free_disk_bytes", "running_assignment_ids")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    FREE_DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    RUNNING_ASSIGNMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the heartbeat, counted in one stream."""
    load: float
    """The load: 0 is idle, 1 is full. It may be larger."""
    free_disk_bytes: int
    """The free space of the work folder, in bytes."""
    running_assignment_ids: _containers.RepeatedScalarFieldContainer[str]
    """The ids of the assignments that run."""
    def __init__(self, number: _Optional[int] = ..., load: _Optional[float] = ..., free_disk_bytes: _Optional[int] = ..., running_assignment_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class StepUpdate(_message.Message):
    """The state of a step."""
    __slots__ = ("step", "phase", "exit_status", "start_time", "end_time", "log_size_bytes", "log_sha256", "reason", "reruns", "cpu_time", "peak_memory_bytes", "images")
    STEP_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    EXIT_STATUS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    LOG_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_SHA256_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RERUNS_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    step: int
    """The index of the step, from 0. -1: the setup."""
    phase: _run_pb2.StepPhase
    """The phase of the step."""
    exit_status: int
    """The exit status of the step's command. Not set: the command was not run, or was ended by a signal."""
    start_time: _timestamp_pb2.Timestamp
    """When the step started."""
    end_time: _timestamp_pb2.Timestamp
    """When the step ended."""
    log_size_bytes: int
    """The size of the step's log in bytes. Set once the step has ended."""
    log_sha256: str
    """The SHA-256 of the step's log, in hex. Set once the step has ended."""
    reason: _run_pb2.Reason
    """Why the step is in its phase."""
    reruns: int
    """How often the step was run again in a held pod."""
    cpu_time: _duration_pb2.Duration
    """The processor time of the step's processes. Not set: it is not known, or the step has not ended."""
    peak_memory_bytes: int
    """The peak of the resident memory of the largest of them, in bytes. 0: it is not known."""
    images: _containers.RepeatedCompositeFieldContainer[_run_pb2.ContainerImage]
    """Of the setup, once it has ended: the images of the pod's containers. At most 100."""
    def __init__(self, step: _Optional[int] = ..., phase: _Optional[_Union[_run_pb2.StepPhase, str]] = ..., exit_status: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., log_size_bytes: _Optional[int] = ..., log_sha256: _Optional[str] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., reruns: _Optional[int] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., peak_memory_bytes: _Optional[int] = ..., images: _Optional[_Iterable[_Union[_run_pb2.ContainerImage, _Mapping]]] = ...) -> None: ...

class Hold(_message.Message):
    """The hold of a pod whose step failed."""
    __slots__ = ("number", "step", "limit")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the hold, from 1 in each attempt."""
    step: int
    """The index of the step that failed."""
    limit: _duration_pb2.Duration
    """How long the hold lasts if nothing ends it."""
    def __init__(self, number: _Optional[int] = ..., step: _Optional[int] = ..., limit: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AssignmentUpdate(_message.Message):
    """The state of an assignment."""
    __slots__ = ("number", "assignment_id", "epoch", "phase", "steps", "reason", "timed_out", "pod_start_time", "cause", "archives", "hold")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    POD_START_TIME_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    ARCHIVES_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the update, counted in one session. It is acknowledged."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """The epoch of the assignment."""
    phase: AssignmentPhase
    """The phase of the assignment."""
    steps: _containers.RepeatedCompositeFieldContainer[StepUpdate]
    """The steps that have changed since the last update."""
    reason: _run_pb2.Reason
    """Why the assignment failed or was lost, such as `STEP_FAILED`, `SETUP_FAILED`, `TIMEOUT`, `ARCHIVE` or `DRAINED`."""
    timed_out: bool
    """Whether the attempt timed out."""
    pod_start_time: _timestamp_pb2.Timestamp
    """When the pod started. The task's timeout counts from it."""
    cause: _definition_pb2.RetryCause
    """In the phase `ASSIGNMENT_PHASE_FAILED`: why, as far as `retry` tells causes apart. Not set by executors of versions
    before this field: for them `timed_out` and the code of `reason` decide.
    """
    archives: _containers.RepeatedCompositeFieldContainer[Archive]
    """All archives that the attempt has stored for other tasks and for people."""
    hold: Hold
    """The hold of the pod. Not set: it is not held."""
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., phase: _Optional[_Union[AssignmentPhase, str]] = ..., steps: _Optional[_Iterable[_Union[StepUpdate, _Mapping]]] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., timed_out: _Optional[bool] = ..., pod_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[_Union[_definition_pb2.RetryCause, str]] = ..., archives: _Optional[_Iterable[_Union[Archive, _Mapping]]] = ..., hold: _Optional[_Union[Hold, _Mapping]] = ...) -> None: ...

class Archive(_message.Message):
    """An archive that is stored."""
    __slots__ = ("step", "kind", "name", "sha256", "size_bytes", "file_count", "tests", "failed_tests")
    STEP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TESTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_TESTS_FIELD_NUMBER: _ClassVar[int]
    step: int
    """The index of the step that saved it."""
    kind: ArchiveKind
    """The purpose of the archive."""
    name: str
    """The name of an artifact, or the key of a cache."""
    sha256: str
    """The SHA-256 of its bytes, in hex."""
    size_bytes: int
    """The number of its bytes."""
    file_count: int
    """The number of files in it."""
    tests: _test_report_pb2.TestCounts
    """Of a report: how many tests it has."""
    failed_tests: _containers.RepeatedScalarFieldContainer[str]
    """Of a report: the names of the first tests that failed, at most 10."""
    def __init__(self, step: _Optional[int] = ..., kind: _Optional[_Union[ArchiveKind, str]] = ..., name: _Optional[str] = ..., sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ..., file_count: _Optional[int] = ..., tests: _Optional[_Union[_test_report_pb2.TestCounts, _Mapping]] = ..., failed_tests: _Optional[_Iterable[str]] = ...) -> None: ...

class Updates(_message.Message):
    """Updates that were waiting at the same time."""
    __slots__ = ("updates",)
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    updates: _containers.RepeatedCompositeFieldContainer[AssignmentUpdate]
    """The updates, in order."""
    def __init__(self, updates: _Optional[_Iterable[_Union[AssignmentUpdate, _Mapping]]] = ...) -> None: ...

class PodsGone(_message.Message):
    """Reports that the pods of a vanished session are removed."""
    __slots__ = ("session_id", "number")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The vanished session."""
    number: int
    """The number of the message, counted in one session with the updates. It is acknowledged."""
    def __init__(self, session_id: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class CommandAcknowledgement(_message.Message):
    """Acknowledges a numbered message of the server."""
    __slots__ = ("number", "refused")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the assign, stop, release or clean."""
    refused: _run_pb2.Reason
    """Why the command could not be carried out. Not set: it was."""
    def __init__(self, number: _Optional[int] = ..., refused: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class ConnectRequest(_message.Message):
    """A message of the executor."""
    __slots__ = ("hello", "heartbeat", "updates", "pods_gone", "acknowledgement")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    PODS_GONE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    """The first message."""
    heartbeat: Heartbeat
    """Sent at the interval of the welcome."""
    updates: Updates
    """Sent whenever something has changed."""
    pods_gone: PodsGone
    """Sent after a clean."""
    acknowledgement: CommandAcknowledgement
    """Sent after each numbered message of the server."""
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., updates: _Optional[_Union[Updates, _Mapping]] = ..., pods_gone: _Optional[_Union[PodsGone, _Mapping]] = ..., acknowledgement: _Optional[_Union[CommandAcknowledgement, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    """The response to a hello."""
    __slots__ = ("session_id", "session_secret", "heartbeat_interval", "max_message_bytes", "group", "fence_after", "database_epoch")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    FENCE_AFTER_FIELD_NUMBER: _ClassVar[int]
    DATABASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session of the executor from now on."""
    session_secret: str
    """The secret that proves the session in the next hello. It is not logged."""
    heartbeat_interval: _duration_pb2.Duration
    """The interval between heartbeats."""
    max_message_bytes: int
    """The largest size of a message, in bytes."""
    group: str
    """The executor's group, according to its token."""
    fence_after: _duration_pb2.Duration
    """How long a pod continues without an acknowledged heartbeat. Then it ends itself."""
    database_epoch: int
    """The epoch of the database. When it has grown, the database may have lost what it had acknowledged: the executor
    reports the state of all assignments that it holds again.
    """
    def __init__(self, session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_message_bytes: _Optional[int] = ..., group: _Optional[str] = ..., fence_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., database_epoch: _Optional[int] = ...) -> None: ...

class HeartbeatAcknowledgement(_message.Message):
    """Acknowledges a heartbeat. Pods continue only while these messages arrive."""
    __slots__ = ("number", "heartbeat_interval")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the heartbeat."""
    heartbeat_interval: _duration_pb2.Duration
    """The interval between heartbeats from now on: longer, because the server has more streams. Not set: as before."""
    def __init__(self, number: _Optional[int] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class UpdateAcknowledgement(_message.Message):
    """Acknowledges an update or a pods gone."""
    __slots__ = ("number", "refused")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the message."""
    refused: _run_pb2.Reason
    """Why the message had no effect. It is not sent again. Not set: it had."""
    def __init__(self, number: _Optional[int] = ..., refused: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class StepSpecification(_message.Message):
    """A step and everything that it needs."""
    __slots__ = ("definition",)
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    definition: _definition_pb2.StepDefinition
    """The definition of the step. The values of its environment are resolved."""
    def __init__(self, definition: _Optional[_Union[_definition_pb2.StepDefinition, _Mapping]] = ...) -> None: ...

class CloneCredentials(_message.Message):
    """What a `clone` step needs to read a repository that is not public. No other step gets it, and no log."""
    __slots__ = ("ssh_private_key", "ssh_host_keys", "username", "password")
    SSH_PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    SSH_HOST_KEYS_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    ssh_private_key: bytes
    """The private key, in the format of OpenSSH."""
    ssh_host_keys: _containers.RepeatedScalarFieldContainer[str]
    """The SSH host keys that are accepted, each as its type and its base64. Not empty if there is a private key."""
    username: str
    """The user name for a source of https. Empty: none."""
    password: bytes
    """The password of that user."""
    def __init__(self, ssh_private_key: _Optional[bytes] = ..., ssh_host_keys: _Optional[_Iterable[str]] = ..., username: _Optional[str] = ..., password: _Optional[bytes] = ...) -> None: ...

class Specification(_message.Message):
    """Everything that an executor needs to run an assignment. It is made when it is sent, for this executor only, and not
    stored.
    """
    __slots__ = ("run_id", "run_number", "task_id", "task_name", "runtime", "environment", "working_dir", "shell", "user", "steps", "timeout", "grace", "source", "masks", "log_limit_bytes", "resources", "clone_credentials", "docker_registries_auth", "hold_on_failure", "id_tokens", "id_tokens_withheld")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DockerRegistriesAuthEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _definition_pb2.RegistryAuth
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_definition_pb2.RegistryAuth, _Mapping]] = ...) -> None: ...
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
    CLONE_CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    DOCKER_REGISTRIES_AUTH_FIELD_NUMBER: _ClassVar[int]
    HOLD_ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    ID_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ID_TOKENS_WITHHELD_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    run_number: int
    """The run's number."""
    task_id: str
    """The task's id."""
    task_name: str
    """The task's name."""
    runtime: _definition_pb2.Runtime
    """Where the task runs."""
    environment: _containers.ScalarMap[str, str]
    """The environment of the steps, merged in the order of run-config.md, with secrets resolved."""
    working_dir: str
    """The working directory of the steps. Not empty."""
    shell: str
    """The shell that runs the steps' commands. Not empty."""
    user: str
    """The user who runs the steps. Empty: the container's."""
    steps: _containers.RepeatedCompositeFieldContainer[StepSpecification]
    """The steps, in order."""
    timeout: _duration_pb2.Duration
    """The timeout of the attempt, from the start of its pod."""
    grace: _duration_pb2.Duration
    """How long a process has between SIGTERM and SIGKILL."""
    source: _definition_pb2.Source
    """The source that `clone` steps clone."""
    masks: _containers.RepeatedScalarFieldContainer[bytes]
    """Byte strings that are masked in logs."""
    log_limit_bytes: int
    """The largest size of the log of a step, in bytes."""
    resources: _definition_pb2.Resources
    """The limits of the whole pod."""
    clone_credentials: CloneCredentials
    """What `clone` steps need to read the source. Not set: nothing, or the task has no such step."""
    docker_registries_auth: _containers.MessageMap[str, _definition_pb2.RegistryAuth]
    """Credentials of container registries, by the name of the registry, with secrets resolved."""
    hold_on_failure: _duration_pb2.Duration
    """How long the pod is held when a step fails. Not set: not at all."""
    id_tokens: _containers.RepeatedScalarFieldContainer[str]
    """The names of the task's id tokens, which `IssueIdToken` issues."""
    id_tokens_withheld: str
    """Why the task gets no id tokens although its definition has some, for the log of the setup. Empty: it gets them."""
    def __init__(self, run_id: _Optional[str] = ..., run_number: _Optional[int] = ..., task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., runtime: _Optional[_Union[_definition_pb2.Runtime, _Mapping]] = ..., environment: _Optional[_Mapping[str, str]] = ..., working_dir: _Optional[str] = ..., shell: _Optional[str] = ..., user: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[StepSpecification, _Mapping]]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., source: _Optional[_Union[_definition_pb2.Source, _Mapping]] = ..., masks: _Optional[_Iterable[bytes]] = ..., log_limit_bytes: _Optional[int] = ..., resources: _Optional[_Union[_definition_pb2.Resources, _Mapping]] = ..., clone_credentials: _Optional[_Union[CloneCredentials, _Mapping]] = ..., docker_registries_auth: _Optional[_Mapping[str, _definition_pb2.RegistryAuth]] = ..., hold_on_failure: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., id_tokens: _Optional[_Iterable[str]] = ..., id_tokens_withheld: _Optional[str] = ...) -> None: ...

class Assign(_message.Message):
    """Run an assignment."""
    __slots__ = ("number", "assignment_id", "epoch", "specification")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the command, counted in one session. It is acknowledged once the assignment is in the journal."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """The epoch of the assignment."""
    specification: Specification
    """What to run."""
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., specification: _Optional[_Union[Specification, _Mapping]] = ...) -> None: ...

class Stop(_message.Message):
    """Stop an assignment."""
    __slots__ = ("number", "assignment_id", "epoch", "grace", "force", "discard", "reason")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    DISCARD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the command, counted in one session. It is acknowledged."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """The epoch of the assignment."""
    grace: _duration_pb2.Duration
    """How long a process has between SIGTERM and SIGKILL. Not set: as in the specification."""
    force: bool
    """Whether steps with `always` are not run either."""
    discard: bool
    """Whether the server does not want the outcome: stop the assignment and remove it."""
    reason: _run_pb2.Reason
    """Why the assignment is stopped: on request, by the run's timeout, or by its own. It becomes the reason of the task
    and of the step that is stopped, unless the attempt was already ending for another reason. Not set: `STOPPED`, on
    request.
    """
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., force: _Optional[bool] = ..., discard: _Optional[bool] = ..., reason: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ...) -> None: ...

class Release(_message.Message):
    """Everything of an assignment is stored: its local data may be removed."""
    __slots__ = ("number", "assignment_id")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the command, counted in one session. It is acknowledged."""
    assignment_id: str
    """The assignment's id."""
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ...) -> None: ...

class EndHold(_message.Message):
    """End the hold of a pod."""
    __slots__ = ("number", "assignment_id", "epoch", "hold", "action", "by")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the command, counted in one session. It is acknowledged."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """The epoch of the assignment."""
    hold: int
    """The number of the hold. A hold with another number continues."""
    action: _run_pb2.HoldAction
    """How the task continues."""
    by: str
    """Who asked for it, for the log of the step."""
    def __init__(self, number: _Optional[int] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., hold: _Optional[int] = ..., action: _Optional[_Union[_run_pb2.HoldAction, str]] = ..., by: _Optional[str] = ...) -> None: ...

class OpenShell(_message.Message):
    """Start a shell in the pod of an assignment, and carry its terminal with `ServeShell`. Sent once, and not acknowledged."""
    __slots__ = ("shell_id", "assignment_id", "epoch", "size", "term")
    SHELL_ID_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    shell_id: str
    """The shell's id, chosen by the server."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """The epoch of the assignment."""
    size: _shell_pb2.TerminalSize
    """The size of the terminal."""
    term: str
    """The type of the person's terminal, as in the variable TERM."""
    def __init__(self, shell_id: _Optional[str] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., size: _Optional[_Union[_shell_pb2.TerminalSize, _Mapping]] = ..., term: _Optional[str] = ...) -> None: ...

class ServeShellRequest(_message.Message):
    """A message of `ServeShell`."""
    __slots__ = ("session_id", "session_secret", "executor_id", "shell_id", "data", "end", "step")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SHELL_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session. In the first message of the stream, as the fields up to `shell_id`."""
    session_secret: str
    """The secret of the session."""
    executor_id: str
    """The executor's id."""
    shell_id: str
    """The shell's id."""
    data: bytes
    """What the shell printed."""
    end: _shell_pb2.ShellEnd
    """How the shell ended. In the last message."""
    step: str
    """The name of the step whose environment the shell has. In the first message."""
    def __init__(self, session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., executor_id: _Optional[str] = ..., shell_id: _Optional[str] = ..., data: _Optional[bytes] = ..., end: _Optional[_Union[_shell_pb2.ShellEnd, _Mapping]] = ..., step: _Optional[str] = ...) -> None: ...

class ServeShellResponse(_message.Message):
    """A message of `ServeShell` to the executor."""
    __slots__ = ("data", "size")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    """What the person typed."""
    size: _shell_pb2.TerminalSize
    """The new size of the terminal."""
    def __init__(self, data: _Optional[bytes] = ..., size: _Optional[_Union[_shell_pb2.TerminalSize, _Mapping]] = ...) -> None: ...

class Siblings(_message.Message):
    """The other live executors of the group."""
    __slots__ = ("executor_ids",)
    EXECUTOR_IDS_FIELD_NUMBER: _ClassVar[int]
    executor_ids: _containers.RepeatedScalarFieldContainer[str]
    """Their ids, sorted."""
    def __init__(self, executor_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Clean(_message.Message):
    """Remove the pods, volumes and networks of a vanished session, and respond with pods gone."""
    __slots__ = ("number", "session_id", "executor_id")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the command, counted in one session. It is acknowledged."""
    session_id: str
    """The vanished session."""
    executor_id: str
    """The executor that had the session."""
    def __init__(self, number: _Optional[int] = ..., session_id: _Optional[str] = ..., executor_id: _Optional[str] = ...) -> None: ...

class ConnectResponse(_message.Message):
    """A message to the executor."""
    __slots__ = ("welcome", "heartbeat_acknowledgement", "update_acknowledgement", "assign", "stop", "release", "siblings", "clean", "end_hold", "open_shell")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    SIBLINGS_FIELD_NUMBER: _ClassVar[int]
    CLEAN_FIELD_NUMBER: _ClassVar[int]
    END_HOLD_FIELD_NUMBER: _ClassVar[int]
    OPEN_SHELL_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    """The first message."""
    heartbeat_acknowledgement: HeartbeatAcknowledgement
    """Sent for each heartbeat."""
    update_acknowledgement: UpdateAcknowledgement
    """Sent for each update and each pods gone."""
    assign: Assign
    """Run an assignment."""
    stop: Stop
    """Stop an assignment."""
    release: Release
    """Local data may be removed."""
    siblings: Siblings
    """Sent when the group has changed."""
    clean: Clean
    """Clean up after a vanished session."""
    end_hold: EndHold
    """End the hold of a pod."""
    open_shell: OpenShell
    """Start a shell."""
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., heartbeat_acknowledgement: _Optional[_Union[HeartbeatAcknowledgement, _Mapping]] = ..., update_acknowledgement: _Optional[_Union[UpdateAcknowledgement, _Mapping]] = ..., assign: _Optional[_Union[Assign, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ..., siblings: _Optional[_Union[Siblings, _Mapping]] = ..., clean: _Optional[_Union[Clean, _Mapping]] = ..., end_hold: _Optional[_Union[EndHold, _Mapping]] = ..., open_shell: _Optional[_Union[OpenShell, _Mapping]] = ...) -> None: ...

class LogReference(_message.Message):
    """A log."""
    __slots__ = ("assignment_id", "step")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    """The assignment's id."""
    step: int
    """The index of the step, from 0. -1: the setup."""
    def __init__(self, assignment_id: _Optional[str] = ..., step: _Optional[int] = ...) -> None: ...

class PushLogsRequest(_message.Message):
    """A message of `PushLogs`."""
    __slots__ = ("session_id", "session_secret", "executor_id", "log", "offset", "data", "end", "time", "storage_may_wait")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STORAGE_MAY_WAIT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    """The session. In the first message of the stream."""
    session_secret: str
    """The secret of the session. In the first message of the stream."""
    executor_id: str
    """The executor's id. In the first message of the stream."""
    log: LogReference
    """The log. Not set in a first message without data."""
    offset: int
    """The offset of the first byte of `data`."""
    data: bytes
    """At most 64 KiB of the log."""
    end: bool
    """Whether the log ends after `data`. When `offset` is 0, these are all of its bytes: no others were sent before."""
    time: _timestamp_pb2.Timestamp
    """When the first byte of `data` was written."""
    storage_may_wait: bool
    """With `end`: whether the executor does not wait for this log yet. The server may then keep a short log in memory for
    some seconds, to store it in one object with others of the assignment. When the executor waits for the logs, it
    sends the end of one of them again without this.
    """
    def __init__(self, session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., executor_id: _Optional[str] = ..., log: _Optional[_Union[LogReference, _Mapping]] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., end: _Optional[bool] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., storage_may_wait: _Optional[bool] = ...) -> None: ...

class PushLogsResponse(_message.Message):
    """A response of `PushLogs`."""
    __slots__ = ("log", "stored_offset", "complete", "refused", "rewind")
    LOG_FIELD_NUMBER: _ClassVar[int]
    STORED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REWIND_FIELD_NUMBER: _ClassVar[int]
    log: LogReference
    """The log."""
    stored_offset: int
    """All bytes before this offset are stored."""
    complete: bool
    """Whether the whole log is stored."""
    refused: _run_pb2.Reason
    """Why the log is not wanted. The sender drops it. Not set: it is wanted."""
    rewind: bool
    """Whether the sender must go back to `stored_offset`, because there is a gap after it. Otherwise the response only
    reports how much is stored.
    """
    def __init__(self, log: _Optional[_Union[LogReference, _Mapping]] = ..., stored_offset: _Optional[int] = ..., complete: _Optional[bool] = ..., refused: _Optional[_Union[_run_pb2.Reason, _Mapping]] = ..., rewind: _Optional[bool] = ...) -> None: ...

class GetSpecificationRequest(_message.Message):
    """The request of `GetSpecification`."""
    __slots__ = ("executor_id", "session_id", "session_secret", "assignment_id", "epoch")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id."""
    session_id: str
    """The executor's session."""
    session_secret: str
    """The secret of the session."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """The epoch of the assignment."""
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ...) -> None: ...

class GetSpecificationResponse(_message.Message):
    """The response of `GetSpecification`."""
    __slots__ = ("specification",)
    SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    specification: Specification
    """The specification."""
    def __init__(self, specification: _Optional[_Union[Specification, _Mapping]] = ...) -> None: ...

class IssueIdTokenRequest(_message.Message):
    """The request of `IssueIdToken`."""
    __slots__ = ("executor_id", "session_id", "session_secret", "assignment_id", "epoch", "name")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id."""
    session_id: str
    """The executor's session."""
    session_secret: str
    """The secret of the session."""
    assignment_id: str
    """The assignment's id."""
    epoch: Epoch
    """The epoch of the assignment."""
    name: str
    """The name of the token in the task's definition."""
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., assignment_id: _Optional[str] = ..., epoch: _Optional[_Union[Epoch, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class IssueIdTokenResponse(_message.Message):
    """The response of `IssueIdToken`."""
    __slots__ = ("token", "refresh_after")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_AFTER_FIELD_NUMBER: _ClassVar[int]
    token: str
    """The token: a JSON Web Token (RFC 7519)."""
    refresh_after: _duration_pb2.Duration
    """When another one is to be requested: at half of its time."""
    def __init__(self, token: _Optional[str] = ..., refresh_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PutArchiveRequest(_message.Message):
    """A message of `PutArchive`."""
    __slots__ = ("executor_id", "session_id", "session_secret", "assignment_id", "archive", "data")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id. In the first message, as the fields up to `archive`."""
    session_id: str
    """The executor's session."""
    session_secret: str
    """The secret of the session."""
    assignment_id: str
    """The assignment's id."""
    archive: Archive
    """The archive."""
    data: bytes
    """The next bytes of the archive: at most 1 MiB. In all messages but the first."""
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., assignment_id: _Optional[str] = ..., archive: _Optional[_Union[Archive, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class PutArchiveResponse(_message.Message):
    """The response of `PutArchive`."""
    __slots__ = ("stored",)
    STORED_FIELD_NUMBER: _ClassVar[int]
    stored: bool
    """Whether the archive is stored. False: the key of the cache was taken."""
    def __init__(self, stored: _Optional[bool] = ...) -> None: ...

class FindArchivesRequest(_message.Message):
    """The request of `FindArchives`."""
    __slots__ = ("executor_id", "session_id", "session_secret", "assignment_id", "step", "keys")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id."""
    session_id: str
    """The executor's session."""
    session_secret: str
    """The secret of the session."""
    assignment_id: str
    """The assignment's id."""
    step: int
    """The index of the step."""
    keys: _containers.RepeatedScalarFieldContainer[str]
    """The beginnings of keys of a cache, without templates. The first one that has a cache is used."""
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., assignment_id: _Optional[str] = ..., step: _Optional[int] = ..., keys: _Optional[_Iterable[str]] = ...) -> None: ...

class FoundArchive(_message.Message):
    """An archive that a step restores."""
    __slots__ = ("archive", "task", "ancestors")
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    ANCESTORS_FIELD_NUMBER: _ClassVar[int]
    archive: Archive
    """The archive."""
    task: str
    """The name of the task that saved it."""
    ancestors: _containers.RepeatedScalarFieldContainer[str]
    """The names of that task's ancestors: its files replace theirs."""
    def __init__(self, archive: _Optional[_Union[Archive, _Mapping]] = ..., task: _Optional[str] = ..., ancestors: _Optional[_Iterable[str]] = ...) -> None: ...

class FindArchivesResponse(_message.Message):
    """The response of `FindArchives`."""
    __slots__ = ("archives", "nearest_key")
    ARCHIVES_FIELD_NUMBER: _ClassVar[int]
    NEAREST_KEY_FIELD_NUMBER: _ClassVar[int]
    archives: _containers.RepeatedCompositeFieldContainer[FoundArchive]
    """The archives, in the order in which they are unpacked."""
    nearest_key: str
    """Without a cache: the existing key that has the longest beginning in common with one of the keys. Empty: there is none."""
    def __init__(self, archives: _Optional[_Iterable[_Union[FoundArchive, _Mapping]]] = ..., nearest_key: _Optional[str] = ...) -> None: ...

class GetArchiveRequest(_message.Message):
    """The request of `GetArchive`."""
    __slots__ = ("executor_id", "session_id", "session_secret", "assignment_id", "step", "archive")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_SECRET_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id."""
    session_id: str
    """The executor's session."""
    session_secret: str
    """The secret of the session."""
    assignment_id: str
    """The assignment's id."""
    step: int
    """The index of the step."""
    archive: Archive
    """The archive, as `FindArchives` has returned it."""
    def __init__(self, executor_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_secret: _Optional[str] = ..., assignment_id: _Optional[str] = ..., step: _Optional[int] = ..., archive: _Optional[_Union[Archive, _Mapping]] = ...) -> None: ...

class GetArchiveResponse(_message.Message):
    """A message of `GetArchive`."""
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    """The next bytes of the archive: at most 1 MiB."""
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
