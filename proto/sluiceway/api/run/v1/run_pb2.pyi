import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.run.v1 import definition_pb2 as _definition_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The phase of a run. All phases but `QUEUED` and `RUNNING` are final."""
    __slots__ = ()
    RUN_PHASE_UNSPECIFIED: _ClassVar[RunPhase]
    """Not set. In a filter: any phase."""
    RUN_PHASE_SETUP_ERROR: _ClassVar[RunPhase]
    """The configuration has errors. The run never starts."""
    RUN_PHASE_QUEUED: _ClassVar[RunPhase]
    """The run waits in the queue of its group."""
    RUN_PHASE_CANCELLED: _ClassVar[RunPhase]
    """The run was cancelled while it was queued."""
    RUN_PHASE_RUNNING: _ClassVar[RunPhase]
    """The run has started and is not finished."""
    RUN_PHASE_FINISHED: _ClassVar[RunPhase]
    """The run and all of its tasks are finished."""

class RunResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The result of a run."""
    __slots__ = ()
    RUN_RESULT_UNSPECIFIED: _ClassVar[RunResult]
    """Not decided yet. In a filter: any result."""
    RUN_RESULT_SUCCESS: _ClassVar[RunResult]
    """Every task succeeded, was skipped, or failed with `ignore_failure`."""
    RUN_RESULT_FAILED: _ClassVar[RunResult]
    """A task failed or was lost, or the run timed out."""
    RUN_RESULT_STOPPED: _ClassVar[RunResult]
    """The run was stopped before it had another result."""

class TaskStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The status of a task. All statuses but `NOT_STARTED` and `RUNNING` are final."""
    __slots__ = ()
    TASK_STATUS_UNSPECIFIED: _ClassVar[TaskStatus]
    """Not set."""
    TASK_STATUS_NOT_STARTED: _ClassVar[TaskStatus]
    """The task waits. Its `reason` says why."""
    TASK_STATUS_SKIPPED: _ClassVar[TaskStatus]
    """The task did not run, because of a condition. Its `reason` says which one."""
    TASK_STATUS_CANCELLED: _ClassVar[TaskStatus]
    """The task did not run, because the run already had its result."""
    TASK_STATUS_RUNNING: _ClassVar[TaskStatus]
    """The task is assigned to an executor."""
    TASK_STATUS_STOPPED: _ClassVar[TaskStatus]
    """The task was stopped on request."""
    TASK_STATUS_SUCCESS: _ClassVar[TaskStatus]
    """Every step succeeded."""
    TASK_STATUS_FAILED: _ClassVar[TaskStatus]
    """A step failed, the setup failed, or the task timed out."""
    TASK_STATUS_LOST: _ClassVar[TaskStatus]
    """The executor of the task vanished. Counts as a failure."""

class StepPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The phase of a step."""
    __slots__ = ()
    STEP_PHASE_UNSPECIFIED: _ClassVar[StepPhase]
    """Not set."""
    STEP_PHASE_NOT_STARTED: _ClassVar[StepPhase]
    """The step waits for the steps before it."""
    STEP_PHASE_RUNNING: _ClassVar[StepPhase]
    """The step runs."""
    STEP_PHASE_SUCCESS: _ClassVar[StepPhase]
    """The step ended with exit status 0."""
    STEP_PHASE_FAILED: _ClassVar[StepPhase]
    """The step ended with another exit status, or could not be run."""
    STEP_PHASE_STOPPED: _ClassVar[StepPhase]
    """The step was ended by a stop or by a timeout."""
    STEP_PHASE_SKIPPED: _ClassVar[StepPhase]
    """The step was not run."""

class HoldAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """What ended a hold."""
    __slots__ = ()
    HOLD_ACTION_UNSPECIFIED: _ClassVar[HoldAction]
    """Not set."""
    HOLD_ACTION_RUN_FAILED_STEP: _ClassVar[HoldAction]
    """The failed step was run again."""
    HOLD_ACTION_RUN_NEXT_STEP: _ClassVar[HoldAction]
    """The next step was run. The task stays failed, because its failed step has not succeeded."""
    HOLD_ACTION_RELEASE: _ClassVar[HoldAction]
    """The hold was ended, and the task with it."""

class RunEventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The kind of a change."""
    __slots__ = ()
    RUN_EVENT_KIND_UNSPECIFIED: _ClassVar[RunEventKind]
    """Not set."""
    RUN_EVENT_KIND_PHASE: _ClassVar[RunEventKind]
    """The phase of a run. The first event of a run has no old value."""
    RUN_EVENT_KIND_RESULT: _ClassVar[RunEventKind]
    """The result of a run."""
    RUN_EVENT_KIND_TASK_STATUS: _ClassVar[RunEventKind]
    """The status of a task."""
    RUN_EVENT_KIND_APPROVAL: _ClassVar[RunEventKind]
    """The approval of a task: `waiting`, `approved`, `expired` or `rejected`."""
    RUN_EVENT_KIND_EXECUTOR: _ClassVar[RunEventKind]
    """The executor of a task."""
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
HOLD_ACTION_UNSPECIFIED: HoldAction
HOLD_ACTION_RUN_FAILED_STEP: HoldAction
HOLD_ACTION_RUN_NEXT_STEP: HoldAction
HOLD_ACTION_RELEASE: HoldAction
RUN_EVENT_KIND_UNSPECIFIED: RunEventKind
RUN_EVENT_KIND_PHASE: RunEventKind
RUN_EVENT_KIND_RESULT: RunEventKind
RUN_EVENT_KIND_TASK_STATUS: RunEventKind
RUN_EVENT_KIND_APPROVAL: RunEventKind
RUN_EVENT_KIND_EXECUTOR: RunEventKind

class Reason(_message.Message):
    """Why a run, a task or a step is in its state."""
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    """A stable code in UPPER_SNAKE_CASE, for programs."""
    message: str
    """A sentence for people."""
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class StopRequest(_message.Message):
    """A request to stop a run."""
    __slots__ = ("time", "by", "force", "by_name")
    TIME_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    BY_NAME_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    """When the run was asked to stop."""
    by: str
    """The id of the user who asked for it."""
    force: bool
    """Whether clean-up tasks are stopped too."""
    by_name: str
    """The name of the user who asked for it, now."""
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., by: _Optional[str] = ..., force: _Optional[bool] = ..., by_name: _Optional[str] = ...) -> None: ...

class RestartOrigin(_message.Message):
    """The run that a restarted run was made from."""
    __slots__ = ("run_id", "kind", "run_number")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RUN_NUMBER_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The id of the restarted run."""
    kind: str
    """What was restarted: `from_start`, `from_failed` or `tasks`."""
    run_number: int
    """The number of the restarted run. 0: it was deleted."""
    def __init__(self, run_id: _Optional[str] = ..., kind: _Optional[str] = ..., run_number: _Optional[int] = ...) -> None: ...

