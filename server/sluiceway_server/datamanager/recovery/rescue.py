"""Rescue: store the entries that this server knows to be committed and the object storage lacks.

A replica holds every entry that its server has seen and that was not flushed. When etcd is lost, those may be the only
copies. So a server that loses its database, and one that finds at its start that etcd is not what it was, first puts
them into segments. They follow from the last one that is stored, are put if absent, and every digest is checked, so
this cannot do harm. Entries that a recovery has left behind meanwhile are void, and reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from sluiceway_common.foundation.crashpoints import crash_points, declare_effects
from sluiceway_common.foundation.errors import DataLoss, SluicewayError
from sluiceway_common.foundation.tasks import errors_in
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.log.entries import LogEntry, decode_entries
from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.log.walk import LogEnd
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.port import DatabaseLost, Seen
from sluiceway_server.datamanager.recovery.diagnosis import stored_end
from sluiceway_server.datamanager.replica.replica import Replica
from sluiceway_server.datamanager.replica.schema import Tables
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.stores import Stores

log = structlog.get_logger(__name__)

ReadEntries = Callable[[LogSequence], Awaitable[list[bytes]]]
"""Reads the entries after one, oldest first: some of them, at least one if there are any."""

declare_effects("recover.rescue")

_LOSSES = frozenset({"LOG_GAP", "LOG_DIVERGED", "ETCD_DAMAGED"})


@dataclass(frozen=True, slots=True)
class Rescued:
    """How many entries were put into segments, and how many do not follow from what is stored."""

    entries: int
    missing: int


async def rescue(
    read: ReadEntries,
    seen: Seen,
    *,
    stores: Stores,
    lineage: Lineage,
    database_id: str,
    settings: DataManagerSettings,
) -> Rescued:
    """Put the entries up to `seen` into segments, as far as the storage lacks them and they follow from what it has.

    Raises:
        DataLoss: the newest segment or manifest is damaged.
        Unavailable: the object storage is away.
    """
    end = await stored_end(stores, lineage) or LogEnd.beginning(lineage)
    entries = missing = 0
    while end.sequence < seen.sequence and not missing:
        part, moved = list[LogEntry](), end
        for entry in await asyncio.to_thread(decode_entries, await read(end.sequence)):
            if entry.sequence != lineage.following(moved.sequence) or entry.previous_digest != moved.digest:
                break
            if entry.sequence > seen.sequence or (part and entry.sequence.epoch != moved.sequence.epoch):
                break
            part.append(entry)
            moved = moved.plus(entry, "this server")
        if not part:
            missing = lineage.count(end.sequence, seen.sequence)
            break
        with crash_points("recover.rescue"):
            stored = await stores.segments.put_entries(
                part, total_bytes=moved.total_bytes, writer=settings.server_id, database_id=database_id
            )
        if stored:
            entries += len(part)
            end = moved
        elif (other := await stored_end(stores, lineage)) is not None and other.sequence > end.sequence:
            end = other  # another server put the same entries
        else:
            missing = len(part)
    if entries or missing:
        log.warning("entries_rescued", entries=entries, missing=missing, last=str(seen.sequence))
    return Rescued(entries, missing)


def find_loss(error: BaseException) -> DatabaseLost | DataLoss | None:
    """Return the error, alone or in groups, that means that the database is lost; None: it is another failure. Pure."""
    for each in errors_in(error):
        if isinstance(each, DatabaseLost) or (isinstance(each, DataLoss) and each.reason in _LOSSES):
            return each
    return None


async def rescue_before_shutdown(
    loss: DatabaseLost | DataLoss, rescuing: Awaitable[Rescued], seen: Seen, *, timeout: timedelta
) -> DatabaseLost:
    """Wait for the rescue of what this server knows, and return the error that ends its database."""
    limit = timeout.total_seconds()
    try:
        async with time_limit(limit):
            rescued = await rescuing
    except (SluicewayError, TimeoutError) as error:
        why = f"the object storage did not take them within {limit:g} s" if isinstance(error, TimeoutError) else error
        more = (
            f" What this server knows up to {seen.sequence} may be in its read database only ({why}): keep its folder,"
            " it is tried again when the database is opened."
        )
        log.warning("entries_not_rescued", last=str(seen.sequence), error=str(why))
    else:
        more = f" {rescued.entries} entries that only this server had are in the object storage now." * bool(
            rescued.entries
        )
        if rescued.missing:
            more += f" {rescued.missing} entries that it knows do not follow from what is stored."
    lost = DatabaseLost(f"{loss.message}.{more}", reason=loss.reason, metadata=loss.metadata)
    lost.seen = seen
    return lost


async def rescue_from_file(
    path: Path, tables: Tables, *, stores: Stores, settings: DataManagerSettings
) -> tuple[Seen, Rescued] | None:
    """Rescue from the read database that an earlier process left, if there is one, of this database.

    Returns what it had seen, and the outcome.

    Raises:
        DataLoss, Unavailable: as `rescue`.
    """
    epochs = await stores.epochs.all()
    if not epochs:
        return None
    database_id = epochs[-1].database_id
    seen = await seen_by_file(path, tables, database_id)
    if seen is None or seen.sequence.epoch not in {epoch.number for epoch in epochs}:
        return None
    try:
        firsts, manifests = await stores.segments.firsts(), await stores.manifests.sequences()
        stored = max((sequence.epoch for sequence in (*firsts, *manifests)), default=0)
        # An epoch that this server has worked in is part of the history, even if nothing of it is stored yet.
        lineage = stores.epochs.lineage_of(epochs, max(stored, seen.sequence.epoch))
        if not lineage.contains(seen.sequence):
            return seen, Rescued(0, 0)

        async def read(after: LogSequence) -> list[bytes]:
            return await asyncio.to_thread(read_entries, after)

        def read_entries(after: LogSequence) -> list[bytes]:
            with closing(Replica(path, tables, writes=False)) as database:
                return database.entries_after(after, limit=settings.flush_entries, max_bytes=settings.flush_bytes)

        rescued = await rescue(read, seen, stores=stores, lineage=lineage, database_id=database_id, settings=settings)
    except Replica.Damaged as error:
        log.warning("read_database_damaged", path=str(path), error=str(error))
        return None
    return seen, rescued


async def seen_by_file(path: Path, tables: Tables, database_id: str) -> Seen | None:
    """Return what a read database has applied; None when there is none, or not of this database, or it is damaged."""

    def read() -> Seen | None:
        with suppress(Replica.Damaged), closing(Replica(path, tables, writes=False)) as database:
            if database.database_id() == database_id:
                applied = database.applied_up_to()
                return Seen(applied.position.sequence, applied.digest)
        return None

    return await asyncio.to_thread(read) if await asyncio.to_thread(path.exists) else None
