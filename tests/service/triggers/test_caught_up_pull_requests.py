"""Pull requests of which no webhook came are found in the list of open ones, and make their runs once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import PermissionDenied
from sluiceway_server.datamanager.model import Put
from sluiceway_server.forges.errors import ForgeUnavailable
from sluiceway_server.triggers.known_refs import moved_refs
from sluiceway_server.triggers.records import DELIVERY, KNOWN_REFS
from tests.fakes.forge_port import FakeForge
from tests.service.triggers.conftest import COMMIT, PROJECT_ID, Triggers, configuration

HEAD, NEXT = "2" * 40, "3" * 40
REF = "refs/pull/5/head"


@pytest.fixture
async def caught(triggers: Triggers) -> Triggers:
    """A project whose refs and pull requests were listed once: there was one, which is number 4."""
    for commit in (COMMIT, HEAD, NEXT):
        triggers.forge.files[commit] = configuration({"name": "test"})
    triggers.forge.refs_ = {"refs/heads/main": COMMIT}
    triggers.forge.pull_requests = {"4": {"commit": COMMIT}}
    await triggers.catch_up.look()
    return triggers


async def deliveries(triggers: Triggers) -> list[api.Delivery]:
    await triggers.worker.work()
    found = await triggers.database.read(lambda view: [record.delivery for _, record in view.scan(DELIVERY)])
    return sorted(found, key=lambda each: each.id)


async def test_pull_request_without_a_webhook_makes_its_runs(caught: Triggers) -> None:
    caught.forge.pull_requests["5"] = {"commit": HEAD, "head_repository_id": "99"}
    for _ in range(2):
        await caught.catch_up.look()
    (delivery,) = await deliveries(caught)
    assert (delivery.event, delivery.ref) == ("pull_request opened caught_up", REF)
    assert (delivery.pull_request_id, delivery.from_fork) == ("5", True)
    (run,) = await caught.runs()
    assert (run.group, run.source.commit_sha) == (f"/project/{PROJECT_ID}/pull_request/5", HEAD)
    caught.forge.pull_requests["5"] = {"commit": NEXT}
    await caught.catch_up.look()
    assert [each.event for each in await deliveries(caught)][1:] == ["pull_request synchronized caught_up"]
    assert [run.source.commit_sha for run in await caught.runs()] == [HEAD, NEXT]


async def test_pull_request_with_a_webhook_is_only_noted(caught: Triggers) -> None:
    caught.forge.pull_requests["5"] = {"commit": HEAD}
    await caught.deliver(kind="pull_request", number=5, action="opened", commit=HEAD)
    await caught.catch_up.look()
    assert len(await deliveries(caught)) == 1
    assert "pull_request" not in caught.forge.calls, "nothing more is asked for"
    known = await caught.database.get(KNOWN_REFS, PROJECT_ID)
    assert known.commits[REF].hex() == HEAD, "so that it is known when the delivery is deleted"


@pytest.mark.parametrize("action", ["opened", "synchronized"])
async def test_late_webhook_makes_no_second_run(caught: Triggers, action: str) -> None:
    caught.forge.pull_requests["5"] = {"commit": HEAD}
    await caught.catch_up.look()
    await deliveries(caught)
    await caught.deliver(kind="pull_request", number=5, action=action, commit=HEAD)
    late = (await deliveries(caught))[-1]
    assert [each.reason for each in late.decisions] == [api.DECISION_REASON_RUN_EXISTS]
    await caught.deliver(kind="pull_request", number=5, action="reopened", commit=HEAD)
    await deliveries(caught)
    assert len(await caught.runs()) == 2, "to reopen it asks for another run"


async def test_first_list_of_pull_requests_makes_nothing(caught: Triggers) -> None:
    """As in a database of a version that did not list them."""
    old = pb.KnownRefsRecord(project_id=PROJECT_ID, commits={"refs/heads/main": bytes.fromhex(COMMIT)})
    await caught.database.commit([Put(KNOWN_REFS, PROJECT_ID, old)])
    await caught.catch_up.look()
    assert await deliveries(caught) == []
    caught.forge.refs_["refs/heads/main"] = HEAD
    caught.forge.pull_requests["5"] = {"commit": HEAD}
    await caught.catch_up.look()
    assert sorted(each.ref for each in await deliveries(caught)) == ["refs/heads/main", REF]


async def test_many_pull_requests_are_caught_up_in_parts(caught: Triggers) -> None:
    for number in range(5, 55):
        caught.forge.pull_requests[str(number)] = {"commit": HEAD}
    counts = []
    for _ in range(4):
        await caught.catch_up.look()
        counts.append(len(await deliveries(caught)))
    assert counts == [20, 40, 50, 50]


class Refusing(FakeForge):
    """Does not let the token read pull requests."""

    async def pull_request_heads(self, token: str, repository: object) -> dict[str, str]:
        raise PermissionDenied("the token may not read pull requests")


async def test_token_that_may_not_list_them_finds_branches(triggers: Triggers) -> None:
    forge = Refusing(files={HEAD: configuration({"name": "test"})}, refs_={"refs/heads/main": COMMIT})
    project_id = PROJECT_ID[:-1] + "f"
    await triggers.link_another("refusing", forge, project_id=project_id)
    await triggers.catch_up.look()
    forge.refs_["refs/heads/main"] = HEAD
    await triggers.catch_up.look()
    assert [each.ref for each in await deliveries(triggers)] == ["refs/heads/main"]
    assert not (await triggers.database.get(KNOWN_REFS, project_id)).has_pull_requests


async def test_provider_that_is_away_is_asked_later(caught: Triggers) -> None:
    caught.forge.pull_requests["5"] = {"commit": HEAD}
    caught.forge.fault = ForgeUnavailable("away")
    await caught.catch_up.look()
    assert await deliveries(caught) == []
    caught.forge.fault = None
    caught.clock.advance(timedelta(hours=2))
    await caught.catch_up.look()
    assert len(await deliveries(caught)) == 1


def test_refs_of_pull_requests_move_as_others() -> None:
    (moved,) = moved_refs({REF: bytes.fromhex(HEAD)}, {REF: NEXT})
    assert (moved.ref, moved.before, moved.commit) == (REF, HEAD, NEXT)
