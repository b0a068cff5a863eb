"""Outgoing webhooks on a database in memory, with a real receiver on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from sluiceway.api.project.v1 import webhook_service_pb2 as api
from sluiceway.records.project.v1 import records_pb2 as project_records
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, as_caller
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.model import Put
from sluiceway_server.forges.addresses import AddressPolicy, parse_networks
from sluiceway_server.notifications.queue import follow_new_run
from sluiceway_server.notifications.sending import HookHttp
from sluiceway_server.notifications.service import WebhookServicer
from sluiceway_server.notifications.worker import WebhookWorker
from sluiceway_server.projects.records import ORGANIZATION, PROJECT, USER
from sluiceway_server.runs.engine import Engine
from sluiceway_server.triggers.settings import TriggerSettings
from tests.support.hook_receiver import HookReceiver, hook_receiver
from tests.support.run_engine import World, request

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
OTHER_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PROJECT_ID, OTHER_PROJECT, ACME = "p1", "p2", "acme-id"
EVE = Caller(CallerKind.USER, "eve-id", frozenset("*"))
MALLORY = Caller(CallerKind.USER, "mallory-id", frozenset("*"))
GROUP = f"/project/{PROJECT_ID}/branch/main"


class AlreadyDurable:
    async def wait(self) -> None:
        """Return at once: the fake database loses nothing."""


@dataclass
class Hooks:
    world: World
    engine: Engine
    service: WebhookServicer
    sender: HookHttp
    receiver: HookReceiver

    def __post_init__(self) -> None:
        self.worker = self.new_worker()

    def new_worker(self) -> WebhookWorker:
        return WebhookWorker(
            self.world.db,
            self.world.envelope,
            self.sender,
            self.world.clock,
            ids=self.world.ids,
            durable=AlreadyDurable(),
            settings=TriggerSettings(public_url="https://ci.example.org"),
            is_elected=lambda: True,
        )

    async def create(self, **fields: Any) -> api.Webhook:
        wanted = {"parent_id": PROJECT_ID, "url": self.receiver.url, "secret": SECRET, **fields}
        with as_caller(EVE):
            made = await self.service.CreateWebhook(api.CreateWebhookRequest(webhook=api.Webhook(**wanted)), None)
        return made.webhook

    async def get(self, webhook: api.Webhook) -> api.Webhook:
        with as_caller(EVE):
            return (await self.service.GetWebhook(api.GetWebhookRequest(webhook_id=webhook.id), None)).webhook

    async def update(self, webhook: api.Webhook, **fields: Any) -> api.Webhook:
        asked = api.UpdateWebhookRequest(webhook=api.Webhook(id=webhook.id, **fields))
        asked.update_mask.paths.extend(fields)
        with as_caller(EVE):
            return (await self.service.UpdateWebhook(asked, None)).webhook

    async def redeliver(self, webhook: api.Webhook, delivery_id: str) -> api.WebhookDelivery:
        asked = api.RedeliverWebhookDeliveryRequest(webhook_id=webhook.id, delivery_id=delivery_id)
        with as_caller(EVE):
            return (await self.service.RedeliverWebhookDelivery(asked, None)).delivery

    async def deliveries(self, webhook: api.Webhook) -> list[api.WebhookDelivery]:
        """Return the deliveries of a webhook, the oldest first."""
        with as_caller(EVE):
            asked = api.ListWebhookDeliveriesRequest(webhook_id=webhook.id)
            found = (await self.service.ListWebhookDeliveries(asked, None)).deliveries
        return sorted(found, key=lambda each: each.id)

    async def run(self, group: str = GROUP, *, result: str = "success", **more: Any) -> str:
        """Create a run; with a result, finish it. Returns its id."""
        run_id = (await self.engine.create_run(request(group=group, **more), created_by=EVE.id)).value.run.id
        if result:
            await self.world.finish(self.engine, run_id, "build", result)
        return run_id

    async def sent(self) -> None:
        """Send all that is due, until nothing is."""
        while True:
            await self.worker.start_due()
            if not self.worker.is_sending:
                return
            async with asyncio.timeout(60):
                await self.worker.settled()


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    world = World(types=RECORD_TYPES, with_new_run=follow_new_run)
    await world.db.commit(
        [
            Put(USER, EVE.id, project_records.User(name="eve")),
            Put(ORGANIZATION, ACME, project_records.Organization(name="acme")),
            Put(PROJECT, PROJECT_ID, project_records.Project(name="app", parent_id=EVE.id)),
            Put(PROJECT, OTHER_PROJECT, project_records.Project(name="other", parent_id=EVE.id)),
        ]
    )
    engine = await world.placing_engine()
    sender = HookHttp(AddressPolicy(parse_networks(["127.0.0.1"])), world.clock, seconds=30.0)
    service = WebhookServicer(world.db, world.envelope, clock=world.clock, ids=world.ids)
    async with hook_receiver() as receiver:
        made = Hooks(world, engine, service, sender, receiver)
        try:
            yield made
        finally:
            await made.worker.stop()
            await sender.close()
