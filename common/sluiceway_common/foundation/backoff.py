"""Exponential back-off with jitter: the only place that computes a pause before a retry."""

from __future__ import annotations

import random as _random
from collections.abc import Callable


def backoff_seconds(
    attempt: int,
    *,
    first: float = 0.1,
    limit: float = 10.0,
    random: Callable[[], float] = _random.random,
) -> float:
    """Return the pause before the next attempt, with jitter: clients that failed together do not retry together.

    Args:
        attempt: how many have failed, from 1.
        first: the ceiling after the first, in seconds; it doubles with each.
        limit: the maximum of the ceiling, in seconds.
        random: returns numbers from 0 to 1.

    Returns:
        Seconds, from half of the ceiling to all of it: never 0.
    """
    ceiling = min(limit, first * 2.0 ** min(max(attempt, 1) - 1, 62))
    return ceiling * (0.5 + random() / 2)
