"""What `sluice db` prints of a database: its state, and what a verify finds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sluiceway.cli.showing import Column, Row, table
from sluiceway.cli.terminal import clean
from sluiceway.cli.units import age, size_text

if TYPE_CHECKING:
    from sluiceway.api.database.v1 import database_service_pb2 as pb

# As the names of segments and manifests have it: epoch and number of an entry.
_SEQUENCE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{16}")


def show_finding(message: pb.VerifyDatabaseResponse) -> None:
    """Print a fault or a note, as soon as it is found."""
    kind = "fault" if message.fault else "note"
    where = f"{message.object}: " if message.object and message.object not in (message.fault or message.note) else ""
    print(clean(f"{kind}: {where}{message.fault or message.note}"), flush=True)


def show_notes(notes: Iterable[pb.VerifyDatabaseResponse]) -> None:
    """Print notes, the ones that say the same of several objects in one line."""
    alike: dict[str, list[pb.VerifyDatabaseResponse]] = {}
    for note in notes:
        alike.setdefault(_SEQUENCE.sub("*", note.note), []).append(note)
    for first, *others in alike.values():
        show_finding(first)
        if others:
            print(f"      The same holds for {len(others)} more; -o wide prints them all.")


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
        used = size_text(found.etcd_size_bytes)
        quota = f" of {size_text(found.etcd_quota_bytes)}" if found.etcd_quota_bytes else ""
        rows += [
            ("etcd", f"{found.etcd_version}, cluster {found.etcd_cluster_id}, {used}{quota}"),
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
        columns = (Column("OBJECTS"), Column("COUNT"), Column("SIZE"))
        table(columns, [Row((o.kind, str(o.count), size_text(o.bytes))) for o in found.objects])
    if len(found.epochs) > 1:
        print()
        table(
            tuple(Column(title) for title in ("EPOCH", "BEGAN", "FROM", "BY", "")),
            [
                Row(
                    (str(e.number), f"{age(e.time, now=now)} ago", e.accepted, e.writer, "" if e.in_history else "void")
                )
                for e in found.epochs
            ],
        )
    if found.findings:
        print()
        for finding in found.findings:
            print(clean(f"finding: {finding}"))


def _stored(item: pb.StoredStatus, now: datetime) -> str:
    return f"{item.sequence}, {age(item.time, now=now)} ago, by {item.writer}" if item.sequence else "none"
