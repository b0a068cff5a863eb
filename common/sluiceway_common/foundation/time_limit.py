"""A time limit for a block of code that also works while its task is being cancelled."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


def time_limit(seconds: float | None) -> TimeLimit:
    """Return a context manager that raises `TimeoutError` if its block takes longer; None: no limit.

    Used instead of `asyncio.timeout`, which up to Python 3.11.3, and so on Debian 12, raises `CancelledError` in a task
    whose cancellation was requested before: cleanup code would stop half-way at its first time limit.
    """
    return TimeLimit(seconds)


class TimeLimit:
    """The context manager. An `asyncio.Timeout` by its methods."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._when: float | None = None
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.Handle | None = None
        self._cancelling = 0
        self._is_expired = False

    def when(self) -> float | None:
        """Return the time of the event loop at which the block is cancelled."""
        return self._when

    def reschedule(self, when: float | None) -> None:
        """Change that time. Call it in the block."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._when = when
        if when is None:
            return
        loop = asyncio.get_running_loop()
        if when <= loop.time():
            self._handle = loop.call_soon(self._expire)
        else:
            self._handle = loop.call_at(when, self._expire)

    def expired(self) -> bool:
        """Return whether the limit was exceeded."""
        return self._is_expired

    def _expire(self) -> None:
        self._handle = None
        self._is_expired = True
        if self._task is not None:
            self._task.cancel()

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit is for code that runs in a task")
        self._task = task
        self._cancelling = task.cancelling()
        if self._seconds is not None:
            self.reschedule(asyncio.get_running_loop().time() + self._seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reschedule(None)
        if not self._is_expired or self._task is None:
            return
        # Otherwise the task was cancelled by others too, meanwhile.
        ours_alone = self._task.uncancel() <= self._cancelling
        if ours_alone and kind is asyncio.CancelledError:
            raise TimeoutError from error
