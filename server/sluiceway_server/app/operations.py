"""The operations of `sluice db` on etcd and the object storage directly, without a server.

Each function opens the two stores, does one thing and closes them. Access to both stores is full access to the
database, so no token is needed (decision 0125).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sluiceway.api.database.v1 import database_service_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, SluicewayError
from sluiceway_server.app.database_messages import verify_logs, verify_message
from sluiceway_server.app.database_status import database_status
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.app.store_access import Opened, StoreSettings, opened, operator_name, survey
from sluiceway_server.datamanager.admin.export import export_stores
from sluiceway_server.datamanager.admin.import_ import Imported, Importer
from sluiceway_server.datamanager.admin.restore_points import RestorePoint, RestorePoints
from sluiceway_server.datamanager.admin.verify import Verifier
from sluiceway_server.datamanager.admin.verify_context import Progress
from sluiceway_server.datamanager.log.entries import Catalogue, from_micros, from_sequence_proto
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.recovery.diagnosis import diagnose, inspect
from sluiceway_server.datamanager.recovery.history import HistoryEnd, Inventory, find_end, unreachable
from sluiceway_server.datamanager.recovery.recovery import Recovered, Recovery
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.checkpoint import Checkpointer
from sluiceway_server.logs.check import LogCheck
from sluiceway_server.logs.store import LogStore

__all__ = [
    "RecoverPlan",
    "RestorePlan",
    "StoreSettings",
    "checkpoint",
    "export",
    "history",
    "import_file",
    "parse_target",
    "plan_recovery",
    "plan_restore",
    "recover",
    "restore",
    "status",
    "verify",
]


async def status(settings: StoreSettings) -> pb.GetDatabaseStatusResponse:
    """Read the status from both stores, as `database_status`."""
    async with opened(settings, only_reads=True) as at:
        return await database_status(at.stores(), now=SystemClock().now())


async def verify(
    settings: StoreSettings, *, skip_logs: bool = False
) -> AsyncGenerator[pb.VerifyDatabaseResponse, None]:
    """Verify the database, and then the stored logs. See `Verifier` and `LogCheck`; etcd may be left out."""
    async with opened(settings, only_reads=True) as at:
        scratch, now = at.scratch / "changes.sqlite", SystemClock().now
        verifier = Verifier(at.stored(), types=RECORD_TYPES, scratch=scratch, now=now)
        progress = Progress(0, 0, 0)
        async with aclosing(verifier.run()) as findings:
            async for found in findings:
                if isinstance(found, Progress):
                    progress = found
                yield verify_message(found, progress)
        if not skip_logs:
            store = LogStore(at.storage, SystemClock(), prefix=at.prefix)
            check = LogCheck(at.storage, store, prefix=at.prefix)
            async with aclosing(verify_logs(check, progress)) as messages:
                async for message, _ in messages:
                    yield message


async def export(settings: StoreSettings) -> AsyncGenerator[bytes, None]:
    """Export. See `export_stores`; without etcd what the object storage alone holds."""
    async with opened(settings, only_reads=True) as at:
        pieces = export_stores(at.stored(), scratch=at.scratch / "changes.sqlite", now=SystemClock().now)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece


async def import_file(settings: StoreSettings, file: Path, *, progress: Callable[[int], None]) -> Imported:
    """Import an export. See `Importer`."""
    async with opened(settings) as at:
        ids = UuidSource()
        return await Importer(
            at.stores(),
            file,
            types=RECORD_TYPES,
            writer=operator_name(),
            now=SystemClock().now,
            new_id=ids.new_id,
            file_bytes=DataManagerSettings().file_bytes,
        ).run(progress=progress)


async def checkpoint(settings: StoreSettings) -> pb.CheckpointDatabaseResponse:
    """Make a checkpoint of what the object storage has; servers may be running.

    Raises:
        FailedPrecondition: etcd and storage do not fit together, or there is nothing to make one of.
        SluicewayError: see `Checkpointer.run`.
    """
    async with opened(settings) as at:
        stores, clock = at.stores(), SystemClock()
        diagnosis = diagnose(await inspect(stores), now=clock.now())
        found = diagnosis.holdings
        if not diagnosis.is_healthy or found.flushed is None or found.lineage is None or found.epoch is None:
            raise diagnosis.error()
        before = await stores.manifests.newest(found.lineage)
        made = await Checkpointer(
            stores,
            catalogue=Catalogue(RECORD_TYPES),
            database_id=found.epoch.database_id,
            folder=at.scratch,
            settings=DataManagerSettings(server_id=operator_name(), etcd_name=settings.etcd_name),
            clock=clock,
        ).run(found.flushed, found.lineage)
    if made is None:
        raise FailedPrecondition("there is nothing to make a checkpoint of: the database has no entry yet")
    return pb.CheckpointDatabaseResponse(
        sequence=str(from_sequence_proto(made.sequence)), made=before is None or before.sequence != made.sequence
    )


@dataclass(frozen=True, slots=True)
class RecoverPlan:
    """The effect of a recovery, for the person who decides.

    Attributes:
        found: what is wrong, in a sentence.
        end: where the database would continue.
        epoch: the new one, if nobody else recovers meanwhile.
        time: of the last entry that is kept; None if no entry is kept.
    """

    found: str
    end: HistoryEnd
    epoch: int
    time: datetime | None


async def plan_recovery(settings: StoreSettings, *, force: bool) -> RecoverPlan:
    """Return what a recovery would do. Nothing is changed, and the plan stays valid while a person decides.

    Args:
        settings: where the database is.
        force: recover even if the object storage is in use.

    Raises:
        FailedPrecondition: nothing to recover, another database, or the storage is in use.
        DataLoss: a gap, or damage; the sentence says what to do.
        Unavailable: etcd or the object storage is away.
    """
    async with opened(settings) as at:
        diagnosis, inventory = await survey(at)
        if diagnosis.is_healthy:
            raise FailedPrecondition(f"nothing to recover: {diagnosis.message}", reason="NOTHING_TO_RECOVER")
        end = await find_end(at.stores(), inventory)
        if end.gap is not None:
            raise end.gap.error()
        if not force:
            await _recovery(at).refuse_if_in_use()
        return RecoverPlan(diagnosis.message, end, inventory.newest_epoch + 1, _time_of(end.last.time_us))


async def recover(settings: StoreSettings, plan: RecoverPlan) -> Recovered:
    """Recover into a new epoch, as was planned. The stores are inspected again.

    Raises:
        SluicewayError: see `Recovery.recover`.
    """
    async with opened(settings) as at:
        return await _recovery(at).recover(cause=f"an operator asked for it: {plan.found}")


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """The effect of a restore, for the person who decides.

    Attributes:
        to: the entry that the database would end at.
        time: of it; None: it is the beginning.
        newest: the last entry that is known now.
        newest_time: of it.
        given_up: how many entries after `to` there are.
        epoch: the new one.
    """

    to: LogSequence
    time: datetime | None
    newest: LogSequence
    newest_time: datetime | None
    given_up: int
    epoch: int


async def history(settings: StoreSettings, *, limit: int, before: datetime | None = None) -> Sequence[RestorePoint]:
    """List restore points, the newest first; nothing is changed. See `RestorePoints.newest`."""
    async with opened(settings, only_reads=True) as at:
        _, inventory = await survey(at)
        return await RestorePoints(at.stores(), inventory).newest(limit=limit, before=before)


async def plan_restore(settings: StoreSettings, target: str) -> RestorePlan:
    """Return what a restore to an entry of the history would do. Nothing is changed.

    Args:
        settings: where the database is.
        target: the entry, as `history` prints it, or a time (RFC 3339): the last entry at that time.

    Raises:
        InvalidInput: it is neither.
        FailedPrecondition: the entry is not part of the history, or cannot be reached any more.
        DataLoss, Unavailable: as `plan_recovery`.
    """
    wanted = parse_target(target)
    async with opened(settings) as at:
        _, inventory = await survey(at)
        to = wanted if isinstance(wanted, LogSequence) else await RestorePoints(at.stores(), inventory).at(wanted)
        if not inventory.lineage.contains(to):
            raise FailedPrecondition(
                f"{to} is not part of the present history, which is that of the epochs"
                f" {', '.join(str(epoch) for epoch in inventory.lineage.epochs)}; `sluice db status` shows it",
                reason="SEQUENCE_UNKNOWN",
            )
        end = await find_end(at.stores(), inventory, to=to)
        cleaned = inventory.cleaned.sequence
        if end.last.sequence != to or (cleaned is not None and to < cleaned):
            raise unreachable(inventory, end, to)  # before anybody is asked
        newest, newest_time = await _newest(at, inventory)
        newest = max(newest, to)
        return RestorePlan(
            to=to,
            time=_time_of(end.last.time_us),
            newest=newest,
            newest_time=newest_time,
            given_up=inventory.lineage.count(to, newest),
            epoch=inventory.newest_epoch + 1,
        )


def parse_target(text: str) -> LogSequence | datetime:
    """Read what a restore is to go back to: an entry, or a time with its zone. Raises `InvalidInput`."""
    with suppress(ValueError):
        return LogSequence.parse(text)
    with suppress(ValueError):
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time
    raise InvalidInput(
        f'"{text}" is neither a sequence, such as {LogSequence(1, 42)}, nor a time with its zone, such as'
        " 2026-01-31T12:00:00Z; `sluice db history` lists some of both"
    )


async def restore(settings: StoreSettings, plan: RestorePlan) -> Recovered:
    """Restore to an entry, as was planned: a recovery that gives up all after it.

    Raises:
        SluicewayError: see `Recovery.restore`.
    """
    async with opened(settings) as at:
        return await _recovery(at).restore(plan.to, cause=f"an operator restored it to {plan.to}")


async def _newest(at: Opened, inventory: Inventory) -> tuple[LogSequence, datetime | None]:
    """Return the last entry that is known, with its time if that can be read."""
    newest = LogSequence(inventory.lineage.epochs[0], 0)
    time: datetime | None = None
    try:
        segment = await at.stores().segments.last(inventory.lineage)
    except SluicewayError:
        segment = None  # what is given up need not be whole
    if segment is not None:
        newest, time = segment.last, _time_of(segment.entries[-1].time_us)
    head = inventory.head
    if head is not None and inventory.lineage.contains(head.sequence) and head.sequence > newest:
        entry = await at.stores().log.entry(head.sequence)
        newest, time = head.sequence, time if entry is None else _time_of(entry.time_us)
    return newest, time


def _time_of(time_us: int) -> datetime | None:
    return from_micros(time_us) if time_us else None


def _recovery(at: Opened) -> Recovery:
    settings = DataManagerSettings(server_id=operator_name(), etcd_name=at.settings.etcd_name)
    return Recovery(at.stores(), settings=settings, clock=SystemClock())
