"""The sweep: what time alone moves, and the safety net under everything else.

Timeouts of runs and of approvals happen when nothing else does, so somebody has to look. The placer does: every
`sweep_interval`, and earlier when it knows of a deadline. While it looks it moves whatever should have moved already;
that is counted (`sluiceway_runs_moved_by_sweep_total`), because it is a defect somewhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog
from prometheus_client import Counter

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.datamanager.model import Action, Decision, Delete, Fields, Page, Query, View
from sluiceway.datamanager.port import Committed, Database
from sluiceway.foundation.clock import Clock
from sluiceway.foundation.errors import SluicewayError
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway.runmodel import rules
from sluiceway.runmodel.state import RunState
from sluiceway.runservice.placer import Placer
from sluiceway.runservice.ports import EngineSettings
from sluiceway.runservice.records import QUEUE, REQUEST, RUN, outcomes
from sluiceway.runservice.work import Work, load_run

__all__ = ["MOVED_BY_SWEEP", "Sweep"]

_log = structlog.get_logger(__name__)

MOVED_BY_SWEEP = Counter(
    "sluiceway_runs_moved_by_sweep_total", "Runs that should have moved by themselves and that only the sweep moved."
)
SOONEST = timedelta(milliseconds=200)
REQUESTS_AT_ONCE = 500


class Transact(Protocol):
    """`Engine._transact`."""

    async def __call__(self, decide: Callable[[Work], bool]) -> Committed[bool]:
        """Commit what `decide` does to a work."""
        ...


class Sweep:
    """See the module."""

    def __init__(
        self, transact: Transact, db: Database, clock: Clock, *, settings: EngineSettings, placer: Placer
    ) -> None:
        self._transact = transact
        self._db = db
        self._clock = clock
        self._settings = settings
        self._placer = placer
        self._next_deadline: datetime | None = None

    async def run(self) -> None:
        """Sweep until cancelled, while this server is the placer."""
        while True:
            await asyncio.sleep(self._pause().total_seconds())
            if self._placer.election.term is None:
                continue
            try:
                await self.sweep()
            except SluicewayError as error:
                _log.warning("sweep_failed", error=str(error), code=error.code)

    def _pause(self) -> timedelta:
        if self._next_deadline is None:
            return self._settings.sweep_interval
        left = self._next_deadline - self._clock.now()
        return min(max(left, SOONEST), self._settings.sweep_interval)

    async def sweep(self) -> int:
        """Look at every run that is not over, once; answers how many should have moved before."""
        moved = 0
        deadlines: list[datetime] = []
        for run_id in await self._ids(api.RUN_PHASE_RUNNING):
            # Between two runs others get their turn: a sweep is never urgent.
            await asyncio.sleep(0)
            moved += await self._look_at(run_id, deadlines)
        moved += await self._start_forgotten()
        await self._forget_requests()
        self._next_deadline = min(deadlines, default=None)
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

    async def _look_at(self, run_id: str, deadlines: list[datetime]) -> int:
        now = self._clock.now()
        state = await self._db.read(lambda view: load_run(view, run_id))
        if state is None:
            return 0
        if not _moves(state, now):
            deadline = rules.next_deadline(state)
            if deadline is not None:
                deadlines.append(deadline)
            return 0

        def decide(work: Work) -> bool:
            stored = work.run(run_id)
            if stored is None or not _moves(stored, work.now):
                return False
            due = rules.next_deadline(stored)
            work.take(rules.advance(stored.forget(), work.now, since=stored))
            return due is None or due > work.now

        return int((await self._transact(decide)).value)

    async def _start_forgotten(self) -> int:
        queued = outcomes(phases=(api.RUN_PHASE_QUEUED,))

        def read(view: View) -> dict[str, str]:
            groups: dict[str, str] = {}
            token = ""
            while True:
                query = Query(where={"outcome": queued}, order=("created",), size=1000, token=token)
                page = view.rows(RUN, query)
                for key, fields in page.records:
                    group = str(fields["group"])
                    if group not in groups and view.get(QUEUE, group) is None:
                        groups[group] = key
                if not page.next_token:
                    return groups
                token = page.next_token

        seen = await self._db.read(read)
        if not seen:
            return 0
        # Another server's commit made them just now, perhaps, and this one is about to start them: that is no defect.
        await asyncio.sleep(self._settings.sweep_patience.total_seconds())
        groups = [group for group, head in (await self._db.read(read)).items() if seen.get(group) == head]
        started = 0
        for group in groups:

            def decide(work: Work, group: str = group) -> bool:
                work.freed_groups.add(group)
                return False

            await self._transact(decide)
            started += int((await self._db.read(partial(_holder, group))) is not None)
        return started

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
