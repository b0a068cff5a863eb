"""The record types of outgoing webhooks and badges.

Ids: a run that is followed is `<webhook>/<run>`, a delivery `<webhook>/<delivery>`. Both are deleted with their
webhook, and a webhook with its parent.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.project.v1 import webhook_service_pb2 as api
from sluiceway.records.notification.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Column, RecordType, Under
from sluiceway_server.projects.records import UNDER_PARENT


def followed_id(webhook_id: str, run_id: str) -> str:
    """Return the id of the record of a run that a webhook follows."""
    return f"{webhook_id}/{run_id}"


def delivery_id(webhook_id: str, id_: str) -> str:
    """Return the id of the record of a delivery."""
    return f"{webhook_id}/{id_}"


def _milliseconds(time: Timestamp) -> int:
    return time.seconds * 1000 + time.nanos // 1_000_000


def _is_pending(record: pb.WebhookDeliveryRecord) -> int | None:
    return 1 if record.delivery.phase == api.WEBHOOK_DELIVERY_PHASE_PENDING else None


WEBHOOK: RecordType[pb.WebhookRecord] = RecordType(
    "webhook",
    pb.WebhookRecord,
    columns=(
        Column("parent_id", lambda r: r.webhook.parent_id),
        Column("created", lambda r: _milliseconds(r.webhook.create_time)),
        Column("enabled", lambda r: None if r.webhook.disabled else 1),
    ),
    indexes=(("parent_id",), ("parent_id", "created"), ("enabled",)),
    sparse=("enabled",),
    under=(*UNDER_PARENT, Under("project", "parent_id")),
)
FOLLOWED_RUN: RecordType[pb.FollowedRunRecord] = RecordType(
    "followed_run",
    pb.FollowedRunRecord,
    columns=(
        Column("webhook_id", lambda r: r.webhook_id),
        # Only those whose next event may follow have a value, so that the worker reads no others.
        Column("idle", lambda r: None if r.delivery_id else 1),
    ),
    indexes=(("webhook_id",), ("idle",)),
    sparse=("idle",),
    under=(Under("webhook", "webhook_id"),),
)
WEBHOOK_DELIVERY: RecordType[pb.WebhookDeliveryRecord] = RecordType(
    "webhook_delivery",
    pb.WebhookDeliveryRecord,
    columns=(
        Column("webhook_id", lambda r: r.delivery.webhook_id),
        Column("created", lambda r: _milliseconds(r.delivery.create_time)),
        Column("pending", _is_pending),
        Column("due", lambda r: _milliseconds(r.delivery.retry_time)),
    ),
    indexes=(("webhook_id", "created"), ("pending", "due"), ("webhook_id", "pending", "due"), ("created",)),
    sparse=("pending",),
    under=(Under("webhook", "webhook_id"),),
)

BADGE_TOKEN: RecordType[pb.BadgeTokenRecord] = RecordType(
    "badge_token",
    pb.BadgeTokenRecord,
    columns=(Column("project_id", lambda r: r.project_id),),
    indexes=(("project_id",),),
    under=(Under("project", "project_id"),),
)

RECORD_TYPES: tuple[RecordType[Any], ...] = (WEBHOOK, FOLLOWED_RUN, WEBHOOK_DELIVERY, BADGE_TOKEN)
