from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Caller(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALLER_UNSPECIFIED: _ClassVar[Caller]
    CALLER_PUBLIC: _ClassVar[Caller]
    CALLER_USER: _ClassVar[Caller]
    CALLER_EXECUTOR: _ClassVar[Caller]
    CALLER_OPERATOR: _ClassVar[Caller]
    CALLER_PEER: _ClassVar[Caller]
CALLER_UNSPECIFIED: Caller
CALLER_PUBLIC: Caller
CALLER_USER: Caller
CALLER_EXECUTOR: Caller
CALLER_OPERATOR: Caller
CALLER_PEER: Caller
ACCESS_FIELD_NUMBER: _ClassVar[int]
access: _descriptor.FieldDescriptor
HTTP_RESULT_FIELD_NUMBER: _ClassVar[int]
http_result: _descriptor.FieldDescriptor
RESUME_FIELD_NUMBER: _ClassVar[int]
resume: _descriptor.FieldDescriptor
RAW_FIELD_NUMBER: _ClassVar[int]
raw: _descriptor.FieldDescriptor

class Access(_message.Message):
    __slots__ = ("caller", "scope", "resource_field")
    CALLER_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_FIELD_NUMBER: _ClassVar[int]
    caller: Caller
    scope: str
    resource_field: str
    def __init__(self, caller: _Optional[_Union[Caller, str]] = ..., scope: _Optional[str] = ..., resource_field: _Optional[str] = ...) -> None: ...

class HttpResult(_message.Message):
    __slots__ = ("code", "location")
    CODE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    code: int
    location: str
    def __init__(self, code: _Optional[int] = ..., location: _Optional[str] = ...) -> None: ...
