"""The HTTP listener: uvicorn with our protocol, which leaves signals to the process."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput
from sluiceway_server.gateway.protocol import protocol_of
from sluiceway_server.gateway.settings import GatewaySettings

__all__ = ["HttpListener", "bind"]


def bind(address: str) -> socket.socket:
    """Bind a port, so that a busy one is reported before anything else starts.

    Args:
        address: `host:port` or `[ipv6]:port`; port 0 picks a free one. `fd:N` is a listening socket that this process
            inherited.

    Raises:
        InvalidInput: it is not an address, or the descriptor is not a listening socket.
        FailedPrecondition: reason `ADDRESS_IN_USE`: it cannot be bound.
    """
    if address.startswith("fd:"):
        return _inherited(address)
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


def _inherited(address: str) -> socket.socket:
    number = address.removeprefix("fd:")
    try:
        taken = socket.socket(fileno=int(number))
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{address!r} is not an inherited socket", reason="ADDRESS_INVALID") from error
    if taken.type != socket.SOCK_STREAM or not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        taken.detach()
        raise InvalidInput(f"{address!r} is not a listening socket", reason="ADDRESS_INVALID")
    taken.set_inheritable(False)
    taken.setblocking(False)
    return taken


class HttpListener:
    """Serves an application on a socket until `stop`."""

    def __init__(self, app: ASGIApp, taken: socket.socket, settings: GatewaySettings, *, grace_seconds: int) -> None:
        config = uvicorn.Config(
            app,
            http=protocol_of(settings),
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # A number of seconds; uvicorn's annotation asks for whole ones.
            timeout_keep_alive=settings.keep_alive_timeout.total_seconds(),  # type: ignore[arg-type]
            timeout_graceful_shutdown=grace_seconds,
        )
        self._socket = taken
        self._server = _Server(config)

    async def run(self) -> None:
        """Serve until `stop`, and then until all responses are sent or the grace period is over."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Accept no more requests."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process (`foundation.lifecycle`)."""
        yield
