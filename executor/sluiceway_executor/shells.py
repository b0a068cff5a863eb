"""Shells of people in the pods of this executor: a terminal of a pod, carried by a call to the server.

The server asks for a shell on the stream of the executor, and the executor opens a call of its own (`ServeShell`), on
the same connection, since it may be behind NAT. A shell ends with its call, and a call with its shell. Nothing of it is
stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import grpc
import grpc.aio
import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import shell_pb2
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound, SluicewayError
from sluiceway_common.foundation.rpc.status import errors_of_call
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.port import Process
from sluiceway_executor.journal import Journal
from sluiceway_executor.worker import Worker

__all__ = ["Shells"]

log = structlog.get_logger(__name__)

_MAX_SHELLS = 50
_GRACE_SECONDS = 1.0
_END_SECONDS = 10.0
_CHUNK_BYTES = 32 * 1024
_DEFAULT_SIZE = (24, 80)
_MAX_SIDE = 1_000
_MAX_ATTEMPTS = 20
_RETRY_SECONDS = 0.2


class Workers(Protocol):
    """The part of `Assignments` that shells need."""

    def worker_of(self, assignment_id: str, epoch: pb.Epoch) -> Worker | None:
        """Return the worker of an attempt that runs here; None: there is none."""
        ...


class Shells:
    """The shells of one executor."""

    def __init__(self, workers: Workers, journal: Journal, *, open_channel: Callable[[], grpc.aio.Channel]) -> None:
        self._workers = workers
        self._open_channel = open_channel
        self._journal = journal
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, command: pb.OpenShell, channel: grpc.aio.Channel) -> None:
        """Start a shell, and serve it over `channel`. Never waits, and raises nothing."""
        task = asyncio.create_task(self._serve(command, channel), name=f"shell {command.shell_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all shells."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _serve(self, command: pb.OpenShell, channel: grpc.aio.Channel) -> None:
        process: Process | None = None
        step, refusal = "", ""
        try:
            process, step = await self._start(command)
        except SluicewayError as error:
            refusal = error.message
        log.info("shell_opened", shell=command.shell_id, assignment=command.assignment_id, refused=refusal)
        try:
            await self._reach(command, channel, process, step=step, refusal=refusal)
        except SluicewayError as error:
            log.info("shell_call_ended", shell=command.shell_id, code=error.code.value, error=error.message)
        finally:
            if process is not None:
                await self._end(process)
            log.info("shell_closed", shell=command.shell_id)

    async def _start(self, command: pb.OpenShell) -> tuple[Process, str]:
        worker = self._workers.worker_of(command.assignment_id, command.epoch)
        if worker is None:
            raise FailedPrecondition("the attempt does not run on this executor any more", reason="TASK_HAS_NO_POD")
        if len(self._tasks) > _MAX_SHELLS:
            raise FailedPrecondition(f"this executor has {_MAX_SHELLS} shells already", reason="TOO_MANY_SHELLS")
        rows, columns = _size(command.size) or _DEFAULT_SIZE
        return await worker.exec_shell(rows=rows, columns=columns, term=command.term or "xterm-256color")

    async def _reach(
        self, command: pb.OpenShell, channel: grpc.aio.Channel, process: Process | None, *, step: str, refusal: str
    ) -> None:
        """Serve the shell to the server that waits for it: of several, that of the stream is only the most likely.

        Raises:
            SluicewayError: the call ended early.
            NotFound: none of the servers that were reached waits for it.
        """
        for attempt in range(_MAX_ATTEMPTS):
            # Another connection may be to another server.
            used = channel if attempt == 0 else self._open_channel()
            try:
                with errors_of_call("the shell"):
                    await self._carry(command, used, process, step=step, refusal=refusal)
            except NotFound:
                if attempt == _MAX_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return
            finally:
                if used is not channel:
                    await used.close()

    async def _carry(
        self, command: pb.OpenShell, channel: grpc.aio.Channel, process: Process | None, *, step: str, refusal: str
    ) -> None:
        messages = self._messages(command, process, step=step, refusal=refusal)
        call = pb_grpc.ExecutorServiceStub(channel).ServeShell(messages)
        try:
            async for response in call:
                if process is None:
                    continue
                if (size := _size(response.size)) is not None:
                    process.resize(*size)
                if response.data:
                    await process.write(response.data)
        finally:
            call.cancel()

    async def _messages(
        self, command: pb.OpenShell, process: Process | None, *, step: str, refusal: str
    ) -> AsyncIterator[pb.ServeShellRequest]:
        journal = self._journal
        first = pb.ServeShellRequest(
            session_id=journal.session_id,
            session_secret=journal.session_secret,
            executor_id=journal.executor_id,
            shell_id=command.shell_id,
            step=step,
        )
        if process is None:
            first.end.message = refusal
            yield first
            return
        yield first
        while data := await process.read():
            for start in range(0, len(data), _CHUNK_BYTES):
                yield pb.ServeShellRequest(data=data[start : start + _CHUNK_BYTES])
        status = await process.wait()
        end = shell_pb2.ShellEnd(exit_status=status.code)
        if status.pod_ended:
            end.message = "the pod of the task ended"
        yield pb.ServeShellRequest(end=end)

    async def _end(self, process: Process) -> None:
        # Read to its end: a command is over only when its output is read.
        async def drain() -> None:
            while await process.read():
                pass

        drained = asyncio.create_task(drain())
        with contextlib.suppress(TimeoutError):
            async with time_limit(_END_SECONDS):
                await process.stop(_GRACE_SECONDS)
        drained.cancel()


def _size(size: shell_pb2.TerminalSize) -> tuple[int, int] | None:
    """Return rows and columns within bounds; None: they are not set."""
    if size.rows <= 0 or size.columns <= 0:
        return None
    return min(size.rows, _MAX_SIDE), min(size.columns, _MAX_SIDE)
