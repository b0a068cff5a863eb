"""Starts programs and pods through a small process (`pod_launcher.py`), which they end with.

That ends with this process, or, if it was given a folder for that, with the last pod: then the next process of the
executor finds it in that folder and takes over its pods.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.pod_launcher import MAX_DESCRIPTORS, PROTOCOL

__all__ = ["InheritedPod", "LaunchRequest", "LaunchedProcess", "Launcher", "MountEntry", "PodStart", "bind"]

log = structlog.get_logger(__name__)

MountEntry = Sequence[str | int]
"""A mount of a pod, as `pod_mounts` says."""

_RESPONSE_BYTES = 1 << 16
_RESPONSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A program to start.

    Attributes:
        argv: the program, by its whole path, and its arguments.
        env: all of its environment.
    """

    argv: Sequence[str]
    env: Mapping[str, str]


def bind(target: str, source: Path, *, writable: bool = False) -> MountEntry:
    """Return the mount that shows a file or folder of the machine in a pod."""
    return ("bind", target, str(source), writable)


@dataclass(frozen=True, slots=True)
class PodStart:
    """A pod to start; its first process is `pod_init`, in namespaces of its own.

    Attributes:
        mounts: what it shows, as `pod_mounts` says.
        hostname: how the machine is named in it.
        uid_inside: the uid and gid that its processes have in it.
        uid: the ones that they have outside; None: the caller's. Needs root.
        stage: where `staged` is bound: a folder of this machine, which only this pod sees covered.
        staged: name below `stage` to what is bound there. Needs root.
        network: None: the caller's network namespace. Otherwise one of its own, from which the listed IPv4 networks
            (`10.0.0.0/8`) are unreachable, whatever devices it gets later.
    """

    mounts: Sequence[MountEntry]
    hostname: str
    uid_inside: int
    uid: int | None = None
    stage: str = ""
    staged: Mapping[str, Path] = field(default_factory=dict)
    network: Sequence[str] | None = None


class LaunchedProcess:
    """A process that the launcher started. It is not a child of this process, so its exit status is not known.

    Attributes:
        namespaces: of a pod: the descriptors of its network namespace, and of the user namespace that owns it.
    """

    def __init__(self, pidfd: int, namespaces: Sequence[int] = ()) -> None:
        self._pidfd = pidfd
        self.namespaces = tuple(namespaces)

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._pidfd >= 0 and not select.select([self._pidfd], [], [], 0)[0]

    def kill(self) -> None:
        """Send it SIGKILL, if it still runs."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False if it still runs after `seconds`."""
        if not self.is_alive:
            return True
        loop = asyncio.get_running_loop()
        # A descriptor of its own: several may wait at the same time.
        waiting = os.dup(self._pidfd)
        ended = asyncio.Event()
        loop.add_reader(waiting, ended.set)
        try:
            async with time_limit(seconds):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(waiting)
            os.close(waiting)
        return True

    def close(self) -> None:
        """Release the descriptors. May be called twice; afterwards the process counts as ended."""
        for each in self.namespaces:
            os.close(each)
        self.namespaces = ()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


@dataclass(frozen=True, slots=True)
class InheritedPod:
    """A pod of a launcher that was taken over.

    Attributes:
        name: of the pod.
        note: that it was started with.
        is_sandbox: it has namespaces of its own.
        process: its first process.
        programs: that end with it.
    """

    name: str
    note: Mapping[str, Any]
    is_sandbox: bool
    process: LaunchedProcess
    programs: Sequence[LaunchedProcess]


