"""Small things that tasks wait with: a mark that grows, a read that is shared, a back-off."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

__all__ = ["Backoff", "Mark", "SharedCall"]

K = TypeVar("K")
T = TypeVar("T")

_MOST_GIVEN_UP = 100


class Mark(Generic[K]):
    """A value that only grows, and tasks that wait until it has reached theirs."""

    def __init__(self, value: K) -> None:
        self._value = value
        self._order = itertools.count()
        self._waiting: list[tuple[Any, int, asyncio.Future[None]]] = []
        self._gave_up = 0
        self._ended: Exception | None = None

    @property
    def waiting(self) -> int:
        """How many are remembered; some may have given up."""
        return len(self._waiting)

    @property
    def value(self) -> K:
        """Where it is."""
        return self._value

    def move(self, value: K) -> None:
        """Move it forward; a value that is behind changes nothing."""
        if not _less(self._value, value):
            return
        self._value = value
        while self._waiting and not _less(value, self._waiting[0][0]):
            _, _, future = heapq.heappop(self._waiting)
            if future.done():
                self._gave_up -= 1
            else:
                future.set_result(None)

    def end(self, error: Exception) -> None:
        """Say that it moves no more: whoever waits, now or later, gets this error."""
        self._ended = error
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error)

    async def reach(self, value: K) -> None:
        """Wait until it is there. Raises what `end` was told."""
        if not _less(self._value, value):
            return
        if self._ended is not None:
            raise self._ended
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (value, next(self._order), future))
        try:
            await future
        finally:
            if future.cancelled():
                self._forget_one()

    def _forget_one(self) -> None:
        # A value may never be reached: a position is what a client says. Those who gave up go when they are the most.
        self._gave_up += 1
        if self._gave_up > max(len(self._waiting) // 2, _MOST_GIVEN_UP):
            self._waiting = [item for item in self._waiting if not item[2].done()]
            heapq.heapify(self._waiting)
            self._gave_up = 0


def _less(one: Any, other: Any) -> bool:
    return bool(one < other)


class SharedCall(Generic[T]):
    """One call for all that ask meanwhile.

    Who asks while a call runs gets the answer of the next one, which began after the question: that keeps a
    linearizable read linearizable.
    """

    def __init__(self, call: Callable[[], Awaitable[T]]) -> None:
        self._call = call
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None
        self._ended: Exception | None = None

    async def ask(self) -> T:
        """Get an answer to a call that begins after this. Raises what `end` was told."""
        self._raise_ended()
        if self._running is None:
            task = self._running = self._start(None)
        elif self._next is None:
            task = self._next = self._start(self._running)
        else:
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
        """Wait for what runs."""
        tasks = {task for task in (self._running, self._next) if task is not None}
        if tasks:
            await asyncio.wait(tasks)

    async def end(self, error: Exception) -> None:
        """Cancel what runs: whoever asks, or asked, gets this error."""
        self._ended = error
        for task in (self._next, self._running):
            if task is not None:
                task.cancel()
        await self.close()

    def _start(self, before: asyncio.Task[T] | None) -> asyncio.Task[T]:
        task = asyncio.create_task(self._run(before))
        # Whoever asked may have gone away; then nobody else takes the error.
        task.add_done_callback(lambda done: None if done.cancelled() else (done.exception(), None)[1])
        return task

    async def _run(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait({before})
        self._running = asyncio.current_task()
        if before is not None:
            self._next = None
        try:
            return await self._call()
        finally:
            if self._running is asyncio.current_task():
                self._running = self._next


class Backoff:
    """Waits that grow, with jitter, from 20 ms to a second."""

    def __init__(self) -> None:
        self._seconds = 0.02

    async def wait(self) -> None:
        """Wait once, and longer the next time."""
        await asyncio.sleep(self._seconds * (0.5 + random.random()))  # noqa: S311 - jitter, not a secret
        self._seconds = min(self._seconds * 2, 1.0)

    def reset(self) -> None:
        """Begin again."""
        self._seconds = 0.02
