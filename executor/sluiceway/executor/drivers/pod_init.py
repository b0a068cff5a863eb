"""The first process of a pod: starts commands, reaps what ends, and ends the pod when nobody feeds it.

It runs inside the pod, under whatever Python 3 the machine has, so it is one file that uses nothing but the standard
library and imports nothing of ours. It talks with its executor over one stream socket that it inherits (`pod_init.py FD
MODE`), with messages that have their length before them and file descriptors beside them: Python literals to the pod,
JSON from it. When that socket ends, or the pod was not fed in time, it ends with all of the pod.

- `MODE` is `namespace` when it is process 1 of a pid namespace: the kernel then kills what is left when it ends.
- `MODE` is `tree` when it is a plain process: it makes itself the reaper of its descendants, so that those that fork
  twice or begin a session of their own stay below it, and kills them by itself.

Each command has a *supervisor*: a fork of this process that starts the command's program and reaps all its descendants.
The processes of a command are therefore those below its supervisor, also when they forked twice or began a session of
their own, and can be stopped without those that earlier commands left behind. A supervisor ends when nothing is below
it any more.

A command is over when its program has ended and so have those that still write its output; see `_is_over`.

To the pod: `exec` (id, argv, env, cwd, tty, script, limits; with 3 descriptors), `stop` (grace; the id of a command, or
none: all of the pod), `feed` (seconds).
From the pod: `ready`, `exit` (id, status, limit, error, output_open), `stopped` (all of the pod), `starved`.
"""
# Every pod waits for the imports of this file. `_signal`, `_socket` and `_stat` are what `signal`, `socket` and `stat`
# wrap in enums; with those, `json`, `ctypes`, `contextlib` and `pathlib`, the start would take three times as long.
# ruff: noqa: PTH103, PTH110, PTH112, PTH116, PTH120, PTH123, PTH208

from __future__ import annotations

import _ctypes
import errno
import fcntl
import os
import resource
import select
import sys
import termios
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    import stat
    from types import TracebackType
    from typing import Any, NoReturn
else:
    import _signal as signal
    import _socket as socket
    import _stat as stat

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
WATCH_SECONDS = 0.25
HEADER_BYTES = 4
COMMAND_NOT_FOUND = 127
NOT_EXECUTABLE = 126
KILLED = 128 + signal.SIGKILL
LOOK_SECONDS = 0.05
BACKGROUND_SECONDS = 2.0
"""How long a command whose program has ended waits for background processes that have its output open."""
FILTER_SECONDS = 30.0
"""How long it waits for filters of its output, as in `exec > >(tee log)`, whose input has ended."""
ESCALATE_SECONDS = 2.0
KILL_ROUNDS = 10

LIMITS = {
    "processes": resource.RLIMIT_NPROC,
    "files": resource.RLIMIT_NOFILE,
    "memory": resource.RLIMIT_DATA,
    "file_size": resource.RLIMIT_FSIZE,
}


