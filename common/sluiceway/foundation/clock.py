"""Time and ids as collaborators, so that what decides can be tested without waiting.

`Clock.now()` is wall time (UTC, for records and people); `Clock.monotonic()` is for durations. `IdSource` makes UUIDv7,
whose order as strings is the order of creation (RFC 9562, 5.7).
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

__all__ = ["Clock", "IdSource", "SteadyClock", "SystemClock", "UuidSource"]

_log = structlog.get_logger(__name__)


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Tell the wall time, with time zone UTC."""
        ...

    def monotonic(self) -> float:
        """Tell seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()


class SteadyClock:
    """The machine's clocks, for a process in which deadlines are compared with wall time.

    While it is set in small steps the wall clock is followed. A larger step than `tolerance`, in either direction, is
    not: it would make everything that waits time out at once, or never. Wall time then goes on from before the step, as
    fast as the monotonic clock, until the process ends or the wall clock is back. Thread-safe.
    """

    def __init__(
        self,
        *,
        tolerance: timedelta = timedelta(minutes=5),
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """Make one, with the wall clock as it is now.

        Args:
            tolerance: the largest step that is followed.
            wall: seconds since 1970.
            steady: seconds that nobody can set; also while the machine sleeps, so that waking up is no step.
        """
        self._tolerance = tolerance.total_seconds()
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self._is_off = False

    def now(self) -> datetime:
        """See `Clock.now`."""
        steady = self._steady()
        offset = self._wall() - steady
        step = offset - self._offset
        if abs(step) <= self._tolerance:
            self._offset, self._is_off = offset, False
        elif not self._is_off:
            self._is_off = True
            _log.error("wall_clock_was_set", seconds=round(step), action="ignored; restart this process to follow it")
        return datetime.fromtimestamp(steady + self._offset, UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()


class IdSource(Protocol):
    """Where ids come from."""

    def new_id(self) -> str:
        """Make an id that was never given before; later ones sort after earlier ones."""
        ...


class UuidSource:
    """UUIDv7, increasing within one process even inside one millisecond. Thread-safe."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._last = 0

    def new_id(self) -> str:
        """See `IdSource.new_id`."""
        milliseconds = int(self._clock.now().timestamp() * 1000)
        random = int.from_bytes(os.urandom(10), "big")
        # 48 bits of time, then 74 random ones; a value that would not grow is the last one plus one.
        with self._lock:
            value = (milliseconds << 74) | (random & ((1 << 74) - 1))
            if value <= self._last:
                value = self._last + 1
            self._last = value
        high, low = value >> 62, value & ((1 << 62) - 1)
        time_part, rand_a = high >> 12, high & 0xFFF
        return str(uuid.UUID(int=(time_part << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | low))
