"""Cookies of browsers: their names and attributes.

The name has the prefix `__Host-`, with which browsers take a cookie over HTTPS only, and no other host can set it. On
plain HTTP there is none, but on loopback, where browsers differ in whether they take `__Host-`: there the name has the
port in it, since ports share their cookies.
"""

from __future__ import annotations

import ipaddress
from typing import Final, Literal
from urllib.parse import urlsplit

from sluiceway_common.foundation.errors import PermissionDenied
from sluiceway_server.gateway.exchange import Exchange

_SECURE: Final = "__Host-"


def new_cookie_name(exchange: Exchange, base: str) -> str:
    """Return the name of a new cookie for the page that a request comes from; `base` is what it is for.

    Raises:
        PermissionDenied: `SESSION_NEEDS_HTTPS`.
    """
    origin = urlsplit(exchange.header("origin"))
    if origin.scheme == "https":
        return _SECURE + base
    names = cookie_names(exchange, base)
    if origin.scheme != "http" or len(names) == 1 or not _is_loopback(origin.hostname or ""):
        raise PermissionDenied(
            "a browser logs in over https, or on the gateway's own machine; put a proxy with TLS in front of it",
            reason="SESSION_NEEDS_HTTPS",
        )
    return names[0]


def cookie_names(exchange: Exchange, base: str) -> tuple[str, ...]:
    """Return the names that a cookie can have at the host of a request, that of a new one on loopback first."""
    try:
        host = urlsplit(f"//{exchange.header('host')}")
        port = host.port or 80
    except ValueError:
        return (_SECURE + base,)
    return (f"{base}-{port}", _SECURE + base) if _is_loopback(host.hostname or "") else (_SECURE + base,)


def cookie(name: str, value: str, max_age: int, *, same_site: Literal["Strict", "Lax"] = "Strict") -> str:
    """Return the value of `set-cookie`; with an age of 0, one that deletes the cookie."""
    secure = "; Secure" if name.startswith(_SECURE) else ""
    return f"{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite={same_site}{secure}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
