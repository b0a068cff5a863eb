"""Shells in the pods of tasks, between the calls of people and those of executors.

    person --OpenShell--> server --notice in the log--> server with the stream --"open_shell"--> executor
    person <--OpenShell-- server <------------------------- ServeShell ------------------------- executor

A shell lives in the memory of the server to which the person is connected, and only while both calls last. The executor
calls the servers that it knows until it reaches that one. Nothing that it prints is stored. A slow side slows the other
one: each direction has a short queue.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import shell_pb2
from sluiceway_common.foundation.clock import IdSource
from sluiceway_common.foundation.errors import Exhausted, FailedPrecondition, NotFound, Unavailable
from sluiceway_common.foundation.time_limit import time_limit

__all__ = ["Shell", "Shells"]

T = TypeVar("T")

_MAX_SHELLS_OF_POD = 5
_MAX_QUEUED = 16


class NoPod(FailedPrecondition):
    """The task has no pod in which a shell can be opened."""

    reason = "TASK_HAS_NO_POD"


class Shell:
    """One shell, from when its executor serves it.

    Attributes:
        assignment_id: in whose pod it is.
        step: the name of the step whose environment it has.
    """

    def __init__(self, executor_id: str, assignment_id: str) -> None:
        self.executor_id = executor_id
        self.assignment_id = assignment_id
        self.step = ""
        self._started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._output: asyncio.Queue[pb.ServeShellRequest | None] = asyncio.Queue(_MAX_QUEUED)
        self._input: asyncio.Queue[pb.ServeShellResponse] = asyncio.Queue(_MAX_QUEUED)
        self._over = asyncio.Event()

    async def started(self) -> None:
        """Wait until the executor serves it.

        Raises:
            NoPod: it refuses to.
        """
        refusal = await asyncio.shield(self._started)
        if refusal:
            raise NoPod(refusal)

    async def type(self, data: bytes, size: shell_pb2.TerminalSize | None) -> None:
        """Send what the person typed, and the size of the terminal if it changed. Waits while the shell is slow."""
        await self._put(self._input, pb.ServeShellResponse(data=data, size=size))

    async def output(self) -> AsyncIterator[pb.ServeShellRequest]:
        """Yield what it prints, and at last how it ended.

        Raises:
            Unavailable: the connection to its executor ended before.
        """
        while (message := await self._output.get()) is not None:
            yield message
            if message.HasField("end"):
                return
        raise Unavailable("the connection to the executor of the shell has ended", reason="EXECUTOR_AWAY")

    async def serve(
        self,
        first: pb.ServeShellRequest,
        requests: AsyncIterator[pb.ServeShellRequest],
        write: Callable[[pb.ServeShellResponse], Awaitable[None]],
    ) -> None:
        """Carry the call of its executor, until either side ends."""
        if self._started.done():
            return
        self.step = first.step
        self._started.set_result(first.end.message if first.HasField("end") else "")

        async def receive() -> None:
            async for request in requests:
                await self._put(self._output, request)

        async def send() -> None:
            while True:
                await write(await self._input.get())

        tasks = [asyncio.create_task(each) for each in (receive(), send(), self._over.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.exception()
            if not self._over.is_set():
                # What is queued is read first.
                with contextlib.suppress(Unavailable):
                    await self._put(self._output, None)

    def end(self) -> None:
        """End it: the person has left."""
        self._over.set()

    async def _put(self, queue: asyncio.Queue[T], item: T) -> None:
        put = asyncio.ensure_future(queue.put(item))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({put, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            if not put.done():
                put.cancel()
        if not put.done() or put.cancelled():
            raise Unavailable("the shell has ended", reason="EXECUTOR_AWAY")


class Shells:
    """The shells in the pods of the executors whose streams this server has."""

    def __init__(self, ids: IdSource, *, start_within: timedelta = timedelta(seconds=20)) -> None:
        self._ids = ids
        self._start_within = start_within
        self._shells: dict[str, Shell] = {}

    @asynccontextmanager
    async def open(
        self, executor_id: str, assignment_id: str, notify: Callable[[str], Awaitable[None]]
    ) -> AsyncIterator[Shell]:
        """Open a shell in the pod of an attempt, and yield it once it runs. It ends with the body.

        Args:
            executor_id: of the attempt.
            assignment_id: of the attempt.
            notify: tells the executor the id of the shell, through the server with its stream.

        Raises:
            NoPod: the attempt has no pod, or the executor refuses.
            Exhausted: the pod has too many shells.
            Unavailable: the executor does not respond.
        """
        if sum(shell.assignment_id == assignment_id for shell in self._shells.values()) >= _MAX_SHELLS_OF_POD:
            raise Exhausted(f"the pod has {_MAX_SHELLS_OF_POD} shells already; leave one", reason="TOO_MANY_SHELLS")
        shell_id = self._ids.new_id()
        shell = self._shells[shell_id] = Shell(executor_id, assignment_id)
        try:
            await notify(shell_id)
            try:
                async with time_limit(self._start_within.total_seconds()):
                    await shell.started()
            except TimeoutError as error:
                raise Unavailable(
                    f"the executor {executor_id} did not respond within {self._start_within.total_seconds():g} s; with"
                    " several servers, it must know the addresses of all of them (--server)",
                    reason="EXECUTOR_AWAY",
                ) from error
            yield shell
        finally:
            del self._shells[shell_id]
            shell.end()

    async def serve(
        self,
        first: pb.ServeShellRequest,
        requests: AsyncIterator[pb.ServeShellRequest],
        write: Callable[[pb.ServeShellResponse], Awaitable[None]],
    ) -> None:
        """Carry the call of an executor, whose session is proved.

        Raises:
            NotFound: nobody waits for the shell here.
        """
        shell = self._shells.get(first.shell_id)
        if shell is None or shell.executor_id != first.executor_id:
            raise NotFound("nobody waits for this shell here", resource_type="shell", resource_name=first.shell_id)
        await shell.serve(first, requests, write)
