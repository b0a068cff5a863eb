"""Log entries: their encoding, and the chain of their digests. Pure.

The digest of an entry covers its content and the digest before. So two servers that agree on one digest agree on the
whole log up to it, and a lost or exchanged entry is detected at the next one.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import zstandard
from google.protobuf.message import DecodeError

from sluiceway.records.log.v1 import log_pb2
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.model import Action, Applied, Delete, Emit, LogSequence, Position, Put, RecordType

GENESIS_DIGEST = bytes(32)
_PLAIN_BELOW = 128
_LARGEST_BATCH = 16 * 1024 * 1024
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of the log: its header, and its bytes as they are stored."""

    sequence: LogSequence
    batch_id: bytes
    writer: str
    time_us: int
    previous_digest: bytes
    digest: bytes
    transactions: int
    raw: bytes

    @property
    def position(self) -> Position:
        return Position(self.sequence, max(self.transactions - 1, 0))


@dataclass(frozen=True, slots=True)
class LoggedTransaction:
    """A transaction with the bodies of its puts in order, and its size in bytes."""

    applied: Applied
    bodies: tuple[bytes, ...]
    size: int


class Catalogue:
    """The record types that this server knows, and an opaque type for every other name."""

    def __init__(self, types: Iterable[RecordType[Any]]) -> None:
        self._known: dict[str, RecordType[Any]] = {}
        for type_ in types:
            if type_.name in self._known:
                raise ValueError(f"two record types are called {type_.name!r}")
            self._known[type_.name] = type_
        self._opaque: dict[str, RecordType[Any]] = {}

    @property
    def known(self) -> Mapping[str, RecordType[Any]]:
        return self._known

    def type(self, name: str) -> RecordType[Any]:
        """Return a type by name. Bodies of an opaque type are copied unchanged."""
        found = self._known.get(name) or self._opaque.get(name)
        if found is None:
            found = self._opaque[name] = RecordType(name, log_pb2.Opaque)
        return found


def micros(time: datetime) -> int:
    """Convert a time into microseconds since 1970."""
    return (time - _EPOCH_START) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """Convert microseconds since 1970 into a time."""
    return _EPOCH_START + timedelta(microseconds=value)


def sequence_proto(sequence: LogSequence) -> log_pb2.Sequence:
    """Encode a sequence."""
    return log_pb2.Sequence(epoch=sequence.epoch, counter=sequence.counter)


def from_sequence_proto(message: log_pb2.Sequence) -> LogSequence:
    """Decode a sequence."""
    return LogSequence(message.epoch, message.counter)


def encode_entry(
    batch: log_pb2.Batch,
    *,
    sequence: LogSequence,
    batch_id: bytes,
    writer: str,
    time_us: int,
    previous_digest: bytes,
    compressor: zstandard.ZstdCompressor,
) -> LogEntry:
    """Encode an entry."""
    body = batch.SerializeToString()
    encoding = log_pb2.ENCODING_PLAIN
    if len(body) >= _PLAIN_BELOW:
        body = compressor.compress(body)
        encoding = log_pb2.ENCODING_ZSTD
    entry = log_pb2.Entry(
        sequence=sequence_proto(sequence),
        batch_id=batch_id,
        writer=writer,
        time_us=time_us,
        previous_digest=previous_digest,
        transactions=len(batch.transactions),
        encoding=encoding,
        batch=body,
    )
    entry.digest = _digest(entry)
    return _log_entry(entry, entry.SerializeToString())


def decode_entry(raw: bytes) -> LogEntry:
    """Decode the header of an entry and check its digest. Raises `DataLoss`."""
    entry = _parse(raw)
    if entry.digest != _digest(entry):
        raise DataLoss(f"the log entry {from_sequence_proto(entry.sequence)} does not match its digest")
    return _log_entry(entry, raw)


def decode_entries(raws: Sequence[bytes]) -> list[LogEntry]:
    """Decode several entries; in a thread, if they are megabytes. Raises `DataLoss`."""
    return [decode_entry(raw) for raw in raws]


