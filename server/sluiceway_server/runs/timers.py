"""Timers: which record to check when, and the loop that does it.

Only the scheduler keeps them, so that each deadline is checked once. A deadline is never stored for its own sake: it
follows from a record, and a timer only says when to check that record. The check decides in a transaction whether the
deadline has passed; a timer that is early, late or obsolete does no harm.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.time_limit import time_limit

_log = structlog.get_logger(__name__)

AT_ONCE = 32
LONGEST_PAUSE = timedelta(seconds=30)
"""The wall clock may be set while the loop sleeps; it reads it again after so long."""
RETRY_PAUSE = timedelta(seconds=1)


class Subject(StrEnum):
    """What kind of record a timer is about."""

    RUN = "run"
    DRAIN = "drain"


TimerKey = tuple[Subject, str]
"""A subject and its id: of a run, or of an executor that is drained."""

Look = Callable[[TimerKey], Awaitable[datetime | None]]
"""Checks a subject that is due; returns when to check it again, or None. May be repeated."""


class Timers:
    """One timer for each key. For the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: dict[TimerKey, datetime] = {}
        self._heap: list[tuple[datetime, TimerKey]] = []
        self._sooner = asyncio.Event()

    def __len__(self) -> int:
        return len(self._times)

    def set(self, key: TimerKey, time: datetime | None) -> None:
        """Check a subject at `time` instead of the time set before; None: not at all."""
        if time is None:
            self._times.pop(key, None)
        elif self._times.get(key) != time:
            self._times[key] = time
            heapq.heappush(self._heap, (time, key))
            if self._heap[0] == (time, key):
                self._sooner.set()
        if len(self._heap) > 2 * len(self._times) + 100:
            self._heap = [(time, key) for key, time in self._times.items()]
            heapq.heapify(self._heap)

    def add(self, key: TimerKey, time: datetime) -> None:
        """Check a subject at `time` at the latest. For one that was read a while ago: an earlier time stays."""
        known = self._times.get(key)
        if known is None or time < known:
            self.set(key, time)

    def clear(self) -> None:
        """Cancel all timers."""
        self._times.clear()
        self._heap.clear()

    async def run(self, look: Look) -> None:
        """Check each subject when it is due, until cancelled."""
        while True:
            await self.look_at_due(look)
            self._sooner.clear()
            pause = self._pause()
            if pause > timedelta():
                with suppress(TimeoutError):
                    async with time_limit(pause.total_seconds()):
                        await self._sooner.wait()

    async def look_at_due(self, look: Look) -> None:
        """Check everything that is due."""
        while due := self._take_due():
            await asyncio.gather(*(self._look(key, look) for key in due))

    def _take_due(self) -> list[TimerKey]:
        now = self._clock.now()
        due: list[TimerKey] = []
        while self._heap and len(due) < AT_ONCE and self._heap[0][0] <= now:
            time, key = heapq.heappop(self._heap)
            if self._times.get(key) == time:
                del self._times[key]
                due.append(key)
        return due

    async def _look(self, key: TimerKey, look: Look) -> None:
        try:
            again = await look(key)
        except SluicewayError as error:
            _log.warning("deadline_not_looked_at", subject=key[0], id=key[1], error=str(error), code=error.code)
            again = self._clock.now() + RETRY_PAUSE
        if again is not None:
            self.add(key, again)

    def _pause(self) -> timedelta:
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap:
            return LONGEST_PAUSE
        return min(self._heap[0][0] - self._clock.now(), LONGEST_PAUSE)
