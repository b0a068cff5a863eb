"""Processes that run functions for a gateway, so that neither its event loop nor its interpreter's lock is blocked.

`concurrent.futures` cannot stop a running function. Here the process is killed when its caller is cancelled; its
memory is limited. Function, arguments and result are pickled; the function must be importable.

A worker (`python -m sluiceway_server.gateway.workers`) reads one request after the other from its standard input. Each
message, in both directions, is its length in 8 bytes and a pickle.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, cast

from sluiceway_common.foundation.errors import SluicewayError

__all__ = ["WorkerLost", "WorkerPool"]

_IDLE_SECONDS = 60.0
_LENGTH_BYTES = 8
_NICENESS = 10
_PR_SET_PDEATHSIG = 1

R = TypeVar("R")
Arguments = TypeVarTuple("Arguments")


class WorkerLost(Exception):
    """A worker ended before its function did."""


class WorkerPool:
    """Up to `size` workers. They start when they are needed, and end after a minute without work."""

    def __init__(self, size: int, *, memory_bytes: int) -> None:
        """No process starts yet.

        Args:
            size: the most workers at a time.
            memory_bytes: the most data that each may have. A function that needs more raises MemoryError.
        """
        self._places = asyncio.Semaphore(size)
        self._memory_bytes = memory_bytes
        self._idle: dict[_Worker, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, function: Callable[[*Arguments], R], *arguments: *Arguments) -> R:
        """Run a function in the next free worker, and return or raise what it does. Cancellation kills the worker.

        Raises:
            MemoryError: it needs more memory than a worker may have.
            WorkerLost: its worker ended, for a reason that is not known.
        """
        async with self._places:
            worker = self._take() or await _Worker.start(self._memory_bytes)
            try:
                succeeded, result = await worker.run(function, arguments)
            except BaseException:
                self._end(worker)
                raise
            if isinstance(result, MemoryError):
                self._end(worker)  # its memory may not have been freed
            else:
                self._put_back(worker)
        if succeeded:
            value: R = result
            return value
        raise result

    async def close(self) -> None:
        """End all workers, once nothing runs any more. May be called twice."""
        while self._idle:
            worker, timer = self._idle.popitem()
            timer.cancel()
            self._end(worker)
        await asyncio.gather(*self._ending)

    def _take(self) -> _Worker | None:
        if not self._idle:
            return None
        worker, timer = self._idle.popitem()  # the last one to become idle, so that the others may end
        timer.cancel()
        return worker

    def _put_back(self, worker: _Worker) -> None:
        def end() -> None:
            del self._idle[worker]
            self._end(worker)

        self._idle[worker] = asyncio.get_running_loop().call_later(_IDLE_SECONDS, end)

    def _end(self, worker: _Worker) -> None:
        task = asyncio.create_task(worker.end(), name="end-worker")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Worker:
    """The parent's end of a worker."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._stdin = cast("asyncio.StreamWriter", process.stdin)
        self._stdout = cast("asyncio.StreamReader", process.stdout)

    @staticmethod
    async def start(memory_bytes: int) -> _Worker:
        arguments = [sys.executable, "-m", "sluiceway_server.gateway.workers", str(os.getpid()), str(memory_bytes)]
        return _Worker(
            await asyncio.create_subprocess_exec(
                *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        )

    async def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
        """Return whether the function succeeded, and what it returned or raised."""
        request = pickle.dumps((function, arguments), protocol=pickle.HIGHEST_PROTOCOL)
        try:
            self._stdin.write(len(request).to_bytes(_LENGTH_BYTES) + request)
            await self._stdin.drain()
            length = int.from_bytes(await self._stdout.readexactly(_LENGTH_BYTES))
            succeeded, result = pickle.loads(await self._stdout.readexactly(length))  # noqa: S301 - our own child's
        except (OSError, EOFError) as error:
            raise WorkerLost(f"a worker ended with {await self._process.wait()}") from error
        return succeeded, result

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._stdin.close()


def main() -> None:
    """Serve the parent that started this process until it exits. Arguments: its process id, the memory in bytes."""
    parent, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles a Ctrl-C in a terminal
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    requests = sys.stdin.buffer
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as responses:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing else may write among the responses
        while header := requests.read(_LENGTH_BYTES):
            response = _respond(requests.read(int.from_bytes(header)))
            responses.write(len(response).to_bytes(_LENGTH_BYTES) + response)
            responses.flush()


def _respond(request: bytes) -> bytes:
    try:
        function, arguments = pickle.loads(request)  # noqa: S301 - our own parent's
        return pickle.dumps((True, function(*arguments)), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        if not isinstance(error, SluicewayError):
            error.add_note(traceback.format_exc())  # a traceback itself cannot be pickled
        return pickle.dumps((False, error), protocol=pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    main()
