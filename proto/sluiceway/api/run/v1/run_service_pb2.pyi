import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.run.v1 import definition_pb2 as _definition_pb2
from sluiceway.api.run.v1 import run_pb2 as _run_pb2
from sluiceway.api.run.v1 import test_report_pb2 as _test_report_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateRunRequest(_message.Message):
    """The request of `CreateRun`."""
    __slots__ = ("run", "tasks", "setup_errors", "static_environment", "environment", "source", "cache_group", "change_groups", "request_id", "warnings", "inputs", "inputs_make_tasks")
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
    class ChangeGroupsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    SETUP_ERRORS_FIELD_NUMBER: _ClassVar[int]
    STATIC_ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CACHE_GROUP_FIELD_NUMBER: _ClassVar[int]
    CHANGE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_MAKE_TASKS_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    """The run. Fields that only the server sets are ignored."""
    tasks: _containers.RepeatedCompositeFieldContainer[_definition_pb2.TaskDefinition]
    """The tasks. Not needed if `setup_errors` is set."""
    setup_errors: _containers.RepeatedScalarFieldContainer[str]
    """Errors of a configuration that could not be used. If there are any, the run is stored as a setup error."""
    static_environment: _containers.MessageMap[str, _definition_pb2.EnvironmentValue]
    """The part of the environment that is the same in the run and in its restarts, such as the data of git."""
    environment: _containers.MessageMap[str, _definition_pb2.EnvironmentValue]
    """Variables of the run, which replace those of its tasks. Plain values are shown with the run (`Run.variables`). At
    most 16 KiB of names and plain values together.
    """
    source: _definition_pb2.Source
    """Where the run comes from."""
    cache_group: str
    """The caches that the run shares: runs with the same cache group do. Empty: the first two segments of the run's
    group.
    """
    change_groups: _containers.ScalarMap[str, str]
    """The expected revisions of change groups, by name. An empty revision means that the group has none yet. The call
    fails if another revision is stored; otherwise the groups get a new one.
    """
    request_id: str
    """An id that the client chooses to make the call safe to repeat. Empty: a repeated call creates another run."""
    warnings: _containers.RepeatedScalarFieldContainer[str]
    """Warnings about the run, for people."""
    inputs: _containers.RepeatedCompositeFieldContainer[_definition_pb2.Input]
    """The inputs that the run declares, with the values that are given. The values are checked against the declarations."""
    inputs_make_tasks: bool
    """Whether the tasks were made with the values of the inputs, so that a restart cannot change these."""
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[_definition_pb2.TaskDefinition, _Mapping]]] = ..., setup_errors: _Optional[_Iterable[str]] = ..., static_environment: _Optional[_Mapping[str, _definition_pb2.EnvironmentValue]] = ..., environment: _Optional[_Mapping[str, _definition_pb2.EnvironmentValue]] = ..., source: _Optional[_Union[_definition_pb2.Source, _Mapping]] = ..., cache_group: _Optional[str] = ..., change_groups: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., inputs: _Optional[_Iterable[_Union[_definition_pb2.Input, _Mapping]]] = ..., inputs_make_tasks: _Optional[bool] = ...) -> None: ...

class CreateRunResponse(_message.Message):
    """The response of `CreateRun`."""
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    """The created run."""
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class GetRunRequest(_message.Message):
    """The request of `GetRun`."""
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunResponse(_message.Message):
    """The response of `GetRun`."""
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    """The run."""
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class ResolveRunRequest(_message.Message):
    """The request of `ResolveRun`."""
    __slots__ = ("reference",)
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    reference: str
    """The reference. One of:
    - an id, or at least its first 4 characters;
    - a number, such as `4`: the run with this number among the caller's own, or else in the only group that has one;
    - a group and a number, such as `org/acme/site#4` or `/user/me#4` (of the group, only the first two segments count);
    - `@last`: the newest run.
    """
    def __init__(self, reference: _Optional[str] = ...) -> None: ...

