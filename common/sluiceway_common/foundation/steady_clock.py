"""A wall clock that ignores large steps, so that setting the clock of the machine does not make all deadlines pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

_log = structlog.get_logger(__name__)


class SteadyClock:
    """The machine's clocks, for a process in which deadlines are compared with wall time.

    While it is set in small steps the wall clock is followed. A larger step than `tolerance`, in either direction, is
    not: it would make everything that waits time out at once, or never. Wall time continues from before the step, as
    fast as the monotonic clock, until the process ends or the wall clock is back. Thread-safe.
    """

    def __init__(
        self,
        *,
        tolerance: timedelta = timedelta(minutes=5),
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """Start with the present time of the wall clock.

        Args:
            tolerance: the largest step that is followed.
            wall: seconds since 1970.
            steady: monotonic seconds that also count while the machine sleeps, so that waking up is not a step.
        """
        self._tolerance = tolerance.total_seconds()
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self._is_off = False

    def now(self) -> datetime:
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
        return time.monotonic()
