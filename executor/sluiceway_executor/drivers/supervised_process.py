"""A command in a supervised pod: its output until the pod's first process says that the command is over."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import termios
from collections.abc import Awaitable, Callable

from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.port import ExitStatus

__all__ = ["SupervisedProcess"]

_CHUNK_BYTES = 1 << 16
_TTY_QUIET_SECONDS = 0.1
_FULL_SECONDS = 0.02


class SupervisedProcess:
    """A command in a supervised pod; see `port.Process`."""

    def __init__(self, output: int, *, tty: bool, stop: Callable[[float], Awaitable[None]]) -> None:
        self._output = output
        self._tty = tty
        self._stop = stop
        self._changed = asyncio.Event()
        self._ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._left: int | None = None
        self._closed = False
        self._finished_reading = False

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        while not self._finished_reading and not self._closed:
            try:
                limit = _CHUNK_BYTES if self._left is None else min(_CHUNK_BYTES, self._left)
                data = os.read(self._output, limit) if limit else b""
            except BlockingIOError:
                if self._left is not None and not self._tty:
                    break
                self._changed.clear()
                loop.add_reader(self._output, self._changed.set)
                try:
                    async with time_limit(_TTY_QUIET_SECONDS if self._ended.done() else None):
                        await self._changed.wait()
                except TimeoutError:
                    break
                finally:
                    loop.remove_reader(self._output)
                continue
            except OSError:
                # Reading from a terminal whose other end is closed fails with EIO.
                data = b""
            if data:
                if self._left is not None:
                    self._left -= len(data)
                return data
            break
        if not self._finished_reading:
            self._finished_reading = True
            await self.wait()
            self._discard()
        return b""

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._ended)

    async def write(self, data: bytes) -> None:
        # The controlling end of a terminal is both its output and its input.
        with contextlib.suppress(OSError):
            while data and not self._closed and not self._ended.done():
                try:
                    data = data[os.write(self._output, data) :]
                except BlockingIOError:
                    # Interactive input: a terminal that is full is read soon, or by nobody.
                    await asyncio.sleep(_FULL_SECONDS)

    def resize(self, rows: int, columns: int) -> None:
        if not self._closed:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetwinsize(self._output, (rows, columns))

    async def stop(self, grace: float) -> None:
        await self._stop(grace)

    async def acknowledge(self, offset: int) -> None:
        """Do nothing: what was read is not kept."""

    async def forget(self) -> None:
        """Do nothing: its status is not kept."""

    def ended(self, status: ExitStatus) -> None:
        """Set how it ended. Only the first call has an effect."""
        if self._ended.done():
            return
        self._ended.set_result(status)
        if not self._closed:
            # A background process may write forever: only what is buffered now is output of the command.
            waiting = array.array("i", [0])
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._output, termios.FIONREAD, waiting, True)
            self._left = waiting[0] if not self._tty else _CHUNK_BYTES * 16
        self._changed.set()

    def close(self) -> None:
        """Close its output."""
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._output)
            os.close(self._output)
        self._changed.set()

    def _discard(self) -> None:
        """Continue to read, so that a background process that still writes is not killed by a broken pipe."""
        if self._closed:
            return

        def drop() -> None:
            try:
                if os.read(self._output, _CHUNK_BYTES):
                    return
            except BlockingIOError:
                return
            except OSError:
                pass
            self.close()

        asyncio.get_running_loop().add_reader(self._output, drop)
