"""A delivery is accepted, kept, listed and worked on once: forged, twice, late, and by a server that dies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway_common.foundation.crashpoints import Crashed, crashing
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound, Unauthenticated
from sluiceway_common.foundation.rpc.caller import as_caller
from sluiceway_server.datamanager.model import Delete
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.triggers.deliveries import delete_old
from sluiceway_server.triggers.records import DELIVERY
from tests.fakes.forge_port import signed
from tests.service.triggers.conftest import (
    COMMIT,
    DONE,
    EVE,
    MAIN,
    OTHER_COMMIT,
    OTHER_PROJECT,
    PENDING,
    PROJECT_ID,
    Triggers,
    configuration,
    reasons,
    second_project,
)


@pytest.mark.parametrize("second_id", ["d1", "d2"], ids=["same id", "other id"])
async def test_event_that_is_delivered_twice_makes_one_run(triggers: Triggers, second_id: str) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    first = await triggers.push(id="d1")
    second = await triggers.deliver(kind="push", ref=MAIN, after=COMMIT, id=second_id)
    delivery = await triggers.worked(second.delivery_id)
    (run,) = await triggers.runs()
    if second_id == "d1":
        assert second.delivery_id == first.id
        assert "delivered before" in second.sentence
    else:
        assert reasons(delivery) == {"test": "RUN_EXISTS"}
        assert delivery.decisions[0].run_id == run.id


async def test_deliveries_of_one_id_are_of_two_projects(triggers: Triggers) -> None:
    # GitHub gives two webhooks of one event the same id.
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    url, secret = await second_project(triggers)
    await triggers.push(id="d1")
    assert url.endswith(OTHER_PROJECT)
    headers, body = signed(secret, {"kind": "push", "ref": MAIN, "after": COMMIT, "id": "d1"})
    request = api.ReceiveDeliveryRequest(project_id=OTHER_PROJECT, headers=headers, body=body)
    await triggers.receiver.ReceiveDelivery(request, None)
    await triggers.worker.work()
    assert {run.group.split("/")[2] for run in await triggers.runs()} == {PROJECT_ID, OTHER_PROJECT}


@pytest.mark.parametrize("headers", [{}, {"x-fake-signature": ""}, {"x-fake-signature": "00"}], ids=str)
async def test_delivery_without_a_good_signature_is_refused(triggers: Triggers, headers: dict[str, str]) -> None:
    _, body = signed(triggers.secret, {"kind": "push", "ref": MAIN, "after": COMMIT})
    request = api.ReceiveDeliveryRequest(project_id=PROJECT_ID, headers=headers, body=body)
    with pytest.raises(Unauthenticated):
        await triggers.receiver.ReceiveDelivery(request, None)
    assert await triggers.database.read(lambda view: list(view.scan(DELIVERY))) == []


async def test_delivery_to_a_project_without_webhook_is_refused(triggers: Triggers) -> None:
    headers, body = signed(triggers.secret, {"kind": "push", "ref": MAIN, "after": COMMIT})
    request = api.ReceiveDeliveryRequest(project_id="unknown", headers=headers, body=body)
    with pytest.raises(Unauthenticated):
        await triggers.receiver.ReceiveDelivery(request, None)


async def test_event_of_a_deleted_project_has_no_effect(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    response = await triggers.deliver(kind="push", ref=MAIN, after=COMMIT)
    await triggers.database.commit([Delete(PROJECT, PROJECT_ID)])
    await triggers.worker.work()
    assert await triggers.runs() == []
    assert response.delivery_id
    late = await triggers.deliver(kind="push", ref=MAIN, after=OTHER_COMMIT)
    assert (late.delivery_id, late.sentence) == ("", "the project was deleted")


async def test_delivery_for_nobody_cannot_be_delivered_again(triggers: Triggers) -> None:
    response = await triggers.deliver(kind="ping")
    request = api.RedeliverDeliveryRequest(project_id=PROJECT_ID, delivery_id=response.delivery_id)
    with as_caller(EVE), pytest.raises(FailedPrecondition, match="asks for no runs"):
        await triggers.receiver.RedeliverDelivery(request, None)
    request.delivery_id = "unknown"
    with as_caller(EVE), pytest.raises(NotFound):
        await triggers.receiver.RedeliverDelivery(request, None)


async def test_list_has_the_newest_first_and_can_be_of_one_ref(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    for ref in ("refs/heads/a", "refs/heads/b", "refs/heads/a"):
        triggers.clock.advance(timedelta(seconds=1))
        await triggers.push(ref=ref)
    with as_caller(EVE):
        every = await triggers.receiver.ListDeliveries(api.ListDeliveriesRequest(project_id=PROJECT_ID), None)
        of_b = await triggers.receiver.ListDeliveries(
            api.ListDeliveriesRequest(project_id=PROJECT_ID, ref="refs/heads/b"), None
        )
    assert [each.ref for each in every.deliveries] == ["refs/heads/a", "refs/heads/b", "refs/heads/a"]
    assert [each.ref for each in of_b.deliveries] == ["refs/heads/b"]


async def test_old_deliveries_are_deleted(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    await triggers.push()
    triggers.clock.advance(timedelta(days=1))
    kept = await triggers.push(OTHER_COMMIT)
    await delete_old(triggers.database, before=triggers.clock.now() - timedelta(hours=1))
    left = await triggers.database.read(lambda view: [record.delivery.id for _, record in view.scan(DELIVERY)])
    assert left == [kept.id]


@pytest.mark.parametrize(
    "point", ["delivery.before-work", "delivery.before-run", "delivery.after-run", "delivery.before-done"]
)
async def test_server_that_dies_at_any_point_makes_each_run_once(triggers: Triggers, point: str) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "a"}, {"name": "b"})
    response = await triggers.deliver(kind="push", ref=MAIN, after=COMMIT)

    def die(name: str) -> None:
        raise Crashed(name)

    with crashing(die, point), pytest.raises(BaseExceptionGroup) as caught:
        await triggers.worker.work()
    assert caught.group_contains(Crashed)
    assert (await triggers.delivery(response.delivery_id)).phase == PENDING
    delivery = await triggers.worked(response.delivery_id)
    assert delivery.phase == DONE
    assert [run.name for run in await triggers.runs()] == ["a", "b"]
    assert [each.run_id for each in delivery.decisions] == [run.id for run in await triggers.runs()]


async def test_delivery_that_was_not_stored_makes_no_run(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "a"})

    def die(name: str) -> None:
        raise Crashed(name)

    with crashing(die, "delivery.before-stored"), pytest.raises(Crashed):
        await triggers.deliver(kind="push", ref=MAIN, after=COMMIT)
    await triggers.worker.work()
    assert await triggers.runs() == []
