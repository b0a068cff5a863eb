"""Pods whose first process is `pod_listener.py`, reached over a link that outlives its connections.

What makes the containers is on the other side of a port: a `Channel`, which is that link. The protocol, the commands
and their output are the same for each engine. The next process of the executor makes a link of its own, and takes the
pod over with what its first process keeps: a note, and the output and the ends of commands with a key.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog

from sluiceway_common.foundation.errors import FailedPrecondition, SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.container_process import ContainerProcess, winsize
from sluiceway_executor.drivers.pod_container import CONTAINER_PROTOCOL, DATA
from sluiceway_executor.drivers.pod_transfer import WINDOW_BYTES
from sluiceway_executor.drivers.port import Command, ExitStatus, ImageDigest, Limits, PodRequest, usage_of

__all__ = ["Channel", "ContainerPod", "PodPlan"]

log = structlog.get_logger(__name__)

_HEADER_BYTES = 4
_START_SECONDS = 60.0
_END_SECONDS = 10.0
_DISMISS_SECONDS = 2.0
_STOP_MARGIN_SECONDS = 30.0
_BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Channel(Protocol):
    """The stream to the first process of a pod."""

    async def read(self) -> bytes:
        """Wait for data from it; empty: it has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Write to it.

        Raises:
            OSError: it has ended.
        """
        ...

    async def close(self) -> None:
        """Close the stream. May be repeated."""
        ...


@dataclass(frozen=True, slots=True)
class PodPlan:
    """The properties of a pod that come from its containers.

    Attributes:
        environment: of every command, below the request's: that of the image.
        repository: the path from which commands clone the repository; empty: none.
        counts_processes: the containers have no limit of processes, so the first process counts them.
        answer_seconds: the time limit for an answer of the first process; longer than it takes to connect again.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    repository: str = ""
    counts_processes: bool = False
    answer_seconds: float = 120.0


