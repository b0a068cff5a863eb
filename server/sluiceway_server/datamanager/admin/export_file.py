"""The export file: all records of a database as of one entry of its log, in one stream of bytes.

`proto/sluiceway/records/export/v1` defines the format. Every frame has a checksum, so that damage is located. Blocks
are numbered and sorted, and the last frame has their number and the digest of all before it, so that truncation,
missing blocks and a changed order are detected. Files are written and read block by block, so memory does not grow with
them.

All functions block; call them in a thread.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import zstandard
from google.protobuf.message import DecodeError

from sluiceway.records.export.v1 import export_pb2 as pb
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import from_micros, from_sequence_proto, micros, sequence_proto
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.tables.block import (
    LARGEST_RECORD,
    FileDamaged,
    StoredRecord,
    decode_records,
    decompress,
    encode_records,
)

BLOCK_BYTES = 256 * 1024
"""The size of a block before compression; its last record may exceed it."""

_MAGIC = b"SLEXP\x00\x00\x01"
_HEAD = struct.Struct(">cI")
_CHECKSUM_BYTES = 16
_LEVEL = 3
_LARGEST_RAW = BLOCK_BYTES + 2 * LARGEST_RECORD
_LARGEST_FRAME = _LARGEST_RAW + 64 * 1024
_MESSAGES: Mapping[bytes, type[pb.Header] | type[pb.Block] | type[pb.Trailer]] = {
    b"H": pb.Header,
    b"B": pb.Block,
    b"T": pb.Trailer,
}


class ExportDamaged(DataLoss):
    """The file is not as an export wrote it; the message names the place."""

    reason = "EXPORT_DAMAGED"

    def __init__(self, at: int, why: str) -> None:
        super().__init__(
            f"the export is damaged at byte {at}: {why}. Take another copy of the file", metadata={"byte": str(at)}
        )


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """The header and the totals of an export.

    Attributes:
        sequence: the last entry that is in it.
        time: of that entry.
        made: when the export began.
        types: how many records of each type there are; `change_group` is among them.
    """

    database_id: str
    sequence: LogSequence
    time: datetime
    made: datetime
    version: str
    types: Mapping[str, int]

    @property
    def records(self) -> int:
        return sum(self.types.values())


class ExportEncoder:
    """The encoder of an export: call `header`, `block` as often as needed, then `trailer`."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._types: dict[str, int] = {}
        self._blocks = 0
        self._last: tuple[str, str] | None = None

    def header(self, *, database_id: str, sequence: LogSequence, time_us: int, made: datetime, version: str) -> bytes:
        header = pb.Header(
            database_id=database_id,
            sequence=sequence_proto(sequence),
            time_us=time_us,
            made_us=micros(made),
            version=version,
        )
        return self._count(_MAGIC + _frame(b"H", header.SerializeToString()))

    def block(self, type_name: str, records: Sequence[StoredRecord]) -> bytes:
        """Return the bytes of some records of a type.

        Raises:
            ValueError: none, or they do not follow, in type and id, from those before.
        """
        if not records or (self._last is not None and (type_name, records[0].id) <= self._last):
            raise ValueError(f"a block of {type_name} is empty or out of order")
        self._last = (type_name, records[-1].id)
        self._types[type_name] = self._types.get(type_name, 0) + len(records)
        self._blocks += 1
        raw = encode_records(records)
        data = self._compressor.compress(raw)
        block = pb.Block(number=self._blocks, type=type_name, records=len(records), size=len(raw), data=data)
        return self._count(_frame(b"B", block.SerializeToString()))

    def trailer(self) -> bytes:
        trailer = pb.Trailer(
            types=[pb.TypeCount(type=name, records=count) for name, count in sorted(self._types.items())],
            records=sum(self._types.values()),
            blocks=self._blocks,
            digest=self._digest.digest(),
        )
        return _frame(b"T", trailer.SerializeToString())

    def _count(self, data: bytes) -> bytes:
        self._digest.update(data)
        return data


def _frame(kind: bytes, message: bytes) -> bytes:
    head = _HEAD.pack(kind, len(message))
    return b"".join((head, hashlib.sha256(head + message).digest()[:_CHECKSUM_BYTES], message))