class Launcher:
    """Starts programs and pods one after the other.

    Its process is started when it is first needed, and again if it died. That process ends when this object is closed.
    """

    def __init__(self, folder: Path | None = None, *, orphaned: Sequence[str] = ()) -> None:
        """Create a launcher.

        Args:
            folder: where its process waits for the next process of the executor; None: it ends with this process.
            orphaned: the command that it runs if none has come when its last pod has ended; the names of the pods are
                added.
        """
        self._folder = folder
        self._orphaned = orphaned
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._taken_over = False
        self._turn = asyncio.Lock()
        self._number = 0

    @classmethod
    async def take_over(cls, path: Path) -> tuple[Launcher, Sequence[InheritedPod]]:
        """Take over the process that waits at a path, and its pods.

        Raises:
            FailedPrecondition: none does any more (`LAUNCHER_GONE`), or it is of a version that this one cannot
                continue (`POD_VERSION`).
        """
        launcher = cls()
        launcher._taken_over = True
        connection = launcher._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)
        opened: list[int] = []
        try:
            _connect(connection, path)
            async with time_limit(_RESPONSE_SECONDS):
                hello, _ = await _receive(connection)
                if hello.get("protocol") != PROTOCOL:
                    _kill_peer(connection)
                    raise FailedPrecondition(
                        f"the launcher of the tasks that still run has the protocol {hello.get('protocol')}, and this"
                        f" version of the executor continues tasks of the protocol {PROTOCOL} only",
                        reason="POD_VERSION",
                    )
                pods = []
                for _ in range(hello["pods"]):
                    message, received = await _receive(connection)
                    opened += received
                    process, *programs = (LaunchedProcess(each) for each in received)
                    pods.append(
                        InheritedPod(message["name"], message["note"], message["is_sandbox"], process, programs)
                    )
        except BaseException as error:
            connection.close()
            for each in opened:
                os.close(each)
            if isinstance(error, EOFError | OSError | TimeoutError | ValueError | KeyError | TypeError):
                raise FailedPrecondition("no launcher responds", reason="LAUNCHER_GONE") from error
            raise
        return launcher, pods

    async def launch(
        self, request: LaunchRequest, *, output: int, inherited: Sequence[int] = (), pod: str = ""
    ) -> LaunchedProcess:
        """Start a program in a session of its own; returns when it is about to be executed.

        Args:
            request: see there.
            output: the descriptor of its standard output and error.
            inherited: descriptors that it finds as 3, 4, ....
            pod: it ends with this pod. The descriptors are then 3, 5, ..., and 4 is a pipe that ends with the launcher.

        Raises:
            FailedPrecondition: it could not be started (`LAUNCH_FAILED`); the message says which step failed.
        """
        message = {"argv": list(request.argv), "env": dict(request.env)}
        if pod:
            message["pod"] = pod
        return await self._launch(message, [output, *inherited], request.argv[0])

    async def launch_pod(
        self,
        start: PodStart | LaunchRequest,
        *,
        name: str,
        note: Mapping[str, Any],
        output: int,
        syscall_filter: int = -1,
    ) -> LaunchedProcess:
        """Start a pod; returns when its namespaces are made, if it has any, and before its mounts are.

        Args:
            start: see there; or the program that is its first process, which finds its socket as 3.
            name: of the pod, by which it gets a connection.
            note: for the process that takes it over; no secrets.
            output: a descriptor for messages about what fails after that.
            syscall_filter: that of a file with the program that filters its system calls; for a `PodStart` only.

        Raises:
            FailedPrecondition: it could not be started (`LAUNCH_FAILED`); the message says which step failed.
        """
        message: dict[str, Any] = {"name": name, "note": dict(note)}
        if isinstance(start, LaunchRequest):
            message |= {"argv": list(start.argv), "env": dict(start.env)}
            return await self._launch(message, [output], "a pod")
        staged = [[name, str(source)] for name, source in start.staged.items()]
        return await self._launch(
            {**message, "start": asdict(start) | {"staged": staged}}, [output, syscall_filter], "a pod"
        )

    async def connect(self, name: str, stream: int) -> None:
        """Send the first process of a pod the descriptor of a stream to this process.

        Raises:
            FailedPrecondition: the pod has ended (`LAUNCH_FAILED`).
        """
        async with self._turn:
            await self._respond({"connect": name}, [stream], f"a connection to {name}")

    async def _launch(self, message: dict[str, Any], descriptors: Sequence[int], what: str) -> LaunchedProcess:
        # A request that was sent has an effect, so its response is awaited even when this is cancelled.
        asked = asyncio.create_task(self._launch_in_turn(message, descriptors, what))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            await asyncio.wait([asked])
            if not asked.cancelled() and asked.exception() is None:
                asked.result().kill()
                asked.result().close()
            raise

    async def _launch_in_turn(self, message: dict[str, Any], descriptors: Sequence[int], what: str) -> LaunchedProcess:
        async with self._turn:
            opened = await self._respond(message, descriptors, what)
        return LaunchedProcess(opened[0], opened[1:])

    async def _respond(self, message: dict[str, Any], descriptors: Sequence[int], what: str) -> list[int]:
        self._number += 1
        try:
            response, opened = await self._ask(json.dumps({"id": self._number, **message}).encode(), descriptors)
        except BaseException:
            # A late response must not be mistaken for that to the next request.
            self._end()
            raise
        if "error" in response:
            raise FailedPrecondition(f"cannot start {what}: {response['error']}", reason="LAUNCH_FAILED")
        return opened

    async def _ask(self, message: bytes, descriptors: Sequence[int]) -> tuple[dict[str, Any], list[int]]:
        try:
            async with time_limit(_RESPONSE_SECONDS):
                connection = self._connection()
                # A request is much smaller than the socket's buffer, and there is one at a time.
                socket.send_fds(connection, [message], list(descriptors))
                return await _receive(connection)
        except EOFError as error:
            raise FailedPrecondition(
                "the launcher of pods ended; start the task again", reason="LAUNCH_FAILED"
            ) from error
        except (OSError, TimeoutError) as error:
            why = "it did not respond" if isinstance(error, TimeoutError) else error.strerror
            raise FailedPrecondition(f"the launcher of pods failed: {why}", reason="LAUNCH_FAILED") from error

    def _connection(self) -> socket.socket:
        if self._taken_over:
            if self._socket is None:
                raise OSError(0, "it has ended")
            return self._socket
        if self._socket is not None and self._process is not None and self._process.poll() is None:
            return self._socket
        self._end()
        rendezvous: list[str] = []
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder.resolve() / secrets.token_hex(8)
            rendezvous = [str(path), json.dumps(list(self._orphaned))]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        program = Path(__file__).with_name("pod_launcher.py")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(program), str(theirs.fileno()), *rendezvous],
                stdin=subprocess.DEVNULL,
                # One that outlives this process must not keep a pipe open that somebody reads to its end.
                stdout=subprocess.DEVNULL if rendezvous else None,
                stderr=subprocess.DEVNULL if rendezvous else None,
                env={},
                cwd="/",
                pass_fds=(theirs.fileno(),),
                # A Ctrl-C at the terminal is for the executor, which ends its pods in order.
                start_new_session=True,
            )
        self._socket = ours
        return ours

    def close(self) -> None:
        """End its process, and with it all that it started. May be called twice; `launch` starts it again.

        A process that was taken over ends by itself when its last pod has ended.
        """
        self._end()

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _connect(connection: socket.socket, path: Path) -> None:
    # The path of a socket is short.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _kill_peer(connection: socket.socket) -> None:
    """End the process that waits for this connection, and so its pods."""
    pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


async def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive a message with descriptors.

    Raises:
        EOFError: the other end is closed.
    """
    await _readable(connection)
    data, received, _, _ = socket.recv_fds(connection, _RESPONSE_BYTES, MAX_DESCRIPTORS)
    for each in received:
        os.set_inheritable(each, False)
    if not data:
        raise EOFError
    return json.loads(data), received


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
