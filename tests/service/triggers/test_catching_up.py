"""Pushes of which no webhook came are found in the list of refs, and make their runs once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway_server.forges.errors import ForgeUnavailable
from sluiceway_server.triggers.records import DELIVERY, KNOWN_REFS
from tests.service.triggers.conftest import COMMIT, PROJECT_ID, Triggers, configuration

MAIN = "refs/heads/main"
SECOND = "2" * 40


@pytest.fixture
async def caught(triggers: Triggers) -> Triggers:
    """A project whose refs were listed once, with another commit that has a configuration."""
    triggers.forge.files[SECOND] = configuration({"name": "test"})
    triggers.forge.refs_ = {MAIN: COMMIT, "refs/heads/old": COMMIT, "refs/tags/v1": COMMIT}
    await triggers.catch_up.look()
    return triggers


async def deliveries(triggers: Triggers) -> list[api.Delivery]:
    await triggers.worker.work()
    found = await triggers.database.read(lambda view: [record.delivery for _, record in view.scan(DELIVERY)])
    return sorted(found, key=lambda each: each.id)


async def test_refs_of_the_first_list_make_nothing(caught: Triggers) -> None:
    await caught.catch_up.look()
    assert await deliveries(caught) == []


async def test_commit_without_a_webhook_makes_its_runs(caught: Triggers) -> None:
    caught.forge.refs_[MAIN] = SECOND
    await caught.catch_up.look()
    await caught.catch_up.look()
    (delivery,) = await deliveries(caught)
    assert (delivery.event, delivery.ref, delivery.commit_sha) == ("push caught_up", MAIN, SECOND)
    assert delivery.reason == api.DECISION_REASON_CONFIGURATION_READ
    runs = await caught.runs()
    assert [run.source.commit_sha for run in runs] == [SECOND]
    assert runs[0].group == f"/project/{PROJECT_ID}/branch/main"


async def test_late_webhook_makes_no_second_run(caught: Triggers) -> None:
    caught.forge.refs_[MAIN] = SECOND
    await caught.catch_up.look()
    await deliveries(caught)
    late = await caught.push(SECOND)
    assert [each.reason for each in late.decisions if each.run_id] == [api.DECISION_REASON_RUN_EXISTS]
    assert len(await caught.runs()) == 1


async def test_late_webhook_of_an_annotated_tag_makes_no_second_run(caught: Triggers) -> None:
    caught.forge.refs_["refs/tags/v2"] = SECOND
    await caught.catch_up.look()
    (delivery,) = await deliveries(caught)
    made = [each.run_name for each in delivery.decisions if each.run_id]
    late = await caught.push("f" * 40, ref="refs/tags/v2", commit=SECOND)
    assert made
    assert [each.run_name for each in late.decisions if each.reason == api.DECISION_REASON_RUN_EXISTS] == made
    assert len(await caught.runs()) == len(made)


async def test_commit_that_was_delivered_is_not_caught_up(caught: Triggers) -> None:
    await caught.push(SECOND)
    caught.forge.refs_[MAIN] = SECOND
    await caught.catch_up.look()
    assert [each.event for each in await deliveries(caught)] == ["push"]


async def test_ref_that_is_missing_in_one_list_makes_nothing(caught: Triggers) -> None:
    old = caught.forge.refs_.pop("refs/heads/old")
    await caught.catch_up.look()
    caught.forge.refs_["refs/heads/old"] = old
    await caught.catch_up.look()
    assert await deliveries(caught) == []


async def test_skip_word_of_a_commit_that_is_caught_up(caught: Triggers) -> None:
    caught.forge.refs_[MAIN] = SECOND
    caught.forge.messages[SECOND] = "Change it [ci skip]"
    await caught.catch_up.look()
    (delivery,) = await deliveries(caught)
    assert delivery.reason == api.DECISION_REASON_SKIP_WORD
    assert await caught.runs() == []


async def test_many_refs_are_caught_up_in_several_looks(caught: Triggers) -> None:
    caught.forge.refs_ |= {f"refs/heads/b{number:03}": SECOND for number in range(250)}
    for count in (100, 200, 250, 250):
        await caught.catch_up.look()
        assert await caught.database.read(lambda view: len(list(view.scan(DELIVERY)))) == count


async def test_provider_that_is_away_is_asked_again(caught: Triggers) -> None:
    caught.forge.refs_[MAIN] = SECOND
    caught.forge.fault = ForgeUnavailable("it is away", retry_after=timedelta(seconds=5))
    await caught.catch_up.look()
    caught.forge.fault = None
    await caught.catch_up.look()
    assert len(await deliveries(caught)) == 1


async def test_unchanged_refs_write_nothing(caught: Triggers) -> None:
    before = caught.database.position
    await caught.catch_up.look()
    assert caught.database.position == before
    assert len((await caught.database.get(KNOWN_REFS, PROJECT_ID)).commits) == 3
