"""Time and ids as collaborators, so that what decides can be tested without waiting.

`Clock.now()` is wall time (UTC, for records and people); `Clock.monotonic()` is for durations. `IdSource` makes UUIDv7,
whose order as strings is the order of creation (RFC 9562, 5.7).
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def now(self) -> datetime:
        """Return the wall time, with time zone UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start. It never decreases."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class IdSource(Protocol):
    """A source of ids."""

    def new_id(self) -> str:
        """Return a new unique id; later ones sort after earlier ones."""
        ...


class UuidSource:
    """UUIDv7, increasing within one process even inside one millisecond. Thread-safe."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._last = 0

    def new_id(self) -> str:
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
