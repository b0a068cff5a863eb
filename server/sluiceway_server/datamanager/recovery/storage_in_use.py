"""Detects servers that use an object storage, with whatever etcd.

A recovery with a mistyped, empty etcd would fork the database. etcd cannot warn of that, and an idle database writes
nothing into the storage. So a recovery first puts a *probe*, `in-use/probe`. Each server reads it every few seconds,
makes sure that its own etcd still has the database, and puts a *reply*, `in-use/reply`, with its name. Both objects are
overwritten by the next, so there are never more than two (decision 0215).

Of several probes at once the last one counts; any new reply is one to all of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sluiceway_common.foundation.errors import NotFound
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.objectstorage.port import ObjectStorage


@dataclass(frozen=True, slots=True)
class Reply:
    """A server that uses the storage.

    Attributes:
        probe: the id of the probe that it replies to.
        server: its id.
        etcd: its endpoints, as configured.
        head: the sequence of the newest entry in that etcd.
        digest: of that entry, in hex.
    """

    probe: str
    server: str
    etcd: str
    head: LogSequence
    digest: str

    def __str__(self) -> str:
        return f"{self.server} works on it with etcd at {self.etcd}, where the log ends at {self.head}"

    def encode(self) -> bytes:
        return json.dumps({**asdict(self), "head": str(self.head)}).encode()

    @staticmethod
    def parse(raw: bytes) -> Reply | None:
        """Decode a stored reply; return None if this version cannot."""
        try:
            found = json.loads(raw)
            return Reply(
                str(found["probe"]),
                str(found["server"]),
                str(found["etcd"]),
                LogSequence.parse(found["head"]),
                str(found["digest"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


class InUse:
    """The probe and the reply of one database."""

    def __init__(self, storage: ObjectStorage, *, prefix: str) -> None:
        self._storage = storage
        self._probe = f"{prefix}/{Folder.IN_USE}/probe"
        self._reply = f"{prefix}/{Folder.IN_USE}/reply"

    async def probe(self, id_: str) -> None:
        """Put a probe; `id_` must be another one each time."""
        await self._storage.put(self._probe, id_.encode())

    async def probed(self) -> str:
        """Return the id of the newest probe; empty if there never was one."""
        return (await self._read(self._probe)).decode(errors="replace")

    async def reply(self, reply: Reply) -> None:
        await self._storage.put(self._reply, reply.encode())

    async def replied(self) -> bytes:
        """Return the stored bytes of the newest reply (see `Reply.parse`); empty if there never was one."""
        return await self._read(self._reply)

    async def _read(self, key: str) -> bytes:
        try:
            return await self._storage.get(key)
        except NotFound:
            return b""
