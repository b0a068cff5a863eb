from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """How the batch of an entry is stored."""
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    """Not set: the entry is damaged."""
    ENCODING_PLAIN: _ClassVar[Encoding]
    """A Batch, as it is."""
    ENCODING_ZSTD: _ClassVar[Encoding]
    """A Batch, compressed with zstd."""
ENCODING_UNSPECIFIED: Encoding
ENCODING_PLAIN: Encoding
ENCODING_ZSTD: Encoding

class Sequence(_message.Message):
    """A sequence: see docs/design/datamanager.md, "Model"."""
    __slots__ = ("epoch", "counter")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    """Grows when etcd was lost or went back."""
    counter: int
    """Of entries in this epoch, without gaps, from 1; 0 is the state before the first."""
    def __init__(self, epoch: _Optional[int] = ..., counter: _Optional[int] = ...) -> None: ...

class Put(_message.Message):
    """A record is stored, whole."""
    __slots__ = ("type", "id", "body")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    type: str
    """The name of its type."""
    id: str
    """Its id."""
    body: bytes
    """The serialised message."""
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., body: _Optional[bytes] = ...) -> None: ...

class Delete(_message.Message):
    """A record is removed."""
    __slots__ = ("type", "id")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    type: str
    """The name of its type."""
    id: str
    """Its id."""
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class Emit(_message.Message):
    """Something is said to subscribers and not kept as a record."""
    __slots__ = ("kind", "topics", "body")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    """Names the message."""
    topics: _containers.RepeatedScalarFieldContainer[str]
    """What subscribers filter on."""
    body: bytes
    """The serialised message."""
    def __init__(self, kind: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., body: _Optional[bytes] = ...) -> None: ...

class Action(_message.Message):
    """One step of a transaction. One of a kind that is not known here is skipped, and stays in the log."""
    __slots__ = ("put", "delete", "emit")
    PUT_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    EMIT_FIELD_NUMBER: _ClassVar[int]
    put: Put
    """Store."""
    delete: Delete
    """Remove."""
    emit: Emit
    """Say."""
    def __init__(self, put: _Optional[_Union[Put, _Mapping]] = ..., delete: _Optional[_Union[Delete, _Mapping]] = ..., emit: _Optional[_Union[Emit, _Mapping]] = ...) -> None: ...

class Transaction(_message.Message):
    """A transaction: all of its actions or none."""
    __slots__ = ("actions", "groups")
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    actions: _containers.RepeatedCompositeFieldContainer[Action]
    """In order; of two on one record the later counts."""
    groups: _containers.RepeatedScalarFieldContainer[str]
    """The change groups whose revision it moves."""
    def __init__(self, actions: _Optional[_Iterable[_Union[Action, _Mapping]]] = ..., groups: _Optional[_Iterable[str]] = ...) -> None: ...

