"""Epoch objects: where each epoch of the log begins, and which entry it continues from.

`epoch/<n>` is put, if absent, before anything else of epoch n. It ties the database to one etcd cluster, and names the
last entry of an earlier epoch that counts. All of them together are the `Lineage`. An epoch that no later one continues
from was begun by a recovery that crashed or was overtaken, and has no meaning.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import structlog
from google.protobuf.message import DecodeError

from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway_common.foundation.errors import DataLoss
from sluiceway_server.datamanager.log.entries import from_sequence_proto
from sluiceway_server.datamanager.log.lineage import Lineage
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.objectstorage.layout import Folder
from sluiceway_server.objectstorage.port import ObjectStorage

log = structlog.get_logger(__name__)

_NAME = re.compile("[0-9a-f]{8}")
_MAGIC = b"SLEPO\x00\x00\x01"


def accepted_of(epoch: Epoch) -> LogSequence | None:
    """Return the entry of an earlier epoch from which an epoch continues; None: it began empty."""
    return from_sequence_proto(epoch.accepted) if epoch.HasField("accepted") else None


class Epochs:
    """The epoch objects of one database."""

    def __init__(self, storage: ObjectStorage, *, prefix: str) -> None:
        self._storage = storage
        self._folder = f"{prefix}/{Folder.EPOCH}/"
        self.strange: frozenset[str] = frozenset()  # keys in the folder that are not names of epoch objects

    async def all(self) -> list[Epoch]:
        """Read all epoch objects, oldest first; one for each recovery. Raises `DataLoss`."""
        found = []
        async for info in self._storage.list(self._folder):
            name = info.key.removeprefix(self._folder)
            if not _NAME.fullmatch(name):
                log.warning("no_epoch_object", key=info.key, do="move it away; it is ignored")
                self.strange |= {info.key}
                continue
            epoch = _decode(info.key, await self._storage.get(info.key))
            if epoch.number != int(name, 16):
                raise _damaged(info.key, f"it is the object of epoch {epoch.number}")
            found.append(epoch)
        return found

    async def newest(self) -> Epoch | None:
        """Read the newest epoch object, which may have no meaning; None when there is none."""
        found = await self.all()
        return found[-1] if found else None

    async def lineage(self, present: int) -> Lineage:
        """Return the history of the present epoch. Raises `DataLoss` if an epoch object is missing or damaged."""
        return self.lineage_of(await self.all(), present)

    def lineage_of(self, epochs: Sequence[Epoch], present: int) -> Lineage:
        """Return the history of the present epoch, with epoch objects that were read already."""
        try:
            return Lineage.of({epoch.number: accepted_of(epoch) for epoch in epochs}, present)
        except KeyError as cause:
            raise DataLoss(
                f"the epoch object {self.key(cause.args[0])} is missing: without it the history of this database is not"
                " known; restore it from a copy of the object storage",
                reason="EPOCH_MISSING",
            ) from cause
        except ValueError as cause:
            raise DataLoss(f"the epoch objects in {self._folder} make no history: {cause}") from cause

    def key(self, number: int) -> str:
        return f"{self._folder}{number:08x}"

    async def put(self, epoch: Epoch) -> bool:
        """Store an epoch object unless there is one of this number; return whether it was stored."""
        content = epoch.SerializeToString()
        body = b"".join((_MAGIC, hashlib.sha256(content).digest(), content))
        return await self._storage.put_if_absent(self.key(epoch.number), body)


def _decode(key: str, body: bytes) -> Epoch:
    start = len(_MAGIC) + 32
    if body[: len(_MAGIC)] != _MAGIC:
        raise _damaged(key, "it does not begin as an epoch object that this version can read")
    if hashlib.sha256(body[start:]).digest() != body[len(_MAGIC) : start]:
        raise _damaged(key, "its checksum does not hold")
    try:
        return Epoch.FromString(body[start:])
    except DecodeError as cause:
        raise _damaged(key, "this version cannot read it") from cause


def _damaged(key: str, why: str) -> DataLoss:
    return DataLoss(
        f"the epoch object {key} is damaged: {why}. Restore it from a copy of the object storage",
        reason="EPOCH_DAMAGED",
    )
