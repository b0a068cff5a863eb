"""The blocks of data files and index dumps: records to bytes and back, each way checked. Pure.

A block is some 64 KiB of records sorted by id, kept in columns (`RecordBlock`, `IndexBlock`): a million rows are then
read without a message for each (decision 0106).

What comes from a storage is not trusted: no length that an object names is allocated before it was compared with a
limit, and a block that was made to be damaged is told as such (`DataLoss`) and never half read.
"""

from __future__ import annotations

import hashlib
import operator
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import NamedTuple

import zstandard
from google.protobuf.message import DecodeError, Message

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.model import LogSequence, Position, Value
from sluiceway_server.datamanager.tables.columns import (
    decode_blobs,
    decode_texts,
    encode_blobs,
    encode_texts,
    transpose,
    transpose_back,
)

__all__ = [
    "CHECKSUM_BYTES",
    "LARGEST_BLOCK",
    "LARGEST_RECORD",
    "Block",
    "FileDamaged",
    "IndexBlock",
    "RecordBlock",
    "StoredRecord",
    "StoredRow",
    "checksum",
    "decode_index",
    "decode_records",
    "decompress",
    "encode_index",
    "encode_records",
    "parse_bounded",
    "rising",
]

_MIB = 1024 * 1024

LARGEST_RECORD = 16 * _MIB
"""Of one record with id and columns; four times the largest transaction."""
LARGEST_BLOCK = LARGEST_RECORD + _MIB
"""Before compression. A block that claims more is damaged, whatever its checksum says."""
CHECKSUM_BYTES = 16
_LARGEST_WINDOW = 32 * _MIB
_SMALL_MESSAGE = _MIB

_REVISION = struct.Struct(">IQI")
_NULL, _TEXT, _NUMBER, _BLOB = 0, 1, 2, 3


class FileDamaged(DataLoss):
    """A data file or index dump is not what was written."""

    reason = "FILE_DAMAGED"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(
            f"{key} is damaged: {why}. Restore this object from a copy of the object storage; `sluice db verify` looks"
            " for others",
            metadata={"object": key},
        )


class StoredRecord(NamedTuple):
    """A record of a data file. `body` is the serialised message; empty for a change group."""

    id: str
    revision: Position
    body: bytes


class StoredRow(NamedTuple):
    """A record of an index dump: the values of its columns, and its body if that is local everywhere."""

    id: str
    revision: Position
    values: tuple[Value, ...]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """A block of a data file.

    Attributes:
        ids: strictly rising, at least one.
        revisions: 16 bytes for each, in the form of the read database.
        bodies: one for each.
    """

    ids: Sequence[str]
    revisions: bytes
    bodies: Sequence[bytes]

    def find(self, id_: str) -> StoredRecord | None:
        """Find a record by id."""
        at = bisect_left(self.ids, id_)
        if at == len(self.ids) or self.ids[at] != id_:
            return None
        epoch, counter, index = _REVISION.unpack_from(self.revisions, at * _REVISION.size)
        return StoredRecord(id_, Position(LogSequence(epoch, counter), index), self.bodies[at])

    def between(self, first: str, last: str | None) -> list[StoredRecord]:
        """List the records from `first` to `last`, both included; None: to the end."""
        begin = bisect_left(self.ids, first)
        end = len(self.ids) if last is None else bisect_right(self.ids, last)
        revisions = _positions(self.revisions[begin * _REVISION.size : end * _REVISION.size])
        return [
            StoredRecord(*parts) for parts in zip(self.ids[begin:end], revisions, self.bodies[begin:end], strict=True)
        ]


@dataclass(frozen=True, slots=True)
class IndexBlock:
    """A block of an index dump.

    Attributes:
        ids: strictly rising, at least one.
        revisions: 16 bytes for each, in the form of the read database.
        columns: for each column of the dump, its values in the order of `ids`.
        bodies: for each row the serialised message, or None where it is remote.
    """

    ids: Sequence[str]
    revisions: bytes
    columns: Sequence[Sequence[Value]]
    bodies: Sequence[bytes | None]

    def rows(self) -> list[StoredRow]:
        """List the rows one by one."""
        values: Sequence[tuple[Value, ...]] = (
            list(zip(*self.columns, strict=True)) if self.columns else [()] * len(self.ids)
        )
        return [
            StoredRow(*parts) for parts in zip(self.ids, _positions(self.revisions), values, self.bodies, strict=True)
        ]


