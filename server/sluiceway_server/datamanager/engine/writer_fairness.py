"""When a server that writes one entry after the other yields to the others. Pure.

Correctness does not depend on this: the log takes whichever entry comes first. But the server that has just written
knows the newest head before all others, who must first read and apply its entry; so it tends to win the next place too,
and the one after. The others lose again and again, each time having prepared their batch for nothing.

So after `MOST_IN_A_ROW` entries in a row, while others wrote lately too, a server waits a little: until one of them has
written, or for about three entries' time. Fewer in a row would be fairer and slower: who writes next has to hear of the
last entry first, and that takes as long as writing one.
"""

from __future__ import annotations

MOST_IN_A_ROW = 6
_WAIT_ENTRIES = 3
_LATELY_SECONDS = 0.25
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.001, 0.02
_SMOOTHING = 0.2


class WriterFairness:
    """The rule, from the entries of the log. Times are monotonic seconds."""

    def __init__(self, server_id: str) -> None:
        self._own = server_id
        self._in_a_row = 0
        self._last = 0.0
        self._last_of_others = float("-inf")
        self._entry_seconds = 0.002

    def wrote(self, writer: str, now: float) -> None:
        """Note an entry, in the order of the log."""
        gap = now - self._last
        if gap < 5 * _LONGEST_SECONDS:  # a longer one says nothing about how long an entry takes
            self._entry_seconds += (gap - self._entry_seconds) * _SMOOTHING
        self._last = now
        if writer == self._own:
            self._in_a_row += 1
        else:
            self._in_a_row = 0
            self._last_of_others = now

    def waited(self) -> None:
        """Note that no other server wrote during a pause."""
        self._in_a_row = 0

    def pause(self, now: float) -> float:
        """Return how many seconds this server waits now for others to write."""
        if self._in_a_row < MOST_IN_A_ROW or now - self._last_of_others > _LATELY_SECONDS:
            return 0.0
        return _WAIT_ENTRIES * min(max(self._entry_seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS)
