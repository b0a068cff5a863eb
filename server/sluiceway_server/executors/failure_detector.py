"""Turns executors that stay away into lost assignments (run-model.md R13).

The clocks are in `absence`. When one has run out, a commit marks the executor as vanished, unless its record moved
since it was read: then it came back. That commit fences its session. Its assignments are lost after that, and not
before. Every server does this, each by its own clocks; the commits make sure that it happens once.

An executor that an operator deleted is fenced by that, and no clock runs: what it ran is lost at once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.runmodel.model import ExecutorId, Reason, ReasonCode
from sluiceway_common.runmodel.wording import duration
from sluiceway_server.datamanager.model import Action, Decision, Delete, Emit, Position, Put, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.executors.absence import AbsenceTimers, look, next_gone
from sluiceway_server.executors.commands import ExecutorEngine
from sluiceway_server.executors.presence import GroupDirectory
from sluiceway_server.executors.sessions import why_deleted
from sluiceway_server.executors.stream import StreamNotice
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR, executor_topic
from sluiceway_server.runs.executor_times import ExecutorTimes

__all__ = ["FailureDetector", "fence"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    record: records.ExecutorRecord
    revision: Position | None


def fence(view: View, executor_id: str, record: records.ExecutorRecord, *, delete: bool) -> list[Action]:
    """The actions that end an executor's session: in its record, and for whoever holds its stream.

    Args:
        view: the database, at the place of the commit.
        executor_id: which.
        record: as stored.
        delete: it goes from the list; at once, or when its assignments have ended.
    """
    notice = Emit(StreamNotice.FENCED, (executor_topic(executor_id),), record.session_id.encode())
    holds = view.select(ASSIGNMENT, Query(where={"executor_id": executor_id, "live": 1}, size=1)).records
    if delete and not holds:
        return [Delete(EXECUTOR, executor_id), notice]
    fenced = records.ExecutorRecord()
    fenced.CopyFrom(record)
    fenced.vanished = True
    fenced.deleted = fenced.deleted or delete
    return [Put(EXECUTOR, executor_id, fenced), notice]


class FailureDetector:
    """See the module."""

    def __init__(
        self,
        database: Database,
        engine: ExecutorEngine,
        *,
        directory: GroupDirectory,
        clock: Clock,
        times: ExecutorTimes,
        interval: timedelta | None = None,
    ) -> None:
        """Make one.

        Args:
            database: where executors are stored.
            engine: ends assignments.
            directory: who is live.
            clock: monotonic time for the clocks, wall time for records.
            times: how long executors may be missing.
            interval: between looks while no executor comes or goes; None: a fraction of the shortest of those times,
                at most 15 s.
        """
        self._database = database
        self._engine = engine
        self._directory = directory
        self._clock = clock
        self._times = times
        shortest = min(times.lost_after, times.vanish_after).total_seconds()
        self._interval = min(15.0, shortest / 20) if interval is None else interval.total_seconds()
        self._absences = AbsenceTimers()
        self._next_gone: float | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        await self._directory.ready()
        shortest = self._interval / 10
        while True:
            changed = self._directory.watch()
            try:
                await self.look()
            except SluicewayError as error:
                log.warning("lost_executors_not_looked_at", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(self._pause() - shortest, 0)):
                    await changed.wait()
            # When many come or go at once, they are looked at together.
            await asyncio.sleep(shortest)

    def _pause(self) -> float:
        """Until the next regular look, or until a clock runs out before that."""
        if self._next_gone is None:
            return self._interval
        return min(self._next_gone - self._clock.monotonic(), self._interval)

    async def look(self) -> tuple[ExecutorId, ...]:
        """Let the clocks run until now, and deal with those who are gone; answers who was dealt with."""
        known = await self._database.read(_read_all)
        groups: defaultdict[str, list[ExecutorId]] = defaultdict(list)
        for executor_id, item in known.items():
            groups[item.record.group].append(executor_id)
        limits = {id_: self._limit(item.record).total_seconds() for id_, item in known.items()}
        self._absences, gone = look(
            self._absences,
            groups,
            self._live(known),
            now=self._clock.monotonic(),
            well_since=self._directory.well_since,
            limits=limits,
            longest_hold=self._times.lost_after.total_seconds(),
            longest_pause=max(3 * self._interval, 1.0),
        )
        deleted = {id_ for id_, item in known.items() if item.record.deleted}
        dealt: list[ExecutorId] = []
        for executor_id in sorted(deleted.union(gone)):
            if await self._lose(executor_id, known[executor_id]):
                dealt.append(executor_id)
                self._absences = self._absences.settled(executor_id)
        self._next_gone = next_gone(self._absences, limits)
        return tuple(dealt)

    async def lose_deleted(self, executor_id: ExecutorId, *, after: Position) -> None:
        """End as lost what an executor ran that an operator deleted, and forget the executor. May be repeated.

        Args:
            executor_id: which.
            after: the position of the commit that deleted it.
        """
        known = (await self._database.read(_read_all, after=after)).get(executor_id)
        if known is not None and known.record.deleted:
            await self._lose(executor_id, known)

    def _limit(self, record: records.ExecutorRecord) -> timedelta:
        return self._times.after_absence(dynamic=record.dynamic)

    def _live(self, known: Mapping[ExecutorId, _Known]) -> set[ExecutorId]:
        # One that was fenced is not live, whatever etcd says: its stream is about to end.
        return {
            presence.id
            for presence in self._directory.presences()
            if (item := known.get(presence.id)) is not None and not (item.record.vanished or item.record.deleted)
        }

    async def _lose(self, executor_id: ExecutorId, known: _Known) -> bool:
        session = known.record.session_id
        now = self._clock.now()

        def vanish(view: View) -> Decision[bool]:
            record = view.get(EXECUTOR, executor_id)
            if record is None:
                return Decision(True)
            if view.revision(EXECUTOR, executor_id) != known.revision:
                return Decision(False)
            if record.vanished:
                return Decision(True)
            seen = records.ExecutorRecord()
            seen.CopyFrom(record)
            codec.put_time(seen.missing_since, now)
            return Decision(True, fence(view, executor_id, seen, delete=False))

        if not (await self._database.transact(vanish)).value:
            return False
        assignments = await self._engine.live_assignments(executor_id)
        owned = [record.id for record in assignments if record.session_id == session]
        if owned:
            log.warning("executor_lost", executor=executor_id, session=session, assignments=owned)
            reason = (
                why_deleted(executor_id)
                if known.record.deleted
                else Reason(
                    ReasonCode.EXECUTOR_VANISHED,
                    f"the executor {executor_id} was not heard of for {duration(self._limit(known.record))}",
                )
            )
            await self._engine.mark_lost(owned, reason, session_id=session)
        await self._forget(executor_id, session)
        return True

    async def _forget(self, executor_id: ExecutorId, session: str) -> None:
        """Take from the list an executor that is dynamic, that an operator deleted, or that never ran anything."""

        def function(view: View) -> Decision[None]:
            record = view.get(EXECUTOR, executor_id)
            if record is None or record.session_id != session or not record.vanished:
                return Decision(None)
            if not (record.dynamic or record.deleted or record.use == records.EXECUTOR_USE_NONE):
                return Decision(None)
            return Decision(None, fence(view, executor_id, record, delete=True))

        await self._database.transact(function)


def _read_all(view: View) -> dict[ExecutorId, _Known]:
    return {id_: _Known(record, view.revision(EXECUTOR, id_)) for id_, record in view.scan(EXECUTOR)}
