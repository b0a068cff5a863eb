"""Times and durations of messages, read and written. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["put_duration", "put_time", "read_duration", "read_time"]


def read_time(stamp: Timestamp) -> datetime:
    """Read a time, UTC, with microseconds."""
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)


def put_time(stamp: Timestamp, value: datetime) -> None:
    """Write a time into a field. Cheaper than `FromDatetime`, and this is done a lot."""
    stamp.seconds = int(value.replace(microsecond=0).timestamp())
    stamp.nanos = value.microsecond * 1000


def read_duration(value: Duration) -> timedelta:
    """Read a duration, with microseconds."""
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def put_duration(field: Duration, value: timedelta) -> None:
    """Write a duration into a field, with microseconds."""
    field.seconds = value.days * 86_400 + value.seconds
    field.nanos = value.microseconds * 1000
