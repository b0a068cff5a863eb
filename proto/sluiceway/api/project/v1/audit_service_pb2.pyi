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

class AuditRecord(_message.Message):
    """What somebody changed."""
    __slots__ = ("id", "time", "caller_kind", "caller_id", "caller_name", "method", "resource_type", "resource_id", "resource_path", "parent_id", "details", "peer", "forwarded_for")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CALLER_KIND_FIELD_NUMBER: _ClassVar[int]
    CALLER_ID_FIELD_NUMBER: _ClassVar[int]
    CALLER_NAME_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    FORWARDED_FOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The record's id, a UUIDv7."""
    time: _timestamp_pb2.Timestamp
    """When it was changed."""
    caller_kind: str
    """What the caller was: `user` or `operator`."""
    caller_id: str
    """The id of the caller."""
    caller_name: str
    """The present name of the caller. Empty: the user is gone."""
    method: str
    """The method that was called, such as `DeleteProject`."""
    resource_type: str
    """What was changed, such as `project`."""
    resource_id: str
    """The id of what was changed."""
    resource_path: str
    """Its path or name before the change, or after it if it was created."""
    parent_id: str
    """The id of the user or the organization to which it belonged. Empty: to none, or it was recorded by an older version."""
    details: _containers.RepeatedScalarFieldContainer[str]
    """What was changed of it, such as `visibility: public`. Never the value of a secret."""
    peer: str
    """The network address from which the server was called: that of the gateway, for calls over HTTP. For operators only."""
    forwarded_for: str
    """The address that the caller had, as the gateway said. For operators only."""
    def __init__(self, id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., caller_kind: _Optional[str] = ..., caller_id: _Optional[str] = ..., caller_name: _Optional[str] = ..., method: _Optional[str] = ..., resource_type: _Optional[str] = ..., resource_id: _Optional[str] = ..., resource_path: _Optional[str] = ..., parent_id: _Optional[str] = ..., details: _Optional[_Iterable[str]] = ..., peer: _Optional[str] = ..., forwarded_for: _Optional[str] = ...) -> None: ...

class ListAuditRecordsRequest(_message.Message):
    """The request of `ListAuditRecords`. Records match all of the fields that are set."""
    __slots__ = ("parent_id", "caller_id", "resource_id", "resource_type", "method", "since", "until", "page_size", "page_token")
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    CALLER_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent_id: str
    """The id or path of a user or an organization: records of it and everything below it. Operators may leave it empty."""
    caller_id: str
    """The id or the name of the user who made the change."""
    resource_id: str
    """The id of what was changed, or the path of a project or project group that exists."""
    resource_type: str
    """The type of what was changed, such as `project`, `secret`, `token` or `run`."""
    method: str
    """The method, such as `DeleteProject`."""
    since: _timestamp_pb2.Timestamp
    """Only changes at or after this time."""
    until: _timestamp_pb2.Timestamp
    """Only changes before this time. Fractions of a second do not count."""
    page_size: int
    """The largest number of records in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, parent_id: _Optional[str] = ..., caller_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., resource_type: _Optional[str] = ..., method: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAuditRecordsResponse(_message.Message):
    """The response of `ListAuditRecords`."""
    __slots__ = ("audit_records", "next_page_token")
    AUDIT_RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    audit_records: _containers.RepeatedCompositeFieldContainer[AuditRecord]
    """The records, the newest first."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, audit_records: _Optional[_Iterable[_Union[AuditRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
