"""The address of a server as users write it, and a connection that does not send a token in clear.

`HOST:PORT` is a plain connection, `https://HOST[:PORT]` one with TLS; the targets of gRPC (`dns:///HOST:PORT`,
`ipv4:`, `ipv6:`, `unix:`) are passed on as they are.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

import grpc

from sluiceway_common.foundation.errors import InvalidInput, Violation

_HTTPS_PORT = 443
_MAX_PORT = 65_535
# https://github.com/grpc/grpc/blob/master/doc/naming.md
_SCHEME = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|passthrough|xds):(?!\d+$)(.*)")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/@?#\[\]]+)(?::(?P<port>[0-9]{1,6}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """An address to connect to.

    Attributes:
        target: for gRPC.
        tls: whether the connection has TLS.
        is_local: whether nothing that is sent leaves this machine.
    """

    target: str
    tls: bool
    is_local: bool


def parse_address(server: str, *, tls: bool = False) -> Address:
    """Read an address.

    Args:
        server: as a person wrote it.
        tls: whether TLS was asked for beside it.

    Raises:
        InvalidInput: it is not an address.
    """
    text = server.strip()
    found = _SCHEME.fullmatch(text)
    if found is not None:
        return Address(text, tls, _is_local_target(found[1], found[2]))
    if text.startswith("http://"):
        raise _refused(f"{text!r} is the URL of a gateway; give the gRPC address of the server, HOST:PORT")
    secure = tls or text.startswith("https://")
    parsed = _HOST_PORT.fullmatch(text.removeprefix("https://").removesuffix("/" if "://" in text else ""))
    if parsed is None:
        raise _refused(f"{text!r} is not an address; give HOST:PORT or https://HOST[:PORT]")
    if parsed["port"] is None and not secure:
        raise _refused(f"{text!r} has no port; give HOST:PORT")
    port = int(parsed["port"] or _HTTPS_PORT)
    if not 1 <= port <= _MAX_PORT:
        raise _refused(f"{text!r} has no valid port; ports are from 1 to {_MAX_PORT}")
    return Address(f"{parsed['host']}:{port}", secure, _is_loopback(parsed["host"]))


def secure_target(
    server: str,
    *,
    tls: bool = False,
    ca_file: str | Path | None = None,
    insecure: bool = False,
    sends_token: bool = True,
    otherwise: str = "--insecure",
) -> tuple[str, grpc.ChannelCredentials | None]:
    """Return the target of a channel, and its credentials; None: a plain connection.

    Args:
        server: as a person wrote it.
        tls: use TLS, and trust the authorities that gRPC trusts.
        ca_file: use TLS, and trust the authorities in this PEM file instead.
        insecure: a token may be sent over a plain connection to another machine.
        sends_token: whether tokens are sent at all.
        otherwise: what sets `insecure`, for the message.

    Raises:
        InvalidInput: it is not an address, or the file has no certificate; or, with reason `TOKEN_IN_CLEAR`, tokens
            would be sent in clear to another machine.
    """
    where = parse_address(server, tls=tls or ca_file is not None)
    if sends_token and not (where.tls or where.is_local or insecure):
        raise InvalidInput(
            f"the token would be sent in clear to {where.target}: use https://HOST:PORT, or {otherwise} if you trust"
            " the network",
            reason="TOKEN_IN_CLEAR",
        )
    return where.target, _credentials(ca_file) if where.tls else None


def _credentials(ca_file: str | Path | None) -> grpc.ChannelCredentials:
    if ca_file is None:
        return grpc.ssl_channel_credentials()
    try:
        text = Path(ca_file).read_bytes()
    except OSError as error:
        raise InvalidInput([Violation("ca_file", f"{ca_file} cannot be read: {error.strerror}")]) from error
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise InvalidInput([Violation("ca_file", f"{ca_file} has no certificate in PEM form")])
    return grpc.ssl_channel_credentials(text)


def _is_local_target(scheme: str, rest: str) -> bool:
    if scheme.startswith("unix"):
        return True
    if scheme in {"dns", "ipv4", "ipv6", "passthrough"}:
        endpoints = rest.rpartition("/")[2].split(",")
        parsed = [_HOST_PORT.fullmatch(endpoint) for endpoint in endpoints]
        return all(match is not None and _is_loopback(match["host"]) for match in parsed)
    return False


def _is_loopback(host: str) -> bool:
    name = host.strip("[]").lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        # RFC 6761, section 6.3.
        return name == "localhost" or name.endswith(".localhost")
    # Whoever connects to 0.0.0.0 or [::] reaches this machine.
    return address.is_loopback or address.is_unspecified


def _refused(message: str) -> InvalidInput:
    return InvalidInput([Violation("server", message)], message=message)