class suppress:  # noqa: N801 - as in contextlib
    """A context that ends quietly when one of these errors is raised in it."""

    def __init__(self, *errors: type[BaseException]) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Return whether the error is one of these."""
        return kind is not None and issubclass(kind, self._errors)


def prctl(option: int, value: int) -> None:
    """Change how the kernel treats this process: one option with one argument."""
    function = _ctypes.dlsym(_ctypes.dlopen("libc.so.6", os.RTLD_NOW), "prctl")
    _ctypes.call_function(function, (option, value, 0, 0, 0))


def _now() -> float:
    # Time goes on while the machine sleeps: an executor on a laptop is partitioned then, too.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Processes:
    """The processes that /proc shows, at one moment."""

    def __init__(self) -> None:
        self.groups: dict[int, int] = {}
        self._children: dict[int, list[int]] = {}
        self._dead: set[int] = set()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat", "rb") as stream:
                    fields = stream.read().rpartition(b")")[2].split()
            except OSError:
                continue
            pid, state, parent, threads = int(name), fields[0], int(fields[1]), int(fields[17])
            self.groups[pid] = int(fields[2])
            self._children.setdefault(parent, []).append(pid)
            # A process whose first thread alone has ended is shown as a zombie, too.
            if state in {b"Z", b"X"} and threads <= 1:
                self._dead.add(pid)

    def below(self, root: int, *, without: set[int] | None = None) -> set[int]:
        """List the living descendants of a process, less those of `without` and what is below them."""
        found: set[int] = set()
        waiting = [root]
        while waiting:
            for pid in self._children.get(waiting.pop(), ()):
                if pid not in found and not (without and pid in without):
                    found.add(pid)
                    waiting.append(pid)
        return found - self._dead


class Command:
    """A command, from its start until the last of its processes has ended."""

    def __init__(self, number: int, supervisor: int, reports: int, output: int) -> None:
        self.number = number
        self.supervisor = supervisor
        self.reports = reports
        self.output = output
        self.program = 0
        self.error = ""
        """Why the program could not be started."""
        self.status: int | None = None
        self.waits_since = 0.0
        self.left = False
        """Some of its processes outlived its program."""
        self.abandoned = False
        """Its supervisor was killed, and what was below it became children of the pod's first process."""
        self.output_open = False
        """Others had its output open when it was last looked at."""
        self.over = False
        self.kill_at: float | None = None
        """Set while it is being stopped."""
        self.terminated = False
        """TERM was sent to its processes."""
        self.limit = ""

    def read_reports(self) -> None:
        """Take in the program's process id, why it could not start, how it ended, and whether others are left."""
        try:
            said = os.read(self.reports, 4096)
        except BlockingIOError:
            return
        for line in said.splitlines():
            what, value = line.split(maxsplit=1)
            if what == b"program":
                self.program = int(value)
            elif what == b"left":
                self.left = True
            elif what == b"failed":
                self.error = value.decode("utf-8", "replace")
            else:
                self.end(int(value))

    def end(self, status: int) -> None:
        """Take note that its program has ended; only the first word counts."""
        if self.status is None:
            self.status = status
            self.waits_since = _now()


