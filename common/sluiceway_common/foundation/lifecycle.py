"""The life of a process: one event loop, one root task group, signals, no core dumps, and its exit code.

Every entry point calls `run_process(main)`. `main(stop)` starts what it needs, waits for `stop.wait()`, drains and
returns. The first SIGTERM or SIGINT sets `stop`; the second one cancels `main`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.tasks import errors_in
from sluiceway_common.foundation.watchdog import give_signs_of_life, watchdog_descriptor

log = structlog.get_logger(__name__)

_INTERRUPTED = 130
_PR_SET_DUMPABLE = 4


class Stop:
    """The request that the process stops, and its root task group."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._now = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._spawned: set[asyncio.Task[None]] = set()

    @property
    def is_requested(self) -> bool:
        """Whether a stop was requested."""
        return self._requested.is_set()

    @property
    def is_now(self) -> bool:
        """Whether it was requested twice: there is no grace period."""
        return self._now.is_set()

    async def wait(self) -> None:
        """Wait until a stop is requested."""
        await self._requested.wait()

    def request(self) -> None:
        """Request a graceful stop; a second time: stop at once."""
        if self._requested.is_set():
            self._now.set()
        self._requested.set()

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start background work: cancelled when `main` has returned; when it fails, everything ends.

        Only inside `run_process`.
        """
        if self._group is None:
            raise RuntimeError("Stop.spawn works inside run_process only")
        task = self._group.create_task(work, name=name)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        return task


def run_process(main: Callable[[Stop], Awaitable[None]]) -> int:
    """Run `main`, and return the exit code of the process: `sys.exit(run_process(main))`.

    After an error of our family, its message is on stderr and the code is 1; for any other exception, its cause is in
    the log as well. After a second signal the code is 130.
    """
    if os.environ.get("GRPC_ENABLE_FORK_SUPPORT") != "0":
        # grpc reads it when it is imported; too late here.
        raise RuntimeError("set GRPC_ENABLE_FORK_SUPPORT=0 before grpc is first imported: subprocesses would crash")
    _forbid_core_dumps()
    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            runner.run(_root(main))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return _INTERRUPTED
    except BaseExceptionGroup as group:
        return _report(group)
    except Exception as error:
        return _report(error)
    return 0


async def _root(main: Callable[[Stop], Awaitable[None]]) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.request)
    now = asyncio.create_task(_cancel_when_now(stop, asyncio.current_task()), name="second-signal")
    try:
        async with asyncio.TaskGroup() as group:
            stop._group = group
            if (descriptor := watchdog_descriptor(os.environ)) is not None:
                stop.spawn(give_signs_of_life(descriptor), name="signs-of-life")
            await main(stop)
            for task in set(stop._spawned):
                task.cancel()
    finally:
        now.cancel()


async def _cancel_when_now(stop: Stop, root: asyncio.Task[Any] | None) -> None:
    await stop._now.wait()
    if root is not None:
        root.cancel()


def _report(error: BaseException) -> int:
    errors = errors_in(error)
    ours = [each for each in errors if isinstance(each, SluicewayError)]
    if len(ours) < len(errors):
        log.error("process_failed", exc_info=error)
    text = "; ".join(dict.fromkeys(str(each) or type(each).__name__ for each in ours or errors))
    print(f"error: {text}", file=sys.stderr)
    return 1


def _forbid_core_dumps() -> None:
    """Keep the memory of this process, with its secrets, from core dumps and from debuggers of its own user.

    A limit of zero (RLIMIT_CORE) is ignored where the kernel pipes core dumps to a program (core(5)).
    Programs that this process starts are not affected.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415 - not there on Windows

    return uvloop.new_event_loop()
