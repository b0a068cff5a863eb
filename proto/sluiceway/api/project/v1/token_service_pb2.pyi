import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TokenKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """What the holder of a token is."""
    __slots__ = ()
    TOKEN_KIND_UNSPECIFIED: _ClassVar[TokenKind]
    """Not set."""
    TOKEN_KIND_USER: _ClassVar[TokenKind]
    """A user, or a program of a user."""
    TOKEN_KIND_OPERATOR: _ClassVar[TokenKind]
    """An operator of the installation."""
    TOKEN_KIND_EXECUTOR: _ClassVar[TokenKind]
    """The executors of one group."""
TOKEN_KIND_UNSPECIFIED: TokenKind
TOKEN_KIND_USER: TokenKind
TOKEN_KIND_OPERATOR: TokenKind
TOKEN_KIND_EXECUTOR: TokenKind

class Token(_message.Message):
    """A token, without its text."""
    __slots__ = ("id", "kind", "name", "user_id", "group", "scopes", "create_time", "expire_time", "revoke_time", "last_use_time", "session")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVOKE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The token's id: the first 16 characters of the SHA-256 of its text, in hex."""
    kind: TokenKind
    """What its holder is."""
    name: str
    """What people call the token. Unique among the valid tokens of its kind."""
    user_id: str
    """The user who acts with the token. Empty when it is created: the caller. Not for executors."""
    group: str
    """The group of the executors. Required for executors, and for nobody else."""
    scopes: _containers.RepeatedScalarFieldContainer[str]
    """What the token may be used for, such as `runs:read`; `*` is everything. Empty when it is created: everything. Not
    for executors.
    """
    create_time: _timestamp_pb2.Timestamp
    """When the token was created."""
    expire_time: _timestamp_pb2.Timestamp
    """When the token expires. Not set: never. Not set when it is created: when the token of the call does."""
    revoke_time: _timestamp_pb2.Timestamp
    """When the token was revoked. Not set: it was not."""
    last_use_time: _timestamp_pb2.Timestamp
    """When the token was last used, to the hour. Not set: never."""
    session: bool
    """Whether a login made it."""
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[TokenKind, str]] = ..., name: _Optional[str] = ..., user_id: _Optional[str] = ..., group: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoke_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_use_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., session: _Optional[bool] = ...) -> None: ...

class CreateTokenRequest(_message.Message):
    """The request of `CreateToken`."""
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: Token
    """The token. Fields that only the server sets are ignored."""
    def __init__(self, token: _Optional[_Union[Token, _Mapping]] = ...) -> None: ...

class CreateTokenResponse(_message.Message):
    """The response of `CreateToken`."""
    __slots__ = ("token", "text")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    token: Token
    """The token."""
    text: str
    """Its text. Keep it: it is not stored."""
    def __init__(self, token: _Optional[_Union[Token, _Mapping]] = ..., text: _Optional[str] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    """The request of `ListTokens`."""
    __slots__ = ("kind", "page_size", "page_token")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    kind: TokenKind
    """Only tokens of this kind. Not set: all."""
    page_size: int
    """The largest number of tokens in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, kind: _Optional[_Union[TokenKind, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTokensResponse(_message.Message):
    """The response of `ListTokens`."""
    __slots__ = ("tokens", "next_page_token")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    """The tokens."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RevokeTokenRequest(_message.Message):
    """The request of `RevokeToken`."""
    __slots__ = ("token_id",)
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    token_id: str
    """The token's id, or the beginning of it if that is unique."""
    def __init__(self, token_id: _Optional[str] = ...) -> None: ...

class RevokeTokenResponse(_message.Message):
    """The response of `RevokeToken`."""
    __slots__ = ()
    def __init__(self) -> None: ...
