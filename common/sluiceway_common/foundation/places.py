"""A semaphore with a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sluiceway_common.foundation.errors import Unavailable

_RETRY_AFTER = timedelta(seconds=1)


class Places:
    """Bounds work that needs much processor time or memory, and the callers that wait for it. For one event loop."""

    def __init__(self, count: int, *, waiting: int, what: str) -> None:
        """Create the semaphore.

        Args:
            count: how many have a place at a time.
            waiting: how many may wait for one.
            what: what the callers work on, in the plural, for the message of the error.
        """
        self._places = asyncio.Semaphore(count)
        self._may_wait = waiting
        self._waiting = 0
        self._what = what

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a place while the block runs; waits for one.

        Raises:
            Unavailable: reason `SERVER_BUSY`: too many wait already.
        """
        if self._places.locked() and self._waiting >= self._may_wait:
            raise Unavailable(
                f"too many {self._what} are waiting; try again", reason="SERVER_BUSY", retry_after=_RETRY_AFTER
            )
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()
