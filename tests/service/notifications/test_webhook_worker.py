"""Which requests a receiver of an outgoing webhook gets, and what is stored of them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sluiceway.api.project.v1 import webhook_service_pb2 as api
from sluiceway_common.foundation.crashpoints import Crashed, crashing
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.rpc.caller import as_caller
from sluiceway_common.runmodel.model import RestartKind
from sluiceway_server.datamanager.model import Delete, RecordType, View
from sluiceway_server.notifications.queue import delete_old, waiting
from sluiceway_server.notifications.records import FOLLOWED_RUN, WEBHOOK, WEBHOOK_DELIVERY
from sluiceway_server.notifications.retry_rules import GIVE_UP_AFTER
from sluiceway_server.notifications.worker import PLACES
from sluiceway_server.runrecords.types import RUN
from tests.service.notifications.conftest import EVE, OTHER_PROJECT, OTHER_SECRET, PROJECT_ID, SECRET, Hooks
from tests.support.hook_receiver import Received, documented_example
from tests.support.json_schema import holds

DELIVERED = api.WEBHOOK_DELIVERY_PHASE_DELIVERED
PENDING = api.WEBHOOK_DELIVERY_PHASE_PENDING
FAILED = api.WEBHOOK_DELIVERY_PHASE_FAILED
ALL = ["run.created", "run.started", "run.finished"]
SCHEMA = json.loads((Path(__file__).parents[3] / "docs/reference/webhook-event.schema.json").read_text())


async def left(hooks: Hooks) -> int:
    """Return how many runs are followed."""
    return await hooks.world.db.read(lambda view: len(list(view.scan(FOLLOWED_RUN))))


async def test_events_of_a_run_are_sent_in_order(hooks: Hooks) -> None:
    webhook = await hooks.create()
    run_id = await hooks.run(result="")
    await hooks.sent()
    assert hooks.receiver.types() == ALL[:2]
    await hooks.world.finish(hooks.engine, run_id, "build", "failed")
    await hooks.sent()
    assert hooks.receiver.types() == ALL
    states = [
        (each.event["data"]["run"]["phase"], each.event["data"]["run"].get("result"))
        for each in hooks.receiver.received
    ]
    assert states == [
        ("RUN_PHASE_QUEUED", None),
        ("RUN_PHASE_RUNNING", None),
        ("RUN_PHASE_FINISHED", "RUN_RESULT_FAILED"),
    ]
    stored = await hooks.deliveries(webhook)
    assert [(each.event_type, each.phase, each.attempts, each.response_status) for each in stored] == [
        (event, DELIVERED, 1, 204) for event in ALL
    ]
    assert [each.id for each in stored] == [each.headers["webhook-id"] for each in hooks.receiver.received]
    assert all(each.body.encode() == got.body for each, got in zip(stored, hooks.receiver.received, strict=True))
    assert await left(hooks) == 0


async def test_late_event_has_the_state_of_its_moment(hooks: Hooks) -> None:
    await hooks.create()
    run_id = await hooks.run()
    await hooks.sent()
    created = hooks.receiver.received[0].event
    run = await hooks.world.run(run_id)
    assert created["data"]["run"]["phase"] == "RUN_PHASE_QUEUED"
    assert "result" not in created["data"]["run"]
    assert created["timestamp"] == run.create_time.ToJsonString()
    finished = hooks.receiver.received[2].event
    assert finished["timestamp"] == run.end_time.ToJsonString()
    assert finished["data"]["run"]["url"] == f"https://ci.example.org/runs/{run_id}"
    assert finished["data"]["project"] == {"id": PROJECT_ID, "path": "user/eve/app"}


async def test_body_is_as_the_schema_says(hooks: Hooks) -> None:
    await hooks.create()
    await hooks.run()
    await hooks.run(group="/project/p1/tag/v1", setup_errors=["broken"], result="")
    await hooks.sent()
    assert len(hooks.receiver.received) == 5
    for each in hooks.receiver.received:
        assert holds(SCHEMA, each.event), each.event
        assert each.headers["content-type"] == "application/json"
    assert not holds(SCHEMA, {**hooks.receiver.received[0].event, "type": "run.exploded"})


async def test_documented_example_verifies_the_signature(hooks: Hooks, tmp_path: Path) -> None:
    example = documented_example(tmp_path)
    await hooks.create()
    await hooks.run(result="")
    await hooks.sent()
    got = hooks.receiver.received[0]
    now = hooks.world.clock.now().timestamp()
    assert example.verify(SECRET, got.headers, got.body, now=now)["type"] == "run.created"
    changed = {**got.headers, "webhook-id": "another"}
    for secret, headers, body, time in (
        (OTHER_SECRET, got.headers, got.body, now),
        (SECRET, got.headers, got.body + b" ", now),
        (SECRET, changed, got.body, now),
        (SECRET, {**got.headers, "webhook-signature": ""}, got.body, now),
        (SECRET, got.headers, got.body, now + 600),
    ):
        with pytest.raises(ValueError, match=r"signature|old"):
            example.verify(secret, headers, body, now=time)


async def test_both_secrets_sign_until_the_old_one_expires(hooks: Hooks, tmp_path: Path) -> None:
    example = documented_example(tmp_path)
    webhook = await hooks.create()
    asked = api.RotateWebhookSecretRequest(webhook_id=webhook.id, secret=OTHER_SECRET)
    asked.keep_previous.FromTimedelta(timedelta(hours=1))
    with as_caller(EVE):
        await hooks.service.RotateWebhookSecret(asked, None)
    await hooks.run(result="")
    await hooks.sent()
    both = hooks.receiver.received[-1]
    for secret in (SECRET, OTHER_SECRET):
        example.verify(secret, both.headers, both.body, now=hooks.world.clock.now().timestamp())
    hooks.world.clock.advance(timedelta(hours=1))
    await hooks.run(result="")
    await hooks.sent()
    one = hooks.receiver.received[-1]
    example.verify(OTHER_SECRET, one.headers, one.body, now=hooks.world.clock.now().timestamp())
    assert len(one.headers["webhook-signature"].split(" ")) == 1


async def test_only_events_of_the_chosen_types_are_sent(hooks: Hooks) -> None:
    await hooks.create(event_types=["run.finished"])
    await hooks.run()
    await hooks.sent()
    assert hooks.receiver.types() == ["run.finished"]
    assert await left(hooks) == 0


async def test_webhook_tells_of_runs_below_its_parent_only(hooks: Hooks) -> None:
    await hooks.create(parent_id="user/eve", url=f"{hooks.receiver.url}/user", event_types=["run.created"])
    await hooks.create(parent_id=OTHER_PROJECT, url=f"{hooks.receiver.url}/other", event_types=["run.created"])
    run_id = await hooks.run(result="")
    await hooks.run(group="/user/eve-id/x/main", result="")
    await hooks.sent()
    assert [each.event["data"]["run"]["id"] for each in hooks.receiver.received] == [run_id]


async def test_restart_is_followed_too(hooks: Hooks) -> None:
    await hooks.create()
    run_id = await hooks.run()
    again = (await hooks.engine.restart_run(run_id, RestartKind.FROM_START, by=EVE.id)).value.run.id
    await hooks.sent()
    assert hooks.receiver.types(again) == ALL[:2]


async def test_delivery_is_repeated_until_it_succeeds(hooks: Hooks) -> None:
    webhook = await hooks.create()
    statuses = iter([500, 302, 429])
    hooks.receiver.respond = lambda _: next(statuses, 204)
    await hooks.run(result="")
    for expected in (500, 302, 429):
        await hooks.sent()
        (delivery,) = await hooks.deliveries(webhook)
        assert (delivery.phase, delivery.response_status) == (PENDING, expected)
        assert (await hooks.get(webhook)).HasField("failing_since")
        hooks.world.clock.advance(timedelta(hours=1))
    await hooks.sent()
    first, second = await hooks.deliveries(webhook)
    assert (first.phase, first.attempts, first.sentence) == (DELIVERED, 4, "")
    assert second.phase == DELIVERED
    assert len({each.headers["webhook-id"] for each in hooks.receiver.received[:4]}) == 1
    assert not (await hooks.get(webhook)).HasField("failing_since")


async def test_receiver_may_ask_for_a_longer_pause(hooks: Hooks) -> None:
    webhook = await hooks.create()
    hooks.receiver.respond = lambda _: 503
    hooks.receiver.headers = {"Retry-After": "1800"}
    await hooks.run(result="")
    await hooks.sent()
    (delivery,) = await hooks.deliveries(webhook)
    pause = delivery.retry_time.ToDatetime(UTC) - hooks.world.clock.now()
    assert pause >= timedelta(minutes=30)


async def test_dead_receiver_disables_the_webhook(hooks: Hooks) -> None:
    webhook = await hooks.create()
    hooks.receiver.respond = lambda _: 500
    await hooks.run()
    await hooks.sent()
    hooks.world.clock.advance(GIVE_UP_AFTER)
    await hooks.sent()
    shown = await hooks.get(webhook)
    assert shown.disabled
    assert shown.disabled_reason == "no request has succeeded for 24 hours; the last one: the response was 500"
    count = len(hooks.receiver.received)
    await hooks.run()
    await hooks.sent()
    assert len(hooks.receiver.received) == count, "nothing is sent to a disabled webhook"
    first = (await hooks.deliveries(webhook))[0]
    assert first.phase == FAILED
    with pytest.raises(FailedPrecondition, match="sluice webhook enable"):
        await hooks.redeliver(webhook, first.id)
    hooks.receiver.respond = lambda _: 204
    enabled = await hooks.update(webhook, disabled=False)
    assert (enabled.disabled, enabled.disabled_reason) == (False, "")
    await hooks.sent()
    assert [each.phase for each in await hooks.deliveries(webhook)] == [FAILED, DELIVERED, DELIVERED]


async def test_one_bad_event_does_not_disable_the_webhook(hooks: Hooks) -> None:
    webhook = await hooks.create()
    bad = await hooks.run()
    hooks.receiver.respond = _fails_for(bad, "run.created")
    await hooks.sent()
    good = await hooks.run()
    await hooks.sent()
    assert hooks.receiver.types(good) == ALL
    hooks.world.clock.advance(GIVE_UP_AFTER)
    await hooks.sent()
    assert hooks.receiver.types(bad) == ["run.created", "run.created", "run.started", "run.finished"]
    assert not (await hooks.get(webhook)).disabled


def _fails_for(run_id: str, event: str):
    def respond(got: Received) -> int:
        said = got.event
        return 400 if (said["data"]["run"]["id"], said["type"]) == (run_id, event) else 204

    return respond


async def test_receiver_that_is_gone_disables_at_once(hooks: Hooks) -> None:
    webhook = await hooks.create()
    hooks.receiver.respond = lambda _: 410
    await hooks.run()
    await hooks.sent()
    assert len(hooks.receiver.received) == 1
    assert "410" in (await hooks.get(webhook)).disabled_reason


async def test_slow_receiver_delays_no_other(hooks: Hooks) -> None:
    slow = await hooks.create(parent_id="user/eve", event_types=["run.created"])
    for _ in range(PLACES + 2):
        await hooks.run(group=f"/project/{OTHER_PROJECT}/branch/main", result="")
    hooks.receiver.respond = lambda got: None if "p2" in got.event["data"]["run"]["group"] else 204
    await hooks.worker.start_due()
    quick = await hooks.create(event_types=["run.created"])
    await hooks.update(slow, disabled=False)
    for _ in range(3):
        await hooks.run(result="")
    done = asyncio.Event()
    async with asyncio.timeout(60):
        while sum(1 for each in await hooks.deliveries(quick) if each.phase == DELIVERED) < 3:
            await hooks.worker.start_due(done.set)
            await done.wait()
            done.clear()
    waiting = [each for each in await hooks.deliveries(slow) if each.phase == PENDING]
    assert len(waiting) == PLACES + 2 + 3, "its places are taken, and its own deliveries wait"
    busy = [each for each in hooks.receiver.received if "p2" in each.event["data"]["run"]["group"]]
    assert len(busy) == PLACES
    hooks.receiver.respond = lambda _: 204
    hooks.receiver.release()
    await hooks.sent()
    assert all(each.phase == DELIVERED for each in await hooks.deliveries(slow))


async def test_webhook_with_much_that_waits_hides_no_other(hooks: Hooks) -> None:
    dead = await hooks.create(parent_id=OTHER_PROJECT, event_types=["run.created"])
    for _ in range(12):
        await hooks.run(group=f"/project/{OTHER_PROJECT}/branch/main", result="")
    hooks.receiver.respond = lambda _: None
    await hooks.worker.start_due()
    quick = await hooks.create(event_types=["run.created"])
    await hooks.run(result="")
    await hooks.worker.start_due()
    now = hooks.world.clock.now()
    due, _ = await hooks.world.db.read(lambda view: waiting(view, now, most=3, page_size=5))
    assert sorted(webhook for webhook, _ in due) == sorted([dead.id] * 3 + [quick.id])


@pytest.mark.parametrize("point", ["webhook.before-send", "webhook.after-send"])
async def test_server_that_dies_sends_at_least_once(hooks: Hooks, point: str) -> None:
    webhook = await hooks.create(event_types=["run.created"])
    await hooks.run(result="")

    def die(name: str) -> None:
        raise Crashed(name)

    with crashing(die, point):
        await hooks.worker.start_due()
        await hooks.worker.settled()
        with pytest.raises(Crashed):
            await hooks.worker.start_due()
    hooks.worker = hooks.new_worker()  # the next server
    await hooks.sent()
    (delivery,) = await hooks.deliveries(webhook)
    assert delivery.phase == DELIVERED
    assert len(hooks.receiver.received) == (1 if point == "webhook.before-send" else 2)
    assert {each.headers["webhook-id"] for each in hooks.receiver.received} == {delivery.id}


async def test_delivery_is_sent_again_by_hand(hooks: Hooks) -> None:
    webhook = await hooks.create()
    run_id = await hooks.run()
    await hooks.sent()
    first = (await hooks.deliveries(webhook))[0]
    assert (await hooks.redeliver(webhook, first.id)).phase == PENDING
    await hooks.redeliver(webhook, first.id)
    await hooks.sent()
    assert hooks.receiver.types(run_id) == [*ALL, "run.created"]
    before, after = hooks.receiver.received[0], hooks.receiver.received[3]
    assert (before.body, before.headers["webhook-id"]) == (after.body, after.headers["webhook-id"])
    assert (await hooks.deliveries(webhook))[0].attempts == 2


async def test_deleted_webhook_sends_nothing_and_leaves_nothing(hooks: Hooks) -> None:
    webhook = await hooks.create()
    hooks.receiver.respond = lambda _: 500
    await hooks.run()
    await hooks.sent()
    with as_caller(EVE):
        await hooks.service.DeleteWebhook(api.DeleteWebhookRequest(webhook_id=webhook.id), None)
    count = len(hooks.receiver.received)
    hooks.world.clock.advance(timedelta(hours=2))
    await hooks.sent()
    assert len(hooks.receiver.received) == count
    assert await left(hooks) == 0


async def test_run_that_is_deleted_is_followed_no_more(hooks: Hooks) -> None:
    await hooks.create(event_types=["run.finished"])
    run_id = await hooks.run(result="")
    await hooks.sent()
    assert await left(hooks) == 1
    await hooks.world.db.commit([Delete(RUN, run_id)])
    await hooks.sent()
    assert await left(hooks) == 0


async def test_old_deliveries_are_deleted(hooks: Hooks) -> None:
    webhook = await hooks.create(event_types=["run.created"])
    await hooks.run(result="")
    await hooks.sent()
    hooks.world.clock.advance(timedelta(days=1))
    await hooks.run(result="")
    await hooks.sent()
    await delete_old(hooks.world.db, before=hooks.world.clock.now() - timedelta(hours=1))
    assert len(await hooks.deliveries(webhook)) == 1


async def test_address_that_became_private_is_not_called(hooks: Hooks) -> None:
    webhook = await hooks.create(url="http://10.0.0.1/hook")
    await hooks.run(result="")
    await hooks.sent()
    (delivery,) = await hooks.deliveries(webhook)
    assert delivery.phase == PENDING
    assert "must not be called" in delivery.sentence
    assert "10.0.0.1" not in delivery.sentence


async def test_secret_is_stored_encrypted_only(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.run()
    await hooks.sent()
    assert not webhook.secret
    clear = SECRET.removeprefix("whsec_").encode()
    for kind in (WEBHOOK, WEBHOOK_DELIVERY, FOLLOWED_RUN):
        assert clear not in await hooks.world.db.read(partial(_bytes_of, kind))


def _bytes_of(kind: RecordType[Any], view: View) -> bytes:
    return b"".join(record.SerializeToString() for _, record in view.scan(kind))
