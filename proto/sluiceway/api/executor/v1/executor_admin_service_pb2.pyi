import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Executor(_message.Message):
    """An executor."""
    __slots__ = ("id", "group", "siblings", "version", "archs", "labels", "slots", "slots_used", "privileged_allowed", "drivers", "dynamic", "draining", "online", "last_seen_time", "session_time", "drained", "drain_deadline", "vanished", "assignments")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SIBLINGS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARCHS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_USED_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGED_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    DRIVERS_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    SESSION_TIME_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    DRAIN_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    VANISHED_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The id of the executor, unique in its group. If executors of several groups have the same id, methods that take an
    id use the one whose group comes first.
    """
    group: str
    """The name of the executor's group."""
    siblings: _containers.RepeatedScalarFieldContainer[str]
    """The ids of the other live executors of the group, sorted."""
    version: str
    """The version of the executor's software."""
    archs: _containers.RepeatedScalarFieldContainer[str]
    """The architectures of the tasks that the executor can run."""
    labels: _containers.ScalarMap[str, str]
    """The labels that tasks can require."""
    slots: int
    """The number of tasks that the executor can run at the same time."""
    slots_used: int
    """The number of assignments that the executor holds."""
    privileged_allowed: bool
    """Whether the executor runs privileged containers."""
    drivers: _containers.RepeatedScalarFieldContainer[str]
    """The names of the drivers of the executor."""
    dynamic: bool
    """Whether the executor may vanish at any time, and be cleaned up by its siblings."""
    draining: bool
    """Whether an operator has drained the executor: it gets no more tasks."""
    online: bool
    """Whether the executor is connected."""
    last_seen_time: _timestamp_pb2.Timestamp
    """When the executor last connected or disconnected."""
    session_time: _timestamp_pb2.Timestamp
    """When the executor's session started."""
    drained: bool
    """Whether the executor is draining and runs no task any more."""
    drain_deadline: _timestamp_pb2.Timestamp
    """It is draining, and what still runs then is lost. Not set: there is no limit."""
    vanished: bool
    """Whether it was missing for so long that its session ended. Its siblings remove its pods, and its tasks are lost then."""
    assignments: _containers.RepeatedCompositeFieldContainer[ExecutorAssignment]
    """The assignments that it holds, the oldest first; of runs that the caller may see. Only in `GetExecutor`."""
    def __init__(self, id: _Optional[str] = ..., group: _Optional[str] = ..., siblings: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ..., archs: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., slots: _Optional[int] = ..., slots_used: _Optional[int] = ..., privileged_allowed: _Optional[bool] = ..., drivers: _Optional[_Iterable[str]] = ..., dynamic: _Optional[bool] = ..., draining: _Optional[bool] = ..., online: _Optional[bool] = ..., last_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., session_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., drained: _Optional[bool] = ..., drain_deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., vanished: _Optional[bool] = ..., assignments: _Optional[_Iterable[_Union[ExecutorAssignment, _Mapping]]] = ...) -> None: ...

