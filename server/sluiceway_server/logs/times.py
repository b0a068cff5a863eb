"""When the bytes of a log were written: entries of an offset and a time, bounded in number. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Times = Sequence[tuple[int, float]]
"""Entries of an offset and a time, in seconds since 1970: bytes from that offset on, up to that of the next entry, were
written then or until the time of the next entry. Both grow."""

MOST_TIMES = 8192
_SHORTEST_SECONDS = 0.05


class LogTimes:
    """The times of a log that grows. When there are too many entries, those of a shorter distance are dropped.

    A log of an hour has a time for each half second, one of a minute for each 50 ms.
    """

    def __init__(self, entries: Times = ()) -> None:
        self._entries = list(entries)
        self._distance = _SHORTEST_SECONDS

    @property
    def entries(self) -> Times:
        """The entries so far. Not a copy."""
        return self._entries

    def note(self, offset: int, seconds: float) -> None:
        """Note that the byte at an offset, which is not before that of the last entry, was written at a time."""
        if self._entries:
            last_offset, last_seconds = self._entries[-1]
            # The clock may have been set back.
            if offset <= last_offset or seconds - last_seconds < self._distance:
                return
        self._entries.append((offset, seconds))
        while len(self._entries) > MOST_TIMES:
            self._distance *= 2
            self._entries = _thinned(self._entries, self._distance)


def _thinned(entries: list[tuple[int, float]], distance: float) -> list[tuple[int, float]]:
    kept = entries[:1]
    for entry in entries[1:]:
        if entry[1] - kept[-1][1] >= distance:
            kept.append(entry)
    return kept


def time_at(times: Times, offset: int) -> float | None:
    """Return when the byte at an offset was written; None: it is not known."""
    index = bisect_right(times, offset, key=lambda entry: entry[0]) - 1
    return times[index][1] if index >= 0 else None


def next_change(times: Times, offset: int) -> int | None:
    """Return the first offset after `offset` at which another time begins; None: there is none."""
    index = bisect_right(times, offset, key=lambda entry: entry[0])
    return times[index][0] if index < len(times) else None


def offset_since(times: Times, seconds: float, size: int) -> int:
    """Return the offset of the first byte that was written at a time or later; `size`: there is none."""
    index = bisect_left(times, seconds, key=lambda entry: entry[1])
    return min(size, times[index][0]) if index < len(times) else size
