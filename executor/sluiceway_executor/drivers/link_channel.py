"""The stream to the first process of a container, over connections through its engine or cluster that may break.

Each connection is a command in the container (`pod_connect`), started by `exec`, which joins its standard streams with
the socket of the first process. When it breaks, another is made, and both sides continue (`pod_link`). Only the end of
the container ends the stream, and that is not decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.pod_link import ID_BYTES, SECRET_BYTES, Link

__all__ = ["Connection", "LinkChannel"]

log = structlog.get_logger(__name__)

_MAX_OUTGOING_BYTES = 1 << 20
_TICK_SECONDS = 0.5
_SILENCE_SECONDS = 20.0
_HELLO_SECONDS = 20.0
_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.1, 5.0
_WORKED_SECONDS = 5.0
_ACKNOWLEDGE_BYTES = 1 << 18


class Connection(Protocol):
    """A connection to the socket of the first process."""

    async def read(self) -> bytes:
        """Wait for data; empty: it has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Write. Raises `OSError` when it has ended."""
        ...

    async def close(self) -> None:
        """Close it. May be repeated."""
        ...


class LinkChannel:
    """A stream that is connected for as long as it is open; see `container_pod.Channel`."""

    def __init__(self, secret: bytes, connect: Callable[[], Awaitable[Connection]], *, what: str) -> None:
        """Take the secret of the pod (`SECRET_BYTES`), how to connect, and a name for the log."""
        self._link = Link(secret + secrets.token_bytes(ID_BYTES - SECRET_BYTES))
        self._connect = connect
        self._what = what
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue(maxsize=64)
        self._ended = asyncio.Event()
        self._to_send = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run(), name=f"link of {self._what}")

    def end(self) -> None:
        """End the stream, because the first process has ended. What has arrived can still be read."""
        self._ended.set()
        self._to_send.set()
        self._room.set()

    async def read(self) -> bytes:
        if not self._arrived.empty():
            return self._arrived.get_nowait()
        ended = asyncio.ensure_future(self._ended.wait())
        arrived = asyncio.ensure_future(self._arrived.get())
        try:
            await asyncio.wait({ended, arrived}, return_when=asyncio.FIRST_COMPLETED)
            if arrived.done():
                return arrived.result()
        finally:
            ended.cancel()
            arrived.cancel()
        return b"" if self._arrived.empty() else self._arrived.get_nowait()

    async def write(self, data: bytes) -> None:
        # Waits before the message, and never within it: a caller that is cancelled leaves no part of one.
        while len(self._link.outgoing) > _MAX_OUTGOING_BYTES and not self._ended.is_set():
            self._room.clear()
            await self._room.wait()
        if self._ended.is_set():
            raise OSError("the first process of the pod has ended")
        self._link.outgoing += data
        self._to_send.set()

    async def close(self) -> None:
        self.end()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # -- connections --------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pause = _MIN_PAUSE_SECONDS
        while not self._ended.is_set():
            begun = loop.time()
            try:
                await self._serve(await self._connect())
            except (SluicewayError, OSError, ValueError) as error:
                log.info("pod_connection_broken", pod=self._what, error=str(error))
            if loop.time() - begun > _WORKED_SECONDS:
                pause = _MIN_PAUSE_SECONDS
            with contextlib.suppress(TimeoutError):
                # Many break at a time, when the API server restarts.
                async with time_limit(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - no secret
                    await self._ended.wait()
            pause = min(_MAX_PAUSE_SECONDS, pause * 2)

    async def _serve(self, connection: Connection) -> None:
        """Use a connection until it breaks, or until the other side is silent for too long."""
        receiver = asyncio.create_task(self._receive(connection))
        sender = asyncio.create_task(self._send(connection))
        try:
            done, _ = await asyncio.wait({receiver, sender}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (receiver, sender):
                task.cancel()
            await asyncio.wait({receiver, sender})
            await connection.close()

    async def _receive(self, connection: Connection) -> None:
        while wire := await connection.read():
            data = self._link.take(wire)
            self._to_send.set()
            if len(self._link.outgoing) <= _MAX_OUTGOING_BYTES:
                self._room.set()
            if data:
                # When nobody reads, the connection is not read either, and the pod holds its output back.
                await self._arrived.put(data)

    async def _send(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        link = self._link
        await connection.write(link.hello())
        acknowledged_at = progress_at = loop.time()
        outgoing = len(link.outgoing)
        while not self._ended.is_set():
            now = loop.time()
            if len(link.outgoing) != outgoing or not link.outgoing:
                outgoing, progress_at = len(link.outgoing), now
            if now - progress_at > _SILENCE_SECONDS:
                raise OSError(f"the pod has acknowledged nothing for {_SILENCE_SECONDS:g} s")
            if not link.established and now - acknowledged_at > _HELLO_SECONDS:
                raise OSError("the pod did not say hello")
            if link.unreported() >= _ACKNOWLEDGE_BYTES or now - acknowledged_at >= _TICK_SECONDS:
                if frame := link.acknowledgement():
                    await connection.write(frame)
                if link.established:
                    acknowledged_at = now
            if frame := link.next_frame():
                await connection.write(frame)
                continue
            self._to_send.clear()
            with contextlib.suppress(TimeoutError):
                async with time_limit(_TICK_SECONDS):
                    await self._to_send.wait()
