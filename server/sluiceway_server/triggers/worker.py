"""The work on deliveries: from an event to runs. Runs on the elected server.

The events of one project and ref are worked on one at a time, in the order of their receipt; those of others beside
them, a few of each project and of each host, so that a slow provider delays its own projects only. Everything may be
done twice: a run that an event made already is found by its request id. So a server that dies between the response to
the provider and the last decision leaves nothing but work for the next one.

While a provider is away, its deliveries wait, and are tried again with back-off. After `give_up_after`, and when the
provider refuses, a run with a setup error shows it, and the delivery can be delivered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
from sluiceway_server.datamanager.model import Action, Applied, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.errors import NotAtForge
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.runs.engine import Engine
from sluiceway_server.triggers import deliveries
from sluiceway_server.triggers.changes import Changes
from sluiceway_server.triggers.event_plans import EventPlan
from sluiceway_server.triggers.event_reading import EventReader, ReadEvent
from sluiceway_server.triggers.event_rules import Verdict, origin_of
from sluiceway_server.triggers.host_work import HostPlaces
from sluiceway_server.triggers.planning import PlannedRun, setup_error_run
from sluiceway_server.triggers.records import DELIVERY, LINK
from sluiceway_server.triggers.settings import TriggerSettings

__all__ = ["DeliveryWorker", "creator_of"]

log = structlog.get_logger(__name__)

declare_crash_points("delivery.before-work", "delivery.before-run", "delivery.after-run", "delivery.before-done")

_OF_A_HOST = 16
_OF_A_PROJECT = 4
# After looking for work, for so many times as long as that took, nobody looks again: in a burst there is always more.
_LOOK_SHARE = 4
_RETRY_FIRST_SECONDS = 2.0
_RETRY_LIMIT_SECONDS = 300.0
_SWEEP_EVERY = timedelta(hours=1)
_AWAY = (Unavailable, DeadlineExceeded)
_MOST_WITH_RUN = 20

_Outcome = tuple[api.DeliveryPhase, Verdict, list[api.RunDecision]]
_End = Callable[[View, api.RunDecision], list[Action]]
"""Returns what stores the end of the work on a delivery, given the decision on its last run."""


def creator_of(project_id: str) -> str:
    """Return who creates the runs of a project's events: request ids count for each creator alone."""
    return f"project/{project_id}"