def decode_batch(entry: LogEntry) -> log_pb2.Batch:
    """Decode the batch of an entry, without the bodies in it. Raises `DataLoss`."""
    message = _parse(entry.raw)
    try:
        if message.encoding == log_pb2.ENCODING_ZSTD:
            body = zstandard.ZstdDecompressor().decompress(message.batch, max_output_size=_LARGEST_BATCH)
        elif message.encoding == log_pb2.ENCODING_PLAIN:
            body = message.batch
        else:
            raise DataLoss(f"the log entry {entry.sequence} is stored in a form that this version cannot read")
        return log_pb2.Batch.FromString(body)
    except (zstandard.ZstdError, DecodeError) as cause:
        raise DataLoss(f"the log entry {entry.sequence} cannot be read: {cause}") from cause


def decode_transactions(entry: LogEntry, catalogue: Catalogue) -> tuple[LoggedTransaction, ...]:
    """Decode the transactions of an entry. Raises `DataLoss`."""
    batch = decode_batch(entry)
    time = from_micros(entry.time_us)
    try:
        return tuple(
            _transaction(item, Position(entry.sequence, index), time, catalogue)
            for index, item in enumerate(batch.transactions)
        )
    except DecodeError as cause:
        raise DataLoss(f"the log entry {entry.sequence} cannot be read: {cause}") from cause


def _parse(raw: bytes) -> log_pb2.Entry:
    try:
        return log_pb2.Entry.FromString(raw)
    except DecodeError as cause:
        raise DataLoss(f"a log entry of {len(raw)} bytes cannot be read") from cause


def _log_entry(entry: log_pb2.Entry, raw: bytes) -> LogEntry:
    return LogEntry(
        sequence=from_sequence_proto(entry.sequence),
        batch_id=entry.batch_id,
        writer=entry.writer,
        time_us=entry.time_us,
        previous_digest=entry.previous_digest,
        digest=entry.digest,
        transactions=entry.transactions,
        raw=raw,
    )


def _digest(entry: log_pb2.Entry) -> bytes:
    writer = entry.writer.encode()
    head = struct.pack(
        ">IQQIIII",
        entry.sequence.epoch,
        entry.sequence.counter,
        entry.time_us,
        entry.transactions,
        entry.encoding,
        len(entry.batch_id),
        len(writer),
    )
    return hashlib.sha256(b"".join((entry.previous_digest, head, entry.batch_id, writer, entry.batch))).digest()


def _transaction(
    message: log_pb2.Transaction, position: Position, time: datetime, catalogue: Catalogue
) -> LoggedTransaction:
    actions: list[Action] = []
    bodies: list[bytes] = []
    for action in message.actions:
        match action.WhichOneof("kind"):
            case "put":
                type_ = catalogue.type(action.put.type)
                bodies.append(action.put.body)
                actions.append(Put(type_, action.put.id, type_.message.FromString(action.put.body)))
            case "delete":
                actions.append(Delete(catalogue.type(action.delete.type), action.delete.id))
            case "emit":
                actions.append(Emit(action.emit.kind, tuple(action.emit.topics), action.emit.body))
            case _:
                pass  # an action of a newer version, which stays in the entry's bytes
    applied = Applied(position, time, tuple(actions), tuple(message.groups))
    return LoggedTransaction(applied, tuple(bodies), message.ByteSize())


def add_transaction(
    batch: log_pb2.Batch, actions: Sequence[Action], groups: Sequence[str]
) -> tuple[tuple[bytes, ...], int]:
    """Add a transaction to a batch; return the bodies of its puts and its size."""
    message = batch.transactions.add()
    bodies: list[bytes] = []
    for action in actions:
        match action:
            case Put():
                body = action.message.SerializeToString()
                bodies.append(body)
                put = message.actions.add().put
                put.type = action.type.name
                put.id = action.id
                put.body = body
            case Delete():
                delete = message.actions.add().delete
                delete.type = action.type.name
                delete.id = action.id
            case Emit():
                emit = message.actions.add().emit
                emit.kind = action.kind
                emit.topics.extend(action.topics)
                emit.body = action.body
    message.groups.extend(groups)
    return tuple(bodies), message.ByteSize()