Block = RecordBlock | IndexBlock


def checksum(data: bytes) -> bytes:
    """The check of a block's or a footer's bytes, as they lie in the object."""
    return hashlib.sha256(data).digest()[:CHECKSUM_BYTES]


def rising(ids: Sequence[str]) -> bool:
    """Whether ids rise strictly, by code point."""
    return all(map(operator.lt, ids, islice(ids, 1, None)))


def encode_records(records: Sequence[StoredRecord]) -> bytes:
    """Make the bytes of a block of a data file, before compression."""
    return storage_pb2.RecordBlock(
        ids=[record.id for record in records],
        revisions=_pack(records),
        bodies=[record.body for record in records],
    ).SerializeToString()


def encode_index(rows: Sequence[StoredRow]) -> bytes:
    """Make the bytes of a block of an index dump, before compression.

    Raises:
        ValueError: a number does not fit into 64 bits.
    """
    block = storage_pb2.IndexBlock(
        ids=encode_texts([row.id for row in rows]), revisions=transpose(_pack(rows), _REVISION.size)
    )
    kinds = []
    for column in zip(*(row.values for row in rows), strict=True):
        kinds.append(bytes(map(_kind, column)))
        if texts := [value for value in column if isinstance(value, str)]:
            block.texts.append(encode_texts(texts))
        if blobs := [value for value in column if isinstance(value, bytes)]:
            block.blobs.append(encode_blobs(blobs))
        block.numbers.extend(value for value in column if isinstance(value, int))
    block.kinds = b"".join(kinds)
    local = [(at, row.body) for at, row in enumerate(rows) if row.body is not None]
    block.local_rows.extend(at for at, _ in local)
    block.local_bodies.extend(body for _, body in local)
    return block.SerializeToString()


def decode_records(key: str, raw: bytes, count: int) -> RecordBlock:
    """Read a block of a data file.

    Args:
        key: names the object in an error.
        raw: as `encode_records` made it.
        count: the records that there must be.

    Raises:
        FileDamaged: it is not a block, or not one of sorted records.
    """
    message = storage_pb2.RecordBlock()
    parse_bounded(key, raw, message, most_fields=_fields(count, 1), what="one of its blocks")
    # Compared before anything is copied: what a crafted block claims must not be made first.
    if not len(message.ids) == len(message.bodies) == count or len(message.revisions) != count * _REVISION.size:
        raise FileDamaged(key, f"one of its blocks does not have the {count} records that its footer names")
    ids = list(message.ids)
    if not rising(ids):
        raise FileDamaged(key, "the records of one of its blocks are out of order")
    return RecordBlock(ids, message.revisions, list(message.bodies))


def decode_index(key: str, raw: bytes, count: int, columns: int) -> IndexBlock:
    """Read a block of an index dump with so many columns. Otherwise as `decode_records`."""
    message = storage_pb2.IndexBlock()
    parse_bounded(key, raw, message, most_fields=_fields(count, columns + 1), what="one of its blocks")
    kinds, numbers, local = message.kinds, message.numbers, list(message.local_rows)
    if (
        len(message.revisions) != count * _REVISION.size
        or len(kinds) != count * columns
        or len(numbers) != kinds.count(_NUMBER)
        or max(kinds, default=0) > _BLOB
        or len(local) != len(message.local_bodies)
    ):
        raise FileDamaged(key, f"one of its blocks does not have the {count} rows that its footer names")
    try:
        ids = decode_texts(message.ids, count)
        made = _columns(message, count, columns)
    except ValueError as cause:
        raise FileDamaged(key, f"one of its blocks does not have the {count} rows that its footer names") from cause
    if not rising(ids):
        raise FileDamaged(key, "the rows of one of its blocks are out of order")
    if local and (local[-1] >= count or not all(map(operator.lt, local, islice(local, 1, None)))):
        raise FileDamaged(key, "one of its blocks has bodies of rows that are not there")
    bodies: list[bytes | None] = [None] * count
    for at, body in zip(local, message.local_bodies, strict=True):
        bodies[at] = body
    return IndexBlock(ids, transpose_back(message.revisions, _REVISION.size), made, bodies)


