"""The live servers: `ports.ServerPresence` with keys in etcd, on a lease of each server.

A server keeps `<prefix>/servers/<id>`, whose value says how the others call it (`Peer`). Renewals write nothing into
etcd's log, so an idle installation costs nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from sluiceway_common.foundation.errors import NotFound, SluicewayError
from sluiceway_server.kv.port import KeyValueStore, LeaseId
from sluiceway_server.logs.peers import Peer

_LISTED_SECONDS = 3.0
"""How long a list of servers is used."""


class ServerKeys:
    """Keeps the key of this server, and lists those of the others."""

    def __init__(
        self,
        kv: KeyValueStore,
        *,
        prefix: str,
        server_id: str,
        lease: timedelta,
        own: Peer,
        timeout: timedelta = timedelta(seconds=2),
    ) -> None:
        """Nothing is written yet.

        Args:
            kv: etcd.
            prefix: of all our keys in it.
            server_id: of this process; another one after each start.
            lease: how long the key of a server that died stays.
            own: how the others call this server.
            timeout: of one call to etcd.
        """
        self._kv = kv
        self._own = own
        self._listed: Mapping[str, Peer] = {}
        self._listed_until = -math.inf
        self._root = f"{prefix}/servers/"
        self._server_id = server_id
        self._span = lease
        self._timeout = timeout
        self._lease: LeaseId | None = None

    async def renew(self) -> None:
        if self._lease is not None:
            try:
                await self._kv.renew_lease(self._lease, timeout=self._timeout)
            except NotFound:
                self._lease = None
            else:
                return
        lease = await self._kv.grant_lease(self._span, timeout=self._timeout)
        await self._kv.put(self._root + self._server_id, self._own.encode(), lease=lease, timeout=self._timeout)
        self._lease = lease

    async def is_live(self, server_id: str) -> bool:
        stored, _ = await self._kv.get(self._root + server_id, timeout=self._timeout)
        return stored is not None

    async def peers(self) -> Mapping[str, Peer]:
        """Return the other servers that can be called, by id, as of a few seconds ago."""
        now = asyncio.get_running_loop().time()
        if now >= self._listed_until:
            # Before the call, so that others do not wait for it as well.
            self._listed_until = now + _LISTED_SECONDS
            keys, _ = await self._kv.list_prefix(self._root, timeout=self._timeout)
            peers = {key.key.removeprefix(self._root): Peer.decode(key.value) for key in keys}
            self._listed = {id_: peer for id_, peer in peers.items() if peer is not None and id_ != self._server_id}
        return self._listed

    async def leave(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            with suppress(SluicewayError):  # then it runs out
                await self._kv.revoke_lease(lease, timeout=self._timeout)
