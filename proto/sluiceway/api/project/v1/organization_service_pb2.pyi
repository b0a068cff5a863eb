import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.project.v1 import visibility_pb2 as _visibility_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrganizationRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The role of a member."""
    __slots__ = ()
    ORGANIZATION_ROLE_UNSPECIFIED: _ClassVar[OrganizationRole]
    """Not set. Refused in requests."""
    ORGANIZATION_ROLE_OWNER: _ClassVar[OrganizationRole]
    """May do everything."""
    ORGANIZATION_ROLE_MEMBER: _ClassVar[OrganizationRole]
    """May control runs, and change the settings of projects."""
    ORGANIZATION_ROLE_READER: _ClassVar[OrganizationRole]
    """May see everything, and change nothing."""
ORGANIZATION_ROLE_UNSPECIFIED: OrganizationRole
ORGANIZATION_ROLE_OWNER: OrganizationRole
ORGANIZATION_ROLE_MEMBER: OrganizationRole
ORGANIZATION_ROLE_READER: OrganizationRole

class Organization(_message.Message):
    """An organization."""
    __slots__ = ("id", "name", "etag", "create_time", "visibility")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The organization's id, a UUIDv7."""
    name: str
    """The organization's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID."""
    etag: str
    """The version of the organization. It changes with every change. In an update, the stored version must be this one."""
    create_time: _timestamp_pb2.Timestamp
    """When the organization was created."""
    visibility: _visibility_pb2.Visibility
    """Who may see it. Not set in a request: members only."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., visibility: _Optional[_Union[_visibility_pb2.Visibility, str]] = ...) -> None: ...

class CreateOrganizationRequest(_message.Message):
    """The request of `CreateOrganization`."""
    __slots__ = ("organization", "request_id")
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    organization: Organization
    """The organization. Fields that only the server sets are ignored."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, organization: _Optional[_Union[Organization, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateOrganizationResponse(_message.Message):
    """The response of `CreateOrganization`."""
    __slots__ = ("organization",)
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    organization: Organization
    """The created organization."""
    def __init__(self, organization: _Optional[_Union[Organization, _Mapping]] = ...) -> None: ...

class GetOrganizationRequest(_message.Message):
    """The request of `GetOrganization`."""
    __slots__ = ("organization_id",)
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The organization's id or path."""
    def __init__(self, organization_id: _Optional[str] = ...) -> None: ...

class GetOrganizationResponse(_message.Message):
    """The response of `GetOrganization`."""
    __slots__ = ("organization",)
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    organization: Organization
    """The organization."""
    def __init__(self, organization: _Optional[_Union[Organization, _Mapping]] = ...) -> None: ...

class ListOrganizationsRequest(_message.Message):
    """The request of `ListOrganizations`."""
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The largest number of organizations in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOrganizationsResponse(_message.Message):
    """The response of `ListOrganizations`."""
    __slots__ = ("organizations", "next_page_token")
    ORGANIZATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    organizations: _containers.RepeatedCompositeFieldContainer[Organization]
    """The organizations, by name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, organizations: _Optional[_Iterable[_Union[Organization, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateOrganizationRequest(_message.Message):
    """The request of `UpdateOrganization`."""
    __slots__ = ("organization", "update_mask")
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    organization: Organization
    """The new values. The `id` says which organization is changed."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Empty: all fields that are set."""
    def __init__(self, organization: _Optional[_Union[Organization, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateOrganizationResponse(_message.Message):
    """The response of `UpdateOrganization`."""
    __slots__ = ("organization",)
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    organization: Organization
    """The changed organization."""
    def __init__(self, organization: _Optional[_Union[Organization, _Mapping]] = ...) -> None: ...

class DeleteOrganizationRequest(_message.Message):
    """The request of `DeleteOrganization`."""
    __slots__ = ("organization_id", "etag")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The organization's id or path."""
    etag: str
    """The version that must be the stored one. Empty: not checked."""
    def __init__(self, organization_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteOrganizationResponse(_message.Message):
    """The response of `DeleteOrganization`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class OrganizationMember(_message.Message):
    """A member of an organization."""
    __slots__ = ("user_id", "user_name", "role")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    """The user's id."""
    user_name: str
    """The user's name."""
    role: OrganizationRole
    """The user's role."""
    def __init__(self, user_id: _Optional[str] = ..., user_name: _Optional[str] = ..., role: _Optional[_Union[OrganizationRole, str]] = ...) -> None: ...

class SetOrganizationMemberRequest(_message.Message):
    """The request of `SetOrganizationMember`."""
    __slots__ = ("organization_id", "user_id", "role")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The organization's id or path."""
    user_id: str
    """The user's id or name."""
    role: OrganizationRole
    """The role."""
    def __init__(self, organization_id: _Optional[str] = ..., user_id: _Optional[str] = ..., role: _Optional[_Union[OrganizationRole, str]] = ...) -> None: ...

class SetOrganizationMemberResponse(_message.Message):
    """The response of `SetOrganizationMember`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveOrganizationMemberRequest(_message.Message):
    """The request of `RemoveOrganizationMember`."""
    __slots__ = ("organization_id", "user_id")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The organization's id or path."""
    user_id: str
    """The user's id or name."""
    def __init__(self, organization_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class RemoveOrganizationMemberResponse(_message.Message):
    """The response of `RemoveOrganizationMember`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ListOrganizationMembersRequest(_message.Message):
    """The request of `ListOrganizationMembers`."""
    __slots__ = ("organization_id", "page_size", "page_token")
    ORGANIZATION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    organization_id: str
    """The organization's id or path."""
    page_size: int
    """The largest number of members in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, organization_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOrganizationMembersResponse(_message.Message):
    """The response of `ListOrganizationMembers`."""
    __slots__ = ("members", "next_page_token")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[OrganizationMember]
    """The members, by name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, members: _Optional[_Iterable[_Union[OrganizationMember, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
