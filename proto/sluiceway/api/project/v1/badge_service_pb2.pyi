from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.run.v1 import run_pb2 as _run_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetBadgeRequest(_message.Message):
    """The request of `GetBadge`."""
    __slots__ = ("path", "run_name", "token")
    PATH_FIELD_NUMBER: _ClassVar[int]
    RUN_NAME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    path: str
    """The path or the id of a project, a slash, and the name of a branch, which may have slashes too."""
    run_name: str
    """Only runs of this name. Empty: any."""
    token: str
    """The token of the project's badges. Empty: none; the project has to be public."""
    def __init__(self, path: _Optional[str] = ..., run_name: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...

class GetBadgeResponse(_message.Message):
    """The response of `GetBadge`."""
    __slots__ = ("phase", "result", "is_public")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    IS_PUBLIC_FIELD_NUMBER: _ClassVar[int]
    phase: _run_pb2.RunPhase
    """The phase of the run. Not set: the branch has no such run."""
    result: _run_pb2.RunResult
    """The result of the run."""
    is_public: bool
    """Whether everybody may see it."""
    def __init__(self, phase: _Optional[_Union[_run_pb2.RunPhase, str]] = ..., result: _Optional[_Union[_run_pb2.RunResult, str]] = ..., is_public: _Optional[bool] = ...) -> None: ...

class CreateBadgeTokenRequest(_message.Message):
    """The request of `CreateBadgeToken`."""
    __slots__ = ("project_id",)
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    def __init__(self, project_id: _Optional[str] = ...) -> None: ...

class CreateBadgeTokenResponse(_message.Message):
    """The response of `CreateBadgeToken`."""
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    """The token. It is not shown again."""
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class DeleteBadgeTokenRequest(_message.Message):
    """The request of `DeleteBadgeToken`."""
    __slots__ = ("project_id",)
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    def __init__(self, project_id: _Optional[str] = ...) -> None: ...

class DeleteBadgeTokenResponse(_message.Message):
    """The response of `DeleteBadgeToken`."""
    __slots__ = ()
    def __init__(self) -> None: ...
