"""Outgoing webhooks through their service: rights, faults, changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sluiceway.api.project.v1 import webhook_service_pb2 as api
from sluiceway_common.foundation.errors import Conflict, FailedPrecondition, InvalidInput, NotFound
from sluiceway_common.foundation.rpc.caller import as_caller
from sluiceway_server.notifications.queue import MOST_OF_A_PARENT
from sluiceway_server.projects.records import AUDIT_RECORD
from tests.service.notifications.conftest import EVE, MALLORY, OTHER_SECRET, PROJECT_ID, SECRET, Hooks


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        pytest.param({"url": ""}, "webhook.url", "empty", id="no URL"),
        pytest.param({"url": "ftp://x/"}, "webhook.url", "not a URL of http", id="another scheme"),
        pytest.param({"url": "https://a:b@x/"}, "webhook.url", "user or a password", id="password"),
        pytest.param({"url": "https://x/#f"}, "webhook.url", "fragment", id="fragment"),
        pytest.param({"url": "https://x/\n"}, "webhook.url", "not a URL", id="line break"),
        pytest.param({"event_types": ["run.exploded"]}, "webhook.event_types[0]", "not one of", id="unknown event"),
        pytest.param({"secret": ""}, "webhook.secret", "must begin", id="no secret"),
        pytest.param({"secret": "hunter2"}, "webhook.secret", "must begin", id="no prefix"),
        pytest.param({"secret": "whsec_!"}, "webhook.secret", "base64", id="no base64"),
        pytest.param({"secret": "whsec_AAAA"}, "webhook.secret", "3 bytes", id="short secret"),
    ],
)
async def test_wrong_webhook_is_refused(hooks: Hooks, fields: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await hooks.create(**fields)
    (violation,) = caught.value.violations
    assert violation.path == path
    assert words in violation.message
    assert "hunter2" not in str(caught.value)


async def test_webhook_is_listed_changed_and_deleted(hooks: Hooks) -> None:
    made = await hooks.create(event_types=["run.finished"])
    assert (made.parent_id, made.created_by, made.secret) == (PROJECT_ID, EVE.id, "")
    changed = await hooks.update(made, url="https://hooks.example.org/x", event_types=[])
    assert (changed.url, list(changed.event_types)) == ("https://hooks.example.org/x", [])
    with as_caller(EVE):
        listed = await hooks.service.ListWebhooks(api.ListWebhooksRequest(parent_id="user/eve/app"), None)
        assert list(listed.webhooks) == [changed]
        with pytest.raises(Conflict):
            await hooks.service.DeleteWebhook(api.DeleteWebhookRequest(webhook_id=made.id, etag=made.etag), None)
        await hooks.service.DeleteWebhook(api.DeleteWebhookRequest(webhook_id=made.id), None)
        with pytest.raises(NotFound):
            await hooks.service.DeleteWebhook(api.DeleteWebhookRequest(webhook_id=made.id), None)


async def test_creation_with_one_request_id_happens_once(hooks: Hooks) -> None:
    wanted = api.Webhook(parent_id=PROJECT_ID, url=hooks.receiver.url, secret=SECRET)
    with as_caller(EVE):
        asked = api.CreateWebhookRequest(webhook=wanted, request_id="once")
        ids = [(await hooks.service.CreateWebhook(asked, None)).webhook.id for _ in range(2)]
    assert ids[0] == ids[1]


async def test_parent_has_a_bounded_number_of_webhooks(hooks: Hooks) -> None:
    for _ in range(MOST_OF_A_PARENT):
        await hooks.create()
    with pytest.raises(FailedPrecondition, match="which is the most"):
        await hooks.create()


async def test_webhook_of_others_does_not_exist(hooks: Hooks) -> None:
    made = await hooks.create()
    await hooks.run()
    await hooks.sent()
    delivery = (await hooks.deliveries(made))[0]
    service = hooks.service
    calls = [
        service.CreateWebhook(
            api.CreateWebhookRequest(webhook=api.Webhook(parent_id=PROJECT_ID, url="https://x/", secret=SECRET)), None
        ),
        service.ListWebhooks(api.ListWebhooksRequest(parent_id=PROJECT_ID), None),
        service.GetWebhook(api.GetWebhookRequest(webhook_id=made.id), None),
        service.UpdateWebhook(api.UpdateWebhookRequest(webhook=api.Webhook(id=made.id, url="https://x/")), None),
        service.RotateWebhookSecret(api.RotateWebhookSecretRequest(webhook_id=made.id, secret=OTHER_SECRET), None),
        service.DeleteWebhook(api.DeleteWebhookRequest(webhook_id=made.id), None),
        service.ListWebhookDeliveries(api.ListWebhookDeliveriesRequest(webhook_id=made.id), None),
        service.RedeliverWebhookDelivery(
            api.RedeliverWebhookDeliveryRequest(webhook_id=made.id, delivery_id=delivery.id), None
        ),
    ]
    for call in calls:
        with as_caller(MALLORY), pytest.raises(NotFound):
            await call
    assert (await hooks.get(made)) == made


async def test_unknown_delivery_is_not_sent(hooks: Hooks) -> None:
    made = await hooks.create()
    with pytest.raises(NotFound, match="has no delivery"):
        await hooks.redeliver(made, "unknown")


@pytest.mark.parametrize("keep", [timedelta(days=31), timedelta(seconds=-1)], ids=["too long", "negative"])
async def test_old_secret_is_kept_for_a_bounded_time(hooks: Hooks, keep: timedelta) -> None:
    made = await hooks.create()
    asked = api.RotateWebhookSecretRequest(webhook_id=made.id, secret=OTHER_SECRET)
    asked.keep_previous.FromTimedelta(keep)
    with as_caller(EVE), pytest.raises(InvalidInput, match="keep_previous"):
        await hooks.service.RotateWebhookSecret(asked, None)


async def test_audit_records_have_no_secret_and_no_query(hooks: Hooks) -> None:
    await hooks.create(url="https://hooks.example.org/x?token=hush")
    records = await hooks.world.db.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    text = "".join(str(record) for record in records)
    assert "https://hooks.example.org/x" in text
    assert "hush" not in text
    assert "whsec" not in text
