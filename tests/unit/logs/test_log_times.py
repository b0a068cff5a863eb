from __future__ import annotations

import itertools

from sluiceway_server.logs.times import MOST_TIMES, LogTimes, next_change, offset_since, time_at

TIMES = ((0, 100.0), (50, 101.0), (80, 103.0))


def test_bytes_have_the_time_of_the_entry_before() -> None:
    assert [time_at(TIMES, offset) for offset in (0, 49, 50, 79, 1000)] == [100, 100, 101, 101, 103]
    assert time_at((), 0) is None
    assert [next_change(TIMES, offset) for offset in (0, 50, 80)] == [50, 80, None]


def test_offset_since_a_time_is_that_of_the_next_entry() -> None:
    assert [offset_since(TIMES, at, 90) for at in (0, 100, 100.5, 101, 103.1)] == [0, 0, 50, 50, 90]
    assert offset_since((), 1, 90) == 90


def test_times_are_bounded_and_grow() -> None:
    times = LogTimes()
    for n in range(100_000):
        times.note(n * 10, n * 0.1)
    entries = times.entries
    assert MOST_TIMES / 4 < len(entries) <= MOST_TIMES
    assert entries[0] == (0, 0.0)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(entries))
    assert max(b[1] - a[1] for a, b in itertools.pairwise(entries)) < 10


def test_time_that_was_set_back_is_not_noted() -> None:
    times = LogTimes()
    for offset, at in ((0, 10.0), (5, 9.0), (7, 10.01), (9, 11.0), (9, 12.0)):
        times.note(offset, at)
    assert list(times.entries) == [(0, 10.0), (9, 11.0)]
