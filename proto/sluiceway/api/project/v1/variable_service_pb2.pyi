import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Variable(_message.Message):
    """A variable."""
    __slots__ = ("id", "name", "etag", "create_time", "parent_id", "values")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The variable's id, a UUIDv7."""
    name: str
    """The variable's name: 1 to 40 letters, digits and single inner hyphens or underscores. Starts with a letter. Not a
    UUID.
    """
    etag: str
    """The version of the variable. It changes with every change. In an update, the stored version must be this one."""
    create_time: _timestamp_pb2.Timestamp
    """When the variable was created."""
    parent_id: str
    """The organization, user, project group or project that it belongs to: its id, or in requests also its path. It cannot
    be changed.
    """
    values: _containers.RepeatedCompositeFieldContainer[VariableValue]
    """The values, in order. The first one whose `when` matches is used."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent_id: _Optional[str] = ..., values: _Optional[_Iterable[_Union[VariableValue, _Mapping]]] = ...) -> None: ...

class CreateVariableRequest(_message.Message):
    """The request of `CreateVariable`."""
    __slots__ = ("variable", "request_id")
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    variable: Variable
    """The variable. Fields that only the server sets are ignored."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, variable: _Optional[_Union[Variable, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateVariableResponse(_message.Message):
    """The response of `CreateVariable`."""
    __slots__ = ("variable",)
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    variable: Variable
    """The created variable."""
    def __init__(self, variable: _Optional[_Union[Variable, _Mapping]] = ...) -> None: ...

class GetVariableRequest(_message.Message):
    """The request of `GetVariable`."""
    __slots__ = ("variable_id",)
    VARIABLE_ID_FIELD_NUMBER: _ClassVar[int]
    variable_id: str
    """The variable's id or path."""
    def __init__(self, variable_id: _Optional[str] = ...) -> None: ...

class GetVariableResponse(_message.Message):
    """The response of `GetVariable`."""
    __slots__ = ("variable",)
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    variable: Variable
    """The variable."""
    def __init__(self, variable: _Optional[_Union[Variable, _Mapping]] = ...) -> None: ...

class ListVariablesRequest(_message.Message):
    """The request of `ListVariables`."""
    __slots__ = ("page_size", "page_token", "parent_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The largest number of variables in the response. There may be fewer, even if there are more pages. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    parent_id: str
    """Only variables that belong to this parent itself: its id or path. Empty: all."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class ListVariablesResponse(_message.Message):
    """The response of `ListVariables`."""
    __slots__ = ("variables", "next_page_token")
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    variables: _containers.RepeatedCompositeFieldContainer[Variable]
    """The variables, by name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, variables: _Optional[_Iterable[_Union[Variable, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateVariableRequest(_message.Message):
    """The request of `UpdateVariable`."""
    __slots__ = ("variable", "update_mask")
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    variable: Variable
    """The new fields. The `id` says which variable is changed: its id or its path."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change: `name` and `values`. Empty: those that are set."""
    def __init__(self, variable: _Optional[_Union[Variable, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateVariableResponse(_message.Message):
    """The response of `UpdateVariable`."""
    __slots__ = ("variable",)
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    variable: Variable
    """The changed variable."""
    def __init__(self, variable: _Optional[_Union[Variable, _Mapping]] = ...) -> None: ...

class DeleteVariableRequest(_message.Message):
    """The request of `DeleteVariable`."""
    __slots__ = ("variable_id", "etag")
    VARIABLE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    variable_id: str
    """The variable's id or path."""
    etag: str
    """The version that must be the stored one. Empty: not checked."""
    def __init__(self, variable_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteVariableResponse(_message.Message):
    """The response of `DeleteVariable`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class WhenRule(_message.Message):
    """A rule about names. A name matches if `include` has it and `exclude` does not."""
    __slots__ = ("include", "exclude")
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    include: _containers.RepeatedScalarFieldContainer[str]
    """Names that match: exact, or a regular expression (RE2) between slashes. Empty: all names."""
    exclude: _containers.RepeatedScalarFieldContainer[str]
    """Names that do not match: exact, or a regular expression (RE2) between slashes."""
    def __init__(self, include: _Optional[_Iterable[str]] = ..., exclude: _Optional[_Iterable[str]] = ...) -> None: ...

class VariableWhen(_message.Message):
    """A condition under which a value is used (run-config.md, `when`)."""
    __slots__ = ("branch", "tag", "ref")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    branch: WhenRule
    """The rule about the branch."""
    tag: WhenRule
    """The rule about the tag."""
    ref: WhenRule
    """The rule about the full ref."""
    def __init__(self, branch: _Optional[_Union[WhenRule, _Mapping]] = ..., tag: _Optional[_Union[WhenRule, _Mapping]] = ..., ref: _Optional[_Union[WhenRule, _Mapping]] = ...) -> None: ...

class VariableValue(_message.Message):
    """A value of a variable: a value of a secret, and when it is used."""
    __slots__ = ("secret_name", "key", "when")
    SECRET_NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    secret_name: str
    """The name of a secret of the variable's parent, or of an ancestor of it."""
    key: str
    """The key of the value in the secret."""
    when: VariableWhen
    """When the value is used. Not set: always."""
    def __init__(self, secret_name: _Optional[str] = ..., key: _Optional[str] = ..., when: _Optional[_Union[VariableWhen, _Mapping]] = ...) -> None: ...
