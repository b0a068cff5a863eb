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
from typing import BinaryIO, TypeVar

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

__all__ = ["BLOCK_BYTES", "ExportDamaged", "ExportEncoder", "ExportFile", "ExportInfo"]

BLOCK_BYTES = 256 * 1024
"""The size of a block before compression; its last record may exceed it."""

_MAGIC = b"SLEXP\x00\x00\x01"
_HEAD = struct.Struct(">cI")
_CHECKSUM_BYTES = 16
_LEVEL = 3
_LARGEST_RAW = BLOCK_BYTES + 2 * LARGEST_RECORD
_LARGEST_FRAME = _LARGEST_RAW + 64 * 1024
_HEADER, _BLOCK, _TRAILER = b"H", b"B", b"T"

M = TypeVar("M", pb.Header, pb.Block, pb.Trailer)


class ExportDamaged(DataLoss):
    """The file is not as an export wrote it; the message names the place."""

    reason = "EXPORT_DAMAGED"


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """The header and the totals of an export.

    Attributes:
        database_id: of the database that was exported.
        sequence: its last entry that is in here.
        time: of that entry.
        made: when the export began.
        version: of the software that made it.
        types: how many records of each type there are; `change_group` is among them.
        digest: SHA-256 of all but the last frame.
    """

    database_id: str
    sequence: LogSequence
    time: datetime
    made: datetime
    version: str
    types: Mapping[str, int]
    digest: bytes

    @property
    def records(self) -> int:
        """The number of records of all types."""
        return sum(self.types.values())