class ContainerPod:
    """A pod with a first process of ours; see `port.Pod`."""

    def __init__(
        self, request: PodRequest, plan: PodPlan, channel: Channel, *, remove: Callable[[], Awaitable[None]]
    ) -> None:
        """Take the stream to its first process. `remove` ends its containers and may be repeated."""
        self._request = request
        self._plan = plan
        self._channel = channel
        self._remove_containers = remove
        self._reader: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._why_gone = "ended"
        self._gone_because = ""
        self._home = ""
        self.images: Sequence[ImageDigest] = ()
        self._image_environment: Mapping[str, str] = {}
        self._stops: list[asyncio.Future[None]] = []
        self._processes: dict[int, ContainerProcess] = {}
        self._kept: dict[str, ContainerProcess] = {}
        self._protocol = 0
        self._note = ""
        self._answers: dict[int, asyncio.Future[bool]] = {}
        self._numbers = itertools.count(1)

    @property
    def home(self) -> str:
        return self._home

    @property
    def repository(self) -> str:
        return self._plan.repository

    async def find(self, key: str, offset: int) -> ContainerProcess | None:
        process = self._kept.get(key)
        if process is not None:
            await process.seek(offset)
        return process

    def resume(self, request: PodRequest) -> None:
        self._request = request

    async def start(self, *, ended: Coroutine[Any, Any, str]) -> None:
        """Wait until the first process is ready.

        `ended` closes the channel and returns when its container has ended: `fenced`, a sentence that says why, or
        nothing if that is not known.

        Raises:
            FailedPrecondition: it did not start (`POD_START`); `ended` knows why.
        """
        if not await self._is_ready(ended):
            raise FailedPrecondition(
                f"the pod did not start: {self._gone_because or 'no response'}", reason="POD_START"
            )
        note = {
            "environment": dict(self._plan.environment),
            "repository": self._plan.repository,
            "counts_processes": self._plan.counts_processes,
        }
        await self._send({"do": "note", "text": json.dumps(note)})
        self.feed(self._request.fence_after)

    async def take_over(self, *, ended: Coroutine[Any, Any, str]) -> None:
        """Connect to a pod that an earlier process of this executor started. `ended` is that of `start`.

        Raises:
            FailedPrecondition: it has ended (`POD_GONE`), or this version cannot continue it (`POD_VERSION`).
        """
        if not await self._is_ready(ended):
            raise FailedPrecondition("the pod has ended", reason="POD_GONE")
        if self._protocol != CONTAINER_PROTOCOL:
            raise FailedPrecondition(
                f"the pod has the protocol {self._protocol}, and this version of the executor continues those of the"
                f" protocol {CONTAINER_PROTOCOL} only",
                reason="POD_VERSION",
            )
        if not self._note:
            raise FailedPrecondition("the pod was not completely started", reason="POD_GONE")
        self._plan = replace(self._plan, **json.loads(self._note))

    async def _is_ready(self, ended: Coroutine[Any, Any, str]) -> bool:
        self._reader = asyncio.create_task(self._receive(), name=f"pod {self._request.assignment_id}")
        self._watcher = asyncio.create_task(self._watch(ended), name=f"end of {self._request.assignment_id}")
        waits = [asyncio.create_task(event.wait()) for event in (self._ready, self._gone)]
        try:
            await asyncio.wait(waits, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self._ready.is_set() and not self._gone.is_set()

    async def _watch(self, ended: Coroutine[Any, Any, str]) -> None:
        why = await ended
        if why == "fenced":
            self._why_gone = why
        else:
            self._gone_because = why
        # What it has written is read to its end first.
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=_END_SECONDS)
        self._went(self._why_gone)

    async def exec(self, command: Command) -> ContainerProcess:
        return await self._exec(command, has_input=False)

    async def _exec(self, command: Command, *, has_input: bool) -> ContainerProcess:
        if self._gone.is_set():
            raise FailedPrecondition("the pod is gone", reason="POD_GONE")
        number = next(self._numbers)
        process = self._new_process(number, command.key)
        inherited = (
            {**self._plan.environment, **self._image_environment, **self._request.environment}
            if command.inherit
            else {}
        )
        environment = {"PATH": _BASE_PATH, **inherited, **command.environment}
        if command.tty:
            environment.setdefault("TERM", "xterm-256color")
        message: dict[str, Any] = {
            "do": "exec",
            "id": number,
            "argv": list(command.argv),
            "env": environment,
            "cwd": command.cwd,
            "tty": command.tty,
            "size": winsize(*command.size),
            "input": has_input or command.tty,
            "limits": _limits_of(self._request.limits),
            "memory": self._request.limits.memory_bytes,
            "processes": self._request.limits.processes if self._plan.counts_processes else 0,
        }
        if command.key:
            message["key"] = command.key
        if command.user:
            message["user"] = command.user
        if command.script is not None:
            message["script"] = command.script
        try:
            await self._send(message)
            async with time_limit(self._plan.answer_seconds):
                refused = await process.started()
        except TimeoutError as error:
            raise FailedPrecondition("the pod does not respond", reason="POD_GONE") from error
        if refused:
            self._processes.pop(number, None)
            self._kept.pop(command.key, None)
            raise FailedPrecondition(refused, reason="USER_UNSUPPORTED")
        return process

    def _new_process(self, number: int, key: str, *, dropped: int = 0) -> ContainerProcess:
        process = self._processes[number] = ContainerProcess(
            number,
            key=key,
            dropped=dropped,
            send=self._later,
            stop=lambda grace: self._stop_command(number, grace),
            write=lambda data: self._send_data(number, data),
            forget=lambda: self._forget(key),
        )
        if key:
            self._kept[key] = process
        return process

    def _forget(self, key: str) -> None:
        self._kept.pop(key, None)

    async def copy_in(self, path: str, tar: AsyncIterator[bytes]) -> None:
        command = Command(argv=("tar", "-x", "-f", "-", "-o"), inherit=False, cwd=path)
        process = await self._exec(command, has_input=True)
        number = process.number
        output_read = asyncio.create_task(_read_all(process))
        try:
            async for chunk in tar:
                for start in range(0, len(chunk), WINDOW_BYTES):
                    part = chunk[start : start + WINDOW_BYTES]
                    if not await process.may_write(len(part)):
                        break  # tar ended early: its status and output say why
                    await self._send_data(number, part)
        finally:
            # Also after an error of the stream, so that tar ends.
            with contextlib.suppress(FailedPrecondition):
                await self._send_data(number, b"")
            text = await output_read
        status = await process.wait()
        if status.code != 0:
            raise FailedPrecondition(
                f"cannot unpack into {path}: {text.decode(errors='replace')[-500:]}", reason="COPY_FAILED"
            )

    async def copy_out(self, path: str) -> AsyncIterator[bytes]:
        process = await self.exec(Command(argv=("tar", "-c", "-f", "-", "."), inherit=False, cwd=path))
        while data := await process.read():
            yield data
        status = await process.wait()
        if status.code != 0:
            raise FailedPrecondition(f"cannot pack {path}: tar ended with {status.code}", reason="COPY_FAILED")

    async def accepts(self, port: int) -> bool:
        """Return whether a TCP port of its localhost accepts connections."""
        number = next(self._numbers)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            await self._send({"do": "connect", "id": number, "port": port})
            async with time_limit(self._plan.answer_seconds):
                return await answer
        except TimeoutError:
            return False
        finally:
            self._answers.pop(number, None)

    def feed(self, seconds: float) -> None:
        self._later({"do": "feed", "seconds": seconds})

    async def stop(self, grace: float) -> None:
        if self._gone.is_set():
            return
        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stops.append(stopped)
        await self._stop({"do": "stop", "grace": grace}, stopped, grace)

    async def _stop_command(self, number: int, grace: float) -> None:
        process = self._processes.get(number)
        if process is not None and not process.is_over:
            await self._stop({"do": "stop", "grace": grace, "id": number}, process.wait(), grace)

    async def _stop(self, message: Mapping[str, Any], stopped: Awaitable[Any], grace: float) -> None:
        with contextlib.suppress(FailedPrecondition):
            await self._send(message)
        try:
            async with time_limit(grace + max(_STOP_MARGIN_SECONDS, self._plan.answer_seconds)):
                await stopped
        except TimeoutError:
            log.warning("pod_does_not_stop", assignment=self._request.assignment_id)
            await self._end()

    async def remove(self) -> None:
        await asyncio.shield(self._end())

    async def _end(self) -> None:
        if self._ready.is_set() and not self._gone.is_set():
            with contextlib.suppress(FailedPrecondition, TimeoutError):
                async with time_limit(_DISMISS_SECONDS):
                    await self._send({"do": "end"})
                    await self._gone.wait()
        await self._channel.close()
        await self._remove_containers()
        for task in (self._reader, self._watcher):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
                await asyncio.wait([task])
        self._went("ended")

    # -- the connection -----------------------------------------------------------------------------------------

    def _later(self, message: Mapping[str, Any]) -> None:
        if self._gone.is_set():
            return

        async def send() -> None:
            with contextlib.suppress(FailedPrecondition):
                await self._send(message)

        task = asyncio.create_task(send())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _send(self, message: Mapping[str, Any]) -> None:
        # A Python literal, as `pod_init` reads it.
        body = ascii(message).encode()
        await self._write(len(body).to_bytes(_HEADER_BYTES, "big") + body)

    async def _send_data(self, number: int, data: bytes) -> None:
        header = (DATA | (4 + len(data))).to_bytes(_HEADER_BYTES, "big")
        await self._write(header + number.to_bytes(4, "big") + data)

    async def _write(self, data: bytes) -> None:
        try:
            async with time_limit(self._plan.answer_seconds), self._sending:
                await self._channel.write(data)
        except (OSError, TimeoutError) as error:
            raise FailedPrecondition("the pod is gone", reason="POD_GONE") from error

    async def _receive(self) -> None:
        incoming = bytearray()
        try:
            while data := await self._channel.read():
                incoming += data
                while len(incoming) >= _HEADER_BYTES:
                    length = int.from_bytes(incoming[:_HEADER_BYTES], "big")
                    end = _HEADER_BYTES + (length & ~DATA)
                    if len(incoming) < end:
                        break
                    body = bytes(incoming[_HEADER_BYTES:end])
                    del incoming[:end]
                    if length & DATA:
                        process = self._processes.get(int.from_bytes(body[:4], "big"))
                        if process is not None:
                            process.arrived(body[4:])
                    else:
                        self._heard(json.loads(body))
        except (OSError, ValueError, SluicewayError) as error:
            log.warning("pod_connection_failed", assignment=self._request.assignment_id, error=str(error))
        finally:
            self._went(self._why_gone)

    def _heard(self, message: Mapping[str, Any]) -> None:
        process = self._processes.get(message.get("id", 0))
        match message["event"]:
            case "kept":
                self._new_process(message["id"], message["key"], dropped=message["dropped"])
            case "ready":
                self._protocol = message["protocol"]
                self._numbers = itertools.count(message["last_id"] + 1)
                self._note = message.get("note", "")
                self._home = message["home"]
                self._image_environment = ast.literal_eval(message.get("environment", "{}"))
                self._ready.set()
            case "stopped":
                self._all_stopped()
            case "connected":
                answer = self._answers.get(message["id"])
                if answer is not None and not answer.done():
                    answer.set_result(message["accepted"])
            case _ if process is None:
                pass
            case "started":
                process.began("")
            case "refused":
                process.began(message["text"])
            case "taken":
                process.taken(message["bytes"])
            case "exit":
                self._processes.pop(message["id"])
                process.ended(
                    ExitStatus(
                        message["status"],
                        limit=message.get("limit", ""),
                        error=message.get("error", ""),
                        output_open=message.get("output_open", False),
                        usage=usage_of(message),
                    )
                )

    def _all_stopped(self) -> None:
        stops, self._stops = self._stops, []
        for stopped in stops:
            if not stopped.done():
                stopped.set_result(None)

    def _went(self, why: str) -> None:
        if self._gone.is_set():
            return
        self._gone.set()
        for process in self._processes.values():
            process.ended(ExitStatus(None, pod_ended=why, error=self._gone_because))
        self._processes.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(False)
        self._all_stopped()


def _limits_of(limits: Limits) -> dict[str, int]:
    # Processes and memory are limits of the container.
    named = {"files": limits.open_files, "file_size": limits.file_bytes}
    return {name: value for name, value in named.items() if value}


async def _read_all(process: ContainerProcess) -> bytes:
    parts = []
    while data := await process.read():
        parts.append(data)
    return b"".join(parts)
