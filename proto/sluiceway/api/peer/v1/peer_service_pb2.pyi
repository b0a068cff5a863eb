import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TailLogRequest(_message.Message):
    """The request of `TailLog`."""
    __slots__ = ("step", "offset", "run_id", "task_id", "database_epoch", "attempt", "follow", "timestamps")
    STEP_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    DATABASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    step: int
    """The index of the step, from 0. -1: the setup."""
    offset: int
    """The offset of the first byte to read."""
    run_id: str
    """The id of the run in which the task runs."""
    task_id: str
    """The task's id."""
    database_epoch: int
    """The epoch of the database in which the attempt was assigned."""
    attempt: int
    """The number of the attempt, from 1."""
    follow: bool
    """Wait for more."""
    timestamps: bool
    """Begin a new message where the time changes."""
    def __init__(self, step: _Optional[int] = ..., offset: _Optional[int] = ..., run_id: _Optional[str] = ..., task_id: _Optional[str] = ..., database_epoch: _Optional[int] = ..., attempt: _Optional[int] = ..., follow: _Optional[bool] = ..., timestamps: _Optional[bool] = ...) -> None: ...

class TailLogResponse(_message.Message):
    """A message of `TailLog`."""
    __slots__ = ("next_offset", "data", "time", "ended")
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    next_offset: int
    """The offset after `data`, at which to resume."""
    data: bytes
    """At most 64 KiB of the log."""
    time: _timestamp_pb2.Timestamp
    """When these bytes were written."""
    ended: bool
    """Whether the log has ended after `data`. Only in the last message, which may have no data."""
    def __init__(self, next_offset: _Optional[int] = ..., data: _Optional[bytes] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended: _Optional[bool] = ...) -> None: ...
