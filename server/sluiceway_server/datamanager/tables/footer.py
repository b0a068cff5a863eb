"""Data files and index dumps as objects: what is before and after their blocks. Pure.

    magic with version | blocks, each a zstd frame | footer, a zstd frame of `FileFooter` | trailer
    trailer: length of the footer, its size before compression, its checksum, the magic again

A manifest knows where the footer begins, so one range read brings it with the trailer; without a manifest the trailer,
which has a fixed length, tells it. A footer is checked whole before anything of it is believed: what it says of the
blocks must fill the object exactly, and agree with what the manifest says of the file.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

import zstandard

from sluiceway.records.storage.v1 import storage_pb2
from sluiceway_server.datamanager.tables.block import (
    CHECKSUM_BYTES,
    LARGEST_BLOCK,
    FileDamaged,
    checksum,
    decompress,
    parse_bounded,
)
from sluiceway_server.objectstorage.layout import Folder

__all__ = [
    "LARGEST_FOOTER",
    "MAGIC_BYTES",
    "TRAILER_BYTES",
    "FileKind",
    "Footer",
    "check_against",
    "check_magic",
    "decode_end",
    "decode_trailer",
    "encode_end",
    "type_of_key",
]

LARGEST_FOOTER = 8 * 1024 * 1024
"""Before and after compression; that of a file of gigabytes."""

_VERSION = 1
_MOST_COLUMNS = 1000
# Each takes 28 bytes at least.
_MOST_BLOCKS = LARGEST_FOOTER // 28
_TRAILER = struct.Struct(">II16s8s")
TRAILER_BYTES = _TRAILER.size
MAGIC_BYTES = 8


class FileKind(StrEnum):
    """What a file holds; the value is the folder of its objects."""

    DATA = Folder.DATA.value
    INDEX = Folder.INDEX.value

    @property
    def magic(self) -> bytes:
        """The first bytes of such an object; the last of them is the version."""
        return (b"SLDAT\x00\x00" if self is FileKind.DATA else b"SLIDX\x00\x00") + bytes([_VERSION])


@dataclass(frozen=True, slots=True)
class Footer:
    """A footer that was checked. All sequences have a place for each block, in order.

    Attributes:
        type: the record type.
        records: of all blocks.
        columns: of an index dump.
        type_version: of an index dump: the `RecordType.version` that computed them.
        firsts: ids.
        lasts: ids.
        offsets: where each block begins in the object; one place more: where the last one ends.
        sizes: bytes before compression.
        counts: how many records.
        checksums: 16 bytes each.
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

    @property
    def end(self) -> int:
        """Where the footer begins."""
        return self.offsets[-1]

    def length(self, block: int) -> int:
        """The bytes of a block in the object."""
        return self.offsets[block + 1] - self.offsets[block]

    def checksum(self, block: int) -> bytes:
        """The checksum of a block's bytes in the object."""
        return self.checksums[block * CHECKSUM_BYTES : (block + 1) * CHECKSUM_BYTES]

    def block_of(self, id_: str) -> int | None:
        """The block that an id is in, if it is in the file at all."""
        block = bisect_left(self.lasts, id_)
        return block if block < len(self) and self.firsts[block] <= id_ else None


def encode_end(kind: FileKind, message: storage_pb2.FileFooter) -> bytes:
    """Make what comes after the blocks.

    Raises:
        ValueError: the file has so many blocks that no reader would take its footer.
    """
    raw = message.SerializeToString()
    data = zstandard.ZstdCompressor().compress(raw)
    if max(len(raw), len(data)) > LARGEST_FOOTER or len(message.lengths) > _MOST_BLOCKS:
        raise ValueError(
            f"a file of {message.type} records has {len(message.lengths)} blocks and a footer of {len(raw)} bytes: no"
            " reader would take it; split it earlier"
        )
    return data + _TRAILER.pack(len(data), len(raw), checksum(data), kind.magic)


