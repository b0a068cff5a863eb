"""Finds the pushes for which no webhook arrived, in the refs of each project's repository. Runs on the elected server.

Webhooks are lost: while this installation is away, and when a push moves more refs than a provider sends events for. So
the refs of each repository are listed from time to time, and compared with what was seen (`known_refs`). The looks at
different projects are spread over the interval. A project whose provider fails is looked at less and less often.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import SluicewayError, Unavailable
from sluiceway_server.datamanager.model import Decision, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.errors import NotAtForge
from sluiceway_server.forges.port import Repository
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.triggers.changes import Changes
from sluiceway_server.triggers.event_rules import caught_up_pull_request
from sluiceway_server.triggers.git_repositories import poll_interval
from sluiceway_server.triggers.host_work import HostWork
from sluiceway_server.triggers.known_refs import (
    MAX_RECORD_BYTES,
    CaughtUp,
    catch_up,
    missing_pull_requests,
    number_of,
)
from sluiceway_server.triggers.providers import LinkedRepository, Providers
from sluiceway_server.triggers.records import LINK
from sluiceway_server.triggers.settings import TriggerSettings

log = structlog.get_logger(__name__)

_OF_A_HOST = 4
_FIRST_WITHIN = timedelta(minutes=1)
_LIMIT_SECONDS = 3600.0


class CatchUp:
    """Lists the refs of all projects, again and again; `run` is its loop."""

    def __init__(
        self,
        database: Database,
        providers: Providers,
        clock: Clock,
        *,
        ids: IdSource,
        settings: TriggerSettings,
        is_elected: Callable[[], bool],
    ) -> None:
        self._database = database
        self._providers = providers
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._is_elected = is_elected
        self._looking = HostWork(_OF_A_HOST)
        # In memory: an elected server starts from an empty state, which finds what was missed before.
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._wake: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """List refs until cancelled."""
        changes = Changes(self._database, (LINK,), interval=self._settings.interval)
        self._wake = changes.wake
        pause: float | None = None
        async with changes.followed(), asyncio.TaskGroup() as group:
            while True:
                await changes.wait(seconds=pause)
                pause = None
                if not self._is_elected():
                    self._due.clear()
                    continue
                try:
                    pause = await self._begin(group)
                except SluicewayError as error:
                    log.warning("refs_not_listed", error=str(error))

    async def look(self) -> None:
        """List the refs of all projects, once.

        Raises:
            Unavailable: the database is away.
        """
        for link in await self._database.read(_links):
            await self._look_at(link)

    async def _begin(self, group: asyncio.TaskGroup) -> float | None:
        """Begin to look at the projects that are due. Returns the seconds until another one is; None: there is none."""
        found = await self._database.read(_links)
        links = {link.project_id: link for link in found if self._interval_of(link)}
        now = self._clock.monotonic()
        self._due = {id_: self._due.get(id_, now + self._first_after(link)) for id_, link in links.items()}
        self._failures = {id_: count for id_, count in self._failures.items() if id_ in links}
        for id_, link in links.items():
            if self._due[id_] <= now:
                self._looking.start(group, id_, link, partial(self._look_in_turn, link), on_end=self._wake)
        waits = [due - now for id_, due in self._due.items() if id_ not in self._looking.keys]
        return max(0.0, min(waits)) if waits else None

    def _interval_of(self, link: pb.LinkRecord) -> timedelta:
        return poll_interval(link.git) if link.HasField("git") else self._settings.catch_up_interval

    def _first_after(self, link: pb.LinkRecord) -> float:
        """Return how long after the start a project is looked at: another time for each."""
        share = int.from_bytes(hashlib.sha256(link.project_id.encode()).digest()[:4], "big") / 2**32
        return share * min(self._interval_of(link), _FIRST_WITHIN).total_seconds()

    async def _look_in_turn(self, link: pb.LinkRecord) -> None:
        pause = await self._look_at(link)
        self._due[link.project_id] = self._clock.monotonic() + pause

    async def _look_at(self, link: pb.LinkRecord) -> float:
        """List the refs of a project; return the seconds until the next list."""
        interval = self._interval_of(link).total_seconds()
        try:
            done = await self._compare(link)
        except SluicewayError as error:
            failures = self._failures[link.project_id] = self._failures.get(link.project_id, 0) + 1
            pause = max(interval, backoff_seconds(failures, first=interval, limit=_LIMIT_SECONDS))
            if isinstance(error, Unavailable):
                pause = max(pause, error.retry_after.total_seconds())
            log.info("refs_not_listed", project=link.project_id, error=str(error), seconds=round(pause))
            return pause
        self._failures.pop(link.project_id, None)
        if done.delivery_ids:
            log.info("refs_caught_up", project=link.project_id, deliveries=len(done.delivery_ids))
        return 0.0 if done.is_partial else interval

    async def _compare(self, link: pb.LinkRecord) -> CaughtUp:
        """List the refs of a project's repository, and store what is new.

        Raises:
            SluicewayError: as `forges.port`, or the database is away.
        """
        linked = await self._providers.repository(link)
        refs = await linked.account.forge.refs(linked.account.token, linked.repository)
        heads, pull_requests = await self._pull_requests(link.project_id, linked)
        found = {**refs, **heads}
        if sum(len(ref) + 40 for ref in found) > MAX_RECORD_BYTES:
            log.warning("too_many_refs_to_catch_up", project=link.project_id, refs=len(found))
            return CaughtUp()

        def store(view: View) -> Decision[CaughtUp]:
            repository: Repository = linked.repository
            now = self._clock.now()
            stored = view.get(LINK, link.project_id)
            if stored is None or stored.git.url != link.git.url:
                return Decision(CaughtUp())  # these are refs of another repository
            return catch_up(
                view,
                link.project_id,
                repository,
                found,
                pull_requests=pull_requests,
                now=now,
                new_id=self._ids.new_id,
            )

        # Looked at first, since a transaction costs etcd a turn.
        if not await self._database.read(lambda view: bool(store(view).actions)):
            return CaughtUp()
        return (await self._database.transact(store)).value

    async def _pull_requests(
        self, project_id: str, linked: LinkedRepository
    ) -> tuple[dict[str, str], dict[str, pb.EventRecord] | None]:
        """Return the heads of open pull requests, and the events of those of which no event arrived.

        None instead of these: pull requests cannot be listed, as with a token that may not read them.

        Raises:
            Unavailable: the provider or the database is away.
        """
        forge, token, repository = linked.account.forge, linked.account.token, linked.repository
        try:
            heads = dict(await forge.pull_request_heads(token, repository))
        except Unavailable:
            raise
        except SluicewayError as error:
            log.info("pull_requests_not_listed", project=project_id, error=str(error))
            return {}, None
        events: dict[str, pb.EventRecord] = {}
        for missing in await self._database.read(lambda view: missing_pull_requests(view, project_id, heads)):
            try:
                found = await forge.pull_request(token, repository, number_of(missing.ref))
            except NotAtForge:
                continue
            heads[missing.ref] = found.commit  # it may have moved meanwhile
            events[missing.ref] = caught_up_pull_request(found, is_new=not missing.before)
        return heads, events


def _links(view: View) -> tuple[pb.LinkRecord, ...]:
    """Return the links of the projects that are there."""
    return tuple(link for id_, link in view.scan(LINK) if link.is_active and view.fields(PROJECT, id_) is not None)
