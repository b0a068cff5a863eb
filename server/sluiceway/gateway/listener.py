"""The HTTP listener: uvicorn, made to answer in JSON below the application too, and to leave signals alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from sluiceway.foundation.errors import Exhausted, FailedPrecondition, InvalidInput, SluicewayError
from sluiceway.foundation.rpc.status import status_of
from sluiceway.gateway.errors import body_of, dumps
from sluiceway.gateway.settings import GatewaySettings

__all__ = ["HttpListener", "bind"]

_KEEP_ALIVE_SECONDS = 75
_LINGER_SECONDS = 2.0
_TOO_LARGE = 431
_BAD_REQUEST = 400


def bind(address: str) -> socket.socket:
    """Take a port, so that a busy one is told before anything else starts.

    Args:
        address: `host:port` or `[ipv6]:port`; port 0 picks a free one.

    Raises:
        InvalidInput: it is no address.
        FailedPrecondition: reason `ADDRESS_IN_USE`: it cannot be had.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdigit() or not int(port) < 65536:
        raise InvalidInput(f"not an address: {address!r}; write HOST:PORT", reason="ADDRESS_INVALID")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(where)
            taken.setblocking(False)
        except OSError:
            taken.close()
            raise
    except OSError as error:
        raise FailedPrecondition(
            f"cannot listen on {address}: {error.strerror or error}; choose another, or port 0 for any free one",
            reason="ADDRESS_IN_USE",
            subject=address,
        ) from error
    return taken


class HttpListener:
    """Serves an application on a socket until `stop`."""

    def __init__(self, app: ASGIApp, taken: socket.socket, settings: GatewaySettings, *, grace_seconds: int) -> None:
        config = uvicorn.Config(
            app,
            http=_protocol(settings),
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=grace_seconds,
            # What is complete at once is measured by the application; this is for what never ends.
            h11_max_incomplete_event_size=settings.max_header_bytes,
        )
        self._socket = taken
        self._server = _Server(config)

    async def run(self) -> None:
        """Serve. Returns after `stop`, when all answers are sent or the grace is over."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Take no more requests."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process (`foundation.lifecycle`)."""
        yield


def _protocol(settings: GatewaySettings) -> type[asyncio.Protocol]:
    class Protocol(_JsonProtocol):
        read_seconds = settings.read_timeout.total_seconds()
        max_header_bytes = settings.max_header_bytes

    return Protocol


class _JsonProtocol(H11Protocol):
    """uvicorn's, with our errors for what is no HTTP, and a limit of time for a request's headers."""

    read_seconds: float = 30.0
    max_header_bytes: int = 32 * 1024
    _header_timer: asyncio.TimerHandle | None = None
    _refused = False

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._refused:
            return
        if self._header_timer is None and not self._is_answering():
            self._header_timer = self.loop.call_later(self.read_seconds, self._too_slow, self.cycle)
        super().data_received(data)
        if self._is_answering():
            self._unset_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._unset_header_timer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Forget the timer of a request that was answered while its bytes were read."""
        self._unset_header_timer()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or too much of it; called by uvicorn while it handles h11's error."""
        hint = getattr(sys.exc_info()[1], "error_status_hint", _BAD_REQUEST)
        error: SluicewayError
        if hint == _TOO_LARGE:
            code = _TOO_LARGE
            error = Exhausted(
                f"the request's line and headers may have at most {self.max_header_bytes} bytes",
                reason="REQUEST_TOO_LARGE",
            )
        else:
            code = _BAD_REQUEST
            error = InvalidInput("this is not HTTP", reason="REQUEST_MALFORMED")
        body = dumps(body_of(status_of(error), code=code))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        events: list[Any] = [
            h11.Response(status_code=code, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ]
        try:
            for event in events:
                data: bytes | None = self.conn.send(event)
                self.transport.write(data or b"")
        except h11.LocalProtocolError:
            pass  # an answer was under way already
        # To close while the rest of the request is on its way would reset the connection, and the answer with it.
        self._refused = True
        self._unset_header_timer()
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def shutdown(self) -> None:
        """Called by uvicorn at the end."""
        if self._refused:
            self.transport.close()
        else:
            super().shutdown()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _too_slow(self, cycle: object) -> None:
        self._header_timer = None
        if self.cycle is cycle and not self.transport.is_closing():
            self.transport.close()

    def _unset_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
