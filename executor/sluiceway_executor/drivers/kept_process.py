"""A command with a key in a supervised pod: its output is kept by the pod until it is acknowledged.

The output is a pipe that is only read by the pod (`pod_output.py`). This side looks at what is in it with tee(2), which
copies references of its pages and leaves it as it is. So a byte is in the pipe until this side has said that it is
stored, whatever happens to this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import select
from collections.abc import Awaitable, Callable

from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.pod_output import PIPE_BYTES
from sluiceway_executor.drivers.port import ExitStatus

__all__ = ["KeptProcess"]

_SPLICE_F_NONBLOCK = 2
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.1, 1.0
"""Pauses between looks while what was read is still in the pipe."""
_libc = ctypes.CDLL(None, use_errno=True)
_libc.tee.restype = ctypes.c_ssize_t


class KeptProcess:
    """A command with a key; see `port.Process`."""

    def __init__(
        self,
        output: int,
        *,
        dropped: int = 0,
        acknowledge: Callable[[int], Awaitable[int]],
        forget: Callable[[], Awaitable[None]],
        stop: Callable[[float], Awaitable[None]],
    ) -> None:
        """Take the descriptor of the pipe, of whose bytes `dropped` were dropped.

        `acknowledge` has the pod drop the bytes before an offset, and returns how many it has dropped then.
        """
        self._output = output
        self._dropped = self._position = dropped
        self._acknowledge = acknowledge
        self._forget = forget
        self._stop = stop
        self._size: int | None = None
        self._ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self._is_closed = False
        # Edge-triggered, since what is in the pipe stays there.
        self._edges = select.epoll()
        self._edges.register(output, select.EPOLLIN | select.EPOLLET)
        asyncio.get_running_loop().add_reader(self._edges.fileno(), self._on_edge)

    def _on_edge(self) -> None:
        self._edges.poll(0)
        self._changed.set()

    async def read(self) -> bytes:
        pause = _FIRST_LOOK_SECONDS
        while not self._is_closed:
            self._changed.clear()
            if data := self._look():
                self._position += len(data)
                return data
            if self._ended.done():
                break
            # Linux wakes nobody for a write that does not fit into a pipe which was not empty (pipe_write in fs/pipe.c
            # looks at `poll_usage` at its end only), so without looking, both sides would wait for each other.
            try:
                async with time_limit(pause if self._position > self._dropped else None):
                    await self._changed.wait()
            except TimeoutError:
                pause = min(2 * pause, _LAST_LOOK_SECONDS)
        return b""

    def _look(self) -> bytes:
        """Return what is in the pipe and was not read yet."""
        copied, sink = _scratch()
        try:
            count = _libc.tee(self._output, sink, ctypes.c_size_t(PIPE_BYTES), _SPLICE_F_NONBLOCK)
            known = self._position - self._dropped
            if count <= known:
                return b""
            data = os.read(copied, count)[known:]
        finally:
            os.close(copied)
            os.close(sink)
        return data if self._size is None else data[: self._size - self._position]

    async def seek(self, offset: int) -> None:
        """Drop what is before `offset`, and read from there."""
        if offset > self._position:
            await self.acknowledge(offset)
            self._position = max(self._dropped, offset)

    async def acknowledge(self, offset: int) -> None:
        if offset > self._dropped:
            self._dropped = max(self._dropped, await self._acknowledge(offset))

    async def forget(self) -> None:
        await self._forget()
        self.close()

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._ended)

    async def write(self, data: bytes) -> None:
        """Do nothing: the command of a step has no input."""

    def resize(self, rows: int, columns: int) -> None:
        """Do nothing: the terminal of a step keeps its size."""

    async def stop(self, grace: float) -> None:
        await self._stop(grace)

    def ended(self, status: ExitStatus, size: int | None = None) -> None:
        """Set how it ended, and the size of its output; None: all that is in the pipe. Only the first call counts."""
        if not self._ended.done():
            self._size = size
            self._ended.set_result(status)
        self._changed.set()

    def close(self) -> None:
        """Close its output. May be repeated."""
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().remove_reader(self._edges.fileno())
            self._edges.close()
            os.close(self._output)
        self._changed.set()


def _scratch() -> tuple[int, int]:
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with contextlib.suppress(OSError):  # as small as the pipe may be
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return ends
