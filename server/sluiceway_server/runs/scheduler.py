"""The scheduler: starts runs, and assigns tasks to executors (run-model.md, "How it runs").

These are global decisions, so one elected server makes them (`election`); each of its transactions checks that it still
is the scheduler.

When the scheduler itself commits an update, it places in the same transaction; other servers leave a notice in the log.

What a placement reads does not grow with what waits: the tasks that became runnable in its own transaction, then a
window of those that wait longest (an index in the order of run-model.md), then the longest waiting of each owner, so
that a thousand tasks of one owner do not hide one of another. A task that no live executor could ever run is *parked*:
it leaves the window, and is considered again when the executors change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import structlog

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import Conflict, Exhausted, OutOfRange, SluicewayError
from sluiceway_common.runmodel import groups, queues, requests, updates
from sluiceway_common.runmodel.executor_state import ExecutorPhase
from sluiceway_common.runmodel.model import Run, RunPhase
from sluiceway_common.runmodel.placement import Candidate, ExecutorView, Waiting, missing, place
from sluiceway_common.runmodel.queues import QueueSettings
from sluiceway_server.datamanager.model import Decision, Query, View, Where
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.executor_group import with_group_settings
from sluiceway_server.runrecords.executor_record import drain_of, phase_of
from sluiceway_server.runrecords.types import EXECUTOR, RUN, TASK, TOPIC_PLACEMENT, active_in, outcomes
from sluiceway_server.runs import recovery_hold as holding
from sluiceway_server.runs.cache import RunCache
from sluiceway_server.runs.election import Election
from sluiceway_server.runs.ports import EngineSettings, ExecutorDirectory, ScopeSettings, ServerPresence
from sluiceway_server.runs.task_quotas import RunningTasks
from sluiceway_server.runs.timers import Subject, Timers
from sluiceway_server.runs.transaction import KIND_PLACEMENT, RunTransaction

_log = structlog.get_logger(__name__)

WINDOW = 16
MAX_EXECUTORS_COUNTED = 64
MAX_OWNERS = 8
MAX_SERVED = 1000
MAX_STARTS = 100
QUEUED = outcomes(phases=(api.RUN_PHASE_QUEUED,))
QUEUE_WINDOW = 100
SCOPE_WINDOW = 1000
UNPARK_AT_ONCE = 500


class Scheduler:
    """Starts and places, while this server is elected."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        ids: IdSource,
        settings: EngineSettings,
        executors: ExecutorDirectory,
        servers: ServerPresence,
        cache: RunCache,
        timers: Timers,
        scopes: ScopeSettings | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._executors = executors
        self._scopes = scopes
        self._cache = cache
        self._timers = timers
        self.was_elected = asyncio.Event()
        """Set when this server becomes the scheduler; the waiting coroutine clears it."""
        self.election = Election(db, clock, settings=settings, servers=servers, listener=self)
        self._wake = asyncio.Event()
        self._groups: set[str] = set()
        self._look_at_parked = False
        # Transaction functions run in the committer's thread. What they read here is replaced, never changed; what they
        # find out goes through the work, and is applied by `on_committed` in the event loop.
        self._owners: frozenset[str] = frozenset()
        self._live: tuple[ExecutorView, ...] = tuple(executors.live())
        self._load: dict[str, int] = {}
        # In the order in which they were last given a task. A new scheduler knows none: then the longest wait decides.
        self._served: dict[str, int] = {}
        self._turn = 0

    async def run(self) -> None:
        """Stand for election and place, until cancelled; then resign, so that another need not wait."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.election.run(), name="scheduler-election")
                group.create_task(self._keep_placing(), name="scheduler-placing")
                group.create_task(self._listen(), name="scheduler-listening")
        finally:
            await self.election.resign()

    # --- what wakes it --------------------------------------------------------------------------------------------

    async def elected(self) -> None:
        """Consider everything that waits: this server knows nothing of it yet."""
        self._look_at_parked = True
        self.was_elected.set()
        await self._look_at_everything()

    async def opened(self) -> None:
        """Place what waited for the end of the hold."""
        await self._look_at_everything()

    def executors_changed(self) -> None:
        """Consider everything that waits again, parked tasks too. In the event loop."""
        self._live = tuple(self._executors.live())
        self._look_at_parked = True
        self._wake.set()

    def on_committed(self, transaction: RunTransaction) -> None:
        """Apply what a committed transaction of this server found out: timers, slots, what to place."""
        for executor, used in transaction.counted.items():
            self._load[executor] = used
        self._turn += MAX_OWNERS
        if transaction.served:
            self._served = _with_served(self._served, transaction.served)
        if self.election.term is not None:
            for run_id, deadline in transaction.deadlines.items():
                self._timers.set((Subject.RUN, run_id), deadline)
            self._owners = (self._owners - transaction.idle_owners) | (transaction.woken_scopes - {""})
            if transaction.late_groups:
                self._groups |= transaction.late_groups
                self._wake.set()

    async def _listen(self) -> None:
        while True:
            try:
                async for applied in self._db.subscribe(after=self._db.position, topics=[TOPIC_PLACEMENT]):
                    for action in applied.actions:
                        if getattr(action, "kind", None) == KIND_PLACEMENT:
                            notice = pb.PlacementNotice.FromString(action.body)  # type: ignore[union-attr]  # an Emit
                            self._look_at_parked |= notice.executors_changed
                            self._set_timers(notice)
                            self._groups.update(notice.groups)
                            self._owners |= {scope for scope in notice.scopes if scope}
                            self._wake.set()
            except (OutOfRange, Exhausted, Conflict) as error:
                # What was missed is found by looking at everything.
                _log.warning("scheduler_missed_notices", error=str(error))
                await self._look_at_everything()
            except SluicewayError as error:
                _log.warning("scheduler_cannot_listen", error=str(error), code=error.code)
                await asyncio.sleep(self._settings.scheduler_interval.total_seconds())

    def _set_timers(self, notice: pb.PlacementNotice) -> None:
        if self.election.term is None:
            return
        for changed in notice.deadlines:
            time = codec.read_time(changed.time) if changed.HasField("time") else None
            drain = changed.WhichOneof("subject") == "executor_id"
            key = (Subject.DRAIN, changed.executor_id) if drain else (Subject.RUN, changed.run_id)
            self._timers.set(key, time)

    async def _look_at_everything(self) -> None:
        def read(view: View) -> tuple[set[str], set[str]]:
            queued = walk_records(view, RUN, {"outcome": QUEUED}, order=("created",))
            ready = walk_records(view, TASK, {"state": "ready"}, order=("rank",))
            return {record.run.group for _, record in queued}, {record.scope for _, record in ready}

        queued, owners = await self._db.read(read)
        self._groups |= queued
        self._owners |= owners
        self._wake.set()

    async def _keep_placing(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self.election.term is None:
                self._groups.clear()
                continue
            try:
                await self.place_now()
            except SluicewayError as error:
                _log.warning("placement_failed", error=str(error), code=error.code)
                await asyncio.sleep(self._settings.scheduler_interval.total_seconds())
                self._wake.set()

    async def place_now(self) -> int:
        """Start and place what is possible, in transactions of its own; return how many tasks were placed."""
        placed = 0
        if self._look_at_parked:
            self._look_at_parked = False
            await self._unpark()
        while True:
            freed = sorted(self._groups)[:MAX_STARTS]
            self._groups.difference_update(freed)
            last: RunTransaction | None = None

            def function(view: View, freed: list[str] = freed) -> Decision[int]:
                nonlocal last
                transaction = RunTransaction(view, self._clock.now(), cache=self._cache)
                if not self.election.leads(view):
                    return Decision(0)
                transaction.freed_groups.update(freed)
                count = self.place(transaction, all_that_waits=True)
                last = transaction
                return transaction.decision(count, tell_scheduler=False)

            try:
                committed = await self._db.transact(function)
            except BaseException:
                self._groups.update(freed)
                raise
            if last is not None:
                last.cache_states(committed.position, self._cache)
                self.on_committed(last)
            placed += committed.value
            if not committed.value and not self._groups:
                return placed

    async def _unpark(self) -> None:
        token = ""
        owners: set[str] = set()

        def function(view: View) -> Decision[str]:
            if not self.election.leads(view):
                return Decision("")
            transaction = RunTransaction(view, self._clock.now(), cache=self._cache)
            executors = self._standing(view)
            page = view.select(
                TASK, Query(where={"state": "parked"}, order=("rank",), size=UNPARK_AT_ONCE, token=token)
            )
            parked = [
                Candidate(codec.decode_run(run), codec.decode_task(record))
                for _, record in page.records
                if (run := view.get(RUN, record.task.run_id)) is not None
            ]
            for candidate in self._with_owners(view, parked, executors):
                if any(missing(candidate, executor) is None for executor in executors):
                    transaction.park(candidate.run.id, candidate.task.id, parked=False)
                    owners.add(candidate.run.scope)
            return transaction.decision(page.next_token, tell_scheduler=False)

        while True:
            token = (await self._db.transact(function)).value
            self._owners |= owners
            if not token:
                return

    # --- one placement --------------------------------------------------------------------------------------------

    def place(self, transaction: RunTransaction, *, all_that_waits: bool = False) -> int:
        """Start runs whose group is free and assign tasks; return how many were assigned.

        Called inside a transaction function, when the election says so. When the transaction made nothing runnable and
        freed no slot, what waits is not looked at, unless `all_that_waits`.
        """
        self._start_runs(transaction)
        if not (transaction.woken_scopes or all_that_waits) or not holding.may_assign(transaction.view):
            return 0
        return self._assign(transaction)

    def _start_runs(self, transaction: RunTransaction) -> None:
        """Apply R0 to the groups that this transaction freed or that got a run."""
        for _ in range(MAX_STARTS):
            if not transaction.freed_groups:
                return
            group = min(transaction.freed_groups)
            transaction.freed_groups.discard(group)
            self._start_next(transaction, group)
        # A chain of runs that end as soon as they start, longer than one transaction should be.
        transaction.late_groups |= transaction.freed_groups

    def would_start(self, group: str, view: View) -> str:
        """Return the run of a group that may start now; empty: none may, or one of them runs."""
        transaction = RunTransaction(view, self._clock.now())
        if transaction.queue_holder(group):
            return ""
        self._start_next(transaction, group)
        return transaction.queue_holder(group) or ""

    def _start_next(self, transaction: RunTransaction, group: str) -> None:
        scope = groups.scope_of(group)
        settings = self._scopes.queue_settings(transaction.view, scope) if self._scopes is not None else QueueSettings()
        if settings.concurrency is None:
            runs = self._runs(transaction, {"group": group, "outcome": QUEUED}, QUEUE_WINDOW, group=group)
        else:
            runs = self._runs(transaction, active_in(scope, api.RUN_PHASE_QUEUED), SCOPE_WINDOW, scope=scope)
            runs |= self._runs(transaction, active_in(scope, api.RUN_PHASE_RUNNING), SCOPE_WINDOW, scope=scope)
        if not any(run.phase is RunPhase.QUEUED for run in runs.values()):
            return
        holders = {each: transaction.queue_holder(each) for each in {run.group for run in runs.values()}}
        if settings.concurrency is None and holders.get(group):
            if not settings.cancel_superseded:
                return
            holder = transaction.run(holders[group])
            if holder is not None:
                runs[holder.run.id] = holder.run
        decision = queues.decide(runs.values(), holders=holders, settings={scope: settings}, now=transaction.now)
        for run_id in decision.cancel:
            state = transaction.run(run_id)
            if state is not None:
                transaction.apply(requests.cancel(state, by="a newer run", now=transaction.now, superseded=True))
        for run_id in decision.stop:
            state = transaction.run(run_id)
            if state is not None:
                transaction.apply(requests.request_stop(state, by="a newer run of the group", now=transaction.now))
        for run_id in decision.start:
            state = transaction.run(run_id)
            if state is not None:
                transaction.hold_queue(state.run)
                transaction.apply(requests.start_run(state, transaction.now))

    def _runs(
        self, transaction: RunTransaction, where: Where, size: int, *, group: str = "", scope: str = ""
    ) -> dict[str, Run]:
        # As this transaction has left them, those that it made too: `queues` checks the phase itself.
        page = transaction.view.select(RUN, Query(where=where, order=("created",), size=size))
        touched = transaction.touched
        found = {key: codec.decode_run(record) for key, record in page.records if key not in touched}
        for key, state in touched.items():
            if state.run.group == (group or state.run.group) and state.run.scope == (scope or state.run.scope):
                found[key] = state.run
        return found

    def _assign(self, transaction: RunTransaction) -> int:
        executors = self._counted(transaction)
        free = sum(max(0, executor.slots - executor.used) for executor in executors)
        candidates = [
            Candidate(state.run, state.tasks[key])
            for state in transaction.touched.values()
            if state.run.phase is RunPhase.RUNNING and state.tally is not None
            for key in state.tally.runnable
        ]
        if free > 0:
            candidates += self._waiting(transaction, free)
        if not candidates:
            return 0
        candidates = self._with_owners(transaction.view, candidates, executors)
        owners = {each.run.scope for each in candidates}
        locks = {(each.run.scope, each.task.lock) for each in candidates if each.task.lock}
        placement = place(
            candidates,
            executors,
            now=transaction.now,
            locks={lock: f"assignment {holder}" for lock in locks if (holder := transaction.lock_holder(lock))},
            # What each owner is running decides only between owners.
            running={owner: transaction.live_in(owner) for owner in owners} if len(owners) > 1 else {},
            quotas=RunningTasks(transaction.view, transaction.live_changes).quotas_of(owners),
            served=self._served,
            with_passed_over=False,
        )
        by_id = {(each.run.id, each.task.id): each for each in candidates}
        for choice in placement.choices:
            state = transaction.run(choice.run_id)
            if state is None:
                continue
            transaction.apply(
                updates.assign(
                    state,
                    choice.task_id,
                    assignment_id=self._ids.new_id(),
                    executor=choice.executor,
                    session=choice.session,
                    database_epoch=transaction.view.position.sequence.epoch,
                    now=transaction.now,
                )
            )
            transaction.use_executor(choice.executor)
            transaction.served.append(by_id[choice.run_id, choice.task_id].run.scope)
        for waiting in placement.waiting:
            self._keep_waiting(transaction, waiting, by_id[waiting.run_id, waiting.task_id], executors)
        return len(placement.choices)

    def _keep_waiting(
        self, transaction: RunTransaction, waiting: Waiting, candidate: Candidate, executors: list[ExecutorView]
    ) -> None:
        run, task = candidate.run, candidate.task
        never = all(missing(candidate, executor) is not None for executor in executors)
        if never:
            transaction.park(run.id, task.id, parked=True)
        # Numbers in the sentence change all the time; what is stored changes with the kind of wait. `explain` counts.
        if never or task.reason is None or task.reason.code != waiting.reason.code:
            transaction.explain(run.id, task.id, waiting.reason)

    def _waiting(self, transaction: RunTransaction, free: int) -> list[Candidate]:
        """Return those that wait longest, and, if there are more of them than the window has, those of each owner."""
        window = min(1000, WINDOW + 2 * free)
        found: dict[str, Candidate] = {}
        if self._ready(transaction, {"state": "ready"}, window, found) >= window:
            # Not of all owners at each placement, but of the next few each time.
            owners = sorted(self._owners)
            turn = self._turn % max(1, len(owners))
            for owner in (owners[turn:] + owners[:turn])[:MAX_OWNERS]:
                if not self._ready(transaction, {"state": "ready", "scope": owner}, min(free, WINDOW), found):
                    transaction.idle_owners.add(owner)
        return list(found.values())

    def _ready(self, transaction: RunTransaction, where: Where, size: int, found: dict[str, Candidate]) -> int:
        """Add to `found`; return how many are stored. Runs that this transaction changed are known already."""
        page = transaction.view.select(TASK, Query(where=where, order=("rank",), size=size))
        touched = transaction.touched
        for key, record in page.records:
            if record.task.run_id in touched or key in found:
                continue
            run = transaction.view.get(RUN, record.task.run_id)
            if run is not None:
                # Of most candidates nothing more is needed: the run is read whole when its task was chosen.
                found[key] = Candidate(codec.decode_run(run), codec.decode_task(record))
        return len(page.records)

    def _counted(self, transaction: RunTransaction) -> list[ExecutorView]:
        executors = self._standing(transaction.view)
        if len(executors) > MAX_EXECUTORS_COUNTED:
            # By what was seen last: an executor that looks free and is not is found out by the exact count.
            executors.sort(key=lambda each: (self._load.get(each.id, 0) / max(1, each.slots), each.id))
            executors = executors[:MAX_EXECUTORS_COUNTED]
        return [replace(each, used=transaction.used(each.id)) for each in executors]

    def _standing(self, view: View) -> list[ExecutorView]:
        """Return the executors that are live, also according to the log."""
        found = []
        for each in self._live:
            record = view.get(EXECUTOR, each.id)
            if record is None or record.session_id != each.session or phase_of(record) is not ExecutorPhase.ACTIVE:
                continue
            found.append(replace(each, draining=each.draining or drain_of(record) is not None))
        return with_group_settings(view, found)

    def _with_owners(
        self, view: View, candidates: list[Candidate], executors: Iterable[ExecutorView]
    ) -> list[Candidate]:
        """Return candidates with their owners, if a group serves some of the runs only."""
        scopes = self._scopes
        if scopes is None or all(executor.serves is None for executor in executors):
            return candidates
        owner_of = {scope: scopes.owner(view, scope) for scope in {each.run.scope for each in candidates}}
        return [replace(each, owner=owner_of[each.run.scope]) for each in candidates]


def _with_served(served: dict[str, int], latest: Iterable[str]) -> dict[str, int]:
    """Return the order of owners after more were served. Those served longest ago are forgotten beyond a number."""
    order = dict.fromkeys(served)
    for owner in latest:
        order.pop(owner, None)
        order[owner] = None
    return {owner: number for number, owner in enumerate(list(order)[-MAX_SERVED:], start=1)}
