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

class RemoteSource(_message.Message):
    """A remote source."""
    __slots__ = ("id", "name", "etag", "create_time", "type", "api_url", "oauth2_client_id", "oauth2_client_secret", "ssh_host_key", "login_allowed", "registration_allowed")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    API_URL_FIELD_NUMBER: _ClassVar[int]
    OAUTH2_CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    OAUTH2_CLIENT_SECRET_FIELD_NUMBER: _ClassVar[int]
    SSH_HOST_KEY_FIELD_NUMBER: _ClassVar[int]
    LOGIN_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The remote source's id, a UUIDv7."""
    name: str
    """The remote source's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID."""
    etag: str
    """The version of the remote source. It changes with every change. In an update, the stored version must be this one."""
    create_time: _timestamp_pb2.Timestamp
    """When the remote source was created."""
    type: str
    """The kind of the provider: `gitea`, `github` or `gitlab`."""
    api_url: str
    """The URL of the provider's API."""
    oauth2_client_id: str
    """The client id of this installation at the provider (OAuth 2)."""
    oauth2_client_secret: str
    """The client secret of this installation at the provider (OAuth 2). Only in requests."""
    ssh_host_key: str
    """The SSH host key of the provider: a line of known_hosts, or the type and the base64 of the key. Private
    repositories are cloned over SSH, from a host with this key only.
    """
    login_allowed: bool
    """Whether users log in with their account there (OAuth 2). Needs the client id."""
    registration_allowed: bool
    """Whether a login with an account there that no user has linked creates a user. Needs `login_allowed`."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., type: _Optional[str] = ..., api_url: _Optional[str] = ..., oauth2_client_id: _Optional[str] = ..., oauth2_client_secret: _Optional[str] = ..., ssh_host_key: _Optional[str] = ..., login_allowed: _Optional[bool] = ..., registration_allowed: _Optional[bool] = ...) -> None: ...

class CreateRemoteSourceRequest(_message.Message):
    """The request of `CreateRemoteSource`."""
    __slots__ = ("remote_source", "request_id")
    REMOTE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    remote_source: RemoteSource
    """The remote source. Fields that only the server sets are ignored."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, remote_source: _Optional[_Union[RemoteSource, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateRemoteSourceResponse(_message.Message):
    """The response of `CreateRemoteSource`."""
    __slots__ = ("remote_source",)
    REMOTE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    remote_source: RemoteSource
    """The created remote source."""
    def __init__(self, remote_source: _Optional[_Union[RemoteSource, _Mapping]] = ...) -> None: ...

class GetRemoteSourceRequest(_message.Message):
    """The request of `GetRemoteSource`."""
    __slots__ = ("remote_source_id",)
    REMOTE_SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    remote_source_id: str
    """The remote source's id or name."""
    def __init__(self, remote_source_id: _Optional[str] = ...) -> None: ...

class GetRemoteSourceResponse(_message.Message):
    """The response of `GetRemoteSource`."""
    __slots__ = ("remote_source",)
    REMOTE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    remote_source: RemoteSource
    """The remote source."""
    def __init__(self, remote_source: _Optional[_Union[RemoteSource, _Mapping]] = ...) -> None: ...

class ListRemoteSourcesRequest(_message.Message):
    """The request of `ListRemoteSources`."""
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The largest number of remote sources in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRemoteSourcesResponse(_message.Message):
    """The response of `ListRemoteSources`."""
    __slots__ = ("remote_sources", "next_page_token")
    REMOTE_SOURCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    remote_sources: _containers.RepeatedCompositeFieldContainer[RemoteSource]
    """The remote sources, by name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, remote_sources: _Optional[_Iterable[_Union[RemoteSource, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateRemoteSourceRequest(_message.Message):
    """The request of `UpdateRemoteSource`."""
    __slots__ = ("remote_source", "update_mask")
    REMOTE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    remote_source: RemoteSource
    """The new values. The `id` says which remote source is changed."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Empty: all fields that are set."""
    def __init__(self, remote_source: _Optional[_Union[RemoteSource, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateRemoteSourceResponse(_message.Message):
    """The response of `UpdateRemoteSource`."""
    __slots__ = ("remote_source",)
    REMOTE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    remote_source: RemoteSource
    """The changed remote source."""
    def __init__(self, remote_source: _Optional[_Union[RemoteSource, _Mapping]] = ...) -> None: ...

class DeleteRemoteSourceRequest(_message.Message):
    """The request of `DeleteRemoteSource`."""
    __slots__ = ("remote_source_id", "etag")
    REMOTE_SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    remote_source_id: str
    """The remote source's id or name."""
    etag: str
    """The version that must be the stored one. Empty: not checked."""
    def __init__(self, remote_source_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteRemoteSourceResponse(_message.Message):
    """The response of `DeleteRemoteSource`."""
    __slots__ = ()
    def __init__(self) -> None: ...
