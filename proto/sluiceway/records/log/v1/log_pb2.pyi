from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    ENCODING_PLAIN: _ClassVar[Encoding]
    ENCODING_ZSTD: _ClassVar[Encoding]
ENCODING_UNSPECIFIED: Encoding
ENCODING_PLAIN: Encoding
ENCODING_ZSTD: Encoding

class Sequence(_message.Message):
    __slots__ = ("epoch", "counter")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    counter: int
    def __init__(self, epoch: _Optional[int] = ..., counter: _Optional[int] = ...) -> None: ...

class Put(_message.Message):
    __slots__ = ("type", "id", "body")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    body: bytes
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ..., body: _Optional[bytes] = ...) -> None: ...

class Delete(_message.Message):
    __slots__ = ("type", "id")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    type: str
    id: str
    def __init__(self, type: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class Emit(_message.Message):
    __slots__ = ("kind", "topics", "body")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    body: bytes
    def __init__(self, kind: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., body: _Optional[bytes] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("put", "delete", "emit")
    PUT_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    EMIT_FIELD_NUMBER: _ClassVar[int]
    put: Put
    delete: Delete
    emit: Emit
    def __init__(self, put: _Optional[_Union[Put, _Mapping]] = ..., delete: _Optional[_Union[Delete, _Mapping]] = ..., emit: _Optional[_Union[Emit, _Mapping]] = ...) -> None: ...

class Transaction(_message.Message):
    __slots__ = ("actions", "groups")
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    actions: _containers.RepeatedCompositeFieldContainer[Action]
    groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, actions: _Optional[_Iterable[_Union[Action, _Mapping]]] = ..., groups: _Optional[_Iterable[str]] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("transactions",)
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    transactions: _containers.RepeatedCompositeFieldContainer[Transaction]
    def __init__(self, transactions: _Optional[_Iterable[_Union[Transaction, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
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
    batch_id: bytes
    writer: str
    time_us: int
    previous_digest: bytes
    digest: bytes
    transactions: int
    encoding: Encoding
    batch: bytes
    def __init__(self, sequence: _Optional[_Union[Sequence, _Mapping]] = ..., batch_id: _Optional[bytes] = ..., writer: _Optional[str] = ..., time_us: _Optional[int] = ..., previous_digest: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., transactions: _Optional[int] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., batch: _Optional[bytes] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("sequence", "batch_id", "writer", "total_bytes", "digest", "transactions")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    sequence: Sequence
    batch_id: bytes
    writer: str
    total_bytes: int
    digest: bytes
    transactions: int
    def __init__(self, sequence: _Optional[_Union[Sequence, _Mapping]] = ..., batch_id: _Optional[bytes] = ..., writer: _Optional[str] = ..., total_bytes: _Optional[int] = ..., digest: _Optional[bytes] = ..., transactions: _Optional[int] = ...) -> None: ...

class Flushed(_message.Message):
    __slots__ = ("sequence", "total_bytes", "digest", "first_kept_counter", "database_id")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_KEPT_COUNTER_FIELD_NUMBER: _ClassVar[int]
    DATABASE_ID_FIELD_NUMBER: _ClassVar[int]
    sequence: Sequence
    total_bytes: int
    digest: bytes
    first_kept_counter: int
    database_id: str
    def __init__(self, sequence: _Optional[_Union[Sequence, _Mapping]] = ..., total_bytes: _Optional[int] = ..., digest: _Optional[bytes] = ..., first_kept_counter: _Optional[int] = ..., database_id: _Optional[str] = ...) -> None: ...

class SegmentHeader(_message.Message):
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
    last: Sequence
    previous_digest: bytes
    digest: bytes
    total_bytes: int
    writer: str
    time_us: int
    database_id: str
    def __init__(self, first: _Optional[_Union[Sequence, _Mapping]] = ..., last: _Optional[_Union[Sequence, _Mapping]] = ..., previous_digest: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., total_bytes: _Optional[int] = ..., writer: _Optional[str] = ..., time_us: _Optional[int] = ..., database_id: _Optional[str] = ...) -> None: ...

class Epoch(_message.Message):
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
    accepted: Sequence
    accepted_digest: bytes
    cluster_id: int
    writer: str
    time_us: int
    database_id: str
    cause: str
    from_manifest: bool
    def __init__(self, number: _Optional[int] = ..., accepted: _Optional[_Union[Sequence, _Mapping]] = ..., accepted_digest: _Optional[bytes] = ..., cluster_id: _Optional[int] = ..., writer: _Optional[str] = ..., time_us: _Optional[int] = ..., database_id: _Optional[str] = ..., cause: _Optional[str] = ..., from_manifest: _Optional[bool] = ...) -> None: ...

class Opaque(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
