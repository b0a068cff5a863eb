from sluiceway.records.log.v1 import log_pb2 as _log_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecordBlock(_message.Message):
    """A block of a data file: records sorted by id, in columns, compressed together."""
    __slots__ = ("ids", "revisions", "bodies")
    IDS_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    BODIES_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    """At least one, strictly rising by code point."""
    revisions: bytes
    """The position of the last change of each: 16 bytes, most significant byte first: epoch (4), counter (8), index of the
    transaction in that entry (4).
    """
    bodies: _containers.RepeatedScalarFieldContainer[bytes]
    """The serialised message of each; empty for a change group."""
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., revisions: _Optional[bytes] = ..., bodies: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Values(_message.Message):
    """Texts or bytes, one for each of some rows."""
    __slots__ = ("width", "transposed", "texts", "blobs")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    TRANSPOSED_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    width: int
    """If all are equally long (and texts of ASCII): how long, in bytes. They are in `transposed` then."""
    transposed: bytes
    """The first bytes of all, then the second bytes of all, and so on: ids that begin alike, and digits, compress to half."""
    texts: _containers.RepeatedScalarFieldContainer[str]
    """Otherwise: texts."""
    blobs: _containers.RepeatedScalarFieldContainer[bytes]
    """Otherwise: bytes."""
    def __init__(self, width: _Optional[int] = ..., transposed: _Optional[bytes] = ..., texts: _Optional[_Iterable[str]] = ..., blobs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class IndexBlock(_message.Message):
    """A block of an index dump: what a server keeps of records whose bodies are remote, in columns, compressed together."""
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
    """Texts; otherwise as in a data file."""
    revisions: bytes
    """As in a data file, but transposed, as `Values` of width 16 are."""
    kinds: bytes
    """One byte for each value, all rows of the first of the footer's `columns`, then all of the next one: 0 is NULL, 1 a
    text, 2 a number, 3 bytes.
    """
    texts: _containers.RepeatedCompositeFieldContainer[Values]
    """The values that are texts, of each column that has any."""
    numbers: _containers.RepeatedScalarFieldContainer[int]
    """The values that are numbers, of all columns."""
    local_rows: _containers.RepeatedScalarFieldContainer[int]
    """The rows (from 0, rising) of records that may still change and whose body is therefore local everywhere."""
    local_bodies: _containers.RepeatedScalarFieldContainer[bytes]
    """The serialised messages of those."""
    blobs: _containers.RepeatedCompositeFieldContainer[Values]
    """The values that are bytes, of each column that has any."""
    def __init__(self, ids: _Optional[_Union[Values, _Mapping]] = ..., revisions: _Optional[bytes] = ..., kinds: _Optional[bytes] = ..., texts: _Optional[_Iterable[_Union[Values, _Mapping]]] = ..., numbers: _Optional[_Iterable[int]] = ..., local_rows: _Optional[_Iterable[int]] = ..., local_bodies: _Optional[_Iterable[bytes]] = ..., blobs: _Optional[_Iterable[_Union[Values, _Mapping]]] = ...) -> None: ...

class FileFooter(_message.Message):
    """The end of a data file or index dump: the index of its blocks, in columns. The blocks lie one after another without a
    gap from the object's magic to the footer, so no offsets are kept.
    """
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
    """The record type."""
    records: int
    """Of all blocks."""
    columns: _containers.RepeatedScalarFieldContainer[str]
    """Of an index dump: the names of the columns."""
    type_version: int
    """Of an index dump: the version of the record type that computed them (`RecordType.version`)."""
    firsts: _containers.RepeatedScalarFieldContainer[str]
    """Of each block: the id of its first record. Blocks are sorted, without overlap."""
    lasts: _containers.RepeatedScalarFieldContainer[str]
    """Of each block: the id of its last record."""
    lengths: _containers.RepeatedScalarFieldContainer[int]
    """Of each block: its bytes in the object, compressed."""
    sizes: _containers.RepeatedScalarFieldContainer[int]
    """Of each block: its bytes before compression."""
    counts: _containers.RepeatedScalarFieldContainer[int]
    """Of each block: how many records it has."""
    checksums: bytes
    """Of each block: 16 bytes, the first of SHA-256 over its bytes in the object."""
    def __init__(self, type: _Optional[str] = ..., records: _Optional[int] = ..., columns: _Optional[_Iterable[str]] = ..., type_version: _Optional[int] = ..., firsts: _Optional[_Iterable[str]] = ..., lasts: _Optional[_Iterable[str]] = ..., lengths: _Optional[_Iterable[int]] = ..., sizes: _Optional[_Iterable[int]] = ..., counts: _Optional[_Iterable[int]] = ..., checksums: _Optional[bytes] = ...) -> None: ...

class FileRef(_message.Message):
    """A data file or index dump, as a manifest names it."""
    __slots__ = ("key", "size", "digest", "first", "last", "records", "footer_offset")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    FOOTER_OFFSET_FIELD_NUMBER: _ClassVar[int]
    key: str
    """The object's key, after the database's prefix."""
    size: int
    """Bytes."""
    digest: bytes
    """SHA-256 of the whole object."""
    first: str
    """The id of its first record."""
    last: str
    """The id of its last record."""
    records: int
    """How many records."""
    footer_offset: int
    """Where its footer begins."""
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ..., digest: _Optional[bytes] = ..., first: _Optional[str] = ..., last: _Optional[str] = ..., records: _Optional[int] = ..., footer_offset: _Optional[int] = ...) -> None: ...

