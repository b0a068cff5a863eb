"""Declares executors vanished that stay away, and ends their assignments as lost (run-model.md R13).

The timers are in `absence`. When one has expired, a commit fences the session (`Vanished`), unless the executor's
record changed since it was read: then it came back. The same commit asks some of its live siblings to remove the pods
of that session. When all of them have reported, or did not in time, its assignments are lost, and not before. By then
its pods have ended in any case (`fence_after`): siblings remove what is left of them. Every server does this, each by
its own timers; the commits ensure that it happens once.

An executor that an operator deleted is fenced already: its assignments are lost at once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runmodel.executor_state import AssignmentsEnded, ExecutorPhase, PodsGone, Vanished
from sluiceway_common.runmodel.model import ExecutorId
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.wording import duration
from sluiceway_server.datamanager.model import Decision, Position, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.executors.absence import AbsenceTimers, next_expiry, tick
from sluiceway_server.executors.presence import GroupDirectory
from sluiceway_server.executors.settlement import reason_deleted
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.executor_record import (
    executor_with_vanished_session,
    has_live_assignments,
    phase_of,
    transition,
)
from sluiceway_server.runrecords.types import EXECUTOR
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.executor_times import ExecutorTimes

log = structlog.get_logger(__name__)

_MAX_CLEANERS = 16


@dataclass(frozen=True, slots=True)
class _KnownExecutor:
    record: records.ExecutorRecord
    revision: Position | None

    @property
    def phase(self) -> ExecutorPhase:
        return phase_of(self.record)

    @property
    def is_fenced(self) -> bool:
        return self.phase is not ExecutorPhase.ACTIVE


class FailureDetector:
    """The failure detector of one server."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        *,
        directory: GroupDirectory,
        clock: Clock,
        times: ExecutorTimes,
        interval: timedelta | None = None,
    ) -> None:
        """Create a detector; `run` runs it.

        Args:
            database: where executors are stored.
            engine: ends assignments.
            directory: the live executors.
            clock: monotonic time for the timers, wall time for records.
            times: how long executors may be missing.
            interval: between checks while no executor comes or goes; None: a fraction of the shortest of those times,
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
        self._next_expiry: float | None = None
        self._waits_for_cleaners = False

    async def run(self) -> None:
        """Check until cancelled."""
        await self._directory.ready()
        shortest = self._interval / 10
        while True:
            changed = self._directory.watch()
            try:
                await self.check()
            except SluicewayError as error:
                log.warning("executors_not_checked", error=str(error))
            with suppress(TimeoutError):
                async with time_limit(max(self._pause() - shortest, 0)):
                    await changed.wait()
            # When many come or go at once, one check is enough for all.
            await asyncio.sleep(shortest)

    def _pause(self) -> float:
        if self._waits_for_cleaners:
            return 0.0
        if self._next_expiry is None:
            return self._interval
        return min(self._next_expiry - self._clock.monotonic(), self._interval)

    async def check(self) -> tuple[ExecutorId, ...]:
        """Advance the timers to now, and declare lost what has expired. Return the executors that were handled."""
        known = await self._database.read(_read_all)
        groups: defaultdict[str, list[ExecutorId]] = defaultdict(list)
        for executor_id, executor in known.items():
            groups[executor.record.group].append(executor_id)
        limits = {id_: self._limit(executor.record).total_seconds() for id_, executor in known.items()}
        self._absences, gone = tick(
            self._absences,
            groups,
            self._live(known),
            now=self._clock.monotonic(),
            available_since=self._directory.available_since,
            limits=limits,
            longest_pause=self._times.lost_after.total_seconds(),
            longest_interval=max(3 * self._interval, 1.0),
        )
        fenced = {
            id_
            for id_, executor in known.items()
            if executor.phase is ExecutorPhase.DELETED or (executor.is_fenced and executor.record.cleaners)
        }
        handled: list[ExecutorId] = []
        self._waits_for_cleaners = False
        for executor_id in sorted(fenced.union(gone)):
            if await self._lose(executor_id, known[executor_id]):
                handled.append(executor_id)
                self._absences = self._absences.handled(executor_id)
        self._next_expiry = next_expiry(self._absences, limits)
        return tuple(handled)

    async def pods_gone(self, cleaner: ExecutorId, session_id: str) -> None:
        """Commit that an executor has removed the pods of a vanished session of a sibling, or cannot. May be repeated.

        If it was the last one, the assignments of that session are lost at once.
        """
        now = self._clock.now()

        def function(view: View) -> Decision[ExecutorId | None]:
            executor_id = executor_with_vanished_session(view, session_id)
            if executor_id is None:
                return Decision(None)
            return Decision(executor_id, transition(view, executor_id, PodsGone(session_id, cleaner), now))

        committed = await self._database.transact(function)
        if committed.value is not None:
            known = (await self._database.read(_read_all, after=committed.position)).get(committed.value)
            if known is not None and known.record.session_id == session_id and not known.record.cleaners:
                await self._lose(committed.value, known)

    async def lose_deleted(self, executor_id: ExecutorId, *, after: Position) -> None:
        """End what a deleted executor ran as lost, and remove the executor. May be repeated.

        Args:
            executor_id: of the executor.
            after: the position of the commit that deleted it.
        """
        known = (await self._database.read(_read_all, after=after)).get(executor_id)
        if known is not None and known.phase is ExecutorPhase.DELETED:
            await self._lose(executor_id, known)

    def _limit(self, record: records.ExecutorRecord) -> timedelta:
        return self._times.after_absence(dynamic=record.dynamic)

    def _live(self, known: Mapping[ExecutorId, _KnownExecutor]) -> set[ExecutorId]:
        # A fenced executor is not live, whatever etcd says: its stream is about to end.
        return {
            presence.id
            for presence in self._directory.presences()
            if (executor := known.get(presence.id)) is not None and executor.phase is ExecutorPhase.ACTIVE
        }

    async def _lose(self, executor_id: ExecutorId, known: _KnownExecutor) -> bool:
        """Fence the session of an executor, and end what it ran as lost, unless siblings still remove its pods.

        Return whether its timer has served its purpose: a session that it begins now must have a timer of its own.
        """
        session = known.record.session_id
        now = self._clock.now()
        if self._is_being_cleaned(known.record, now):
            self._waits_for_cleaners = True
            return True
        vanished = Vanished(session, self._cleaners(executor_id, known.record))

        def vanish(view: View) -> Decision[bool]:
            revision = view.revision(EXECUTOR, executor_id)
            if revision is not None and revision != known.revision:
                return Decision(False)
            return Decision(True, transition(view, executor_id, vanished, now))

        def forget(view: View) -> Decision[None]:
            ended = AssignmentsEnded(session, has_others=has_live_assignments(view, executor_id))
            return Decision(None, transition(view, executor_id, ended, now))

        if not (await self._database.transact(vanish)).value:
            return False
        if known.phase is ExecutorPhase.ACTIVE and vanished.cleaners:
            log.warning("executor_vanished", executor=executor_id, session=session, cleaners=sorted(vanished.cleaners))
            self._waits_for_cleaners = True
            return True
        assignments = await self._engine.live_assignments(executor_id)
        owned = [record.id for record in assignments if record.session_id == session]
        if owned:
            log.warning("executor_lost", executor=executor_id, session=session, assignments=owned)
            await self._engine.mark_lost(owned, self._reason(executor_id, known), session_id=session)
        await self._database.transact(forget)
        return True

    def _cleaners(self, executor_id: ExecutorId, record: records.ExecutorRecord) -> frozenset[ExecutorId]:
        """Return the live siblings that may reach the pods of an executor. In a large group, a few are enough."""
        siblings = self._directory.siblings(record.group, executor_id)
        found = (self._directory.find(record.group, sibling) for sibling in siblings)
        able = [each.id for each in found if each is not None and not set(record.drivers).isdisjoint(each.drivers)]
        return frozenset(able[:_MAX_CLEANERS])

    def _is_being_cleaned(self, record: records.ExecutorRecord, now: datetime) -> bool:
        """Return whether siblings still remove its pods, within their time. One may be connecting again meanwhile."""
        if phase_of(record) is not ExecutorPhase.VANISHED or not record.cleaners:
            return False
        return now - codec.read_time(record.missing_since) < self._times.clean_within

    def _reason(self, executor_id: ExecutorId, known: _KnownExecutor) -> Reason:
        if known.phase is ExecutorPhase.DELETED:
            return reason_deleted(executor_id)
        limit = duration(self._limit(known.record))
        return Reason(ReasonCode.EXECUTOR_VANISHED, f"the executor {executor_id} was not heard of for {limit}")


def _read_all(view: View) -> dict[ExecutorId, _KnownExecutor]:
    return {id_: _KnownExecutor(record, view.revision(EXECUTOR, id_)) for id_, record in view.scan(EXECUTOR)}
