"""A connection to a server: channel, token, and the position that makes a client read what it has written.

Every response of the server carries a `sluice-position`. The highest one goes out with every call, so that another
server waits until it has applied it (datamanager.md, "Read").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import grpc

from sluiceway.api.config.v1 import version_service_pb2, version_service_pb2_grpc
from sluiceway.client.addresses import Address, parse_address
from sluiceway.client.configs import Configs
from sluiceway.client.database import Database
from sluiceway.client.executors import Executors
from sluiceway.client.runs import Runs
from sluiceway.client.tokens import Tokens
from sluiceway.foundation.errors import FailedPrecondition, InvalidInput, Violation
from sluiceway.foundation.rpc.caller import POSITION_KEY
from sluiceway.foundation.rpc.channel import open_channel
from sluiceway.foundation.rpc.status import error_of

__all__ = ["Client", "Connection", "Duration", "connect"]

DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_PATIENCE = timedelta(minutes=15)

P = ParamSpec("P")
Q = TypeVar("Q")
R = TypeVar("R")

Duration = timedelta | float
"""A duration; a number is seconds."""


class Connection:
    """A channel and what every call needs. Made by `connect`."""

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
        self._closed = False

    @property
    def position(self) -> str:
        """The highest position seen; empty before the first response that carries one."""
        return self._position

    def see(self, position: str) -> None:
        """Take note of a position."""
        # Positions are printed so that string order is their order.
        self._position = max(self._position, position)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call."""
        return ((POSITION_KEY, self._position),) if self._position else ()

    @staticmethod
    def request(make: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a request message.

        Raises:
            InvalidInput: a value does not fit its field.
        """
        try:
            return make(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"the request cannot be made: {error}") from error

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q, *, timeout: timedelta | None = None
    ) -> R:
        """Make a unary call.

        Raises:
            SluicewayError: the error of the server, with all of its details; or, with reason `CONNECTION_CLOSED`,
                `FailedPrecondition`.
        """
        self._check_open()
        seconds = (timeout or self.timeout).total_seconds()
        call = method(request, timeout=seconds, metadata=self.metadata())
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            # A refusal may depend on what was written just before. Later reads must not see less.
            self._see_metadata(error.initial_metadata(), error.trailing_metadata())
            raise error_of(error) from error
        except asyncio.CancelledError:
            self._check_cancelled()
            raise
        self._see_metadata(await call.initial_metadata(), await call.trailing_metadata())
        return response

    async def stream(self, method: grpc.aio.UnaryStreamMultiCallable[Q, R], request: Q) -> AsyncGenerator[R]:
        """Make a call whose response is a stream. It has no deadline.

        Close the generator (`contextlib.aclosing`) where it may be left early: that ends the call at once.

        Raises:
            SluicewayError: as `call`.
        """
        self._check_open()
        call = method(request, metadata=self.metadata())
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        except asyncio.CancelledError:
            self._check_cancelled()
            raise
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel. Calls that are in progress fail with `CONNECTION_CLOSED`. May be called twice."""
        self._closed = True
        await self.channel.close()

    def _check_open(self) -> None:
        if self._closed:
            raise _closed()

    def _check_cancelled(self) -> None:
        """Raise if a call was cancelled by `close`, and not by the task that waits for it."""
        task = asyncio.current_task()
        if self._closed and (task is None or not task.cancelling()):
            raise _closed() from None

    def _see_metadata(self, *sources: Any) -> None:
        for source in sources:
            for key, value in source or ():
                if key == POSITION_KEY:
                    self.see(value if isinstance(value, str) else value.decode())


class Client:
    """The API of a server, by area.

    Attributes:
        runs: runs, their tasks and logs.
        executors: executors and their groups.
        configs: run configurations.
        database: the database, for operators.
        tokens: the tokens of the installation, for operators.
        connection: the connection that all of them use.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.runs = Runs(connection)
        self.executors = Executors(connection)
        self.configs = Configs(connection)
        self.database = Database(connection)
        self.tokens = Tokens(connection)

    async def version(self) -> str:
        """Return the version of the server."""
        stub = version_service_pb2_grpc.VersionServiceStub(self.connection.channel)
        answer = await self.connection.call(stub.GetVersion, version_service_pb2.GetVersionRequest())
        return answer.version


@asynccontextmanager
async def connect(
    server: str,
    *,
    token: str | None = None,
    tls: bool = False,
    ca_file: str | Path | None = None,
    insecure: bool = False,
    timeout: Duration = DEFAULT_TIMEOUT,
    patience: Duration = DEFAULT_PATIENCE,
) -> AsyncIterator[Client]:
    """Connect to the gRPC port of a server.

    The connection is made by the first call: that one raises `Unavailable` if the server cannot be reached.

    Args:
        server: `HOST:PORT`; `https://HOST[:PORT]`, which has TLS and 443 as its default port; or a target of gRPC, such
            as `dns:///sluice.example.org:7070` or `unix:/run/sluice.sock`.
        token: of a user; spaces and line breaks around it are ignored. None: only public methods can be called.
        tls: use TLS, and trust the authorities that gRPC trusts.
        ca_file: use TLS, and trust the authorities in this PEM file instead.
        insecure: send the token over a plain connection to another machine.
        timeout: of each unary call.
        patience: how long a stream that broke tries to resume before it raises the error.

    Raises:
        InvalidInput: an argument is invalid; or, with reason `TOKEN_IN_CLEAR`, the token would be sent in clear to
            another machine.
    """
    where = parse_address(server, tls=tls or ca_file is not None)
    known = None if token is None else _checked_token(token)
    if known is not None and not (where.tls or where.is_local or insecure):
        raise _in_clear(where)
    connection = Connection(
        open_channel(where.target, token=known, tls=_credentials(ca_file) if where.tls else None),
        timeout=_checked_duration("timeout", timeout, at_least=timedelta(milliseconds=1)),
        patience=_checked_duration("patience", patience, at_least=timedelta(0)),
    )
    try:
        yield Client(connection)
    finally:
        await connection.close()


def _closed() -> FailedPrecondition:
    return FailedPrecondition("this connection is closed; connect again", reason="CONNECTION_CLOSED")


def _checked_token(token: str) -> str:
    text = token.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        message = "it is empty, or has characters that no token has; copy it again"
        raise InvalidInput([Violation("token", message)])
    return text


def _checked_duration(name: str, value: Duration, *, at_least: timedelta) -> timedelta:
    try:
        duration = value if isinstance(value, timedelta) else timedelta(seconds=value)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"it must be a timedelta, or a number of seconds, not {value!r}"
        raise InvalidInput([Violation(name, message)]) from error
    if duration < at_least:
        raise InvalidInput([Violation(name, f"it must be at least {at_least.total_seconds():g} s, not {value!r}")])
    return duration


def _credentials(ca_file: str | Path | None) -> grpc.ChannelCredentials:
    if ca_file is None:
        return grpc.ssl_channel_credentials()
    try:
        text = Path(ca_file).read_bytes()
    except OSError as error:
        raise InvalidInput([Violation("ca_file", f"{ca_file} cannot be read: {error.strerror}")]) from error
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise InvalidInput([Violation("ca_file", f"{ca_file} has no certificate in PEM")])
    return grpc.ssl_channel_credentials(text)


def _in_clear(where: Address) -> InvalidInput:
    return InvalidInput(
        f"the token would be sent in clear to {where.target}: use https:// or tls=True, "
        "or insecure=True if you trust the network",
        reason="TOKEN_IN_CLEAR",
    )