def decode_trailer(key: str, kind: FileKind, end: bytes) -> tuple[int, int, bytes]:
    """Read the last bytes of an object; answers the footer's length, its size before compression, its checksum.

    Raises:
        FileDamaged: they are not the end of such a file.
    """
    if len(end) < TRAILER_BYTES:
        raise FileDamaged(key, "it is cut off")
    length, size, check, magic = _TRAILER.unpack(end[-TRAILER_BYTES:])
    check_magic(key, kind, magic, where="end")
    if max(length, size) > LARGEST_FOOTER:
        raise FileDamaged(
            key, f"it claims a footer of {max(length, size)} bytes; at most {LARGEST_FOOTER} are possible"
        )
    return length, size, check


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
    """Read what comes after the blocks, and check all of it.

    Args:
        key: names the object in an error; its folder says what type it must be of.
        kind: what the caller wants to read.
        end: the bytes from `footer_offset` to the object's end.
        footer_offset: as the manifest or the trailer tells it.

    Raises:
        FileDamaged: they are not, or the blocks would not fill the object.
    """
    length, size, check = decode_trailer(key, kind, end)
    data = end[:-TRAILER_BYTES]
    if length != len(data):
        raise FileDamaged(key, "its footer is not where it should be")
    if checksum(data) != check:
        raise FileDamaged(key, "the checksum of its footer does not hold")
    message = storage_pb2.FileFooter()
    raw = decompress(key, data, size, what="its footer")
    parse_bounded(key, raw, message, most_fields=2 * _MOST_BLOCKS + 2 * _MOST_COLUMNS, what="its footer")
    return _footer(key, kind, message, footer_offset)


def _footer(key: str, kind: FileKind, message: storage_pb2.FileFooter, footer_offset: int) -> Footer:
    blocks = len(message.lengths)
    parts = (message.firsts, message.lasts, message.sizes, message.counts)
    if blocks == 0 or any(len(part) != blocks for part in parts) or len(message.checksums) != blocks * CHECKSUM_BYTES:
        raise FileDamaged(key, "its footer contradicts itself about the blocks")
    if message.type != type_of_key(key, kind):
        raise FileDamaged(key, f"it holds records of the type {message.type!r}")
    counts, sizes = array("I", message.counts), array("I", message.sizes)
    if min(counts) < 1 or sum(counts) != message.records:
        raise FileDamaged(key, "its footer contradicts itself about the records")
    if max(sizes) > LARGEST_BLOCK or any(size < count for size, count in zip(sizes, counts, strict=True)):
        raise FileDamaged(key, "its footer names blocks of a size that is not possible")
    offsets = array("Q", accumulate(message.lengths, initial=MAGIC_BYTES))
    if min(message.lengths) < 1 or offsets[-1] != footer_offset:
        raise FileDamaged(key, "its blocks do not fill it")
    firsts, lasts = list(message.firsts), list(message.lasts)
    if not _in_order(firsts, lasts):
        raise FileDamaged(key, "its blocks are out of order, or overlap")
    if len(message.columns) > _MOST_COLUMNS:
        raise FileDamaged(key, f"its footer names {len(message.columns)} columns")
    columns = tuple(message.columns)
    if kind is FileKind.DATA and columns:
        raise FileDamaged(key, "its footer names columns, and it is a data file")
    if len(set(columns)) != len(columns):
        raise FileDamaged(key, "its footer names a column twice")
    return Footer(
        type=message.type,
        records=message.records,
        columns=columns,
        type_version=message.type_version,
        firsts=firsts,
        lasts=lasts,
        offsets=offsets,
        sizes=sizes,
        counts=counts,
        checksums=message.checksums,
    )


def check_against(footer: Footer, ref: storage_pb2.FileRef) -> None:
    """Compare a footer with what a manifest says of the file. Raises `FileDamaged`."""
    if (footer.firsts[0], footer.lasts[-1], footer.records, footer.end) != (
        ref.first,
        ref.last,
        ref.records,
        ref.footer_offset,
    ):
        raise FileDamaged(ref.key, "it is not the file that the manifest names, but another one")


def type_of_key(key: str, kind: FileKind) -> str:
    """The record type that an object must be of, by its key after the prefix: `<kind>/<type>/<name>`.

    Raises:
        FileDamaged: no file of that kind can have this key.
    """
    folder, _, rest = key.partition("/")
    type_, _, name = rest.partition("/")
    if folder != kind.value or not type_ or not name or "/" in name:
        raise FileDamaged(key, f"this is not the name of an object of the folder {kind.value}/")
    return type_


def _in_order(firsts: Sequence[str], lasts: Sequence[str]) -> bool:
    # A block of one record begins and ends with it.
    if not all(first <= last for first, last in zip(firsts, lasts, strict=True)):
        return False
    return all(last < first for last, first in zip(lasts, firsts[1:], strict=False))