class PodInit:
    """The loop of the pod's first process."""

    def __init__(self, connection: socket.socket, mode: str) -> None:
        self.connection = connection
        self.mode = mode
        self.page_bytes = os.sysconf("SC_PAGE_SIZE")
        self.incoming = bytearray()
        self.descriptors: list[int] = []
        self.commands: list[Command] = []
        self.fed_until = _now() + 60.0
        self.kill_at: float | None = None
        """Set while all of the pod is being stopped."""
        self.childless = True
        self.max_memory = 0
        self.max_processes = 0
        self.watched_at = 0.0

    def run(self) -> None:
        """Serve until the executor goes away or the pod starves. Never returns normally."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._send({"event": "ready", "pid": os.getpid()})
        while True:
            poll = select.poll()
            # The reports of a supervisor that has ended are at their end, which is always readable.
            reports = [command.reports for command in self.commands if command.supervisor and not command.over]
            for descriptor in (self.connection.fileno(), wake_read, *reports):
                poll.register(descriptor, select.POLLIN)
            readable = {descriptor for descriptor, _ in poll.poll(self._next_wait() * 1000)}
            if wake_read in readable:
                with suppress(BlockingIOError):
                    os.read(wake_read, 4096)
            if self.connection.fileno() in readable and not self._receive():
                self._end()
            self._reap()
            self._tick()

    def _next_wait(self) -> float:
        now = _now()
        waits = [self.fed_until - now]
        if self.kill_at is not None or any(c.kill_at or (c.status is not None and not c.over) for c in self.commands):
            waits.append(LOOK_SECONDS)
        if self.max_memory or self.max_processes:
            waits.append(WATCH_SECONDS)
        return max(0.0, min(waits))

    def _tick(self) -> None:
        now = _now()
        if now >= self.fed_until:
            self._send({"event": "starved"})
            self._end()
        for command in list(self.commands):
            # Before its program is known, there may be nobody yet to send it to.
            if command.kill_at is not None and command.program and not command.terminated:
                command.terminated = True
                self._signal(command, signal.SIGTERM)
                # A stopped process does not see TERM until it goes on.
                self._signal(command, signal.SIGCONT)
            if command.kill_at is not None and now >= command.kill_at:
                self._kill(command, command.kill_at)
            if command.status is not None and not command.over and self._is_over(command):
                self._finish(command)
            if command.over and not command.supervisor:
                os.close(command.reports)
                self.commands.remove(command)
        if self.kill_at is not None:
            if now >= self.kill_at:
                self._kill(None, self.kill_at)
            if self.childless and all(command.over for command in self.commands):
                self.kill_at = None
                self._send({"event": "stopped"})
        if (self.max_memory or self.max_processes) and now - self.watched_at >= WATCH_SECONDS:
            self.watched_at = now
            self._watch()

    def _end(self) -> NoReturn:
        # Nobody may take the end of a command for its own doing any more.
        self.commands.clear()
        if self.mode == "tree":
            for _ in range(200):
                self._kill(None, 0.0)
                if self.childless:
                    break
                time.sleep(0.01)
        os._exit(0)

    # -- messages -----------------------------------------------------------------------------------------------

    def _send(self, message: dict[str, Any]) -> None:
        body = "{" + ", ".join(f'"{name}": {_json(value)}' for name, value in message.items()) + "}"
        try:
            self.connection.sendall(len(body).to_bytes(HEADER_BYTES, "big") + body.encode())
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
            # A literal from the executor, which decides all that happens here anyway.
            message = eval(bytes(self.incoming[HEADER_BYTES:end]), {"__builtins__": {}})  # noqa: S307
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
            self._stop(message.get("id"), message["grace"])

    # -- the life of a command ----------------------------------------------------------------------------------

    def _start(self, message: dict[str, Any], descriptors: list[int]) -> None:
        limits = message.get("limits", {})
        self.max_memory = limits.get("memory", 0)
        self.max_processes = limits.get("processes", 0)
        reports, report = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            pid = os.fork()
        except OSError as error:
            text = f"cannot start a process: {error.strerror}"
            os.write(descriptors[2], f"sluice: {text}\n".encode())
            self._send({"event": "exit", "id": message["id"], "status": NOT_EXECUTABLE, "error": text})
            os.close(reports)
        else:
            if pid == 0:
                _supervise(message, descriptors, report)
            # The output stays open here, to see who else has it and whether it is full.
            self.commands.append(Command(message["id"], pid, reports, os.dup(descriptors[1])))
        for descriptor in (report, *descriptors):
            os.close(descriptor)

    def _stop(self, number: int | None, grace: float) -> None:
        """Begin to end one command that is not over, or all of the pod: TERM now, KILL after the grace."""
        kill_at = _now() + grace
        if number is None:
            self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)
        for command in self.commands:
            if number is None or (command.number == number and not command.over):
                command.kill_at = kill_at if command.kill_at is None else min(command.kill_at, kill_at)

    def _is_over(self, command: Command) -> bool:
        """Tell whether a command whose program has ended is over.

        One that is being stopped is over when all of its processes are gone. Any other is over when none of them has
        its output open any more. Daemons keep it open for good, so those are waited for `BACKGROUND_SECONDS` only. A
        filter, which reads a pipe that nobody writes to any more, is about to end: it has `FILTER_SECONDS`, counted
        while it is not held up by an output that is full.
        """
        if command.kill_at is not None or not (command.left or command.abandoned):
            return self._is_gone(command)
        holders, filters = _writers_of(command.output, self._living(command, Processes()))
        command.output_open = bool(holders)
        if not holders:
            return True
        if not filters:
            return _now() - command.waits_since >= BACKGROUND_SECONDS
        poll = select.poll()
        poll.register(command.output, select.POLLOUT)
        if not poll.poll(0):
            command.waits_since = _now()
        return _now() - command.waits_since >= FILTER_SECONDS

    def _is_gone(self, command: Command) -> bool:
        # That its supervisor has ended is certain; /proc may pass over processes that come and go.
        return not command.supervisor and not (command.abandoned and self._living(command, Processes()))

    def _finish(self, command: Command) -> None:
        command.over = True
        os.close(command.output)
        self._send(
            {
                "event": "exit",
                "id": command.number,
                "status": command.status,
                "limit": command.limit,
                "error": command.error,
                "output_open": command.output_open and command.kill_at is None,
            }
        )
        command.kill_at = None

    def _read_reports(self) -> None:
        for command in self.commands:
            if not command.over:
                command.read_reports()

    def _reap(self) -> None:
        self._read_reports()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                self.childless = True
                return
            self.childless = False
            if pid == 0:
                return
            supervised = next((command for command in self.commands if command.supervisor == pid), None)
            if os.WIFSTOPPED(status):
                if supervised is not None:
                    os.kill(pid, signal.SIGCONT)
            elif supervised is not None:
                self._supervisor_ended(supervised, status)
            else:
                self._read_reports()
                for command in self.commands:
                    # Its supervisor is dead, even if this loop comes to that later.
                    if command.program == pid:
                        command.end(_exit_code(status))

    def _supervisor_ended(self, command: Command, status: int) -> None:
        command.supervisor = 0
        if not command.over:
            command.read_reports()
        if os.WIFSIGNALED(status):
            # Somebody in the pod killed it. Its program goes on, as a child of this process.
            command.abandoned = True
            if command.status is None and command.program:
                with suppress(ChildProcessError):
                    pid, ended = os.waitpid(command.program, os.WNOHANG)
                    if pid:
                        command.end(_exit_code(ended))
                    return
        command.end(KILLED)

    # -- processes ----------------------------------------------------------------------------------------------

    def _living(self, command: Command | None, processes: Processes) -> set[int]:
        """List the living processes of a command, or of the whole pod; not this one and not the supervisors."""
        supervisors = {each.supervisor for each in self.commands if each.supervisor}
        if command is None:
            return processes.below(os.getpid()) - supervisors
        if command.supervisor:
            return processes.below(command.supervisor)
        return processes.below(os.getpid(), without=supervisors) if command.abandoned else set()

    def _signal(self, command: Command | None, number: int) -> None:
        """Send a signal to all processes of a command, or of the pod."""
        processes = Processes()
        left = self._living(command, processes)
        others = {group for pid, group in processes.groups.items() if pid not in left}
        # By group: the kernel signals a group in one go, while none of it can fork. Those that fork faster than we read
        # /proc would get away from us one by one.
        groups = {processes.groups[pid] for pid in left} - others
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
        for pid in left:
            if processes.groups[pid] not in groups:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)

    def _kill(self, command: Command | None, since: float) -> None:
        for _ in range(KILL_ROUNDS):
            self._signal(command, signal.SIGKILL)
            self._reap()
            if self.childless or (command is not None and self._is_gone(command)):
                return
        if self.mode == "namespace" and _now() - since >= ESCALATE_SECONDS:
            # It forks faster than we can follow. The kernel can, though only for all of the pod.
            with suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)

    # -- limits of the pod as a whole ---------------------------------------------------------------------------

    def _watch(self) -> None:
        pids = self._living(None, Processes())
        if self.max_processes and len(pids) > self.max_processes:
            self._exceeded("processes")
        elif self.max_memory and self._resident(pids) > self.max_memory and self._proportional(pids) > self.max_memory:
            self._exceeded("memory")

    def _exceeded(self, what: str) -> None:
        now = _now()
        for command in self.commands:
            command.kill_at = now
            command.limit = what
        self._kill(None, now)

    def _resident(self, pids: set[int]) -> int:
        total = 0
        for pid in pids:
            with suppress(OSError, IndexError, ValueError), open(f"/proc/{pid}/statm", "rb") as stream:
                total += int(stream.read().split()[1])
        return total * self.page_bytes

    def _proportional(self, pids: set[int]) -> int:
        # Pages that forked workers share count once; this is dear, so it is asked only when the cheap sum is too high.
        total = 0
        for pid in pids:
            with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as stream:
                for line in stream:
                    if line.startswith(b"Pss:"):
                        total += int(line.split()[1]) * 1024
        return total


def _writers_of(output: int, pids: set[int]) -> tuple[set[int], set[int]]:
    """Find who may still write to an output: all that have it open, and those of them that are filters.

    A filter's standard input is a pipe that only filters have open for writing, and not itself.
    """
    wanted = _identity(os.fstat(output))
    holders: set[int] = set()
    inputs: dict[int, tuple[int, int]] = {}
    writers: dict[tuple[int, int], set[int]] = {}
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except FileNotFoundError:
            continue
        except OSError:
            # Not to be looked at, as programs that their user may not read: it may have it.
            holders.add(pid)
            continue
        for name in names:
            path = f"/proc/{pid}/fd/{name}"
            with suppress(OSError):
                opened, link = os.stat(path), os.lstat(path)
                writes = bool(link.st_mode & stat.S_IWUSR)
                if writes and _identity(opened) == wanted:
                    holders.add(pid)
                elif writes and stat.S_ISFIFO(opened.st_mode):
                    writers.setdefault(_identity(opened), set()).add(pid)
                if name == "0" and not writes and stat.S_ISFIFO(opened.st_mode):
                    inputs[pid] = _identity(opened)
    filters = {pid for pid, pipe in inputs.items() if pid not in writers.get(pipe, ())}
    while not all(writers.get(inputs[pid], set()) <= filters for pid in filters):
        filters = {pid for pid in filters if writers.get(inputs[pid], set()) <= filters}
    return holders, filters & holders


def _identity(opened: os.stat_result) -> tuple[int, int]:
    return opened.st_dev, opened.st_ino


def _json(value: str | float | None) -> str:
    """Write a value as JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    units = memoryview(value.encode("utf-16", "surrogatepass")[2:]).cast("H")
    shown = (chr(unit) if 32 <= unit < 127 and unit not in b'"\\' else f"\\u{unit:04x}" for unit in units)
    return f'"{"".join(shown)}"'


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _code_of(ended: os.waitid_result) -> int:
    return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status


