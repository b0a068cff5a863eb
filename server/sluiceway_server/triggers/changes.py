"""The wake-up of a worker: when records of some types change, and from time to time, for what was missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.model import Applied, RecordType
from sluiceway_server.datamanager.port import Database

__all__ = ["Changes"]

log = structlog.get_logger(__name__)

_FOLLOW_AGAIN_SECONDS = 1.0


def _always(change: Applied | None) -> bool:
    return True


class Changes:
    """Wakes a worker, which then reads what there is to do: a change that is missed costs time only."""

    def __init__(
        self,
        database: Database,
        types: Sequence[RecordType[Any]],
        *,
        interval: timedelta,
        gather: timedelta = timedelta(0),
        is_news: Callable[[Applied | None], bool] = _always,
    ) -> None:
        """Wake up when a record of one of `types` changes, and after `interval` without.

        Args:
            database: whose changes they are.
            types: of the records.
            interval: between two looks, if nothing changes.
            gather: how long after a change the worker is woken, so that many changes are one look.
            is_news: returns whether a change wakes the worker. Called for each, and with None where some may have been
                missed, which always wakes it.
        """
        self._database = database
        self._topics = [f"type:{each.name}" for each in types]
        self._interval = interval
        self._gather = gather
        self._is_news = is_news
        self._changed = asyncio.Event()
        self._changed.set()

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Follow the changes while the block runs."""
        following = asyncio.create_task(self._follow(), name="changes")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def drive(
        self,
        work: Callable[[], Awaitable[float | None]],
        *,
        is_elected: Callable[[], bool],
        event: str,
        retry_seconds: float | None = None,
    ) -> None:
        """Call `work` while this server is elected, whenever there may be something to do, until cancelled.

        Args:
            work: returns the seconds until it is to be called again; None: when something changes.
            is_elected: whether this server is.
            event: is logged with the error when `work` fails.
            retry_seconds: until `work` is called again then; None: when something changes.
        """
        pause: float | None = None
        async with self.followed():
            while True:
                await self.wait(seconds=pause)
                pause = None
                if not is_elected():
                    continue
                try:
                    pause = await work()
                except SluicewayError as error:
                    log.warning(event, error=str(error))
                    pause = retry_seconds

    def wake(self) -> None:
        """Wake up as if something had changed."""
        self._changed.set()

    async def wait(self, *, seconds: float | None = None) -> None:
        """Wait until something has changed since the last wait, or for `seconds` at most; at first, return at once."""
        limit = self._interval.total_seconds()
        try:
            async with time_limit(limit if seconds is None else max(0.0, min(seconds, limit))):
                await self._changed.wait()
            await asyncio.sleep(self._gather.total_seconds())
        except TimeoutError:
            pass
        self._changed.clear()

    async def _follow(self) -> None:
        while True:
            try:
                changes = self._database.subscribe(after=self._database.position, topics=self._topics)
                async with aclosing(changes):
                    self._is_news(None)
                    self._changed.set()
                    async for applied in changes:
                        if self._is_news(applied):
                            self._changed.set()
            except SluicewayError as error:
                log.info("changes_not_followed", error=str(error))
            await asyncio.sleep(_FOLLOW_AGAIN_SECONDS)
