"""Sends the deliveries of outgoing webhooks. Runs on the elected server.

Each webhook has a few places of its own, and no attempt waits for one of another webhook: a receiver that is slow or
dead delays nobody else. What is sent waits until it cannot be lost any more, and is sent at least once: a server that
dies between the response and its record leaves it to be sent again, with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, timedelta
from functools import partial
from typing import Protocol

import structlog

from sluiceway.records.notification.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.crashpoints import crash_point, declare_crash_points
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.notifications import queue
from sluiceway_server.notifications.records import FOLLOWED_RUN, WEBHOOK, WEBHOOK_DELIVERY
from sluiceway_server.notifications.retry_rules import Attempt
from sluiceway_server.notifications.signing import signed_headers
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.runrecords.types import RUN
from sluiceway_server.triggers.changes import Changes
from sluiceway_server.triggers.settings import TriggerSettings
from sluiceway_server.triggers.statuses import Durable

log = structlog.get_logger(__name__)

declare_crash_points("webhook.before-send", "webhook.after-send")

PLACES = 4
"""Requests to one webhook at a time."""
_GATHER = timedelta(milliseconds=100)
_RETRY_SECONDS = 2.0
_KEPT = timedelta(days=30)
_SWEEP_EVERY = timedelta(hours=1)


class Sender(Protocol):
    """What sends a request: `sending.HookHttp`."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Attempt:
        """Send a request once, and return how it ended."""
        ...


def sealed_name(webhook_id: str) -> str:
    """Return the name under which the secrets of a webhook are encrypted."""
    return f"webhook/{webhook_id}"


class WebhookWorker:
    """Makes and sends deliveries; `run` is its loop."""

    def __init__(
        self,
        database: Database,
        envelope: Envelope,
        sender: Sender,
        clock: Clock,
        *,
        ids: IdSource,
        durable: Durable,
        settings: TriggerSettings,
        is_elected: Callable[[], bool],
    ) -> None:
        self._database = database
        self._envelope = envelope
        self._sender = sender
        self._clock = clock
        self._ids = ids
        self._durable = durable
        self._settings = settings
        self._is_elected = is_elected
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._webhook_of: dict[str, str] = {}
        self._swept_at: float | None = None
        self._broken: BaseException | None = None

    async def run(self) -> None:
        """Work until cancelled. Requests in flight are cancelled then."""
        types = (RUN, FOLLOWED_RUN, WEBHOOK, WEBHOOK_DELIVERY)
        changes = Changes(self._database, types, interval=self._settings.interval, gather=_GATHER)

        async def work() -> float | None:
            pause = await self.start_due(changes.wake)
            await self._sweep()
            return pause

        try:
            await changes.drive(work, is_elected=self._is_elected, event="webhooks_wait", retry_seconds=_RETRY_SECONDS)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Cancel the requests in flight, and wait for their ends."""
        tasks = list(self._sending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def start_due(self, wake: Callable[[], None] = lambda: None) -> float | None:
        """Make the deliveries of what has happened, and begin to send those that are due.

        Args:
            wake: is called when a request ends.

        Returns:
            The seconds until another delivery is due; None: none waits.

        Raises:
            Unavailable: the database is away.
        """
        if self._broken is not None:
            raise self._broken
        now = self._clock.now()
        while await queue.make_deliveries(self._database, ids=self._ids, public_url=self._settings.public_url, now=now):
            pass
        # Twice the places: some of the first ones may be in flight.
        due, following = await self._database.read(lambda view: queue.waiting(view, now, most=2 * PLACES))
        chosen = self._chosen(due)
        if chosen:
            await self._durable.wait()
        for webhook_id, key in chosen:
            task = asyncio.create_task(self._send(key), name=f"webhook-{key}")
            self._sending[key], self._webhook_of[key] = task, webhook_id
            task.add_done_callback(partial(self._forget, key, wake))
        return None if following is None else max(0.0, (following - now).total_seconds())

    @property
    def is_sending(self) -> bool:
        """Whether a request is in flight."""
        return bool(self._sending)

    async def settled(self) -> None:
        """Wait until no request is in flight. For tests."""
        while self._sending:
            await asyncio.wait(self._sending.values())

    def _chosen(self, due: list[tuple[str, str]]) -> list[tuple[str, str]]:
        busy: dict[str, int] = {}
        for webhook_id in self._webhook_of.values():
            busy[webhook_id] = busy.get(webhook_id, 0) + 1
        chosen = []
        for webhook_id, key in due:
            if key not in self._sending and busy.get(webhook_id, 0) < PLACES:
                busy[webhook_id] = busy.get(webhook_id, 0) + 1
                chosen.append((webhook_id, key))
        return chosen

    def _forget(self, key: str, wake: Callable[[], None], task: asyncio.Task[None]) -> None:
        self._sending.pop(key, None)
        self._webhook_of.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error
        wake()

    async def _send(self, key: str) -> None:
        try:
            await self._send_once(key)
        except SluicewayError as error:
            # It stays pending, and is sent again.
            log.warning("webhook_not_settled", delivery=key, error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _send_once(self, key: str) -> None:
        found = await self._database.read(lambda view: _work(view, key))
        if found is None:
            return
        delivery, webhook = found
        try:
            secrets = await self._secrets(webhook)
        except SluicewayError as error:
            attempt = Attempt(0, timedelta(0), f"the secret cannot be used: {error.message}")
        else:
            body = delivery.delivery.body.encode()
            headers = signed_headers(secrets, delivery.delivery.id, body, now=self._clock.now())
            crash_point("webhook.before-send")
            attempt = await self._sender.post(webhook.webhook.url, headers, body)
            crash_point("webhook.after-send")
        disabled = await queue.settle(
            self._database,
            key,
            attempt,
            ids=self._ids,
            public_url=self._settings.public_url,
            now=self._clock.now(),
        )
        if disabled:
            log.warning("webhook_disabled", webhook=webhook.webhook.id, reason=disabled)

    async def _secrets(self, webhook: pb.WebhookRecord) -> list[str]:
        name = sealed_name(webhook.webhook.id)
        found = [await self._envelope.opened(name, webhook.encrypted_secret)]
        until = webhook.webhook.previous_secret_expire_time
        if webhook.encrypted_previous_secret and self._clock.now() < until.ToDatetime(UTC):
            found.append(await self._envelope.opened(name, webhook.encrypted_previous_secret))
        return [secret.decode() for secret in found]

    async def _sweep(self) -> None:
        """Delete old deliveries, now and then."""
        monotonic = self._clock.monotonic()
        if self._swept_at is not None and monotonic - self._swept_at < _SWEEP_EVERY.total_seconds():
            return
        while await queue.delete_old(self._database, before=self._clock.now() - _KEPT):
            pass
        self._swept_at = monotonic


def _work(view: View, key: str) -> tuple[pb.WebhookDeliveryRecord, pb.WebhookRecord] | None:
    delivery = view.get(WEBHOOK_DELIVERY, key)
    webhook = None if delivery is None else view.get(WEBHOOK, delivery.delivery.webhook_id)
    if delivery is None or webhook is None or webhook.webhook.disabled:
        return None
    return delivery, webhook