class DeliveryWorker:
    """Works on deliveries; `run` is its loop."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        reader: EventReader,
        clock: Clock,
        *,
        settings: TriggerSettings,
        is_elected: Callable[[], bool],
    ) -> None:
        self._database = database
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._is_elected = is_elected
        self._swept_at: float | None = None
        self._places = HostPlaces(_OF_A_HOST)
        self._busy: set[deliveries.Ref] = set()
        # Refs that may have more to work on than the last look has seen.
        self._with_more: set[deliveries.Ref] = set()
        self._has_missed = False
        self._was_elected = False
        self._on_free: Callable[[], None] = lambda: None
        self._reader = reader
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        changes = Changes(self._database, (DELIVERY,), interval=self._settings.interval, is_news=self._is_news)
        self._on_free = changes.wake
        pause: float | None = None
        async with changes.followed(), asyncio.TaskGroup() as group:
            self._group = group
            try:
                while True:
                    await changes.wait(seconds=pause)
                    pause = await self._look(group)
            finally:
                self._group = None

    def _is_news(self, change: Applied | None) -> bool:
        """Return whether a change is a reason to look for work now; for a ref that is worked on, it is one later."""
        if change is None:
            self._with_more |= self._busy
            self._has_missed = True
            return True
        refs = deliveries.pending_in(change)
        self._with_more |= refs
        return bool(refs - self._busy)

    def expect(self, event: pb.EventRecord, link: pb.LinkRecord) -> None:
        """Take note that a delivery of an event is about to be stored, so that what it needs can be read meanwhile.

        For an idle server only: in a burst, what is read too early takes the places of what is worked on.
        """
        is_idle = len(self._busy) < _OF_A_PROJECT
        if self._group is not None and is_idle and self._is_elected() and self._reader.can_read_ahead(event, link):
            self._group.create_task(self._reader.read_ahead(event, link), name="read ahead")

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
        # What changes from now on may be missing in what is read.
        self._with_more &= busy
        self._has_missed = False
        queues = await self._database.read(lambda view: deliveries.queues_of(view, busy))
        if self._has_missed:
            self._with_more |= queues.keys()
        now = self._clock.now().timestamp()
        waits: list[float] = []
        for ref, queue in queues.items():
            if queue.due <= now:
                self._busy.add(ref)
                group.create_task(self._work_on_ref(ref, queue), name="deliveries")
            else:
                waits.append(queue.due - now)
        return min(waits, default=None)

    async def _work_on_ref(self, ref: deliveries.Ref, queue: deliveries.RefQueue) -> None:
        """Work on deliveries one after the other, until one has to wait."""
        is_over = False
        try:
            for key in queue.keys:
                async with self._places.take(queue.link, (f"project {ref[0]}", _OF_A_PROJECT)):
                    if not await self._work_on(key):
                        break
            else:
                is_over = len(queue.keys) < deliveries.MOST_OF_A_REF
        except SluicewayError as error:
            log.warning("deliveries_wait", error=str(error))
            await asyncio.sleep(_RETRY_FIRST_SECONDS)
        finally:
            self._busy.discard(ref)
            if not is_over or ref in self._with_more:
                self._on_free()
            self._with_more.discard(ref)

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
            outcome = await self._decide(key, record, link, project)
        except _AWAY as error:
            await self._postpone(key, record, error)
            return False
        except SluicewayError as error:
            outcome = await self._fail(record, error)
        if outcome is not None:
            crash_point("delivery.before-done")
            await deliveries.finish(self._database, key, *outcome, now=self._clock.now())
        return True

    async def _postpone(self, key: str, record: pb.DeliveryRecord, error: SluicewayError) -> None:
        now = self._clock.now()
        waiting = now - record.delivery.receive_time.ToDatetime(tzinfo=UTC)
        if waiting > self._settings.give_up_after and not record.delivery.redeliveries:
            await deliveries.finish(self._database, key, *await self._fail(record, error), now=now)
            return
        pause = backoff_seconds(record.failures + 1, first=_RETRY_FIRST_SECONDS, limit=_RETRY_LIMIT_SECONDS)
        if isinstance(error, Unavailable):
            pause = max(pause, error.retry_after.total_seconds())
        log.warning("delivery_waits", delivery=key, error=str(error), seconds=round(pause, 1))
        sentence = f"waits for another attempt: {error.message}"
        await deliveries.postpone(self._database, key, sentence, until=now + timedelta(seconds=pause))

    async def _decide(
        self, key: str, record: pb.DeliveryRecord, link: pb.LinkRecord | None, project: project_pb.Project | None
    ) -> _Outcome | None:
        """Make the runs of a delivery. Return how the work ended; None: that is stored already, with the last run.

        Raises:
            Unavailable, DeadlineExceeded: the provider or the database is away.
            SluicewayError: the provider refuses.
        """
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
        return await self._make_all(key, record, read)

    async def _make_all(self, key: str, record: pb.DeliveryRecord, read: ReadEvent) -> _Outcome | None:
        """Make the planned runs in their order; store the outcome together with the last one, which saves a commit."""
        plan = read.plan.planned()
        decisions = [_decision_on(each) for each in plan]
        last = max((place for place, each in enumerate(plan) if each.request is not None), default=-1)
        # The size of a transaction is limited.
        is_with_last = len(plan) <= _MOST_WITH_RUN

        def end(view: View, decision: api.RunDecision) -> list[Action]:
            every = [*decisions[:last], decision, *decisions[last + 1 :]]
            verdict, now = _verdict_of(read.plan, every), self._clock.now()
            return deliveries.ending(view, key, api.DELIVERY_PHASE_DONE, verdict, every, now=now)

        is_stored = False
        for place, planned in enumerate(plan):
            with_run = end if is_with_last and place == last else None
            if with_run is not None:
                crash_point("delivery.before-done")
            decisions[place], is_made = await self._make(record.delivery.project_id, read.event, planned, with_run)
            is_stored = is_stored or (is_made and with_run is not None)
        return None if is_stored else (api.DELIVERY_PHASE_DONE, _verdict_of(read.plan, decisions), decisions)

    async def _fail(self, record: pb.DeliveryRecord, error: SluicewayError) -> _Outcome:
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
        decision, _ = await self._make(project_id, event, planned)
        return api.DELIVERY_PHASE_FAILED, verdict, [decision]

    async def _make(
        self, project_id: str, event: pb.EventRecord, planned: PlannedRun, end: _End | None = None
    ) -> tuple[api.RunDecision, bool]:
        """Make a planned run, or find the one that was made of it.

        Returns the decision, and whether it is committed together with what `end` returns for it.

        Raises:
            Unavailable: the database is away, or too many large runs wait.
        """
        request = planned.request
        if request is None:
            return _decision_on(planned), False
        creator = event.requested_by or creator_of(project_id)
        decision = _decision_on(planned)

        def with_run(view: View, run_id: str, is_known: bool) -> list[Action]:
            # The last call is the one that is committed.
            nonlocal decision
            decision = _decision_on(planned, run_id, is_known=is_known)
            return end(view, decision) if end is not None else []

        crash_point("delivery.before-run")
        try:
            await self._engine.create_run(
                request,
                created_by=creator,
                from_fork=event.from_fork,
                event=origin_of(event),
                with_run=with_run,
            )
        except _AWAY:
            raise
        except SluicewayError as error:
            # The project may have changed since the event made the run, so that it could not be made now.
            known = await self._engine.run_of_request(creator, request.request_id)
            if known is not None:
                return _decision_on(planned, known.run.id, is_known=True), False
            is_quota = error.reason == "QUOTA_EXCEEDED"
            refused = _decision_on(planned)
            refused.reason = api.DECISION_REASON_QUOTA if is_quota else api.DECISION_REASON_FAILED
            refused.sentence = error.message[:1000]
            return refused, False
        crash_point("delivery.after-run")
        return decision, True

    async def _sweep(self) -> None:
        """Delete old deliveries, now and then."""
        monotonic = self._clock.monotonic()
        if self._swept_at is not None and monotonic - self._swept_at < _SWEEP_EVERY.total_seconds():
            return
        before = self._clock.now() - self._settings.deliveries_kept
        while await deliveries.delete_old(self._database, before=before):
            pass
        self._swept_at = monotonic


def _decision_on(planned: PlannedRun, run_id: str = "", *, is_known: bool = False) -> api.RunDecision:
    """Return the decision on a run; with `run_id`, it was made, or an earlier call has made it (`is_known`)."""
    decision = api.RunDecision(run_name=planned.name, reason=planned.reason, sentence=planned.sentence, run_id=run_id)
    if is_known:
        decision.reason, decision.sentence = api.DECISION_REASON_RUN_EXISTS, "this event has made it before"
    return decision


def _verdict_of(plan: EventPlan, decisions: list[api.RunDecision]) -> Verdict:
    if not plan.is_usable:
        return Verdict(api.DECISION_REASON_SETUP_ERROR, decisions[0].sentence)
    made = sum(1 for each in decisions if each.run_id)
    return Verdict(api.DECISION_REASON_CONFIGURATION_READ, f"{made} of {len(decisions)} runs of {plan.source_path}")