class Run(_message.Message):
    """A run: one execution of an entry of `runs` in a run configuration."""
    __slots__ = ("id", "number", "name", "group", "annotations", "priority", "timeout", "phase", "result", "reason", "stop_request", "restart_of", "source", "setup_errors", "warnings", "created_by", "create_time", "enqueue_time", "start_time", "end_time", "approval_wait_since", "approval_waited", "timed_out", "task_count", "work_start_time", "waiting", "logs_delete_time", "variables", "group_path", "created_by_name", "hold_on_failure", "inputs", "inputs_make_tasks")
    class AnnotationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class VariablesEntry(_message.Message):
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
    LOGS_DELETE_TIME_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    GROUP_PATH_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_NAME_FIELD_NUMBER: _ClassVar[int]
    HOLD_ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_MAKE_TASKS_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The run's id, a UUIDv7."""
    number: int
    """The run's number. Runs are counted from 1, without gaps, among all groups that have the same first two segments."""
    name: str
    """The run's name. 1 to 100 characters, no control characters."""
    group: str
    """The group: the path in which runs queue. An absolute path with percent-escaped segments. In a request, `/user/me`
    stands for the caller's own path, and the path of a project for its id: `org/acme/site/branch/main`.
    """
    annotations: _containers.ScalarMap[str, str]
    """Arbitrary values for the caller's own use. At most 16 KiB of names and values together."""
    priority: int
    """The priority. Tasks of a run with a higher priority get an executor first."""
    timeout: _duration_pb2.Duration
    """The timeout of the whole run. Time in which the run only waits for approvals is not counted. Not set: no timeout."""
    phase: RunPhase
    """The phase of the run."""
    result: RunResult
    """The result of the run. It can be decided while tasks still run."""
    reason: Reason
    """Why the run has its result, if no task explains it (`RUN_TIMED_OUT`)."""
    stop_request: StopRequest
    """The request to stop the run, if there was one."""
    restart_of: RestartOrigin
    """The run that this run restarts, if it does."""
    source: _definition_pb2.Source
    """Where the run came from. In a request, use `CreateRunRequest.source`."""
    setup_errors: _containers.RepeatedScalarFieldContainer[str]
    """The errors of the configuration, if the phase is `SETUP_ERROR`. In a request, use `CreateRunRequest.setup_errors`."""
    warnings: _containers.RepeatedScalarFieldContainer[str]
    """Warnings about the run, for people. In a request, use `CreateRunRequest.warnings`."""
    created_by: str
    """The id of the user who created the run."""
    create_time: _timestamp_pb2.Timestamp
    """When the run was created."""
    enqueue_time: _timestamp_pb2.Timestamp
    """When the run was queued."""
    start_time: _timestamp_pb2.Timestamp
    """When the run started."""
    end_time: _timestamp_pb2.Timestamp
    """When the run reached a final phase."""
    approval_wait_since: _timestamp_pb2.Timestamp
    """Since when the run only waits for approvals. Not set: it does not."""
    approval_waited: _duration_pb2.Duration
    """How long the run has only waited for approvals, without the current wait."""
    timed_out: bool
    """Whether the run has timed out."""
    task_count: int
    """The number of tasks of the run."""
    work_start_time: _timestamp_pb2.Timestamp
    """When the first task of the run was assigned to an executor. Not set: none was yet, or an earlier version created
    the run and did not record it.
    """
    waiting: Reason
    """What a running run waits for while none of its tasks runs: `WAITS_FOR_EXECUTOR`, `WAITS_FOR_APPROVAL`,
    `WAITS_FOR_LOCK`, `WAITS_FOR_QUOTA`, `WAITS_FOR_RECOVERY` or `WAITS_FOR_PLACEMENT`. Only in the responses of
    `GetRun`, `ResolveRun` and `ListRuns`; in those of `WatchRun`, see the tasks.
    """
    logs_delete_time: _timestamp_pb2.Timestamp
    """When the logs of the run were deleted because they were older than the installation keeps logs. Not set: they were
    not.
    """
    variables: _containers.ScalarMap[str, str]
    """The plain values of the run's environment, such as the variables of a run by hand. A restart keeps them. In a
    request, use `CreateRunRequest.environment`.
    """
    group_path: str
    """The group for people: the path of its project with what follows, such as `org/acme/site/branch/main`, or a user's
    own, such as `/user/alice/site/main`. Requests may name the group so. It changes when the project moves.
    """
    created_by_name: str
    """The name of the user who created the run, now; `created_by` if there is no such user."""
    hold_on_failure: _duration_pb2.Duration
    """How long the pod of each task is held when a step fails, instead of what the task says. Not set: as the task says.
    At most 24 hours. Ignored in runs of forks.
    """
    inputs: _containers.RepeatedCompositeFieldContainer[_definition_pb2.Input]
    """The inputs of the run, with their values. In a request, use `CreateRunRequest.inputs`."""
    inputs_make_tasks: bool
    """Whether the tasks were made with the values of the inputs, so that `RestartRun` cannot change these."""
    def __init__(self, id: _Optional[str] = ..., number: _Optional[int] = ..., name: _Optional[str] = ..., group: _Optional[str] = ..., annotations: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., phase: _Optional[_Union[RunPhase, str]] = ..., result: _Optional[_Union[RunResult, str]] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ..., stop_request: _Optional[_Union[StopRequest, _Mapping]] = ..., restart_of: _Optional[_Union[RestartOrigin, _Mapping]] = ..., source: _Optional[_Union[_definition_pb2.Source, _Mapping]] = ..., setup_errors: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., created_by: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., enqueue_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., approval_wait_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., approval_waited: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., timed_out: _Optional[bool] = ..., task_count: _Optional[int] = ..., work_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waiting: _Optional[_Union[Reason, _Mapping]] = ..., logs_delete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., variables: _Optional[_Mapping[str, str]] = ..., group_path: _Optional[str] = ..., created_by_name: _Optional[str] = ..., hold_on_failure: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[_definition_pb2.Input, _Mapping]]] = ..., inputs_make_tasks: _Optional[bool] = ...) -> None: ...

