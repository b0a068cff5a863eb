"""Commit statuses: each follows its run, at least once, and the last state wins.

What is to be posted is not an event but a difference: the state that the run has now, and the state that the provider
has (`CommitStatusRecord.posted`). So nothing is lost by a restart, and states that a run has passed are skipped. One
run name has one status at a commit: a newer run of that name takes it over.

Each status is posted by itself, one state after the other. A provider that hangs delays its own statuses only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from sluiceway.api.run.v1 import run_pb2 as run_api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.crashpoints import crash_point, declare_crash_points
from sluiceway_common.foundation.errors import SluicewayError, Unavailable
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.model import Run
from sluiceway_server.datamanager.model import Decision, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.runrecords.types import RUN
from sluiceway_server.runs.transaction import tasks_of
from sluiceway_server.triggers.changes import Changes
from sluiceway_server.triggers.host_work import HostWork
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.records import COMMIT_STATUS, LINK, status_id
from sluiceway_server.triggers.settings import TriggerSettings
from sluiceway_server.triggers.status_rules import context_of, is_last, needs_tasks, state_of, status_of

__all__ = ["Durable", "StatusWorker", "follow_run"]

log = structlog.get_logger(__name__)

declare_crash_points("status.before-post", "status.after-post")

_OF_A_HOST = 8
# Runs change hundreds of times a second; nobody sees a status a moment earlier.
_GATHER = timedelta(milliseconds=200)
_RETRY_FIRST_SECONDS = 2.0
_RETRY_LIMIT_SECONDS = 600.0
_MOST_FAILURES = 20
"""Of a call that the provider refuses, such as for a commit that is gone. None while it does not respond."""


class Durable(Protocol):
    """What leaves the system waits until it cannot be lost any more (executors.md, "Durability")."""

    async def wait(self) -> None:
        """Return when everything that is committed by now is in the object storage."""
        ...


def follow_run(view: View, run: Run) -> tuple[Put, ...]:
    """Return what makes the status of a run's commit follow the run, if it is of a project that is linked.

    An older run of the same name does not take the status back.
    """
    project_id, commit = groups.project_of(run.group), run.source.commit_sha
    link = view.get(LINK, project_id) if project_id and commit else None
    if link is None or link.HasField("git"):
        return ()
    context = context_of(run.name)
    key = status_id(project_id, commit, context)
    stored = view.get(COMMIT_STATUS, key)
    # Ids of runs sort by the time of their creation.
    if stored is not None and stored.run_id >= run.id:
        return ()
    record = pb.CommitStatusRecord(
        project_id=project_id,
        commit_sha=commit,
        context=context,
        run_id=run.id,
        ref=run.source.branch or run.source.tag,
        posted=stored.posted if stored is not None else "",
    )
    return (Put(COMMIT_STATUS, key, record),)


class StatusWorker:
    """Posts commit statuses. Runs on the elected server."""

    def __init__(
        self,
        database: Database,
        providers: Providers,
        clock: Clock,
        *,
        durable: Durable,
        settings: TriggerSettings,
        is_elected: Callable[[], bool],
    ) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock
        self._durable = durable
        self._settings = settings
        self._is_elected = is_elected
        # In memory: after a restart, all are tried at once.
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._posting = HostWork(_OF_A_HOST)

    async def run(self) -> None:
        """Post until cancelled."""
        changes = Changes(self._database, (RUN, COMMIT_STATUS), interval=self._settings.interval, gather=_GATHER)
        async with asyncio.TaskGroup() as group:
            await changes.drive(
                partial(self._begin, group, changes.wake),
                is_elected=self._is_elected,
                event="statuses_not_posted",
                retry_seconds=_RETRY_FIRST_SECONDS,
            )

    async def post_due(self) -> float | None:
        """Post what differs, once. Returns the seconds until something is to be tried again; None: nothing is.

        Raises:
            Unavailable: the database is away.
        """
        async with asyncio.TaskGroup() as group:
            await self._begin(group, lambda: None)
        waits = self._not_before.values()
        return max(0.0, min(waits) - self._clock.monotonic()) if waits else None

    async def _begin(self, group: asyncio.TaskGroup, wake: Callable[[], None]) -> float | None:
        """Begin to post what differs and is not being posted; `wake` is called when a post has ended.

        Returns the seconds until something is to be tried again; None: nothing is.

        Raises:
            Unavailable: the database is away.
        """
        now = self._clock.monotonic()
        links = await self._database.read(_differing)
        self._not_before = {key: at for key, at in self._not_before.items() if key in links}
        for key, link in links.items():
            if self._not_before.get(key, 0.0) <= now:
                self._posting.start(group, key, link, partial(self._post, key), on_end=wake)
        waits = [at for key, at in self._not_before.items() if key not in self._posting.keys]
        return max(0.0, min(waits) - now) if waits else None

    async def _post(self, key: str) -> None:
        try:
            await self._post_once(key)
        except SluicewayError as error:
            # Of the database: nothing is known of it.
            log.warning("statuses_not_posted", error=str(error))
            self._not_before[key] = self._clock.monotonic() + _RETRY_FIRST_SECONDS

    async def _post_once(self, key: str) -> None:
        found = await self._database.read(lambda view: _work(view, key))
        if found is None:
            return
        await self._durable.wait()
        record, run, tasks, link = found
        state = state_of(run)
        failures = self._failures.get(key, 0)
        try:
            if state != record.posted:
                crash_point("status.before-post")
                linked = await self._providers.repository(link)
                status = status_of(record, run, tasks, public_url=self._settings.public_url)
                await linked.account.forge.set_status(
                    linked.account.token, linked.repository, record.commit_sha, status
                )
                crash_point("status.after-post")
        except SluicewayError as error:
            failures += 1
            if isinstance(error, Unavailable) or failures < _MOST_FAILURES:
                pause = backoff_seconds(failures, first=_RETRY_FIRST_SECONDS, limit=_RETRY_LIMIT_SECONDS)
                if isinstance(error, Unavailable):
                    pause = max(pause, error.retry_after / timedelta(seconds=1))
                self._failures[key], self._not_before[key] = failures, self._clock.monotonic() + pause
                log.warning("status_not_posted", run=run.id, error=str(error), seconds=round(pause, 1))
                return
            log.warning("status_given_up", run=run.id, error=str(error))
            await self._store(key, record, posted=record.posted, is_final=True)
        else:
            await self._store(key, record, posted=state, is_final=is_last(run))
        self._failures.pop(key, None)
        self._not_before.pop(key, None)

    async def _store(self, key: str, seen: pb.CommitStatusRecord, *, posted: str, is_final: bool) -> None:
        def store(view: View) -> Decision[None]:
            stored = view.get(COMMIT_STATUS, key)
            if stored is None:
                return Decision(None)
            changed = pb.CommitStatusRecord()
            changed.CopyFrom(stored)
            changed.posted = posted
            # Another run may have taken it over meanwhile.
            changed.is_final = is_final and stored.run_id == seen.run_id
            return Decision(None, [Put(COMMIT_STATUS, key, changed)] if changed != stored else [])

        await self._database.transact(store)


def _differing(view: View) -> dict[str, pb.LinkRecord]:
    """Return the statuses whose run has another state than the provider, or has come to its end, with their links."""
    found: dict[str, pb.LinkRecord] = {}
    for key, record in walk_records(view, COMMIT_STATUS, {"open": 1}):
        run, link = view.get(RUN, record.run_id), view.get(LINK, record.project_id)
        if run is not None and link is not None and (state_of(run.run) != record.posted or is_last(run.run)):
            found[key] = link
    return found


def _work(view: View, key: str) -> tuple[pb.CommitStatusRecord, run_api.Run, list[run_api.Task], pb.LinkRecord] | None:
    record = view.get(COMMIT_STATUS, key)
    if record is None or record.is_final:
        return None
    run, link = view.get(RUN, record.run_id), view.get(LINK, record.project_id)
    if run is None or link is None:
        return None
    return record, run.run, tasks_of(view, record.run_id) if needs_tasks(run.run) else [], link
