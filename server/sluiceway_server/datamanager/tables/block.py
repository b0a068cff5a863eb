"""Encode and decode the blocks of data files and index dumps. Pure.

A block has about 64 KiB of records sorted by id, stored by column (`RecordBlock`, `IndexBlock`), so that a million rows
are read without a message for each (decision 0106).

Values of one length are stored *transposed*: the first bytes of all values, then the second bytes of all. Ids, digests
and times in hex begin alike and end in noise, in which zstd finds little; transposed, what is equal in all values is
one run, and an id that is part of another column's is found there as a whole.

The bytes are not trusted: a length in an object is compared with a limit before memory is allocated for it (decision
0285), and a damaged block raises `FileDamaged` and is never half read.
"""

from __future__ import annotations

import hashlib
import operator
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import NamedTuple, TypeVar

import zstandard
from google.protobuf.message import DecodeError, Message

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway.records.storage.v1.storage_pb2 import Values
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.model import LogSequence, Position, RecordType, Value

M = TypeVar("M", bound=Message)

_MIB = 1024 * 1024

LARGEST_RECORD = 16 * _MIB
"""Bytes of one record with its id and columns; four times the largest transaction."""
LARGEST_BLOCK = LARGEST_RECORD + _MIB
"""Bytes before compression. A block that claims more is damaged, whatever its checksum says."""
CHECKSUM_BYTES = 16
_LARGEST_WINDOW = 32 * _MIB
_WIDEST_TRANSPOSED = 255  # zstd finds longer equal values by itself

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
    """A block of a data file: ids in rising order, revisions of 16 bytes each as in the replica."""

    ids: Sequence[str]
    revisions: bytes
    bodies: Sequence[bytes]

    def find(self, id_: str) -> StoredRecord | None:
        at = bisect_left(self.ids, id_)
        if at == len(self.ids) or self.ids[at] != id_:
            return None
        epoch, counter, index = _REVISION.unpack_from(self.revisions, at * _REVISION.size)
        return StoredRecord(id_, Position(LogSequence(epoch, counter), index), self.bodies[at])

    def records(self) -> list[StoredRecord]:
        return [StoredRecord(*parts) for parts in zip(self.ids, _positions(self.revisions), self.bodies, strict=True)]


@dataclass(frozen=True, slots=True)
class IndexBlock:
    """A block of an index dump, as `RecordBlock`; a body that is None is in the data file only."""

    ids: Sequence[str]
    revisions: bytes
    columns: Sequence[Sequence[Value]]
    bodies: Sequence[bytes | None]

    def rows(self) -> list[StoredRow]:
        values: Sequence[tuple[Value, ...]] = (
            list(zip(*self.columns, strict=True)) if self.columns else [()] * len(self.ids)
        )
        return [
            StoredRow(*parts) for parts in zip(self.ids, _positions(self.revisions), values, self.bodies, strict=True)
        ]


Block = RecordBlock | IndexBlock


def decode_body(type_: RecordType[M], id_: str, body: bytes) -> M:
    """Decode the body of a record. Raises `DataLoss` (`RECORD_DAMAGED`)."""
    try:
        return type_.message.FromString(body)
    except DecodeError as cause:
        raise DataLoss(
            f"the {type_.name} {id_!r} cannot be read as {type_.message.DESCRIPTOR.full_name}; a version of the server"
            " that wrote it can",
            reason="RECORD_DAMAGED",
        ) from cause


def checksum(data: bytes) -> bytes:
    """Return the checksum of the bytes of a block or a footer in the object."""
    return hashlib.sha256(data).digest()[:CHECKSUM_BYTES]


def rising(ids: Sequence[str]) -> bool:
    """Return whether ids rise strictly, by code point."""
    return all(map(operator.lt, ids, islice(ids, 1, None)))


def encode_records(records: Sequence[StoredRecord]) -> bytes:
    """Encode a block of a data file, without compression."""
    return storage_pb2.RecordBlock(
        ids=[record.id for record in records],
        revisions=_pack(records),
        bodies=[record.body for record in records],
    ).SerializeToString()


def encode_index(rows: Sequence[StoredRow]) -> bytes:
    """Encode a block of an index dump, without compression. Raises ValueError for a number of more than 64 bits."""
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
    """Decode a block of `count` records. Raises `FileDamaged`, which names the object `key`."""
    try:
        message = storage_pb2.RecordBlock.FromString(raw)
    except DecodeError as cause:
        raise FileDamaged(key, "one of its blocks cannot be read") from cause
    if not len(message.ids) == len(message.bodies) == count or len(message.revisions) != count * _REVISION.size:
        raise FileDamaged(key, f"one of its blocks does not have the {count} records that its footer names")
    ids = list(message.ids)
    if not rising(ids):
        raise FileDamaged(key, "the records of one of its blocks are out of order")
    return RecordBlock(ids, message.revisions, list(message.bodies))


