"""Wait for a condition instead of a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["eventually"]


async def eventually(holds: Callable[[], Awaitable[bool]], *, seconds: float = 60.0) -> None:
    """Return once `holds` is true; raise `TimeoutError` when it is not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - the condition lives in another process; there is no event to wait on
            await asyncio.sleep(0.02)
