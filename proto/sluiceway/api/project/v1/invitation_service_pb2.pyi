import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.project.v1 import organization_service_pb2 as _organization_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Invitation(_message.Message):
    """An invitation."""
    __slots__ = ("id", "organization_id", "organization_name", "role", "user_id", "user_name", "created_by", "create_time", "expire_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The invitation's id, a UUIDv7."""
    organization_id: str
    """The id of the organization."""
    organization_name: str
    """The name of the organization."""
    role: _organization_service_pb2.OrganizationRole
    """The role that it gives."""
    user_id: str
    """The id or the name of the user who is invited. Empty: whoever has the code."""
    user_name: str
    """The name of that user."""
    created_by: str
    """The name of the user who made it."""
    create_time: _timestamp_pb2.Timestamp
    """When it was made."""
    expire_time: _timestamp_pb2.Timestamp
    """When it expires. Not set: in 7 days."""
    def __init__(self, id: _Optional[str] = ..., organization_id: _Optional[str] = ..., organization_name: _Optional[str] = ..., role: _Optional[_Union[_organization_service_pb2.OrganizationRole, str]] = ..., user_id: _Optional[str] = ..., user_name: _Optional[str] = ..., created_by: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateInvitationRequest(_message.Message):
    """The request of `CreateInvitation`."""
    __slots__ = ("organization_id", "invitation")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    INVITATION_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The organization's id or path."""
    invitation: Invitation
    """The invitation. Fields that only the server sets are ignored."""
    def __init__(self, organization_id: _Optional[str] = ..., invitation: _Optional[_Union[Invitation, _Mapping]] = ...) -> None: ...

class CreateInvitationResponse(_message.Message):
    """The response of `CreateInvitation`."""
    __slots__ = ("invitation", "code")
    INVITATION_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    invitation: Invitation
    """The invitation."""
    code: str
    """The code with which it is accepted, once. Empty: it is for a user."""
    def __init__(self, invitation: _Optional[_Union[Invitation, _Mapping]] = ..., code: _Optional[str] = ...) -> None: ...

class ListInvitationsRequest(_message.Message):
    """The request of `ListInvitations`."""
    __slots__ = ("organization_id",)
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The organization's id or path."""
    def __init__(self, organization_id: _Optional[str] = ...) -> None: ...

class ListInvitationsResponse(_message.Message):
    """The response of `ListInvitations`."""
    __slots__ = ("invitations",)
    INVITATIONS_FIELD_NUMBER: _ClassVar[int]
    invitations: _containers.RepeatedCompositeFieldContainer[Invitation]
    """All invitations: at most 100."""
    def __init__(self, invitations: _Optional[_Iterable[_Union[Invitation, _Mapping]]] = ...) -> None: ...

class DeleteInvitationRequest(_message.Message):
    """The request of `DeleteInvitation`."""
    __slots__ = ("organization_id", "invitation_id")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    INVITATION_ID_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The organization's id or path."""
    invitation_id: str
    """The invitation's id."""
    def __init__(self, organization_id: _Optional[str] = ..., invitation_id: _Optional[str] = ...) -> None: ...

class DeleteInvitationResponse(_message.Message):
    """The response of `DeleteInvitation`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReceivedInvitationsRequest(_message.Message):
    """The request of `ListReceivedInvitations`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReceivedInvitationsResponse(_message.Message):
    """The response of `ListReceivedInvitations`."""
    __slots__ = ("invitations",)
    INVITATIONS_FIELD_NUMBER: _ClassVar[int]
    invitations: _containers.RepeatedCompositeFieldContainer[Invitation]
    """The invitations: the first 1,000."""
    def __init__(self, invitations: _Optional[_Iterable[_Union[Invitation, _Mapping]]] = ...) -> None: ...

class AcceptInvitationRequest(_message.Message):
    """The request of `AcceptInvitation`."""
    __slots__ = ("invitation_id", "code")
    INVITATION_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    invitation_id: str
    """The id of an invitation for the user who calls."""
    code: str
    """The code of an invitation."""
    def __init__(self, invitation_id: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class AcceptInvitationResponse(_message.Message):
    """The response of `AcceptInvitation`."""
    __slots__ = ("organization", "role")
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    organization: _organization_service_pb2.Organization
    """The organization."""
    role: _organization_service_pb2.OrganizationRole
    """The role that the user has there now."""
    def __init__(self, organization: _Optional[_Union[_organization_service_pb2.Organization, _Mapping]] = ..., role: _Optional[_Union[_organization_service_pb2.OrganizationRole, str]] = ...) -> None: ...

class DeclineInvitationRequest(_message.Message):
    """The request of `DeclineInvitation`."""
    __slots__ = ("invitation_id", "code")
    INVITATION_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    invitation_id: str
    """The id of an invitation for the user who calls."""
    code: str
    """The code of an invitation."""
    def __init__(self, invitation_id: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class DeclineInvitationResponse(_message.Message):
    """The response of `DeclineInvitation`."""
    __slots__ = ()
    def __init__(self) -> None: ...
