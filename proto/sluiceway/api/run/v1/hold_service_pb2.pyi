from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.run.v1 import shell_pb2 as _shell_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ContinueFrom(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """Where a held task continues."""
    __slots__ = ()
    CONTINUE_FROM_UNSPECIFIED: _ClassVar[ContinueFrom]
    """As `FAILED`."""
    CONTINUE_FROM_FAILED: _ClassVar[ContinueFrom]
    """With the failed step, which is run again."""
    CONTINUE_FROM_NEXT: _ClassVar[ContinueFrom]
    """With the step after it."""
CONTINUE_FROM_UNSPECIFIED: ContinueFrom
CONTINUE_FROM_FAILED: ContinueFrom
CONTINUE_FROM_NEXT: ContinueFrom

class ContinueTaskRequest(_message.Message):
    """The request of `ContinueTask`."""
    __slots__ = ("run_id", "task_id", "from_step", "hold")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_STEP_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    from_step: ContinueFrom
    """Where the task continues."""
    hold: int
    """The number of the hold that is meant. 0: the present one."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., from_step: _Optional[_Union[ContinueFrom, str]] = ..., hold: _Optional[int] = ...) -> None: ...

class ContinueTaskResponse(_message.Message):
    """The response of `ContinueTask`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ReleaseTaskRequest(_message.Message):
    """The request of `ReleaseTask`."""
    __slots__ = ("run_id", "task_id", "hold")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id."""
    task_id: str
    """The task's id."""
    hold: int
    """The number of the hold that is meant. 0: the present one."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., hold: _Optional[int] = ...) -> None: ...

class ReleaseTaskResponse(_message.Message):
    """The response of `ReleaseTask`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class OpenShellRequest(_message.Message):
    """A message of `OpenShell`."""
    __slots__ = ("run_id", "task_id", "term", "size", "data")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    """The run's id. In the first message, as `task_id` and `term`."""
    task_id: str
    """The task's id."""
    term: str
    """The type of the terminal, as in the variable TERM. Empty: `xterm-256color`."""
    size: _shell_pb2.TerminalSize
    """The size of the terminal, in the first message and whenever it changes."""
    data: bytes
    """What the person typed: at most 64 KiB."""
    def __init__(self, run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., term: _Optional[str] = ..., size: _Optional[_Union[_shell_pb2.TerminalSize, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class OpenShellResponse(_message.Message):
    """A message of `OpenShell` to the client."""
    __slots__ = ("data", "end", "step")
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    """What the shell printed."""
    end: _shell_pb2.ShellEnd
    """How the shell ended. In the last message."""
    step: str
    """The name of the step whose environment the shell has. In the first message, which says that the shell runs."""
    def __init__(self, data: _Optional[bytes] = ..., end: _Optional[_Union[_shell_pb2.ShellEnd, _Mapping]] = ..., step: _Optional[str] = ...) -> None: ...
