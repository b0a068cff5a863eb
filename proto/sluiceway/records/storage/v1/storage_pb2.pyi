from sluiceway.records.log.v1 import log_pb2 as _log_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecordBlock(_message.Message):
    __slots__ = ("ids", "revisions", "bodies")
    IDS_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    BODIES_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    revisions: bytes
    bodies: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., revisions: _Optional[bytes] = ..., bodies: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("width", "transposed", "texts", "blobs")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    TRANSPOSED_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    width: int
    transposed: bytes
    texts: _containers.RepeatedScalarFieldContainer[str]
    blobs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, width: _Optional[int] = ..., transposed: _Optional[bytes] = ..., texts: _Optional[_Iterable[str]] = ..., blobs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class IndexBlock(_message.Message):
    __slots__ = ("ids", "revisions", "kinds", "texts", "numbers", "local_rows", "local_bodies", "blobs")
    IDS_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ROWS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_BODIES_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    ids: Values
    revisions: bytes
    kinds: bytes
    texts: _containers.RepeatedCompositeFieldContainer[Values]
    numbers: _containers.RepeatedScalarFieldContainer[int]
    local_rows: _containers.RepeatedScalarFieldContainer[int]
    local_bodies: _containers.RepeatedScalarFieldContainer[bytes]
    blobs: _containers.RepeatedCompositeFieldContainer[Values]
    def __init__(self, ids: _Optional[_Union[Values, _Mapping]] = ..., revisions: _Optional[bytes] = ..., kinds: _Optional[bytes] = ..., texts: _Optional[_Iterable[_Union[Values, _Mapping]]] = ..., numbers: _Optional[_Iterable[int]] = ..., local_rows: _Optional[_Iterable[int]] = ..., local_bodies: _Optional[_Iterable[bytes]] = ..., blobs: _Optional[_Iterable[_Union[Values, _Mapping]]] = ...) -> None: ...

class FileFooter(_message.Message):
    __slots__ = ("type", "records", "columns", "type_version", "firsts", "lasts", "lengths", "sizes", "counts", "checksums")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    TYPE_VERSION_FIELD_NUMBER: _ClassVar[int]
    FIRSTS_FIELD_NUMBER: _ClassVar[int]
    LASTS_FIELD_NUMBER: _ClassVar[int]
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUMS_FIELD_NUMBER: _ClassVar[int]
    type: str
    records: int
    columns: _containers.RepeatedScalarFieldContainer[str]
    type_version: int
    firsts: _containers.RepeatedScalarFieldContainer[str]
    lasts: _containers.RepeatedScalarFieldContainer[str]
    lengths: _containers.RepeatedScalarFieldContainer[int]
    sizes: _containers.RepeatedScalarFieldContainer[int]
    counts: _containers.RepeatedScalarFieldContainer[int]
    checksums: bytes
    def __init__(self, type: _Optional[str] = ..., records: _Optional[int] = ..., columns: _Optional[_Iterable[str]] = ..., type_version: _Optional[int] = ..., firsts: _Optional[_Iterable[str]] = ..., lasts: _Optional[_Iterable[str]] = ..., lengths: _Optional[_Iterable[int]] = ..., sizes: _Optional[_Iterable[int]] = ..., counts: _Optional[_Iterable[int]] = ..., checksums: _Optional[bytes] = ...) -> None: ...

class FileRef(_message.Message):
    __slots__ = ("key", "size", "digest", "first", "last", "records", "footer_offset")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    FOOTER_OFFSET_FIELD_NUMBER: _ClassVar[int]
    key: str
    size: int
    digest: bytes
    first: str
    last: str
    records: int
    footer_offset: int
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ..., digest: _Optional[bytes] = ..., first: _Optional[str] = ..., last: _Optional[str] = ..., records: _Optional[int] = ..., footer_offset: _Optional[int] = ...) -> None: ...

class LiveFile(_message.Message):
    __slots__ = ("data", "index")
    DATA_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    data: FileRef
    index: FileRef
    def __init__(self, data: _Optional[_Union[FileRef, _Mapping]] = ..., index: _Optional[_Union[FileRef, _Mapping]] = ...) -> None: ...

class TypeFiles(_message.Message):
    __slots__ = ("type", "files")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    type: str
    files: _containers.RepeatedCompositeFieldContainer[LiveFile]
    def __init__(self, type: _Optional[str] = ..., files: _Optional[_Iterable[_Union[LiveFile, _Mapping]]] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("sequence", "transactions", "digest", "total_bytes", "time_us", "database_id", "writer", "made_us", "base", "types", "written_bytes", "changed_bytes")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    DATABASE_ID_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    MADE_US_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHANGED_BYTES_FIELD_NUMBER: _ClassVar[int]
    sequence: _log_pb2.Sequence
    transactions: int
    digest: bytes
    total_bytes: int
    time_us: int
    database_id: str
    writer: str
    made_us: int
    base: _log_pb2.Sequence
    types: _containers.RepeatedCompositeFieldContainer[TypeFiles]
    written_bytes: int
    changed_bytes: int
    def __init__(self, sequence: _Optional[_Union[_log_pb2.Sequence, _Mapping]] = ..., transactions: _Optional[int] = ..., digest: _Optional[bytes] = ..., total_bytes: _Optional[int] = ..., time_us: _Optional[int] = ..., database_id: _Optional[str] = ..., writer: _Optional[str] = ..., made_us: _Optional[int] = ..., base: _Optional[_Union[_log_pb2.Sequence, _Mapping]] = ..., types: _Optional[_Iterable[_Union[TypeFiles, _Mapping]]] = ..., written_bytes: _Optional[int] = ..., changed_bytes: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: _log_pb2.Sequence
    def __init__(self, sequence: _Optional[_Union[_log_pb2.Sequence, _Mapping]] = ...) -> None: ...

class Tombstone(_message.Message):
    __slots__ = ("type", "id", "time_us")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    time_us: int
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., time_us: _Optional[int] = ...) -> None: ...