def decode_index(key: str, raw: bytes, count: int, columns: int) -> IndexBlock:
    """Decode a block of an index dump, as `decode_records`."""
    try:
        message = storage_pb2.IndexBlock.FromString(raw)
        kinds, local = message.kinds, list(message.local_rows)
        _check_count(len(message.revisions), count * _REVISION.size)
        _check_count(len(kinds), count * columns)
        _check_count(len(message.numbers), kinds.count(_NUMBER))
        _check_count(len(message.local_bodies), len(local))
        if max(kinds, default=0) > _BLOB:
            raise ValueError("a kind that this version does not know")
        ids = decode_texts(message.ids, count)
        made = _columns(message, count, columns)
    except (DecodeError, ValueError) as cause:
        raise FileDamaged(key, f"one of its blocks does not have the {count} rows that its footer names") from cause
    if not rising(ids):
        raise FileDamaged(key, "the rows of one of its blocks are out of order")
    if local and (local[-1] >= count or not all(map(operator.lt, local, islice(local, 1, None)))):
        raise FileDamaged(key, "one of its blocks has bodies of rows that are not there")
    bodies: list[bytes | None] = [None] * count
    for at, body in zip(local, message.local_bodies, strict=True):
        bodies[at] = body
    return IndexBlock(ids, untranspose(message.revisions, _REVISION.size), made, bodies)


def transpose(data: bytes, width: int) -> bytes:
    """Return the first bytes of all values of `width` bytes, then the second bytes, and so on."""
    return b"".join(data[at::width] for at in range(width))


def untranspose(data: bytes, width: int) -> bytes:
    """Undo `transpose`."""
    # One copy per byte of a value, and not per value: values are shorter than columns are long.
    count = len(data) // width
    made = bytearray(len(data))
    for at in range(width):
        made[at::width] = data[at * count : (at + 1) * count]
    return bytes(made)


def encode_texts(texts: Sequence[str]) -> Values:
    """Encode one or more texts."""
    width = len(texts[0])
    if 0 < width <= _WIDEST_TRANSPOSED and all(len(text) == width and text.isascii() for text in texts):
        return Values(width=width, transposed=transpose("".join(texts).encode(), width))
    return Values(texts=texts)


def encode_blobs(blobs: Sequence[bytes]) -> Values:
    """Encode one or more byte strings."""
    width = len(blobs[0])
    if 0 < width <= _WIDEST_TRANSPOSED and all(len(blob) == width for blob in blobs):
        return Values(width=width, transposed=transpose(b"".join(blobs), width))
    return Values(blobs=blobs)


def decode_texts(values: Values, count: int) -> Sequence[str]:
    """Decode `count` texts. Raises ValueError if there are fewer or more, or other values."""
    if not values.width:
        _check_count(len(values.texts), count)
        return list(values.texts)
    joined = _joined(values, count).decode("ascii")
    return [joined[at : at + values.width] for at in range(0, len(joined), values.width)]


def decode_blobs(values: Values, count: int) -> Sequence[bytes]:
    """Decode `count` byte strings, as `decode_texts`."""
    if not values.width:
        _check_count(len(values.blobs), count)
        return list(values.blobs)
    joined = _joined(values, count)
    return [joined[at : at + values.width] for at in range(0, len(joined), values.width)]


def _joined(values: Values, count: int) -> bytes:
    _check_count(len(values.transposed), count * values.width)
    return untranspose(values.transposed, values.width)


def _check_count(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"{found} values instead of {expected}")


def decompress(key: str, data: bytes, size: int, *, what: str) -> bytes:
    """Decompress one zstd frame of exactly `size` bytes, which the caller has checked. Raises `FileDamaged`."""
    try:
        if zstandard.frame_content_size(data) != size:
            raise FileDamaged(key, f"{what} claims another size than it should have")
        decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        return decompressor.decompress(data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as cause:
        raise FileDamaged(key, f"{what} cannot be decompressed ({cause})") from cause


def _pack(records: Sequence[StoredRecord] | Sequence[StoredRow]) -> bytes:
    return b"".join(
        _REVISION.pack(revision.sequence.epoch, revision.sequence.counter, revision.index)
        for _, revision, *_ in records
    )


def _positions(revisions: bytes) -> list[Position]:
    # Neighbours often share one revision: all records of an import or of a transaction do.
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
    """Return the values by column. Raises ValueError when there are more or fewer than `kinds` says."""
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


def _next(values: Iterator[Values]) -> Values:
    found = next(values, None)
    if found is None:
        raise ValueError("fewer values than kinds")
    return found
