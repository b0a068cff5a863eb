"""Epoch objects, and what etcd and object storage must agree on before a server may start.

`epoch/<n>` is put, if absent, when epoch n begins: it ties the database to one etcd cluster. The first start makes
`epoch/<1>`, then the head in etcd; a crash in between starts over. Anything else that does not fit together stops the
start with what was found, because a mistyped endpoint must not fork the database (datamanager.md, "Recovery").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from google.protobuf.message import DecodeError

from sluiceway.datamanager.entries import GENESIS_DIGEST, from_micros, from_sequence_proto, micros, sequence_proto
from sluiceway.datamanager.lineage import Lineage
from sluiceway.datamanager.log import FlushMark, HeadMark, Log
from sluiceway.datamanager.model import LogSequence
from sluiceway.datamanager.segments import Segment, SegmentStore
from sluiceway.foundation.errors import DataLoss, FailedPrecondition
from sluiceway.objectstorage.port import ObjectStorage
from sluiceway.records.log.v1 import log_pb2

__all__ = ["EpochInfo", "Epochs", "Foundation"]

log = structlog.get_logger(__name__)

_NAME = re.compile("[0-9a-f]{8}")
_MAGIC = b"SLEPO\x00\x00\x01"
_FIRST = 1


@dataclass(frozen=True, slots=True)
class EpochInfo:
    """What an epoch object says.

    Attributes:
        number: from 1.
        cluster_id: of the etcd that holds it.
        writer: the server that began it.
        began: when.
        database_id: made once, and kept by later epochs.
        accepted: the last entry that it goes on from, of an earlier epoch; None: it began with nothing.
        accepted_digest: of that entry.
        cause: why it was begun, for people.
    """

    number: int
    cluster_id: int
    writer: str
    began: datetime
    database_id: str
    accepted: LogSequence | None = None
    accepted_digest: bytes = GENESIS_DIGEST
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Foundation:
    """What a server starts from."""

    epoch: EpochInfo
    lineage: Lineage
    head: HeadMark
    flushed: FlushMark


class Epochs:
    """The epoch objects of one database."""

    def __init__(self, storage: ObjectStorage, *, prefix: str) -> None:
        self._storage = storage
        self._folder = f"{prefix}/epoch/"

    async def all(self) -> list[EpochInfo]:
        """Read all epoch objects, oldest first. There is one for each recovery, so they are few.

        Raises:
            DataLoss: one is damaged.
        """
        found = []
        async for info in self._storage.list(self._folder):
            name = info.key.removeprefix(self._folder)
            if not _NAME.fullmatch(name):
                log.warning("no_epoch_object", key=info.key, do="move it away; it is ignored")
                continue
            epoch = _decode(info.key, await self._storage.get(info.key))
            if epoch.number != int(name, 16):
                raise _damaged(info.key, f"it is the object of epoch {epoch.number}")
            found.append(epoch)
        return found

    async def newest(self) -> EpochInfo | None:
        """Read the epoch object with the highest number; None when there is none. It may be one that never was."""
        found = await self.all()
        return found[-1] if found else None

    async def lineage(self, present: int) -> Lineage:
        """Find the history of the epoch that etcd's head is in.

        Raises:
            DataLoss: an epoch object of the history is missing or damaged.
        """
        return self.lineage_of(await self.all(), present)

    def lineage_of(self, epochs: Sequence[EpochInfo], present: int) -> Lineage:
        """Do what `lineage` does, with epoch objects that were read already."""
        try:
            return Lineage.of({epoch.number: epoch.accepted for epoch in epochs}, present)
        except KeyError as cause:
            raise DataLoss(
                f"the epoch object {self.key(cause.args[0])} is missing: without it nobody can tell which entries are"
                " the history of this database; restore it from a copy of the object storage",
                reason="EPOCH_MISSING",
            ) from cause
        except ValueError as cause:
            raise DataLoss(f"the epoch objects in {self._folder} make no history: {cause}") from cause

    def key(self, number: int) -> str:
        """The key of an epoch object."""
        return f"{self._folder}{number:08x}"

    async def put(self, info: EpochInfo) -> bool:
        """Store an epoch object unless there is one of this number."""
        content = log_pb2.Epoch(
            number=info.number,
            accepted=None if info.accepted is None else sequence_proto(info.accepted),
            accepted_digest=info.accepted_digest,
            cluster_id=info.cluster_id,
            writer=info.writer,
            time_us=micros(info.began),
            database_id=info.database_id,
            cause=info.cause,
        ).SerializeToString()
        body = b"".join((_MAGIC, hashlib.sha256(content).digest(), content))
        return await self._storage.put_if_absent(self.key(info.number), body)

    async def establish(
        self, log: Log, segments: SegmentStore, *, writer: str, etcd_name: str, now: datetime, new_id: Callable[[], str]
    ) -> Foundation:
        """Check that etcd and the object storage belong together, and begin the first epoch where both are empty.

        Raises:
            FailedPrecondition: etcd is empty and the storage is not (reason `ETCD_EMPTY`), or the other way round
                (`STORAGE_EMPTY`), or they are of different epochs or clusters (`STORES_DISAGREE`).
            DataLoss: the storage lacks what `flushed` says it has, or has more than etcd.
        """
        # Storage, etcd, storage: other servers may be writing. What the storage had before etcd was asked is in etcd,
        # and what etcd says is in the storage can be found there afterwards.
        epoch = await self.newest()
        before = None if epoch is None else await segments.last(await self.lineage(epoch.number))
        look, cluster_id = await log.identify()
        if look.head is None:
            if epoch is not None and (before is not None or epoch.number > _FIRST or epoch.cluster_id != cluster_id):
                raise _etcd_is_empty(etcd_name, epoch, before, now)
            if epoch is None:
                if await segments.firsts():
                    raise _disagree("the object storage has segments and no epoch object")
                await self.put(EpochInfo(_FIRST, cluster_id, writer, now, new_id()))
                epoch = await self.newest()
            if epoch is None or epoch.number != _FIRST or epoch.cluster_id != cluster_id:
                raise _disagree(f"another server began {epoch} while this one began epoch {_FIRST} at {etcd_name}")
            log.expect_cluster(cluster_id)
            await log.begin(*_first_marks())
            look = await log.look()
        elif epoch is None:
            epoch = await self.newest()
        if look.head is None or look.flushed is None:
            raise _disagree(f"etcd at {etcd_name} lost the head that was just written")
        if epoch is None:
            raise FailedPrecondition(
                f"etcd at {etcd_name} holds epoch {look.head.sequence.epoch} of this database, and the object storage"
                " is empty: is it the right bucket or folder?",
                reason="STORAGE_EMPTY",
            )
        if epoch.number != look.head.sequence.epoch or epoch.cluster_id != cluster_id:
            raise _disagree(
                f"etcd at {etcd_name} (cluster {cluster_id:x}) is in epoch {look.head.sequence.epoch}, and the object"
                f" storage in epoch {epoch.number} of cluster {epoch.cluster_id:x}"
            )
        lineage = await self.lineage(epoch.number)
        last = await segments.last(lineage)
        stored = last.last if last is not None else LogSequence(epoch.number, 0)
        if stored < look.flushed.sequence:
            raise DataLoss(
                f"etcd says that the object storage has the log up to {look.flushed.sequence}, and it ends at {stored}:"
                " segments are missing; restore them, or run `sluice db recover`"
            )
        if before is not None and before.last > look.head.sequence:
            raise DataLoss(
                f"the object storage has the log up to {before.last}, and etcd at {etcd_name} only up to"
                f" {look.head.sequence}: etcd went back; run `sluice db recover`"
            )
        if last is not None and stored == look.flushed.sequence and last.digest != look.flushed.digest:
            raise _disagree(f"etcd and the object storage hold different entries at {stored}")
        log.expect_cluster(cluster_id)
        return Foundation(epoch, lineage, look.head, look.flushed)


def _etcd_is_empty(etcd_name: str, epoch: EpochInfo, last: Segment | None, now: datetime) -> FailedPrecondition:
    written = from_micros(last.header.time_us) if last else epoch.began
    writer = last.header.writer if last else epoch.writer
    age = timedelta(seconds=round(max((now - written).total_seconds(), 0)))
    return FailedPrecondition(
        f"etcd at {etcd_name} is empty, storage holds epoch {epoch.number}, last written {age} ago by {writer};"
        " run `sluice db recover`",
        reason="ETCD_EMPTY",
    )


def _first_marks() -> tuple[HeadMark, FlushMark]:
    start = sequence_proto(LogSequence(_FIRST, 0))
    head = log_pb2.Head(sequence=start, digest=GENESIS_DIGEST)
    flushed = log_pb2.Flushed(sequence=start, digest=GENESIS_DIGEST, first_kept_counter=1)
    return HeadMark.parse(head.SerializeToString()), FlushMark.parse(flushed.SerializeToString())


def _decode(key: str, body: bytes) -> EpochInfo:
    start = len(_MAGIC) + 32
    if body[: len(_MAGIC)] != _MAGIC:
        raise _damaged(key, "it does not begin as an epoch object that this version can read")
    if hashlib.sha256(body[start:]).digest() != body[len(_MAGIC) : start]:
        raise _damaged(key, "its checksum does not hold")
    try:
        epoch = log_pb2.Epoch.FromString(body[start:])
    except DecodeError as cause:
        raise _damaged(key, "this version cannot read it") from cause
    return EpochInfo(
        number=epoch.number,
        cluster_id=epoch.cluster_id,
        writer=epoch.writer,
        began=from_micros(epoch.time_us),
        database_id=epoch.database_id,
        accepted=from_sequence_proto(epoch.accepted) if epoch.HasField("accepted") else None,
        accepted_digest=epoch.accepted_digest or GENESIS_DIGEST,
        cause=epoch.cause,
    )


def _damaged(key: str, why: str) -> DataLoss:
    return DataLoss(
        f"the epoch object {key} is damaged: {why}. Restore it from a copy of the object storage",
        reason="EPOCH_DAMAGED",
    )


def _disagree(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"etcd and the object storage disagree: {what}. Nothing was changed; `sluice db status` shows both",
        reason="STORES_DISAGREE",
    )
