"""Deletes records of the project side that are kept for a time only (`KEPT_FOR`).

The scheduler's server does it, every hour. May be repeated, and interrupted anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.model import Decision, Delete, Query, RecordType, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.records import (
    AUDIT_RECORD,
    CREATION_REQUEST,
    DEVICE_LOGIN,
    INVITATION,
    TOKEN,
    USED_AUTHORIZATION,
)

__all__ = ["KEPT_FOR", "Expiry"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """How long records of a type are kept.

    Attributes:
        type: of the records.
        age: how long after the time of the column.
        column: has seconds.
        where: which records.
    """

    type: RecordType[Any]
    age: timedelta
    column: str = "time"
    where: Mapping[str, int] = field(default_factory=dict)


KEPT_FOR = (
    Kept(CREATION_REQUEST, timedelta(days=30)),
    # A year, and a month in which to look at it.
    Kept(AUDIT_RECORD, timedelta(days=400)),
    Kept(TOKEN, timedelta(days=7), "end", {"session": 1}),
    Kept(INVITATION, timedelta(days=1), "end"),
    # Longer than an authorization may take.
    Kept(USED_AUTHORIZATION, timedelta(hours=1)),
    Kept(DEVICE_LOGIN, timedelta(hours=1)),
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
        for kept in KEPT_FOR:
            before = int((self._clock.now() - kept.age).timestamp())
            while count := await self._delete(kept, before):
                deleted += count
        return deleted

    async def _delete(self, kept: Kept, before: int) -> int:
        def due(view: View) -> list[str]:
            page = view.rows(kept.type, Query(where=dict(kept.where), order=(kept.column,), size=_AT_ONCE))
            times = ((id_, fields[kept.column]) for id_, fields in page.records)
            return [id_ for id_, time in times if isinstance(time, int) and time < before]

        # Without a transaction if nothing is due, which is nearly always.
        if not await self._database.read(due):
            return 0

        def delete(view: View) -> Decision[int]:
            ids = due(view)
            return Decision(len(ids), [Delete(kept.type, id_) for id_ in ids])

        return (await self._database.transact(delete)).value
