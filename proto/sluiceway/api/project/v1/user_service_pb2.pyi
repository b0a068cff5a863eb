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

class User(_message.Message):
    """A user."""
    __slots__ = ("id", "name", "etag", "create_time", "operator", "disabled")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The user's id, a UUIDv7."""
    name: str
    """The user's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID."""
    etag: str
    """The version of the user. It changes with every change. In an update, the stored version must be this one."""
    create_time: _timestamp_pb2.Timestamp
    """When the user was created."""
    operator: bool
    """Whether the user may operate the installation."""
    disabled: bool
    """Whether the user can log in no more, and no token of the user is valid."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., operator: _Optional[bool] = ..., disabled: _Optional[bool] = ...) -> None: ...

class UserToken(_message.Message):
    """A token of a user, without its text."""
    __slots__ = ("id", "name", "scopes", "create_time", "expire_time", "last_use_time", "session", "operator")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The token's id: the first 16 characters of the SHA-256 of its text, in hex."""
    name: str
    """The name of the token."""
    scopes: _containers.RepeatedScalarFieldContainer[str]
    """What the token may be used for, such as `runs:read`; `*` is everything."""
    create_time: _timestamp_pb2.Timestamp
    """When the token was created."""
    expire_time: _timestamp_pb2.Timestamp
    """When the token expires. Not set: never."""
    last_use_time: _timestamp_pb2.Timestamp
    """When the token was last used, to the hour. Not set: never."""
    session: bool
    """Whether a login made it."""
    operator: bool
    """Whether it is of an operator."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_use_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., session: _Optional[bool] = ..., operator: _Optional[bool] = ...) -> None: ...

class CreateUserRequest(_message.Message):
    """The request of `CreateUser`."""
    __slots__ = ("user", "request_id")
    USER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    user: User
    """The user. Fields that only the server sets are ignored."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateUserResponse(_message.Message):
    """The response of `CreateUser`."""
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: User
    """The created user."""
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ...) -> None: ...

class GetUserRequest(_message.Message):
    """The request of `GetUser`."""
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id or name, or `me`: the caller."""
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class GetUserResponse(_message.Message):
    """The response of `GetUser`."""
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: User
    """The user."""
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ...) -> None: ...

class ListUsersRequest(_message.Message):
    """The request of `ListUsers`."""
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The largest number of users in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListUsersResponse(_message.Message):
    """The response of `ListUsers`."""
    __slots__ = ("users", "next_page_token")
    USERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[User]
    """The users, by name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, users: _Optional[_Iterable[_Union[User, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateUserRequest(_message.Message):
    """The request of `UpdateUser`."""
    __slots__ = ("user", "update_mask")
    USER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    user: User
    """The new values. The `id` says which user is changed."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Empty: all fields that are set."""
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateUserResponse(_message.Message):
    """The response of `UpdateUser`."""
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: User
    """The changed user."""
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ...) -> None: ...

class DeleteUserRequest(_message.Message):
    """The request of `DeleteUser`."""
    __slots__ = ("user_id", "etag")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id or name."""
    etag: str
    """The version that must be the stored one. Empty: not checked."""
    def __init__(self, user_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteUserResponse(_message.Message):
    """The response of `DeleteUser`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateUserTokenRequest(_message.Message):
    """The request of `CreateUserToken`."""
    __slots__ = ("user_id", "token_name", "scopes", "expire_time")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id or name, or `me`: the caller."""
    token_name: str
    """The name of the token, unique among those of the user."""
    scopes: _containers.RepeatedScalarFieldContainer[str]
    """The scopes of the token, such as `runs:read`. Empty: all that the user has."""
    expire_time: _timestamp_pb2.Timestamp
    """When the token expires. Not set: never, or when the token of the call does."""
    def __init__(self, user_id: _Optional[str] = ..., token_name: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateUserTokenResponse(_message.Message):
    """The response of `CreateUserToken`."""
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    """The token."""
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ListUserTokensRequest(_message.Message):
    """The request of `ListUserTokens`."""
    __slots__ = ("user_id", "page_size", "page_token")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id or name."""
    page_size: int
    """The largest number of tokens in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, user_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListUserTokensResponse(_message.Message):
    """The response of `ListUserTokens`."""
    __slots__ = ("tokens", "next_page_token")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[UserToken]
    """The tokens. A page may have fewer than `page_size` and not be the last one."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, tokens: _Optional[_Iterable[_Union[UserToken, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RevokeUserTokenRequest(_message.Message):
    """The request of `RevokeUserToken`."""
    __slots__ = ("user_id", "token_name")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_NAME_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id or name, or `me`: the caller."""
    token_name: str
    """The name of the token, unique among those of the user."""
    def __init__(self, user_id: _Optional[str] = ..., token_name: _Optional[str] = ...) -> None: ...

class RevokeUserTokenResponse(_message.Message):
    """The response of `RevokeUserToken`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class SetUserPasswordRequest(_message.Message):
    """The request of `SetUserPassword`."""
    __slots__ = ("user_id", "password", "current_password", "keep_tokens")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    CURRENT_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    KEEP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id or name, or `me`."""
    password: str
    """The new password."""
    current_password: str
    """The current password. Operators need not give it."""
    keep_tokens: bool
    """Whether tokens that no login made stay valid."""
    def __init__(self, user_id: _Optional[str] = ..., password: _Optional[str] = ..., current_password: _Optional[str] = ..., keep_tokens: _Optional[bool] = ...) -> None: ...

class SetUserPasswordResponse(_message.Message):
    """The response of `SetUserPassword`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class LogInRequest(_message.Message):
    """The request of `LogIn`."""
    __slots__ = ("user_name", "password", "expire_time")
    USER_NAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    user_name: str
    """The user's name."""
    password: str
    """The user's password."""
    expire_time: _timestamp_pb2.Timestamp
    """When the token expires. Not set: in a day."""
    def __init__(self, user_name: _Optional[str] = ..., password: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LogInResponse(_message.Message):
    """The response of `LogIn`."""
    __slots__ = ("token", "user")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    token: str
    """The token."""
    user: User
    """The user."""
    def __init__(self, token: _Optional[str] = ..., user: _Optional[_Union[User, _Mapping]] = ...) -> None: ...

class BeginSessionRequest(_message.Message):
    """The request of `BeginSession`."""
    __slots__ = ("expire_time",)
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    expire_time: _timestamp_pb2.Timestamp
    """When the token expires. Not set: in a day."""
    def __init__(self, expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BeginSessionResponse(_message.Message):
    """The response of `BeginSession`."""
    __slots__ = ("token", "expire_time")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    token: str
    """The token."""
    expire_time: _timestamp_pb2.Timestamp
    """When it expires."""
    def __init__(self, token: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
