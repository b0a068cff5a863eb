"""The record types of remote sources, linked accounts, links, deliveries, known refs and commit statuses.

Ids: a linked account is `<user>/<remote source>`, since a user has one account at each source; a link is that of its
project; a delivery is `<project>/<delivery>`; a commit status is made of what it is unique for (`status_id`).
"""

from __future__ import annotations

import hashlib
from typing import Any

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Column, RecordType, Under

__all__ = [
    "COMMIT_STATUS",
    "DELIVERY",
    "KNOWN_REFS",
    "LINK",
    "LINKED_ACCOUNT",
    "RECORD_TYPES",
    "REMOTE_SOURCE",
    "SCHEDULE",
    "account_id",
    "delivery_key",
    "provider_key",
    "schedule_key",
    "status_id",
]


def account_id(user_id: str, remote_source_id: str) -> str:
    """Return the id of the record of a linked account."""
    return f"{user_id}/{remote_source_id}"


def delivery_key(project_id: str, delivery_id: str) -> str:
    """Return the id of the record of a delivery."""
    return f"{project_id}/{delivery_id}"


def provider_key(project_id: str, remote_source_id: str, provider_id: str) -> str:
    """Return what names a delivery of a provider: GitHub gives two webhooks of one event the same id."""
    return f"{project_id}/{remote_source_id}/{provider_id}"


def schedule_key(project_id: str, schedule_id: str) -> str:
    """Return the id of the record of a schedule."""
    return f"{project_id}/{schedule_id}"


def status_id(project_id: str, commit_sha: str, context: str) -> str:
    """Return the id of the record of a commit status. Contexts have characters that ids may not have."""
    return f"{project_id}/{commit_sha}/{hashlib.sha256(context.encode()).hexdigest()[:32]}"


def _is_pending(record: pb.DeliveryRecord) -> int | None:
    return 1 if record.delivery.phase == api.DELIVERY_PHASE_PENDING else None


def _milliseconds(record: pb.DeliveryRecord) -> int:
    time = record.delivery.receive_time
    return time.seconds * 1000 + time.nanos // 1_000_000


def _due(record: pb.ScheduleRecord) -> int | None:
    if not record.schedule.HasField("next_time"):
        return None
    time = record.schedule.next_time
    return time.seconds * 1000 + time.nanos // 1_000_000


REMOTE_SOURCE: RecordType[pb.RemoteSourceRecord] = RecordType(
    "remote_source",
    pb.RemoteSourceRecord,
    columns=(Column("name", lambda r: r.source.name),),
    indexes=(("name",),),
)
LINKED_ACCOUNT: RecordType[pb.LinkedAccountRecord] = RecordType(
    "linked_account",
    pb.LinkedAccountRecord,
    columns=(
        Column("user_id", lambda r: r.user_id),
        Column("remote_source_id", lambda r: r.remote_source_id),
        Column("remote_user_id", lambda r: r.remote_user_id),
    ),
    indexes=(("user_id",), ("remote_source_id",), ("remote_source_id", "remote_user_id")),
    under=(Under("user", "user_id"),),
)
# Not under its project: a link without a project is what has to be taken away at the provider.
LINK: RecordType[pb.LinkRecord] = RecordType(
    "link",
    pb.LinkRecord,
    columns=(Column("remote_source_id", lambda r: r.remote_source_id), Column("user_id", lambda r: r.user_id)),
    indexes=(("remote_source_id",), ("user_id", "remote_source_id")),
)
DELIVERY: RecordType[pb.DeliveryRecord] = RecordType(
    "delivery",
    pb.DeliveryRecord,
    columns=(
        Column("project_id", lambda r: r.delivery.project_id),
        Column("ref", lambda r: r.delivery.ref),
        Column("received", _milliseconds),
        Column("provider_key", lambda r: r.provider_key or None),
        # Only those to work on have a value, so that the worker reads no others.
        Column("pending", _is_pending),
        Column("order", lambda r: r.order),
    ),
    indexes=(
        ("project_id", "received"),
        ("project_id", "ref", "received"),
        ("provider_key",),
        ("pending", "order"),
        ("received",),
    ),
    sparse=("provider_key", "pending"),
    under=(Under("project", "project_id"),),
)
KNOWN_REFS: RecordType[pb.KnownRefsRecord] = RecordType(
    "known_refs",
    pb.KnownRefsRecord,
    columns=(Column("project_id", lambda r: r.project_id),),
    indexes=(("project_id",),),
    under=(Under("project", "project_id"),),
)
COMMIT_STATUS: RecordType[pb.CommitStatusRecord] = RecordType(
    "commit_status",
    pb.CommitStatusRecord,
    columns=(
        Column("project_id", lambda r: r.project_id),
        Column("run_id", lambda r: r.run_id),
        Column("open", lambda r: None if r.is_final else 1),
    ),
    indexes=(("project_id",), ("run_id",), ("open",)),
    sparse=("open",),
    under=(Under("project", "project_id"),),
)

SCHEDULE: RecordType[pb.ScheduleRecord] = RecordType(
    "schedule",
    pb.ScheduleRecord,
    columns=(
        Column("project_id", lambda r: r.schedule.project_id),
        # Paused ones have none, so that the worker reads no others.
        Column("active", lambda r: None if _due(r) is None else 1),
        Column("due", _due),
    ),
    indexes=(("project_id",), ("active", "due")),
    sparse=("active",),
    under=(Under("project", "project_id"),),
)

RECORD_TYPES: tuple[RecordType[Any], ...] = (
    REMOTE_SOURCE,
    LINKED_ACCOUNT,
    LINK,
    DELIVERY,
    COMMIT_STATUS,
    SCHEDULE,
    KNOWN_REFS,
)
