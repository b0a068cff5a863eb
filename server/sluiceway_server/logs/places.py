"""Finds where lines of a log begin, by its index: one block of 64 KiB is read for a line, whatever the log's size."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.logs.chunks import LogChunk
from sluiceway_server.logs.layout import LINE_BLOCK
from sluiceway_server.logs.reader import LogLines
from sluiceway_server.logs.times import offset_since


class Logs(Protocol):
    """Reads logs and the indexes of their lines (`logs.reader.LogReader`)."""

    async def lines(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogLines:
        """Return where the lines of a log are. Raises `NotFound`."""
        ...

    def read(
        self, run_id: str, task: str, *, step: int, attempt: int = 0, offset: int = 0, follow: bool = False
    ) -> AsyncGenerator[LogChunk]:
        """Yield the bytes of a log from an offset on. Raises `NotFound` and `OutOfRange`."""
        ...


@dataclass(frozen=True, slots=True)
class LinePlace:
    """The beginning of a line.

    Attributes:
        offset: of its first byte; the size of the log: the line is not there yet.
        line: its number, from 1.
    """

    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class LogPlaces:
    """The lines of one log."""

    logs: Logs
    run_id: str
    task: str
    step: int
    lines: LogLines

    @staticmethod
    async def of(logs: Logs, run_id: str, task: str, *, step: int, attempt: int) -> LogPlaces:
        """Read the index of a log. Raises the errors of `Logs.lines`."""
        return LogPlaces(logs, run_id, task, step, await logs.lines(run_id, task, step=step, attempt=attempt))

    async def line(self, number: int) -> LinePlace:
        """Return where a line begins, counted from 1. One after the last line begins at the end."""
        if number <= 1:
            return LinePlace(0, 1)
        # It begins after this line end, counted from 1.
        wanted = number - 1
        if wanted > self.lines.newlines:
            return LinePlace(self.lines.size, self.lines.newlines + 1)
        block = bisect_left(self.lines.newlines_before, wanted)
        data = await self._block(block)
        at = -1
        for _ in range(wanted - self._before(block)):
            at = data.find(b"\n", at + 1)
            if at < 0:
                raise DataLoss(
                    f"the index of the log has another number of lines at {block * LINE_BLOCK} than its bytes"
                )
        return LinePlace(block * LINE_BLOCK + at + 1, number)

    async def tail(self, count: int) -> LinePlace:
        """Return where the last `count` lines begin. What follows the last line end is a line, if there is any."""
        return await self.line(max(1, self.lines.newlines + 1 - count + await self._is_partial()))

    async def number_at(self, offset: int) -> int:
        """Return the number of the line that the byte at an offset is in, from 1."""
        block = min(offset, self.lines.size) // LINE_BLOCK
        data = await self._block(block)
        return self._before(block) + data.count(b"\n", 0, offset - block * LINE_BLOCK) + 1

    async def since(self, seconds: float) -> LinePlace:
        """Return the first line that began at a time (in seconds since 1970) or later; the end if there is none."""
        offset = offset_since(self.lines.times, seconds, self.lines.size)
        if offset == 0:
            return LinePlace(0, 1)
        return await self._line_after(offset)

    async def _line_after(self, offset: int) -> LinePlace:
        """Return the first line that begins at an offset or after it."""
        block = (offset - 1) // LINE_BLOCK
        data = await self._block(block)
        before = self._before(block) + data.count(b"\n", 0, offset - 1 - block * LINE_BLOCK)
        return await self.line(before + 2)

    async def _is_partial(self) -> int:
        """Return 1 if bytes follow the last line end, else 0."""
        if not self.lines.size:
            return 0
        last = await self._read(self.lines.size - 1, self.lines.size)
        return 0 if last == b"\n" else 1

    def _before(self, block: int) -> int:
        return self.lines.newlines_before[block - 1] if block else 0

    async def _block(self, block: int) -> bytes:
        if block * LINE_BLOCK >= self.lines.size:
            return b""
        return await self._read(block * LINE_BLOCK, min(self.lines.size, (block + 1) * LINE_BLOCK))

    async def _read(self, start: int, end: int) -> bytes:
        parts = bytearray()
        chunks = self.logs.read(self.run_id, self.task, step=self.step, attempt=self.lines.attempt, offset=start)
        async with aclosing(chunks):
            async for chunk in chunks:
                parts += chunk.data
                if start + len(parts) >= end:
                    break
        return bytes(parts[: end - start])
