from google.api import field_behavior_pb2 as _field_behavior_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class TailLogRequest(_message.Message):
    """The request of `TailLog`."""
    __slots__ = ("assignment_id", "step", "offset")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    """The assignment's id."""
    step: int
    """The index of the step, from 0. -1: the setup."""
    offset: int
    """The offset of the first byte to read."""
    def __init__(self, assignment_id: _Optional[str] = ..., step: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class TailLogResponse(_message.Message):
    """A message of `TailLog`."""
    __slots__ = ("next_offset", "data")
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    next_offset: int
    """The offset after `data`, at which to resume."""
    data: bytes
    """At most 64 KiB of the log."""
    def __init__(self, next_offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...
