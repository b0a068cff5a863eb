"""Pods whose first process is `pod_init.py`, a child of the launcher: what `sandbox` and `host` share.

The two differ in how that process is launched and in what it sees; the protocol, the reading of output and the end of a
pod are the same. Such pods end with their launcher. The stream to the first process is made when the pod is started,
and again when the next process of the executor takes it over.
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
from pathlib import Path
from typing import Any

import structlog

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.kept_process import KeptProcess
from sluiceway_executor.drivers.launcher import InheritedPod, LaunchedProcess, Launcher, LaunchRequest
from sluiceway_executor.drivers.pipes import read_all, write_all
from sluiceway_executor.drivers.pod_init import PROTOCOL
from sluiceway_executor.drivers.pod_launch import Launch, limits_of
from sluiceway_executor.drivers.pod_network import Outside, connect_outside, disconnect
from sluiceway_executor.drivers.pod_store import MARKER, PodStore
from sluiceway_executor.drivers.port import Command, ExitStatus, ImageDigest, PodRequest, usage_of
from sluiceway_executor.drivers.supervised_process import SupervisedProcess

__all__ = ["SupervisedPod"]

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 1 << 16
_HEADER_BYTES = 4
_MAX_DESCRIPTORS = 16
_START_SECONDS = 30.0
_END_SECONDS = 10.0
_STOP_MARGIN_SECONDS = 30.0
_BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


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
        self.launcher = self._launcher = launcher
        self._on_removed = on_removed
        self._is_removed = False
        self._child: LaunchedProcess | None = None
        self._is_sandbox = launch.pod is not None
        self._received: list[int] = []
        self._kept: dict[str, KeptProcess] = {}
        self._acknowledged: dict[int, asyncio.Future[int]] = {}
        self._protocol = 0
        self._outside: Outside | None = None
        self._ended_by_kernel = False
        self._reader: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._why_gone = "ended"
        self._stops: list[asyncio.Future[None]] = []
        self._processes: dict[int, SupervisedProcess | KeptProcess] = {}
        self._all: list[SupervisedProcess | KeptProcess] = []
        self._next_id = 0

    @property
    def home(self) -> str:
        return self._plan.home

    @property
    def images(self) -> Sequence[ImageDigest]:
        return ()

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
            await self._launcher.connect(self._folder.name, self._remote.fileno())
            self._remote.close()
            self._reader = asyncio.create_task(self._receive(), name=f"pod {self._folder.name}")
            if self._plan.network is not None:
                self._outside = await connect_outside(
                    self._launcher, self._folder.name, self._child, self._plan.network, self._folder
                )
            if not await self._is_ready():
                printed = os.pread(errors, 1 << 20, 0).decode("utf-8", "replace").strip()[-2000:]
                raise FailedPrecondition(f"the pod did not start: {printed or 'no response'}", reason="POD_START")
            self.feed(self._request.fence_after)
        except BaseException:
            await self.remove()
            raise
        finally:
            os.close(errors)

    async def take_over(self, inherited: InheritedPod) -> None:
        """Connect to a pod that an earlier process started; after a failure nothing is left of it.

        Raises:
            FailedPrecondition: it has ended, or this version cannot continue it.
        """
        self._child, self._is_sandbox = inherited.process, inherited.is_sandbox
        if inherited.programs:
            self._outside = Outside(inherited.programs[0])
        try:
            await self._launcher.connect(self._folder.name, self._remote.fileno())
            self._remote.close()
            self._reader = asyncio.create_task(self._receive(), name=f"pod {self._folder.name}")
            if not await self._is_ready():
                raise FailedPrecondition("the pod has ended", reason="POD_GONE")
            if self._protocol != PROTOCOL:
                raise FailedPrecondition(
                    f"the pod has the protocol {self._protocol}, and this version of the executor continues those of"
                    f" the protocol {PROTOCOL} only",
                    reason="POD_VERSION",
                )
        except BaseException:
            await self.remove()
            raise

    async def _is_ready(self) -> bool:
        waits = [asyncio.create_task(event.wait()) for event in (self._ready, self._gone)]
        try:
            await asyncio.wait(waits, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self._ready.is_set() and not self._gone.is_set()

    async def _launch(self, errors: int) -> LaunchedProcess:
        name, note = self._folder.name, self._plan.note
        if self._plan.pod is None:
            # It ends its descendants when its socket ends.
            request = LaunchRequest(self._plan.argv, env={MARKER: self._mark, "PATH": _BASE_PATH})
            return await self._launcher.launch_pod(request, name=name, note=note, output=errors)
        syscall_filter = os.memfd_create("sluice", os.MFD_CLOEXEC)
        try:
            os.pwrite(syscall_filter, self._plan.syscall_filter, 0)
            return await self._launcher.launch_pod(
                self._plan.pod, name=name, note=note, output=errors, syscall_filter=syscall_filter
            )
        finally:
            os.close(syscall_filter)

    def resume(self, request: PodRequest) -> None:
        self._request = request

    async def find(self, key: str, offset: int) -> KeptProcess | None:
        process = self._kept.get(key)
        if process is not None:
            await process.seek(offset)
        return process

    async def exec(self, command: Command) -> SupervisedProcess | KeptProcess:
        # Those of the command; of the output that is kept; the one that is read here.
        if command.tty:
            master, slave = pty.openpty()
            termios.tcsetwinsize(slave, command.size)
            descriptors: tuple[int, ...] = (slave, slave, slave)
        else:
            master, slave = os.pipe()
            descriptors = (os.open(os.devnull, os.O_RDONLY), slave, slave)
        if not command.key:
            return await self._exec(command, descriptors, master)
        if command.tty:
            source, sink = os.pipe()
            return await self._exec(command, (*descriptors, source, master, sink), os.dup(source))
        return await self._exec(command, (*descriptors, master), os.dup(master))

    async def _exec(
        self, command: Command, descriptors: tuple[int, ...], output: int
    ) -> SupervisedProcess | KeptProcess:
        os.set_blocking(output, False)
        self._next_id += 1
        number = self._next_id
        process: SupervisedProcess | KeptProcess
        if command.key:
            process = self._keep(command.key, number, output)
        else:
            process = SupervisedProcess(output, tty=command.tty, stop=lambda grace: self._stop_command(number, grace))
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
            if command.tty:
                environment.setdefault("TERM", "xterm-256color")
            message = {
                "do": "exec",
                "id": number,
                "argv": list(command.argv),
                "env": environment,
                "cwd": self._absolute(command.cwd),
                "tty": command.tty,
                "limits": limits_of(self._request.limits),
                "descriptors": len(descriptors),
            }
            if command.key:
                message["key"] = command.key
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

    def _keep(self, key: str, number: int, output: int, *, dropped: int = 0) -> KeptProcess:
        process = self._kept[key] = KeptProcess(
            output,
            dropped=dropped,
            acknowledge=lambda offset: self._acknowledge(number, offset),
            forget=lambda: self._forget(key, number),
            stop=lambda grace: self._stop_command(number, grace),
        )
        return process

    async def _acknowledge(self, number: int, offset: int) -> int:
        """Have the pod drop output; return how much it has dropped."""
        answer: asyncio.Future[int] = self._loop.create_future()
        self._acknowledged[number] = answer
        if self._gone.is_set():
            # Nobody drops anything any more.
            return 0
        with contextlib.suppress(FailedPrecondition):
            await self._send({"do": "ack", "id": number, "offset": offset})
        return await answer

    async def _forget(self, key: str, number: int) -> None:
        self._kept.pop(key, None)
        with contextlib.suppress(FailedPrecondition):
            await self._send({"do": "forget", "id": number})

    async def copy_in(self, path: str, tar: AsyncIterator[bytes]) -> None:
        source, sink = os.pipe()
        output, remote = os.pipe()
        os.set_blocking(sink, False)
        command = Command(argv=("tar", "-x", "-f", "-", "--no-same-owner"), inherit=False, cwd=path)
        process = await self._exec(command, (source, remote, remote), output)
        output_read = asyncio.create_task(read_all(process))
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
        process = await self._exec(command, (null, remote, null), output)
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
        if self._ready.is_set() and not self._gone.is_set():
            with contextlib.suppress(FailedPrecondition):
                await self._send({"do": "end"})
        elif self._child is not None:
            # It may be without a stream, and then nothing tells it to end.
            self._child.kill()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._outside is not None:
            # It ends while the pod does.
            self._outside.process.kill()
        if self._child is not None:
            ended = await self._child.wait(_END_SECONDS)
            # The first process of a pid namespace has ended when all others of it have.
            self._ended_by_kernel = ended and self._is_sandbox
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
        for descriptor in self._received:
            os.close(descriptor)
        self._received.clear()
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
            while data := await self._receive_some():
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

    async def _receive_some(self) -> bytes:
        readable = asyncio.Event()
        self._loop.add_reader(self._socket, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(self._socket)
        data, received, _, _ = socket.recv_fds(self._socket, _CHUNK_BYTES, _MAX_DESCRIPTORS)
        for each in received:
            os.set_inheritable(each, False)
        self._received += received
        return data

    def _heard(self, message: Mapping[str, Any]) -> None:
        match message["event"]:
            case "kept":
                output, number = self._received.pop(0), message["id"]
                process = self._keep(message["key"], number, output, dropped=message["dropped"])
                self._processes[number] = process
                self._all.append(process)
            case "ready":
                self._protocol = message["protocol"]
                self._next_id = message["last_id"]
                self._ready.set()
            case "acked":
                answer = self._acknowledged.get(message["id"])
                if answer is not None and not answer.done():
                    answer.set_result(message["offset"])
            case "exit":
                self._exited(message)
            case "stopped":
                stops, self._stops = self._stops, []
                for stopped in stops:
                    if not stopped.done():
                        stopped.set_result(None)
            case "starved":
                self._why_gone = "fenced"
            case _:
                log.warning("pod_says_nonsense", event_name=str(message["event"])[:50])

    def _exited(self, message: Mapping[str, Any]) -> None:
        process = self._processes.pop(message["id"], None)
        status = ExitStatus(
            message["status"],
            limit=message.get("limit", ""),
            error=message.get("error", ""),
            output_open=message.get("output_open", False),
            usage=usage_of(message),
        )
        if isinstance(process, KeptProcess):
            process.ended(status, message["size"])
        elif process is not None:
            process.ended(status)

    def _went(self, why: str) -> None:
        if self._gone.is_set():
            return
        self._gone.set()
        for process in self._processes.values():
            process.ended(ExitStatus(None, pod_ended=why))
        self._processes.clear()
        for answer in self._acknowledged.values():
            if not answer.done():
                answer.set_result(0)
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
