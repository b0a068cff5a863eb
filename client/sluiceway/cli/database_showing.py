"""What `sluice db` tells of a database: its state, what a verify finds; sizes, spans and times in words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sluiceway.cli.showing import table
from sluiceway.cli.terminal import clean

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from sluiceway.api.database.v1 import database_service_pb2 as pb

__all__ = ["moment_text", "show_finding", "show_findings", "show_status", "size_text", "span_text"]


def show_finding(message: pb.VerifyDatabaseResponse) -> None:
    """Print a fault or a note, as soon as it is found."""
    kind = "fault" if message.fault else "note"
    where = f"{message.object}: " if message.object and message.object not in (message.fault or message.note) else ""
    print(clean(f"{kind}: {where}{message.fault or message.note}"), flush=True)


def show_findings(findings: list[pb.VerifyDatabaseResponse], total: pb.VerifyDatabaseResponse | None) -> None:
    """Print all faults and notes for programs; `total` is the last message, which counts what was read."""
    found = {
        "objects": total.objects if total is not None else 0,
        "bytes": total.bytes if total is not None else 0,
        "faults": [{"object": item.object, "message": item.fault} for item in findings if item.fault],
        "notes": [{"object": item.object, "message": item.note} for item in findings if item.note],
    }
    print(json.dumps(found, indent=2))


def show_status(found: pb.GetDatabaseStatusResponse) -> None:
    """Print how both stores stand."""
    now = found.time.ToDatetime(tzinfo=UTC)
    rows = [("epoch", str(found.epoch) if found.epoch else "none"), ("database", found.database_id)]
    if found.etcd_fault:
        rows.append(("etcd", f"away: {found.etcd_fault}"))
    else:
        size = size_text(found.etcd_size_bytes)
        quota = f" of {size_text(found.etcd_quota_bytes)}" if found.etcd_quota_bytes else ""
        rows += [
            ("etcd", f"{found.etcd_version}, cluster {found.etcd_cluster_id}, {size}{quota}"),
            ("alarms", ", ".join(found.etcd_alarms) or "none"),
            ("head", found.head or "none"),
            ("flushed", f"{found.flushed or 'none'}, {size_text(found.unflushed_bytes)} not flushed"),
            ("checkpoint", found.checkpoint or "none"),
        ]
    if found.position:
        rows.append(("applied", f"{found.position}, by this server"))
    if found.storage_fault:
        rows.append(("storage", f"away: {found.storage_fault}"))
    else:
        rows += [
            ("segment", _stored(found.newest_segment, now)),
            ("manifest", _stored(found.newest_manifest, now)),
            ("recoverable", f"{found.recoverable or 'nothing'}, out of the object storage alone"),
        ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(clean(f"{name.ljust(width)}  {value}"))
    if found.objects:
        print()
        table(("OBJECTS", "COUNT", "SIZE"), [(o.kind, str(o.count), size_text(o.bytes)) for o in found.objects])
    if len(found.epochs) > 1:
        print()
        table(
            ("EPOCH", "BEGAN", "FROM", "BY", ""),
            [
                (str(e.number), _age(e.time, now), e.accepted, e.writer, "" if e.in_history else "void")
                for e in found.epochs
            ],
        )
    if found.findings:
        print()
        for finding in found.findings:
            print(clean(f"finding: {finding}"))


def _stored(item: pb.StoredStatus, now: datetime) -> str:
    return f"{item.sequence}, {_age(item.time, now)}, by {item.writer}" if item.sequence else "none"


def _age(time: Timestamp, now: datetime) -> str:
    return f"{span_text(now - time.ToDatetime(tzinfo=UTC))} ago"


def span_text(span: timedelta) -> str:
    """Say how long something is, in the largest unit of which there are two."""
    seconds = max(round(span.total_seconds()), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def moment_text(time: datetime) -> str:
    """Say a time, in UTC and to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def size_text(size: int) -> str:
    """Say how many bytes something has, in the unit that suits."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{size} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