class Step(_message.Message):
    """The state of a step."""
    __slots__ = ("name", "type", "phase", "exit_status", "start_time", "end_time", "log_size_bytes", "log_sha256", "reason", "reruns", "cpu_time", "peak_memory_bytes", "images")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
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
    name: str
    """The step's name."""
    type: str
    """The kind of the step, such as `run` or `clone`."""
    phase: StepPhase
    """The phase of the step."""
    exit_status: int
    """The exit status of the step's command. Not set: the command was not run, or was ended by a signal."""
    start_time: _timestamp_pb2.Timestamp
    """When the step started."""
    end_time: _timestamp_pb2.Timestamp
    """When the step ended."""
    log_size_bytes: int
    """The size of the step's log in bytes. Known once the step has ended."""
    log_sha256: str
    """The SHA-256 of the step's log, in hex. Known once the step has ended."""
    reason: Reason
    """Why the step is in its phase, if the exit status does not explain it."""
    reruns: int
    """How often the step was run again in the pod that was held after its failure. Its log has the output of all."""
    cpu_time: _duration_pb2.Duration
    """The processor time of the step's processes, all of them that have ended with it. Not set: it is not known."""
    peak_memory_bytes: int
    """The peak of the resident memory of the largest of them, in bytes. 0: it is not known."""
    images: _containers.RepeatedCompositeFieldContainer[ContainerImage]
    """Of the setup: the images of the pod's containers, the first one that of the steps. Empty: they are not known."""
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., phase: _Optional[_Union[StepPhase, str]] = ..., exit_status: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., log_size_bytes: _Optional[int] = ..., log_sha256: _Optional[str] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ..., reruns: _Optional[int] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., peak_memory_bytes: _Optional[int] = ..., images: _Optional[_Iterable[_Union[ContainerImage, _Mapping]]] = ...) -> None: ...