def _supervise(message: dict[str, Any], descriptors: list[int], report: int) -> NoReturn:
    """Be the supervisor of a command: start its program, reap what comes of it, end when nothing of it is left."""
    try:
        signal.set_wakeup_fd(-1)
        # Signals that a step sends to all that it can reach are not for its supervisor. Those for the program stay
        # pending until it is about to be executed, with the default actions.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        if message.get("tty"):
            # When the leader of a session ends, its terminal is taken from all others, and so from the filters of the
            # output. That must not happen before they end.
            os.setsid()
            fcntl.ioctl(descriptors[0], termios.TIOCSCTTY, 0)
        program = os.fork()
        if program == 0:
            # By the program itself, before it can end its supervisor.
            os.write(report, b"program %d\n" % os.getpid())
            _become(message, descriptors, report)
        # Neither the socket of the first process nor anybody's output is to be held open by this one.
        os.closerange(3, report)
        os.closerange(report + 1, 4096)
        ended = None
        while ended is None or ended.si_pid != program:
            if ended is not None:
                os.waitpid(ended.si_pid, 0)
            # Looked at before it is reaped: if this process is killed here, the first process of the pod reaps it.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        os.write(report, b"ended %d\n" % _code_of(ended))
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        os.write(report, b"left 1\n")
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        os._exit(0)
    except BaseException as error:
        with suppress(OSError):
            text = f"cannot start a process: {error}"
            os.write(descriptors[2], f"sluice: {text}\n".encode())
            os.write(report, f"failed {text}\nended {NOT_EXECUTABLE}\n".encode())
        os._exit(1)


