"""Bytes of a log on their way to a reader, and the port to the servers that have more of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.times import Times, next_change, time_at


@dataclass(frozen=True, slots=True)
class LogChunk:
    """At most 64 KiB of a log, the offset after them, and when the server got them, if that is known."""

    next_offset: int
    data: bytes
    time: datetime | None


def timed(chunk: LogChunk, times: Times) -> Iterator[LogChunk]:
    """Divide a chunk where the time changes. Without times, the chunk keeps its own."""
    position = chunk.next_offset - len(chunk.data)
    if not times or not chunk.data:
        yield chunk
        return
    while position < chunk.next_offset:
        end = min(next_change(times, position) or chunk.next_offset, chunk.next_offset)
        seconds = time_at(times, position)
        data = chunk.data[len(chunk.data) - (chunk.next_offset - position) :][: end - position]
        yield LogChunk(end, data, chunk.time if seconds is None else datetime.fromtimestamp(seconds, UTC))
        position = end


@dataclass(frozen=True, slots=True)
class Tail:
    """A part of the live end of a log: bytes, or its end."""

    chunk: LogChunk | None
    ended: bool = False


class LogPeers(Protocol):
    """The other servers, for a reader of logs."""

    def tail(self, key: LogKey, offset: int, *, follow: bool, timestamps: bool) -> AsyncGenerator[Tail]:
        """Yield the end of a log that is pushed to another server, from an offset on; nothing if no server has it.

        It may end at any byte: read the rest from the object storage, or call it again.
        """
        ...


class NoPeers:
    """The peers of a server that is alone."""

    async def tail(self, key: LogKey, offset: int, *, follow: bool, timestamps: bool) -> AsyncGenerator[Tail]:
        """Yield nothing."""
        return
        yield  # type: ignore[unreachable]  # what makes it a generator