def decompress(key: str, data: bytes, size: int, *, what: str) -> bytes:
    """Decompress one zstd frame of exactly `size` bytes.

    The caller has compared `size` with a limit; the frame may claim nothing else, so nothing larger is allocated.

    Raises:
        FileDamaged: it is not such a frame.
    """
    try:
        if zstandard.frame_content_size(data) != size:
            raise FileDamaged(key, f"{what} claims another size than it should have")
        decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        return decompressor.decompress(data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as cause:
        raise FileDamaged(key, f"{what} cannot be decompressed ({cause})") from cause


def parse_bounded(key: str, raw: bytes, message: Message, *, most_fields: int, what: str) -> None:
    """Parse a message that may have been crafted.

    A field of two bytes takes up to fifty when it is parsed. So of a message that is not small the fields are counted
    before: honest ones that are large have few and long ones.

    Raises:
        FileDamaged: it cannot be parsed, or has more fields than it can have.
    """
    if len(raw) > _SMALL_MESSAGE and not _has_at_most(raw, most_fields):
        raise FileDamaged(key, f"{what} has more parts than it can have")
    try:
        message.ParseFromString(raw)
    except DecodeError as cause:
        raise FileDamaged(key, f"{what} cannot be read") from cause


def _fields(count: int, for_each: int) -> int:
    # Twice, and some: a newer version may have more.
    return 2 * count * (for_each + 1) + 100


def _has_at_most(raw: bytes, most: int) -> bool:
    """Count the fields of a serialised message, up to the first that is too many or that none of ours could have."""
    at = 0
    for _ in range(most):
        if at >= len(raw):
            return True
        tag, at = _varint(raw, at)
        match tag & 7:
            case 0:
                _, at = _varint(raw, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(raw, at)
                at += length
            case 5:
                at += 4
            case _:
                return False
    return at >= len(raw)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Read a varint; answers it and where it ends. One that has no end ends the message."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            break
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return value, len(raw)


def _pack(records: Sequence[StoredRecord] | Sequence[StoredRow]) -> bytes:
    return b"".join(
        _REVISION.pack(revision.sequence.epoch, revision.sequence.counter, revision.index)
        for _, revision, *_ in records
    )


def _positions(revisions: bytes) -> list[Position]:
    # Neighbours often have one revision: those of an import, and those of one transaction.
    known: dict[tuple[int, int, int], Position] = {}
    found = []
    for parts in _REVISION.iter_unpack(revisions):
        position = known.get(parts)
        if position is None:
            position = known[parts] = Position(LogSequence(parts[0], parts[1]), parts[2])
        found.append(position)
    return found


def _kind(value: Value) -> int:
    if value is None:
        return _NULL
    return _TEXT if isinstance(value, str) else _BLOB if isinstance(value, bytes) else _NUMBER


def _columns(message: storage_pb2.IndexBlock, count: int, columns: int) -> list[Sequence[Value]]:
    """Put the values of each column together. Those of one kind, which are nearly all, are not looked at one by one.

    Raises:
        ValueError: there are not as many as `kinds` says.
    """
    numbers = list(message.numbers)
    texts, blobs = iter(message.texts), iter(message.blobs)
    found: list[Sequence[Value]] = []
    number = 0
    for column in range(columns):
        own = message.kinds[column * count : (column + 1) * count]
        parts: dict[int, Sequence[Value]] = {}
        if of_kind := own.count(_TEXT):
            parts[_TEXT] = decode_texts(_next(texts), of_kind)
        if of_kind := own.count(_NUMBER):
            parts[_NUMBER] = numbers[number : number + of_kind]
            number += of_kind
        if of_kind := own.count(_BLOB):
            parts[_BLOB] = decode_blobs(_next(blobs), of_kind)
        if not parts:
            found.append([None] * count)
        elif all(len(part) == count for part in parts.values()):
            found.extend(parts.values())
        else:
            left = {_NULL: repeat(None), **{kind: iter(part) for kind, part in parts.items()}}
            found.append([next(left[kind]) for kind in own])
    if next(texts, None) is not None or next(blobs, None) is not None:
        raise ValueError("more values than kinds")
    return found


def _next(values: Iterator[storage_pb2.Values]) -> storage_pb2.Values:
    found = next(values, None)
    if found is None:
        raise ValueError("fewer values than kinds")
    return found
