"""Reads the processes of a pod from `/proc`: their tree, those that may write to an output, and the memory in use.

It runs inside the pod, beside `pod_init.py`, and keeps to the same rules on what it imports.
"""
# Without pathlib, whose import takes long.
# ruff: noqa: PTH116, PTH123, PTH208

from __future__ import annotations

import _ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import stat
    from types import TracebackType
else:
    import _stat as stat

PR_SET_CHILD_SUBREAPER = 36


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


class Processes:
    """A snapshot of the processes in /proc."""

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


def writers_of(output: int, pids: set[int]) -> tuple[set[int], set[int]]:
    """Find who may still write to an output: all that have it open, and the filters, which write to it or for others.

    A filter's standard input is a pipe that only filters have open for writing, and not itself. If no filter has the
    output open, there are none.
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
            # It cannot be inspected (a program that its user cannot read), and may have it open.
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
    return holders, filters if filters & holders else set()


def work_of(pids: set[int]) -> int | None:
    """Return a number that grows while one of the processes reads, writes or computes; None if it is not shown."""
    work = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/io", "rb") as stream:
                work += sum(int(line.split()[1]) for line in stream.read().splitlines()[:2])
            with open(f"/proc/{pid}/stat", "rb") as stream:
                work += sum(int(ticks) for ticks in stream.read().rpartition(b")")[2].split()[11:13])
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError:
            return None
    return work


def _identity(opened: os.stat_result) -> tuple[int, int]:
    return opened.st_dev, opened.st_ino


def resident_bytes(pids: set[int]) -> int:
    """Sum up the memory of processes; pages that they share count for each."""
    total = 0
    for pid in pids:
        with suppress(OSError, IndexError, ValueError), open(f"/proc/{pid}/statm", "rb") as stream:
            total += int(stream.read().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE")


def proportional_bytes(pids: set[int]) -> int:
    """Sum up the memory of processes; pages that they share count once. Expensive: the kernel inspects each page."""
    total = 0
    for pid in pids:
        with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as stream:
            for line in stream:
                if line.startswith(b"Pss:"):
                    total += int(line.split()[1]) * 1024
    return total
