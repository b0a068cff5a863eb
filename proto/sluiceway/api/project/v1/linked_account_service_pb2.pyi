import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LinkedAccount(_message.Message):
    """An account of a user at a remote source."""
    __slots__ = ("id", "remote_source_id", "access_token", "remote_user_id", "remote_name", "create_time", "problem", "authorized", "project_paths", "other_projects")
    ID_FIELD_NUMBER: _ClassVar[int]
    REMOTE_SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REMOTE_USER_ID_FIELD_NUMBER: _ClassVar[int]
    REMOTE_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZED_FIELD_NUMBER: _ClassVar[int]
    PROJECT_PATHS_FIELD_NUMBER: _ClassVar[int]
    OTHER_PROJECTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The id of the linked account, a UUIDv7."""
    remote_source_id: str
    """The id or name of the remote source. In responses, the id."""
    access_token: str
    """An access token of the account, made at the provider. Only in requests."""
    remote_user_id: str
    """The id of the account at the provider. It stays when the account is renamed."""
    remote_name: str
    """The name of the account at the provider when it was linked."""
    create_time: _timestamp_pb2.Timestamp
    """When it was linked."""
    problem: str
    """Why the server cannot act with the account, and what to do. Empty: nothing is known that would prevent it."""
    authorized: bool
    """Whether the account was authorized at the provider (OAuth 2). Otherwise its access token was made by hand."""
    project_paths: _containers.RepeatedScalarFieldContainer[str]
    """The paths of the projects whose repository the server reaches with the account, the first 100 that the caller may
    see. Set by `ListLinkedAccounts` only.
    """
    other_projects: int
    """How many more projects there are. Set by `ListLinkedAccounts` only."""
    def __init__(self, id: _Optional[str] = ..., remote_source_id: _Optional[str] = ..., access_token: _Optional[str] = ..., remote_user_id: _Optional[str] = ..., remote_name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., problem: _Optional[str] = ..., authorized: _Optional[bool] = ..., project_paths: _Optional[_Iterable[str]] = ..., other_projects: _Optional[int] = ...) -> None: ...

class CreateLinkedAccountRequest(_message.Message):
    """The request of `CreateLinkedAccount`."""
    __slots__ = ("user_id", "linked_account")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LINKED_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id or name, or `me`."""
    linked_account: LinkedAccount
    """The linked account. Fields that only the server sets are ignored."""
    def __init__(self, user_id: _Optional[str] = ..., linked_account: _Optional[_Union[LinkedAccount, _Mapping]] = ...) -> None: ...

class CreateLinkedAccountResponse(_message.Message):
    """The response of `CreateLinkedAccount`."""
    __slots__ = ("linked_account",)
    LINKED_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    linked_account: LinkedAccount
    """The linked account."""
    def __init__(self, linked_account: _Optional[_Union[LinkedAccount, _Mapping]] = ...) -> None: ...

class ListLinkedAccountsRequest(_message.Message):
    """The request of `ListLinkedAccounts`."""
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id or name, or `me`."""
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class ListLinkedAccountsResponse(_message.Message):
    """The response of `ListLinkedAccounts`."""
    __slots__ = ("linked_accounts",)
    LINKED_ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    linked_accounts: _containers.RepeatedCompositeFieldContainer[LinkedAccount]
    """The linked accounts, by remote source."""
    def __init__(self, linked_accounts: _Optional[_Iterable[_Union[LinkedAccount, _Mapping]]] = ...) -> None: ...

class DeleteLinkedAccountRequest(_message.Message):
    """The request of `DeleteLinkedAccount`."""
    __slots__ = ("user_id", "linked_account_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    LINKED_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id or name, or `me`."""
    linked_account_id: str
    """The id of the linked account, or the id or name of its remote source."""
    def __init__(self, user_id: _Optional[str] = ..., linked_account_id: _Optional[str] = ...) -> None: ...

class DeleteLinkedAccountResponse(_message.Message):
    """The response of `DeleteLinkedAccount`."""
    __slots__ = ()
    def __init__(self) -> None: ...