class ExportEncoder:
    """The encoder of an export: call `header`, `block` as often as needed, then `trailer`."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._types: dict[str, int] = {}
        self._blocks = 0
        self._last: tuple[str, str] | None = None

    @property
    def records(self) -> int:
        """The number of records so far."""
        return sum(self._types.values())

    def header(self, *, database_id: str, sequence: LogSequence, time_us: int, made: datetime, version: str) -> bytes:
        """Return the first bytes."""
        header = pb.Header(
            database_id=database_id,
            sequence=sequence_proto(sequence),
            time_us=time_us,
            made_us=micros(made),
            version=version,
        )
        return self._count(_MAGIC + _frame(_HEADER, header.SerializeToString()))

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
        block = pb.Block(
            number=self._blocks,
            type=type_name,
            records=len(records),
            size=len(raw),
            data=self._compressor.compress(raw),
        )
        return self._count(_frame(_BLOCK, block.SerializeToString()))

    def trailer(self) -> bytes:
        """Return the last bytes."""
        trailer = pb.Trailer(
            types=[pb.TypeCount(type=name, records=count) for name, count in sorted(self._types.items())],
            records=self.records,
            blocks=self._blocks,
            digest=self._digest.digest(),
        )
        return _frame(_TRAILER, trailer.SerializeToString())

    def _count(self, data: bytes) -> bytes:
        self._digest.update(data)
        return data


def _frame(kind: bytes, message: bytes) -> bytes:
    head = _HEAD.pack(kind, len(message))
    return b"".join((head, hashlib.sha256(head + message).digest()[:_CHECKSUM_BYTES], message))


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame of the file; `digest` is that of all before it."""

    kind: bytes
    message: bytes
    at: int
    digest: bytes


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
        with self._path.open("rb") as file:
            frames = self._frames(file)
            header = self._header(next(frames, None))
            types: dict[str, int] = {}
            place = _Place()
            for frame in frames:
                if frame.kind == _HEADER:
                    raise self._damaged(frame.at, f"a second beginning stands there, after {place}")
                if frame.kind == _TRAILER:
                    if (more := next(frames, None)) is not None:
                        raise self._damaged(more.at, "something stands after its end")
                    return self._info(header, frame, types, place)
                type_name, records = self._records(frame, place)
                types[type_name] = types.get(type_name, 0) + len(records)
                yield type_name, records
            raise self._damaged(file.tell(), "it ends without its last frame: it was cut off")

    # -- inside

    def _frames(self, file: BinaryIO) -> Iterator[_Frame]:
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            if magic[:-1] == _MAGIC[:-1] and len(magic) == len(_MAGIC):
                raise self._damaged(0, f"it is of the format version {magic[-1]}, and this version reads {_MAGIC[-1]}")
            raise self._damaged(0, "it does not begin as an export of a database")
        digest = hashlib.sha256(magic)
        at = len(_MAGIC)
        while head := file.read(_HEAD.size + _CHECKSUM_BYTES):
            if len(head) < _HEAD.size + _CHECKSUM_BYTES:
                raise self._damaged(at, "it is cut off there")
            kind, length = _HEAD.unpack_from(head)
            if kind not in {_HEADER, _BLOCK, _TRAILER} or length > _LARGEST_FRAME:
                raise self._damaged(at, "no frame begins there")
            message = file.read(length)
            if len(message) < length:
                raise self._damaged(at, "it is cut off in the frame that begins there")
            if hashlib.sha256(head[: _HEAD.size] + message).digest()[:_CHECKSUM_BYTES] != head[_HEAD.size :]:
                raise self._damaged(at, "the frame that begins there was changed")
            yield _Frame(kind, message, at, digest.digest() if kind == _TRAILER else b"")
            digest.update(head)
            digest.update(message)
            at += len(head) + length

    def _header(self, frame: _Frame | None) -> pb.Header:
        if frame is None:
            raise self._damaged(len(_MAGIC), "it is cut off there")
        if frame.kind != _HEADER:
            raise self._damaged(frame.at, "its first frame is missing")
        return self._parse(frame, pb.Header())

    def _info(self, header: pb.Header, frame: _Frame, types: Mapping[str, int], place: _Place) -> ExportInfo:
        trailer = self._parse(frame, pb.Trailer())
        counted = {item.type: item.records for item in trailer.types}
        if counted != types or trailer.records != sum(types.values()) or trailer.blocks != place.number:
            raise self._damaged(frame.at, "the records that its last frame counts are not those that it has")
        if trailer.digest != frame.digest:
            raise self._damaged(frame.at, "its content does not have the digest that its last frame names")
        return ExportInfo(
            database_id=header.database_id,
            sequence=from_sequence_proto(header.sequence),
            time=from_micros(header.time_us),
            made=from_micros(header.made_us),
            version=header.version,
            types=types,
            digest=trailer.digest,
        )

    def _records(self, frame: _Frame, place: _Place) -> tuple[str, list[StoredRecord]]:
        block = self._parse(frame, pb.Block())
        if block.number != place.number + 1:
            raise self._damaged(
                frame.at, f"block {block.number} stands there, where {place.number + 1} should be, after {place}"
            )
        if not block.type.isidentifier() or not 0 < block.size <= _LARGEST_RAW:
            raise self._damaged(frame.at, f"block {block.number} is not one of records")
        try:
            raw = decompress("", block.data, block.size, what="it")
            records = decode_records("", raw, block.records).between("", None)
        except FileDamaged as cause:
            raise self._damaged(frame.at, f"block {block.number}, after {place}, cannot be read") from cause
        if not records or (place.last is not None and (block.type, records[0].id) <= place.last):
            raise self._damaged(frame.at, f"the records of block {block.number} are out of order, after {place}")
        place.number, place.last = block.number, (block.type, records[-1].id)
        return block.type, records

    def _parse(self, frame: _Frame, message: M) -> M:
        try:
            message.ParseFromString(frame.message)
        except DecodeError as cause:
            raise self._damaged(frame.at, "the frame that begins there cannot be read") from cause
        return message

    def _damaged(self, at: int, why: str) -> ExportDamaged:
        return ExportDamaged(
            f"the export is damaged at byte {at}: {why}. Take another copy of the file",
            metadata={"byte": str(at)},
        )


@dataclass(slots=True)
class _Place:
    """The place of a reader in the file."""

    number: int = 0
    last: tuple[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.last[0]} {self.last[1]!r}" if self.last is not None else "the beginning"
