import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetDatabaseStatusRequest(_message.Message):
    """The request of `GetDatabaseStatus`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class GetDatabaseStatusResponse(_message.Message):
    """The response of `GetDatabaseStatus`. Sequences are printed so that their order as strings is their order. An empty
    one means that there is none.
    """
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
    """The epoch of the database. It grows whenever etcd was lost or set back. 0: neither store has one."""
    position: str
    """The last position that this server has applied. Empty without a server."""
    flushed: str
    """The last sequence that is in the object storage, according to etcd."""
    checkpoint: str
    """The sequence of the last checkpoint, according to etcd."""
    unflushed_bytes: int
    """The size of the part of the log that is not in the object storage yet, in bytes."""
    etcd_size_bytes: int
    """The size of etcd's database in bytes."""
    etcd_alarms: _containers.RepeatedScalarFieldContainer[str]
    """The active alarms of etcd."""
    time: _timestamp_pb2.Timestamp
    """When the state was read."""
    database_id: str
    """The id of the database. It is created once and kept by later epochs."""
    head: str
    """The sequence of the newest entry in etcd."""
    etcd_quota_bytes: int
    """The largest allowed size of etcd's database in bytes. 0: not known."""
    etcd_version: str
    """The version of etcd."""
    etcd_cluster_id: str
    """The id of the etcd cluster that responded, in hex."""
    etcd_fault: str
    """Why etcd did not respond. Empty: it did."""
    storage_fault: str
    """Why the object storage did not respond. Empty: it did."""
    epochs: _containers.RepeatedCompositeFieldContainer[EpochStatus]
    """The epochs that are in the object storage, oldest first."""
    newest_segment: StoredStatus
    """The segment that ends last."""
    newest_manifest: StoredStatus
    """The newest manifest of the database's history."""
    objects: _containers.RepeatedCompositeFieldContainer[ObjectsStatus]
    """The objects in the storage, by kind."""
    findings: _containers.RepeatedScalarFieldContainer[str]
    """Problems, each with what to do about it. Empty: the two stores agree."""
    recoverable: str
    """The last sequence that a recovery from the object storage alone would keep."""
    def __init__(self, epoch: _Optional[int] = ..., position: _Optional[str] = ..., flushed: _Optional[str] = ..., checkpoint: _Optional[str] = ..., unflushed_bytes: _Optional[int] = ..., etcd_size_bytes: _Optional[int] = ..., etcd_alarms: _Optional[_Iterable[str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., database_id: _Optional[str] = ..., head: _Optional[str] = ..., etcd_quota_bytes: _Optional[int] = ..., etcd_version: _Optional[str] = ..., etcd_cluster_id: _Optional[str] = ..., etcd_fault: _Optional[str] = ..., storage_fault: _Optional[str] = ..., epochs: _Optional[_Iterable[_Union[EpochStatus, _Mapping]]] = ..., newest_segment: _Optional[_Union[StoredStatus, _Mapping]] = ..., newest_manifest: _Optional[_Union[StoredStatus, _Mapping]] = ..., objects: _Optional[_Iterable[_Union[ObjectsStatus, _Mapping]]] = ..., findings: _Optional[_Iterable[str]] = ..., recoverable: _Optional[str] = ...) -> None: ...

class EpochStatus(_message.Message):
    """An epoch, according to its object."""
    __slots__ = ("number", "accepted", "writer", "time", "etcd_cluster_id", "in_history")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ETCD_CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    IN_HISTORY_FIELD_NUMBER: _ClassVar[int]
    number: int
    """The number of the epoch, from 1."""
    accepted: str
    """The last entry of an earlier epoch that this epoch accepted. Empty: it started with an empty database."""
    writer: str
    """The server that started the epoch."""
    time: _timestamp_pb2.Timestamp
    """When the epoch was started."""
    etcd_cluster_id: str
    """The id of the etcd cluster that held the epoch, in hex."""
    in_history: bool
    """Whether the epoch is part of the database's history."""
    def __init__(self, number: _Optional[int] = ..., accepted: _Optional[str] = ..., writer: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etcd_cluster_id: _Optional[str] = ..., in_history: _Optional[bool] = ...) -> None: ...

class StoredStatus(_message.Message):
    """A segment or a manifest in the object storage."""
    __slots__ = ("sequence", "writer", "time")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    sequence: str
    """The last sequence that it contains."""
    writer: str
    """The server that wrote it."""
    time: _timestamp_pb2.Timestamp
    """Of a segment: the time of its last entry. Of a manifest: when it was written."""
    def __init__(self, sequence: _Optional[str] = ..., writer: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ObjectsStatus(_message.Message):
    """The objects of one kind."""
    __slots__ = ("kind", "count", "bytes")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    """The kind: `epoch`, `wal`, `data`, `index` or `manifest`."""
    count: int
    """The number of objects."""
    bytes: int
    """The size of all of them in bytes."""
    def __init__(self, kind: _Optional[str] = ..., count: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class CheckpointDatabaseRequest(_message.Message):
    """The request of `CheckpointDatabase`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckpointDatabaseResponse(_message.Message):
    """The response of `CheckpointDatabase`."""
    __slots__ = ("sequence", "made")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MADE_FIELD_NUMBER: _ClassVar[int]
    sequence: str
    """The sequence of the newest checkpoint."""
    made: bool
    """Whether this call created the checkpoint. False: nothing has changed since the last one."""
    def __init__(self, sequence: _Optional[str] = ..., made: _Optional[bool] = ...) -> None: ...

class VerifyDatabaseRequest(_message.Message):
    """The request of `VerifyDatabase`."""
    __slots__ = ("skip_logs",)
    SKIP_LOGS_FIELD_NUMBER: _ClassVar[int]
    skip_logs: bool
    """Do not read the logs of runs."""
    def __init__(self, skip_logs: _Optional[bool] = ...) -> None: ...

class VerifyDatabaseResponse(_message.Message):
    """A message of `VerifyDatabase`."""
    __slots__ = ("objects", "bytes", "fault", "note", "object", "all_objects")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    ALL_OBJECTS_FIELD_NUMBER: _ClassVar[int]
    objects: int
    """The number of objects that were read so far."""
    bytes: int
    """The number of bytes that were read so far."""
    fault: str
    """A fault, with the object's name and what to do. Empty: none in this message."""
    note: str
    """Something that is not a fault but may be of interest. Empty: none in this message."""
    object: str
    """The object or key that the fault or note is about."""
    all_objects: int
    """The number of objects to read, as far as it is known."""
    def __init__(self, objects: _Optional[int] = ..., bytes: _Optional[int] = ..., fault: _Optional[str] = ..., note: _Optional[str] = ..., object: _Optional[str] = ..., all_objects: _Optional[int] = ...) -> None: ...

class ExportDatabaseRequest(_message.Message):
    """The request of `ExportDatabase`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ExportDatabaseResponse(_message.Message):
    """A message of `ExportDatabase`."""
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    """The next bytes of the file, at most 64 KiB."""
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class RotateMasterKeyRequest(_message.Message):
    """The request of `RotateMasterKey`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class RotateMasterKeyResponse(_message.Message):
    """The response of `RotateMasterKey`."""
    __slots__ = ("master_key_id", "rewrapped", "unchanged", "failed", "failures")
    MASTER_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    REWRAPPED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    master_key_id: str
    """The id of the master key that encrypts from now on."""
    rewrapped: int
    """The number of values that were under another master key, and are under this one now."""
    unchanged: int
    """The number of values that were under this master key already."""
    failed: int
    """The number of values that could not be opened. They are as before."""
    failures: _containers.RepeatedScalarFieldContainer[str]
    """Why, for the first hundred of them."""
    def __init__(self, master_key_id: _Optional[str] = ..., rewrapped: _Optional[int] = ..., unchanged: _Optional[int] = ..., failed: _Optional[int] = ..., failures: _Optional[_Iterable[str]] = ...) -> None: ...
