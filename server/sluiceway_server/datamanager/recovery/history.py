"""The end of a database's history when etcd cannot be trusted: from manifests, segments and the entries in etcd.

The newest manifest, then segments as long as they are contiguous, then the entries that etcd still has and that follow
from them: nothing that was acknowledged is given up as long as it is somewhere. A gap is not skipped. Entries that do
not follow from the rest are void, and counted.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition, NotFound, Unavailable
from sluiceway_server.datamanager.log.entries import LogEntry
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.etcd_log import HeadMark, ManifestMark
from sluiceway_server.datamanager.log.walk import Foreign, Gap, LogEnd, walk
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import newest_epoch
from sluiceway_server.datamanager.tables.stores import Stores


@dataclass(frozen=True, slots=True)
class OrphanedEntries:
    """Void entries: not part of the history any more; all of one epoch."""

    first: LogSequence
    last: LogSequence
    entries: int

    def __str__(self) -> str:
        return f"{self.entries} entries from {self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """The names of all that there is of a database: read once for each attempt to recover it.

    Attributes:
        head: etcd's; None: there is none.
        epochs: all epoch objects, oldest first, at least one.
        lineage: of the newest epoch: the one of etcd's head, or a newer one that has an object; if there is neither,
            the first.
        cleaned: up to where objects may have been removed; read before any segment is.
        firsts: of the segments, void ones too.
        manifests: their sequences, void ones too.
    """

    cluster_id: int
    head: HeadMark | None
    epochs: tuple[Epoch, ...]
    lineage: Lineage
    cleaned: ManifestMark
    firsts: tuple[LogSequence, ...]
    manifests: tuple[LogSequence, ...]

    @property
    def newest_epoch(self) -> int:
        """The number of the newest epoch object, also of a recovery that was overtaken."""
        return self.epochs[-1].number

    @property
    def epoch_in_etcd(self) -> int:
        """The epoch of the entries that etcd may have; its head alone may have been deleted."""
        return self.lineage.present if self.head is None else self.head.sequence.epoch

    @property
    def database_id(self) -> str:
        return self.epochs[0].database_id


@dataclass(frozen=True, slots=True)
class HistoryEnd:
    """The end of a history.

    Attributes:
        checkpoint: the newest manifest at or before it.
        tail: its last entries, which only etcd has.
        void: what etcd has and does not follow from it.
        gap: what is missing after it, if a later entry is known.
    """

    last: LogEnd
    checkpoint: LogSequence | None
    tail: tuple[LogEntry, ...] = ()
    void: tuple[OrphanedEntries, ...] = ()
    gap: Gap | None = None


async def read_inventory(stores: Stores) -> Inventory:
    """Read the inventory.

    Raises:
        FailedPrecondition: there is nothing (reason `NOTHING_TO_RECOVER`), or more than one database.
        DataLoss: an epoch object is missing or damaged.
        Unavailable: etcd or the object storage is away.
    """
    firsts, manifests = await stores.segments.firsts(), await stores.manifests.sequences()
    in_etcd, cluster_id = await stores.log.identify()
    cleaned = await stores.log.cleaned()
    epochs = await stores.epochs.all()
    if not epochs:
        raise FailedPrecondition(
            "there is no database in the object storage that could be recovered: it has no epoch object",
            reason="NOTHING_TO_RECOVER",
        )
    ids = {epoch.database_id for epoch in epochs}
    if in_etcd.flushed is not None and in_etcd.flushed.database_id:
        ids.add(in_etcd.flushed.database_id)
    if len(ids) > 1:
        raise FailedPrecondition(
            f"etcd at {stores.etcd_name} and the object storage hold parts of {len(ids)} databases under one prefix"
            f" ({', '.join(sorted(ids))}); nothing is recovered over another database. Is it the right etcd, bucket or"
            " folder, and prefix?",
            reason="OTHER_DATABASE",
        )
    present = newest_epoch(epochs, (*firsts, *manifests), in_etcd.head)
    lineage = stores.epochs.lineage_of(epochs, present)
    return Inventory(cluster_id, in_etcd.head, tuple(epochs), lineage, cleaned, tuple(firsts), tuple(manifests))


async def find_end(stores: Stores, inventory: Inventory, *, to: LogSequence | None = None) -> HistoryEnd:
    """Find the end of the history, or (with `to`) one of its entries; then nothing after it is read.

    Raises:
        DataLoss: a segment or manifest is damaged, or does not follow from the one before.
        Unavailable: etcd or the object storage is away. Reason `CLEANED_MEANWHILE`: an object of the inventory is
            gone; read the inventory again.
    """
    lineage = inventory.lineage if to is None else inventory.lineage.until(to)
    try:
        checkpoint, end, digests = await _stored(stores, inventory, lineage)
    except NotFound as cause:
        raise Unavailable(
            f"objects were removed from the object storage while it was read ({cause.message}); retry",
            reason="CLEANED_MEANWHILE",
        ) from cause
    stored, tail, void = end.sequence, list[LogEntry](), list[LogSequence]()
    beyond = [(first, stores.segments.key(first)) for first in inventory.firsts if lineage.contains(first)]
    async for entry in stores.log.entries(LogSequence(inventory.epoch_in_etcd, 1)):
        sequence = entry.sequence
        if sequence <= stored:
            if digests.get(sequence, entry.digest) != entry.digest:
                void.append(sequence)
        elif void or not inventory.lineage.contains(sequence):
            void.append(sequence)
        elif not lineage.contains(sequence):
            break  # after `to`
        elif sequence != lineage.following(end.sequence):
            beyond.append((sequence, "etcd"))
            break
        elif entry.previous_digest != end.digest:
            void.append(sequence)
        else:
            tail.append(entry)
            end = end.plus(entry, "etcd")
    if inventory.head is not None and not void and lineage.contains(inventory.head.sequence):
        beyond.append((inventory.head.sequence, "etcd"))
    later = min((item for item in beyond if item[0] > end.sequence), default=None)
    return HistoryEnd(
        last=end,
        checkpoint=checkpoint,
        tail=tuple(tail),
        void=(OrphanedEntries(void[0], void[-1], len(void)),) if void else (),
        gap=None if later is None else Gap(end.sequence, end.where, lineage.following(end.sequence), *later),
    )


async def _stored(
    stores: Stores, inventory: Inventory, lineage: Lineage
) -> tuple[LogSequence | None, LogEnd, dict[LogSequence, bytes]]:
    """Walk what is stored of a history; return its manifest, its end, and digests of entries that etcd may have too."""
    end, digests = LogEnd.beginning(lineage), dict[LogSequence, bytes]()
    checkpoint = max((sequence for sequence in inventory.manifests if lineage.contains(sequence)), default=None)
    if checkpoint is not None:
        end = LogEnd.of_manifest(await stores.manifests.read(checkpoint), stores.manifests.key(checkpoint))
    elif next(epoch for epoch in inventory.epochs if epoch.number == lineage.epochs[0]).from_manifest:
        raise DataLoss(
            f"this database began with an import, and the manifest {stores.manifests.key(end.sequence)} and all after"
            " it are gone: restore one of them from a copy of the object storage",
            reason="MANIFEST_MISSING",
        )
    async with aclosing(walk(stores.segments, lineage, end)) as found:
        async for item in found:
            if isinstance(item, Gap):
                break  # etcd may have what is missing
            if isinstance(item, Foreign):
                raise item.error()
            end = item.end
            if end.database_id not in {"", inventory.database_id}:
                raise DataLoss(
                    f"the segment {end.where} is of another database, {end.database_id}; move it away",
                    reason="OTHER_DATABASE",
                )
            if end.sequence.epoch == inventory.epoch_in_etcd:
                digests.update((entry.sequence, entry.digest) for entry in item.entries)
    return checkpoint, end, digests


def unreachable(inventory: Inventory, end: HistoryEnd, to: LogSequence) -> FailedPrecondition:
    """Return the error for an entry that a restore cannot go back to; it names the nearest that it can."""
    known = [sequence for sequence in inventory.manifests if inventory.lineage.contains(sequence)]
    start = LogSequence(inventory.lineage.epochs[0], 1)
    cleaned = inventory.cleaned.sequence
    later = [first for first in inventory.firsts if inventory.lineage.contains(first) and first > end.last.sequence]
    if cleaned is not None and to < cleaned:
        why = f"what is before {cleaned} is being cleaned, or was; that is the oldest that can be gone back to"
    elif known and to < known[0] and start not in inventory.firsts:
        why = f"what is before {known[0]} was cleaned; that is the oldest that can be gone back to"
    elif later or (inventory.head is not None and inventory.head.sequence >= to):
        last = end.last.sequence
        why = f"between {last} (in {end.last.where}) and it objects are missing; {last} can be gone back to"
    else:
        why = f"the history ends at {end.last.sequence}"
    return FailedPrecondition(f"the database cannot go back to {to}: {why}", reason="SEQUENCE_UNREACHABLE")