class LiveFile(_message.Message):
    """A data file with the index dump of the same records, if its type has remote bodies."""
    __slots__ = ("data", "index")
    DATA_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    data: FileRef
    """The records."""
    index: FileRef
    """Their columns."""
    def __init__(self, data: _Optional[_Union[FileRef, _Mapping]] = ..., index: _Optional[_Union[FileRef, _Mapping]] = ...) -> None: ...

class TypeFiles(_message.Message):
    """All files of a record type."""
    __slots__ = ("type", "files")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    type: str
    """The record type."""
    files: _containers.RepeatedCompositeFieldContainer[LiveFile]
    """Sorted by key range, without overlap."""
    def __init__(self, type: _Optional[str] = ..., files: _Optional[_Iterable[_Union[LiveFile, _Mapping]]] = ...) -> None: ...

class Manifest(_message.Message):
    """A manifest, `manifest/<sequence>`: the database as it was after an entry. Written last: the commit point of a
    checkpoint.
    """
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
    """Of the last entry that is in the files."""
    transactions: int
    """How many transactions that entry has."""
    digest: bytes
    """Of that entry."""
    total_bytes: int
    """The bytes of all entries of its epoch up to it."""
    time_us: int
    """The time of that entry, microseconds since 1970."""
    database_id: str
    """Of the database."""
    writer: str
    """The server that made it."""
    made_us: int
    """When it was made, microseconds since 1970."""
    base: _log_pb2.Sequence
    """The manifest that it was made from; not set: from nothing."""
    types: _containers.RepeatedCompositeFieldContainer[TypeFiles]
    """All record types that have records, by name; change groups are among them, as `change_group`."""
    written_bytes: int
    """How many bytes of files this checkpoint wrote."""
    changed_bytes: int
    """How many bytes of records it changed."""
    def __init__(self, sequence: _Optional[_Union[_log_pb2.Sequence, _Mapping]] = ..., transactions: _Optional[int] = ..., digest: _Optional[bytes] = ..., total_bytes: _Optional[int] = ..., time_us: _Optional[int] = ..., database_id: _Optional[str] = ..., writer: _Optional[str] = ..., made_us: _Optional[int] = ..., base: _Optional[_Union[_log_pb2.Sequence, _Mapping]] = ..., types: _Optional[_Iterable[_Union[TypeFiles, _Mapping]]] = ..., written_bytes: _Optional[int] = ..., changed_bytes: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    """The value of `checkpoint` in etcd: the newest manifest."""
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: _log_pb2.Sequence
    """Its sequence."""
    def __init__(self, sequence: _Optional[_Union[_log_pb2.Sequence, _Mapping]] = ...) -> None: ...

class Tombstone(_message.Message):
    """The record of a deletion that has much below it (`Tombstone` in the datamanager's model)."""
    __slots__ = ("type", "id", "time_us")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    type: str
    """The type of the record that was deleted."""
    id: str
    """Its id."""
    time_us: int
    """When, microseconds since 1970."""
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., time_us: _Optional[int] = ...) -> None: ...
