"""A command in a container, as the executor sees it: its output, its input, and its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.pod_transfer import WINDOW_BYTES
from sluiceway_executor.drivers.port import ExitStatus

__all__ = ["ContainerProcess", "winsize"]

_ACKNOWLEDGE_BYTES = WINDOW_BYTES // 4


class ContainerProcess:
    """A command in a container; see `port.Process`.

    The output of one with a key is kept by the first process of the container, which also has what an earlier process
    of the executor did not acknowledge.
    """

    def __init__(
        self,
        number: int,
        *,
        key: str = "",
        dropped: int = 0,
        send: Callable[[Mapping[str, Any]], None],
        stop: Callable[[float], Awaitable[None]],
        write: Callable[[bytes], Awaitable[None]],
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        """Take its number, and how to reach it.

        Args:
            number: in the messages about it.
            key: of the command.
            dropped: so much of its output is not kept any more.
            send: sends a message, later.
            stop: stops it.
            write: writes to its input, which takes so much now.
            forget: is called when it is forgotten.
        """
        self.number = number
        self._key = key
        self._position = dropped
        self._skip = 0
        self._acknowledged = dropped
        self._send = send
        self._stop = stop
        self._write = write
        self._forget = forget
        loop = asyncio.get_running_loop()
        self._started: asyncio.Future[str] = loop.create_future()
        self._ended: asyncio.Future[ExitStatus] = loop.create_future()
        self._chunks: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._may_write = WINDOW_BYTES
        self._unacknowledged = 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._ended.done()

    async def started(self) -> str:
        """Wait until it has started; return why it was refused, else nothing."""
        return await asyncio.shield(self._started)

    async def read(self) -> bytes:
        while True:
            while not self._chunks and not self._ended.done():
                self._changed.clear()
                await self._changed.wait()
            if not self._chunks:
                return b""
            data = self._chunks.popleft()
            self._position += len(data)
            self._unacknowledged += len(data)
            if not self._key and self._unacknowledged >= _ACKNOWLEDGE_BYTES:
                self._send({"do": "ack", "id": self.number, "bytes": self._unacknowledged})
                self._unacknowledged = 0
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            if skipped < len(data):
                return data[skipped:]

    async def seek(self, offset: int) -> None:
        """Drop what is before `offset`, and read from there. Before the first `read`."""
        self._skip = max(0, offset - self._position)
        await self.acknowledge(offset)

    async def acknowledge(self, offset: int) -> None:
        if self._key and offset > self._acknowledged:
            self._acknowledged = offset
            self._send({"do": "ack", "id": self.number, "offset": offset})

    async def forget(self) -> None:
        if self._key:
            self._forget()
            self._send({"do": "forget", "id": self.number})

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._ended)

    async def stop(self, grace: float) -> None:
        await self._stop(grace)

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(FailedPrecondition):
            for start in range(0, len(data), WINDOW_BYTES):
                part = data[start : start + WINDOW_BYTES]
                if await self.may_write(len(part)):
                    await self._write(part)

    def resize(self, rows: int, columns: int) -> None:
        if not self._ended.done():
            self._send({"do": "resize", "id": self.number, "size": winsize(rows, columns)})

    async def may_write(self, count: int) -> bool:
        """Wait until its input takes `count` more bytes; return whether it will read them."""
        while self._may_write < count and not self._ended.done():
            self._changed.clear()
            await self._changed.wait()
        self._may_write -= count
        return not self._ended.done()

    def began(self, refused: str) -> None:
        """Set that it has started, or why not."""
        if not self._started.done():
            self._started.set_result(refused)

    def arrived(self, data: bytes) -> None:
        """Add output."""
        self._chunks.append(data)
        self._changed.set()

    def taken(self, count: int) -> None:
        """Set that so much input has been written to it."""
        self._may_write += count
        self._changed.set()

    def ended(self, status: ExitStatus) -> None:
        """Set how it ended. Only the first call has an effect."""
        self.began("")
        if not self._ended.done():
            self._ended.set_result(status)
        self._changed.set()


def winsize(rows: int, columns: int) -> bytes:
    """Return the `struct winsize` of a terminal."""
    return rows.to_bytes(2, "little") + columns.to_bytes(2, "little") + bytes(4)
