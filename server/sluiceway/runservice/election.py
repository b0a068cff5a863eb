"""The election of the placer: one server makes the decisions that are global (run-model.md, "How it runs").

It is the one that the record `placer` names, with its term. Each of its transactions looks at that record, in the log's
order: a paused placer that wakes finds another term there and decides nothing. It gives a sign of life by writing the
record; a server that sees none for `placer_timeout` by its own clock takes over with the next term. No clock is
compared with another one. With its signs of life the placer also opens a new epoch for assignments (`holding`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from sluiceway.datamanager.model import Decision, Put, View
from sluiceway.datamanager.port import Database
from sluiceway.foundation.clock import Clock
from sluiceway.foundation.errors import SluicewayError
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway.runservice import holding
from sluiceway.runservice.ports import EngineSettings
from sluiceway.runservice.records import PLACER, PLACER_ID

__all__ = ["Election", "Listener"]

_log = structlog.get_logger(__name__)

RESIGN_TIMEOUT = timedelta(seconds=2)


class Listener(Protocol):
    """Who hears how it went."""

    async def elected(self) -> None:
        """This server is the placer now."""

    async def opened(self) -> None:
        """This server is the placer, and assignments may be made from now on."""


@dataclass(slots=True)
class _Sighting:
    """The last sign of life of the placer, and when this server saw it, by its own clock."""

    sign: tuple[str, int, int]
    at: float


class Election:
    """See the module.

    Attributes:
        term: of this server as the placer, as far as it knows; None: another one is.
    """

    def __init__(self, db: Database, clock: Clock, *, settings: EngineSettings, listener: Listener) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._listener = listener
        self.term: int | None = None
        self._sighting: _Sighting | None = None
        self._closed_since: tuple[int, float] | None = None

    def leads(self, view: View) -> bool:
        """Whether this server is the placer, at exactly this place of the log."""
        record = view.get(PLACER, PLACER_ID)
        return record is not None and record.server_id == self._settings.server_id and record.term == self.term

    async def run(self) -> None:
        """Stand for election again and again, until cancelled. `resign` afterwards."""
        while True:
            try:
                await self.stand()
            except SluicewayError as error:
                _log.warning("placer_election_failed", error=str(error), code=error.code)
            await asyncio.sleep(self._settings.placer_beat.total_seconds())

    async def stand(self) -> None:
        """Give a sign of life as the placer, or take over from one that gives none. Once; `run` repeats it."""
        record = await self._db.read(lambda view: view.get(PLACER, PLACER_ID))
        if record is not None and record.server_id == self._settings.server_id and record.term == self.term:
            await self._beat()
            return
        if self.term is not None:
            _log.warning("placer_lost", term=self.term)
            self.term = None
        if record is not None and record.server_id:
            sign = (record.server_id, record.term, record.beat)
            now = self._clock.monotonic()
            if self._sighting is None or self._sighting.sign != sign:
                self._sighting = _Sighting(sign, now)
                return
            if now - self._sighting.at < self._settings.placer_timeout.total_seconds():
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
            taken.server_id, taken.term, taken.beat = self._settings.server_id, term, 1
            self._advance(view, taken)
            return Decision(taken, [Put(PLACER, PLACER_ID, taken)])

        taken = (await self._db.transact(function)).value
        if taken is not None:
            self.term = taken.term
            _log.info("placer_elected", term=self.term, server=self._settings.server_id)
            await self._tell_of_hold(seen, taken)
            await self._listener.elected()

    async def _beat(self) -> None:
        def function(view: View) -> Decision[tuple[pb.PlacerRecord, pb.PlacerRecord] | None]:
            record = view.get(PLACER, PLACER_ID)
            if record is None or not self.leads(view):
                return Decision(None)
            beat = pb.PlacerRecord()
            beat.CopyFrom(record)
            beat.beat += 1
            self._advance(view, beat)
            return Decision((record, beat), [Put(PLACER, PLACER_ID, beat)])

        moved = (await self._db.transact(function)).value
        if moved is not None:
            before, after = moved
            await self._tell_of_hold(before, after)
            if after.open_epoch != before.open_epoch:
                await self._listener.opened()

    def _advance(self, view: View, record: pb.PlacerRecord) -> None:
        # Each placer waits by its own clock, from the moment when it first sees the epoch.
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
        if self.term is None:
            return

        def function(view: View) -> Decision[None]:
            record = view.get(PLACER, PLACER_ID)
            if record is None or not self.leads(view):
                return Decision(None)
            left = pb.PlacerRecord()
            left.CopyFrom(record)
            left.server_id = ""
            return Decision(None, [Put(PLACER, PLACER_ID, left)])

        try:
            async with asyncio.timeout(RESIGN_TIMEOUT.total_seconds()):
                await self._db.transact(function)
                _log.info("placer_resigned", server=self._settings.server_id)
        except (SluicewayError, TimeoutError) as error:
            # Then another takes over when it misses the signs of life.
            _log.warning("placer_did_not_resign", error=str(error))
        self.term = None
