"""Messages about the state of the database, for a server and for `sluice db` on the two stores directly."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.database.v1 import database_service_pb2 as pb
from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway_server.datamanager.admin.status import Overview, StoredView
from sluiceway_server.datamanager.admin.verify_context import Finding, Progress
from sluiceway_server.datamanager.log.entries import micros
from sluiceway_server.datamanager.log.epochs import accepted_of
from sluiceway_server.logs.check import LogCheck


def status_message(seen: Overview, *, position: str = "") -> pb.GetDatabaseStatusResponse:
    """Make the response of `GetDatabaseStatus`; `position` is what a server has applied."""
    message = pb.GetDatabaseStatusResponse(
        position=position,
        time=_time(micros(seen.time)),
        etcd_fault=seen.etcd_fault,
        storage_fault=seen.storage_fault,
        findings=seen.findings,
    )
    if (epoch := seen.epoch) is not None:
        message.epoch, message.database_id = epoch.number, epoch.database_id
    if (etcd := seen.etcd) is not None:
        message.etcd_size_bytes, message.etcd_quota_bytes = etcd.status.size_bytes, etcd.status.quota_bytes
        message.etcd_alarms.extend(etcd.status.alarms)
        message.etcd_version, message.etcd_cluster_id = etcd.status.version, f"{etcd.status.cluster_id:x}"
        message.head = str(etcd.head.sequence) if etcd.head is not None else ""
        message.flushed = str(etcd.flushed.sequence) if etcd.flushed is not None else ""
        message.checkpoint = str(etcd.checkpoint or "")
        message.unflushed_bytes = etcd.unflushed_bytes
    if (storage := seen.storage) is not None:
        history = () if storage.lineage is None else storage.lineage.epochs
        message.epochs.extend(_epoch(epoch, in_history=epoch.number in history) for epoch in storage.epochs)
        message.recoverable = str(storage.recoverable or "")
        for view in storage.objects:
            message.objects.add(kind=view.kind, count=view.count, bytes=view.bytes)
        if storage.newest_segment is not None:
            message.newest_segment.CopyFrom(_stored(storage.newest_segment))
        if storage.newest_manifest is not None:
            message.newest_manifest.CopyFrom(_stored(storage.newest_manifest))
    return message


def verify_message(found: Finding | Progress, progress: Progress) -> pb.VerifyDatabaseResponse:
    """Make one message of `VerifyDatabase`; `progress` is the newest that is known."""
    message = pb.VerifyDatabaseResponse(
        objects=progress.objects, bytes=progress.bytes, all_objects=progress.all_objects
    )
    if isinstance(found, Finding):
        message.object = found.object
        if found.is_fault:
            message.fault = found.message
        else:
            message.note = found.message
    return message


async def verify_logs(
    check: LogCheck, progress: Progress
) -> AsyncGenerator[tuple[pb.VerifyDatabaseResponse, Progress], None]:
    """Yield a message for each log with the progress so far; counts start from `progress`."""
    objects, size = progress.objects, progress.bytes
    async for found in check.run():
        objects, size = objects + found.objects, size + found.bytes
        progress = Progress(objects, size, max(objects, progress.all_objects))
        what = Finding(found.object, found.message, found.is_fault) if found.message else progress
        yield verify_message(what, progress), progress


def _epoch(epoch: Epoch, *, in_history: bool) -> pb.EpochStatus:
    return pb.EpochStatus(
        number=epoch.number,
        accepted=str(accepted_of(epoch) or ""),
        writer=epoch.writer,
        time=_time(epoch.time_us),
        etcd_cluster_id=f"{epoch.cluster_id:x}",
        in_history=in_history,
    )


def _stored(view: StoredView) -> pb.StoredStatus:
    return pb.StoredStatus(sequence=str(view.sequence), writer=view.writer, time=_time(micros(view.time)))


def _time(micros_: int) -> Timestamp:
    time = Timestamp()
    time.FromMicroseconds(micros_)
    return time
