"""Searches the stored and running logs of a run, one after the other, in a thread, a piece at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from sluiceway_common.foundation.errors import DataLoss, Exhausted, NotFound
from sluiceway_server.logs.chunks import LogChunk
from sluiceway_server.logs.search import PIECE_BYTES, LineMatch, LogSearch, Pattern

MOST_AT_A_TIME = 8
"""Searches of one server; each uses a thread and reads the object storage."""


class Logs(Protocol):
    """Reads logs (`logs.reader.LogReader`)."""

    def read(
        self, run_id: str, task: str, *, step: int, attempt: int = 0, offset: int = 0, follow: bool = False
    ) -> AsyncGenerator[LogChunk]:
        """Yield the bytes of a log from an offset on."""
        ...


@dataclass(frozen=True, slots=True)
class SearchedLog:
    """A log to search.

    Attributes:
        task: the id of its task.
        attempt: from 1.
        step: its index; `SETUP_STEP` for the setup.
        title: its name in messages.
    """

    task: str
    attempt: int
    step: int
    title: str


@dataclass(slots=True)
class SearchOutcome:
    """What was searched so far.

    Attributes:
        searched_bytes: how many bytes were read.
        truncated: there may be more matches.
        unread: which logs could not be read to their ends, and why.
    """

    searched_bytes: int = 0
    truncated: bool = False
    unread: list[str] = field(default_factory=list)


class LogSearcher:
    """Searches logs of runs on one server."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._running = 0

    async def search(
        self,
        run_id: str,
        searched: Iterable[SearchedLog],
        pattern: Pattern,
        *,
        context: int,
        most: int,
        outcome: SearchOutcome,
    ) -> AsyncGenerator[tuple[SearchedLog, LineMatch]]:
        """Yield the lines that match, log by log.

        Args:
            run_id: the run of the logs.
            searched: the logs, in order.
            pattern: what is searched for.
            context: how many lines before and after each match are returned with it.
            most: the number of matches after which the search ends.
            outcome: is updated while logs are read.

        Raises:
            Exhausted: too many searches run at a time.
            Unavailable: the object storage is away.
        """
        if self._running >= MOST_AT_A_TIME:
            raise Exhausted(
                f"{self._running} searches run on this server, which is as many as it allows; search again later",
                reason="SEARCHES_AT_A_TIME",
            )
        self._running += 1
        try:
            for each in searched:
                search = LogSearch(pattern, context=context, most=most)
                async with aclosing(self._search(run_id, each, search, outcome)) as matches:
                    async for match in matches:
                        most -= 1
                        yield each, match
                if search.is_over:
                    outcome.truncated = True
                    return
        finally:
            self._running -= 1

    async def _search(
        self, run_id: str, log: SearchedLog, search: LogSearch, outcome: SearchOutcome
    ) -> AsyncGenerator[LineMatch]:
        piece = bytearray()
        chunks = self._logs.read(run_id, log.task, step=log.step, attempt=log.attempt)
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    piece += chunk.data
                    outcome.searched_bytes += len(chunk.data)
                    if len(piece) >= PIECE_BYTES:
                        for match in await asyncio.to_thread(search.feed, bytes(piece)):
                            yield match
                        piece.clear()
                        if search.is_over:
                            return
        except (NotFound, DataLoss) as error:
            outcome.unread.append(f"{log.title}: {error.message}")
        for match in await asyncio.to_thread(search.feed, bytes(piece)):
            yield match
        if not search.is_over:
            for match in await asyncio.to_thread(search.finish):
                yield match
