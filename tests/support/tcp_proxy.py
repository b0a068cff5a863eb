"""A TCP proxy between a client and a server that breaks the connection in chosen ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["TcpProxy", "tcp_proxy"]


class TcpProxy:
    """Forwards bytes both ways until a test changes that.

    Attributes:
        requests_seen: bytes that went to the server so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = {True: asyncio.Event(), False: asyncio.Event()}
        for flowing in self._flowing.values():
            flowing.set()
        self.requests_seen = 0

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def mute_answers(self) -> None:
        """Hold back what the server sends until unmuted."""
        self._flowing[False].clear()

    def unmute_answers(self) -> None:
        self._flowing[False].set()

    def mute_requests(self) -> None:
        """Discard what clients send."""
        self._flowing[True].clear()

    def connected(self) -> object:
        """Handle a new connection; the result is passed to `passes`."""
        return None

    def passes(self, connection: object, data: bytes, *, is_request: bool) -> None:
        """Handle bytes before they are forwarded."""

    def cut(self) -> None:
        """Reset every connection; new ones are accepted."""
        for writer in self._writers:
            writer.transport.abort()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(client_writer)
        connection = self.connected()
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            self._writers.add(server_writer)
            with contextlib.suppress(OSError):
                await asyncio.gather(
                    self._copy(connection, client_reader, server_writer, is_request=True),
                    self._copy(connection, server_reader, client_writer, is_request=False),
                )
            server_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            return
        finally:
            client_writer.transport.abort()
            self._tasks.discard(task)

    async def _copy(
        self, connection: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_request: bool
    ) -> None:
        while data := await reader.read(65536):
            if is_request:
                self.requests_seen += len(data)
            await self._flowing[is_request].wait()
            self.passes(connection, data, is_request=is_request)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def tcp_proxy(endpoint: str) -> AsyncIterator[TcpProxy]:
    """Run a proxy in front of `http://host:port`."""
    host, port = endpoint.removeprefix("http://").rsplit(":", 1)
    proxy = TcpProxy(host, int(port))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
