"""The services of triggers on a database in memory, with a project that is linked to a repository of `FakeForge`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.project.v1 import linked_account_service_pb2 as account_api
from sluiceway.api.project.v1 import remote_source_service_pb2 as source_api
from sluiceway.api.run.v1 import run_pb2 as run_api
from sluiceway.records.project.v1 import records_pb2 as project_records
from sluiceway.records.trigger.v1 import records_pb2 as records
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, as_caller
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.app.serving import with_new_run
from sluiceway_server.datamanager.model import Put
from sluiceway_server.forges.addresses import AddressPolicy
from sluiceway_server.forges.http import ForgeHttp
from sluiceway_server.projects.auditing import AuditedDatabase
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.records import PROJECT, USER
from sluiceway_server.runrecords.types import RUN
from sluiceway_server.runs.config_workers import MOST_TIME
from sluiceway_server.runs.engine import Engine
from sluiceway_server.triggers.audit_subjects import AUDIT_SUBJECTS
from sluiceway_server.triggers.catching_up import CatchUp
from sluiceway_server.triggers.event_reading import EventReader
from sluiceway_server.triggers.grants import Grants, sealed_token_name
from sluiceway_server.triggers.linked_accounts import LinkedAccountServicer
from sluiceway_server.triggers.links import LinkCleaner, RepositoryLinks, sealed_secret_name
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.records import COMMIT_STATUS, LINK, LINKED_ACCOUNT, account_id
from sluiceway_server.triggers.remote_sources import RemoteSourceServicer
from sluiceway_server.triggers.schedules import ScheduleServicer, ScheduleWorker
from sluiceway_server.triggers.service import DeliveryServicer
from sluiceway_server.triggers.settings import TriggerSettings
from sluiceway_server.triggers.statuses import StatusWorker
from sluiceway_server.triggers.worker import DeliveryWorker
from tests.fakes.clock import FakeClock
from tests.fakes.database import FakeDatabase
from tests.fakes.forge_port import FakeForge, signed
from tests.support.run_engine import World

PROJECT_ID = "01a22c3c-2f37-7681-b7d7-e57c899c707e"
EVE = Caller(CallerKind.USER, "eve-id", frozenset("*"))
OPERATOR = Caller(CallerKind.OPERATOR, "admin", frozenset("*"))
COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40
MAIN = "refs/heads/main"
DONE, PENDING, FAILED = api.DELIVERY_PHASE_DONE, api.DELIVERY_PHASE_PENDING, api.DELIVERY_PHASE_FAILED
OTHER_PROJECT = "01a22c3c-2f37-7681-b7d7-000000000000"
TASK = {"name": "build", "runtime": {"containers": [{"image": "host"}]}, "steps": [{"run": "true"}]}


def configuration(*runs: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a commit with runs, each of which has a task if it says nothing else."""
    content = {"runs": [{"tasks": [TASK], **run} for run in runs]}
    return {".sluice/config.json": json.dumps(content).encode(), "README": b"x"}


class InThreads:
    """Loads configurations in threads of the test: a process for each test would take a second."""

    async def call(self, function: Callable[[Any], Any], argument: Any, *, within: timedelta = MOST_TIME) -> Any:
        return await asyncio.to_thread(function, argument)


class AlreadyDurable:
    async def wait(self) -> None:
        """Return at once: the fake database loses nothing."""


