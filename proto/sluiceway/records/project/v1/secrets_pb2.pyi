import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.project.v1 import variable_service_pb2 as _variable_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Secret(_message.Message):
    """A secret. Its values are in a `SecretVersion`."""
    __slots__ = ("name", "parent_id", "keys", "version", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    """Unique among the secrets of the same parent, without regard to case."""
    parent_id: str
    """The id of the user, organization, project group or project that it belongs to."""
    keys: _containers.RepeatedScalarFieldContainer[str]
    """The keys of the values of the present version, sorted."""
    version: int
    """The present version, from 1."""
    create_time: _timestamp_pb2.Timestamp
    """When it was created."""
    def __init__(self, name: _Optional[str] = ..., parent_id: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SecretVersion(_message.Message):
    """The values of one version of a secret. Its id is `<secret id>/<version>`."""
    __slots__ = ("secret_id", "encrypted_values", "replace_time")
    SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_VALUES_FIELD_NUMBER: _ClassVar[int]
    REPLACE_TIME_FIELD_NUMBER: _ClassVar[int]
    secret_id: str
    """The id of the secret."""
    encrypted_values: bytes
    """A `SecretValues`, encrypted (`SealedValue`)."""
    replace_time: _timestamp_pb2.Timestamp
    """When a newer version replaced it. Not set: it is the present one."""
    def __init__(self, secret_id: _Optional[str] = ..., encrypted_values: _Optional[bytes] = ..., replace_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SecretValues(_message.Message):
    """The values of a version of a secret. It is stored encrypted only."""
    __slots__ = ("values",)
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.ScalarMap[str, bytes]
    """The values, by key."""
    def __init__(self, values: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class Variable(_message.Message):
    """A variable."""
    __slots__ = ("name", "parent_id", "values", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    """Unique among the variables of the same parent, without regard to case."""
    parent_id: str
    """The id of the user, organization, project group or project that it belongs to."""
    values: _containers.RepeatedCompositeFieldContainer[_variable_service_pb2.VariableValue]
    """The values, in order."""
    create_time: _timestamp_pb2.Timestamp
    """When it was created."""
    def __init__(self, name: _Optional[str] = ..., parent_id: _Optional[str] = ..., values: _Optional[_Iterable[_Union[_variable_service_pb2.VariableValue, _Mapping]]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
