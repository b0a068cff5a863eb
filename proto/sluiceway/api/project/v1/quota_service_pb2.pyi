from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Quota(_message.Message):
    """A quota. In `GetQuotaResponse.usage`, the same numbers count what there is."""
    __slots__ = ("projects", "queued_runs", "secrets", "variables", "schedules", "tokens", "running_tasks")
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_RUNS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TASKS_FIELD_NUMBER: _ClassVar[int]
    projects: int
    """The number of project groups and projects below the node, at all levels together."""
    queued_runs: int
    """The number of queued runs of each project at or below the node. The nearest quota that sets it counts, as for the
    fields below.
    """
    secrets: int
    """The number of secrets of the node, and of each project group and project below it."""
    variables: int
    """The number of variables of the node, and of each project group and project below it."""
    schedules: int
    """The number of schedules of each project at or below the node. More than 100 are not possible."""
    tokens: int
    """The number of tokens of a user that are valid and that no login made. On a user only."""
    running_tasks: int
    """The number of running tasks of the projects at and below the node together, and of a user's own runs. The quota of
    each node above a project counts. More tasks wait (`WAITS_FOR_QUOTA`); nothing is refused.
    """
    def __init__(self, projects: _Optional[int] = ..., queued_runs: _Optional[int] = ..., secrets: _Optional[int] = ..., variables: _Optional[int] = ..., schedules: _Optional[int] = ..., tokens: _Optional[int] = ..., running_tasks: _Optional[int] = ...) -> None: ...

class GetQuotaRequest(_message.Message):
    """The request of `GetQuota`."""
    __slots__ = ("node_id",)
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    """The id or the path of a user, an organization, a project group or a project, or `installation`."""
    def __init__(self, node_id: _Optional[str] = ...) -> None: ...

class GetQuotaResponse(_message.Message):
    """The response of `GetQuota`."""
    __slots__ = ("quota", "effective", "usage")
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    quota: Quota
    """What an operator has set for the node itself."""
    effective: Quota
    """What counts for the node: for `projects`, `running_tasks` and `tokens` its own quota or that of the installation,
    for the other fields the nearest one. 0: no limit.
    """
    usage: Quota
    """What the node has. 1,000 is 1,000 or more. Not set for `installation`."""
    def __init__(self, quota: _Optional[_Union[Quota, _Mapping]] = ..., effective: _Optional[_Union[Quota, _Mapping]] = ..., usage: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...

class SetQuotaRequest(_message.Message):
    """The request of `SetQuota`."""
    __slots__ = ("node_id", "quota")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    """The id or the path of a user, an organization, a project group or a project, or `installation`."""
    quota: Quota
    """The quota."""
    def __init__(self, node_id: _Optional[str] = ..., quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...

class SetQuotaResponse(_message.Message):
    """The response of `SetQuota`."""
    __slots__ = ("quota",)
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    quota: Quota
    """The quota."""
    def __init__(self, quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...
