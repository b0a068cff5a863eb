"""Where the log of a step stands in the output of its command: there, another process of the executor continues."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mark"]

_MARK = struct.Struct(">QQQQQ???")


@dataclass(frozen=True, slots=True)
class Mark:
    """How much of the output of a command is in its log: what is needed to continue exactly there.

    Attributes:
        size: of the log.
        output: so many bytes of the output are in it.
        covered: of the masker, as `in_run`.
        in_run: see there.
        is_line_start: the log ends with a newline, or is empty.
        left: how much may be added before the limit of the log.
        is_cut: the limit was reached.
        notes: how many lines of the executor are in it.
    """

    size: int = 0
    output: int = 0
    covered: int = 0
    in_run: bool = False
    is_line_start: bool = True
    left: int = 0
    is_cut: bool = False
    notes: int = 0

    def encode(self) -> bytes:
        """Return it as bytes, with a checksum."""
        values = (self.size, self.output, self.covered, self.left, self.notes)
        packed = _MARK.pack(*values, self.in_run, self.is_line_start, self.is_cut)
        return packed + zlib.crc32(packed).to_bytes(4, "big")

    def write(self, path: Path) -> None:
        """Write it to a file, in one call, in the place of what that has."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, self.encode(), 0)
        finally:
            os.close(descriptor)

    @classmethod
    def read(cls, path: Path) -> Mark | None:
        """Read what `write` wrote; None: there is none, or it is damaged."""
        try:
            data = path.read_bytes()
        except OSError:
            return None
        packed, checksum = data[: _MARK.size], data[_MARK.size :]
        if len(packed) < _MARK.size or zlib.crc32(packed).to_bytes(4, "big") != checksum:
            return None
        size, output, covered, left, notes, in_run, is_line_start, is_cut = _MARK.unpack(packed)
        return cls(size, output, covered, in_run, is_line_start, left, is_cut, notes)