@dataclass
class Triggers:
    world: World
    database: FakeDatabase
    clock: FakeClock
    envelope: Envelope
    forge: FakeForge
    providers: Providers
    engine: Engine
    settings: TriggerSettings
    sources: RemoteSourceServicer
    accounts: LinkedAccountServicer
    links: RepositoryLinks
    cleaner: LinkCleaner
    receiver: DeliveryServicer
    worker: DeliveryWorker
    statuses: StatusWorker
    schedules: ScheduleServicer
    scheduler: ScheduleWorker
    catch_up: CatchUp
    forges: dict[str, FakeForge]
    secret: str = ""

    async def link_project(self) -> None:
        """Create a remote source, a linked account, and a project that is linked to the repository."""
        with as_caller(OPERATOR):
            source = source_api.RemoteSource(name="gitea", type="gitea", api_url="https://git.example.org/api/v1")
            await self.sources.CreateRemoteSource(source_api.CreateRemoteSourceRequest(remote_source=source), None)
        await self.database.commit([Put(USER, EVE.id, project_records.User(name="eve"))])
        with as_caller(EVE):
            account = account_api.LinkedAccount(remote_source_id="gitea", access_token=self.forge.token)
            request = account_api.CreateLinkedAccountRequest(user_id="me", linked_account=account)
            await self.accounts.CreateLinkedAccount(request, None)
        linked = await self.links.install(PROJECT_ID, user_id=EVE.id, remote_source="gitea", repository_path="eve/app")
        project = project_records.Project(name="app", parent_id=EVE.id)
        await self.database.commit([Put(PROJECT, PROJECT_ID, project), *linked.actions])
        link = await self.database.get(LINK, PROJECT_ID)
        self.secret = self.envelope.open_(sealed_secret_name(PROJECT_ID), link.encrypted_webhook_secret).decode()

    async def link_another(self, name: str, forge: FakeForge, *, project_id: str) -> records.LinkRecord:
        """Create a project of the same user whose repository is at another provider; return its link."""
        api_url = f"https://{name}.example.org/api/v1"
        self.forges[api_url] = forge
        source = source_api.RemoteSource(name=name, type="gitea", api_url=api_url)
        with as_caller(OPERATOR):
            request = source_api.CreateRemoteSourceRequest(remote_source=source)
            made = (await self.sources.CreateRemoteSource(request, None)).remote_source
        account = await self.database.read(lambda view: next(record for _, record in view.scan(LINKED_ACCOUNT)))
        changed = records.LinkedAccountRecord()
        changed.CopyFrom(account)
        changed.remote_source_id = made.id
        changed.encrypted_access_token = self.envelope.seal(sealed_token_name(EVE.id, made.id), forge.token.encode())
        link = records.LinkRecord()
        link.CopyFrom(await self.database.get(LINK, PROJECT_ID))
        link.project_id, link.remote_source_id = project_id, made.id
        link.encrypted_webhook_secret = self.envelope.seal(sealed_secret_name(project_id), self.secret.encode())
        project = project_records.Project(name=name, parent_id=EVE.id)
        await self.database.commit(
            [
                Put(LINKED_ACCOUNT, account_id(EVE.id, made.id), changed),
                Put(LINK, project_id, link),
                Put(PROJECT, project_id, project),
            ]
        )
        return link

    async def deliver(self, **event: Any) -> api.ReceiveDeliveryResponse:
        """Deliver an event to the project, with a good signature."""
        headers, body = signed(self.secret, event)
        request = api.ReceiveDeliveryRequest(project_id=PROJECT_ID, headers=headers, body=body)
        return await self.receiver.ReceiveDelivery(request, None)

    async def push(self, after: str = COMMIT, ref: str = "refs/heads/main", **event: Any) -> api.Delivery:
        """Deliver a push, work on it, and return the delivery."""
        response = await self.deliver(kind="push", ref=ref, after=after, **event)
        return await self.worked(response.delivery_id)

    async def worked(self, delivery_id: str) -> api.Delivery:
        """Work on all deliveries; return one of them."""
        await self.worker.work()
        return await self.delivery(delivery_id)

    async def delivery(self, delivery_id: str) -> api.Delivery:
        request = api.GetDeliveryRequest(project_id=PROJECT_ID, delivery_id=delivery_id)
        with as_caller(EVE):
            return (await self.receiver.GetDelivery(request, None)).delivery

    async def runs(self) -> list[run_api.Run]:
        """Return all runs, in the order of their creation."""
        found = await self.database.read(lambda view: [record.run for _, record in view.scan(RUN)])
        return sorted(found, key=lambda run: run.id)

    async def status(self) -> list[records.CommitStatusRecord]:
        return await self.database.read(lambda view: [record for _, record in view.scan(COMMIT_STATUS)])


@pytest.fixture
async def triggers() -> Triggers:
    world = World(types=RECORD_TYPES, with_new_run=with_new_run)
    database, clock, forge = world.db, world.clock, FakeForge()
    envelope = world.envelope
    forges: dict[str, FakeForge] = {}
    grants = Grants(database, envelope, ForgeHttp(AddressPolicy(())), clock, ids=world.ids)
    providers = Providers(database, lambda kind, api_url, through=None: forges.get(api_url, forge), grants, clock=clock)
    engine = await world.placing_engine()
    settings = TriggerSettings(public_url="https://ci.example.org")

    audited = AuditedDatabase(database, clock, ids=world.ids, subjects=AUDIT_SUBJECTS)

    def is_elected() -> bool:
        return True

    reader = EventReader(providers, InThreads())
    made = Triggers(
        world,
        database,
        clock,
        envelope,
        forge,
        providers,
        engine,
        settings,
        sources=RemoteSourceServicer(audited, envelope, clock, ids=world.ids),
        accounts=LinkedAccountServicer(audited, providers, envelope, clock, ids=world.ids),
        links=RepositoryLinks(database, providers, envelope, clock, settings=settings),
        cleaner=LinkCleaner(database, providers, envelope, clock, settings=settings, is_elected=is_elected),
        receiver=DeliveryServicer(audited, providers, envelope, clock, ids=world.ids, reader=reader),
        worker=DeliveryWorker(database, engine, reader, clock, settings=settings, is_elected=is_elected),
        statuses=StatusWorker(
            database, providers, clock, durable=AlreadyDurable(), settings=settings, is_elected=is_elected
        ),
        schedules=ScheduleServicer(audited, providers, clock, ids=world.ids),
        scheduler=ScheduleWorker(database, clock, ids=world.ids, settings=settings, is_elected=is_elected),
        catch_up=CatchUp(database, providers, clock, ids=world.ids, settings=settings, is_elected=is_elected),
        forges=forges,
    )
    await made.link_project()
    return made


def reason(delivery: api.Delivery) -> str:
    return api.DecisionReason.Name(delivery.reason).removeprefix("DECISION_REASON_")


def reasons(delivery: api.Delivery) -> dict[str, str]:
    return {
        each.run_name: api.DecisionReason.Name(each.reason).removeprefix("DECISION_REASON_")
        for each in delivery.decisions
    }


async def second_project(triggers: Triggers) -> tuple[str, str]:
    """Link another project to the same repository; return the URL and the secret of its webhook."""
    user = {"user_id": EVE.id, "remote_source": "gitea", "repository_path": "eve/app"}
    linked = await triggers.links.install(OTHER_PROJECT, **user)
    project = await triggers.database.get(PROJECT, PROJECT_ID)
    await triggers.database.commit([Put(PROJECT, OTHER_PROJECT, project), *linked.actions])
    return triggers.forge.webhooks["101"]


async def run_project(triggers: Triggers, **fields: Any) -> api.Delivery:
    """Ask for runs by hand, work on them, and return the delivery."""
    with as_caller(EVE):
        request = api.RunProjectRequest(project_id=PROJECT_ID, **fields)
        response = await triggers.receiver.RunProject(request, None)
    return await triggers.worked(response.delivery.id)
