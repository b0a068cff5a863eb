from sluiceway.records.log.v1 import log_pb2 as _log_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Position(_message.Message):
    __slots__ = ("sequence", "index")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    sequence: _log_pb2.Sequence
    index: int
    def __init__(self, sequence: _Optional[_Union[_log_pb2.Sequence, _Mapping]] = ..., index: _Optional[int] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("id", "revision", "body")
    ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    id: str
    revision: Position
    body: bytes
    def __init__(self, id: _Optional[str] = ..., revision: _Optional[_Union[Position, _Mapping]] = ..., body: _Optional[bytes] = ...) -> None: ...

class RecordBlock(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("text", "number")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: int
    def __init__(self, text: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class IndexRow(_message.Message):
    __slots__ = ("id", "revision", "values", "body")
    ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    id: str
    revision: Position
    values: _containers.RepeatedCompositeFieldContainer[Value]
    body: bytes
    def __init__(self, id: _Optional[str] = ..., revision: _Optional[_Union[Position, _Mapping]] = ..., values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ..., body: _Optional[bytes] = ...) -> None: ...

class IndexBlock(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[IndexRow]
    def __init__(self, rows: _Optional[_Iterable[_Union[IndexRow, _Mapping]]] = ...) -> None: ...

class BlockRef(_message.Message):
    __slots__ = ("offset", "length", "first", "last", "records", "checksum")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    offset: int
    length: int
    first: str
    last: str
    records: int
    checksum: bytes
    def __init__(self, offset: _Optional[int] = ..., length: _Optional[int] = ..., first: _Optional[str] = ..., last: _Optional[str] = ..., records: _Optional[int] = ..., checksum: _Optional[bytes] = ...) -> None: ...

class FileFooter(_message.Message):
    __slots__ = ("type", "blocks", "records", "columns", "type_version")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    TYPE_VERSION_FIELD_NUMBER: _ClassVar[int]
    type: str
    blocks: _containers.RepeatedCompositeFieldContainer[BlockRef]
    records: int
    columns: _containers.RepeatedScalarFieldContainer[str]
    type_version: int
    def __init__(self, type: _Optional[str] = ..., blocks: _Optional[_Iterable[_Union[BlockRef, _Mapping]]] = ..., records: _Optional[int] = ..., columns: _Optional[_Iterable[str]] = ..., type_version: _Optional[int] = ...) -> None: ...

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
