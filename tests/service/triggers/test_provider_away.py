"""What the provider is asked for, and what happens while it is slow or away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.run.v1 import run_pb2 as run_api
from sluiceway_common.foundation.rpc.caller import as_caller
from sluiceway_server.forges.errors import ForgeUnavailable, TokenRefused
from tests.fakes.forge_port import signed
from tests.service.triggers.conftest import (
    COMMIT,
    DONE,
    EVE,
    FAILED,
    MAIN,
    OTHER_COMMIT,
    OTHER_PROJECT,
    PENDING,
    PROJECT_ID,
    Triggers,
    configuration,
    reason,
    reasons,
    second_project,
)
from tests.support.conditions import eventually


async def test_second_push_reads_only_the_configuration(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: configuration({"name": "b"})}
    await triggers.push(COMMIT)
    triggers.forge.calls.clear()
    await triggers.push(OTHER_COMMIT)
    assert sorted(triggers.forge.calls) == ["file", "folder"]
    assert [run.name for run in await triggers.runs()] == ["a", "b"]


async def test_configuration_is_found_where_it_is_now(triggers: Triggers) -> None:
    (content,) = (text for path, text in configuration({"name": "b"}).items() if path.endswith(".json"))
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: {".sluice/config.yml": content}}
    await triggers.push(COMMIT)
    await triggers.push(OTHER_COMMIT)
    assert [run.name for run in await triggers.runs()] == ["a", "b"]


async def test_configuration_that_was_deleted_is_a_setup_error(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: {"README": b"x"}}
    await triggers.push(COMMIT)
    assert reason(await triggers.push(OTHER_COMMIT)) == "SETUP_ERROR"


async def test_repository_that_was_renamed_is_read(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "a"}), OTHER_COMMIT: configuration({"name": "b"})}
    await triggers.push(COMMIT)
    triggers.forge.repository_ = replace(triggers.forge.repository_, path="eve/renamed")
    delivery = await triggers.push(OTHER_COMMIT)
    assert reasons(delivery) == {"b": "RUN_CREATED"}


async def test_delivery_waits_while_the_provider_is_away(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.fault = ForgeUnavailable("the provider does not respond")
    delivery = await triggers.push()
    assert delivery.phase == PENDING
    assert delivery.sentence == "waits for another attempt: the provider does not respond"
    triggers.forge.fault = None
    assert (await triggers.worked(delivery.id)).phase == PENDING  # not yet
    triggers.clock.advance(timedelta(minutes=6))
    assert (await triggers.worked(delivery.id)).phase == DONE
    assert [run.name for run in await triggers.runs()] == ["test"]


async def test_events_of_one_ref_keep_their_order(triggers: Triggers) -> None:
    for commit in (COMMIT, OTHER_COMMIT):
        triggers.forge.files[commit] = configuration({"name": "test"})
    triggers.forge.fault = ForgeUnavailable("away")
    await triggers.push(COMMIT)
    triggers.forge.fault = None
    await triggers.push(OTHER_COMMIT)
    assert await triggers.runs() == []  # the second one waits for the first
    await triggers.push(OTHER_COMMIT, "refs/heads/other")  # and nobody else does
    triggers.clock.advance(timedelta(minutes=6))
    await triggers.worker.work()
    commits = [run.source.commit_sha for run in await triggers.runs() if run.source.branch == "main"]
    assert commits == [COMMIT, OTHER_COMMIT]


async def test_long_queue_of_a_ref_is_worked_on_in_order(triggers: Triggers) -> None:
    commits = [f"{number:040x}" for number in range(120)]
    for commit in commits:
        triggers.forge.files[commit] = configuration({"name": "test"})
        await triggers.deliver(kind="push", ref=MAIN, after=commit)
    await triggers.worker.work()
    assert [run.source.commit_sha for run in await triggers.runs()] == commits


async def test_slow_provider_delays_its_own_project_only(triggers: Triggers) -> None:
    triggers.forge.files = {COMMIT: configuration({"name": "slow"}), OTHER_COMMIT: configuration({"name": "test"})}
    held = triggers.forge.held[COMMIT] = asyncio.Event()
    for number in range(40):
        await triggers.deliver(kind="push", ref=f"refs/heads/{number}", after=COMMIT)
    _, secret = await second_project(triggers)
    headers, body = signed(secret, {"kind": "push", "ref": MAIN, "after": OTHER_COMMIT})
    working = asyncio.create_task(triggers.worker.run())
    try:
        await eventually(lambda: folders_asked_for(triggers, 1))
        request = api.ReceiveDeliveryRequest(project_id=OTHER_PROJECT, headers=headers, body=body)
        await triggers.receiver.ReceiveDelivery(request, None)
        await eventually(lambda: run_names(triggers, ["test"]))
        held.set()
        await eventually(lambda: run_names(triggers, ["slow"] * 40 + ["test"]))
    finally:
        held.set()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def folders_asked_for(triggers: Triggers, least: int) -> bool:
    return triggers.forge.calls.count("folder") >= least


async def run_names(triggers: Triggers, expected: list[str]) -> bool:
    return sorted(run.name for run in await triggers.runs()) == expected


async def test_provider_that_stays_away_ends_as_a_setup_error_run(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.fault = ForgeUnavailable("the provider does not respond")
    waiting = await triggers.push()
    triggers.clock.advance(timedelta(hours=7))
    delivery = await triggers.worked(waiting.id)
    (run,) = await triggers.runs()
    assert (delivery.phase, reason(delivery)) == (FAILED, "FAILED")
    assert run.phase == run_api.RUN_PHASE_SETUP_ERROR
    assert "the provider does not respond" in run.setup_errors[0]


async def test_failed_delivery_can_be_delivered_again(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.fault = TokenRefused("the token was revoked")
    failed = await triggers.push()
    assert failed.phase == FAILED
    triggers.forge.fault = None
    request = api.RedeliverDeliveryRequest(project_id=PROJECT_ID, delivery_id=failed.id)
    with as_caller(EVE):
        again = (await triggers.receiver.RedeliverDelivery(request, None)).delivery
    assert (again.phase, again.redeliveries) == (PENDING, 1)
    delivery = await triggers.worked(failed.id)
    assert (delivery.phase, reasons(delivery)) == (DONE, {"test": "RUN_CREATED"})
    assert [run.name for run in await triggers.runs()] == ["app", "test"]
