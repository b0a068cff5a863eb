"""One connection to a server: channel, token, and the position that makes one read what one wrote.

Every answer of the server carries a `sluice-position`; the highest that was seen goes out with every call, so that
another server waits until it has applied it (datamanager.md, "Read").
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import grpc

from sluiceway.api.config.v1 import version_service_pb2, version_service_pb2_grpc
from sluiceway.client.executors import Executors
from sluiceway.client.runs import Runs
from sluiceway.foundation.rpc.channel import open_channel
from sluiceway.foundation.rpc.status import error_of

__all__ = ["Client", "Connection", "connect"]

POSITION_KEY = "sluice-position"
DEFAULT_TIMEOUT = timedelta(seconds=30)

Q = TypeVar("Q")
R = TypeVar("R")


class Connection:
    """A channel with what every call needs. Made by `connect`; closed with it."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout: timedelta = DEFAULT_TIMEOUT) -> None:
        self.channel = channel
        self.timeout = timeout
        self._position = ""

    @property
    def position(self) -> str:
        """The highest position seen; empty before the first answer that carries one."""
        return self._position

    def see(self, position: str) -> None:
        """Take note of a position."""
        # Positions are printed so that string order is their order.
        self._position = max(self._position, position)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes out with a call."""
        return ((POSITION_KEY, self._position),) if self._position else ()

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q, *, timeout: timedelta | None = None
    ) -> R:
        """Make a unary call.

        Raises:
            SluicewayError: what the server answered, nothing lost.
        """
        seconds = (timeout or self.timeout).total_seconds()
        call = method(request, timeout=seconds, metadata=self.metadata())
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        await self._see_metadata(call)
        return response

    async def stream(self, method: grpc.aio.UnaryStreamMultiCallable[Q, R], request: Q) -> AsyncIterator[R]:
        """Make a call that answers with a stream. It has no deadline: it ends when the server or the caller ends it.

        Raises:
            SluicewayError: what ended it, when it was not its end.
        """
        call = method(request, metadata=self.metadata())
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        finally:
            call.cancel()

    async def _see_metadata(self, call: Any) -> None:
        for source in (call.initial_metadata, call.trailing_metadata):
            for key, value in await source() or ():
                if key == POSITION_KEY:
                    self.see(value if isinstance(value, str) else value.decode())


class Client:
    """All of a server's face, by area: `runs`, `executors`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.runs = Runs(connection)
        self.executors = Executors(connection)

    async def version(self) -> str:
        """Ask the server for its version."""
        stub = version_service_pb2_grpc.VersionServiceStub(self.connection.channel)
        answer = await self.connection.call(stub.GetVersion, version_service_pb2.GetVersionRequest())
        return answer.version


@asynccontextmanager
async def connect(
    server: str, *, token: str | None = None, timeout: timedelta = DEFAULT_TIMEOUT
) -> AsyncIterator[Client]:
    """Open a connection to a server's gRPC port.

    It is made lazily: a server that is away shows in the first call, as `Unavailable`.

    Args:
        server: `HOST:PORT`, or a gRPC target such as `dns:///sluice.example.org:443`.
        token: of a user; None for what is public.
        timeout: of each unary call.
    """
    channel = open_channel(server, token=token)
    try:
        yield Client(Connection(channel, timeout=timeout))
    finally:
        await channel.close()
