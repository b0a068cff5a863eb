"""The first process of a pod: starts what it is told to, reaps what ends, and ends the pod when nobody feeds it.

It runs inside the pod, under whatever Python 3 the machine has, so it uses nothing but the standard library and
imports nothing of ours. It talks with its executor over one stream socket that it inherits (`pod_init.py FD MODE`):
length-prefixed JSON, file descriptors beside it. When that socket ends, or the pod was not fed in time, it ends, and
all of the pod with it.

- `MODE` is `namespace` when it is process 1 of a pid namespace: the kernel then kills what is left when it ends.
- `MODE` is `tree` when it is a plain process: it makes itself the reaper of its descendants, so that those that fork
  twice or begin a session of their own stay below it, and kills them by itself.

To the pod: `exec` (id, argv, env, cwd, tty, script, limits; with 3 descriptors), `stop` (grace), `feed` (seconds).
From the pod: `ready`, `exit` (id, status, error), `stopped`, `limit` (what), `starved`.
"""
# pathlib costs more to import than all the rest, at the start of every pod:
# ruff: noqa: PTH103, PTH123, PTH208

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
import termios
import time
from collections.abc import Iterator
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
WATCH_SECONDS = 0.25
HEADER_BYTES = 4
COMMAND_NOT_FOUND = 127
NOT_EXECUTABLE = 126

LIMITS = {
    "processes": resource.RLIMIT_NPROC,
    "files": resource.RLIMIT_NOFILE,
    "memory": resource.RLIMIT_DATA,
    "file_size": resource.RLIMIT_FSIZE,
}