class ResolveRunResponse(_message.Message):
    """The response of `ResolveRun`."""
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    """The run."""
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    """The request of `ListRuns`."""
    __slots__ = ("group", "phase", "result", "page_size", "page_token", "group_prefix", "created_since", "created_until")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    GROUP_PREFIX_FIELD_NUMBER: _ClassVar[int]
    CREATED_SINCE_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    group: str
    """Only runs of exactly this group. `/user/me` stands for the caller's own path, and a path such as `org/acme/site` for
    that of a project. Empty: any group.
    """
    phase: _run_pb2.RunPhase
    """Only runs in this phase. Not set: any phase."""
    result: _run_pb2.RunResult
    """Only runs with this result. Not set: any result."""
    page_size: int
    """The largest number of runs in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    group_prefix: str
    """Only runs of this group and of all groups below it, such as `/user/me` or `org/acme/site`. Not together with
    `group`. Empty: any group.
    """
    created_since: _timestamp_pb2.Timestamp
    """Only runs that were created at or after this time. Compared in milliseconds. Not set: any time."""
    created_until: _timestamp_pb2.Timestamp
    """Only runs that were created before this time. Compared in milliseconds. Not set: any time."""
    def __init__(self, group: _Optional[str] = ..., phase: _Optional[_Union[_run_pb2.RunPhase, str]] = ..., result: _Optional[_Union[_run_pb2.RunResult, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., group_prefix: _Optional[str] = ..., created_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    """The response of `ListRuns`."""
    __slots__ = ("runs", "next_page_token")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[_run_pb2.Run]
    """The runs, newest first, without annotations, setup errors and warnings, and with at most 100 characters of the
    first line of the commit message: `GetRun` returns all of it. With a `group_prefix`, a page may have fewer runs
    than `page_size`, or none, and still not be the last.
    """
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, runs: _Optional[_Iterable[_Union[_run_pb2.Run, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    """The request of `ListTasks`."""
    __slots__ = ("run_id", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    page_size: int
    """The largest number of tasks in the response. 0: 2,000."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, run_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTasksResponse(_message.Message):
    """The response of `ListTasks`."""
    __slots__ = ("tasks", "next_page_token")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[_run_pb2.Task]
    """The tasks, by level and name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, tasks: _Optional[_Iterable[_Union[_run_pb2.Task, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetTaskRequest(_message.Message):
    """The request of `GetTask`."""
    __slots__ = ("run_id", "task_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class GetTaskResponse(_message.Message):
    """The response of `GetTask`."""
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: _run_pb2.Task
    """The task."""
    def __init__(self, task: _Optional[_Union[_run_pb2.Task, _Mapping]] = ...) -> None: ...

class WatchRunRequest(_message.Message):
    """The request of `WatchRun`."""
    __slots__ = ("run_id", "after")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    after: str
    """The last position that the client has seen. Empty: start with a snapshot."""
    def __init__(self, run_id: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class WatchRunResponse(_message.Message):
    """A message of `WatchRun`."""
    __slots__ = ("position", "run", "tasks", "events")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    position: str
    """The position after this message."""
    run: _run_pb2.Run
    """The run, in the snapshot and whenever it has changed."""
    tasks: _containers.RepeatedCompositeFieldContainer[_run_pb2.Task]
    """The tasks: all of them in the snapshot, then those that have changed."""
    events: _containers.RepeatedCompositeFieldContainer[_run_pb2.RunEvent]
    """The events. Empty in the snapshot."""
    def __init__(self, position: _Optional[str] = ..., run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[_run_pb2.Task, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[_run_pb2.RunEvent, _Mapping]]] = ...) -> None: ...

class WatchRunsRequest(_message.Message):
    """The request of `WatchRuns`."""
    __slots__ = ("after", "group", "group_prefix")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    GROUP_PREFIX_FIELD_NUMBER: _ClassVar[int]
    after: str
    """The last position that the client has seen. Empty: start with the next event."""
    group: str
    """Only runs of exactly this group. `/user/me` stands for the caller's own path, and a path such as `org/acme/site` for
    that of a project. Empty: any group.
    """
    group_prefix: str
    """Only runs of this group and of all groups below it, as in `ListRunsRequest`. Not together with `group`. Empty: any
    group.
    """
    def __init__(self, after: _Optional[str] = ..., group: _Optional[str] = ..., group_prefix: _Optional[str] = ...) -> None: ...

class WatchRunsResponse(_message.Message):
    """A message of `WatchRuns`."""
    __slots__ = ("position", "events")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    position: str
    """The position after this message."""
    events: _containers.RepeatedCompositeFieldContainer[_run_pb2.RunEvent]
    """The events of one transaction. Empty in the first message, which only has the position."""
    def __init__(self, position: _Optional[str] = ..., events: _Optional[_Iterable[_Union[_run_pb2.RunEvent, _Mapping]]] = ...) -> None: ...

class StopRunRequest(_message.Message):
    """The request of `StopRun`."""
    __slots__ = ("run_id", "force", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    force: bool
    """Whether clean-up tasks are stopped too."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, run_id: _Optional[str] = ..., force: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class StopRunResponse(_message.Message):
    """The response of `StopRun`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelRunRequest(_message.Message):
    """The request of `CancelRun`."""
    __slots__ = ("run_id", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, run_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    """The response of `CancelRun`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class RestartRunRequest(_message.Message):
    """The request of `RestartRun`. Exactly one of `from_start`, `from_failed` and `task_ids` must be set."""
    __slots__ = ("run_id", "from_start", "from_failed", "task_ids", "request_id", "hold_on_failure", "inputs")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_START_FIELD_NUMBER: _ClassVar[int]
    FROM_FAILED_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    from_start: bool
    """Restart all tasks."""
    from_failed: bool
    """Restart the tasks that did not succeed, and all that descend from them."""
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    """Restart these tasks, and all that descend from them."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    hold_on_failure: _duration_pb2.Duration
    """How long the pod of each task is held when a step fails. Not set: as in the restarted run."""
    inputs: _containers.ScalarMap[str, str]
    """Other values for inputs of the run, by name. Only with `from_start`. Inputs that are not named keep their values."""
    def __init__(self, run_id: _Optional[str] = ..., from_start: _Optional[bool] = ..., from_failed: _Optional[bool] = ..., task_ids: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., hold_on_failure: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RestartRunResponse(_message.Message):
    """The response of `RestartRun`."""
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _run_pb2.Run
    """The new run."""
    def __init__(self, run: _Optional[_Union[_run_pb2.Run, _Mapping]] = ...) -> None: ...

class ApproveTaskRequest(_message.Message):
    """The request of `ApproveTask`."""
    __slots__ = ("run_id", "task_id", "commit_sha", "config_digest", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    commit_sha: str
    """The commit that the caller means to approve. Empty: not checked."""
    config_digest: str
    """The digest of the rendered configuration that the caller means to approve. Empty: not checked."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., commit_sha: _Optional[str] = ..., config_digest: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ApproveTaskResponse(_message.Message):
    """The response of `ApproveTask`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class RetryTaskRequest(_message.Message):
    """The request of `RetryTask`."""
    __slots__ = ("run_id", "task_id", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RetryTaskResponse(_message.Message):
    """The response of `RetryTask`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class RejectTaskRequest(_message.Message):
    """The request of `RejectTask`."""
    __slots__ = ("run_id", "task_id", "comment", "request_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    comment: str
    """Why, for those who read the run. Empty: not said."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., comment: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RejectTaskResponse(_message.Message):
    """The response of `RejectTask`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class RunHistoryEntry(_message.Message):
    """Something that happened in a run."""
    __slots__ = ("time", "task_id", "task_name", "attempt", "executor_id", "status", "phase", "message")
    TIME_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    """When it happened."""
    task_id: str
    """The id of the task. Empty: it happened to the run."""
    task_name: str
    """The name of the task."""
    attempt: int
    """The attempt of the task. 0: it is about none."""
    executor_id: str
    """The executor of the attempt. Empty: none."""
    status: _run_pb2.TaskStatus
    """The status of the task from then on. Not set: as before."""
    phase: _run_pb2.RunPhase
    """The phase of the run from then on. Not set: as before."""
    message: str
    """What happened, for people: a sentence without the name of the task."""
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., attempt: _Optional[int] = ..., executor_id: _Optional[str] = ..., status: _Optional[_Union[_run_pb2.TaskStatus, str]] = ..., phase: _Optional[_Union[_run_pb2.RunPhase, str]] = ..., message: _Optional[str] = ...) -> None: ...

