"""The format of data files and index dumps: what surrounds their blocks, and how blocks are found. Pure.

    magic with version | blocks, each a zstd frame | footer, a zstd frame of `FileFooter` | trailer
    trailer: length of the footer, its size before compression, its checksum, the magic again

A manifest says where the footer begins, so one range read fetches it with the trailer; without a manifest the trailer,
which has a fixed length, says it. A footer is checked before it is used: its blocks must fill the object exactly, and
it must agree with the manifest.
"""

from __future__ import annotations

import operator
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import TypeVar

import zstandard
from google.protobuf.message import DecodeError

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_server.datamanager.tables.block import (
    CHECKSUM_BYTES,
    LARGEST_BLOCK,
    Block,
    FileDamaged,
    IndexBlock,
    RecordBlock,
    checksum,
    decode_index,
    decode_records,
    decompress,
)
from sluiceway_server.objectstorage.layout import Folder

A = TypeVar("A", bound=Block)
B = TypeVar("B")

LARGEST_FOOTER = 8 * 1024 * 1024
"""Bytes before and after compression; that of a file of gigabytes."""

_VERSION = 1
_MOST_COLUMNS = 1000
_RANGE_BYTES = 1024 * 1024  # of blocks, before compression, that are read at once
_TRAILER = struct.Struct(">II16s8s")
TRAILER_BYTES = _TRAILER.size
MAGIC_BYTES = 8


class FileKind(StrEnum):
    """What a file contains; the value is the folder of its objects."""

    DATA = Folder.DATA.value
    INDEX = Folder.INDEX.value

    @property
    def magic(self) -> bytes:
        """The first bytes of such an object; the last of them is the version."""
        return (b"SLDAT\x00\x00" if self is FileKind.DATA else b"SLIDX\x00\x00") + bytes([_VERSION])


@dataclass(frozen=True, slots=True)
class Footer:
    """A footer that was checked. All sequences have an item for each block.

    Attributes:
        type_version: of an index dump: the `RecordType.version` that computed the columns.
        offsets: where each block begins, and where the last one ends.
        sizes: bytes before compression.
    """

    type: str
    records: int
    columns: tuple[str, ...]
    type_version: int
    firsts: Sequence[str]
    lasts: Sequence[str]
    offsets: array[int]
    sizes: array[int]
    counts: array[int]
    checksums: bytes

    def __len__(self) -> int:
        return len(self.sizes)

    def block_of(self, id_: str) -> int | None:
        """Return the only block that may have an id; None: the id is not in the file."""
        block = bisect_left(self.lasts, id_)
        return block if block < len(self) and self.firsts[block] <= id_ else None


def encode_end(kind: FileKind, message: storage_pb2.FileFooter) -> bytes:
    """Encode footer and trailer. Raises ValueError for more blocks than readers accept."""
    raw = message.SerializeToString()
    data = zstandard.ZstdCompressor().compress(raw)
    if max(len(raw), len(data)) > LARGEST_FOOTER:
        raise ValueError(
            f"a file of {message.type} records has {len(message.lengths)} blocks and a footer of {len(raw)} bytes: no"
            " reader would accept it; split it earlier"
        )
    return data + _TRAILER.pack(len(data), len(raw), checksum(data), kind.magic)


def check_magic(key: str, kind: FileKind, magic: bytes, *, where: str) -> None:
    """Compare the first or last eight bytes of an object. Raises `FileDamaged`."""
    if magic == kind.magic:
        return
    if magic[:-1] == kind.magic[:-1]:
        raise FileDamaged(
            key, f"it is of the format version {magic[-1]}, and this server reads version {_VERSION} only"
        )
    for other in FileKind:
        if magic[:-1] == other.magic[:-1]:
            raise FileDamaged(key, f"it is an object of the folder {other.value}/")
    raise FileDamaged(key, f"its {where} is not that of a file of this kind (cut off, or another program's object)")


def decode_end(key: str, kind: FileKind, end: bytes, *, footer_offset: int) -> Footer:
    """Decode and check the bytes from `footer_offset` to the object's end.

    Raises:
        FileDamaged: they are not valid, or the blocks do not fill the object.
    """
    if len(end) < TRAILER_BYTES:
        raise FileDamaged(key, "it is cut off")
    data = end[:-TRAILER_BYTES]
    length, size, check, magic = _TRAILER.unpack(end[-TRAILER_BYTES:])
    check_magic(key, kind, magic, where="end")
    if max(length, size) > LARGEST_FOOTER:
        raise FileDamaged(
            key, f"it claims a footer of {max(length, size)} bytes; at most {LARGEST_FOOTER} are possible"
        )
    if length != len(data):
        raise FileDamaged(key, "its footer is not where it should be")
    if checksum(data) != check:
        raise FileDamaged(key, "the checksum of its footer does not hold")
    try:
        message = storage_pb2.FileFooter.FromString(decompress(key, data, size, what="its footer"))
    except DecodeError as cause:
        raise FileDamaged(key, "its footer cannot be read") from cause
    for fault in _faults_of(message, kind, footer_offset):
        raise FileDamaged(key, fault)
    return Footer(
        type=message.type,
        records=message.records,
        columns=tuple(message.columns),
        type_version=message.type_version,
        firsts=list(message.firsts),
        lasts=list(message.lasts),
        offsets=array("Q", accumulate(message.lengths, initial=MAGIC_BYTES)),
        sizes=array("I", message.sizes),
        counts=array("I", message.counts),
        checksums=message.checksums,
    )


