"""The work on deliveries: from an event to runs. Runs on the elected server.

The events of one project and ref are worked on one at a time, in the order of their receipt; those of others beside
them, a few of each project, so that a slow provider delays its own projects only. Everything may be done twice: a run
that an event made already is found by its request id. So a server that dies between the response to the provider and
the last decision leaves nothing but work for the next one.

While a provider is away, its deliveries wait, and are tried again with back-off. After `give_up_after`, and when the
provider refuses, a run with a setup error shows it, and the delivery can be delivered again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, timedelta

import structlog

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.crashpoints import crash_point, declare_crash_points
from sluiceway_common.foundation.errors import DeadlineExceeded, SluicewayError, Unavailable
from sluiceway_common.runconfig.compile import LoadResult
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.errors import NotAtForge
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.runs.config_workers import ConfigWorkers
from sluiceway_server.runs.engine import Engine
from sluiceway_server.triggers import deliveries
from sluiceway_server.triggers.changes import Changes
from sluiceway_server.triggers.event_plans import EventPlan
from sluiceway_server.triggers.event_reading import EventReader
from sluiceway_server.triggers.event_rules import Verdict
from sluiceway_server.triggers.planning import PlannedRun, setup_error_run
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.records import DELIVERY, LINK
from sluiceway_server.triggers.settings import TriggerSettings

__all__ = ["DeliveryWorker", "creator_of"]

log = structlog.get_logger(__name__)

declare_crash_points("delivery.before-work", "delivery.before-run", "delivery.after-run", "delivery.before-done")

_AT_A_TIME = 16
_OF_A_PROJECT = 4
# After looking for work, for so many times as long as that took, nobody looks again: in a burst there is always more.
_LOOK_SHARE = 4
_RETRY_FIRST_SECONDS = 2.0
_RETRY_LIMIT_SECONDS = 300.0
_SWEEP_EVERY = timedelta(hours=1)
_AWAY = (Unavailable, DeadlineExceeded)


def creator_of(project_id: str) -> str:
    """Return who creates the runs of a project's events: request ids count for each creator alone."""
    return f"project/{project_id}"


