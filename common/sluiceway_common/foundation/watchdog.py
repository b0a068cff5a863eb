"""The heartbeat of a child process: one byte at a time through a pipe to its parent.

The parent puts the pipe's descriptor into `SLUICE_WATCHDOG_FD`. The bytes come from the event loop, so a process that
is stopped, or whose event loop is blocked, sends none; the parent decides when it has been too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping

WATCHDOG_VARIABLE = "SLUICE_WATCHDOG_FD"
_INTERVAL_SECONDS = 2.0


def watchdog_descriptor(environment: Mapping[str, str]) -> int | None:
    """Return the descriptor that the parent passed, or None. Children do not inherit it."""
    text = environment.get(WATCHDOG_VARIABLE, "")
    if not text.isdigit():
        return None
    descriptor = int(text)
    try:
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)
    except OSError:
        return None
    return descriptor


async def give_signs_of_life(descriptor: int) -> None:
    """Write a byte every two seconds, until cancelled or until the parent is gone."""
    with contextlib.suppress(BrokenPipeError):
        while True:
            # A full pipe: the parent does not read at the moment, and what is in it is enough.
            with contextlib.suppress(BlockingIOError):
                os.write(descriptor, b".")
            await asyncio.sleep(_INTERVAL_SECONDS)
