"""Blocks of a file, read by what its footer says of them: which ones together, and each one checked. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from sluiceway_server.datamanager.tables.block import (
    Block,
    FileDamaged,
    IndexBlock,
    RecordBlock,
    checksum,
    decode_index,
    decode_records,
    decompress,
)
from sluiceway_server.datamanager.tables.footer import Footer

__all__ = ["BlockRange", "decode_range", "index_block", "ranges", "record_block"]

A = TypeVar("A", bound=Block)
B = TypeVar("B")

_RANGE_BYTES = 1024 * 1024
"""Of blocks before compression that are read at once."""


@dataclass(frozen=True, slots=True)
class BlockRange:
    """Blocks of a file that lie together, from `begin` to before `end`, and where they are in the object."""

    begin: int
    end: int
    offset: int
    length: int


def ranges(footer: Footer, begin: int, end: int) -> list[BlockRange]:
    """Cut the blocks from `begin` to before `end` into ranges to be read at once.

    Each has one block at least, and not more than a mebibyte otherwise.
    """
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
    """Read each block of a range of bytes with `decode`, which takes the block's number and its bytes."""
    return [
        decode(block, data[footer.offsets[block] - part.offset : footer.offsets[block + 1] - part.offset])
        for block in range(part.begin, part.end)
    ]


def record_block(key: str, footer: Footer, block: int, data: bytes) -> RecordBlock:
    """Read a block of a data file from its bytes in the object. Raises `FileDamaged`."""
    made = decode_records(key, _checked(key, footer, block, data), footer.counts[block])
    return _in_its_place(key, footer, block, made)


def index_block(key: str, footer: Footer, block: int, data: bytes) -> IndexBlock:
    """Read a block of an index dump from its bytes in the object. Raises `FileDamaged`."""
    made = decode_index(key, _checked(key, footer, block, data), footer.counts[block], len(footer.columns))
    return _in_its_place(key, footer, block, made)


def _checked(key: str, footer: Footer, block: int, data: bytes) -> bytes:
    if checksum(data) != footer.checksum(block):
        raise FileDamaged(key, f"the checksum of its block at {footer.offsets[block]} does not hold")
    return decompress(key, data, footer.sizes[block], what=f"its block at {footer.offsets[block]}")


def _in_its_place(key: str, footer: Footer, block: int, made: A) -> A:
    if (made.ids[0], made.ids[-1]) != (footer.firsts[block], footer.lasts[block]):
        raise FileDamaged(key, f"its block at {footer.offsets[block]} does not hold what its footer says")
    return made
