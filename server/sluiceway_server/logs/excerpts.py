"""Finds the first error of a stored log, and reads the lines around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from sluiceway_server.logs.chunks import LogChunk
from sluiceway_server.logs.first_error import FirstError, Place, excerpt_lines, search_start
from sluiceway_server.logs.reader import LogDescription

_LINES_BEFORE = 5
_LINES_AFTER = 12
_LINES_OF_END = 18
_BYTES_BEFORE = 8 * 1024
_BYTES_AFTER = 32 * 1024
# What is fed at once, so that a thread is worth it.
_PIECE_BYTES = 1024 * 1024


class Logs(Protocol):
    """Where logs are read (`logs.reader.LogReader`)."""

    async def describe(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogDescription:
        """Describe a log as it is now. Raises `NotFound`."""
        ...

    def read(
        self, run_id: str, task: str, *, step: int, attempt: int = 0, offset: int = 0, follow: bool = False
    ) -> AsyncGenerator[LogChunk]:
        """Yield the bytes of a log from an offset on. Raises `NotFound` and `OutOfRange`."""
        ...

    async def newlines_before(self, run_id: str, task: str, *, step: int, attempt: int, offset: int) -> int | None:
        """Return how many line ends a log has before an offset; None: it is not known yet."""
        ...


@dataclass(frozen=True, slots=True)
class LogExcerpt:
    """Lines of a log: those around its first error, or if it has none its last ones.

    Attributes:
        attempt: of the log, from 1.
        size: of the log, in bytes.
        error_line: the number of the line with the error, from 1; 0: none was found.
        first_line: the number of the first of `lines`, from 1.
        lines: as the step wrote them.
    """

    attempt: int
    size: int
    error_line: int
    first_line: int
    lines: list[str]


class LogExcerpts:
    """Reads excerpts of logs."""

    def __init__(self, reader: Logs) -> None:
        self._reader = reader

    async def find(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogExcerpt:
        """Return the lines around the first error of what a log has now; arguments and errors as of `LogReader`."""
        log = await self._reader.describe(run_id, task, step=step, attempt=attempt)
        found = _Log(self._reader, run_id, task, step, log.attempt, log.size)
        start = search_start(log.size)
        before = await found.newlines_before(start)
        error = FirstError(start)
        await found.feed(error, start)
        if error.found is None:
            first, lines = await found.end(before + error.lines)
            return LogExcerpt(log.attempt, log.size, 0, first + 1, lines)
        first, lines = await found.around(error.found)
        line = before + error.found.line
        return LogExcerpt(log.attempt, log.size, line + 1, line - first + 1, lines)


@dataclass(frozen=True, slots=True)
class _Log:
    """A log of a size; what is written after that is not read."""

    reader: Logs
    run_id: str
    task: str
    step: int
    attempt: int
    size: int

    async def pieces(self, start: int, end: int) -> AsyncGenerator[bytes]:
        """Yield the bytes from an offset to another one, in large pieces."""
        piece = bytearray()
        if start < end:
            chunks = self.reader.read(self.run_id, self.task, step=self.step, attempt=self.attempt, offset=start)
            async with aclosing(chunks):
                async for chunk in chunks:
                    piece += chunk.data[: end - start]
                    start += len(chunk.data)
                    if start >= end:
                        break
                    if len(piece) >= _PIECE_BYTES:
                        yield bytes(piece)
                        piece.clear()
        yield bytes(piece)

    async def read(self, start: int, end: int) -> bytes:
        return b"".join([piece async for piece in self.pieces(start, end)])

    async def feed(self, error: FirstError, start: int) -> None:
        async with aclosing(self.pieces(start, self.size)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(error.feed, piece)
                if error.found is not None:
                    return
        error.finish()

    async def newlines_before(self, offset: int) -> int:
        """Count the line ends before an offset; the index of a complete log knows them."""
        known = await self.reader.newlines_before(
            self.run_id, self.task, step=self.step, attempt=self.attempt, offset=offset
        )
        if known is not None:
            return known
        return sum([piece.count(b"\n") async for piece in self.pieces(0, offset)])

    async def around(self, place: Place) -> tuple[int, list[str]]:
        """Return how many lines before a place there are, and they with those from it on."""
        start = max(0, place.offset - _BYTES_BEFORE)
        data = await self.read(start, min(self.size, place.offset + _BYTES_AFTER))
        above = data[: place.offset - start]
        if start > 0:
            # The first one is not whole.
            above = above[above.find(b"\n") + 1 :]
        before = excerpt_lines(above, _LINES_BEFORE, is_begin=False)
        return len(before), [*before, *excerpt_lines(data[place.offset - start :], _LINES_AFTER, is_begin=True)]

    async def end(self, newlines: int) -> tuple[int, list[str]]:
        """Return the number of the first of the last lines, from 0, and them."""
        data = await self.read(max(0, self.size - _BYTES_AFTER), self.size)
        lines = excerpt_lines(data, _LINES_OF_END, is_begin=False)
        last = newlines + (0 if data.endswith(b"\n") or not data else 1)
        return max(0, last - len(lines)), lines
