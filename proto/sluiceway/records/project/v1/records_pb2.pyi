import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TokenKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """What a token's holder is."""
    __slots__ = ()
    TOKEN_KIND_UNSPECIFIED: _ClassVar[TokenKind]
    """Not given; such a token opens nothing."""
    TOKEN_KIND_USER: _ClassVar[TokenKind]
    """A person, or a program of theirs."""
    TOKEN_KIND_OPERATOR: _ClassVar[TokenKind]
    """Whoever runs the installation."""
    TOKEN_KIND_EXECUTOR: _ClassVar[TokenKind]
    """The executors of one group."""
TOKEN_KIND_UNSPECIFIED: TokenKind
TOKEN_KIND_USER: TokenKind
TOKEN_KIND_OPERATOR: TokenKind
TOKEN_KIND_EXECUTOR: TokenKind

class Token(_message.Message):
    """A token. Its id is the SHA-256 of the token's text, in hex: the text itself is kept nowhere."""
    __slots__ = ("kind", "name", "user_id", "group", "organization_id", "scopes", "create_time", "expire_time", "revoke_time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVOKE_TIME_FIELD_NUMBER: _ClassVar[int]
    kind: TokenKind
    """What its holder is."""
    name: str
    """What people call it, unique for nobody."""
    user_id: str
    """The user who acts with it. Empty for executors."""
    group: str
    """Of executors: their group."""
    organization_id: str
    """The only organisation that it reaches. Empty: all that its user reaches."""
    scopes: _containers.RepeatedScalarFieldContainer[str]
    """What it may do, such as `runs:read`; `*` is everything."""
    create_time: _timestamp_pb2.Timestamp
    """When it was made."""
    expire_time: _timestamp_pb2.Timestamp
    """From when on it is refused. Unset: never."""
    revoke_time: _timestamp_pb2.Timestamp
    """When it was revoked. Unset: it was not."""
    def __init__(self, kind: _Optional[_Union[TokenKind, str]] = ..., name: _Optional[str] = ..., user_id: _Optional[str] = ..., group: _Optional[str] = ..., organization_id: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoke_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class FirstTokens(_message.Message):
    """That the first tokens of the database were made; there is one, `first`. It is written once, with these tokens."""
    __slots__ = ("place", "create_time")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    place: str
    """The server's host and the folder with the token files, for people."""
    create_time: _timestamp_pb2.Timestamp
    """When."""
    def __init__(self, place: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
