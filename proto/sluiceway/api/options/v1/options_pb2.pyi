from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Caller(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """Who may call a method. A method that does not say it may be called by nobody."""
    __slots__ = ()
    CALLER_UNSPECIFIED: _ClassVar[Caller]
    """Not declared. Every call is refused."""
    CALLER_PUBLIC: _ClassVar[Caller]
    """Anybody, without a token."""
    CALLER_USER: _ClassVar[Caller]
    """A user with a token."""
    CALLER_EXECUTOR: _ClassVar[Caller]
    """An executor with a token of its group."""
    CALLER_OPERATOR: _ClassVar[Caller]
    """An operator of the installation."""
    CALLER_PEER: _ClassVar[Caller]
    """Another server of the installation."""

class Right(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """What a caller may do with a resource. Each right contains those before it."""
    __slots__ = ()
    RIGHT_UNSPECIFIED: _ClassVar[Right]
    """Not declared. The method needs `RIGHT_MANAGE`."""
    RIGHT_READ: _ClassVar[Right]
    """See it, and everything below it that is not hidden otherwise: readers; everybody if it is public."""
    RIGHT_CONTROL: _ClassVar[Right]
    """Create, stop, cancel, restart and approve runs: members."""
    RIGHT_CONFIGURE: _ClassVar[Right]
    """Change settings, and create what belongs to it: members."""
    RIGHT_MANAGE: _ClassVar[Right]
    """Move and delete it, and say who may see it: owners."""

class FilePart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """What a field says of the file that a stream reads."""
    __slots__ = ()
    FILE_PART_UNSPECIFIED: _ClassVar[FilePart]
    """Nothing."""
    FILE_PART_DESCRIBE: _ClassVar[FilePart]
    """In the request, a bool: whether the stream begins with a message that describes the file and has no bytes of it."""
    FILE_PART_TAIL: _ClassVar[FilePart]
    """In the request, a number: how many of the last bytes are read. 0: all, from the offset."""
    FILE_PART_SIZE: _ClassVar[FilePart]
    """In the describing message: the bytes of the file. Not set: the stream may have more of them."""
    FILE_PART_ETAG: _ClassVar[FilePart]
    """In the describing message: an opaque string that differs when the bytes do."""
CALLER_UNSPECIFIED: Caller
CALLER_PUBLIC: Caller
CALLER_USER: Caller
CALLER_EXECUTOR: Caller
CALLER_OPERATOR: Caller
CALLER_PEER: Caller
RIGHT_UNSPECIFIED: Right
RIGHT_READ: Right
RIGHT_CONTROL: Right
RIGHT_CONFIGURE: Right
RIGHT_MANAGE: Right
FILE_PART_UNSPECIFIED: FilePart
FILE_PART_DESCRIBE: FilePart
FILE_PART_TAIL: FilePart
FILE_PART_SIZE: FilePart
FILE_PART_ETAG: FilePart
ACCESS_FIELD_NUMBER: _ClassVar[int]
access: _descriptor.FieldDescriptor
HTTP_RESULT_FIELD_NUMBER: _ClassVar[int]
http_result: _descriptor.FieldDescriptor
RESUME_FIELD_NUMBER: _ClassVar[int]
resume: _descriptor.FieldDescriptor
RAW_FIELD_NUMBER: _ClassVar[int]
raw: _descriptor.FieldDescriptor
LIMITS_FIELD_NUMBER: _ClassVar[int]
limits: _descriptor.FieldDescriptor
EXAMPLE_FIELD_NUMBER: _ClassVar[int]
example: _descriptor.FieldDescriptor
FILE_PART_FIELD_NUMBER: _ClassVar[int]
file_part: _descriptor.FieldDescriptor
RAW_TEXT_FIELD_NUMBER: _ClassVar[int]
raw_text: _descriptor.FieldDescriptor

class Access(_message.Message):
    """The access that a method needs."""
    __slots__ = ("caller", "scope", "resource_field", "right")
    CALLER_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    caller: Caller
    """Who may call the method."""
    scope: str
    """The scope that the caller's token must have, such as `runs:read`. Empty: none."""
    resource_field: str
    """The request field that names the resource on which the caller needs a right, as a path (`run_id`). Empty: none. A
    resource that the caller may not see is NOT_FOUND.
    """
    right: Right
    """The right that the caller needs on that resource."""
    def __init__(self, caller: _Optional[_Union[Caller, str]] = ..., scope: _Optional[str] = ..., resource_field: _Optional[str] = ..., right: _Optional[_Union[Right, str]] = ...) -> None: ...

class HttpResult(_message.Message):
    """How the gateway answers a successful unary call."""
    __slots__ = ("code", "location", "media_type")
    CODE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    code: int
    """The HTTP status. 0: 200, or 204 if the response message has no fields."""
    location: str
    """The Location header. `{field.path}` is replaced by a field of the response message: `/api/v1/runs/{run.id}`."""
    media_type: str
    """Of a stream with bytes that are marked as `raw`: the media type of these bytes, which are then served as a file to
    be saved. Empty: they are text, or bytes of any type.
    """
    def __init__(self, code: _Optional[int] = ..., location: _Optional[str] = ..., media_type: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    """Limits of a field's value in requests. A value that is not set is not checked: see `google.api.field_behavior`."""
    __slots__ = ("minimum", "maximum", "max_length", "max_items")
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_ITEMS_FIELD_NUMBER: _ClassVar[int]
    minimum: int
    """The smallest allowed value of a number."""
    maximum: int
    """The largest allowed value of a number."""
    max_length: int
    """The largest allowed number of characters of a string."""
    max_items: int
    """The largest allowed number of elements of a list or a map."""
    def __init__(self, minimum: _Optional[int] = ..., maximum: _Optional[int] = ..., max_length: _Optional[int] = ..., max_items: _Optional[int] = ...) -> None: ...
