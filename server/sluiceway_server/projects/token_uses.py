"""When tokens were last used, to the hour: kept in memory, and stored a moment after the first use in an hour."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.model import Action, Decision, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.records import TOKEN

log = structlog.get_logger(__name__)

PRECISION = timedelta(hours=1)
_GATHER_SECONDS = 1.0
_MOST_WAITING = 10_000
_AT_ONCE = 500


class TokenUses:
    """Stores when tokens were used. What this server has not stored when it ends is lost."""

    def __init__(self, database: Database, clock: Clock, *, gather: float = _GATHER_SECONDS) -> None:
        """Make one.

        Args:
            database: where tokens are.
            clock: for the times.
            gather: the seconds after a use in which others are gathered for the same write.
        """
        self._database = database
        self._clock = clock
        self._gather = gather
        self._used: dict[str, datetime] = {}
        self._has_some = asyncio.Event()

    def note(self, id_: str, token: pb.Token) -> None:
        """Note that a token is used now. Cheap: called for each call."""
        now = self._clock.now()
        if not _is_due(token, now) or id_ in self._used or len(self._used) >= _MOST_WAITING:
            return
        self._used[id_] = now
        self._has_some.set()

    async def run(self) -> None:
        """Store what is noted, until cancelled."""
        while True:
            await self._has_some.wait()
            await asyncio.sleep(self._gather)
            try:
                await self.store()
            except SluicewayError as error:
                log.info("token_uses_not_stored", error=str(error))

    async def store(self) -> None:
        """Store what is noted.

        Raises:
            Unavailable: the database is away; the uses are forgotten.
        """
        used = list(self._used.items())
        self._used.clear()
        self._has_some.clear()
        for at in range(0, len(used), _AT_ONCE):
            part = used[at : at + _AT_ONCE]

            def put(view: View, part: list[tuple[str, datetime]] = part) -> Decision[None]:
                return Decision(None, [action for id_, time in part for action in _changed(view, id_, time)])

            await self._database.transact(put)


def _changed(view: View, id_: str, time: datetime) -> list[Action]:
    stored = view.get(TOKEN, id_)
    if stored is None or not _is_due(stored, time):
        return []
    changed = pb.Token()
    changed.CopyFrom(stored)
    changed.last_use_time.FromDatetime(time)
    return [Put(TOKEN, id_, changed)]


def _is_due(token: pb.Token, now: datetime) -> bool:
    return not token.HasField("last_use_time") or now - token.last_use_time.ToDatetime(tzinfo=UTC) >= PRECISION
