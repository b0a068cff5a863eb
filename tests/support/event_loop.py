"""Measure whether a coroutine leaves the event loop to others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def count_turns(work: Coroutine[Any, Any, T]) -> tuple[T, int]:
    """Run a coroutine; return its result and how many turns another task had meanwhile.

    Work on the event loop itself leaves it a few; work of tens of milliseconds in a thread, hundreds.
    """
    task = asyncio.ensure_future(work)
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    return task.result(), turns
