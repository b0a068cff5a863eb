"""The ports of child processes, which the parent keeps bound for as long as it lives.

Between the death of a child and its restart its port would be free: any local user could listen on it and receive
tokens. So the parent listens and passes the socket to the child, or, for a child that has to bind by itself, keeps the
port bound with a socket that does not listen: with SO_REUSEPORT, the kernel lets only the same user bind it too.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class HeldAddress:
    """An address, `HOST:PORT` with the real port, and the socket that holds it."""

    text: str
    socket: socket.socket

    def close(self) -> None:
        """Release the port. May be called twice."""
        self.socket.close()


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`; an empty host is 127.0.0.1.

    Raises:
        InvalidInput: it is not of that form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise InvalidInput(f'"{address}" is not HOST:PORT')
    return host.strip("[]") or "127.0.0.1", int(port)


def listen_at(address: str, option: str) -> HeldAddress:
    """Listen at an address, for a child that inherits the socket. Connections wait while there is no child.

    Args:
        address: `HOST:PORT`; port 0 picks one.
        option: the option that named it, for the message.

    Raises:
        InvalidInput: it is not an address.
        FailedPrecondition: it cannot be used (`ADDRESS_IN_USE`).
    """
    held = _bind(address, option)
    held.socket.listen(_BACKLOG)
    return held


def hold_address(address: str, option: str) -> HeldAddress:
    """Hold an address for a child of the same user that binds it with SO_REUSEPORT, as gRPC does.

    Arguments and errors: as `listen_at`.
    """
    # Without SO_REUSEPORT first: with it, a port that another process of this user serves would seem to be free.
    probe = _bind(address, option)
    probe.close()
    return _bind(probe.text, option, reuse=True)


def _bind(address: str, option: str, *, reuse: bool = False) -> HeldAddress:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Not both: with SO_REUSEADDR, anybody else who sets it may bind a port that nobody listens on.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if reuse else socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise FailedPrecondition(
            f"{option} {address} cannot be used: {error.strerror or error}", reason="ADDRESS_IN_USE", subject=address
        ) from error
    chosen = taken.getsockname()[1]
    return HeldAddress(f"[{host}]:{chosen}" if family == socket.AF_INET6 else f"{host}:{chosen}", taken)
