import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WebhookDeliveryPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """How far a delivery of a webhook is."""
    __slots__ = ()
    WEBHOOK_DELIVERY_PHASE_UNSPECIFIED: _ClassVar[WebhookDeliveryPhase]
    """Not set."""
    WEBHOOK_DELIVERY_PHASE_PENDING: _ClassVar[WebhookDeliveryPhase]
    """It waits to be sent, perhaps again."""
    WEBHOOK_DELIVERY_PHASE_DELIVERED: _ClassVar[WebhookDeliveryPhase]
    """The receiver returned a status from 200 to 299."""
    WEBHOOK_DELIVERY_PHASE_FAILED: _ClassVar[WebhookDeliveryPhase]
    """It was given up. It can be sent again by hand."""
WEBHOOK_DELIVERY_PHASE_UNSPECIFIED: WebhookDeliveryPhase
WEBHOOK_DELIVERY_PHASE_PENDING: WebhookDeliveryPhase
WEBHOOK_DELIVERY_PHASE_DELIVERED: WebhookDeliveryPhase
WEBHOOK_DELIVERY_PHASE_FAILED: WebhookDeliveryPhase

class Webhook(_message.Message):
    """An outgoing webhook."""
    __slots__ = ("id", "parent_id", "url", "event_types", "disabled", "disabled_reason", "disable_time", "failing_since", "secret", "previous_secret_expire_time", "create_time", "created_by", "etag")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    DISABLED_REASON_FIELD_NUMBER: _ClassVar[int]
    DISABLE_TIME_FIELD_NUMBER: _ClassVar[int]
    FAILING_SINCE_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SECRET_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The webhook's id, a UUIDv7."""
    parent_id: str
    """The id of the project, project group, organization or user of whose runs it tells. In a request, also its path."""
    url: str
    """Where events are sent: a URL of http or https without a user and a password."""
    event_types: _containers.RepeatedScalarFieldContainer[str]
    """The types of events that are sent: `run.created`, `run.started`, `run.finished`. Empty: all, also those of later
    versions.
    """
    disabled: bool
    """Whether nothing is sent. Set by a person, or by the server when the receiver fails for too long."""
    disabled_reason: str
    """Why the server disabled it. Empty: it did not."""
    disable_time: _timestamp_pb2.Timestamp
    """When the server disabled it. Not set: it did not."""
    failing_since: _timestamp_pb2.Timestamp
    """Since when no request has succeeded. Not set: the last one did, or there was none."""
    secret: str
    """The secret that requests are signed with: `whsec_` and 24 to 64 bytes in base64. Never in a response."""
    previous_secret_expire_time: _timestamp_pb2.Timestamp
    """Until when requests are signed with the secret before as well. Not set: they are not."""
    create_time: _timestamp_pb2.Timestamp
    """When it was created."""
    created_by: str
    """The id of the user who created it."""
    etag: str
    """The version of the webhook. An update or deletion that names another one is refused."""
    def __init__(self, id: _Optional[str] = ..., parent_id: _Optional[str] = ..., url: _Optional[str] = ..., event_types: _Optional[_Iterable[str]] = ..., disabled: _Optional[bool] = ..., disabled_reason: _Optional[str] = ..., disable_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failing_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., secret: _Optional[str] = ..., previous_secret_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class WebhookDelivery(_message.Message):
    """An event that is sent to a webhook."""
    __slots__ = ("id", "webhook_id", "event_type", "run_id", "create_time", "phase", "attempts", "attempt_time", "response_status", "response_duration", "sentence", "retry_time", "body")
    ID_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_STATUS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_DURATION_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    RETRY_TIME_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The delivery's id, a UUIDv7: the header `webhook-id`, the same in each attempt."""
    webhook_id: str
    """The id of the webhook."""
    event_type: str
    """The type of the event, such as `run.finished`."""
    run_id: str
    """The id of the run."""
    create_time: _timestamp_pb2.Timestamp
    """When it was created."""
    phase: WebhookDeliveryPhase
    """How far it is."""
    attempts: int
    """How often it was sent."""
    attempt_time: _timestamp_pb2.Timestamp
    """When it was sent last."""
    response_status: int
    """The status of the last response. 0: there was none."""
    response_duration: _duration_pb2.Duration
    """How long the last response took."""
    sentence: str
    """What happened in the last attempt, in a sentence. Empty: it succeeded, or there was none."""
    retry_time: _timestamp_pb2.Timestamp
    """When it is sent again. Not set: at once, or never."""
    body: str
    """The body that is sent: JSON."""
    def __init__(self, id: _Optional[str] = ..., webhook_id: _Optional[str] = ..., event_type: _Optional[str] = ..., run_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., phase: _Optional[_Union[WebhookDeliveryPhase, str]] = ..., attempts: _Optional[int] = ..., attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., response_status: _Optional[int] = ..., response_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., sentence: _Optional[str] = ..., retry_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., body: _Optional[str] = ...) -> None: ...

class CreateWebhookRequest(_message.Message):
    """The request of `CreateWebhook`."""
    __slots__ = ("webhook", "request_id")
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    """The webhook. Its `secret` is required."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateWebhookResponse(_message.Message):
    """The response of `CreateWebhook`."""
    __slots__ = ("webhook",)
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    """The webhook."""
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ...) -> None: ...

class GetWebhookRequest(_message.Message):
    """The request of `GetWebhook`."""
    __slots__ = ("webhook_id",)
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    """The webhook's id."""
    def __init__(self, webhook_id: _Optional[str] = ...) -> None: ...

class GetWebhookResponse(_message.Message):
    """The response of `GetWebhook`."""
    __slots__ = ("webhook",)
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    """The webhook."""
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ...) -> None: ...

