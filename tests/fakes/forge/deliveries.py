"""Webhooks: headers and signatures as each provider sends them, and the sending itself.

The signatures are computed here from the providers' documentation, and by no code of the product.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import TYPE_CHECKING

import aiohttp

from tests.fakes.forge.model import Delivery, Hook, Kind, Repo, User
from tests.fakes.forge.payloads import Event

if TYPE_CHECKING:
    from tests.fakes.forge.server import FakeForge

MAX_TAGS_GITHUB = 3
MAX_REFS_GITLAB = 3
SECONDS = {Kind.GITEA: 5, Kind.FORGEJO: 5, Kind.GITHUB: 10, Kind.GITLAB: 10}
"""How long the providers wait for a response. GitHub's and GitLab's are not verified."""
UNVERIFIED_GITEA_REDELIVERS_WITH_A_NEW_ID = True


class Deliveries:
    """Sends events to webhooks in the background, in order.

    Attributes:
        sent: all deliveries that were tried, in order.
        held: deliveries that wait for `release`, while `hold` is set.
        hold: keep deliveries back, so that they are late.
        twice: send each delivery twice, as a person or the provider may do.
        timeout_seconds: how long a response is waited for: longer than the providers do (`SECONDS`), so that a busy
            machine loses no delivery.
    """

    def __init__(self, forge: FakeForge) -> None:
        self.forge = forge
        self.sent: list[Delivery] = []
        self.held: list[Delivery] = []
        self.hold = False
        self.twice = False
        self.timeout_seconds: float = 60
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()

    async def run(self) -> None:
        """Send until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                delivery = await self._queue.get()
                try:
                    await self._send(session, delivery)
                finally:
                    self._queue.task_done()

    async def settled(self) -> None:
        """Wait until all deliveries that are not held were tried."""
        await self._queue.join()

    def enqueue(self, repo: Repo, event: Event) -> None:
        """Deliver an event to the webhooks of a repository that want it."""
        # GitHub's id belongs to the event: several webhooks get the same one.
        event_id = str(uuid.uuid4())
        for hook in repo.hooks:
            if hook.is_active and self._wants(hook, event):
                self._enqueue(self.delivery(hook, event, event_id))

    def ping(self, repo: Repo, hook: Hook, user: User) -> None:
        """Deliver GitHub's test of a new webhook."""
        body = {
            "zen": "Keep it logically awesome.",
            "hook_id": hook.id,
            "repository": self.forge.hub.repository_json(repo, None),
            "sender": self.forge.hub.user_json(user),
        }
        self._enqueue(self.delivery(hook, Event("ping", "ping", body), str(uuid.uuid4())))

    def redeliver(self, delivery: Delivery) -> None:
        """Deliver again, as a person can ask for on the provider's pages."""
        headers = dict(delivery.headers)
        if self.forge.kind in (Kind.GITEA, Kind.FORGEJO) and UNVERIFIED_GITEA_REDELIVERS_WITH_A_NEW_ID:
            fresh = str(uuid.uuid4())
            for name in headers:
                if name.endswith("-Delivery"):
                    headers[name] = fresh
        if self.forge.kind is Kind.GITLAB:
            headers["X-Gitlab-Webhook-UUID"] = str(uuid.uuid4())
        self._queue.put_nowait(Delivery(delivery.url, headers, delivery.body))

    def release(self, *, reverse: bool = False) -> None:
        """Send what was held, in order or in reverse."""
        held, self.held, self.hold = self.held, [], False
        for delivery in reversed(held) if reverse else held:
            self._queue.put_nowait(delivery)

    def delivery(self, hook: Hook, event: Event, event_id: str) -> Delivery:
        """Return a delivery with its headers and signatures."""
        body = json.dumps(event.body).encode()
        match self.forge.kind:
            case Kind.GITHUB:
                headers = _github_headers(hook, event, event_id, body)
            case Kind.GITLAB:
                headers = self._gitlab_headers(hook, event, event_id, body)
            case _:
                headers = _gitea_headers(hook, event, str(uuid.uuid4()), body, self.forge.kind)
        return Delivery(hook.url, {"Content-Type": "application/json", **headers}, body)

    def _enqueue(self, delivery: Delivery) -> None:
        if self.hold:
            self.held.append(delivery)
            return
        self._queue.put_nowait(delivery)
        if self.twice:
            self.redeliver(delivery)

    @staticmethod
    def _wants(hook: Hook, event: Event) -> bool:
        return event.kind in hook.events or event.finer in hook.events

    def _gitlab_headers(self, hook: Hook, event: Event, event_id: str, body: bytes) -> dict[str, str]:
        headers = {
            "User-Agent": "GitLab/18.6.0",
            "X-Gitlab-Event": event.name,
            "X-Gitlab-Webhook-UUID": str(uuid.uuid4()),
            "X-Gitlab-Event-UUID": str(uuid.uuid4()),
            "X-Gitlab-Instance": self.forge.url,
            "Idempotency-Key": event_id,
        }
        if hook.secret:
            headers["X-Gitlab-Token"] = hook.secret
        if hook.signing_token:
            headers |= standard_webhook(hook.signing_token, event_id, int(time.time()), body)
        return headers

    async def _send(self, session: aiohttp.ClientSession, delivery: Delivery) -> None:
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        delivery.began = time.perf_counter()
        try:
            async with session.post(
                delivery.url, data=delivery.body, headers=delivery.headers, timeout=timeout, allow_redirects=False
            ) as response:
                delivery.response = await response.text()
                delivery.status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            delivery.response = repr(error)
        delivery.ended = time.perf_counter()
        self.sent.append(delivery)


def hex_digest(secret: str, body: bytes, algorithm: str = "sha256") -> str:
    """Return the HMAC of a body."""
    return hmac.digest(secret.encode(), body, algorithm).hex()


def standard_webhook(signing_token: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks (version 1, symmetric)."""
    key = base64.b64decode(signing_token.partition("whsec_")[2])
    digest = hmac.digest(key, b".".join([message_id.encode(), str(timestamp).encode(), body]), hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _github_headers(hook: Hook, event: Event, event_id: str, body: bytes) -> dict[str, str]:
    headers = {
        "User-Agent": "GitHub-Hookshot/fake",
        "X-GitHub-Event": event.name,
        "X-GitHub-Delivery": event_id,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-Type": "repository",
    }
    if hook.secret:
        headers["X-Hub-Signature-256"] = f"sha256={hex_digest(hook.secret, body)}"
        headers["X-Hub-Signature"] = f"sha1={hex_digest(hook.secret, body, 'sha1')}"
    return headers


def _gitea_headers(hook: Hook, event: Event, delivery_id: str, body: bytes, kind: Kind) -> dict[str, str]:
    # Without a secret, the digests are empty, and the headers are there.
    sha256 = hex_digest(hook.secret, body) if hook.secret else ""
    sha1 = hex_digest(hook.secret, body, "sha1") if hook.secret else ""
    families = ["Gitea", "Gogs", "GitHub"] + (["Forgejo"] if kind is Kind.FORGEJO else [])
    headers = {"X-Hub-Signature-256": f"sha256={sha256}", "X-Hub-Signature": f"sha1={sha1}"}
    for family in families:
        headers[f"X-{family}-Event"] = event.name
        headers[f"X-{family}-Event-Type"] = event.finer
        headers[f"X-{family}-Delivery"] = delivery_id
        if family != "GitHub":
            headers[f"X-{family}-Signature"] = sha256
    return headers
