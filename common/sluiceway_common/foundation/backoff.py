"""How long to wait before trying again: the one place where that is decided."""

from __future__ import annotations

import random as _random
from collections.abc import Callable

__all__ = ["backoff_seconds"]


def backoff_seconds(
    attempt: int,
    *,
    first: float = 0.1,
    limit: float = 10.0,
    random: Callable[[], float] = _random.random,
) -> float:
    """Choose the pause before a further attempt, so that many who failed together do not come back together.

    Args:
        attempt: how many have failed, from 1.
        first: the ceiling after the first, in seconds; it doubles with each.
        limit: what the ceiling never passes, in seconds.
        random: gives numbers from 0 to 1.

    Returns:
        Between half of the ceiling and all of it: some pause is always made.
    """
    ceiling = min(limit, first * 2.0 ** min(max(attempt, 1) - 1, 62))
    return ceiling * (0.5 + random() / 2)
