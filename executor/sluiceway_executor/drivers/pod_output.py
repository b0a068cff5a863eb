"""The output of a command with a key, which the pod keeps until the executor has acknowledged it.

It runs inside the pod, beside `pod_init.py`, and keeps to the same rules on what it imports. The output is a pipe: the
executor looks at what is in it without reading it (tee(2)), and only this process reads, which drops what was
acknowledged. So the pipe has exactly what the executor must still store, also after the executor was killed. What a
command writes to a terminal is moved into such a pipe.
"""

from __future__ import annotations

import fcntl
import os
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from typing import Any

if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers.pod_command import seconds_now
    from sluiceway_executor.drivers.pod_processes import suppress
else:
    from pod_command import seconds_now
    from pod_processes import suppress

POLLIN, POLLOUT = 1, 4
PIPE_BYTES = 256 << 10
_CHUNK_BYTES = 1 << 16
_ATOMIC_BYTES = 4096
"""PIPE_BUF: so much is written to a pipe that poll(2) calls writable, or nothing."""
_QUIET_SECONDS = 0.1
_DRAIN_ROUNDS = 16


class KeptOutput:
    """The output of one command."""

    def __init__(self, key: str, number: int, output: int, terminal: int = -1, sink: int = -1) -> None:
        """Take the read end of the pipe; of a command with a terminal also its master, and the write end."""
        self.key = key
        self.number = number
        self.output = output
        self.dropped = 0
        """So many bytes were dropped."""
        self.size: int | None = None
        """The size of all of its output, once it is over."""
        self.exit: dict[str, Any] | None = None
        """The message about its end, once that can be sent."""
        self._terminal = terminal
        self._sink = sink
        self._pending = b""
        self._ending: dict[str, Any] | None = None
        self._quiet_at = 0.0
        self.is_forgotten = False
        """Nothing is kept any more."""
        for descriptor in (output, terminal, sink):
            if descriptor >= 0:
                os.set_blocking(descriptor, False)
        with suppress(OSError):
            # Otherwise it has 64 KiB: a user has a limit of pages for all pipes.
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def drop(self, offset: int) -> None:
        """Drop the bytes before `offset`."""
        while self.output >= 0 and self.dropped < offset:
            try:
                data = os.read(self.output, min(_CHUNK_BYTES, offset - self.dropped))
            except BlockingIOError:
                return
            if not data:
                return
            self.dropped += len(data)

    def end(self, message: dict[str, Any]) -> None:
        """Note that the command is over: what is written from now on is no output of it."""
        self._ending = message
        self._quiet_at = seconds_now() + _QUIET_SECONDS

    def forget(self) -> None:
        """Drop all that is kept, and what is still written: a process that lost its reader would be killed."""
        self.is_forgotten = True
        self._ending = None
        self._pending = b""
        self._close_sink()

    @property
    def is_gone(self) -> bool:
        """Whether it was forgotten, and nobody writes to it any more."""
        return self.is_forgotten and self.output < 0 and self._terminal < 0

    @property
    def is_ending(self) -> bool:
        """Whether the command is over, and its end cannot be sent yet."""
        return self._ending is not None

    def register(self, poll: select.poll) -> None:
        """Register what it waits for."""
        if self._pending:
            poll.register(self._sink, POLLOUT)
        elif self._terminal >= 0:
            poll.register(self._terminal, POLLIN)
        if self.is_forgotten and self.output >= 0:
            poll.register(self.output, POLLIN)

    def transfer(self) -> None:
        """Move what can be moved. Never blocks."""
        if self.is_forgotten:
            self.output = _drain(self.output)
            self._terminal = _drain(self._terminal)
            return
        while self._terminal >= 0 or self._pending:
            if not self._pending:
                try:
                    self._pending = os.read(self._terminal, _ATOMIC_BYTES)
                except BlockingIOError:
                    break
                except OSError:  # EIO: nobody has the other end of the terminal open
                    self._pending = b""
                if not self._pending:
                    os.close(self._terminal)
                    self._terminal = -1
                    break
                self._quiet_at = seconds_now() + _QUIET_SECONDS
            try:
                os.write(self._sink, self._pending)
            except BlockingIOError:
                break
            self._pending = b""
        if self._ending is not None and not self._pending:
            # The kernel passes on what is written to a terminal a moment later.
            if self._terminal >= 0 and seconds_now() < self._quiet_at:
                return
            self._close_sink()
            self.size = self.dropped + buffered(self.output)
            self.exit, self._ending = {**self._ending, "size": self.size}, None

    def _close_sink(self) -> None:
        if self._sink >= 0:
            os.close(self._sink)
            self._sink = -1


def _drain(descriptor: int) -> int:
    """Read all that is there and drop it; return the descriptor, or -1 at its end."""
    if descriptor < 0:
        return -1
    try:
        for _ in range(_DRAIN_ROUNDS):
            if not os.read(descriptor, _CHUNK_BYTES):
                break
        else:
            return descriptor
    except BlockingIOError:
        return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return -1


def buffered(descriptor: int) -> int:
    """Return how many bytes are there to be read."""
    if descriptor < 0:
        return 0
    waiting = bytearray(4)
    with suppress(OSError):
        fcntl.ioctl(descriptor, termios.FIONREAD, waiting, True)
    return int.from_bytes(waiting, sys.byteorder)
