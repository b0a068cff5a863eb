"""Times, durations and sizes in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp


def duration(start: Timestamp, end: Timestamp, *, running: bool = False, now: datetime | None = None) -> str:
    """Return how long something took, or takes up to now; empty when it never began."""
    if not start.seconds:
        return ""
    if end.seconds:
        until = end.ToDatetime(tzinfo=UTC)
    elif running:
        until = now or datetime.now(UTC)
    else:
        return ""
    seconds = max(0.0, (until - start.ToDatetime(tzinfo=UTC)).total_seconds())
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def age(time: Timestamp, *, now: datetime | None = None) -> str:
    """Return how long ago something was; empty when it never was."""
    return span_text((now or datetime.now(UTC)) - time.ToDatetime(tzinfo=UTC)) if time.seconds else ""


def span_text(span: timedelta) -> str:
    """Return how long something is, in the largest unit of which there are two."""
    seconds = max(round(span.total_seconds()), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def moment(time: Timestamp) -> str:
    """Return a time in UTC, to the second; empty when it never was."""
    return moment_text(time.ToDatetime(tzinfo=UTC)) if time.seconds else ""


def moment_text(time: datetime) -> str:
    """Return a time in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def size_text(size: int) -> str:
    """Return a number of bytes in the unit that suits."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{size} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
