"""What audit records say of changes of remote sources, linked accounts, deliveries and schedules. Pure reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Delete, Put, View
from sluiceway_server.projects.auditing import Subject, SubjectOf
from sluiceway_server.projects.tree import find, path_of
from sluiceway_server.triggers.records import DELIVERY, LINKED_ACCOUNT, REMOTE_SOURCE, SCHEDULE


def _record(view: View, action: Put | Delete) -> Any:
    """Return the record after the action, or before its deletion."""
    return action.message if isinstance(action, Put) else view.get(action.type, action.id)


def _remote_source(view: View, action: Put | Delete) -> Subject:
    record = cast("pb.RemoteSourceRecord | None", _record(view, action))
    return Subject("remote_source", action.id, "" if record is None else record.source.name)


def _linked_account(view: View, action: Put | Delete) -> Subject:
    record = cast("pb.LinkedAccountRecord | None", _record(view, action))
    if record is None:
        return Subject("linked_account", action.id, "")
    source = cast("pb.RemoteSourceRecord | None", view.get(REMOTE_SOURCE, record.remote_source_id))
    details = [f"remote source: {record.remote_source_id if source is None else source.source.name}"]
    return Subject("linked_account", record.id, record.remote_name, details, parent_id=record.user_id)


def _delivery(view: View, action: Put | Delete) -> Subject:
    project_id, _, id_ = action.id.partition("/")
    record = cast("pb.DeliveryRecord | None", _record(view, action))
    details = () if record is None else (f"ref: {record.delivery.ref}", f"commit: {record.delivery.commit_sha}")
    return Subject("delivery", id_, _path(view, project_id), details, parent_id=project_id)


def _schedule(view: View, action: Put | Delete) -> Subject:
    project_id, _, id_ = action.id.partition("/")
    record = cast("pb.ScheduleRecord | None", _record(view, action))
    details: list[str] = []
    if isinstance(action, Put) and record is not None:
        shown = record.schedule
        details = [f"cron: {shown.cron}", f"ref: {shown.ref}", *(["paused"] if shown.paused else [])]
    return Subject("schedule", id_, _path(view, project_id), details, parent_id=project_id)


def _path(view: View, project_id: str) -> str:
    node = find(view, project_id)
    return "" if node is None else path_of(view, node)


AUDIT_SUBJECTS: Mapping[str, SubjectOf] = {
    REMOTE_SOURCE.name: _remote_source,
    LINKED_ACCOUNT.name: _linked_account,
    DELIVERY.name: _delivery,
    SCHEDULE.name: _schedule,
}