class RunHistoryTask(_message.Message):
    """How a task stood at a moment."""
    __slots__ = ("task_id", "task_name", "status", "message")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    """The id of the task."""
    task_name: str
    """The name of the task."""
    status: _run_pb2.TaskStatus
    """The status of the task."""
    message: str
    """What had happened last, or what the task waited for."""
    def __init__(self, task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., status: _Optional[_Union[_run_pb2.TaskStatus, str]] = ..., message: _Optional[str] = ...) -> None: ...

class RunHistoryMoment(_message.Message):
    """How a run stood at a moment."""
    __slots__ = ("time", "phase", "tasks")
    TIME_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    """The moment."""
    phase: _run_pb2.RunPhase
    """The phase of the run. Not set: the run was not created yet."""
    tasks: _containers.RepeatedCompositeFieldContainer[RunHistoryTask]
    """The tasks, by level and name."""
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., phase: _Optional[_Union[_run_pb2.RunPhase, str]] = ..., tasks: _Optional[_Iterable[_Union[RunHistoryTask, _Mapping]]] = ...) -> None: ...

class RunHistory(_message.Message):
    """What happened in a run."""
    __slots__ = ("entries", "moment")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MOMENT_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[RunHistoryEntry]
    """What happened, by time. Of a request with `at`: until then."""
    moment: RunHistoryMoment
    """How the run stood at `at`. Not set: the request had none."""
    def __init__(self, entries: _Optional[_Iterable[_Union[RunHistoryEntry, _Mapping]]] = ..., moment: _Optional[_Union[RunHistoryMoment, _Mapping]] = ...) -> None: ...