class ExecutorAssignment(_message.Message):
    """An attempt of a task that an executor holds. Its pod has the assignment's id as a label or name."""
    __slots__ = ("id", "run_id", "run_number", "group", "task_id", "task_name", "attempt", "assign_time", "start_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_NUMBER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The id of the assignment."""
    run_id: str
    """The id of the run."""
    run_number: int
    """The number of the run."""
    group: str
    """The group of the run."""
    task_id: str
    """The id of the task."""
    task_name: str
    """The name of the task."""
    attempt: int
    """The number of the attempt, from 1."""
    assign_time: _timestamp_pb2.Timestamp
    """When it was assigned."""
    start_time: _timestamp_pb2.Timestamp
    """When its pod started. Not set: it has not."""
    def __init__(self, id: _Optional[str] = ..., run_id: _Optional[str] = ..., run_number: _Optional[int] = ..., group: _Optional[str] = ..., task_id: _Optional[str] = ..., task_name: _Optional[str] = ..., attempt: _Optional[int] = ..., assign_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExecutorGroup(_message.Message):
    """A group of executors that share a place, such as a Kubernetes namespace, and can clean up after each other.

    A group that nobody has created exists while it has an executor or a token. It serves all projects, and takes runs of
    forks if an option of the servers says so; the first update gives it settings of its own.
    """
    __slots__ = ("name", "executor_ids", "serves", "serves_all", "takes_forks", "create_time", "executors", "slots", "slots_used", "tokens")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_IDS_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    SERVES_ALL_FIELD_NUMBER: _ClassVar[int]
    TAKES_FORKS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_USED_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The name of the group: letters, digits and single inner hyphens, a letter first."""
    executor_ids: _containers.RepeatedScalarFieldContainer[str]
    """The ids of the live executors of the group, sorted."""
    serves: _containers.RepeatedScalarFieldContainer[str]
    """The users, organizations, project groups and projects whose runs the group serves, with all below them. In requests
    a path or an id of each; in responses its path, sorted. Empty, and not `serves_all`, when the group is created: the
    creator, and the organizations that the creator owns.
    """
    serves_all: bool
    """Whether the group serves all runs. Then `serves` is empty."""
    takes_forks: bool
    """Whether the group takes runs of pull requests from forks. Executors with the driver `host` never do."""
    create_time: _timestamp_pb2.Timestamp
    """When the group was created. Not set: it has no settings of its own."""
    executors: int
    """The number of executors of the group, live or not."""
    slots: int
    """The slots of its live executors that are not drained."""
    slots_used: int
    """The number of assignments that its executors hold."""
    tokens: int
    """The number of tokens of the group that are valid."""
    def __init__(self, name: _Optional[str] = ..., executor_ids: _Optional[_Iterable[str]] = ..., serves: _Optional[_Iterable[str]] = ..., serves_all: _Optional[bool] = ..., takes_forks: _Optional[bool] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., executors: _Optional[int] = ..., slots: _Optional[int] = ..., slots_used: _Optional[int] = ..., tokens: _Optional[int] = ...) -> None: ...

class ListExecutorsRequest(_message.Message):
    """The request of `ListExecutors`."""
    __slots__ = ("group", "page_size", "page_token")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    group: str
    """Only executors of this group. Empty: all groups."""
    page_size: int
    """The largest number of executors in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, group: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListExecutorsResponse(_message.Message):
    """The response of `ListExecutors`."""
    __slots__ = ("executors", "next_page_token")
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    executors: _containers.RepeatedCompositeFieldContainer[Executor]
    """The executors, by group and id."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, executors: _Optional[_Iterable[_Union[Executor, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetExecutorRequest(_message.Message):
    """The request of `GetExecutor`."""
    __slots__ = ("executor_id",)
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id."""
    def __init__(self, executor_id: _Optional[str] = ...) -> None: ...

class GetExecutorResponse(_message.Message):
    """The response of `GetExecutor`."""
    __slots__ = ("executor",)
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    executor: Executor
    """The executor."""
    def __init__(self, executor: _Optional[_Union[Executor, _Mapping]] = ...) -> None: ...

class ListExecutorGroupsRequest(_message.Message):
    """The request of `ListExecutorGroups`."""
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The largest number of groups in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListExecutorGroupsResponse(_message.Message):
    """The response of `ListExecutorGroups`."""
    __slots__ = ("executor_groups", "next_page_token")
    EXECUTOR_GROUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    executor_groups: _containers.RepeatedCompositeFieldContainer[ExecutorGroup]
    """The groups, by name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, executor_groups: _Optional[_Iterable[_Union[ExecutorGroup, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetExecutorGroupRequest(_message.Message):
    """The request of `GetExecutorGroup`."""
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The name of the group."""
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetExecutorGroupResponse(_message.Message):
    """The response of `GetExecutorGroup`."""
    __slots__ = ("executor_group",)
    EXECUTOR_GROUP_FIELD_NUMBER: _ClassVar[int]
    executor_group: ExecutorGroup
    """The group."""
    def __init__(self, executor_group: _Optional[_Union[ExecutorGroup, _Mapping]] = ...) -> None: ...

class CreateExecutorGroupRequest(_message.Message):
    """The request of `CreateExecutorGroup`."""
    __slots__ = ("executor_group",)
    EXECUTOR_GROUP_FIELD_NUMBER: _ClassVar[int]
    executor_group: ExecutorGroup
    """The group."""
    def __init__(self, executor_group: _Optional[_Union[ExecutorGroup, _Mapping]] = ...) -> None: ...

class CreateExecutorGroupResponse(_message.Message):
    """The response of `CreateExecutorGroup`."""
    __slots__ = ("executor_group",)
    EXECUTOR_GROUP_FIELD_NUMBER: _ClassVar[int]
    executor_group: ExecutorGroup
    """The group."""
    def __init__(self, executor_group: _Optional[_Union[ExecutorGroup, _Mapping]] = ...) -> None: ...

class UpdateExecutorGroupRequest(_message.Message):
    """The request of `UpdateExecutorGroup`."""
    __slots__ = ("executor_group", "update_mask")
    EXECUTOR_GROUP_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    executor_group: ExecutorGroup
    """The group: its name, and the new values."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Empty: those that are set."""
    def __init__(self, executor_group: _Optional[_Union[ExecutorGroup, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateExecutorGroupResponse(_message.Message):
    """The response of `UpdateExecutorGroup`."""
    __slots__ = ("executor_group",)
    EXECUTOR_GROUP_FIELD_NUMBER: _ClassVar[int]
    executor_group: ExecutorGroup
    """The group."""
    def __init__(self, executor_group: _Optional[_Union[ExecutorGroup, _Mapping]] = ...) -> None: ...

class DeleteExecutorGroupRequest(_message.Message):
    """The request of `DeleteExecutorGroup`."""
    __slots__ = ("name", "force")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The name of the group."""
    force: bool
    """Whether tasks that its executors run may be lost."""
    def __init__(self, name: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class DeleteExecutorGroupResponse(_message.Message):
    """The response of `DeleteExecutorGroup`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainExecutorRequest(_message.Message):
    """The request of `DrainExecutor`."""
    __slots__ = ("executor_id", "timeout")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id."""
    timeout: _duration_pb2.Duration
    """How long the tasks that the executor runs may continue: at most 30 days. Then they are lost. Not set: without limit. A
    later call replaces it.
    """
    def __init__(self, executor_id: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DrainExecutorResponse(_message.Message):
    """The response of `DrainExecutor`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class UndrainExecutorRequest(_message.Message):
    """The request of `UndrainExecutor`."""
    __slots__ = ("executor_id",)
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id."""
    def __init__(self, executor_id: _Optional[str] = ...) -> None: ...

class UndrainExecutorResponse(_message.Message):
    """The response of `UndrainExecutor`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ExecutorSelector(_message.Message):
    """A condition that executors match. All fields that are set must match, and at least one must be set."""
    __slots__ = ("group", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    group: str
    """The group of the executors. Empty: any group."""
    labels: _containers.ScalarMap[str, str]
    """Labels that the executors have. They may have others too."""
    def __init__(self, group: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DrainExecutorsRequest(_message.Message):
    """The request of `DrainExecutors`."""
    __slots__ = ("selector", "timeout")
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    selector: ExecutorSelector
    """The executors."""
    timeout: _duration_pb2.Duration
    """How long the tasks that the executors run may continue: at most 30 days. Then they are lost. Not set: without limit. A
    later call replaces it.
    """
    def __init__(self, selector: _Optional[_Union[ExecutorSelector, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DrainExecutorsResponse(_message.Message):
    """The response of `DrainExecutors`."""
    __slots__ = ("executor_ids",)
    EXECUTOR_IDS_FIELD_NUMBER: _ClassVar[int]
    executor_ids: _containers.RepeatedScalarFieldContainer[str]
    """The ids of the executors that match, sorted. All of them are draining now."""
    def __init__(self, executor_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class UndrainExecutorsRequest(_message.Message):
    """The request of `UndrainExecutors`."""
    __slots__ = ("selector",)
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    selector: ExecutorSelector
    """The executors."""
    def __init__(self, selector: _Optional[_Union[ExecutorSelector, _Mapping]] = ...) -> None: ...

class UndrainExecutorsResponse(_message.Message):
    """The response of `UndrainExecutors`."""
    __slots__ = ("executor_ids",)
    EXECUTOR_IDS_FIELD_NUMBER: _ClassVar[int]
    executor_ids: _containers.RepeatedScalarFieldContainer[str]
    """The ids of the executors that match, sorted. None of them is draining now."""
    def __init__(self, executor_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteExecutorRequest(_message.Message):
    """The request of `DeleteExecutor`."""
    __slots__ = ("executor_id",)
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    """The executor's id."""
    def __init__(self, executor_id: _Optional[str] = ...) -> None: ...

class DeleteExecutorResponse(_message.Message):
    """The response of `DeleteExecutor`."""
    __slots__ = ()
    def __init__(self) -> None: ...