class ExportFile:
    """An export in a file. Every method raises `ExportDamaged` if it is not as an export wrote it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> ExportInfo:
        """Read and check all of it."""
        blocks = self.blocks()
        while True:
            try:
                next(blocks)
            except StopIteration as end:
                info: ExportInfo = end.value
                return info

    def blocks(self) -> Generator[tuple[str, list[StoredRecord]], None, ExportInfo]:
        """Yield the records in blocks of one type, sorted by type and id; return the header with the totals."""
        header: pb.Header | None = None
        types: dict[str, int] = {}
        number, last = 0, ("", "")
        with self._path.open("rb") as file:
            for at, frame, digest in _frames(file):
                match frame:
                    case pb.Header() if header is None:
                        header = frame
                    case pb.Block() if header is not None:
                        number += 1
                        records = _records(frame, at, number, last)
                        last = (frame.type, records[-1].id)
                        types[frame.type] = types.get(frame.type, 0) + len(records)
                        yield frame.type, records
                    case pb.Trailer() if header is not None:
                        counted = {item.type: item.records for item in frame.types}
                        if (counted, frame.blocks, frame.digest) != (types, number, digest):
                            raise ExportDamaged(at, "its records and their digest are not those that its end names")
                        if file.read(1):
                            raise ExportDamaged(file.tell() - 1, "there is something after its end")
                        return ExportInfo(
                            database_id=header.database_id,
                            sequence=from_sequence_proto(header.sequence),
                            time=from_micros(header.time_us),
                            made=from_micros(header.made_us),
                            version=header.version,
                            types=types,
                        )
                    case _:
                        raise ExportDamaged(at, "another frame should be there")
            raise ExportDamaged(file.tell(), "it ends without its last frame: it was cut off")


def _frames(file: BinaryIO) -> Iterator[tuple[int, pb.Header | pb.Block | pb.Trailer, bytes]]:
    """Yield the place of each frame, its message, and the digest of all bytes before it."""
    magic = file.read(len(_MAGIC))
    if magic != _MAGIC:
        if magic[:-1] == _MAGIC[:-1] and len(magic) == len(_MAGIC):
            raise ExportDamaged(0, f"it is of the format version {magic[-1]}, and this version reads {_MAGIC[-1]}")
        raise ExportDamaged(0, "it does not begin as an export of a database")
    digest = hashlib.sha256(magic)
    while head := file.read(_HEAD.size + _CHECKSUM_BYTES):
        at = file.tell() - len(head)
        if len(head) < _HEAD.size + _CHECKSUM_BYTES:
            raise ExportDamaged(at, "it is cut off there")
        kind, length = _HEAD.unpack_from(head)
        if kind not in _MESSAGES or length > _LARGEST_FRAME:
            raise ExportDamaged(at, "no frame begins there")
        content = file.read(length)
        if hashlib.sha256(head[: _HEAD.size] + content).digest()[:_CHECKSUM_BYTES] != head[_HEAD.size :]:
            raise ExportDamaged(at, "the frame that begins there was changed or cut off")
        try:
            message = _MESSAGES[kind].FromString(content)
        except DecodeError as cause:
            raise ExportDamaged(at, "the frame that begins there cannot be read") from cause
        yield at, message, digest.digest()
        digest.update(head)
        digest.update(content)


def _records(block: pb.Block, at: int, number: int, last: tuple[str, str]) -> list[StoredRecord]:
    """Decode the next block; `last` is the type and the id of the record before it."""
    after = f"after {last[0]} {last[1]!r}" if number > 1 else "after the beginning"
    if block.number != number:
        raise ExportDamaged(at, f"block {block.number} is there, where {number} should be, {after}")
    if not block.type.isidentifier() or not 0 < block.size <= _LARGEST_RAW:
        raise ExportDamaged(at, f"block {number} is not one of records")
    try:
        raw = decompress("", block.data, block.size, what="it")
        records = decode_records("", raw, block.records).records()
    except FileDamaged as cause:
        raise ExportDamaged(at, f"block {number}, {after}, cannot be read") from cause
    if not records or (number > 1 and (block.type, records[0].id) <= last):
        raise ExportDamaged(at, f"the records of block {number} are out of order, {after}")
    return records
