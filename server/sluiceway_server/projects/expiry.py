"""Deletes records of the project side that are kept for a time only (`KEPT_FOR`).

The scheduler's server does it, every hour. May be repeated, and interrupted anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.model import Decision, Delete, Query, RecordType, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.records import AUDIT_RECORD, CREATION_REQUEST, DEVICE_LOGIN, USED_AUTHORIZATION

__all__ = ["KEPT_FOR", "Expiry"]

log = structlog.get_logger(__name__)

KEPT_FOR: tuple[tuple[RecordType[Any], timedelta], ...] = (
    (CREATION_REQUEST, timedelta(days=30)),
    # A year, and a month in which to look at it.
    (AUDIT_RECORD, timedelta(days=400)),
    # Longer than an authorization may take.
    (USED_AUTHORIZATION, timedelta(hours=1)),
    (DEVICE_LOGIN, timedelta(hours=1)),
)
_AT_ONCE = 500


class Expiry:
    """The loop that deletes what is older than it is kept for."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        is_elected: Callable[[], bool],
        interval: timedelta = timedelta(hours=1),
    ) -> None:
        """Make one.

        Args:
            database: where the records are.
            clock: tells their age.
            is_elected: whether this server does it.
            interval: between two passes.
        """
        self._database = database
        self._clock = clock
        self._is_elected = is_elected
        self._interval = interval

    async def run(self) -> None:
        """Delete now and then, until cancelled."""
        while True:
            await asyncio.sleep(self._interval.total_seconds())
            if not self._is_elected():
                continue
            try:
                deleted = await self.sweep()
            except SluicewayError as error:
                log.warning("expiry_waits", error=str(error), code=error.code)
            else:
                if deleted:
                    log.info("expired_records_deleted", records=deleted)

    async def sweep(self) -> int:
        """Delete everything that is due; return how many records.

        Raises:
            Unavailable: the database is away.
        """
        deleted = 0
        for type_, kept_for in KEPT_FOR:
            before = int((self._clock.now() - kept_for).timestamp())
            while count := await self._delete(type_, before):
                deleted += count
        return deleted

    async def _delete(self, type_: RecordType[Any], before: int) -> int:
        def due(view: View) -> list[str]:
            page = view.rows(type_, Query(order=("time",), size=_AT_ONCE))
            return [id_ for id_, fields in page.records if isinstance(fields["time"], int) and fields["time"] < before]

        # Without a transaction if nothing is due, which is nearly always.
        if not await self._database.read(due):
            return 0

        def delete(view: View) -> Decision[int]:
            ids = due(view)
            return Decision(len(ids), [Delete(type_, id_) for id_ in ids])

        return (await self._database.transact(delete)).value
