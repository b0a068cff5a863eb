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

class Secret(_message.Message):
    """A secret."""
    __slots__ = ("id", "name", "etag", "create_time", "parent_id", "values", "keys", "version")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The secret's id, a UUIDv7."""
    name: str
    """The secret's name: 1 to 40 letters, digits and single inner hyphens or underscores. Starts with a letter. Not a
    UUID.
    """
    etag: str
    """The version of the secret. It changes with every change. In an update, the stored version must be this one."""
    create_time: _timestamp_pb2.Timestamp
    """When the secret was created."""
    parent_id: str
    """The organization, user, project group or project that it belongs to: its id, or in requests also its path. It cannot
    be changed.
    """
    values: _containers.ScalarMap[str, bytes]
    """The values by key: UTF-8 without NUL, each of 4 bytes to 48 KiB, at most 100 and 128 KiB together. A key is 1 to 100
    letters, digits, `_`, `.` and `-`. Only in requests.
    """
    keys: _containers.RepeatedScalarFieldContainer[str]
    """The keys of the values, sorted."""
    version: int
    """The version of the values. It grows with every change of them."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent_id: _Optional[str] = ..., values: _Optional[_Mapping[str, bytes]] = ..., keys: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ...) -> None: ...

class CreateSecretRequest(_message.Message):
    """The request of `CreateSecret`."""
    __slots__ = ("secret", "request_id")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    secret: Secret
    """The secret. Fields that only the server sets are ignored."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, secret: _Optional[_Union[Secret, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateSecretResponse(_message.Message):
    """The response of `CreateSecret`."""
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: Secret
    """The created secret."""
    def __init__(self, secret: _Optional[_Union[Secret, _Mapping]] = ...) -> None: ...

class GetSecretRequest(_message.Message):
    """The request of `GetSecret`."""
    __slots__ = ("secret_id",)
    SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    secret_id: str
    """The secret's id or path."""
    def __init__(self, secret_id: _Optional[str] = ...) -> None: ...

class GetSecretResponse(_message.Message):
    """The response of `GetSecret`."""
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: Secret
    """The secret."""
    def __init__(self, secret: _Optional[_Union[Secret, _Mapping]] = ...) -> None: ...

class ListSecretsRequest(_message.Message):
    """The request of `ListSecrets`."""
    __slots__ = ("page_size", "page_token", "parent_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The largest number of secrets in the response. There may be fewer, even if there are more pages. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    parent_id: str
    """Only secrets that belong to this parent itself: its id or path. Empty: all."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class ListSecretsResponse(_message.Message):
    """The response of `ListSecrets`."""
    __slots__ = ("secrets", "next_page_token")
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    secrets: _containers.RepeatedCompositeFieldContainer[Secret]
    """The secrets, by name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, secrets: _Optional[_Iterable[_Union[Secret, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateSecretRequest(_message.Message):
    """The request of `UpdateSecret`."""
    __slots__ = ("secret", "update_mask", "set_values", "delete_keys")
    class SetValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    SECRET_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    SET_VALUES_FIELD_NUMBER: _ClassVar[int]
    DELETE_KEYS_FIELD_NUMBER: _ClassVar[int]
    secret: Secret
    """The new fields. The `id` says which secret is changed: its id or its path. Its `values`, if the mask names them, are
    all values from then on.
    """
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change: `name` and `values`. Empty: those that are set."""
    set_values: _containers.ScalarMap[str, bytes]
    """Values to add or replace, by key. The other values stay. Not together with `secret.values`."""
    delete_keys: _containers.RepeatedScalarFieldContainer[str]
    """The keys of values to delete. Those that do not exist are ignored. Not together with `secret.values`."""
    def __init__(self, secret: _Optional[_Union[Secret, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., set_values: _Optional[_Mapping[str, bytes]] = ..., delete_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class UpdateSecretResponse(_message.Message):
    """The response of `UpdateSecret`."""
    __slots__ = ("secret",)
    SECRET_FIELD_NUMBER: _ClassVar[int]
    secret: Secret
    """The changed secret."""
    def __init__(self, secret: _Optional[_Union[Secret, _Mapping]] = ...) -> None: ...

class DeleteSecretRequest(_message.Message):
    """The request of `DeleteSecret`."""
    __slots__ = ("secret_id", "etag")
    SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    secret_id: str
    """The secret's id or path."""
    etag: str
    """The version that must be the stored one. Empty: not checked."""
    def __init__(self, secret_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteSecretResponse(_message.Message):
    """The response of `DeleteSecret`."""
    __slots__ = ()
    def __init__(self) -> None: ...