def _now() -> float:
    # Time goes on while the machine sleeps: an executor on a laptop is partitioned then, too.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class PodInit:
    """The loop of the pod's first process."""

    def __init__(self, connection: socket.socket, mode: str) -> None:
        self.connection = connection
        self.mode = mode
        self.page_bytes = os.sysconf("SC_PAGE_SIZE")
        self.incoming = bytearray()
        self.descriptors: list[int] = []
        self.steps: dict[int, int] = {}
        self.fed_until = _now() + 60.0
        self.kill_at: float | None = None
        self.stopping = False
        self.max_memory = 0
        self.max_processes = 0
        self.watched_at = 0.0

    def run(self) -> None:
        """Serve until the executor goes away or the pod starves. Never returns normally."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._send({"event": "ready", "pid": os.getpid()})
        spoken = self.connection.fileno()
        while True:
            readable, _, _ = select.select([spoken, wake_read], [], [], self._next_wait())
            if wake_read in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 4096)
            if spoken in readable and not self._receive():
                self._end()
            self._reap()
            self._tick()

    def _next_wait(self) -> float:
        now = _now()
        waits = [self.fed_until - now]
        if self.stopping:
            waits.append(0.05)
        if self.kill_at is not None:
            waits.append(self.kill_at - now)
        if self.max_memory or self.max_processes:
            waits.append(WATCH_SECONDS)
        return max(0.0, min(waits))

    def _tick(self) -> None:
        now = _now()
        if now >= self.fed_until:
            self._send({"event": "starved"})
            self._end()
        if self.stopping:
            if self.kill_at is not None and now >= self.kill_at:
                self._signal_all(signal.SIGKILL)
            if not any(True for _ in self._others()):
                self.stopping, self.kill_at = False, None
                self._send({"event": "stopped"})
        if (self.max_memory or self.max_processes) and now - self.watched_at >= WATCH_SECONDS:
            self.watched_at = now
            self._watch()

    def _end(self) -> None:
        # Nobody may take the end of a step for its own doing any more.
        self.steps.clear()
        if self.mode == "tree":
            for _ in range(200):
                self._signal_all(signal.SIGKILL)
                self._reap()
                if not any(True for _ in self._others()):
                    break
                time.sleep(0.01)
        os._exit(0)

    # -- messages -----------------------------------------------------------------------------------------------

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        try:
            self.connection.sendall(len(body).to_bytes(HEADER_BYTES, "big") + body)
        except OSError:
            self._end()

    def _receive(self) -> bool:
        try:
            data, ancillary, _, _ = self.connection.recvmsg(1 << 16, socket.CMSG_SPACE(12 * 4), socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.descriptors += [
                    int.from_bytes(payload[i : i + 4], sys.byteorder) for i in range(0, len(payload) - 3, 4)
                ]
        if not data:
            return False
        self.incoming += data
        while len(self.incoming) >= HEADER_BYTES:
            end = HEADER_BYTES + int.from_bytes(self.incoming[:HEADER_BYTES], "big")
            if len(self.incoming) < end:
                break
            message = json.loads(bytes(self.incoming[HEADER_BYTES:end]))
            del self.incoming[:end]
            self._obey(message)
        return True

    def _obey(self, message: dict[str, Any]) -> None:
        kind = message["do"]
        if kind == "exec":
            descriptors, self.descriptors = self.descriptors[:3], self.descriptors[3:]
            self._start(message, descriptors)
        elif kind == "feed":
            self.fed_until = _now() + message["seconds"]
        elif kind == "stop":
            deadline = _now() + message["grace"]
            self.kill_at = min(self.kill_at, deadline) if self.stopping and self.kill_at is not None else deadline
            self.stopping = True
            self._signal_all(signal.SIGKILL if message["grace"] <= 0 else signal.SIGTERM)
            # A stopped process does not see TERM until it goes on.
            self._signal_all(signal.SIGCONT)

    # -- processes ----------------------------------------------------------------------------------------------

    def _start(self, message: dict[str, Any], descriptors: list[int]) -> None:
        limits = message.get("limits", {})
        self.max_memory = limits.get("memory", 0)
        self.max_processes = limits.get("processes", 0)
        try:
            pid = os.fork()
        except OSError as error:
            self._send({"event": "exit", "id": message["id"], "status": NOT_EXECUTABLE, "error": str(error)})
        else:
            if pid == 0:
                self._become(message, descriptors)
            self.steps[pid] = message["id"]
        for descriptor in descriptors:
            os.close(descriptor)

    def _become(self, message: dict[str, Any], descriptors: list[int]) -> None:
        status = NOT_EXECUTABLE
        try:
            signal.set_wakeup_fd(-1)
            os.setsid()
            with contextlib.suppress(OSError):
                if os.getpriority(os.PRIO_PROCESS, 0) < 0:
                    os.setpriority(os.PRIO_PROCESS, 0, 0)
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            if message.get("tty"):
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            for number in range(1, signal.NSIG):
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.umask(0o022)
            argv = list(message["argv"])
            script = message.get("script")
            if script is not None:
                path = f"{message['script_dir']}/sluice-step-{message['id']}"
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o700)
                with os.fdopen(file, "wb") as stream:
                    stream.write(script.encode("utf-8", "surrogateescape"))
                argv.append(path)
            os.makedirs(message["cwd"], exist_ok=True)
            os.chdir(message["cwd"])
            # When memory ends on the whole machine, a task goes first.
            with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as stream:
                stream.write("1000")
            for name, value in message.get("limits", {}).items():
                hard = resource.getrlimit(LIMITS[name])[1]
                wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(LIMITS[name], (wanted, wanted))
            environment = {
                key.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
                for key, value in message["env"].items()
            }
            os.closerange(3, 1024)
            os.execvpe(argv[0], argv, environment)  # noqa: S606 - that is the job
        except FileNotFoundError as error:
            status = COMMAND_NOT_FOUND
            os.write(2, f"sluice: {error.filename or message['argv'][0]}: not found\n".encode())
        except BaseException as error:
            os.write(2, f"sluice: cannot start {message['argv'][0]}: {error}\n".encode())
        os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            step = self.steps.pop(pid, None)
            if step is not None:
                code = os.waitstatus_to_exitcode(status)
                self._send({"event": "exit", "id": step, "status": code if code >= 0 else 128 - code})

    def _others(self) -> Iterator[int]:
        """Every living process of the pod but this one; what only waits to be reaped does not count."""
        me = os.getpid()
        parents: dict[int, int] = {}
        dead: set[int] = set()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat", "rb") as stream:
                    fields = stream.read().rpartition(b")")[2].split()
            except OSError:
                continue
            parents[int(name)] = int(fields[1])
            if fields[0] in {b"Z", b"X"}:
                dead.add(int(name))
        if self.mode == "namespace":
            yield from (pid for pid in parents if pid != me and pid not in dead)
            return
        below = {me}
        grew = True
        while grew:
            grew = False
            for pid, parent in parents.items():
                if parent in below and pid not in below:
                    below.add(pid)
                    grew = True
        yield from (pid for pid in below if pid != me and pid not in dead)

    def _groups(self) -> set[int]:
        mine = os.getpgrp()
        groups = set()
        for pid in self._others():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                groups.add(os.getpgid(pid))
        # Only groups that are seen now: the number of one that is gone may be somebody else's.
        return groups - {0, 1, mine}

    def _signal_all(self, number: int) -> None:
        if self.mode == "namespace":
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, number)
            return
        if number == signal.SIGKILL:
            # By group first: the kernel kills a group in one go, which is faster than any of it can fork.
            # Process by process, one that forks faster than we read /proc would get away.
            for group in self._groups():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, number)
        for pid in list(self._others()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    # -- limits of the pod as a whole ---------------------------------------------------------------------------

    def _watch(self) -> None:
        pids = list(self._others())
        if self.max_processes and len(pids) > self.max_processes:
            self._exceeded("processes")
        elif self.max_memory and self._resident(pids) > self.max_memory and self._proportional(pids) > self.max_memory:
            self._exceeded("memory")

    def _exceeded(self, what: str) -> None:
        self._send({"event": "limit", "what": what})
        self.stopping, self.kill_at = True, _now()
        self._signal_all(signal.SIGKILL)

    def _resident(self, pids: list[int]) -> int:
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{pid}/statm", "rb") as stream:
                total += int(stream.read().split()[1])
        return total * self.page_bytes

    def _proportional(self, pids: list[int]) -> int:
        # Pages that forked workers share count once; this is dear, so it is asked only when the cheap sum is too high.
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as stream:
                for line in stream:
                    if line.startswith(b"Pss:"):
                        total += int(line.split()[1]) * 1024
        return total


def main(arguments: list[str]) -> None:
    """Take over: `pod_init.py FD MODE`."""
    descriptor, mode = int(arguments[0]), arguments[1]
    os.set_inheritable(descriptor, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    # A step has our uid: without this it could trace us and feed the pod for ever.
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if mode == "tree":
        # So that it still gets its turn beside a task that starts processes without end; steps begin at 0 again.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for standard in (0, 1, 2):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, standard)
        os.close(null)
    with socket.socket(fileno=descriptor) as connection:
        PodInit(connection, mode).run()


if __name__ == "__main__":
    main(sys.argv[1:])
