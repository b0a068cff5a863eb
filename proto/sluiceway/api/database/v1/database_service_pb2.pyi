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
    __slots__ = ("epoch", "position", "flushed", "checkpoint", "unflushed_bytes", "etcd_size_bytes", "etcd_alarms", "time", "database_id", "head", "etcd_quota_bytes", "etcd_version", "etcd_cluster_id", "etcd_fault", "storage_fault", "epochs", "newest_segment", "newest_manifest", "objects", "findings", "recoverable")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FLUSHED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    UNFLUSHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    ETCD_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ETCD_ALARMS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DATABASE_ID_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    ETCD_QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    ETCD_VERSION_FIELD_NUMBER: _ClassVar[int]
    ETCD_CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    ETCD_FAULT_FIELD_NUMBER: _ClassVar[int]
    STORAGE_FAULT_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_SEGMENT_FIELD_NUMBER: _ClassVar[int]
    NEWEST_MANIFEST_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    RECOVERABLE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    position: str
    flushed: str
    checkpoint: str
    unflushed_bytes: int
    etcd_size_bytes: int
    etcd_alarms: _containers.RepeatedScalarFieldContainer[str]
    time: _timestamp_pb2.Timestamp
    database_id: str
    head: str
    etcd_quota_bytes: int
    etcd_version: str
    etcd_cluster_id: str
    etcd_fault: str
    storage_fault: str
    epochs: _containers.RepeatedCompositeFieldContainer[EpochStatus]
    newest_segment: StoredStatus
    newest_manifest: StoredStatus
    objects: _containers.RepeatedCompositeFieldContainer[ObjectsStatus]
    findings: _containers.RepeatedScalarFieldContainer[str]
    recoverable: str
    def __init__(self, epoch: _Optional[int] = ..., position: _Optional[str] = ..., flushed: _Optional[str] = ..., checkpoint: _Optional[str] = ..., unflushed_bytes: _Optional[int] = ..., etcd_size_bytes: _Optional[int] = ..., etcd_alarms: _Optional[_Iterable[str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., database_id: _Optional[str] = ..., head: _Optional[str] = ..., etcd_quota_bytes: _Optional[int] = ..., etcd_version: _Optional[str] = ..., etcd_cluster_id: _Optional[str] = ..., etcd_fault: _Optional[str] = ..., storage_fault: _Optional[str] = ..., epochs: _Optional[_Iterable[_Union[EpochStatus, _Mapping]]] = ..., newest_segment: _Optional[_Union[StoredStatus, _Mapping]] = ..., newest_manifest: _Optional[_Union[StoredStatus, _Mapping]] = ..., objects: _Optional[_Iterable[_Union[ObjectsStatus, _Mapping]]] = ..., findings: _Optional[_Iterable[str]] = ..., recoverable: _Optional[str] = ...) -> None: ...

class EpochStatus(_message.Message):
    __slots__ = ("number", "accepted", "writer", "time", "etcd_cluster_id", "in_history")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ETCD_CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    IN_HISTORY_FIELD_NUMBER: _ClassVar[int]
    number: int
    accepted: str
    writer: str
    time: _timestamp_pb2.Timestamp
    etcd_cluster_id: str
    in_history: bool
    def __init__(self, number: _Optional[int] = ..., accepted: _Optional[str] = ..., writer: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etcd_cluster_id: _Optional[str] = ..., in_history: _Optional[bool] = ...) -> None: ...

class StoredStatus(_message.Message):
    __slots__ = ("sequence", "writer", "time")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    sequence: str
    writer: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, sequence: _Optional[str] = ..., writer: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ObjectsStatus(_message.Message):
    __slots__ = ("kind", "count", "bytes")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    count: int
    bytes: int
    def __init__(self, kind: _Optional[str] = ..., count: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class CheckpointDatabaseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckpointDatabaseResponse(_message.Message):
    __slots__ = ("sequence", "made")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MADE_FIELD_NUMBER: _ClassVar[int]
    sequence: str
    made: bool
    def __init__(self, sequence: _Optional[str] = ..., made: _Optional[bool] = ...) -> None: ...

class VerifyDatabaseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VerifyDatabaseResponse(_message.Message):
    __slots__ = ("objects", "bytes", "fault", "note", "object", "all_objects")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    ALL_OBJECTS_FIELD_NUMBER: _ClassVar[int]
    objects: int
    bytes: int
    fault: str
    note: str
    object: str
    all_objects: int
    def __init__(self, objects: _Optional[int] = ..., bytes: _Optional[int] = ..., fault: _Optional[str] = ..., note: _Optional[str] = ..., object: _Optional[str] = ..., all_objects: _Optional[int] = ...) -> None: ...

class ExportDatabaseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExportDatabaseResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
