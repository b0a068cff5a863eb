import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IdentityKey(_message.Message):
    """A public key (RFC 7517)."""
    __slots__ = ("kid", "kty", "alg", "use", "n", "e", "sign_time", "retire_time")
    KID_FIELD_NUMBER: _ClassVar[int]
    KTY_FIELD_NUMBER: _ClassVar[int]
    ALG_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    E_FIELD_NUMBER: _ClassVar[int]
    SIGN_TIME_FIELD_NUMBER: _ClassVar[int]
    RETIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    kid: str
    """The id of the key, in the header of each token that it has signed: its thumbprint (RFC 7638)."""
    kty: str
    """The type of the key: `RSA`."""
    alg: str
    """The algorithm: `RS256`."""
    use: str
    """What the key is for: `sig`."""
    n: str
    """The modulus, in base64url."""
    e: str
    """The exponent, in base64url."""
    sign_time: _timestamp_pb2.Timestamp
    """From when on it signs."""
    retire_time: _timestamp_pb2.Timestamp
    """From when on it signs no more. Not set: it is the newest one."""
    def __init__(self, kid: _Optional[str] = ..., kty: _Optional[str] = ..., alg: _Optional[str] = ..., use: _Optional[str] = ..., n: _Optional[str] = ..., e: _Optional[str] = ..., sign_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetIdentityProviderRequest(_message.Message):
    """The request of `GetIdentityProvider`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class GetIdentityProviderResponse(_message.Message):
    """The response of `GetIdentityProvider`."""
    __slots__ = ("issuer", "keys", "token_lifetime", "claims")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_LIFETIME_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    """The issuer, the claim `iss` of each token: the public URL of the gateway."""
    keys: _containers.RepeatedCompositeFieldContainer[IdentityKey]
    """The keys, the newest first."""
    token_lifetime: _duration_pb2.Duration
    """How long a token is valid."""
    claims: _containers.RepeatedScalarFieldContainer[str]
    """The claims that tokens may have, sorted."""
    def __init__(self, issuer: _Optional[str] = ..., keys: _Optional[_Iterable[_Union[IdentityKey, _Mapping]]] = ..., token_lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., claims: _Optional[_Iterable[str]] = ...) -> None: ...

class RotateIdentityKeysRequest(_message.Message):
    """The request of `RotateIdentityKeys`."""
    __slots__ = ("revoke",)
    REVOKE_FIELD_NUMBER: _ClassVar[int]
    revoke: bool
    """Whether the old keys are removed at once, so that no token that they have signed is valid any more. For a key that
    may have become known.
    """
    def __init__(self, revoke: _Optional[bool] = ...) -> None: ...

class RotateIdentityKeysResponse(_message.Message):
    """The response of `RotateIdentityKeys`."""
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[IdentityKey]
    """The keys, the newest first."""
    def __init__(self, keys: _Optional[_Iterable[_Union[IdentityKey, _Mapping]]] = ...) -> None: ...

class GetProjectIdentityRequest(_message.Message):
    """The request of `GetProjectIdentity`."""
    __slots__ = ("project_id",)
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    def __init__(self, project_id: _Optional[str] = ...) -> None: ...

class GetProjectIdentityResponse(_message.Message):
    """The response of `GetProjectIdentity`."""
    __slots__ = ("issuer", "project_id", "project_path", "owner_id", "owner_type", "subjects", "issues_to_forks")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_PATH_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    ISSUES_TO_FORKS_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    """The issuer, the claim `iss`."""
    project_id: str
    """The project's id, the claim `project_id`. It never changes."""
    project_path: str
    """The project's path, the claim `project_path`. It may change, and be another project's then."""
    owner_id: str
    """The id of the user or organization that the project belongs to, the claim `owner_id`."""
    owner_type: str
    """What that is: `user` or `organization`, the claim `owner_type`."""
    subjects: _containers.RepeatedScalarFieldContainer[str]
    """The subjects that its tasks may have, with `BRANCH` and `TAG` for names."""
    issues_to_forks: bool
    """Whether the tasks of a fork's pull request get tokens."""
    def __init__(self, issuer: _Optional[str] = ..., project_id: _Optional[str] = ..., project_path: _Optional[str] = ..., owner_id: _Optional[str] = ..., owner_type: _Optional[str] = ..., subjects: _Optional[_Iterable[str]] = ..., issues_to_forks: _Optional[bool] = ...) -> None: ...
