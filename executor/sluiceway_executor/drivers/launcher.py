"""Starts programs and pods through a small process (`pod_launcher.py`), which ends with this one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit

__all__ = ["LaunchRequest", "LaunchedProcess", "Launcher", "MountEntry", "PodStart", "bind"]

MountEntry = Sequence[str | int]
"""A mount of a pod, as `pod_mounts` says."""

_RESPONSE_BYTES = 1 << 13
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


class Launcher:
    """Starts programs and pods one after the other.

    Its process is started when it is first needed, and again if it died. That process ends when this object is closed
    or this process ends.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = asyncio.Lock()
        self._number = 0

    async def launch(self, request: LaunchRequest, *, output: int, inherited: Sequence[int] = ()) -> LaunchedProcess:
        """Start a program in a session of its own; returns when it is about to be executed.

        Args:
            request: see there.
            output: the descriptor of its standard output and error.
            inherited: descriptors that it finds as 3, 4, ....

        Raises:
            FailedPrecondition: it could not be started (`LAUNCH_FAILED`); the message says which step failed.
        """
        message = {"argv": list(request.argv), "env": dict(request.env)}
        return await self._launch(message, [output, *inherited], request.argv[0])

    async def launch_pod(
        self, start: PodStart, *, output: int, connection: int, syscall_filter: int
    ) -> LaunchedProcess:
        """Start a pod; returns when its namespaces are made, and before its mounts are.

        Args:
            start: see there.
            output: a descriptor for messages about what fails after that.
            connection: that of its socket.
            syscall_filter: that of a file with the program that filters its system calls.

        Raises:
            FailedPrecondition: it could not be started (`LAUNCH_FAILED`); the message says which step failed.
        """
        pod = asdict(start) | {"staged": [[name, str(source)] for name, source in start.staged.items()]}
        return await self._launch({"pod": pod}, [output, connection, syscall_filter], "a pod")

    async def _launch(self, message: dict[str, Any], descriptors: Sequence[int], what: str) -> LaunchedProcess:
        async with self._turn:
            self._number += 1
            try:
                response, opened = await self._ask(json.dumps({"id": self._number, **message}).encode(), descriptors)
            except BaseException:
                # A late response must not be mistaken for that to the next request.
                self._end()
                raise
        if "error" in response:
            raise FailedPrecondition(f"cannot start {what}: {response['error']}", reason="LAUNCH_FAILED")
        return LaunchedProcess(opened[0], opened[1:])

    async def _ask(self, message: bytes, descriptors: Sequence[int]) -> tuple[dict[str, Any], list[int]]:
        try:
            async with time_limit(_RESPONSE_SECONDS):
                connection = self._connection()
                # A request is much smaller than the socket's buffer, and there is one at a time.
                socket.send_fds(connection, [message], list(descriptors))
                await _readable(connection)
                data, received, _, _ = socket.recv_fds(connection, _RESPONSE_BYTES, 4)
        except (OSError, TimeoutError) as error:
            why = "it did not respond" if isinstance(error, TimeoutError) else error.strerror
            raise FailedPrecondition(f"the launcher of pods failed: {why}", reason="LAUNCH_FAILED") from error
        for each in received:
            os.set_inheritable(each, False)
        if not data:
            raise FailedPrecondition("the launcher of pods ended; start the task again", reason="LAUNCH_FAILED")
        return json.loads(data), received

    def _connection(self) -> socket.socket:
        if self._socket is not None and self._process is not None and self._process.poll() is None:
            return self._socket
        self._end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        program = Path(__file__).with_name("pod_launcher.py")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(program), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=(theirs.fileno(),),
                # A Ctrl-C at the terminal is for the executor, which ends its pods in order.
                start_new_session=True,
            )
        self._socket = ours
        return ours

    def close(self) -> None:
        """End its process, and with it all that it started. May be called twice; `launch` starts it again."""
        self._end()

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
