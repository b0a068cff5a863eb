"""The process that starts the programs and pods of an executor: `pod_launcher.py FD`, a child of the executor.

Starting a pod from the executor itself would fork a large process with threads. This process is small and has one
thread; a fork of it becomes the first process of a pod (`pod_entry.py`), with what that needs already imported. It is
started with an empty environment and holds no secret. It uses the standard library, and of ours the modules beside it.

It reads requests from the sequenced-packet socket FD: a JSON object with descriptors. Either starts a program:

- `argv`, `env`: the program. The first descriptor becomes standard output and error, the others 3, 4, ....

or a pod (`pod`), whose descriptors are those of `pod_entry.enter`:

- `uid`: what the pod runs as outside; null: as this process. Needs root.
- `stage`, `staged`: a list of [name, source]; each source is bound at `stage`/name, where `uid` reaches it, before
  root is given up. Needs root.
- `mounts`: what the pod shows, see `pod_mounts`.
- `network`: null: this machine's. Otherwise one of its own, from which the listed networks (`10.0.0.0/8`) are
  unreachable, whatever devices it gets later.
- `hostname`, `uid_inside`: of the pod.

The response is `{"pid": ...}` with a pidfd, and for a pod the descriptors of its network namespace and of the user
namespace that this belongs to; or `{"error": ...}`. When FD ends, this process ends, and with it all pods.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers import pod_entry
    from sluiceway_executor.drivers import pod_kernel as kernel
else:
    # It is run as a file, isolated from the environment and the current folder.
    sys.path.append(__file__.rpartition("/")[0])
    import pod_entry
    import pod_kernel as kernel

REQUEST_BYTES = 1 << 17
MAX_DESCRIPTORS = 16


class PodLauncher:
    """The loop of this process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A pod has the other end of this pipe, and so notices when this process ends.
        self._alive, self._life = os.pipe2(os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> NoReturn:
        """Serve until the socket ends."""
        while True:
            readable, _, _ = select.select([self._connection.fileno(), self._wake_read], [], [])
            if self._wake_read in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            _reap()
            if self._connection.fileno() in readable:
                data, descriptors = _receive(self._connection)
                if not data:
                    os._exit(0)
                self._launch(json.loads(data), descriptors)
                for each in descriptors:
                    os.close(each)

    def _launch(self, request: dict[str, Any], descriptors: list[int]) -> None:
        opened: list[int] = []
        response: dict[str, Any] = {"id": request["id"]}
        try:
            if "pod" in request:
                response["pid"], opened = self._start_pod(request["pod"], descriptors)
            else:
                pid = _spawn(request, descriptors)
                # Children are reaped by the loop only, so the id is still that of this child.
                response["pid"], opened = pid, [os.pidfd_open(pid)]
        except OSError as error:
            response["error"] = str(error.strerror)
        socket.send_fds(self._connection, [json.dumps(response).encode()], opened)
        for each in opened:
            os.close(each)

    def _start_pod(self, request: dict[str, Any], descriptors: list[int]) -> tuple[int, list[int]]:
        """Fork the first process of a pod; return its id, and descriptors of it and of its namespaces."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                fork = os.fork()
                if fork == 0:
                    ours.close()
                    os.close(self._life)
                    pod_entry.enter(request, descriptors, theirs, self._alive)
            data, opened, _, _ = socket.recv_fds(ours, 1 << 13, 2)
            # From here on the pod's first process is a child of this one.
            os.waitpid(fork, 0)
            if not data.isdigit():
                why = data.removeprefix(b"error ").decode("utf-8", "replace")
                raise OSError(0, why or "it ended at once")
            pid = int(data)
            pidfd = os.pidfd_open(pid)
            with contextlib.suppress(BrokenPipeError):  # it has ended; its output says why
                ours.send(pod_entry.GO)
        return pid, [pidfd, *opened]


def _spawn(request: dict[str, Any], descriptors: list[int]) -> int:
    """Start a program, in a session of its own; return its process id."""
    # Above the numbers that they will get.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64) for descriptor in descriptors]
    try:
        placed = zip((1, *range(3, 3 + len(moved) - 1)), moved, strict=True)
        actions = [(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in placed]
        return os.posix_spawn(
            request["argv"][0],
            request["argv"],
            request["env"],
            file_actions=[*actions, (os.POSIX_SPAWN_DUP2, moved[0], 2)],
            setsid=True,
            setsigdef=(signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
        )
    finally:
        for each in moved:
            os.close(each)


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Read one request with its descriptors."""
    size = array.array("i").itemsize
    data, ancillary, _, _ = connection.recvmsg(
        REQUEST_BYTES, socket.CMSG_SPACE(MAX_DESCRIPTORS * size), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % size])
    return data, list(descriptors)


def _reap() -> None:
    """Reap the children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(arguments: list[str]) -> None:
    """Serve requests: `pod_launcher.py FD`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    descriptor = int(arguments[0])
    os.set_inheritable(descriptor, False)
    # Inherited by all that it starts.
    os.umask(0o022)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    with socket.socket(fileno=descriptor) as connection:
        launcher = PodLauncher(connection)
        # The garbage collector of a fork would otherwise touch, and so copy, the pages that all forks share.
        gc.collect()
        gc.freeze()
        launcher.run()


if __name__ == "__main__":
    main(sys.argv[1:])
