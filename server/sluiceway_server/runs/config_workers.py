"""Processes that work on configurations of users, a few at a time.

To parse and check a configuration takes seconds of a processor and hundreds of MiB in the worst case, mostly in
libraries that hold the interpreter's lock; a process keeps that away from the server. It has less priority and bounded
memory, and is killed when its caller is cancelled or its time is over. Processes are kept for the next calls.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial
from typing import Protocol, TypeVar

import anyio.to_process

from sluiceway_common.foundation.errors import DeadlineExceeded, Exhausted, Unavailable
from sluiceway_common.foundation.places import Places
from sluiceway_common.foundation.time_limit import time_limit

A = TypeVar("A")
R = TypeVar("R")

# More than a jsonnet evaluation may take.
MOST_TIME = timedelta(seconds=75)
_MEMORY_BYTES = 1024**3
_NICENESS = 10


class ConfigWorkers(Protocol):
    """What runs functions on configurations: `ConfigProcesses`."""

    async def call(self, function: Callable[[A], R], argument: A, *, within: timedelta = MOST_TIME) -> R:
        """Call a function of a module with an argument; both, and what it returns or raises, can be pickled.

        Raises:
            Exhausted: `CONFIGURATION_TOO_LARGE`: it needs too much memory.
            DeadlineExceeded: `CONFIGURATION_TOO_SLOW`: it takes too long.
            Unavailable: too many wait already, or the process ended.
        """
        ...


class ConfigProcesses:
    """Implements `ConfigWorkers`."""

    def __init__(self, at_a_time: int, *, waiting: int) -> None:
        self._places = Places(at_a_time, waiting=waiting, what="configurations")

    async def call(self, function: Callable[[A], R], argument: A, *, within: timedelta = MOST_TIME) -> R:
        async with self._places.take():
            try:
                async with time_limit(within.total_seconds()):
                    limited = partial(_limited, function, argument)
                    return await anyio.to_process.run_sync(limited, cancellable=True)
            except TimeoutError as cause:
                raise DeadlineExceeded(
                    f"the configuration was not loaded within {within.total_seconds():.0f} s",
                    reason="CONFIGURATION_TOO_SLOW",
                ) from cause
            except MemoryError as cause:
                raise Exhausted(
                    "the configuration needs too much memory to be loaded", reason="CONFIGURATION_TOO_LARGE"
                ) from cause
            except anyio.BrokenWorkerProcess as cause:
                raise Unavailable(
                    "the process that loads configurations ended; try again", reason="WORKER_LOST"
                ) from cause


def _limited(function: Callable[[A], R], argument: A) -> R:
    _set_limits()
    return function(argument)


@cache
def _set_limits() -> None:
    """Limit the resources of this process, once."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
