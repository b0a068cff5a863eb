"""Times and durations in messages: to microseconds, in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def read_time(stamp: Timestamp) -> datetime:
    """Decode a time, in UTC, to microseconds."""
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)


def optional_time(message: Message, field: str) -> datetime | None:
    """Decode a time field; None when it is not set."""
    return read_time(getattr(message, field)) if message.HasField(field) else None


def put_time(stamp: Timestamp, value: datetime) -> None:
    """Encode a time into a field. Cheaper than `FromDatetime`: this runs for every stored time."""
    stamp.seconds = int(value.replace(microsecond=0).timestamp())
    stamp.nanos = value.microsecond * 1000


def read_duration(value: Duration) -> timedelta:
    """Decode a duration, to microseconds."""
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def put_duration(field: Duration, value: timedelta) -> None:
    """Encode a duration into a field, to microseconds."""
    field.seconds = value.days * 86_400 + value.seconds
    field.nanos = value.microseconds * 1000
