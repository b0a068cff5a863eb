"""Primitives that tasks wait with: a value that only grows, a shared call, a back-off."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.time_limit import time_limit

K = TypeVar("K")
T = TypeVar("T")


class Mark(Generic[K]):
    """A value that only grows, and tasks that wait for it to reach another one."""

    def __init__(self, value: K) -> None:
        self.value = value
        self._order = itertools.count()
        self._waiting: list[tuple[Any, int, asyncio.Future[None]]] = []  # sorted
        self._ended: Exception | None = None

    @property
    def waiting(self) -> int:
        """The number of waiting tasks."""
        return len(self._waiting)

    def move(self, value: K) -> None:
        """Move it forward; a smaller value changes nothing."""
        if not _less(self.value, value):
            return
        self.value = value
        limit: Any = value
        reached = bisect.bisect_right(self._waiting, limit, key=lambda item: item[0])
        for _, _, future in self._waiting[:reached]:
            if not future.done():
                future.set_result(None)
        del self._waiting[:reached]

    def end(self, error: Exception) -> None:
        """Raise this error in all tasks that wait, now or later."""
        self._ended = error
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error)

    async def reach(self, value: K) -> None:
        """Wait until the value is reached. Raises the error of `end`."""
        if not _less(self.value, value):
            return
        if self._ended is not None:
            raise self._ended
        item = (value, next(self._order), asyncio.get_running_loop().create_future())
        bisect.insort(self._waiting, item)
        try:
            await item[2]
        finally:
            # A value may never be reached, because clients send it; so a task that gives up leaves nothing behind.
            at = bisect.bisect_left(self._waiting, item)
            if self._waiting[at : at + 1] == [item]:
                del self._waiting[at]


def _less(one: Any, other: Any) -> bool:
    return bool(one < other)


class SharedCall(Generic[T]):
    """One call for all tasks that ask meanwhile.

    A task that asks while a call runs gets the result of the next one, which begins after it asked: so a linearizable
    read stays linearizable.
    """

    def __init__(self, call: Callable[[], Awaitable[T]]) -> None:
        self._call = call
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None
        self._ended: Exception | None = None

    async def ask(self) -> T:
        """Return the result of a call that begins after this. Raises the error of `end`."""
        self._raise_ended()
        if self._next is None:
            self._next = asyncio.create_task(self._run(self._running))
            # If the tasks that asked are gone, nobody else retrieves the error.
            self._next.add_done_callback(lambda done: None if done.cancelled() else (done.exception(), None)[1])
        task = self._next
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if task.cancelled() and not (asking and asking.cancelling()):
                self._raise_ended()
            raise

    def _raise_ended(self) -> None:
        if self._ended is not None:
            raise self._ended from None

    async def close(self) -> None:
        tasks = {task for task in (self._running, self._next) if task is not None}
        if tasks:
            await asyncio.wait(tasks)

    async def end(self, error: Exception) -> None:
        """Cancel running calls, and raise this error in all tasks that ask or asked."""
        self._ended = error
        for task in (self._next, self._running):
            if task is not None:
                task.cancel()
        await self.close()

    async def _run(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait({before})
        self._running, self._next = self._next, None
        return await self._call()


async def read_ahead(
    items: Iterable[K], read: Callable[[K], Coroutine[None, None, T]], *, most: int
) -> AsyncGenerator[tuple[K, T], None]:
    """Call `read` for each item, at most so many at a time, and yield the results in order."""
    waiting: deque[tuple[K, asyncio.Task[T]]] = deque()
    try:
        for item in items:
            waiting.append((item, asyncio.create_task(read(item))))
            if len(waiting) >= most:
                first, task = waiting.popleft()
                yield first, await task
        while waiting:
            first, task = waiting.popleft()
            yield first, await task
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


async def in_time(seconds: float, awaitable: Awaitable[Any]) -> bool:
    """Wait for something, but no longer; return whether it came in time."""
    try:
        async with time_limit(seconds):
            await awaitable
    except TimeoutError:
        return False
    return True


def jittered(seconds: float) -> float:
    """Return about so many seconds, by chance, so that servers do not do the same at the same moment."""
    return seconds * (0.5 + random.random())  # noqa: S311 - jitter, not a secret


class Unchanged:
    """How long a value has been the same."""

    def __init__(self) -> None:
        self._value: Any = None
        self._since = 0.0

    def seconds(self, value: object, now: float) -> float:
        """Return for how many seconds the value has been this one, as far as it was shown here."""
        if value != self._value:
            self._value, self._since = value, now
        return now - self._since


class Backoff:
    """Waits that grow, with jitter, up to a second."""

    def __init__(self) -> None:
        self._attempts = 0

    async def wait(self) -> None:
        self._attempts += 1
        await asyncio.sleep(backoff_seconds(self._attempts, first=0.03, limit=1.0))

    def reset(self) -> None:
        self._attempts = 0
