"""A connection to a server: channel, token, and the position that makes a client read what it has written.

Every response of the server carries a `sluice-position`. The highest one goes out with every call, so that another
server waits until it has applied it (datamanager.md, "Read").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import grpc

from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput
from sluiceway_common.foundation.rpc.caller import POSITION_KEY
from sluiceway_common.foundation.rpc.status import error_of

__all__ = ["DEFAULT_PATIENCE", "DEFAULT_TIMEOUT", "Connection"]

DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_PATIENCE = timedelta(minutes=15)
_PAGE = 1000

P = ParamSpec("P")
Q = TypeVar("Q")
R = TypeVar("R")


class Connection:
    """A channel and what every call needs. Made by `sluiceway.client.connect`."""

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
        """Note a position."""
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
            # An error may depend on a recent write. Later reads must not be older.
            self._see_metadata(error.initial_metadata(), error.trailing_metadata())
            raise error_of(error) from error
        except asyncio.CancelledError:
            self._check_cancelled()
            raise
        self._see_metadata(await call.initial_metadata(), await call.trailing_metadata())
        return response

    async def list_all(self, method: Any, request: Any, items: str, *, limit: int | None = None) -> list[Any]:
        """Call a method that lists until its last page, or until there are `limit` items.

        Args:
            method: takes a page token and a page size.
            request: its request; the token and, with a limit, the size are set here.
            items: the field of the response that has the items of a page.
            limit: the largest number of items.

        Raises:
            SluicewayError: as `call`.
        """
        found: list[Any] = []
        while limit is None or len(found) < limit:
            if limit is not None:
                request.page_size = min(limit - len(found), _PAGE)
            response = await self.call(method, request)
            found.extend(getattr(response, items))
            request.page_token = response.next_page_token
            if not request.page_token:
                break
        return found

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


def _closed() -> FailedPrecondition:
    return FailedPrecondition("this connection is closed; connect again", reason="CONNECTION_CLOSED")