class GetRunHistoryRequest(_message.Message):
    """The request of `GetRunHistory`."""
    __slots__ = ("run_id", "at")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    at: _timestamp_pb2.Timestamp
    """The moment at which the run is looked at. Not set: all that happened."""
    def __init__(self, run_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetRunHistoryResponse(_message.Message):
    """The response of `GetRunHistory`."""
    __slots__ = ("history",)
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    history: RunHistory
    """What happened."""
    def __init__(self, history: _Optional[_Union[RunHistory, _Mapping]] = ...) -> None: ...

class ExplainRunRequest(_message.Message):
    """The request of `ExplainRun`."""
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class TaskExplanation(_message.Message):
    """Why a task waits, where it runs, or why it ended as it did."""
    __slots__ = ("task_id", "task_name", "status", "reasons")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    """The task's id."""
    task_name: str
    """The task's name."""
    status: _run_pb2.TaskStatus
    """The status of the task."""
    reasons: _containers.RepeatedCompositeFieldContainer[_run_pb2.Reason]
    """All reasons. Empty only for a task that ended without an attempt and has no reason."""
    def __init__(self, task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., status: _Optional[_Union[_run_pb2.TaskStatus, str]] = ..., reasons: _Optional[_Iterable[_Union[_run_pb2.Reason, _Mapping]]] = ...) -> None: ...

class RunExplanation(_message.Message):
    """Why a run and its tasks are in their states."""
    __slots__ = ("run_id", "phase", "reasons", "tasks")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    phase: _run_pb2.RunPhase
    """The phase of the run."""
    reasons: _containers.RepeatedCompositeFieldContainer[_run_pb2.Reason]
    """Why the run is queued, how far a running run is and what it waits for, or why it ended as it did."""
    tasks: _containers.RepeatedCompositeFieldContainer[TaskExplanation]
    """The tasks that have not succeeded, by level and name."""
    def __init__(self, run_id: _Optional[str] = ..., phase: _Optional[_Union[_run_pb2.RunPhase, str]] = ..., reasons: _Optional[_Iterable[_Union[_run_pb2.Reason, _Mapping]]] = ..., tasks: _Optional[_Iterable[_Union[TaskExplanation, _Mapping]]] = ...) -> None: ...

class ExplainRunResponse(_message.Message):
    """The response of `ExplainRun`."""
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: RunExplanation
    """The explanation."""
    def __init__(self, explanation: _Optional[_Union[RunExplanation, _Mapping]] = ...) -> None: ...

class ExplainTaskRequest(_message.Message):
    """The request of `ExplainTask`."""
    __slots__ = ("run_id", "task_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class ExplainTaskResponse(_message.Message):
    """The response of `ExplainTask`."""
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: TaskExplanation
    """The explanation."""
    def __init__(self, explanation: _Optional[_Union[TaskExplanation, _Mapping]] = ...) -> None: ...

class ReadLogsRequest(_message.Message):
    """The request of `ReadLogs`."""
    __slots__ = ("run_id", "task_id", "step", "setup", "attempt", "offset", "follow", "tail", "describe", "first_line", "tail_lines", "since", "max_lines", "timestamps")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SETUP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    DESCRIBE_FIELD_NUMBER: _ClassVar[int]
    FIRST_LINE_FIELD_NUMBER: _ClassVar[int]
    TAIL_LINES_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    MAX_LINES_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    step: int
    """The index of the step, from 0. Ignored with `setup`."""
    setup: bool
    """Read the log of the pod's setup instead of a step's."""
    attempt: int
    """The number of the attempt, from 1. 0: the latest."""
    offset: int
    """The offset of the first byte to read."""
    follow: bool
    """Wait for more until the step has ended. Otherwise the stream ends with what is there now."""
    tail: int
    """Read from this many bytes before the end that the log has now, instead of from `offset`. 0: from `offset`."""
    describe: bool
    """Send a first message without data, with `size`, `etag`, and in `next_offset` where the data will begin."""
    first_line: int
    """Read from the beginning of this line, counted from 1. 0: from `offset`. If `offset` is set as well, that is where the
    stream resumes; this holds for `tail_lines` and `since` too.
    """
    tail_lines: int
    """Read from this many lines before the end that the log has now. 0: from `offset`."""
    since: _timestamp_pb2.Timestamp
    """Read from the first line that was written at this time or later."""
    max_lines: int
    """Read at most so many lines. 0: all."""
    timestamps: bool
    """Begin a new message where the time changes, so that `time` is when `data` was written. There are at most 8192 times in
    a log: that of a step of an hour has one for each half second.
    """
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., step: _Optional[int] = ..., setup: _Optional[bool] = ..., attempt: _Optional[int] = ..., offset: _Optional[int] = ..., follow: _Optional[bool] = ..., tail: _Optional[int] = ..., describe: _Optional[bool] = ..., first_line: _Optional[int] = ..., tail_lines: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., max_lines: _Optional[int] = ..., timestamps: _Optional[bool] = ...) -> None: ...

class ReadLogsResponse(_message.Message):
    """A message of `ReadLogs`."""
    __slots__ = ("next_offset", "data", "time", "size", "etag", "text", "first_line")
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FIRST_LINE_FIELD_NUMBER: _ClassVar[int]
    next_offset: int
    """The offset after `data`, at which to resume."""
    data: bytes
    """At most 64 KiB of the log, as the step wrote it, with secrets masked."""
    time: _timestamp_pb2.Timestamp
    """With `timestamps`, when these bytes were written; otherwise, when the server received or stored them."""
    size: int
    """The number of bytes that the log has now. Only in the first message with `describe`, and not with `follow`."""
    etag: str
    """An opaque string that changes when the log does. Only in the first message with `describe`."""
    text: str
    """`data` as text. Only over HTTP, in events and JSON lines: what is not UTF-8 is U+FFFD, and a character that is split
    between two messages is in the second one. `data` is exact.
    """
    first_line: int
    """The number of the line in which the data begins, from 1. Only in the first message, and only with `first_line`,
    `tail_lines` or `since`.
    """
    def __init__(self, next_offset: _Optional[int] = ..., data: _Optional[bytes] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., size: _Optional[int] = ..., etag: _Optional[str] = ..., text: _Optional[str] = ..., first_line: _Optional[int] = ...) -> None: ...

class GetLogIndexRequest(_message.Message):
    """The request of `GetLogIndex`."""
    __slots__ = ("run_id", "task_id", "step", "setup", "attempt", "with_times")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SETUP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    WITH_TIMES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    step: int
    """The index of the step, from 0. Ignored with `setup`."""
    setup: bool
    """The log of the pod's setup instead of a step's."""
    attempt: int
    """The number of the attempt, from 1. 0: the latest."""
    with_times: bool
    """Return `times` as well."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., step: _Optional[int] = ..., setup: _Optional[bool] = ..., attempt: _Optional[int] = ..., with_times: _Optional[bool] = ...) -> None: ...

class LogTime(_message.Message):
    """When bytes of a log were written."""
    __slots__ = ("offset", "time")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    offset: int
    """The offset of the first of them. They end where the next time begins."""
    time: _timestamp_pb2.Timestamp
    """The time, by the clock of the executor."""
    def __init__(self, offset: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LogIndex(_message.Message):
    """Where the lines of a log are."""
    __slots__ = ("attempt", "size", "complete", "sha256", "newlines", "stride", "newlines_before", "times")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    NEWLINES_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    NEWLINES_BEFORE_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    """The number of the attempt whose log it is, from 1."""
    size: int
    """The number of bytes that the log has now."""
    complete: bool
    """Whether the log is over."""
    sha256: str
    """The SHA-256 digest of all bytes, in hex. Empty: it has not been computed yet."""
    newlines: int
    """The number of line ends (U+000A)."""
    stride: int
    """The distance of the offsets for which `newlines_before` has values, in bytes."""
    newlines_before: _containers.RepeatedScalarFieldContainer[int]
    """The number of line ends before the offset `stride`, before twice as much, and so on, up to the end. At most 4096."""
    times: _containers.RepeatedCompositeFieldContainer[LogTime]
    """When its bytes were written, in order. Only with `with_times`."""
    def __init__(self, attempt: _Optional[int] = ..., size: _Optional[int] = ..., complete: _Optional[bool] = ..., sha256: _Optional[str] = ..., newlines: _Optional[int] = ..., stride: _Optional[int] = ..., newlines_before: _Optional[_Iterable[int]] = ..., times: _Optional[_Iterable[_Union[LogTime, _Mapping]]] = ...) -> None: ...

class GetLogIndexResponse(_message.Message):
    """The response of `GetLogIndex`."""
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: LogIndex
    """The index."""
    def __init__(self, index: _Optional[_Union[LogIndex, _Mapping]] = ...) -> None: ...

class SearchLogsRequest(_message.Message):
    """The request of `SearchLogs`."""
    __slots__ = ("run_id", "pattern", "regexp", "ignore_case", "task_id", "context", "max_matches")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    REGEXP_FIELD_NUMBER: _ClassVar[int]
    IGNORE_CASE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MAX_MATCHES_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    pattern: str
    """What to search for: a text, or with `regexp` a regular expression."""
    regexp: bool
    """Whether the pattern is a regular expression in the syntax of RE2. It matches within a line."""
    ignore_case: bool
    """Whether letters match in both cases."""
    task_id: str
    """The id of the task whose logs are searched. Empty: all tasks."""
    context: int
    """How many lines before and after each match are sent with it."""
    max_matches: int
    """Stop after so many matches. 0: 1000."""
    def __init__(self, run_id: _Optional[str] = ..., pattern: _Optional[str] = ..., regexp: _Optional[bool] = ..., ignore_case: _Optional[bool] = ..., task_id: _Optional[str] = ..., context: _Optional[int] = ..., max_matches: _Optional[int] = ...) -> None: ...

class LogMatch(_message.Message):
    """A line of a log that matches."""
    __slots__ = ("task_id", "task_name", "attempt", "setup", "step", "line", "text", "before", "after")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SETUP_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    """The task's id."""
    task_name: str
    """The task's name."""
    attempt: int
    """The number of the attempt, from 1."""
    setup: bool
    """Whether it is in the log of the pod's setup. Then `step` is 0."""
    step: int
    """The index of the step, from 0."""
    line: int
    """The number of the line, from 1."""
    text: str
    """The line, with escape sequences in it. What is not UTF-8 is U+FFFD. Of a line of more than 1000 bytes, a part with the
    match.
    """
    before: _containers.RepeatedScalarFieldContainer[str]
    """The lines before it."""
    after: _containers.RepeatedScalarFieldContainer[str]
    """The lines after it."""
    def __init__(self, task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., attempt: _Optional[int] = ..., setup: _Optional[bool] = ..., step: _Optional[int] = ..., line: _Optional[int] = ..., text: _Optional[str] = ..., before: _Optional[_Iterable[str]] = ..., after: _Optional[_Iterable[str]] = ...) -> None: ...

class LogSearchEnd(_message.Message):
    """What was searched."""
    __slots__ = ("searched_bytes", "truncated", "unread")
    SEARCHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    searched_bytes: int
    """The number of bytes that were read."""
    truncated: bool
    """Whether there may be more matches than were sent."""
    unread: _containers.RepeatedScalarFieldContainer[str]
    """The logs that could not be read to their ends, and why, for people."""
    def __init__(self, searched_bytes: _Optional[int] = ..., truncated: _Optional[bool] = ..., unread: _Optional[_Iterable[str]] = ...) -> None: ...

class SearchLogsResponse(_message.Message):
    """A message of `SearchLogs`: one of its fields is set."""
    __slots__ = ("match", "end")
    MATCH_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    match: LogMatch
    """A match."""
    end: LogSearchEnd
    """The end of the search, in the last message."""
    def __init__(self, match: _Optional[_Union[LogMatch, _Mapping]] = ..., end: _Optional[_Union[LogSearchEnd, _Mapping]] = ...) -> None: ...

class FindLogErrorRequest(_message.Message):
    """The request of `FindLogError`."""
    __slots__ = ("run_id", "task_id", "step", "setup", "attempt")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SETUP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    step: int
    """The index of the step, from 0. Ignored with `setup`."""
    setup: bool
    """Search the log of the pod's setup instead of a step's."""
    attempt: int
    """The number of the attempt, from 1. 0: the latest."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., step: _Optional[int] = ..., setup: _Optional[bool] = ..., attempt: _Optional[int] = ...) -> None: ...

class LogExcerpt(_message.Message):
    """Lines of a log: those around its first error, or if none was found its last ones."""
    __slots__ = ("attempt", "error_line", "first_line", "lines", "size")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ERROR_LINE_FIELD_NUMBER: _ClassVar[int]
    FIRST_LINE_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    """The number of the attempt whose log it is, from 1."""
    error_line: int
    """The number of the line that looks like an error, from 1. 0: none was found."""
    first_line: int
    """The number of the first of the lines, from 1."""
    lines: _containers.RepeatedScalarFieldContainer[str]
    """The lines, as the step wrote them, with secrets masked and escape sequences in them. What is not UTF-8 is U+FFFD; a
    line ends after 1000 characters.
    """
    size: int
    """The number of bytes that the log had."""
    def __init__(self, attempt: _Optional[int] = ..., error_line: _Optional[int] = ..., first_line: _Optional[int] = ..., lines: _Optional[_Iterable[str]] = ..., size: _Optional[int] = ...) -> None: ...

class FindLogErrorResponse(_message.Message):
    """The response of `FindLogError`."""
    __slots__ = ("excerpt",)
    EXCERPT_FIELD_NUMBER: _ClassVar[int]
    excerpt: LogExcerpt
    """The excerpt."""
    def __init__(self, excerpt: _Optional[_Union[LogExcerpt, _Mapping]] = ...) -> None: ...

class Artifact(_message.Message):
    """Files that a task has saved for people."""
    __slots__ = ("id", "name", "task_id", "task_name", "step", "size_bytes", "file_count", "sha256")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The artifact's id, unique in its run."""
    name: str
    """The name that the configuration gives to it."""
    task_id: str
    """The id of the task that saved it."""
    task_name: str
    """The name of that task."""
    step: int
    """The index of the step that saved it."""
    size_bytes: int
    """The number of bytes of its ZIP file."""
    file_count: int
    """The number of files in it."""
    sha256: str
    """The SHA-256 of the ZIP file, in hex."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., step: _Optional[int] = ..., size_bytes: _Optional[int] = ..., file_count: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class ListTestsRequest(_message.Message):
    """The request of `ListTests`."""
    __slots__ = ("run_id", "task_id", "failed", "page_size", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """Only tests of this task. Empty: of all."""
    failed: bool
    """Only tests that failed or ended with an error."""
    page_size: int
    """The largest number of tests of the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., failed: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTestsResponse(_message.Message):
    """The response of `ListTests`."""
    __slots__ = ("tests", "next_page_token", "counts")
    TESTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    tests: _containers.RepeatedCompositeFieldContainer[_test_report_pb2.TestCase]
    """The tests: those that failed first, then by task, suite, class and name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last one."""
    counts: _test_report_pb2.TestCounts
    """How many tests the run, or the task, has reported."""
    def __init__(self, tests: _Optional[_Iterable[_Union[_test_report_pb2.TestCase, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., counts: _Optional[_Union[_test_report_pb2.TestCounts, _Mapping]] = ...) -> None: ...

class ListArtifactsRequest(_message.Message):
    """The request of `ListArtifacts`."""
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class ListArtifactsResponse(_message.Message):
    """The response of `ListArtifacts`."""
    __slots__ = ("artifacts",)
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    """The artifacts."""
    def __init__(self, artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ...) -> None: ...

class ReadArtifactRequest(_message.Message):
    """The request of `ReadArtifact`."""
    __slots__ = ("run_id", "artifact_id", "offset", "tail", "describe")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    DESCRIBE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    artifact_id: str
    """The artifact's id."""
    offset: int
    """The offset of the first byte to read."""
    tail: int
    """Read from this many bytes before the end, instead of from `offset`. 0: from `offset`."""
    describe: bool
    """Send a first message without data, with `size`, `etag`, and in `next_offset` where the data will begin."""
    def __init__(self, run_id: _Optional[str] = ..., artifact_id: _Optional[str] = ..., offset: _Optional[int] = ..., tail: _Optional[int] = ..., describe: _Optional[bool] = ...) -> None: ...

class ReadArtifactResponse(_message.Message):
    """A message of `ReadArtifact`."""
    __slots__ = ("next_offset", "data", "size", "etag")
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    next_offset: int
    """The offset after `data`, at which to resume."""
    data: bytes
    """At most 256 KiB of the artifact."""
    size: int
    """The number of bytes of the artifact. Only in the first message with `describe`."""
    etag: str
    """An opaque string that differs when the bytes do. Only in the first message with `describe`."""
    def __init__(self, next_offset: _Optional[int] = ..., data: _Optional[bytes] = ..., size: _Optional[int] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteLogsRequest(_message.Message):
    """The request of `DeleteLogs`."""
    __slots__ = ("run_id", "task_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class DeleteLogsResponse(_message.Message):
    """The response of `DeleteLogs`."""
    __slots__ = ()
    def __init__(self) -> None: ...
