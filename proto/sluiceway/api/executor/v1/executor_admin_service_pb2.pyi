import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Executor(_message.Message):
    __slots__ = ("id", "group", "siblings", "version", "archs", "labels", "slots", "slots_used", "privileged_allowed", "drivers", "dynamic", "draining", "online", "last_seen_time", "session_time", "drained", "drain_deadline")
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
    id: str
    group: str
    siblings: _containers.RepeatedScalarFieldContainer[str]
    version: str
    archs: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    slots: int
    slots_used: int
    privileged_allowed: bool
    drivers: _containers.RepeatedScalarFieldContainer[str]
    dynamic: bool
    draining: bool
    online: bool
    last_seen_time: _timestamp_pb2.Timestamp
    session_time: _timestamp_pb2.Timestamp
    drained: bool
    drain_deadline: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., group: _Optional[str] = ..., siblings: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ..., archs: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., slots: _Optional[int] = ..., slots_used: _Optional[int] = ..., privileged_allowed: _Optional[bool] = ..., drivers: _Optional[_Iterable[str]] = ..., dynamic: _Optional[bool] = ..., draining: _Optional[bool] = ..., online: _Optional[bool] = ..., last_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., session_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., drained: _Optional[bool] = ..., drain_deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExecutorGroup(_message.Message):
    __slots__ = ("name", "executor_ids")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_IDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    executor_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., executor_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ListExecutorsRequest(_message.Message):
    __slots__ = ("group", "page_size", "page_token")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    group: str
    page_size: int
    page_token: str
    def __init__(self, group: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListExecutorsResponse(_message.Message):
    __slots__ = ("executors", "next_page_token")
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    executors: _containers.RepeatedCompositeFieldContainer[Executor]
    next_page_token: str
    def __init__(self, executors: _Optional[_Iterable[_Union[Executor, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetExecutorRequest(_message.Message):
    __slots__ = ("executor_id",)
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    def __init__(self, executor_id: _Optional[str] = ...) -> None: ...

class GetExecutorResponse(_message.Message):
    __slots__ = ("executor",)
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    executor: Executor
    def __init__(self, executor: _Optional[_Union[Executor, _Mapping]] = ...) -> None: ...

class ListExecutorGroupsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListExecutorGroupsResponse(_message.Message):
    __slots__ = ("executor_groups", "next_page_token")
    EXECUTOR_GROUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    executor_groups: _containers.RepeatedCompositeFieldContainer[ExecutorGroup]
    next_page_token: str
    def __init__(self, executor_groups: _Optional[_Iterable[_Union[ExecutorGroup, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetExecutorGroupRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetExecutorGroupResponse(_message.Message):
    __slots__ = ("executor_group",)
    EXECUTOR_GROUP_FIELD_NUMBER: _ClassVar[int]
    executor_group: ExecutorGroup
    def __init__(self, executor_group: _Optional[_Union[ExecutorGroup, _Mapping]] = ...) -> None: ...

class DrainExecutorRequest(_message.Message):
    __slots__ = ("executor_id", "timeout")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    timeout: _duration_pb2.Duration
    def __init__(self, executor_id: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DrainExecutorResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UndrainExecutorRequest(_message.Message):
    __slots__ = ("executor_id",)
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    def __init__(self, executor_id: _Optional[str] = ...) -> None: ...

class UndrainExecutorResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExecutorSelector(_message.Message):
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
    labels: _containers.ScalarMap[str, str]
    def __init__(self, group: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DrainExecutorsRequest(_message.Message):
    __slots__ = ("selector", "timeout")
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    selector: ExecutorSelector
    timeout: _duration_pb2.Duration
    def __init__(self, selector: _Optional[_Union[ExecutorSelector, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DrainExecutorsResponse(_message.Message):
    __slots__ = ("executor_ids",)
    EXECUTOR_IDS_FIELD_NUMBER: _ClassVar[int]
    executor_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, executor_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class UndrainExecutorsRequest(_message.Message):
    __slots__ = ("selector",)
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    selector: ExecutorSelector
    def __init__(self, selector: _Optional[_Union[ExecutorSelector, _Mapping]] = ...) -> None: ...

class UndrainExecutorsResponse(_message.Message):
    __slots__ = ("executor_ids",)
    EXECUTOR_IDS_FIELD_NUMBER: _ClassVar[int]
    executor_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, executor_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteExecutorRequest(_message.Message):
    __slots__ = ("executor_id",)
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    def __init__(self, executor_id: _Optional[str] = ...) -> None: ...

class DeleteExecutorResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