class ListWebhooksRequest(_message.Message):
    """The request of `ListWebhooks`."""
    __slots__ = ("parent_id",)
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    parent_id: str
    """The id or path of the project, project group, organization or user."""
    def __init__(self, parent_id: _Optional[str] = ...) -> None: ...

class ListWebhooksResponse(_message.Message):
    """The response of `ListWebhooks`."""
    __slots__ = ("webhooks",)
    WEBHOOKS_FIELD_NUMBER: _ClassVar[int]
    webhooks: _containers.RepeatedCompositeFieldContainer[Webhook]
    """The webhooks."""
    def __init__(self, webhooks: _Optional[_Iterable[_Union[Webhook, _Mapping]]] = ...) -> None: ...

class UpdateWebhookRequest(_message.Message):
    """The request of `UpdateWebhook`."""
    __slots__ = ("webhook", "update_mask")
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    """The webhook: its id, and the new values."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Empty: those that are set."""
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateWebhookResponse(_message.Message):
    """The response of `UpdateWebhook`."""
    __slots__ = ("webhook",)
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    """The webhook."""
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ...) -> None: ...

class RotateWebhookSecretRequest(_message.Message):
    """The request of `RotateWebhookSecret`."""
    __slots__ = ("webhook_id", "secret", "keep_previous")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    KEEP_PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    """The webhook's id."""
    secret: str
    """The new secret, as `Webhook.secret`."""
    keep_previous: _duration_pb2.Duration
    """How long the secret before signs as well, at most 30 days. Not set: a day. Zero: not at all."""
    def __init__(self, webhook_id: _Optional[str] = ..., secret: _Optional[str] = ..., keep_previous: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RotateWebhookSecretResponse(_message.Message):
    """The response of `RotateWebhookSecret`."""
    __slots__ = ("webhook",)
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    webhook: Webhook
    """The webhook."""
    def __init__(self, webhook: _Optional[_Union[Webhook, _Mapping]] = ...) -> None: ...

class DeleteWebhookRequest(_message.Message):
    """The request of `DeleteWebhook`."""
    __slots__ = ("webhook_id", "etag")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    """The webhook's id."""
    etag: str
    """The version that the caller has seen. Empty: any."""
    def __init__(self, webhook_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteWebhookResponse(_message.Message):
    """The response of `DeleteWebhook`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWebhookDeliveriesRequest(_message.Message):
    """The request of `ListWebhookDeliveries`."""
    __slots__ = ("webhook_id", "page_size", "page_token")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    """The webhook's id."""
    page_size: int
    """The largest number of deliveries in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    def __init__(self, webhook_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWebhookDeliveriesResponse(_message.Message):
    """The response of `ListWebhookDeliveries`."""
    __slots__ = ("deliveries", "next_page_token")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[WebhookDelivery]
    """The deliveries, the newest first."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, deliveries: _Optional[_Iterable[_Union[WebhookDelivery, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RedeliverWebhookDeliveryRequest(_message.Message):
    """The request of `RedeliverWebhookDelivery`."""
    __slots__ = ("webhook_id", "delivery_id")
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    webhook_id: str
    """The webhook's id."""
    delivery_id: str
    """The delivery's id."""
    def __init__(self, webhook_id: _Optional[str] = ..., delivery_id: _Optional[str] = ...) -> None: ...

class RedeliverWebhookDeliveryResponse(_message.Message):
    """The response of `RedeliverWebhookDelivery`."""
    __slots__ = ("delivery",)
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    delivery: WebhookDelivery
    """The delivery."""
    def __init__(self, delivery: _Optional[_Union[WebhookDelivery, _Mapping]] = ...) -> None: ...
