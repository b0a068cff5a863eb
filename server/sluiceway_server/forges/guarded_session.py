"""The guard of outgoing HTTP calls: an address is checked when the connection to it is made, after DNS.

So a name cannot be resolved to one address for the check and to another for the connection (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from sluiceway_common.foundation.version import VERSION
from sluiceway_server.forges.addresses import AddressPolicy

_PER_HOST = 20
_LOOKUPS = 32
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


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
        resolver=_GuardedResolver(policy, resolver or _Resolver()),
        socket_factory=lambda info: _guarded_socket(policy, info),
        # No limit of all connections: hosts that hang would take those of others. Callers limit what they begin.
        limit=0,
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


class _Resolver(AbstractResolver):
    """Resolves names in threads of its own: a name server that hangs takes none from other work of the process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        find = partial(
            socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
        infos = await asyncio.get_running_loop().run_in_executor(self._threads, find)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=of_family, proto=protocol, flags=_NUMERIC
            )
            for of_family, _, protocol, _, address in infos
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


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
