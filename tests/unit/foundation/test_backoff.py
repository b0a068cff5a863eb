"""The delay before another attempt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.backoff import backoff_seconds


@given(st.integers(-5, 10_000), st.floats(0, 1), st.floats(0.001, 10), st.floats(0.001, 1000))
def test_backoff_is_between_half_of_its_ceiling_and_the_ceiling(
    attempt: int, chance: float, first: float, limit: float
) -> None:
    ceiling = min(limit, first * 2.0 ** min(max(attempt, 1) - 1, 62))
    assert ceiling / 2 <= backoff_seconds(attempt, first=first, limit=limit, random=lambda: chance) <= ceiling


def test_backoff_doubles_up_to_its_limit() -> None:
    pauses = [backoff_seconds(n, first=1, limit=8, random=lambda: 1.0) for n in range(1, 7)]
    assert pauses == [1, 2, 4, 8, 8, 8]
