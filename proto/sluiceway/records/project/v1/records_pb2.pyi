import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.project.v1 import organization_service_pb2 as _organization_service_pb2
from sluiceway.api.project.v1 import project_service_pb2 as _project_service_pb2
from sluiceway.api.project.v1 import visibility_pb2 as _visibility_pb2
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
    __slots__ = ("kind", "name", "user_id", "group", "organization_id", "scopes", "create_time", "expire_time", "revoke_time", "is_session", "parent_id", "parent_expire_time", "last_use_time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVOKE_TIME_FIELD_NUMBER: _ClassVar[int]
    IS_SESSION_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
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
    is_session: bool
    """Whether a login made it: it can be revoked with itself."""
    parent_id: str
    """Of a session that was begun with another token: the id of that one, without which it is not valid. Empty: none."""
    parent_expire_time: _timestamp_pb2.Timestamp
    """When that one expires. Unset: never."""
    last_use_time: _timestamp_pb2.Timestamp
    """When it was last used, to the hour. Unset: never."""
    def __init__(self, kind: _Optional[_Union[TokenKind, str]] = ..., name: _Optional[str] = ..., user_id: _Optional[str] = ..., group: _Optional[str] = ..., organization_id: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoke_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_session: _Optional[bool] = ..., parent_id: _Optional[str] = ..., parent_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_use_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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

class User(_message.Message):
    """A user: the root of a tree of projects."""
    __slots__ = ("name", "operator", "password_hash", "create_time", "disabled")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_HASH_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    name: str
    """Unique among users, without regard to case."""
    operator: bool
    """Whether the user may operate the installation."""
    password_hash: str
    """The Argon2id hash of the password, in PHC format. Empty: no password; the user has tokens only."""
    create_time: _timestamp_pb2.Timestamp
    """When the user was created."""
    disabled: bool
    """Whether no login and no token of the user is valid."""
    def __init__(self, name: _Optional[str] = ..., operator: _Optional[bool] = ..., password_hash: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., disabled: _Optional[bool] = ...) -> None: ...

class Organization(_message.Message):
    """An organization: the root of a tree of projects."""
    __slots__ = ("name", "visibility", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    """Unique among organizations, without regard to case."""
    visibility: _visibility_pb2.Visibility
    """Who may see it."""
    create_time: _timestamp_pb2.Timestamp
    """When it was created."""
    def __init__(self, name: _Optional[str] = ..., visibility: _Optional[_Union[_visibility_pb2.Visibility, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class OrganizationMember(_message.Message):
    """The role of a user in an organization. Its id is `<organization id>/<user id>`."""
    __slots__ = ("organization_id", "user_id", "role", "create_time")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The id of the organization."""
    user_id: str
    """The id of the user."""
    role: _organization_service_pb2.OrganizationRole
    """The role."""
    create_time: _timestamp_pb2.Timestamp
    """When the user became a member."""
    def __init__(self, organization_id: _Optional[str] = ..., user_id: _Optional[str] = ..., role: _Optional[_Union[_organization_service_pb2.OrganizationRole, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Invitation(_message.Message):
    """An invitation to an organization. It is deleted when it is accepted or declined."""
    __slots__ = ("organization_id", "role", "user_id", "code_digest", "created_by", "create_time", "expire_time")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The id of the organization."""
    role: _organization_service_pb2.OrganizationRole
    """The role that it gives."""
    user_id: str
    """The id of the user who is invited. Empty: whoever has the code."""
    code_digest: str
    """The SHA-256 of the code, in hex. Empty: it has none."""
    created_by: str
    """The id of the user who made it."""
    create_time: _timestamp_pb2.Timestamp
    """When it was made."""
    expire_time: _timestamp_pb2.Timestamp
    """From when on it is refused."""
    def __init__(self, organization_id: _Optional[str] = ..., role: _Optional[_Union[_organization_service_pb2.OrganizationRole, str]] = ..., user_id: _Optional[str] = ..., code_digest: _Optional[str] = ..., created_by: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ProjectGroup(_message.Message):
    """A project group."""
    __slots__ = ("name", "parent_id", "visibility", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    """Unique among the project groups and projects of the same parent, without regard to case."""
    parent_id: str
    """The id of the user, organization or project group that it belongs to."""
    visibility: _visibility_pb2.Visibility
    """Who may see it, unless an ancestor is private."""
    create_time: _timestamp_pb2.Timestamp
    """When it was created."""
    def __init__(self, name: _Optional[str] = ..., parent_id: _Optional[str] = ..., visibility: _Optional[_Union[_visibility_pb2.Visibility, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Project(_message.Message):
    """A project."""
    __slots__ = ("name", "parent_id", "visibility", "create_time", "concurrency", "cancel_superseded", "pass_variables_to_forks", "remote_source_id", "repository_id", "repository_path", "deploy_key", "git", "issue_id_tokens_to_forks", "retention", "lengthened_retention")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    CANCEL_SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    PASS_VARIABLES_TO_FORKS_FIELD_NUMBER: _ClassVar[int]
    REMOTE_SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_ID_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_PATH_FIELD_NUMBER: _ClassVar[int]
    DEPLOY_KEY_FIELD_NUMBER: _ClassVar[int]
    GIT_FIELD_NUMBER: _ClassVar[int]
    ISSUE_ID_TOKENS_TO_FORKS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    LENGTHENED_RETENTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    """Unique among the project groups and projects of the same parent, without regard to case."""
    parent_id: str
    """The id of the user, organization or project group that it belongs to."""
    visibility: _visibility_pb2.Visibility
    """Who may see it, unless an ancestor is private."""
    create_time: _timestamp_pb2.Timestamp
    """When it was created."""
    concurrency: int
    """The number of its runs that may run at the same time, in all groups together. 0: no limit."""
    cancel_superseded: bool
    """Whether a new run cancels the older queued runs of its group."""
    pass_variables_to_forks: bool
    """Whether the runs of a fork's pull request get the project's variables."""
    remote_source_id: str
    """The id of the remote source that has its repository. Empty: none."""
    repository_id: str
    """The numeric id of the repository at the provider, as text: its identity."""
    repository_path: str
    """The path of the repository at the provider when it was last seen."""
    deploy_key: str
    """The public half of the deploy key, as one line. Empty: there is none, or an earlier version made it."""
    git: _project_service_pb2.GitRepository
    """The repository, if it is read with git alone; without its password."""
    issue_id_tokens_to_forks: bool
    """Whether the tasks of a fork's pull request get id tokens."""
    retention: _project_service_pb2.Retention
    """How long what belongs to its runs is kept. Not set: as in the installation."""
    lengthened_retention: _containers.RepeatedScalarFieldContainer[str]
    """The fields of `retention` in which an operator keeps things longer than the installation."""
    def __init__(self, name: _Optional[str] = ..., parent_id: _Optional[str] = ..., visibility: _Optional[_Union[_visibility_pb2.Visibility, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., concurrency: _Optional[int] = ..., cancel_superseded: _Optional[bool] = ..., pass_variables_to_forks: _Optional[bool] = ..., remote_source_id: _Optional[str] = ..., repository_id: _Optional[str] = ..., repository_path: _Optional[str] = ..., deploy_key: _Optional[str] = ..., git: _Optional[_Union[_project_service_pb2.GitRepository, _Mapping]] = ..., issue_id_tokens_to_forks: _Optional[bool] = ..., retention: _Optional[_Union[_project_service_pb2.Retention, _Mapping]] = ..., lengthened_retention: _Optional[_Iterable[str]] = ...) -> None: ...

class IdentityKey(_message.Message):
    """A key that signs id tokens. Its id is its thumbprint (RFC 7638)."""
    __slots__ = ("encrypted_private_key", "modulus", "exponent", "create_time", "sign_time")
    ENCRYPTED_PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    MODULUS_FIELD_NUMBER: _ClassVar[int]
    EXPONENT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SIGN_TIME_FIELD_NUMBER: _ClassVar[int]
    encrypted_private_key: bytes
    """The private key in PKCS #8, as DER, encrypted."""
    modulus: str
    """The modulus, in base64url."""
    exponent: str
    """The exponent, in base64url."""
    create_time: _timestamp_pb2.Timestamp
    """When it was made."""
    sign_time: _timestamp_pb2.Timestamp
    """From when on it signs; it is published before."""
    def __init__(self, encrypted_private_key: _Optional[bytes] = ..., modulus: _Optional[str] = ..., exponent: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sign_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Quota(_message.Message):
    """What a node of the tree may have. Its id is that of the node. A field that is 0 limits nothing."""
    __slots__ = ("parent_id", "projects", "queued_runs", "secrets", "variables", "schedules", "tokens", "running_tasks")
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_RUNS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TASKS_FIELD_NUMBER: _ClassVar[int]
    parent_id: str
    """The id of the user, organization, project group or project."""
    projects: int
    """The number of project groups and projects below it."""
    queued_runs: int
    """The number of queued runs of each project."""
    secrets: int
    """The number of secrets of each node."""
    variables: int
    """The number of variables of each node."""
    schedules: int
    """The number of schedules of each project."""
    tokens: int
    """The number of tokens of a user."""
    running_tasks: int
    """The number of running tasks of all projects at and below the node."""
    def __init__(self, parent_id: _Optional[str] = ..., projects: _Optional[int] = ..., queued_runs: _Optional[int] = ..., secrets: _Optional[int] = ..., variables: _Optional[int] = ..., schedules: _Optional[int] = ..., tokens: _Optional[int] = ..., running_tasks: _Optional[int] = ...) -> None: ...

class CreationRequest(_message.Message):
    """The answer to a creation with a `request_id`: the same call again returns the same resource, for 30 days."""
    __slots__ = ("digest", "resource_id", "time")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    digest: str
    """SHA-256 in hex of the request."""
    resource_id: str
    """The resource that it created."""
    time: _timestamp_pb2.Timestamp
    """When."""
    def __init__(self, digest: _Optional[str] = ..., resource_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AuditRecord(_message.Message):
    """A change that somebody made to a user, an organization or the tree of projects. It is written in the transaction of
    the change.
    """
    __slots__ = ("time", "caller_kind", "caller_id", "peer", "forwarded_for", "method", "resource_type", "resource_id", "resource_path", "details", "root_id")
    TIME_FIELD_NUMBER: _ClassVar[int]
    CALLER_KIND_FIELD_NUMBER: _ClassVar[int]
    CALLER_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    FORWARDED_FOR_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    ROOT_ID_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    """When."""
    caller_kind: str
    """The kind of the caller: `user` or `operator`."""
    caller_id: str
    """The id of the caller."""
    peer: str
    """The network address from which the server was called: the gateway's, for what came over HTTP."""
    forwarded_for: str
    """The address that the caller was said to have by the peer. Empty: the peer said nothing."""
    method: str
    """The method, such as `DeleteProject`."""
    resource_type: str
    """What was changed, such as `project`."""
    resource_id: str
    """Its id."""
    resource_path: str
    """Its path or name before the change, or after it if it was created."""
    details: _containers.RepeatedScalarFieldContainer[str]
    """What was changed of it, such as `visibility: public`. Never a secret."""
    root_id: str
    """The id of the user or the organization to whose tree it belongs. Empty: to none."""
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., caller_kind: _Optional[str] = ..., caller_id: _Optional[str] = ..., peer: _Optional[str] = ..., forwarded_for: _Optional[str] = ..., method: _Optional[str] = ..., resource_type: _Optional[str] = ..., resource_id: _Optional[str] = ..., resource_path: _Optional[str] = ..., details: _Optional[_Iterable[str]] = ..., root_id: _Optional[str] = ...) -> None: ...

class UsedAuthorization(_message.Message):
    """An authorization (OAuth 2) that was completed: it is not completed twice. Its id is that of the flow."""
    __slots__ = ("time",)
    TIME_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    """When."""
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DeviceLogin(_message.Message):
    """The login of a program that a person confirms in a browser. Its id is the SHA-256 of the device code."""
    __slots__ = ("time", "user_code", "client_name", "address", "user_id", "operator", "scopes", "organization_id", "denied", "tokens_until")
    TIME_FIELD_NUMBER: _ClassVar[int]
    USER_CODE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    TOKENS_UNTIL_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    """When it began."""
    user_code: str
    """What the person compares: letters without the hyphen."""
    client_name: str
    """What the program says of itself."""
    address: str
    """The network address that it called from."""
    user_id: str
    """Who confirmed it. Empty: nobody."""
    operator: bool
    """Whether the token of who confirmed it was that of an operator."""
    scopes: _containers.RepeatedScalarFieldContainer[str]
    """The scopes of that token."""
    organization_id: str
    """The organization that the token was confined to. Empty: none."""
    denied: bool
    """Whether it was denied."""
    tokens_until: _timestamp_pb2.Timestamp
    """Until when the token may be valid at most. Not set: no limit."""
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., user_code: _Optional[str] = ..., client_name: _Optional[str] = ..., address: _Optional[str] = ..., user_id: _Optional[str] = ..., operator: _Optional[bool] = ..., scopes: _Optional[_Iterable[str]] = ..., organization_id: _Optional[str] = ..., denied: _Optional[bool] = ..., tokens_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
