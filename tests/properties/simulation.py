"""An event loop with virtual time, and processes in it that can be killed. Deterministic, in one thread.

Time passes only when nothing is left to do, and then at once, to the next timer: ten minutes without etcd cost a few
microseconds. What would run in threads runs on the loop, each job whole, a random moment later. So one seed gives one
history, whatever the machine does.

A process is a context: every task that is started in it belongs to it. Killing it is like SIGKILL: from then on nothing
that it does has an effect outside (`network` sees to that), its results do not count, and its tasks end. What it had
sent still arrives. Its files are a copy from the moment of its death.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sluiceway_common.foundation.crashpoints import CRASH_POINTS, Crashed, crashing

__all__ = ["CURRENT", "Process", "SimulatedClock", "Simulation", "Stuck", "simulated_crash_points", "virtual_time"]

T = TypeVar("T")

_MOST_ROUNDS = 150_000
_LONGEST_JOB_SECONDS = 0.002
_START = datetime(2026, 1, 1, tzinfo=UTC)


class Stuck(Exception):
    """Nothing can happen any more, or it does not end."""


class _Task(asyncio.Task[Any]):
    # Sets of tasks are walked in the order of hashes: addresses differ from run to run, numbers do not.
    _numbers = itertools.count()

    def __init__(self, *args: Any, **more: Any) -> None:
        self._number = next(_Task._numbers)
        super().__init__(*args, **more)

    def __hash__(self) -> int:
        return self._number


class _Loop(asyncio.BaseEventLoop):
    """An event loop with virtual time. It is its own selector: there is nothing to select from."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._now = 1000.0
        self._rounds = 0
        self._selector = self
        self._busy: dict[Any, float] = {}
        self.set_task_factory(_make_task)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Stuck("every task waits for something that never happens")
        self._rounds += 1
        if self._rounds > _MOST_ROUNDS:
            raise Stuck(f"there is no end after {self._rounds} rounds of the event loop")
        self._now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        if _is_shut_down(executor):
            raise RuntimeError("cannot schedule new futures after shutdown")

        def run() -> None:
            if _is_shut_down(executor):
                future.cancel()
                return
            try:
                value = func(*args)
            except BaseException as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(value)

        # Each pool works as one thread: a job begins when those before it have ended.
        ends = max(self._now, self._busy.get(executor, 0.0)) + self._rng.random() ** 4 * _LONGEST_JOB_SECONDS
        if executor is not None:
            self._busy[executor] = ends
        self.call_at(ends, run)
        return future


def _is_shut_down(executor: Any) -> bool:
    return executor is not None and executor._shutdown


CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def _make_task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any],
    context: contextvars.Context | None = None,
) -> asyncio.Task[Any]:
    task = _Task(coro, loop=loop, context=context)
    process = CURRENT.get() if context is None else context.get(CURRENT)
    if process is not None:
        process.tasks.append(task)
    return task


class Process:
    """One life of a server.

    Attributes:
        dead: it was killed.
        tasks: all that were ever begun in it.
        on_kill: called when it dies, before anything else of it runs.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.on_kill: Callable[[], None] = lambda: None
        self._context = contextvars.copy_context()
        self._context.run(CURRENT.set, self)
        self._open = asyncio.Event()
        self._open.set()
        self._armed: dict[str, int] = {}

    def start(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that belongs to it."""
        return asyncio.get_running_loop().create_task(coro, context=self._context.copy())

    async def call(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in it. Raise `Crashed` if it dies before that has returned."""
        task = self.start(coro)
        task.add_done_callback(_forget)
        if self.dead:
            task.cancel()
        await asyncio.wait({task})
        if self.dead:
            raise Crashed(self.name)
        return task.result()

    def kill(self) -> None:
        """Kill it, as SIGKILL does."""
        if self.dead:
            return
        self.on_kill()
        self.dead = True
        self._open.set()
        here = asyncio.current_task()
        for task in self.tasks:
            if not task.done() and task is not here:
                task.cancel()
            task.add_done_callback(_forget)

    def pause(self) -> None:
        """Pause it, as SIGSTOP does: what it sends, and what it is sent, waits."""
        if not self.dead:
            self._open.clear()

    def resume(self) -> None:
        """Resume it, as SIGCONT does."""
        self._open.set()

    @property
    def paused(self) -> bool:
        return not self._open.is_set()

    async def gate(self) -> None:
        """Wait while it is paused. Called before each effect outside, and after each response."""
        if not self._open.is_set():
            await self._open.wait()
        if self.dead:
            raise Crashed(self.name)

    def crash_at(self, point: str, times: int) -> None:
        """Die the `times`-th time that it reaches a crash point."""
        self._armed[point] = times

    def disarm(self) -> None:
        """Forget all calls of `crash_at`."""
        self._armed.clear()

    def reach(self, point: str) -> None:
        """Reach a crash point."""
        if self.dead:
            raise Crashed(point)
        left = self._armed.get(point)
        if left is None:
            return
        self._armed[point] = left - 1
        if left <= 1:
            del self._armed[point]
            self.kill()
            raise Crashed(point)


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


@contextmanager
def simulated_crash_points(reached: set[str]) -> Iterator[None]:
    """Kill processes at the crash points that were set for them; `reached` collects all that were reached."""

    def hit(point: str) -> None:
        reached.add(point)
        process = CURRENT.get()
        if process is not None:
            process.reach(point)

    with crashing(hit, *CRASH_POINTS):
        yield


class SimulatedClock:
    """A `Clock` of the virtual time. The wall time can be moved, for all servers or for one."""

    def __init__(self, shared: SimulatedClock | None = None) -> None:
        self._shared = shared
        self.offset = timedelta()

    def now(self) -> datetime:
        if self._shared is not None:
            return self._shared.now() + self.offset
        return _START + timedelta(seconds=asyncio.get_running_loop().time()) + self.offset

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Simulation:
    """Runs a coroutine in virtual time."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run it to its end. Raise what it raises, or `Stuck`."""
        loop = _Loop(random.Random(self._seed))
        state, urandom = random.getstate(), os.urandom
        random.seed(self._seed)
        names = random.Random(self._seed ^ 0x5EED)
        _Task._numbers = itertools.count()
        os.urandom = names.randbytes
        loop.set_exception_handler(lambda _loop, _context: None)
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(main())
        finally:
            os.urandom = urandom
            random.setstate(state)
            with suppress(Exception):
                _end_all(loop)
            asyncio.set_event_loop(None)
            loop.close()


def _end_all(loop: _Loop) -> None:
    left = [task for task in asyncio.all_tasks(loop) if not task.done()]
    for task in left:
        task.cancel()
    if left:
        loop._rounds = 0
        loop.run_until_complete(asyncio.wait(left, timeout=60))
    for task in left:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(loop.shutdown_asyncgens())


def virtual_time() -> float:
    """Return the seconds since the start; for messages."""
    try:
        return asyncio.get_running_loop().time() - 1000.0
    except RuntimeError:
        return 0.0
