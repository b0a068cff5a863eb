"""What counts as having lost the database, and what is done then: save what only this server knows, and say it."""

from __future__ import annotations

import asyncio

import structlog

from sluiceway_common.foundation.errors import DataLoss, SluicewayError
from sluiceway_server.datamanager.log.lineage import Lineage
from sluiceway_server.datamanager.port import DatabaseLost, Seen
from sluiceway_server.datamanager.recovery.diagnosis import Stores
from sluiceway_server.datamanager.recovery.rescue import ReadEntries, rescue
from sluiceway_server.datamanager.settings import DataManagerSettings

__all__ = ["give_up", "loss_in"]

log = structlog.get_logger(__name__)

_LOSSES = frozenset({"LOG_GAP", "LOG_DIVERGED", "ETCD_DAMAGED"})


def loss_in(error: BaseException) -> DatabaseLost | DataLoss | None:
    """Find the error, alone or in groups, that says that the database is lost. None: it is something else. Pure."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for item in error.exceptions if (found := loss_in(item)) is not None), None)
    if isinstance(error, DatabaseLost) or (isinstance(error, DataLoss) and error.reason in _LOSSES):
        return error
    return None


async def give_up(
    loss: DatabaseLost | DataLoss,
    read: ReadEntries,
    seen: Seen,
    *,
    stores: Stores,
    lineage: Lineage,
    database_id: str,
    settings: DataManagerSettings,
) -> DatabaseLost:
    """Rescue what this server knows, within `rescue_timeout`, and make the error that ends its database."""
    limit = settings.rescue_timeout.total_seconds()
    try:
        async with asyncio.timeout(limit):
            rescued = await rescue(
                read, seen, stores=stores, lineage=lineage, database_id=database_id, settings=settings
            )
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
        if rescued.entries or rescued.missing:
            log.warning("entries_rescued", entries=rescued.entries, missing=rescued.missing, last=str(seen.sequence))
    lost = DatabaseLost(f"{loss.message}.{more}", reason=loss.reason, metadata=loss.metadata)
    lost.seen = seen
    return lost
