from google.api import annotations_pb2 as _annotations_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetVersionRequest(_message.Message):
    """The request of `GetVersion`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class GetVersionResponse(_message.Message):
    """The response of `GetVersion`."""
    __slots__ = ("version", "public_url")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_URL_FIELD_NUMBER: _ClassVar[int]
    version: str
    """The version of the software, such as `1.2.3`."""
    public_url: str
    """The URL of the gateway as people see it, without a slash at its end; the page of a run is at `/runs/<id>`. Empty: the
    server was started without `--public-url`.
    """
    def __init__(self, version: _Optional[str] = ..., public_url: _Optional[str] = ...) -> None: ...