def _become(message: dict[str, Any], descriptors: list[int], report: int) -> NoReturn:
    """Become the program of a command; if that is not possible, say why, in the output and to the first process."""
    status, text = NOT_EXECUTABLE, ""
    try:
        _prepare(message, descriptors)
        try:
            _enter(message["cwd"])
        except OSError as error:
            text = _about_folder(message["cwd"], error)
            raise
        argv = list(message["argv"])
        script = message.get("script")
        if script is not None:
            argv.append(f"{message['script_dir']}/sluice-step-{message['id']}")
            _write_script(argv[-1], script)
        for name, value in message.get("limits", {}).items():
            hard = resource.getrlimit(LIMITS[name])[1]
            wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(LIMITS[name], (wanted, wanted))
        environment = {
            key.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
            for key, value in message["env"].items()
        }
        os.closerange(3, report)
        os.closerange(report + 1, 4096)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            os.execvpe(argv[0], argv, environment)  # noqa: S606 - that is the job
        except OSError as error:
            status = COMMAND_NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            text = _about_program(argv[0], error, environment)
            raise
    except BaseException as error:
        text = text or f"cannot start {message['argv'][0]}: {error}"
        with suppress(OSError):
            os.write(report, f"failed {' '.join(text.split())[:1000]}\n".encode("utf-8", "replace"))
            os.write(2, f"sluice: {text}\n".encode("utf-8", "replace"))
    os._exit(status)