class Batch(_message.Message):
    """The transactions of one entry."""
    __slots__ = ("transactions",)
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    transactions: _containers.RepeatedCompositeFieldContainer[Transaction]
    """In order; the index in here is the index of their positions."""
    def __init__(self, transactions: _Optional[_Iterable[_Union[Transaction, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
    """The value of `log/<sequence>`: one batch, committed. Segments hold these values byte for byte."""
    __slots__ = ("sequence", "batch_id", "writer", "time_us", "previous_digest", "digest", "transactions", "encoding", "batch")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    sequence: Sequence
    """The place in the log."""
    batch_id: bytes
    """Random; tells this attempt from every other one to write at the same place."""
    writer: str
    """The server that wrote it."""
    time_us: int
    """The wall time there, never before that of the entry before; microseconds since 1970."""
    previous_digest: bytes
    """The digest of the entry before."""
    digest: bytes
    """SHA-256 over the fields above and the batch (entries.py)."""
    transactions: int
    """How many transactions there are."""
    encoding: Encoding
    """How the batch is stored."""
    batch: bytes
    """The batch."""
    def __init__(self, sequence: _Optional[_Union[Sequence, _Mapping]] = ..., batch_id: _Optional[bytes] = ..., writer: _Optional[str] = ..., time_us: _Optional[int] = ..., previous_digest: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., transactions: _Optional[int] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., batch: _Optional[bytes] = ...) -> None: ...

class Head(_message.Message):
    """The value of `head`: the newest entry. Compared by value when the next one is written."""
    __slots__ = ("sequence", "batch_id", "writer", "total_bytes", "digest", "transactions")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    sequence: Sequence
    """Of the newest entry."""
    batch_id: bytes
    """Of the newest entry."""
    writer: str
    """Of the newest entry."""
    total_bytes: int
    """The bytes of all entries of this epoch."""
    digest: bytes
    """Of the newest entry."""
    transactions: int
    """Of the newest entry."""
    def __init__(self, sequence: _Optional[_Union[Sequence, _Mapping]] = ..., batch_id: _Optional[bytes] = ..., writer: _Optional[str] = ..., total_bytes: _Optional[int] = ..., digest: _Optional[bytes] = ..., transactions: _Optional[int] = ...) -> None: ...

class Flushed(_message.Message):
    """The value of `flushed`: up to where the object storage has the log."""
    __slots__ = ("sequence", "total_bytes", "digest", "first_kept_counter", "database_id")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_KEPT_COUNTER_FIELD_NUMBER: _ClassVar[int]
    DATABASE_ID_FIELD_NUMBER: _ClassVar[int]
    sequence: Sequence
    """The last entry there."""
    total_bytes: int
    """The bytes of all entries of this epoch up to it."""
    digest: bytes
    """Of that entry."""
    first_kept_counter: int
    """Every entry before this counter is deleted from etcd."""
    database_id: str
    """Of the database; tells two databases apart that share etcd or the object storage by mistake."""
    def __init__(self, sequence: _Optional[_Union[Sequence, _Mapping]] = ..., total_bytes: _Optional[int] = ..., digest: _Optional[bytes] = ..., first_kept_counter: _Optional[int] = ..., database_id: _Optional[str] = ...) -> None: ...

class SegmentHeader(_message.Message):
    """The header of a segment, `wal/<first sequence>`."""
    __slots__ = ("first", "last", "previous_digest", "digest", "total_bytes", "writer", "time_us", "database_id")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    DATABASE_ID_FIELD_NUMBER: _ClassVar[int]
    first: Sequence
    """The first entry."""
    last: Sequence
    """The last entry."""
    previous_digest: bytes
    """The digest that the first entry follows."""
    digest: bytes
    """Of the last entry."""
    total_bytes: int
    """The bytes of all entries of this epoch up to the last."""
    writer: str
    """The server that wrote it."""
    time_us: int
    """The time of the last entry."""
    database_id: str
    """Of the database."""
    def __init__(self, first: _Optional[_Union[Sequence, _Mapping]] = ..., last: _Optional[_Union[Sequence, _Mapping]] = ..., previous_digest: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., total_bytes: _Optional[int] = ..., writer: _Optional[str] = ..., time_us: _Optional[int] = ..., database_id: _Optional[str] = ...) -> None: ...

class Epoch(_message.Message):
    """The body of an epoch object, `epoch/<number>`."""
    __slots__ = ("number", "accepted", "accepted_digest", "cluster_id", "writer", "time_us", "database_id", "cause", "from_manifest")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    TIME_US_FIELD_NUMBER: _ClassVar[int]
    DATABASE_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    FROM_MANIFEST_FIELD_NUMBER: _ClassVar[int]
    number: int
    """From 1."""
    accepted: Sequence
    """The last entry that this epoch goes on from, of an earlier one (usually the one before); not set in the first."""
    accepted_digest: bytes
    """Of that entry."""
    cluster_id: int
    """The etcd cluster that holds this epoch."""
    writer: str
    """The server that began it."""
    time_us: int
    """When."""
    database_id: str
    """Random, made once for a database and kept by later epochs."""
    cause: str
    """Why it was begun, for people."""
    from_manifest: bool
    """Of a first epoch: it begins with the records of the manifest at its counter 0, by an import; not with nothing."""
    def __init__(self, number: _Optional[int] = ..., accepted: _Optional[_Union[Sequence, _Mapping]] = ..., accepted_digest: _Optional[bytes] = ..., cluster_id: _Optional[int] = ..., writer: _Optional[str] = ..., time_us: _Optional[int] = ..., database_id: _Optional[str] = ..., cause: _Optional[str] = ..., from_manifest: _Optional[bool] = ...) -> None: ...

class Opaque(_message.Message):
    """The message of a record whose type this server does not know: all of it is kept as unknown fields."""
    __slots__ = ()
    def __init__(self) -> None: ...
