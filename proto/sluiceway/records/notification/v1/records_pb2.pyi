import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.project.v1 import webhook_service_pb2 as _webhook_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WebhookRecord(_message.Message):
    """An outgoing webhook. Its id is that of the webhook."""
    __slots__ = ("webhook", "encrypted_secret", "encrypted_previous_secret")
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_SECRET_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_PREVIOUS_SECRET_FIELD_NUMBER: _ClassVar[int]
    webhook: _webhook_service_pb2.Webhook
    """The webhook, without its etag and its secret."""
    encrypted_secret: bytes
    """The secret, encrypted."""
    encrypted_previous_secret: bytes
    """The secret before, encrypted. It counts until `webhook.previous_secret_expire_time`."""
    def __init__(self, webhook: _Optional[_Union[_webhook_service_pb2.Webhook, _Mapping]] = ..., encrypted_secret: _Optional[bytes] = ..., encrypted_previous_secret: _Optional[bytes] = ...) -> None: ...

class FollowedRunRecord(_message.Message):
    """A run of which a webhook is told until it is over. Its id is `<webhook>/<run>`."""
    __slots__ = ("webhook_id", "run_id", "settled", "delivery_id")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    """The id of the webhook."""
    run_id: str
    """The id of the run."""
    settled: _containers.RepeatedScalarFieldContainer[str]
    """The types of the events that are settled."""
    delivery_id: str
    """The delivery that waits. Empty: none, so the next event may follow."""
    def __init__(self, webhook_id: _Optional[str] = ..., run_id: _Optional[str] = ..., settled: _Optional[_Iterable[str]] = ..., delivery_id: _Optional[str] = ...) -> None: ...

class WebhookDeliveryRecord(_message.Message):
    """A delivery. Its id is `<webhook>/<delivery>`."""
    __slots__ = ("delivery", "first_attempt_time", "failures")
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    FIRST_ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    delivery: _webhook_service_pb2.WebhookDelivery
    """The delivery as clients see it."""
    first_attempt_time: _timestamp_pb2.Timestamp
    """When it was sent first, since it was created or sent again by hand."""
    failures: int
    """How often it failed since then."""
    def __init__(self, delivery: _Optional[_Union[_webhook_service_pb2.WebhookDelivery, _Mapping]] = ..., first_attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failures: _Optional[int] = ...) -> None: ...

class BadgeTokenRecord(_message.Message):
    """The token of a project's badges. Its id is that of the project."""
    __slots__ = ("project_id", "digest")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The id of the project."""
    digest: bytes
    """SHA-256 of the token."""
    def __init__(self, project_id: _Optional[str] = ..., digest: _Optional[bytes] = ...) -> None: ...
