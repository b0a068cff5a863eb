"""The overview of both stores, for operators, above all when something is wrong.

Nothing here needs a healthy database: each part is read by itself, and what cannot be read becomes a finding. So it
also works when one of the stores is away, damaged, or not the right one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.log.entries import from_micros, from_sequence_proto
from sluiceway_server.datamanager.log.etcd_log import FlushMark, HeadMark
from sluiceway_server.datamanager.log.lineage import Lineage
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import Kind, diagnose, inspect, newest_epoch
from sluiceway_server.datamanager.tables.stores import Stores
from sluiceway_server.kv.port import StoreStatus
from sluiceway_server.objectstorage.layout import DATABASE_FOLDERS

_HALF, _FULL = 0.5, 0.8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EtcdView:
    """The state of etcd; `checkpoint` is a hint that may be behind."""

    status: StoreStatus
    head: HeadMark | None = None
    flushed: FlushMark | None = None
    checkpoint: LogSequence | None = None

    @property
    def unflushed_bytes(self) -> int:
        if self.head is None or self.flushed is None:
            return 0
        return max(self.head.total_bytes - self.flushed.total_bytes, 0)


@dataclass(frozen=True, slots=True)
class StoredView:
    """A segment or a manifest: up to which entry it is, and who wrote it when (of a segment: its last entry)."""

    sequence: LogSequence
    writer: str
    time: datetime


@dataclass(frozen=True, slots=True)
class ObjectsView:
    """The objects of a kind."""

    kind: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StorageView:
    """What the object storage holds; what cannot be read is empty or None."""

    epochs: Sequence[Epoch] = ()
    lineage: Lineage | None = None
    newest_segment: StoredView | None = None
    newest_manifest: StoredView | None = None
    objects: Sequence[ObjectsView] = ()

    @property
    def recoverable(self) -> LogSequence | None:
        """The last entry that a recovery without etcd would keep, if nothing is missing before it."""
        views = (self.newest_segment, self.newest_manifest)
        return max((view.sequence for view in views if view is not None), default=None)


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of both stores. A store that cannot be read is None, because of its fault.

    Attributes:
        kind: of the diagnosis; None: there is none.
        findings: faults, each with what to do; empty: all is well.
    """

    time: datetime
    etcd: EtcdView | None
    etcd_fault: str
    storage: StorageView | None
    storage_fault: str
    kind: Kind | None
    findings: Sequence[str] = ()

    @property
    def epoch(self) -> Epoch | None:
        if self.storage is None or not self.storage.epochs:
            return None
        if self.storage.lineage is None:
            return self.storage.epochs[-1]
        present = self.storage.lineage.present
        return next((epoch for epoch in self.storage.epochs if epoch.number == present), None)


class _Findings:
    """The list of faults, one sentence each."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, sentence: str) -> None:
        if sentence and sentence not in self.found:
            self.found.append(sentence)

    async def attempt(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Call; an error becomes a finding, and None is returned."""
        try:
            return await work()
        except SluicewayError as error:
            self.add(error.message)
            return None


async def overview(stores: Stores, *, now: datetime) -> Overview:
    """Read both stores. Changes nothing, and raises no `SluicewayError`.

    All objects are listed, which takes a second for some ten thousand.
    """
    findings = _Findings()
    etcd_fault = storage_fault = ""
    etcd: EtcdView | None = None
    stored: StorageView | None = None
    try:
        etcd = await _look_at_etcd(stores, findings)
    except SluicewayError as error:
        etcd_fault = error.message
        findings.add(f"etcd at {stores.etcd_name} does not answer: {error.message}")
    try:
        objects = [await _count(stores, kind) for kind in DATABASE_FOLDERS]
    except SluicewayError as error:
        storage_fault = error.message
        findings.add(f"the object storage does not answer: {error.message}")
    else:
        stored = await _look_at_storage(stores, etcd, objects, findings)
    kind: Kind | None = None
    if etcd is not None and stored is not None:
        holdings = await findings.attempt(lambda: inspect(stores))
        if holdings is not None:
            diagnosis = diagnose(holdings, now=now)
            kind = diagnosis.kind
            if not diagnosis.is_healthy:
                findings.add(diagnosis.message)
            for key in sorted(holdings.strange):
                findings.add(f"{key} is not the name of a segment: it is ignored; move it away")
    return Overview(now, etcd, etcd_fault, stored, storage_fault, kind, tuple(findings.found))


async def _look_at_etcd(stores: Stores, findings: _Findings) -> EtcdView:
    status = await stores.kv.status(timeout=stores.etcd_timeout)
    for alarm in status.alarms:
        findings.add(f"etcd has raised the alarm {alarm}: {_ALARMS.get(alarm, 'see its log')}")
    if status.quota_bytes and status.size_bytes > _HALF * status.quota_bytes and not status.alarms:
        share = status.size_bytes / status.quota_bytes
        what = "writes are slowed down" if share > _FULL else "watch it"
        findings.add(
            f"etcd's database has {share:.0%} of its quota: {what}; compact and defragment it, or raise"
            " --quota-backend-bytes"
        )
    in_etcd = await findings.attempt(stores.log.identify)
    checkpoint = await findings.attempt(stores.log.checkpoint)
    if in_etcd is None:
        return EtcdView(status, checkpoint=checkpoint)
    return EtcdView(status, in_etcd[0].head, in_etcd[0].flushed, checkpoint)


_ALARMS = {
    "NOSPACE": "it takes no writes any more; compact and defragment it, raise --quota-backend-bytes, then disarm it",
    "CORRUPT": "its members disagree; replace the member that is wrong, as etcd's manual says",
}


async def _look_at_storage(
    stores: Stores, etcd: EtcdView | None, objects: Sequence[ObjectsView], findings: _Findings
) -> StorageView:
    epochs = await findings.attempt(stores.epochs.all) or []
    firsts = await findings.attempt(stores.segments.firsts) or []
    manifests = await findings.attempt(stores.manifests.sequences) or []
    present = newest_epoch(epochs, (*firsts, *manifests), None if etcd is None else etcd.head)
    lineage = await findings.attempt(partial(stores.epochs.lineage, present)) if epochs else None
    if lineage is None:
        return StorageView(epochs=epochs, objects=objects)
    newest_segment = newest_manifest = None
    if (segment := await findings.attempt(partial(stores.segments.last, lineage))) is not None:
        time = from_micros(segment.entries[-1].time_us)
        newest_segment = StoredView(segment.last, segment.header.writer, time)
    if (manifest := await findings.attempt(partial(stores.manifests.newest, lineage))) is not None:
        sequence, time = from_sequence_proto(manifest.sequence), from_micros(manifest.made_us)
        newest_manifest = StoredView(sequence, manifest.writer, time)
    return StorageView(epochs, lineage, newest_segment, newest_manifest, objects)


async def _count(stores: Stores, kind: str) -> ObjectsView:
    count = size = 0
    async for info in stores.storage.list(stores.key(f"{kind}/")):
        count += 1
        size += info.size_bytes
    return ObjectsView(kind, count, size)
