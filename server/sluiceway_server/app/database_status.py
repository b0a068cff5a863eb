"""The status of a database, read from both stores directly, above all when something is wrong.

Nothing here needs a healthy database: each part is read by itself, and what cannot be read becomes a finding. So it
also works when one of the stores is away, damaged, or not the right one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.database.v1 import database_service_pb2 as pb
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.log.entries import from_sequence_proto, micros
from sluiceway_server.datamanager.log.epochs import accepted_of
from sluiceway_server.datamanager.log.etcd_log import HeadMark
from sluiceway_server.datamanager.recovery.diagnosis import diagnose, inspect, newest_epoch
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.objectstorage.layout import DATABASE_FOLDERS

_HALF, _FULL = 0.5, 0.8
_ALARMS = {
    "NOSPACE": "it takes no writes any more; compact and defragment it, raise --quota-backend-bytes, then disarm it",
    "CORRUPT": "its members disagree; replace the member that is wrong, as etcd's manual says",
}

T = TypeVar("T")


async def database_status(stores: Stores, *, now: datetime, position: str = "") -> pb.GetDatabaseStatusResponse:
    """Read both stores. Changes nothing, and raises no `SluicewayError`; `position` is what a server has applied.

    All objects are listed, which takes a second for some ten thousand.
    """
    status = _Status(stores, pb.GetDatabaseStatusResponse(position=position, time=_time(micros(now))))
    await status.read(now)
    return status.message


class _Status:
    """A status that is being read."""

    def __init__(self, stores: Stores, message: pb.GetDatabaseStatusResponse) -> None:
        self._stores = stores
        self.message = message

    async def read(self, now: datetime) -> None:
        message, head = self.message, None
        try:
            head = await self._read_etcd()
        except SluicewayError as error:
            message.etcd_fault = error.message
            self._find(f"etcd at {self._stores.etcd_name} does not respond: {error.message}")
        try:
            objects = [await self._count(kind) for kind in DATABASE_FOLDERS]
        except SluicewayError as error:
            message.storage_fault = error.message
            self._find(f"the object storage does not respond: {error.message}")
        else:
            message.objects.extend(objects)
            await self._read_storage(head)
        if message.etcd_fault or message.storage_fault:
            return
        holdings = await self._attempt(lambda: inspect(self._stores))
        if holdings is not None:
            diagnosis = diagnose(holdings, now=now)
            if not diagnosis.is_healthy:
                self._find(diagnosis.message)
            for key in sorted(holdings.strange):
                self._find(f"{key} is not the name of a segment: it is ignored; move it away")

    async def _read_etcd(self) -> HeadMark | None:
        stores, message = self._stores, self.message
        status = await stores.kv.status(timeout=stores.etcd_timeout)
        message.etcd_size_bytes, message.etcd_quota_bytes = status.size_bytes, status.quota_bytes
        message.etcd_version, message.etcd_cluster_id = status.version, f"{status.cluster_id:x}"
        for alarm in status.alarms:
            message.etcd_alarms.append(alarm)
            self._find(f"etcd has raised the alarm {alarm}: {_ALARMS.get(alarm, 'see its log')}")
        if status.quota_bytes and status.size_bytes > _HALF * status.quota_bytes and not status.alarms:
            share = status.size_bytes / status.quota_bytes
            what = "writes are slowed down" if share > _FULL else "watch it"
            self._find(
                f"etcd's database has {share:.0%} of its quota: {what}; compact and defragment it, or raise"
                " --quota-backend-bytes"
            )
        in_etcd = await self._attempt(stores.log.identify)
        message.checkpoint = str(await self._attempt(stores.log.checkpoint) or "")
        if in_etcd is None:
            return None
        head, flushed = in_etcd[0].head, in_etcd[0].flushed
        message.head = "" if head is None else str(head.sequence)
        message.flushed = "" if flushed is None else str(flushed.sequence)
        if head is not None and flushed is not None:
            message.unflushed_bytes = max(head.total_bytes - flushed.total_bytes, 0)
        return head

    async def _read_storage(self, head: HeadMark | None) -> None:
        stores, message = self._stores, self.message
        epochs = await self._attempt(stores.epochs.all) or []
        firsts = await self._attempt(stores.segments.firsts) or []
        manifests = await self._attempt(stores.manifests.sequences) or []
        present = newest_epoch(epochs, (*firsts, *manifests), head)
        lineage = await self._attempt(partial(stores.epochs.lineage, present)) if epochs else None
        for epoch in epochs:
            if lineage is None or epoch.number == lineage.present:
                message.epoch, message.database_id = epoch.number, epoch.database_id
            message.epochs.add(
                number=epoch.number,
                accepted=str(accepted_of(epoch) or ""),
                writer=epoch.writer,
                time=_time(epoch.time_us),
                etcd_cluster_id=f"{epoch.cluster_id:x}",
                in_history=lineage is not None and epoch.number in lineage.epochs,
            )
        if lineage is None:
            return
        ends = []
        if (segment := await self._attempt(partial(stores.segments.last, lineage))) is not None:
            ends.append(segment.last)
            message.newest_segment.sequence = str(segment.last)
            message.newest_segment.writer = segment.header.writer
            message.newest_segment.time.CopyFrom(_time(segment.entries[-1].time_us))
        if (manifest := await self._attempt(partial(stores.manifests.newest, lineage))) is not None:
            ends.append(from_sequence_proto(manifest.sequence))
            message.newest_manifest.sequence = str(ends[-1])
            message.newest_manifest.writer = manifest.writer
            message.newest_manifest.time.CopyFrom(_time(manifest.made_us))
        # The last entry that a recovery without etcd would keep, if nothing is missing before it.
        message.recoverable = str(max(ends, default=""))

    async def _count(self, kind: str) -> pb.ObjectsStatus:
        sizes = [info.size_bytes async for info in self._stores.storage.list(self._stores.key(f"{kind}/"))]
        return pb.ObjectsStatus(kind=kind, count=len(sizes), bytes=sum(sizes))

    def _find(self, sentence: str) -> None:
        if sentence and sentence not in self.message.findings:
            self.message.findings.append(sentence)

    async def _attempt(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Call; an error becomes a finding, and None is returned."""
        try:
            return await work()
        except SluicewayError as error:
            self._find(error.message)
            return None


def _time(micros_: int) -> Timestamp:
    time = Timestamp()
    time.FromMicroseconds(micros_)
    return time