def _prepare(message: dict[str, Any], descriptors: list[int]) -> None:
    if message.get("tty"):
        os.setpgid(0, 0)
        os.tcsetpgrp(descriptors[0], os.getpid())
    else:
        os.setsid()
    with suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, 0) < 0:
            os.setpriority(os.PRIO_PROCESS, 0, 0)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    for number in range(1, signal.NSIG):
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    # When memory ends on the whole machine, a task goes first.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as stream:
        stream.write("1000")


def _enter(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)


def _write_script(path: str, script: str) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o700)
        with os.fdopen(file, "wb") as stream:
            stream.write(script.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise OSError(f"its script cannot be written to {path}: {error.strerror}") from error


def _about_folder(folder: str, error: OSError) -> str:
    """Say why a working directory cannot be used."""
    parent = folder
    while not os.path.lexists(parent) and parent not in {"", "/"}:
        parent = os.path.dirname(parent)
    if isinstance(error, FileExistsError | NotADirectoryError) and not os.path.isdir(parent):
        return f"the working directory {folder} cannot be used: {parent} is not a directory"
    return f"the working directory {folder} cannot be used: {error.strerror}"


def _about_program(name: str, error: OSError, environment: dict[bytes, bytes]) -> str:
    """Say why a program cannot be executed."""
    if isinstance(error, FileNotFoundError):
        if "/" not in name:
            return f"there is no program {name} in {os.fsdecode(environment.get(b'PATH', b'')) or 'an empty PATH'}"
        if os.path.exists(name):
            return f"cannot start {name}: the interpreter that it names does not exist"
        return f"there is no program {name}"
    if error.errno == errno.E2BIG:
        key, value = max(environment.items(), key=lambda pair: len(pair[1]))
        return (
            f"the environment is too large: {len(environment)} variables, the largest {os.fsdecode(key)} with "
            f"{len(value)} bytes; Linux takes less than 131072 bytes for each, and a quarter of the stack limit for all"
        )
    if os.path.isdir(name):
        return f"cannot start {name}: it is a directory"
    return f"cannot start {name}: {error.strerror}"


def main(arguments: list[str]) -> None:
    """Take over: `pod_init.py FD MODE`."""
    descriptor, mode = int(arguments[0]), arguments[1]
    os.set_inheritable(descriptor, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    # A step has our uid: without this it could trace us and feed the pod for ever.
    prctl(PR_SET_DUMPABLE, 0)
    if mode == "tree":
        # So that it still gets its turn beside a task that starts processes without end; steps begin at 0 again.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    for standard in (0, 1, 2):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, standard)
        os.close(null)
    PodInit(socket.socket(fileno=descriptor), mode).run()


if __name__ == "__main__":
    main(sys.argv[1:])