class DeliveryWorker:
    """Works on deliveries; `run` is its loop."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        providers: Providers,
        clock: Clock,
        *,
        workers: ConfigWorkers,
        settings: TriggerSettings,
        is_elected: Callable[[], bool],
    ) -> None:
        self._database = database
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._is_elected = is_elected
        self._swept_at: float | None = None
        self._places = asyncio.Semaphore(_AT_A_TIME)
        self._of_projects: dict[str, asyncio.Semaphore] = {}
        self._waiting: Counter[str] = Counter()
        self._busy: set[deliveries.Ref] = set()
        self._was_elected = False
        self._on_free: Callable[[], None] = lambda: None
        self._reader = EventReader(providers, workers, at_a_time=_AT_A_TIME)

    async def run(self) -> None:
        """Work until cancelled."""
        changes = Changes(self._database, (DELIVERY,), interval=self._settings.interval)
        self._on_free = changes.wake
        pause: float | None = None
        try:
            async with changes.followed(), asyncio.TaskGroup() as group:
                while True:
                    await changes.wait(seconds=pause)
                    pause = await self._look(group)
        finally:
            self._reader.close()

    async def work(self) -> float | None:
        """Work on all that is due, until nothing is. Returns the seconds until something is; None: nothing waits.

        Raises:
            Unavailable: the database is away.
        """
        while True:
            async with asyncio.TaskGroup() as group:
                pause = await self._begin(group)
                begun = len(self._busy)
            if not begun:
                return pause

    async def _look(self, group: asyncio.TaskGroup) -> float | None:
        """Begin what is due, if this server is elected. Returns the seconds until the next look; None: no matter."""
        if not self._is_elected():
            self._was_elected = False
            return None
        began = self._clock.monotonic()
        try:
            if not self._was_elected:
                await self._database.linearize()  # what the server before has finished is not to be done again
                self._was_elected = True
            pause = await self._begin(group)
            await self._sweep()
        except SluicewayError as error:
            log.warning("deliveries_wait", error=str(error))
            return _RETRY_FIRST_SECONDS
        await asyncio.sleep(_LOOK_SHARE * (self._clock.monotonic() - began))
        return pause

    async def _begin(self, group: asyncio.TaskGroup) -> float | None:
        """Begin to work on the refs that have something due. Returns the seconds until another one has.

        Raises:
            Unavailable: the database is away.
        """
        busy = frozenset(self._busy)
        queues = await self._database.read(lambda view: deliveries.queues_of(view, busy))
        now = self._clock.now().timestamp()
        waits: list[float] = []
        for ref, queue in queues.items():
            if queue.due <= now:
                self._busy.add(ref)
                group.create_task(self._work_on_ref(ref, queue.keys), name="deliveries")
            else:
                waits.append(queue.due - now)
        return min(waits, default=None)

    async def _work_on_ref(self, ref: deliveries.Ref, keys: Sequence[str]) -> None:
        """Work on deliveries one after the other, until one has to wait."""
        try:
            for key in keys:
                async with self._place(ref[0]):
                    if not await self._work_on(key):
                        break
        except SluicewayError as error:
            log.warning("deliveries_wait", error=str(error))
            await asyncio.sleep(_RETRY_FIRST_SECONDS)
        finally:
            self._busy.discard(ref)
            self._on_free()

    @asynccontextmanager
    async def _place(self, project_id: str) -> AsyncIterator[None]:
        """Hold one of the places of a project, and one of all, while the block runs."""
        places = self._of_projects.setdefault(project_id, asyncio.Semaphore(_OF_A_PROJECT))
        self._waiting[project_id] += 1
        try:
            async with places, self._places:
                yield
        finally:
            self._waiting[project_id] -= 1
            if not self._waiting[project_id]:
                del self._waiting[project_id], self._of_projects[project_id]

    async def _work_on(self, key: str) -> bool:
        """Work on a delivery. Returns whether the next one of its ref may follow.

        Raises:
            Unavailable: the database is away.
        """
        project_id = key.partition("/")[0]
        record, link, project = await self._database.read(
            lambda view: (deliveries.pending(view, key), view.get(LINK, project_id), view.get(PROJECT, project_id))
        )
        if record is None:
            return True
        if not self._is_elected() or deliveries.due_time(record) > self._clock.now().timestamp():
            return False
        crash_point("delivery.before-work")
        try:
            phase, verdict, decisions = await self._decide(record, link, project)
        except _AWAY as error:
            await self._postpone(key, record, error)
            return False
        except SluicewayError as error:
            phase, verdict, decisions = await self._fail(record, error)
        crash_point("delivery.before-done")
        await deliveries.finish(self._database, key, phase, verdict, decisions, now=self._clock.now())
        return True

    async def _postpone(self, key: str, record: pb.DeliveryRecord, error: SluicewayError) -> None:
        now = self._clock.now()
        waiting = now - record.delivery.receive_time.ToDatetime(tzinfo=UTC)
        if waiting > self._settings.give_up_after and not record.delivery.redeliveries:
            phase, verdict, decisions = await self._fail(record, error)
            await deliveries.finish(self._database, key, phase, verdict, decisions, now=now)
            return
        pause = backoff_seconds(record.failures + 1, first=_RETRY_FIRST_SECONDS, limit=_RETRY_LIMIT_SECONDS)
        if isinstance(error, Unavailable):
            pause = max(pause, error.retry_after.total_seconds())
        log.warning("delivery_waits", delivery=key, error=str(error), seconds=round(pause, 1))
        sentence = f"waits for another attempt: {error.message}"
        await deliveries.postpone(self._database, key, sentence, until=now + timedelta(seconds=pause))

    async def _decide(
        self, record: pb.DeliveryRecord, link: pb.LinkRecord | None, project: project_pb.Project | None
    ) -> tuple[api.DeliveryPhase, Verdict, list[api.RunDecision]]:
        """Make the runs of a delivery.

        Raises:
            Unavailable, DeadlineExceeded: the provider or the database is away.
            SluicewayError: the provider refuses.
        """
        project_id = record.delivery.project_id
        if link is None or project is None:
            return api.DELIVERY_PHASE_DONE, Verdict(api.DECISION_REASON_EVENT_IGNORED, "the project was deleted"), []
        try:
            read = await self._reader.read(
                record.event, link, project_name=project.name, attempt=record.delivery.redeliveries
            )
        except NotAtForge:
            # The repository was there a moment ago.
            sentence = f"{record.event.ref} was deleted or overwritten before its commit could be read"
            return api.DELIVERY_PHASE_DONE, Verdict(api.DECISION_REASON_COMMIT_GONE, sentence), []
        if isinstance(read, Verdict):
            return api.DELIVERY_PHASE_DONE, read, []
        decisions = [await self._make(project_id, read.event, planned) for planned in read.plan.planned()]
        return api.DELIVERY_PHASE_DONE, _verdict_of(read.plan, decisions), decisions

    async def _fail(
        self, record: pb.DeliveryRecord, error: SluicewayError
    ) -> tuple[api.DeliveryPhase, Verdict, list[api.RunDecision]]:
        """Give up, with a run that shows why.

        Raises:
            Unavailable: the database is away.
        """
        log.warning(
            "delivery_failed", delivery=record.delivery.id, project=record.delivery.project_id, error=str(error)
        )
        project_id = record.delivery.project_id
        project = await self._database.read(lambda view: view.get(PROJECT, project_id))
        verdict = Verdict(api.DECISION_REASON_FAILED, error.message)
        event = record.event
        if project is None or not event.commit:
            return api.DELIVERY_PHASE_FAILED, verdict, []
        planned = setup_error_run(
            event,
            LoadResult(None, None),
            [f"the configuration could not be read: {error.message}"],
            project_id=project_id,
            name=project.name,
            attempt=record.delivery.redeliveries,
        )
        return api.DELIVERY_PHASE_FAILED, verdict, [await self._make(project_id, event, planned)]

    async def _make(self, project_id: str, event: pb.EventRecord, planned: PlannedRun) -> api.RunDecision:
        """Make a planned run, or find the one that was made of it.

        Raises:
            Unavailable: the database is away, or too many large runs wait.
        """
        decision = api.RunDecision(run_name=planned.name, reason=planned.reason, sentence=planned.sentence)
        if planned.request is None:
            return decision
        creator = event.requested_by or creator_of(project_id)
        known = await self._engine.run_of_request(creator, planned.request.request_id)
        if known is None:
            crash_point("delivery.before-run")
            try:
                committed = await self._engine.create_run(
                    planned.request, created_by=creator, from_fork=event.from_fork
                )
            except _AWAY:
                raise
            except SluicewayError as error:
                is_quota = error.reason == "QUOTA_EXCEEDED"
                decision.reason = api.DECISION_REASON_QUOTA if is_quota else api.DECISION_REASON_FAILED
                decision.sentence = error.message[:1000]
                return decision
            run = committed.value.run
            crash_point("delivery.after-run")
        else:
            decision.reason, decision.sentence = api.DECISION_REASON_RUN_EXISTS, "this event has made it before"
            run = known.run
        decision.run_id = run.id
        return decision

    async def _sweep(self) -> None:
        """Delete old deliveries, now and then."""
        monotonic = self._clock.monotonic()
        if self._swept_at is not None and monotonic - self._swept_at < _SWEEP_EVERY.total_seconds():
            return
        before = self._clock.now() - self._settings.deliveries_kept
        while await deliveries.delete_old(self._database, before=before):
            pass
        self._swept_at = monotonic


def _verdict_of(plan: EventPlan, decisions: list[api.RunDecision]) -> Verdict:
    if not plan.is_usable:
        return Verdict(api.DECISION_REASON_SETUP_ERROR, decisions[0].sentence)
    made = sum(1 for each in decisions if each.run_id)
    return Verdict(api.DECISION_REASON_CONFIGURATION_READ, f"{made} of {len(decisions)} runs of {plan.source_path}")