class ContainerImage(_message.Message):
    """An image that a container was made of."""
    __slots__ = ("name", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The name in the definition."""
    digest: str
    """The digest that the name stood for, such as `sha256:...`."""
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class TaskHold(_message.Message):
    """The hold of a pod whose step failed. The task is still running."""
    __slots__ = ("number", "step", "start_time", "expire_time")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the hold, from 1 in each attempt."""
    step: int
    """The index of the step that failed."""
    start_time: _timestamp_pb2.Timestamp
    """Since when the pod is held."""
    expire_time: _timestamp_pb2.Timestamp
    """When the hold ends if nobody ends it before. The task is failed then."""
    def __init__(self, number: _Optional[int] = ..., step: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TaskContinuation(_message.Message):
    """How a person ended a hold."""
    __slots__ = ("hold", "action", "by", "time")
    HOLD_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    hold: int
    """The number of the hold."""
    action: HoldAction
    """What the person asked for."""
    by: str
    """The id of the user."""
    time: _timestamp_pb2.Timestamp
    """When the user asked for it."""
    def __init__(self, hold: _Optional[int] = ..., action: _Optional[_Union[HoldAction, str]] = ..., by: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TaskRetry(_message.Message):
    """Another attempt of a task that had failed, for which a person asked."""
    __slots__ = ("attempt", "by", "time")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    """The number of the attempt that had failed."""
    by: str
    """The id of the user."""
    time: _timestamp_pb2.Timestamp
    """When the user asked for it."""
    def __init__(self, attempt: _Optional[int] = ..., by: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TaskApproval(_message.Message):
    """The approval of a task."""
    __slots__ = ("needed", "waiting_since", "timeout", "approved_by", "approve_time", "commit_sha", "config_digest", "approved_by_name", "owners_only")
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    WAITING_SINCE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_FIELD_NUMBER: _ClassVar[int]
    APPROVE_TIME_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DIGEST_FIELD_NUMBER: _ClassVar[int]
    APPROVED_BY_NAME_FIELD_NUMBER: _ClassVar[int]
    OWNERS_ONLY_FIELD_NUMBER: _ClassVar[int]
    needed: bool
    """Whether the task must be approved before it runs."""
    waiting_since: _timestamp_pb2.Timestamp
    """Since when the task waits for its approval. Not set: it does not wait."""
    timeout: _duration_pb2.Duration
    """How long the task waits at most. A task that is not approved in this time is skipped."""
    approved_by: str
    """The id of the user who approved the task."""
    approve_time: _timestamp_pb2.Timestamp
    """When the task was approved."""
    commit_sha: str
    """The commit that was approved."""
    config_digest: str
    """The digest of the rendered configuration that was approved."""
    approved_by_name: str
    """The name of the user who approved the task, now."""
    owners_only: bool
    """Whether only owners of the project may approve or reject the task."""
    def __init__(self, needed: _Optional[bool] = ..., waiting_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., approved_by: _Optional[str] = ..., approve_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., commit_sha: _Optional[str] = ..., config_digest: _Optional[str] = ..., approved_by_name: _Optional[str] = ..., owners_only: _Optional[bool] = ...) -> None: ...

class Attempt(_message.Message):
    """An attempt to run a task."""
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
    """The number of the attempt, from 1."""
    assignment_id: str
    """The id of the assignment."""
    executor_id: str
    """The id of the executor."""
    status: TaskStatus
    """`TASK_STATUS_RUNNING`, or how the attempt ended."""
    reason: Reason
    """Why the attempt ended in this way, if the status does not explain it."""
    timed_out: bool
    """Whether the attempt timed out."""
    start_time: _timestamp_pb2.Timestamp
    """When the pod of the attempt started."""
    end_time: _timestamp_pb2.Timestamp
    """When the attempt ended."""
    setup_step: Step
    """The setup of the pod."""
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    """The steps."""
    def __init__(self, attempt: _Optional[int] = ..., assignment_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., status: _Optional[_Union[TaskStatus, str]] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ..., timed_out: _Optional[bool] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., setup_step: _Optional[_Union[Step, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class Task(_message.Message):
    """A task: a node of the graph of a run."""
    __slots__ = ("id", "run_id", "name", "level", "depends", "status", "reason", "timed_out", "ignore_failure", "approval", "lock", "attempt", "setup_step", "steps", "start_time", "end_time", "assignment_id", "executor_id", "runnable_since", "labels", "arch", "privileged", "priority", "retry", "timeout", "wait_timeout", "attempts", "logs_delete_time", "logs_deleted_by", "hold", "continuations", "manual_retries")
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
    WAIT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    LOGS_DELETE_TIME_FIELD_NUMBER: _ClassVar[int]
    LOGS_DELETED_BY_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    CONTINUATIONS_FIELD_NUMBER: _ClassVar[int]
    MANUAL_RETRIES_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The task's id, a UUIDv7."""
    run_id: str
    """The id of the run."""
    name: str
    """The task's name, unique in the run."""
    level: int
    """The level in the graph: 0 for a task without parents, otherwise one more than the highest level of its parents."""
    depends: _containers.RepeatedCompositeFieldContainer[_definition_pb2.Depend]
    """The parents of the task, and which of their outcomes let it run."""
    status: TaskStatus
    """The status of the task."""
    reason: Reason
    """Why the task waits, was skipped, failed or was lost."""
    timed_out: bool
    """Whether the last attempt timed out."""
    ignore_failure: bool
    """Whether the run can succeed although this task fails."""
    approval: TaskApproval
    """The approval of the task. Not set: it needs none."""
    lock: str
    """The name of the lock that the task holds while it runs. Empty: none."""
    attempt: int
    """The number of the current or the last attempt, from 1. 0: there was none."""
    setup_step: Step
    """The setup of the task's pod. It has a log of its own."""
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    """The steps of the current or the last attempt."""
    start_time: _timestamp_pb2.Timestamp
    """When the pod of the current or the last attempt started."""
    end_time: _timestamp_pb2.Timestamp
    """When the status became final."""
    assignment_id: str
    """The id of the current or the last assignment."""
    executor_id: str
    """The id of the executor of that assignment."""
    runnable_since: _timestamp_pb2.Timestamp
    """Since when the task only waits for an executor. Not set: it does not."""
    labels: _containers.ScalarMap[str, str]
    """The labels that an executor must have."""
    arch: str
    """The architecture that an executor must support. Empty: any."""
    privileged: bool
    """Whether a container of the task is privileged."""
    priority: int
    """The priority, from -10 to 10."""
    retry: _definition_pb2.Retry
    """Whether and when a failed attempt is followed by another one."""
    timeout: _duration_pb2.Duration
    """The timeout of an attempt, from the start of its pod."""
    wait_timeout: _duration_pb2.Duration
    """How long the task may wait for an executor. Not set: without end."""
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    """All attempts, oldest first. Only in the responses of `GetTask` and `ListTasks`."""
    logs_delete_time: _timestamp_pb2.Timestamp
    """When a user deleted the logs of the task. Not set: no user did."""
    logs_deleted_by: str
    """The id of that user."""
    hold: TaskHold
    """The hold of the pod after a failed step. Not set: the pod is not held."""
    continuations: _containers.RepeatedCompositeFieldContainer[TaskContinuation]
    """How people ended the holds of the current or the last attempt, oldest first."""
    manual_retries: _containers.RepeatedCompositeFieldContainer[TaskRetry]
    """Which attempts people asked for after the task had failed, oldest first."""
    def __init__(self, id: _Optional[str] = ..., run_id: _Optional[str] = ..., name: _Optional[str] = ..., level: _Optional[int] = ..., depends: _Optional[_Iterable[_Union[_definition_pb2.Depend, _Mapping]]] = ..., status: _Optional[_Union[TaskStatus, str]] = ..., reason: _Optional[_Union[Reason, _Mapping]] = ..., timed_out: _Optional[bool] = ..., ignore_failure: _Optional[bool] = ..., approval: _Optional[_Union[TaskApproval, _Mapping]] = ..., lock: _Optional[str] = ..., attempt: _Optional[int] = ..., setup_step: _Optional[_Union[Step, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., assignment_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., runnable_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., arch: _Optional[str] = ..., privileged: _Optional[bool] = ..., priority: _Optional[int] = ..., retry: _Optional[_Union[_definition_pb2.Retry, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., logs_delete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., logs_deleted_by: _Optional[str] = ..., hold: _Optional[_Union[TaskHold, _Mapping]] = ..., continuations: _Optional[_Iterable[_Union[TaskContinuation, _Mapping]]] = ..., manual_retries: _Optional[_Iterable[_Union[TaskRetry, _Mapping]]] = ...) -> None: ...

class RunEvent(_message.Message):
    """A change of one field of a run or a task. Events are in the order in which they were committed."""
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
    """The position of the event. A watch can resume after it."""
    time: _timestamp_pb2.Timestamp
    """When the change was committed."""
    kind: RunEventKind
    """What changed."""
    run_id: str
    """The id of the run."""
    group: str
    """The group of the run."""
    task_id: str
    """The id of the task. Empty if a field of the run changed."""
    task_name: str
    """The name of the task."""
    old_value: str
    """The value before the change: the name of an enum value, or text."""
    new_value: str
    """The value after the change."""
    def __init__(self, position: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[RunEventKind, str]] = ..., run_id: _Optional[str] = ..., group: _Optional[str] = ..., task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., old_value: _Optional[str] = ..., new_value: _Optional[str] = ...) -> None: ...
