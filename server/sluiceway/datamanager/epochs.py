"""Epoch objects, and what etcd and object storage must agree on before a server may start.

`epoch/<n>` is put, if absent, when epoch n begins: it ties the database to one etcd cluster. The first start makes
`epoch/<1>`, then the head in etcd; a crash in between starts over. Anything else that does not fit together stops the
start with what was found, because a mistyped endpoint must not fork the database (datamanager.md, "Recovery").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.protobuf.message import DecodeError

from sluiceway.datamanager.entries import GENESIS_DIGEST, from_micros, micros, sequence_proto
from sluiceway.datamanager.log import FlushMark, HeadMark, Log
from sluiceway.datamanager.model import LogSequence
from sluiceway.datamanager.segments import Segment, SegmentStore
from sluiceway.foundation.errors import DataLoss, FailedPrecondition
from sluiceway.objectstorage.port import ObjectStorage
from sluiceway.records.log.v1 import log_pb2

__all__ = ["EpochInfo", "Epochs", "Foundation"]

_MAGIC = b"SLEPO\x00\x00\x01"
_FIRST = 1


@dataclass(frozen=True, slots=True)
class EpochInfo:
    """What an epoch object says."""

    number: int
    cluster_id: int
    writer: str
    began: datetime
    database_id: str


@dataclass(frozen=True, slots=True)
class Foundation:
    """What a server starts from."""

    epoch: EpochInfo
    head: HeadMark
    flushed: FlushMark


class Epochs:
    """The epoch objects of one database."""

    def __init__(self, storage: ObjectStorage, *, prefix: str) -> None:
        self._storage = storage
        self._folder = f"{prefix}/epoch/"

    async def newest(self) -> EpochInfo | None:
        """Read the epoch object with the highest number; None when there is none."""
        newest = ""
        async for info in self._storage.list(self._folder):
            newest = info.key
        return None if not newest else _decode(newest, await self._storage.get(newest))

    async def put(self, info: EpochInfo) -> bool:
        """Store an epoch object unless there is one of this number."""
        content = log_pb2.Epoch(
            number=info.number,
            cluster_id=info.cluster_id,
            writer=info.writer,
            time_us=micros(info.began),
            database_id=info.database_id,
        ).SerializeToString()
        body = b"".join((_MAGIC, hashlib.sha256(content).digest(), content))
        return await self._storage.put_if_absent(f"{self._folder}{info.number:08x}", body)

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
        epoch, before = await self.newest(), await segments.last()
        look, cluster_id = await log.identify()
        if look.head is None:
            if epoch is not None and (before is not None or epoch.number > _FIRST or epoch.cluster_id != cluster_id):
                raise _etcd_is_empty(etcd_name, epoch, before, now)
            if epoch is None:
                if before is not None:
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
        last = await segments.last()
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
        if last is not None and stored == look.flushed.sequence and last.header.digest != look.flushed.digest:
            raise _disagree(f"etcd and the object storage hold different entries at {stored}")
        log.expect_cluster(cluster_id)
        return Foundation(epoch, look.head, look.flushed)


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
    try:
        if body[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body[start:]).digest() != body[len(_MAGIC) : start]:
            raise DataLoss(f"the epoch object {key} is damaged; restore it from a copy of the object storage")
        epoch = log_pb2.Epoch.FromString(body[start:])
    except DecodeError as cause:
        raise DataLoss(f"the epoch object {key} cannot be read by this version") from cause
    return EpochInfo(epoch.number, epoch.cluster_id, epoch.writer, from_micros(epoch.time_us), epoch.database_id)


def _disagree(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"etcd and the object storage disagree: {what}. Nothing was changed; `sluice db status` shows both",
        reason="STORES_DISAGREE",
    )
