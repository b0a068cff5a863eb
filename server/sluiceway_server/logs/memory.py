"""The end of a log in memory: bytes by their offset in the log, in blocks. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime

BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class BufferedBytes:
    """Bytes of a buffer, and when the last of them arrived."""

    data: bytes
    time: datetime


class _Block:
    __slots__ = ("data", "offset", "time")

    def __init__(self, offset: int, time: datetime) -> None:
        self.offset = offset
        self.data = bytearray()
        self.time = time


class LogMemory:
    """Contiguous bytes of a log. `end` is the offset after the last of them."""

    def __init__(self, end: int) -> None:
        self.end = end
        self._blocks: list[_Block] = []

    @property
    def start(self) -> int:
        """The offset of the first byte; `end` when there is none."""
        return self._blocks[0].offset if self._blocks else self.end

    def append(self, data: bytes, now: datetime) -> None:
        """Add bytes at the end."""
        begin = 0
        while begin < len(data):
            if not self._blocks or len(self._blocks[-1].data) >= BLOCK_BYTES:
                self._blocks.append(_Block(self.end, now))
            block = self._blocks[-1]
            piece = data[begin : begin + BLOCK_BYTES - len(block.data)]
            block.data += piece
            block.time = now
            self.end += len(piece)
            begin += len(piece)

    def read(self, offset: int, limit: int) -> BufferedBytes | None:
        """Return bytes at an offset, of one block; None when they are not here."""
        if not self._blocks or not self._blocks[0].offset <= offset < self.end:
            return None
        block = self._blocks[bisect_right(self._blocks, offset, key=lambda b: b.offset) - 1]
        begin = offset - block.offset
        return BufferedBytes(bytes(memoryview(block.data)[begin : begin + limit]), block.time)

    def bytes_from(self, offset: int, limit: int) -> bytes:
        """Return at most `limit` bytes from an offset on."""
        parts: list[bytes] = []
        while limit > 0 and (part := self.read(offset, limit)) is not None:
            parts.append(part.data)
            offset += len(part.data)
            limit -= len(part.data)
        return b"".join(parts)

    def trim(self, keep_from: int) -> None:
        """Drop the blocks that end at an offset or before it."""
        gone = 0
        while gone < len(self._blocks) and self._blocks[gone].offset + len(self._blocks[gone].data) <= keep_from:
            gone += 1
        del self._blocks[:gone]

    def clear(self, end: int) -> None:
        """Drop all bytes; the next ones are at `end`."""
        self._blocks.clear()
        self.end = end
