"""The process that starts the programs and pods of an executor, and outlives it.

It is run as `pod_launcher.py FD [SOCKET [ORPHANED]]`.
Starting a pod from the executor itself would fork a large process with threads. This process is small and has one
thread; a fork of it becomes the first process of a pod (`pod_entry.py`), with what that needs already imported. It is
started with an empty environment and holds no secret. It uses the standard library, and of ours the modules beside it.

When it ends, so do its pods. It has a socket to the first process of each, over which
that gets the stream to the executor (`pod_init.py`). When the executor ends, this process continues while a pod lives,
and waits at the path SOCKET for the next process of the executor; at its end it runs the command ORPHANED (a JSON
array), to which it adds the names of the pods that ended meanwhile. Without SOCKET it ends with the executor, and with
it all pods.

It reads requests from the sequenced-packet socket FD, or from a connection to SOCKET: a JSON object with descriptors.
The first of those becomes standard output and error of what is started.

- `argv`, `env`: starts a program; the other descriptors become 3, 4, .... With `pod`, the name of a pod, it ends when
  that does, and descriptor 4 is a pipe that ends with this process.
- `argv`, `env`, `name`: the same, whose program is the first process of a pod: descriptor 3 is its socket to this one.
- `start`, `name`: starts a pod; the second descriptor is its filter of system calls. `start` has
  - `uid`: what the pod runs as outside; null: as this process. Needs root.
  - `stage`, `staged`: a list of [name, source]; each source is bound at `stage`/name, where `uid` reaches it, before
    root is given up. Needs root.
  - `mounts`: what the pod shows, see `pod_mounts`.
  - `network`: null: this machine's. Otherwise one of its own, from which the listed networks (`10.0.0.0/8`) are
    unreachable, whatever devices it gets later.
  - `hostname`, `uid_inside`: of the pod.
- `connect`: the name of a pod, to whose first process the descriptor is sent.

A pod may have a `note`, which is kept for the next process of the executor.

The response is `{"pid": ...}` with a pidfd, and for a pod the descriptors of its network namespace and of the user
namespace that this belongs to; or `{"error": ...}`. Who connects to SOCKET is first sent `{"protocol", "pods"}`, and
for each of the pods, which are so many, `{"name", "note", "is_sandbox"}` with its pidfd and those of its programs.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
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

PROTOCOL = 1
"""The version of the requests. An executor that does not know it cannot take over the pods."""
REQUEST_BYTES = 1 << 17
MAX_DESCRIPTORS = 16
_MAX_ENDED = 1_000


class Pod:
    """A pod that lives.

    Attributes:
        pid: of its first process.
        control: the socket to it.
        note: of the executor.
        is_sandbox: it has namespaces of its own.
        programs: the ids of the programs that end with it.
    """

    def __init__(self, pid: int, control: socket.socket, note: Any, *, is_sandbox: bool) -> None:
        self.pid = pid
        self.control = control
        self.note = note
        self.is_sandbox = is_sandbox
        self.programs: list[int] = []


class PodLauncher:
    """The loop of this process."""

    def __init__(self, connection: socket.socket, path: str = "", orphaned: list[str] | None = None) -> None:
        self._connection: socket.socket | None = connection
        self._path = path
        self._orphaned = orphaned or []
        self._ended: list[str] = []
        self._is_inherited = False
        self._pods: dict[str, Pod] = {}
        self._listener: socket.socket | None = None
        if path:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            folder, _, name = path.rpartition("/")
            # The path of a socket is short.
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._listener.bind(f"/proc/self/fd/{opened}/{name}")
            os.close(opened)
            self._listener.listen(1)
        self._wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A pod has the other end of this pipe, and so notices when this process ends.
        self._alive, self._life = os.pipe2(os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> NoReturn:
        """Serve until there is no executor and no pod."""
        while True:
            waits = [self._wake_read]
            if self._connection is not None:
                waits.append(self._connection.fileno())
            elif self._listener is not None:
                waits.append(self._listener.fileno())
            readable, _, _ = select.select(waits, [], [])
            if self._wake_read in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            self._reap()
            if self._connection is not None:
                if self._connection.fileno() in readable:
                    self._serve(self._connection)
            elif self._listener is not None and self._listener.fileno() in readable:
                self._accept(self._listener)
            if not self._pods and (self._connection is None or self._is_inherited):
                self._finish()

    def _finish(self) -> NoReturn:
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108 - without pathlib
        if self._orphaned and self._ended and self._connection is None:
            # In the place of this process, which nobody needs any more.
            with contextlib.suppress(OSError):
                os.execv(self._orphaned[0], [*self._orphaned, *self._ended])  # noqa: S606 - without a shell
        os._exit(0)

    def _serve(self, connection: socket.socket) -> None:
        try:
            data, descriptors = _receive(connection)
        except OSError:
            data, descriptors = b"", []
        if not data:
            connection.close()
            self._connection = None
            if not self._path:
                os._exit(0)
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._launch(connection, json.loads(data), descriptors)
        for each in descriptors:
            os.close(each)

    def _accept(self, listener: socket.socket) -> None:
        """Take the next process of the executor, and send it the pods."""
        connection, _ = listener.accept()
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.geteuid():
            connection.close()
            return
        # It starts its own pods with a process of its own.
        self._connection, self._is_inherited = connection, True
        # Its pods are no longer those of a process that has gone: it removes them itself.
        self._ended.clear()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(json.dumps({"protocol": PROTOCOL, "pods": len(self._pods)}).encode())
            for name, pod in self._pods.items():
                opened = [os.pidfd_open(pid) for pid in (pod.pid, *pod.programs)]
                message = {"name": name, "note": pod.note, "is_sandbox": pod.is_sandbox}
                socket.send_fds(connection, [json.dumps(message).encode()], opened)
                for each in opened:
                    os.close(each)

    def _launch(self, connection: socket.socket, request: dict[str, Any], descriptors: list[int]) -> None:
        opened: list[int] = []
        response: dict[str, Any] = {"id": request["id"]}
        try:
            if "connect" in request:
                pod = self._pods.get(request["connect"])
                if pod is None:
                    raise OSError(errno.ESRCH, "the pod has ended")
                socket.send_fds(pod.control, [b"c"], descriptors)
            elif "start" in request:
                response["pid"], opened = self._start_pod(request, descriptors)
            elif "name" in request:
                response["pid"], opened = self._start_program_pod(request, descriptors)
            else:
                response["pid"], opened = self._start_program(request, descriptors)
        except OSError as error:
            response["error"] = str(error.strerror)
        try:
            socket.send_fds(connection, [json.dumps(response).encode()], opened)
        finally:
            for each in opened:
                os.close(each)

    def _start_program(self, request: dict[str, Any], descriptors: list[int]) -> tuple[int, list[int]]:
        name = request.get("pod")
        if name is None:
            pid = _spawn(request, descriptors)
        elif name in self._pods:
            pid = _spawn(request, [*descriptors[:2], self._alive, *descriptors[2:]])
            self._pods[name].programs.append(pid)
        else:
            raise OSError(errno.ESRCH, "the pod has ended")
        # Children are reaped by the loop only, so the id is still that of this child.
        return pid, [os.pidfd_open(pid)]

    def _start_program_pod(self, request: dict[str, Any], descriptors: list[int]) -> tuple[int, list[int]]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pid = _spawn(request, [descriptors[0], theirs.fileno()])
        self._pods[request["name"]] = Pod(pid, ours, request.get("note"), is_sandbox=False)
        return pid, [os.pidfd_open(pid)]

    def _start_pod(self, request: dict[str, Any], descriptors: list[int]) -> tuple[int, list[int]]:
        """Fork the first process of a pod; return its id, and descriptors of it and of its namespaces."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, inside:
            with theirs:
                fork = os.fork()
                if fork == 0:
                    ours.close()
                    os.close(self._life)
                    given = [descriptors[0], inside.fileno(), descriptors[1]]
                    pod_entry.enter(request["start"], given, theirs, self._alive)
            data, opened, _, _ = socket.recv_fds(ours, 1 << 13, 2)
            # From here on the pod's first process is a child of this one.
            os.waitpid(fork, 0)
            if not data.isdigit():
                control.close()
                why = data.removeprefix(b"error ").decode("utf-8", "replace")
                raise OSError(0, why or "it ended at once")
            pid = int(data)
            pidfd = os.pidfd_open(pid)
            with contextlib.suppress(BrokenPipeError):  # it has ended; its output says why
                ours.send(pod_entry.GO)
        self._pods[request["name"]] = Pod(pid, control, request.get("note"), is_sandbox=True)
        return pid, [pidfd, *opened]

    def _reap(self) -> None:
        """Reap the children that have ended, and end the programs of pods that have."""
        with contextlib.suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                for name, pod in list(self._pods.items()):
                    if pod.pid == pid:
                        del self._pods[name]
                        pod.control.close()
                        self._ended = [*self._ended[-_MAX_ENDED:], name]
                        for program in pod.programs:
                            os.kill(program, signal.SIGKILL)
                    elif pid in pod.programs:
                        pod.programs.remove(pid)


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


def main(arguments: list[str]) -> None:
    """Serve requests: `pod_launcher.py FD [SOCKET [ORPHANED]]`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    descriptor = int(arguments[0])
    os.set_inheritable(descriptor, False)
    # Inherited by all that it starts.
    os.umask(0o022)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    connection = socket.socket(fileno=descriptor)
    path, orphaned = [*arguments[1:], "", ""][:2]
    launcher = PodLauncher(connection, path, json.loads(orphaned or "[]"))
    # The garbage collector of a fork would otherwise touch, and so copy, the pages that all forks share.
    gc.collect()
    gc.freeze()
    launcher.run()


if __name__ == "__main__":
    main(sys.argv[1:])
