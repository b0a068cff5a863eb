import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetDatabaseStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetDatabaseStatusResponse(_message.Message):
    __slots__ = ("epoch", "position", "flushed", "checkpoint", "unflushed_bytes", "etcd_size_bytes", "etcd_alarms", "time")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FLUSHED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    UNFLUSHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    ETCD_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ETCD_ALARMS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    position: str
    flushed: str
    checkpoint: str
    unflushed_bytes: int
    etcd_size_bytes: int
    etcd_alarms: _containers.RepeatedScalarFieldContainer[str]
    time: _timestamp_pb2.Timestamp
    def __init__(self, epoch: _Optional[int] = ..., position: _Optional[str] = ..., flushed: _Optional[str] = ..., checkpoint: _Optional[str] = ..., unflushed_bytes: _Optional[int] = ..., etcd_size_bytes: _Optional[int] = ..., etcd_alarms: _Optional[_Iterable[str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CheckpointDatabaseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckpointDatabaseResponse(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: str
    def __init__(self, sequence: _Optional[str] = ...) -> None: ...

class VerifyDatabaseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyDatabaseResponse(_message.Message):
    __slots__ = ("objects", "bytes", "fault")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    objects: int
    bytes: int
    fault: str
    def __init__(self, objects: _Optional[int] = ..., bytes: _Optional[int] = ..., fault: _Optional[str] = ...) -> None: ...

class RecoverDatabaseRequest(_message.Message):
    __slots__ = ("force",)
    FORCE_FIELD_NUMBER: _ClassVar[int]
    force: bool
    def __init__(self, force: _Optional[bool] = ...) -> None: ...

class RecoverDatabaseResponse(_message.Message):
    __slots__ = ("epoch", "last_sequence", "void_entries")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    VOID_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    last_sequence: str
    void_entries: int
    def __init__(self, epoch: _Optional[int] = ..., last_sequence: _Optional[str] = ..., void_entries: _Optional[int] = ...) -> None: ...

class ExportDatabaseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExportDatabaseResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ImportDatabaseRequest(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ImportDatabaseResponse(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: int
    def __init__(self, records: _Optional[int] = ...) -> None: ...
