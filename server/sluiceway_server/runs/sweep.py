"""The sweep: finds runs that should have moved.

The scheduler checks every unfinished run when it is elected, and every `sweep_interval` after that. A run that should
have moved is moved then, and counted (`sluiceway_runs_moved_by_sweep_total`): it is a defect somewhere else.
It also finds all deadlines, for the timers: so a server that becomes the scheduler knows those that were set before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial

import structlog
from prometheus_client import Counter

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runmodel import rules, stopping
from sluiceway_common.runmodel.state import RunState
from sluiceway_server.datamanager.model import Action, Decision, Delete, Fields, Page, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import walk_rows
from sluiceway_server.runrecords.executor_record import drain_of
from sluiceway_server.runrecords.types import EXECUTOR, QUEUE, REQUEST, RUN, outcomes
from sluiceway_server.runs.deadlines import Deadlines, Looked, Transact
from sluiceway_server.runs.ports import EngineSettings
from sluiceway_server.runs.scheduler import Scheduler
from sluiceway_server.runs.timers import Subject, Timers
from sluiceway_server.runs.transaction import RunTransaction, load_run

_log = structlog.get_logger(__name__)

MOVED_BY_SWEEP = Counter(
    "sluiceway_runs_moved_by_sweep_total", "Runs that should have moved by themselves and that only the sweep moved."
)
REQUESTS_AT_ONCE = 500


class Sweep:
    """Checks every unfinished run now and then."""

    def __init__(
        self,
        transact: Transact,
        db: Database,
        clock: Clock,
        *,
        settings: EngineSettings,
        scheduler: Scheduler,
        deadlines: Deadlines,
        timers: Timers,
    ) -> None:
        self._transact = transact
        self._db = db
        self._clock = clock
        self._settings = settings
        self._scheduler = scheduler
        self._deadlines = deadlines
        self._timers = timers

    async def run(self) -> None:
        """Sweep until cancelled, while this server is the scheduler."""
        while True:
            with suppress(TimeoutError):
                async with time_limit(self._settings.sweep_interval.total_seconds()):
                    await self._scheduler.was_elected.wait()
            self._scheduler.was_elected.clear()
            if self._scheduler.election.term is None:
                # Another server has them now.
                self._timers.clear()
                continue
            try:
                await self.sweep()
            except SluicewayError as error:
                _log.warning("sweep_failed", error=str(error), code=error.code)

    async def sweep(self) -> int:
        """Check every unfinished run once; return how many should have moved before."""
        moved = 0
        for run_id in await self._ids(api.RUN_PHASE_RUNNING):
            # Between two runs others get their turn: a sweep is never urgent.
            await asyncio.sleep(0)
            moved += await self._look_at(run_id)
        await self._find_drains()
        moved += await self._start_forgotten()
        await self._forget_requests()
        if moved:
            MOVED_BY_SWEEP.inc(moved)
            _log.error("sweep_moved_runs", runs=moved)
        return moved

    async def _ids(self, phase: int) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            query = Query(where={"outcome": outcomes(phases=(phase,))}, order=("created",), size=1000, token=token)
            page = await self._db.read(partial(_rows, query))
            found.extend(run_id for run_id, _ in page.records)
            if not page.next_token:
                return found
            token = page.next_token

    async def _look_at(self, run_id: str) -> int:
        now = self._clock.now()
        state = await self._db.read(lambda view: load_run(view, run_id))
        if state is None:
            return 0
        deadline, looked = stopping.next_deadline(state), Looked()
        if _moves(state, now):
            looked = await self._deadlines.look_at_run(run_id)
            deadline = looked.next_deadline
        if deadline is not None:
            self._timers.add((Subject.RUN, run_id), deadline)
        return int(looked.was_forgotten)

    async def _find_drains(self) -> None:
        def read(view: View) -> dict[str, datetime]:
            return {
                id_: drain.deadline
                for id_, record in view.scan(EXECUTOR)
                if (drain := drain_of(record)) is not None and drain.deadline is not None
            }

        for executor_id, deadline in (await self._db.read(read)).items():
            self._timers.add((Subject.DRAIN, executor_id), deadline)

    async def _start_forgotten(self) -> int:
        queued = outcomes(phases=(api.RUN_PHASE_QUEUED,))

        def read(view: View) -> list[str]:
            rows = walk_rows(view, RUN, {"outcome": queued}, order=("created",))
            groups = dict.fromkeys(str(fields["group"]) for _, fields in rows)
            return [group for group in groups if view.get(QUEUE, group) is None]

        seen = await self._startable(await self._db.read(read))
        if not seen:
            return 0
        # Another server's commit allowed them just now, perhaps, and this one is about to start them: that is no
        # defect.
        await asyncio.sleep(self._settings.sweep_patience.total_seconds())
        groups = [group for group, run_id in (await self._startable(seen)).items() if seen[group] == run_id]
        started = 0
        for group in groups:

            def decide(transaction: RunTransaction, group: str = group) -> bool:
                transaction.freed_groups.add(group)
                return False

            await self._transact(decide)
            started += int((await self._db.read(partial(_holder, group))) is not None)
        return started

    async def _startable(self, groups: Iterable[str]) -> dict[str, str]:
        """Return which run would start now, of each group of which one would: `concurrency` may not allow it."""
        found = {group: await self._db.read(partial(self._scheduler.would_start, group)) for group in groups}
        return {group: run_id for group, run_id in found.items() if run_id}

    async def _forget_requests(self) -> None:
        oldest = int((self._clock.now() - self._settings.request_kept).timestamp() * 1000)

        def function(view: View) -> Decision[None]:
            page = view.select(REQUEST, Query(order=("time",), size=REQUESTS_AT_ONCE))
            old: list[Action] = [
                Delete(REQUEST, key) for key, record in page.records if record.time.ToMilliseconds() < oldest
            ]
            return Decision(None, old)

        await self._db.transact(function)


def _rows(query: Query, view: View) -> Page[Fields]:
    return view.rows(RUN, query)


def _holder(group: str, view: View) -> pb.QueueRecord | None:
    return view.get(QUEUE, group)


def _moves(state: RunState, now: datetime) -> bool:
    after = rules.advance(state.forget(), now, since=state)
    return bool(after.tasks or after.assignments or after.events) or after.run != state.run
