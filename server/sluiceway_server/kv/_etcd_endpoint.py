"""Where an etcd member listens: a host and port, with or without TLS, or a unix socket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from sluiceway_common.foundation.errors import InvalidInput

_FORMS = "http://HOST:PORT, https://HOST:PORT or unix:///PATH"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of one etcd member.

    Attributes:
        address: `host:port`, or `unix:///path`; for messages, and for gRPC unless `socket` is set.
        is_secure: whether it is spoken to by TLS.
        socket: the unix socket, an absolute path; None: it listens on a port.
    """

    address: str
    is_secure: bool = False
    socket: Path | None = None


def parse_endpoint(text: str) -> Endpoint:
    """Read `http://host:port`, `https://host:port`, `host:port` or `unix:///path` (percent-encoded, as in any URL).

    Raises:
        InvalidInput: it has none of these forms. The message does not repeat a possible password.
    """
    if text.startswith("unix:"):
        return _parse_unix(text)
    if "@" in text:
        raise InvalidInput(
            "an etcd endpoint takes no user and no password; write http://HOST:PORT or https://HOST:PORT, and give the"
            " user with --etcd-user and the password with --etcd-password-file"
        )
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    plain = not (parts.path.strip("/") or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None or not plain:
        raise InvalidInput(f'"{text}" is not an etcd endpoint; write {_FORMS}')
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Endpoint(f"{host}:{port}", is_secure=parts.scheme == "https")


def unix_endpoint(socket: Path) -> str:
    """Write the endpoint of a unix socket, given by an absolute path; commas, which separate endpoints, are encoded."""
    return f"unix://{quote(str(socket))}"


def _parse_unix(text: str) -> Endpoint:
    parts = urlsplit(text)
    path = Path(unquote(parts.path))
    extra = parts.netloc or parts.query or parts.fragment
    if extra or "\0" in str(path) or not path.is_absolute() or not path.name:
        raise InvalidInput(f'"{text}" is not an etcd endpoint; write {_FORMS}, an absolute path')
    return Endpoint(unix_endpoint(path), socket=path)
