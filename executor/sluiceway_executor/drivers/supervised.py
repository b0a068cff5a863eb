"""Pods whose first process is `pod_init.py`, a child of this executor: what `sandbox` and `host` share.

The two differ in how that process is launched and in what it sees; the protocol, the reading of output and the end of a
pod are the same. Such pods end with their executor process: the socket ends, and so does the first process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import socket
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.launcher import LaunchedProcess, Launcher, LaunchRequest, PodStart
from sluiceway_executor.drivers.pipes import write_all
from sluiceway_executor.drivers.pod_network import Outside, PodNetwork, connect_outside, disconnect
from sluiceway_executor.drivers.pod_store import MARKER, PodStore
from sluiceway_executor.drivers.port import Command, ExitStatus, Limits, PodRequest
from sluiceway_executor.drivers.supervised_process import SupervisedProcess

__all__ = ["INIT_SOCKET", "Launch", "SupervisedPod"]

log = structlog.get_logger(__name__)

INIT_SOCKET = "3"
"""The number of the descriptor at which the first process finds its socket."""

_CHUNK_BYTES = 1 << 16
_HEADER_BYTES = 4
_START_SECONDS = 30.0
_END_SECONDS = 10.0
_STOP_MARGIN_SECONDS = 30.0
_BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the first process of a pod.

    Attributes:
        home: the home folder as the pod sees it.
        script_dir: a folder that the pod may write, for scripts, as it sees it.
        repository: the path from which the pod clones the repository; empty: none.
        environment: of every command, below the request's.
        argv: the program, if `pod` is None; it inherits the socket as `INIT_SOCKET` and ends when that ends.
        pod: its namespaces and mounts; the kernel ends all processes of such a pod with its first one.
        network: what the pod's own network is connected to; None: nothing.
        syscall_filter: of a `pod`.
    """

    home: str
    script_dir: str
    repository: str
    environment: Mapping[str, str]
    argv: Sequence[str] = ()
    pod: PodStart | None = None
    network: PodNetwork | None = None
    syscall_filter: bytes = b""


