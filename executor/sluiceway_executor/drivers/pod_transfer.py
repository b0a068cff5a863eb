"""The output and input of a command in a container, on the container's side of the connection.

It runs inside the container, beside `pod_init.py`, and keeps to the same rules on what it imports. The output of a
command with a key is kept here, in memory, until the executor has acknowledged it: the next process of the executor is
sent it again.
"""

from __future__ import annotations

import fcntl
import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if TYPE_CHECKING or __package__:
    from sluiceway_executor.drivers.pod_command import seconds_now
    from sluiceway_executor.drivers.pod_output import buffered
else:
    from pod_command import seconds_now
    from pod_output import buffered

WINDOW_BYTES = 1 << 20
"""So much output of a command is read before the executor acknowledges it."""
CHUNK_BYTES = 1 << 16
TTY_QUIET_SECONDS = 0.1


class Transfer:
    """The output and input of one command."""

    def __init__(self, output: int, *, tty: bool, key: str = "") -> None:
        self.output = output
        self.tty = tty
        self.key = key
        self.is_discarded = False
        """Nobody wants its output any more."""
        self.unacknowledged = 0
        self.kept = bytearray()
        """The unacknowledged output of a command with a key."""
        self.dropped = 0
        """So many bytes were acknowledged, and are not kept any more."""
        self.left: int | None = None
        """How much output of the command is still to be read, once it is over."""
        self.quiet_at = 0.0
        self.exit: dict[str, Any] | None = None
        """The message about its end, until all of its output was read."""
        self.ended: dict[str, Any] | None = None
        """That message afterwards, of a command with a key."""
        self.input = -1
        self.waiting = bytearray()
        self.input_ended = False

    def wants_output(self) -> bool:
        """Return whether there is room for output. What follows the end of the command is read and discarded."""
        return self.output >= 0 and (self.is_discarded or self.unacknowledged < WINDOW_BYTES)

    def read(self) -> bytes:
        """Read output; return what the executor is to be sent."""
        over = self.left is not None and not self.left
        try:
            data = os.read(self.output, CHUNK_BYTES if over or self.left is None else min(CHUNK_BYTES, self.left))
        except BlockingIOError:
            return b""
        except OSError:
            data = b""  # a terminal whose other end is closed
        if not data:
            os.close(self.output)
            self.output = -1
            if self.left is not None:
                self.left = 0
        if over:
            return b""
        if self.left is not None and data:
            self.left -= len(data)
            self.quiet_at = seconds_now() + TTY_QUIET_SECONDS
        if self.is_discarded:
            return b""
        self.unacknowledged += len(data)
        if self.key:
            self.kept += data
        return data

    def exited(self, message: dict[str, Any]) -> None:
        """Note that the command is over. Only what is buffered now is output of it: others may write forever."""
        self.exit = message
        self.left = CHUNK_BYTES * 16 if self.tty else buffered(self.output)
        self.quiet_at = seconds_now() + TTY_QUIET_SECONDS

    def take_exit(self) -> dict[str, Any] | None:
        """Return the message about its end, once: when all of its output was read."""
        if self.exit is None or self.left:
            return None
        message, self.exit = self.exit, None
        if self.key and not self.is_discarded:
            self.ended = message
        return message

    def acknowledge(self, offset: int) -> None:
        """Drop what is kept before an offset."""
        count = min(max(0, offset - self.dropped), len(self.kept))
        del self.kept[:count]
        self.dropped += count
        self.unacknowledged = len(self.kept)

    def discard(self) -> None:
        """Keep nothing any more, and discard what is still written."""
        self.is_discarded = True
        self.kept.clear()
        self.ended = None
        self.close_input()

    def is_gone(self) -> bool:
        """Return whether nothing of it is needed any more."""
        is_kept = bool(self.key) and not self.is_discarded
        return self.output < 0 and self.exit is None and self.left is not None and not is_kept

    def resize(self, size: bytes) -> None:
        """Change the size of its terminal (`struct winsize`)."""
        if self.tty and self.output >= 0:
            try:
                fcntl.ioctl(self.output, termios.TIOCSWINSZ, size)
            except OSError:
                return

    def take_input(self, data: bytes) -> None:
        """Take input that is to be written; empty: that was all."""
        self.waiting += data
        self.input_ended = self.input_ended or not data

    def write_input(self) -> int:
        """Write input; return how much of it is done with."""
        before = len(self.waiting)
        try:
            while self.waiting:
                del self.waiting[: os.write(self.input, self.waiting[:CHUNK_BYTES])]
        except BlockingIOError:
            return before - len(self.waiting)
        except OSError:
            self.close_input()
        if self.input_ended:
            self.close_input()
        return before

    def close_input(self) -> None:
        """Close its input. May be repeated."""
        self.waiting.clear()
        if self.input >= 0:
            os.close(self.input)
            self.input = -1


def open_streams(*, tty: bool, size: bytes, owner: int, has_input: bool) -> tuple[int, int, list[int]]:
    """Open a terminal, or pipes; return the ends for its output and input (-1: none), and those of the command."""
    if tty:
        output, given = os.openpty()
        fcntl.ioctl(given, termios.TIOCSWINSZ, size)
        os.fchown(given, owner, -1)
        os.set_blocking(output, False)
        return output, os.dup(output), [given, os.dup(given), os.dup(given)]
    source = -1
    output, given = os.pipe2(os.O_CLOEXEC)
    if has_input:
        taken, source = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(source, False)
    else:
        taken = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.set_blocking(output, False)
    return output, source, [taken, given, os.dup(given)]
