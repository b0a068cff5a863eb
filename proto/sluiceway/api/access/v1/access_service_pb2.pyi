from google.api import field_behavior_pb2 as _field_behavior_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class CheckAccessRequest(_message.Message):
    """The request of `CheckAccess`."""
    __slots__ = ("method",)
    METHOD_FIELD_NUMBER: _ClassVar[int]
    method: str
    """The path of the method, such as `/sluiceway.api.run.v1.RunService/CreateRun`."""
    def __init__(self, method: _Optional[str] = ...) -> None: ...

class CheckAccessResponse(_message.Message):
    """The response of `CheckAccess`."""
    __slots__ = ()
    def __init__(self) -> None: ...
