"""Decides whether and when a broken stream is resumed.

A stream that has yielded a message survives the restart of a server; it raises the error if that takes longer than its
patience. One that has yielded nothing gives up soon: most likely the server cannot be reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.errors import Exhausted, SluicewayError, Unavailable

__all__ = ["Breaks", "OnBreak"]

FIRST_PATIENCE = timedelta(seconds=10)

OnBreak = Callable[[SluicewayError], None]


class Breaks:
    """The breaks of one stream."""

    def __init__(self, patience: timedelta, on_break: OnBreak | None = None) -> None:
        self._patience = patience
        self._patience_now = min(patience, FIRST_PATIENCE)
        self._on_break = on_break
        self._failures = 0
        self._since = 0.0

    def came_back(self) -> None:
        """Note that the stream has yielded a message."""
        self._patience_now = self._patience
        self._failures = 0

    async def wait(self, error: Unavailable | Exhausted) -> None:
        """Return when the stream is to be opened again.

        Raises:
            SluicewayError: `error`, when it is not.
        """
        now = asyncio.get_running_loop().time()
        if self._failures == 0:
            self._since = now
        if now - self._since >= self._patience_now.total_seconds():
            raise error
        self._failures += 1
        if self._on_break is not None and self._failures == 1:
            self._on_break(error)
        await asyncio.sleep(backoff_seconds(self._failures))
