"""One connection to a server: channel, token, and the position that makes one read what one wrote.

Every answer of the server carries a `sluice-position`; the highest that was seen goes out with every call, so that
another server waits until it has applied it (datamanager.md, "Read").
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import grpc

from sluiceway.api.config.v1 import version_service_pb2, version_service_pb2_grpc
from sluiceway.client.database import Database
from sluiceway.client.executors import Executors
from sluiceway.client.runs import Runs
from sluiceway.foundation.rpc.caller import POSITION_KEY
from sluiceway.foundation.rpc.channel import open_channel
from sluiceway.foundation.rpc.status import error_of

__all__ = ["Client", "Connection", "connect"]

DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_PATIENCE = timedelta(minutes=15)

Q = TypeVar("Q")
R = TypeVar("R")


class Connection:
    """A channel with what every call needs. Made by `connect`; closed with it."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        timeout: timedelta = DEFAULT_TIMEOUT,
        patience: timedelta = DEFAULT_PATIENCE,
    ) -> None:
        self.channel = channel
        self.timeout = timeout
        self.patience = patience
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
            # A refusal may rest on what was written just before; who reads on must not see less.
            self._see_metadata(error.initial_metadata(), error.trailing_metadata())
            raise error_of(error) from error
        self._see_metadata(await call.initial_metadata(), await call.trailing_metadata())
        return response

    async def stream(self, method: grpc.aio.UnaryStreamMultiCallable[Q, R], request: Q) -> AsyncGenerator[R]:
        """Make a call that answers with a stream. It has no deadline: it ends when the server or the caller ends it.

        Close the generator (`contextlib.aclosing`) where it may be left early: that ends the call at once.

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

    def _see_metadata(self, *sources: Any) -> None:
        for source in sources:
            for key, value in source or ():
                if key == POSITION_KEY:
                    self.see(value if isinstance(value, str) else value.decode())


class Client:
    """All of a server's face, by area: `runs`, `executors`, `database`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.runs = Runs(connection)
        self.executors = Executors(connection)
        self.database = Database(connection)

    async def version(self) -> str:
        """Ask the server for its version."""
        stub = version_service_pb2_grpc.VersionServiceStub(self.connection.channel)
        answer = await self.connection.call(stub.GetVersion, version_service_pb2.GetVersionRequest())
        return answer.version


@asynccontextmanager
async def connect(
    server: str,
    *,
    token: str | None = None,
    timeout: timedelta = DEFAULT_TIMEOUT,
    patience: timedelta = DEFAULT_PATIENCE,
) -> AsyncIterator[Client]:
    """Open a connection to a server's gRPC port.

    It is made lazily: a server that is away shows in the first call, as `Unavailable`.

    Args:
        server: `HOST:PORT`, or a gRPC target such as `dns:///sluice.example.org:443`.
        token: of a user; None for what is public.
        timeout: of each unary call.
        patience: how long a stream that broke tries to come back before it raises what broke it.
    """
    channel = open_channel(server, token=token)
    try:
        yield Client(Connection(channel, timeout=timeout, patience=patience))
    finally:
        await channel.close()
