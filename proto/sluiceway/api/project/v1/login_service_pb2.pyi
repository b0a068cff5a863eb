import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.project.v1 import linked_account_service_pb2 as _linked_account_service_pb2
from sluiceway.api.project.v1 import user_service_pb2 as _user_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeviceLogin(_message.Message):
    """The login of a program that waits to be confirmed."""
    __slots__ = ("user_code", "client_name", "address", "create_time")
    USER_CODE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    user_code: str
    """What the person compares."""
    client_name: str
    """What the program says of itself."""
    address: str
    """The network address that it called from."""
    create_time: _timestamp_pb2.Timestamp
    """When it began."""
    def __init__(self, user_code: _Optional[str] = ..., client_name: _Optional[str] = ..., address: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LoginSource(_message.Message):
    """A remote source that users log in with."""
    __slots__ = ("id", "name", "type")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The remote source's id."""
    name: str
    """The remote source's name."""
    type: str
    """The kind of the provider: `gitea`, `github` or `gitlab`."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class Authorization(_message.Message):
    """An authorization that was begun."""
    __slots__ = ("url", "flow", "state", "redirect_uri")
    URL_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REDIRECT_URI_FIELD_NUMBER: _ClassVar[int]
    url: str
    """The URL at the provider where the person authorizes Sluiceway, or does not."""
    flow: str
    """What only the browser that began may keep: `CompleteAuthorization` needs it. Encrypted."""
    state: str
    """The state that the provider sends back."""
    redirect_uri: str
    """Where the provider sends the browser to."""
    def __init__(self, url: _Optional[str] = ..., flow: _Optional[str] = ..., state: _Optional[str] = ..., redirect_uri: _Optional[str] = ...) -> None: ...

class ListLoginSourcesRequest(_message.Message):
    """The request of `ListLoginSources`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ListLoginSourcesResponse(_message.Message):
    """The response of `ListLoginSources`."""
    __slots__ = ("login_sources", "has_passwords")
    LOGIN_SOURCES_FIELD_NUMBER: _ClassVar[int]
    HAS_PASSWORDS_FIELD_NUMBER: _ClassVar[int]
    login_sources: _containers.RepeatedCompositeFieldContainer[LoginSource]
    """The remote sources, by name."""
    has_passwords: bool
    """Whether any user of the installation can log in with a password."""
    def __init__(self, login_sources: _Optional[_Iterable[_Union[LoginSource, _Mapping]]] = ..., has_passwords: _Optional[bool] = ...) -> None: ...

class BeginLoginRequest(_message.Message):
    """The request of `BeginLogin`."""
    __slots__ = ("remote_source_id",)
    REMOTE_SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    remote_source_id: str
    """The remote source's id or name."""
    def __init__(self, remote_source_id: _Optional[str] = ...) -> None: ...

class BeginLoginResponse(_message.Message):
    """The response of `BeginLogin`."""
    __slots__ = ("authorization",)
    AUTHORIZATION_FIELD_NUMBER: _ClassVar[int]
    authorization: Authorization
    """The authorization."""
    def __init__(self, authorization: _Optional[_Union[Authorization, _Mapping]] = ...) -> None: ...

class BeginLinkRequest(_message.Message):
    """The request of `BeginLink`."""
    __slots__ = ("remote_source_id",)
    REMOTE_SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    remote_source_id: str
    """The remote source's id or name."""
    def __init__(self, remote_source_id: _Optional[str] = ...) -> None: ...

class BeginLinkResponse(_message.Message):
    """The response of `BeginLink`."""
    __slots__ = ("authorization",)
    AUTHORIZATION_FIELD_NUMBER: _ClassVar[int]
    authorization: Authorization
    """The authorization."""
    def __init__(self, authorization: _Optional[_Union[Authorization, _Mapping]] = ...) -> None: ...

class CompleteAuthorizationRequest(_message.Message):
    """The request of `CompleteAuthorization`."""
    __slots__ = ("flow", "state", "code", "error", "error_description", "expire_time")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ERROR_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    flow: str
    """The `flow` of the authorization."""
    state: str
    """The `state` that the provider sent."""
    code: str
    """The `code` that the provider sent. Empty: it sent an error."""
    error: str
    """The `error` that the provider sent."""
    error_description: str
    """The `error_description` that the provider sent."""
    expire_time: _timestamp_pb2.Timestamp
    """Of a login: when the token expires. Not set: in a day."""
    def __init__(self, flow: _Optional[str] = ..., state: _Optional[str] = ..., code: _Optional[str] = ..., error: _Optional[str] = ..., error_description: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CompleteAuthorizationResponse(_message.Message):
    """The response of `CompleteAuthorization`."""
    __slots__ = ("token", "user", "linked_account", "registered")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    LINKED_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    token: str
    """Of a login: the token. Empty: an account was linked."""
    user: _user_service_pb2.User
    """The user."""
    linked_account: _linked_account_service_pb2.LinkedAccount
    """The linked account."""
    registered: bool
    """Whether the user was created."""
    def __init__(self, token: _Optional[str] = ..., user: _Optional[_Union[_user_service_pb2.User, _Mapping]] = ..., linked_account: _Optional[_Union[_linked_account_service_pb2.LinkedAccount, _Mapping]] = ..., registered: _Optional[bool] = ...) -> None: ...

class BeginDeviceLoginRequest(_message.Message):
    """The request of `BeginDeviceLogin`."""
    __slots__ = ("client_name",)
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    client_name: str
    """What the program says of itself, such as `sluice on laptop`."""
    def __init__(self, client_name: _Optional[str] = ...) -> None: ...

class BeginDeviceLoginResponse(_message.Message):
    """The response of `BeginDeviceLogin`."""
    __slots__ = ("device_code", "user_code", "verification_uri", "verification_uri_complete", "expire_time", "interval_seconds")
    DEVICE_CODE_FIELD_NUMBER: _ClassVar[int]
    USER_CODE_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_URI_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_URI_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    device_code: str
    """What the program keeps: `RedeemDeviceLogin` needs it."""
    user_code: str
    """What the person compares, such as `BDFG-HJKL`."""
    verification_uri: str
    """The page to open."""
    verification_uri_complete: str
    """The same page with the code in it."""
    expire_time: _timestamp_pb2.Timestamp
    """Until when the login can be confirmed."""
    interval_seconds: int
    """The seconds between two calls of `RedeemDeviceLogin`."""
    def __init__(self, device_code: _Optional[str] = ..., user_code: _Optional[str] = ..., verification_uri: _Optional[str] = ..., verification_uri_complete: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., interval_seconds: _Optional[int] = ...) -> None: ...

class GetDeviceLoginRequest(_message.Message):
    """The request of `GetDeviceLogin`."""
    __slots__ = ("user_code",)
    USER_CODE_FIELD_NUMBER: _ClassVar[int]
    user_code: str
    """The code, in any case, with or without the hyphen."""
    def __init__(self, user_code: _Optional[str] = ...) -> None: ...

class GetDeviceLoginResponse(_message.Message):
    """The response of `GetDeviceLogin`."""
    __slots__ = ("device_login",)
    DEVICE_LOGIN_FIELD_NUMBER: _ClassVar[int]
    device_login: DeviceLogin
    """The login."""
    def __init__(self, device_login: _Optional[_Union[DeviceLogin, _Mapping]] = ...) -> None: ...

class AnswerDeviceLoginRequest(_message.Message):
    """The request of `AnswerDeviceLogin`."""
    __slots__ = ("user_code", "confirmed")
    USER_CODE_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    user_code: str
    """The code, in any case, with or without the hyphen."""
    confirmed: bool
    """Whether it is confirmed; otherwise it is denied."""
    def __init__(self, user_code: _Optional[str] = ..., confirmed: _Optional[bool] = ...) -> None: ...

class AnswerDeviceLoginResponse(_message.Message):
    """The response of `AnswerDeviceLogin`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class RedeemDeviceLoginRequest(_message.Message):
    """The request of `RedeemDeviceLogin`."""
    __slots__ = ("device_code", "expire_time")
    DEVICE_CODE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    device_code: str
    """The `device_code` of the login."""
    expire_time: _timestamp_pb2.Timestamp
    """When the token expires. Not set: in a day."""
    def __init__(self, device_code: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RedeemDeviceLoginResponse(_message.Message):
    """The response of `RedeemDeviceLogin`."""
    __slots__ = ("token", "user")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    token: str
    """The token. Empty: nobody has answered yet."""
    user: _user_service_pb2.User
    """The user, if there is a token."""
    def __init__(self, token: _Optional[str] = ..., user: _Optional[_Union[_user_service_pb2.User, _Mapping]] = ...) -> None: ...

class LogOutRequest(_message.Message):
    """The request of `LogOut`."""
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    """The token to revoke."""
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class LogOutResponse(_message.Message):
    """The response of `LogOut`."""
    __slots__ = ()
    def __init__(self) -> None: ...