def _faults_of(message: storage_pb2.FileFooter, kind: FileKind, footer_offset: int) -> Iterator[str]:
    blocks, columns = len(message.lengths), message.columns
    parts = (message.firsts, message.lasts, message.sizes, message.counts)
    if blocks == 0 or any(len(part) != blocks for part in parts) or len(message.checksums) != blocks * CHECKSUM_BYTES:
        yield "its footer contradicts itself about the blocks"
    if min(message.counts) < 1 or sum(message.counts) != message.records:
        yield "its footer contradicts itself about the records"
    if max(message.sizes) > LARGEST_BLOCK or any(map(operator.lt, message.sizes, message.counts)):
        yield "its footer names blocks of a size that is not possible"
    if min(message.lengths) < 1 or MAGIC_BYTES + sum(message.lengths) != footer_offset:
        yield "its blocks do not fill it"
    # A block of one record begins and ends with it.
    if any(map(operator.gt, message.firsts, message.lasts)) or any(map(operator.ge, message.lasts, message.firsts[1:])):
        yield "its blocks are out of order, or overlap"
    if len(columns) > _MOST_COLUMNS or len(set(columns)) != len(columns) or (columns and kind is FileKind.DATA):
        yield "its footer names columns that it cannot have"


def check_against(footer: Footer, ref: storage_pb2.FileRef, kind: FileKind) -> None:
    """Raise `FileDamaged` if a footer does not agree with the manifest."""
    if not ref.key.startswith(f"{kind.value}/{footer.type}/"):
        raise FileDamaged(ref.key, f"it holds records of the type {footer.type!r}")
    found = (footer.firsts[0], footer.lasts[-1], footer.records, footer.offsets[-1])
    if found != (ref.first, ref.last, ref.records, ref.footer_offset):
        raise FileDamaged(ref.key, "it is not the file that the manifest names, but another one")


@dataclass(frozen=True, slots=True)
class BlockRange:
    """Neighbouring blocks, from `begin` to before `end`, and where they are in the object."""

    begin: int
    end: int
    offset: int
    length: int


def ranges(footer: Footer, begin: int, end: int) -> list[BlockRange]:
    """Divide blocks into ranges of up to a mebibyte, or of one larger block, that are read at once."""
    cuts = [begin]
    size = 0
    for block in range(begin, end):
        size += footer.sizes[block]
        if size > _RANGE_BYTES and block > cuts[-1]:
            cuts.append(block)
            size = footer.sizes[block]
    cuts.append(end)
    return [
        BlockRange(one, other, footer.offsets[one], footer.offsets[other] - footer.offsets[one])
        for one, other in pairwise(cuts)
        if one < other
    ]


def decode_range(part: BlockRange, footer: Footer, data: bytes, decode: Callable[[int, bytes], B]) -> Sequence[B]:
    """Decode each block of a range with `decode(number, bytes)`."""
    return [
        decode(block, data[footer.offsets[block] - part.offset : footer.offsets[block + 1] - part.offset])
        for block in range(part.begin, part.end)
    ]


def record_block(key: str, footer: Footer, block: int, data: bytes) -> RecordBlock:
    """Decode a block of a data file from its bytes in the object. Raises `FileDamaged`."""
    return _checked(key, footer, block, data, lambda raw: decode_records(key, raw, footer.counts[block]))


def index_block(key: str, footer: Footer, block: int, data: bytes) -> IndexBlock:
    """Decode a block of an index dump from its bytes in the object. Raises `FileDamaged`."""
    columns = len(footer.columns)
    return _checked(key, footer, block, data, lambda raw: decode_index(key, raw, footer.counts[block], columns))


def _checked(key: str, footer: Footer, block: int, data: bytes, decode: Callable[[bytes], A]) -> A:
    what = f"its block at {footer.offsets[block]}"
    if checksum(data) != footer.checksums[block * CHECKSUM_BYTES : (block + 1) * CHECKSUM_BYTES]:
        raise FileDamaged(key, f"the checksum of {what} does not hold")
    made = decode(decompress(key, data, footer.sizes[block], what=what))
    if (made.ids[0], made.ids[-1]) != (footer.firsts[block], footer.lasts[block]):
        raise FileDamaged(key, f"{what} does not have the records that its footer names")
    return made