class SupervisedPod:
    """A pod with a first process of ours; see `port.Pod`."""

    def __init__(
        self,
        request: PodRequest,
        launch: Launch,
        *,
        store: PodStore,
        folder: Path,
        users: Sequence[str],
        launcher: Launcher,
        on_removed: Callable[[], None],
    ) -> None:
        self._request = request
        self._plan = launch
        self._store = store
        self._folder = folder
        self._mark = store.mark(request.assignment_id)
        self._users = users
        self._loop = asyncio.get_running_loop()
        self._socket, self._remote = socket.socketpair()
        self._socket.setblocking(False)
        self._launcher = launcher
        self._on_removed = on_removed
        self._is_removed = False
        self._child: LaunchedProcess | None = None
        self._outside: Outside | None = None
        self._ended_by_kernel = False
        self._reader: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._why_gone = "ended"
        self._stops: list[asyncio.Future[None]] = []
        self._processes: dict[int, SupervisedProcess] = {}
        self._all: list[SupervisedProcess] = []
        self._next_id = 0

    @property
    def home(self) -> str:
        return self._plan.home

    @property
    def repository(self) -> str:
        return self._plan.repository

    async def start(self) -> None:
        """Launch the first process and wait until it is ready; after a failure nothing is left.

        Raises:
            FailedPrecondition: it did not start; the message has the reason.
        """
        errors = os.memfd_create("launch", os.MFD_CLOEXEC)
        try:
            self._child = await self._launch(errors)
            self._remote.close()
            self._reader = asyncio.create_task(self._receive(), name=f"pod {self._folder.name}")
            if self._plan.network is not None:
                self._outside = await connect_outside(self._launcher, self._child, self._plan.network, self._folder)
            waits = [asyncio.create_task(event.wait()) for event in (self._ready, self._gone)]
            try:
                await asyncio.wait(waits, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if not self._ready.is_set() or self._gone.is_set():
                printed = os.pread(errors, 1 << 20, 0).decode("utf-8", "replace").strip()[-2000:]
                raise FailedPrecondition(f"the pod did not start: {printed or 'no response'}", reason="POD_START")
            self.feed(self._request.fence_after)
        except BaseException:
            await self.remove()
            raise
        finally:
            os.close(errors)

    async def _launch(self, errors: int) -> LaunchedProcess:
        connection = self._remote.fileno()
        if self._plan.pod is None:
            # It ends its descendants when its socket ends.
            request = LaunchRequest(self._plan.argv, env={MARKER: self._mark, "PATH": _BASE_PATH})
            return await self._launcher.launch(request, output=errors, inherited=[connection])
        syscall_filter = os.memfd_create("sluice", os.MFD_CLOEXEC)
        try:
            os.pwrite(syscall_filter, self._plan.syscall_filter, 0)
            return await self._launcher.launch_pod(
                self._plan.pod, output=errors, connection=connection, syscall_filter=syscall_filter
            )
        finally:
            os.close(syscall_filter)

    async def exec(self, command: Command) -> SupervisedProcess:
        if command.tty:
            master, slave = pty.openpty()
            termios.tcsetwinsize(slave, command.size)
            process = await self._exec(command, (slave, slave, slave), master, tty=True)
        else:
            master, slave = os.pipe()
            null = os.open(os.devnull, os.O_RDONLY)
            process = await self._exec(command, (null, slave, slave), master, tty=False)
        return process

    async def _exec(
        self, command: Command, descriptors: tuple[int, ...], output: int, *, tty: bool
    ) -> SupervisedProcess:
        os.set_blocking(output, False)
        self._next_id += 1
        number = self._next_id
        process = SupervisedProcess(output, tty=tty, stop=lambda grace: self._stop_command(number, grace))
        self._all.append(process)
        try:
            user = command.user or self._request.user
            if user and user not in self._users:
                raise FailedPrecondition(
                    f'commands of this pod run as {self._users[0] if self._users else "the executor"}, not as "{user}"',
                    reason="USER_UNSUPPORTED",
                )
            if self._gone.is_set():
                raise FailedPrecondition("the pod is gone", reason="POD_GONE")
            self._processes[number] = process
            environment = {
                "PATH": _BASE_PATH,
                "HOME": self.home,
                **self._plan.environment,
                **(self._request.environment if command.inherit else {}),
                **command.environment,
                MARKER: self._mark,
            }
            if tty:
                environment.setdefault("TERM", "xterm-256color")
            message = {
                "do": "exec",
                "id": number,
                "argv": list(command.argv),
                "env": environment,
                "cwd": self._absolute(command.cwd),
                "tty": tty,
                "limits": _limits_of(self._request.limits),
            }
            if command.script is not None:
                message["script"] = command.script
                message["script_dir"] = self._plan.script_dir
            await self._send(message, descriptors)
        except BaseException:
            process.close()
            raise
        finally:
            for descriptor in set(descriptors):
                os.close(descriptor)
        return process

    async def copy_in(self, path: str, tar: AsyncIterator[bytes]) -> None:
        source, sink = os.pipe()
        output, remote = os.pipe()
        os.set_blocking(sink, False)
        command = Command(argv=("tar", "-x", "-f", "-", "--no-same-owner"), inherit=False, cwd=path)
        process = await self._exec(command, (source, remote, remote), output, tty=False)
        output_read = asyncio.create_task(_read_all(process))
        try:
            async for chunk in tar:
                await write_all(self._loop, sink, chunk)
        except BrokenPipeError:
            pass  # tar ended early: its status and output say why
        finally:
            os.close(sink)
            text = await output_read
        status = await process.wait()
        if status.code != 0:
            raise FailedPrecondition(
                f"cannot unpack into {path}: {text.decode(errors='replace')[-500:]}", reason="COPY_FAILED"
            )

    async def copy_out(self, path: str) -> AsyncIterator[bytes]:
        output, remote = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        command = Command(argv=("tar", "-c", "-f", "-", "."), inherit=False, cwd=path)
        process = await self._exec(command, (null, remote, null), output, tty=False)
        while data := await process.read():
            yield data
        status = await process.wait()
        if status.code != 0:
            raise FailedPrecondition(f"cannot pack {path}: tar ended with {status.code}", reason="COPY_FAILED")

    def feed(self, seconds: float) -> None:
        if self._gone.is_set():
            return
        task = asyncio.create_task(self._feed(seconds))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _feed(self, seconds: float) -> None:
        with contextlib.suppress(FailedPrecondition):
            await self._send({"do": "feed", "seconds": seconds})

    async def stop(self, grace: float) -> None:
        if self._gone.is_set():
            return
        stopped = self._loop.create_future()
        self._stops.append(stopped)
        await self._stop({"do": "stop", "grace": grace}, stopped, grace)

    async def _stop_command(self, number: int, grace: float) -> None:
        process = self._processes.get(number)
        if process is not None:
            await self._stop({"do": "stop", "grace": grace, "id": number}, process.wait(), grace)

    async def _stop(self, message: Mapping[str, Any], stopped: Awaitable[Any], grace: float) -> None:
        with contextlib.suppress(FailedPrecondition):
            await self._send(message)
        try:
            async with time_limit(grace + _STOP_MARGIN_SECONDS):
                await stopped
        except TimeoutError:
            log.warning("pod_does_not_stop", pod=self._folder.name)
            await self._end()

    async def remove(self) -> None:
        await asyncio.shield(self._remove())

    async def _remove(self) -> None:
        await self._end()
        await asyncio.to_thread(self._store.remove, self._request.assignment_id, is_over=self._ended_by_kernel)
        if not self._is_removed:
            self._is_removed = True
            self._on_removed()

    async def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._outside is not None:
            # It ends while the pod does.
            self._outside.process.kill()
        if self._child is not None:
            ended = await self._child.wait(_END_SECONDS)
            # The first process of a pid namespace has ended when all others of it have.
            self._ended_by_kernel = ended and self._plan.pod is not None
            if not ended:
                self._child.kill()
                await self._child.wait(_END_SECONDS)
            self._child.close()
        outside, self._outside = self._outside, None
        if outside is not None:
            await disconnect(outside)
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()
            await asyncio.wait([self._reader])
        self._went("ended")
        for process in self._all:
            process.close()
        self._socket.close()
        self._remote.close()

    # -- the socket ---------------------------------------------------------------------------------------------

    async def _send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        # A Python literal, because the first process does not import a JSON parser, which would slow its start.
        body = ascii(message).encode()
        header = len(body).to_bytes(_HEADER_BYTES, "big")
        try:
            async with self._sending, time_limit(_START_SECONDS):
                sent = 0
                while not sent:
                    try:
                        sent = socket.send_fds(self._socket, [header], list(descriptors))
                    except BlockingIOError:
                        await asyncio.sleep(0.005)  # the pod's first process reads as fast as it can
                await self._loop.sock_sendall(self._socket, header[sent:] + body)
        except (OSError, TimeoutError) as error:
            raise FailedPrecondition("the pod is gone", reason="POD_GONE") from error

    async def _receive(self) -> None:
        incoming = bytearray()
        try:
            while data := await self._loop.sock_recv(self._socket, _CHUNK_BYTES):
                incoming += data
                while len(incoming) >= _HEADER_BYTES:
                    end = _HEADER_BYTES + int.from_bytes(incoming[:_HEADER_BYTES], "big")
                    if len(incoming) < end:
                        break
                    self._heard(json.loads(bytes(incoming[_HEADER_BYTES:end])))
                    del incoming[:end]
        except OSError:
            pass
        finally:
            self._went(self._why_gone)

    def _heard(self, message: Mapping[str, Any]) -> None:
        match message["event"]:
            case "ready":
                self._ready.set()
            case "exit":
                process = self._processes.pop(message["id"], None)
                if process is not None:
                    process.ended(
                        ExitStatus(
                            message["status"],
                            limit=message.get("limit", ""),
                            error=message.get("error", ""),
                            output_open=message.get("output_open", False),
                        )
                    )
            case "stopped":
                stops, self._stops = self._stops, []
                for stopped in stops:
                    if not stopped.done():
                        stopped.set_result(None)
            case "starved":
                self._why_gone = "fenced"
            case _:
                log.warning("pod_says_nonsense", event_name=str(message["event"])[:50])

    def _went(self, why: str) -> None:
        if self._gone.is_set():
            return
        self._gone.set()
        for process in self._processes.values():
            process.ended(ExitStatus(None, pod_ended=why))
        self._processes.clear()
        for stopped in self._stops:
            if not stopped.done():
                stopped.set_result(None)
        self._stops.clear()

    def _absolute(self, path: str) -> str:
        if not path or path == "~":
            return self.home
        if path.startswith("~/"):
            return f"{self.home}/{path[2:]}"
        return path if path.startswith("/") else f"{self.home}/{path}"


def _limits_of(limits: Limits) -> dict[str, int]:
    named = {
        "processes": limits.processes,
        "memory": limits.memory_bytes,
        "files": limits.open_files,
        "file_size": limits.file_bytes,
    }
    return {name: value for name, value in named.items() if value}


async def _read_all(process: SupervisedProcess) -> bytes:
    parts = []
    while data := await process.read():
        parts.append(data)
    return b"".join(parts)
