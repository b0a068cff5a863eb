from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class TerminalSize(_message.Message):
    """The size of a terminal."""
    __slots__ = ("rows", "columns")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    """The number of rows."""
    columns: int
    """The number of columns."""
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ...) -> None: ...

class ShellEnd(_message.Message):
    """How a shell ended."""
    __slots__ = ("exit_status", "message")
    EXIT_STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    exit_status: int
    """The exit status of the shell. Not set: it did not end by itself."""
    message: str
    """Why the shell ended or did not start, for a person. Empty: it ended by itself."""
    def __init__(self, exit_status: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...
