"""The election of the scheduler: one server makes the decisions that are global (run-model.md, "How it runs").

The record `placer` names it, with its term. Each of its transactions reads that record, in the log's order: a paused
scheduler that wakes finds another term there and decides nothing. It is alive while it renews a lease in etcd
(`ports.ServerPresence`); a server that finds the lease gone takes over with the next term. The lease is a hint only,
the term decides. The scheduler also opens a new epoch for assignments (`holding`).

The record changes with the scheduler and with the hold only, so an idle installation commits nothing.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Protocol

import structlog

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.model import Decision, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.runrecords.types import PLACER, PLACER_ID
from sluiceway_server.runs import recovery_hold as holding
from sluiceway_server.runs.ports import EngineSettings, ServerPresence

_log = structlog.get_logger(__name__)

RESIGN_TIMEOUT = timedelta(seconds=2)


class Listener(Protocol):
    """Is notified of the results."""

    async def elected(self) -> None:
        """Handle that this server is the scheduler now."""

    async def opened(self) -> None:
        """Handle that this server, the scheduler, may make assignments from now on."""


class Election:
    """The election, seen from one server.

    Attributes:
        term: of this server as the scheduler, as far as it knows; None: another one is.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        settings: EngineSettings,
        servers: ServerPresence,
        listener: Listener,
    ) -> None:
        self._db = db
        self._clock = clock
        self._servers = servers
        self._settings = settings
        self._listener = listener
        self.term: int | None = None
        self._closed_since: tuple[int, float] | None = None

    def leads(self, view: View) -> bool:
        """Return whether this server is the scheduler, at exactly this place of the log."""
        record = view.get(PLACER, PLACER_ID)
        return record is not None and record.server_id == self._settings.server_id and record.term == self.term

    async def run(self) -> None:
        """Stand for election again and again, until cancelled. `resign` afterwards."""
        while True:
            try:
                await self.stand()
            except SluicewayError as error:
                _log.warning("scheduler_election_failed", error=str(error), code=error.code)
            await asyncio.sleep(self._settings.scheduler_interval.total_seconds())

    async def stand(self) -> None:
        """Show that this server is alive, and take over from a scheduler that is not. Once; `run` repeats it."""
        await self._servers.renew()
        record = await self._db.read(lambda view: view.get(PLACER, PLACER_ID))
        is_named = record is not None and record.server_id == self._settings.server_id
        if record is not None and is_named and record.term == self.term:
            if record.open_epoch != self._db.epoch:
                await self._advance_hold()
            return
        if self.term is not None:
            _log.warning("scheduler_lost", term=self.term)
            self.term = None
        # A record that names this server with a term that it does not know is of a term that it lost with its database.
        if record is not None and record.server_id and not is_named and await self._servers.is_live(record.server_id):
            return
        await self._take_over(record)

    async def _take_over(self, seen: pb.PlacerRecord | None) -> None:
        def function(view: View) -> Decision[pb.PlacerRecord | None]:
            record = view.get(PLACER, PLACER_ID)
            if (record is None) != (seen is None) or (record is not None and record != seen):
                return Decision(None)
            term = (record.term if record is not None else 0) + 1
            taken = pb.PlacerRecord()
            if record is not None:
                taken.CopyFrom(record)
            taken.server_id, taken.term = self._settings.server_id, term
            self._advance(view, taken)
            return Decision(taken, [Put(PLACER, PLACER_ID, taken)])

        taken = (await self._db.transact(function)).value
        if taken is not None:
            self.term = taken.term
            _log.info("scheduler_elected", term=self.term, server=self._settings.server_id)
            await self._tell_of_hold(seen, taken)
            await self._listener.elected()

    async def _advance_hold(self) -> None:
        def function(view: View) -> Decision[tuple[pb.PlacerRecord, pb.PlacerRecord] | None]:
            record = view.get(PLACER, PLACER_ID)
            if record is None or not self.leads(view):
                return Decision(None)
            changed = pb.PlacerRecord()
            changed.CopyFrom(record)
            self._advance(view, changed)
            return Decision((record, changed), [Put(PLACER, PLACER_ID, changed)] if changed != record else [])

        moved = (await self._db.transact(function)).value
        if moved is not None:
            before, after = moved
            await self._tell_of_hold(before, after)
            if after.open_epoch != before.open_epoch:
                await self._listener.opened()

    def _advance(self, view: View, record: pb.PlacerRecord) -> None:
        # Each scheduler waits by its own clock, from the moment when it first sees the epoch.
        epoch, now = view.position.sequence.epoch, self._clock.monotonic()
        if self._closed_since is None or self._closed_since[0] != epoch:
            self._closed_since = (epoch, now)
        holding.advance(
            record,
            view,
            now=self._clock.now(),
            waited=timedelta(seconds=now - self._closed_since[1]),
            lost_after=self._settings.lost_after,
        )

    async def _tell_of_hold(self, before: pb.PlacerRecord | None, after: pb.PlacerRecord) -> None:
        if after.held_epoch and (before is None or before.held_epoch != after.held_epoch):
            reason = await self._db.read(holding.why_held)
            _log.warning("assignments_held", epoch=after.held_epoch, why=reason.sentence if reason else "")
        if before is not None and before.held_epoch and not after.held_epoch:
            _log.info("assignments_open", epoch=after.open_epoch)

    async def resign(self) -> None:
        """Leave the place at once, so that another need not wait. Takes two seconds at most; may be called twice."""
        if self.term is not None:
            await self._resign()
        await self._servers.leave()

    async def _resign(self) -> None:
        def function(view: View) -> Decision[None]:
            record = view.get(PLACER, PLACER_ID)
            if record is None or not self.leads(view):
                return Decision(None)
            left = pb.PlacerRecord()
            left.CopyFrom(record)
            left.server_id = ""
            return Decision(None, [Put(PLACER, PLACER_ID, left)])

        try:
            async with time_limit(RESIGN_TIMEOUT.total_seconds()):
                await self._db.transact(function)
                _log.info("scheduler_resigned", server=self._settings.server_id)
        except (SluicewayError, TimeoutError) as error:
            # Then another takes over when the key of this server is gone.
            _log.warning("scheduler_did_not_resign", error=str(error))
        self.term = None
