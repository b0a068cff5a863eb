"""The diagnosis of a database: what etcd and the object storage hold of it, and whether the two fit together.

`inspect` reads the facts, `diagnose` (pure) decides what they mean, and `open_or_bootstrap` begins the first epoch if
both stores are empty, or opens a healthy database. Nothing is repaired here: a mistyped endpoint must not fork a
database, so any other state is returned with exactly what was found (datamanager.md, "Recovery").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from sluiceway.records.log.v1.log_pb2 import Epoch
from sluiceway_common.foundation.crashpoints import crash_points, declare_effects
from sluiceway_common.foundation.errors import DataLoss, FailedPrecondition, NotFound, SluicewayError, Unavailable
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, from_micros, micros
from sluiceway_server.datamanager.log.epochs import Lineage, accepted_of
from sluiceway_server.datamanager.log.etcd_log import FlushMark, HeadMark, Log, LogLook, first_marks
from sluiceway_server.datamanager.log.walk import LogEnd
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.tables.stores import Stores

_FIRST = 1

T = TypeVar("T")

_ATTEMPTS = 5

declare_effects("epoch.object", "epoch.head")


class Kind(StrEnum):
    """The state of etcd and the object storage together; also the `reason` of the error for it."""

    NEW = "NEW"
    """Both are empty, or a first start has not ended."""
    HEALTHY = "HEALTHY"
    ETCD_EMPTY = "ETCD_EMPTY"
    ETCD_BEHIND = "ETCD_BEHIND"
    """The storage has a later entry, or a later epoch, than etcd's head: etcd went back, or is not the one in use."""
    ETCD_TORN = "ETCD_TORN"
    """One of the two keys that are always there together was deleted."""
    OTHER_CLUSTER = "OTHER_CLUSTER"
    """The head is there, in another etcd cluster than the one of its epoch: a restored snapshot, or a copy."""
    OTHER_DATABASE = "OTHER_DATABASE"
    STORAGE_EMPTY = "STORAGE_EMPTY"
    STORAGE_BEHIND = "STORAGE_BEHIND"
    """The storage lacks entries before etcd's `flushed`."""
    EPOCH_MISSING = "EPOCH_MISSING"
    """There are segments, manifests or a head of an epoch without its object."""
    DIVERGED = "DIVERGED"
    """Both have an entry of one sequence, with different digests."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """The facts of a diagnosis.

    Attributes:
        head: None: there is none; so `flushed`.
        epochs: all epoch objects, also of recoveries that were overtaken; oldest first.
        present: the epoch that etcd's head is in; with an empty etcd the newest that has a segment or a manifest, else
            the first; 0 when there is no epoch at all.
        newest_stored: the newest epoch that has a segment or a manifest; 0: none has.
        lineage: the history, from the present epoch back; None when an object of it is missing, or there is none.
        before: where the storage ended before etcd was asked; `after`: afterwards. None: nothing is stored.
        digest_at_before: of the entry there as etcd has it; None: etcd has it no more.
        databases: the ids found in the newest segment or manifest, in etcd and in the epoch objects.
        has_manifest: whether there is one of the history.
        strange: keys in the folder of segments that are not names of segments.
    """

    etcd_name: str
    cluster_id: int
    head: HeadMark | None
    flushed: FlushMark | None
    epochs: tuple[Epoch, ...]
    present: int
    newest_stored: int
    lineage: Lineage | None
    before: LogEnd | None
    after: LogEnd | None
    digest_at_before: bytes | None
    databases: frozenset[str]
    has_manifest: bool
    strange: frozenset[str]

    @property
    def epoch(self) -> Epoch | None:
        return next((epoch for epoch in self.epochs if epoch.number == self.present), None)


@dataclass(frozen=True, slots=True)
class StoreDiagnosis:
    """A diagnosis: the kind, and a message with what was found and what to do."""

    kind: Kind
    message: str
    holdings: Holdings

    @property
    def is_healthy(self) -> bool:
        """Whether a server may open the database as it is."""
        return self.kind is Kind.HEALTHY

    def error(self) -> SluicewayError:
        """Return the error for a database that may not be opened. Its reason is the kind."""
        if self.kind in {Kind.STORAGE_BEHIND, Kind.EPOCH_MISSING, Kind.ETCD_TORN}:
            return DataLoss(self.message, reason=self.kind)
        return FailedPrecondition(self.message, reason=self.kind)


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """The state that a server opens a database from."""

    epoch: Epoch
    lineage: Lineage
    head: HeadMark
    flushed: FlushMark


async def stored_end(stores: Stores, lineage: Lineage) -> LogEnd | None:
    """Return the last entry of the history that the storage has; None when it has none.

    The segments before a manifest may be removed, so the end may be a manifest. Gaps before it are not detected.

    Raises:
        DataLoss: the last segment or manifest is damaged.
        Unavailable: the object storage is away.
    """

    async def find() -> LogEnd | None:
        return await _end_of(stores, lineage, await stores.segments.firsts(), await stores.manifests.sequences())

    return await _unless_cleaned(find)


async def _unless_cleaned(find: Callable[[], Awaitable[T]]) -> T:
    """Retry when an object that was listed is gone when it is read: a newer manifest has all of it."""
    for _ in range(_ATTEMPTS):
        with suppress(NotFound):
            return await find()
    raise Unavailable(
        "objects are removed from the object storage faster than they can be read, or its lists are wrong; try again"
    )


async def _end_of(
    stores: Stores, lineage: Lineage, firsts: Sequence[LogSequence], manifests: Sequence[LogSequence]
) -> LogEnd | None:
    end: LogEnd | None = None
    if history := [first for first in firsts if lineage.contains(first)]:
        segment = (await stores.segments.read(history[-1])).within(history[-1], lineage)
        if segment is not None:
            end = LogEnd.of_segment(segment, stores.segments.key(history[-1]))
    checkpoints = [sequence for sequence in manifests if lineage.contains(sequence)]
    if checkpoints and (end is None or checkpoints[-1] > end.sequence):
        manifest = await stores.manifests.read(checkpoints[-1])
        end = LogEnd.of_manifest(manifest, stores.manifests.key(checkpoints[-1]))
    return end


async def inspect(stores: Stores) -> Holdings:
    """Read what etcd and the object storage hold. Changes nothing; other servers may be writing meanwhile.

    Raises:
        DataLoss: an epoch object, or the last segment or manifest of the history, is damaged.
        Unavailable: etcd or the object storage is away.
    """
    return await _unless_cleaned(lambda: _inspect(stores))


async def _inspect(stores: Stores) -> Holdings:
    # Storage, etcd, storage: all that the storage has at first is in etcd then, and all up to etcd's `flushed` is in
    # the storage afterwards.
    firsts, manifests = await stores.segments.firsts(), await stores.manifests.sequences()
    in_etcd, cluster_id = await stores.log.identify()
    epochs = await stores.epochs.all()
    newest_stored = max((sequence.epoch for sequence in (*firsts, *manifests)), default=0)
    # An epoch without anything in it may be a recovery that was overtaken, and nothing is lost by ignoring it.
    present = newest_epoch(epochs, (*firsts, *manifests), None)
    if in_etcd.head is not None:
        present = in_etcd.head.sequence.epoch
    lineage = None
    if present and not {present, newest_stored} - {0, *(epoch.number for epoch in epochs)}:
        lineage = stores.epochs.lineage_of(epochs, present)
    before = after = digest = None
    databases = {epoch.database_id for epoch in epochs}
    if in_etcd.flushed is not None:
        databases.add(in_etcd.flushed.database_id)
    if lineage is not None:
        before = await _end_of(stores, lineage, firsts, manifests)
        if before is not None:
            databases.add(before.database_id)
            digest = await _digest_in_etcd(stores.log, in_etcd, before.sequence)
        after = await stored_end(stores, lineage)
    return Holdings(
        etcd_name=stores.etcd_name,
        cluster_id=cluster_id,
        head=in_etcd.head,
        flushed=in_etcd.flushed,
        epochs=tuple(epochs),
        present=present,
        newest_stored=newest_stored,
        lineage=lineage,
        before=before,
        after=after,
        digest_at_before=digest,
        databases=frozenset(databases - {""}),
        has_manifest=lineage is not None and any(lineage.contains(sequence) for sequence in manifests),
        strange=stores.segments.strange,
    )


async def _digest_in_etcd(log: Log, in_etcd: LogLook, sequence: LogSequence) -> bytes | None:
    # The entry itself first: an etcd that was put back may get a mark of the time before, from a message that was late.
    entry = await log.entry(sequence)
    if entry is not None:
        return entry.digest
    for mark in (in_etcd.head, in_etcd.flushed):
        if mark is not None and mark.sequence == sequence:
            return mark.digest
    return None


def newest_epoch(epochs: Sequence[Epoch], stored: Iterable[LogSequence], head: HeadMark | None) -> int:
    """Return the newest epoch with a head or a stored object, or else the first epoch; 0: there is none. Pure."""
    in_head = 0 if head is None else head.sequence.epoch
    newest = max((sequence.epoch for sequence in stored), default=0)
    return max(in_head, newest) or (epochs[0].number if epochs else 0)


def diagnose(found: Holdings, *, now: datetime) -> StoreDiagnosis:
    """Decide whether the two stores fit together. Pure."""
    kind, message = _diagnose(found, now)
    return StoreDiagnosis(kind, message, found)


def _diagnose(found: Holdings, now: datetime) -> tuple[Kind, str]:
    etcd, head, flushed = f"etcd at {found.etcd_name}", found.head, found.flushed
    if len(found.databases) > 1:
        return Kind.OTHER_DATABASE, (
            f"{etcd} and the object storage hold parts of {len(found.databases)} databases under one prefix"
            f" ({', '.join(sorted(found.databases))}): is it the right etcd, bucket or folder, and prefix?"
        )
    if (head is None) != (flushed is None):
        there, lost = ("head", "flushed") if head is not None else ("flushed", "head")
        return Kind.ETCD_TORN, (
            f"{etcd} has the key {there} of this database and not the key {lost}, which was deleted. Restore etcd, or"
            " run `sluice db recover`"
        )
    if not found.epochs and found.newest_stored:
        return Kind.EPOCH_MISSING, (
            f"the object storage has segments or manifests of epoch {found.newest_stored}, and no epoch object: an"
            " import that did not end (run it again), or somebody deleted epoch/; restore that from a copy"
        )
    if head is None or flushed is None:
        return _diagnose_empty(found, now)
    if not found.epochs:
        return Kind.STORAGE_EMPTY, (
            f"{etcd} holds epoch {head.sequence.epoch} of this database, and the object storage is empty: is it the"
            " right bucket or folder?"
        )
    return _diagnose_full(found, head, flushed)


def _diagnose_empty(found: Holdings, now: datetime) -> tuple[Kind, str]:
    if not found.epochs:
        return Kind.NEW, f"etcd at {found.etcd_name} and the object storage are empty"
    newest = found.epochs[-1]
    if not found.newest_stored and newest.number == _FIRST and newest.cluster_id == found.cluster_id:
        return Kind.NEW, f"a first start of a database at {found.etcd_name} has not ended yet"
    epoch = found.epoch or newest
    written_us = (found.after.time_us if found.after is not None else 0) or epoch.time_us
    writer = found.after.writer if found.after is not None else epoch.writer
    age = timedelta(seconds=round(max((now - from_micros(written_us)).total_seconds(), 0)))
    return Kind.ETCD_EMPTY, (
        f"etcd at {found.etcd_name} is empty, storage holds epoch {epoch.number}, last written {age} ago by {writer};"
        " run `sluice db recover`"
    )


def _diagnose_full(found: Holdings, head: HeadMark, flushed: FlushMark) -> tuple[Kind, str]:
    etcd, epoch = f"etcd at {found.etcd_name}", found.epoch
    if found.newest_stored > head.sequence.epoch:
        return Kind.ETCD_BEHIND, (
            f"{etcd} is in epoch {head.sequence.epoch}, and the object storage has entries of epoch"
            f" {found.newest_stored}: etcd went back to before a recovery, or somebody recovered the database with"
            " another etcd. If this is the etcd to continue with, run `sluice db recover`"
        )
    if epoch is None or found.lineage is None:
        missing = found.present if epoch is None else found.newest_stored
        return Kind.EPOCH_MISSING, (
            f"{etcd} is in epoch {head.sequence.epoch}, and the object storage lacks the object of epoch {missing}:"
            " restore it from a copy; is it the right bucket or folder?"
        )
    if found.before is not None and found.before.sequence > head.sequence:
        return Kind.ETCD_BEHIND, (
            f"the object storage has the log up to {found.before.sequence}, and {etcd} only up to {head.sequence}:"
            " etcd went back; run `sluice db recover`"
        )
    accepted = accepted_of(epoch)
    if (before := found.before) is not None and (
        found.digest_at_before not in {None, before.digest}
        or (before.sequence == accepted and before.digest != epoch.accepted_digest)
    ):
        return Kind.DIVERGED, (
            f"{etcd} and the object storage hold different entries at {before.sequence}: two servers wrote after"
            " etcd went back. `sluice db recover` continues with what the object storage has, and reports what is given"
            " up"
        )
    stored = LogSequence(found.lineage.epochs[0], 0) if found.after is None else found.after.sequence
    # Nothing of an epoch that has only begun is stored yet; what it continues from is.
    needed = accepted if flushed.sequence.counter == 0 and accepted is not None else flushed.sequence
    if stored < needed:
        return Kind.STORAGE_BEHIND, (
            f"{etcd} says that the object storage has the log up to {needed}, and it ends at {stored}:"
            " segments are missing; restore them, or run `sluice db recover`"
        )
    first = next((each for each in found.epochs if each.number == found.lineage.epochs[0]), epoch)
    if first.from_manifest and not found.has_manifest:
        return Kind.STORAGE_BEHIND, (
            "this database began with an import, and the object storage has none of its manifests: restore the newest"
            " one from a copy"
        )
    if epoch.cluster_id != found.cluster_id:
        return Kind.OTHER_CLUSTER, (
            f"{etcd} is cluster {found.cluster_id:x}, and epoch {epoch.number} of this database began in cluster"
            f" {epoch.cluster_id:x}: a copy or a restored snapshot of it, or the wrong endpoint; if it is the one that"
            " shall go on, run `sluice db recover`"
        )
    return Kind.HEALTHY, f"{etcd} and the object storage fit together, in epoch {epoch.number}"


async def open_or_bootstrap(
    stores: Stores, *, writer: str, now: datetime, new_id: Callable[[], str]
) -> OpenPoint | StoreDiagnosis:
    """Open a healthy database, or begin one where both stores are empty; else return the diagnosis.

    May be called by several servers at once, and again after a crash: it completes a first start that did not end.
    """
    diagnosis = diagnose(await inspect(stores), now=now)
    if diagnosis.kind is Kind.NEW:
        await _begin_first(stores, diagnosis.holdings.cluster_id, writer=writer, now=now, new_id=new_id)
        diagnosis = diagnose(await inspect(stores), now=now)
    found = diagnosis.holdings
    epoch, lineage, head, flushed = found.epoch, found.lineage, found.head, found.flushed
    if not diagnosis.is_healthy or epoch is None or lineage is None or head is None or flushed is None:
        return diagnosis
    stores.log.expect_cluster(found.cluster_id)
    return OpenPoint(epoch, lineage, head, flushed)


async def _begin_first(
    stores: Stores, cluster_id: int, *, writer: str, now: datetime, new_id: Callable[[], str]
) -> None:
    with crash_points("epoch.object"):
        await stores.epochs.put(
            Epoch(
                number=_FIRST,
                accepted_digest=GENESIS_DIGEST,
                cluster_id=cluster_id,
                writer=writer,
                time_us=micros(now),
                database_id=new_id(),
                cause="a new database",
            )
        )
    epoch = await stores.epochs.newest()
    if epoch is None or epoch.number != _FIRST or epoch.cluster_id != cluster_id:
        return  # of another etcd; the next inspection reports it
    stores.log.expect_cluster(cluster_id)
    with crash_points("epoch.head"):
        await stores.log.begin(*first_marks(epoch.database_id))
