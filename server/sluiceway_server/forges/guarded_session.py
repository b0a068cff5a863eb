"""The guard of outgoing HTTP calls: an address is checked when the connection to it is made, after DNS.

So a name cannot be resolved to one address for the check and to another for the connection (DNS rebinding).
"""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from sluiceway_common.foundation.version import VERSION
from sluiceway_server.forges.addresses import AddressPolicy

_PER_HOST = 20


class RefusedAddress(OSError):
    """An address that the policy refuses. An `OSError`, because aiohttp's connector passes only these on."""


def guarded_session(
    policy: AddressPolicy, *, connect_seconds: float, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """Open a session whose connections reach only addresses that a policy allows.

    Redirects are the caller's: each is a request of its own. The session keeps no cookies and uses no proxy.

    Args:
        policy: which addresses may be reached.
        connect_seconds: for a connection, with TLS.
        resolver: of names; None: that of the system.
    """
    connector = aiohttp.TCPConnector(
        resolver=_GuardedResolver(policy, resolver or aiohttp.ThreadedResolver()),
        socket_factory=lambda info: _guarded_socket(policy, info),
        limit_per_host=_PER_HOST,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_seconds),
        headers={"User-Agent": f"Sluiceway/{VERSION}", "Accept-Encoding": "gzip, deflate"},
        # A proxy of the environment would be the one to resolve names.
        trust_env=False,
    )


class _GuardedResolver(AbstractResolver):
    """Resolves names to those of their addresses that may be reached."""

    def __init__(self, policy: AddressPolicy, inner: AbstractResolver) -> None:
        self._policy = policy
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if self._policy.fault(result["host"]) is None]
        if found and not allowed:
            # Without the address: whoever sees the message need not be able to resolve internal names.
            raise RefusedAddress(f"{host} has no public address")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def _guarded_socket(policy: AddressPolicy, info: tuple[Any, ...]) -> socket.socket:
    """Create the socket for a connection to an address: the last check, also of a URL that has an address itself."""
    family, kind, protocol, _, address = info
    fault = policy.fault(str(address[0]))
    if fault is not None:
        raise RefusedAddress(f"{address[0]} {fault}")
    return socket.socket(family=family, type=kind, proto=protocol)
