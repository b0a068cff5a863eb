from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class TailLogRequest(_message.Message):
    __slots__ = ("assignment_id", "step", "offset")
    ASSIGNMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    assignment_id: str
    step: int
    offset: int
    def __init__(self, assignment_id: _Optional[str] = ..., step: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class TailLogResponse(_message.Message):
    __slots__ = ("next_offset", "data")
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    next_offset: int
    data: bytes
    def __init__(self, next_offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...
