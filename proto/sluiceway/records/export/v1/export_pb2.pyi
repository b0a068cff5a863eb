from sluiceway.records.log.v1 import log_pb2 as _log_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Header(_message.Message):
    """The first frame."""
    __slots__ = ("database_id", "sequence", "time_us", "made_us", "version")
    DATABASE_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    MADE_US_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    database_id: str
    """Of the database that was exported."""
    sequence: _log_pb2.Sequence
    """Its last entry that is in here."""
    time_us: int
    """The time of that entry, microseconds since 1970."""
    made_us: int
    """When the export began, microseconds since 1970."""
    version: str
    """The version of the software that made it."""
    def __init__(self, database_id: _Optional[str] = ..., sequence: _Optional[_Union[_log_pb2.Sequence, _Mapping]] = ..., time_us: _Optional[int] = ..., made_us: _Optional[int] = ..., version: _Optional[str] = ...) -> None: ...

class Block(_message.Message):
    """Some records of one type, sorted by id. Blocks are sorted by type, then id; change groups are among them, as records
    of the reserved type `change_group`.
    """
    __slots__ = ("number", "type", "records", "size", "data")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    number: int
    """From 1, without gaps."""
    type: str
    """Of its records."""
    records: int
    """At least one."""
    size: int
    """Bytes of `data` before compression."""
    data: bytes
    """A `sluiceway.records.storage.v1.RecordBlock`, compressed with zstd."""
    def __init__(self, number: _Optional[int] = ..., type: _Optional[str] = ..., records: _Optional[int] = ..., size: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class TypeCount(_message.Message):
    """How many records of a type there are."""
    __slots__ = ("type", "records")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    type: str
    """The type."""
    records: int
    """At least one."""
    def __init__(self, type: _Optional[str] = ..., records: _Optional[int] = ...) -> None: ...

class Trailer(_message.Message):
    """The last frame."""
    __slots__ = ("types", "records", "blocks", "digest")
    TYPES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    types: _containers.RepeatedCompositeFieldContainer[TypeCount]
    """By type, sorted."""
    records: int
    """All records."""
    blocks: int
    """All blocks."""
    digest: bytes
    """SHA-256 of the file up to this frame."""
    def __init__(self, types: _Optional[_Iterable[_Union[TypeCount, _Mapping]]] = ..., records: _Optional[int] = ..., blocks: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...
