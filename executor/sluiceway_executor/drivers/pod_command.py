"""A command in a pod: its record in the first process, its supervisor, and the start of its program.

It runs inside the pod, with `pod_init.py`, and keeps to the same rules on what it imports. A supervisor reports over a
pipe, in lines: `program PID`, `failed WHY` when the program could not be started, `ended CODE`, `used MICROSECONDS
KIB`, and `left 1` when processes outlived the program. Then it stays until those have ended, and reports `used` again.
"""
# Without pathlib, whose import takes long.
# ruff: noqa: PTH103, PTH110, PTH112, PTH120, PTH123

from __future__ import annotations

import errno
import fcntl
import os
import resource
import termios
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn
else:
    import _signal as signal

if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers.pod_processes import PR_SET_CHILD_SUBREAPER, prctl, suppress
else:
    from pod_processes import PR_SET_CHILD_SUBREAPER, prctl, suppress

COMMAND_NOT_FOUND = 127
NOT_EXECUTABLE = 126

LIMITS = {
    "processes": resource.RLIMIT_NPROC,
    "files": resource.RLIMIT_NOFILE,
    "memory": resource.RLIMIT_DATA,
    "file_size": resource.RLIMIT_FSIZE,
}


def seconds_now() -> float:
    """Return the seconds since the machine was started."""
    # Counts while the machine sleeps: an executor on a laptop is partitioned then, too.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


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
        self.idle_since = 0.0
        """Since when its filters have not read, written or computed."""
        self.work: int | None = None
        self.left = False
        """Some of its processes outlived its program."""
        self.abandoned = False
        """Its supervisor was killed, and what was below it became children of the pod's first process."""
        self.output_open = False
        """At the last check, other processes had its output open."""
        self.over = False
        self.kill_at: float | None = None
        """Set while it is being stopped."""
        self.terminated = False
        """TERM was sent to its processes."""
        self.limit = ""
        self.cpu_us = 0
        self.peak_kib = 0
        """What its processes used that have ended; 0: not known."""

    def read_reports(self) -> None:
        """Read the program's process id, why it could not start, how it ended, and whether others are left."""
        try:
            data = os.read(self.reports, 4096)
        except BlockingIOError:
            return
        for line in data.splitlines():
            what, value = line.split(maxsplit=1)
            if what == b"program":
                self.program = int(value)
            elif what == b"left":
                self.left = True
            elif what == b"used":
                self.cpu_us, self.peak_kib = map(int, value.split())
            elif what == b"failed":
                self.error = value.decode("utf-8", "replace")
            else:
                self.end(int(value))

    def end(self, status: int) -> None:
        """Note that its program has ended. Only the first call has an effect."""
        if self.status is None:
            self.status = status
            self.waits_since = seconds_now()


def _code_of(ended: os.waitid_result) -> int:
    return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status


def supervise(message: dict[str, Any], descriptors: list[int], report: int) -> NoReturn:
    """Run as the supervisor of a command: start its program, reap all of its processes, and exit after the last."""
    try:
        signal.set_wakeup_fd(-1)
        # A step may send signals to every process that it can reach; they are not for its supervisor. Those for the
        # program stay pending until it is about to be executed, with the default actions.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        if message.get("tty"):
            # When the leader of a session ends, its terminal is taken from all others, and so from the filters of the
            # output. That must not happen before they end.
            os.setsid()
            fcntl.ioctl(descriptors[0], termios.TIOCSCTTY, 0)
        program = os.fork()
        if program == 0:
            # Done by the program itself, before it can kill its supervisor.
            os.write(report, b"program %d\n" % os.getpid())
            _become(message, descriptors, report)
        # This process must not keep the socket of the first process or any output open.
        os.closerange(3, report)
        os.closerange(report + 1, 4096)
        ended = None
        while ended is None or ended.si_pid != program:
            if ended is not None:
                os.waitpid(ended.si_pid, 0)
            # Read its status before reaping it: if this process is killed here, the first process of the pod reaps it.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        os.write(report, b"ended %d\n" % _code_of(ended))
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        os.write(report, _used() + b"left 1\n")
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        with suppress(OSError):
            os.write(report, _used())
        os._exit(0)
    except BaseException as error:
        with suppress(OSError):
            text = f"cannot start a process: {error}"
            os.write(descriptors[2], f"sluice: {text}\n".encode())
            os.write(report, f"failed {text}\nended {NOT_EXECUTABLE}\n".encode())
        os._exit(1)


def _used() -> bytes:
    """Return the report of the processor time and the peak memory of all processes that were reaped."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Linux counts `ru_maxrss` in KiB: that of the largest process, since getrusage(2) adds up times only.
    return b"used %d %d\n" % (round((usage.ru_utime + usage.ru_stime) * 1e6), usage.ru_maxrss)


def _become(message: dict[str, Any], descriptors: list[int], report: int) -> NoReturn:
    """Execute the program of a command; if that fails, report why, in the output and to the first process."""
    status, text = NOT_EXECUTABLE, ""
    try:
        _prepare(message, descriptors)
        if "ids" in message:
            uid, gid, groups = message["ids"]
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
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
            os.execvpe(argv[0], argv, environment)  # noqa: S606 - without a shell
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
    # When the machine runs out of memory, kill a task first.
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
    """Return why a working directory cannot be used."""
    parent = folder
    while not os.path.lexists(parent) and parent not in {"", "/"}:
        parent = os.path.dirname(parent)
    if isinstance(error, FileExistsError | NotADirectoryError) and not os.path.isdir(parent):
        return f"the working directory {folder} cannot be used: {parent} is not a directory"
    return f"the working directory {folder} cannot be used: {error.strerror}"


def _about_program(name: str, error: OSError, environment: dict[bytes, bytes]) -> str:
    """Return why a program cannot be executed."""
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
