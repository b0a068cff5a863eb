"""Commit statuses: they follow their runs, and survive a provider that is away and a server that dies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluiceway_common.foundation.crashpoints import Crashed, crashing
from sluiceway_common.foundation.errors import PermissionDenied
from sluiceway_common.runmodel.model import RestartKind
from sluiceway_server.forges.errors import ForgeUnavailable
from sluiceway_server.runrecords.codec import decode_run
from sluiceway_server.runrecords.types import RUN
from sluiceway_server.triggers.statuses import _MOST_FAILURES, StatusWorker, follow_run
from tests.service.triggers.conftest import COMMIT, OTHER_COMMIT, TASK, AlreadyDurable, Triggers, configuration
from tests.support.run_engine import request


async def posted(triggers: Triggers) -> list[str]:
    await triggers.statuses.post_due()
    return [status.state for _, status in triggers.forge.statuses]


async def test_status_follows_its_run(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    delivery = await triggers.push()
    run_id = delivery.decisions[0].run_id
    assert await posted(triggers) == ["running"]
    ((commit, status),) = triggers.forge.statuses
    assert (commit, status.context, status.ref) == (COMMIT, "sluiceway/test", "main")
    assert status.target_url == f"https://ci.example.org/runs/{run_id}"
    assert status.description == "run 1 running"
    assert await posted(triggers) == ["running"]  # once
    await triggers.world.finish(triggers.engine, run_id)
    assert await posted(triggers) == ["running", "success"]
    assert await posted(triggers) == ["running", "success"]
    (record,) = await triggers.status()
    assert record.is_final


async def test_setup_error_is_an_error(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = {"README": b"x"}
    await triggers.push()
    assert await posted(triggers) == ["error"]
    (record,) = await triggers.status()
    assert (record.context, record.is_final) == ("sluiceway/app", True)


async def test_each_run_name_has_one_status(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "a"}, {"name": "b"})
    await triggers.push()
    await triggers.push(ref="refs/heads/same-commit")
    await triggers.statuses.post_due()
    assert sorted(record.context for record in await triggers.status()) == ["sluiceway/a", "sluiceway/b"]
    runs = await triggers.runs()
    assert {record.run_id for record in await triggers.status()} == {run.id for run in runs[2:]}


async def test_older_run_does_not_take_the_status_back(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "a"})
    await triggers.push()
    await triggers.push(ref="refs/heads/same-commit")
    older, newer = await triggers.runs()
    (record,) = await triggers.status()
    assert record.run_id == newer.id
    stored = await triggers.database.get(RUN, older.id)
    assert await triggers.database.read(lambda view: follow_run(view, decode_run(stored))) == ()


async def test_status_follows_a_restart(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    await triggers.push()
    (run,) = await triggers.runs()
    await triggers.world.finish(triggers.engine, run.id, phase="failed")
    assert await posted(triggers) == ["failure"]
    again = await triggers.engine.restart_run(run.id, RestartKind.FROM_FAILED, by="eve")
    assert (await posted(triggers))[-1] == "running"
    await triggers.world.finish(triggers.engine, again.value.run.id)
    assert (await posted(triggers))[-1] == "success"
    (record,) = await triggers.status()
    assert record.run_id == again.value.run.id


async def test_run_of_no_linked_project_has_no_status(triggers: Triggers) -> None:
    for group in ("/user/eve/app", "/project/01a22c3c-2f37-7681-b7d7-000000000000/branch/main"):
        wanted = request(group=group)
        wanted.source.commit_sha = COMMIT
        await triggers.engine.create_run(wanted, created_by="eve")
    assert await triggers.status() == []


async def test_status_is_posted_when_the_provider_is_back(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    await triggers.push()
    triggers.forge.fault = ForgeUnavailable("away")
    for _ in range(_MOST_FAILURES + 5):
        assert await posted(triggers) == []
        triggers.clock.advance(timedelta(minutes=11))
    triggers.forge.fault = None
    assert await posted(triggers) == ["running"]


async def test_status_that_the_provider_refuses_is_given_up(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    await triggers.push()
    triggers.forge.fault = PermissionDenied("not allowed")
    for _ in range(_MOST_FAILURES):
        await triggers.statuses.post_due()
        triggers.clock.advance(timedelta(minutes=11))
    calls = len(triggers.forge.calls)
    await triggers.statuses.post_due()
    assert len(triggers.forge.calls) == calls


async def test_server_that_takes_over_posts_what_differs(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    triggers.forge.files[OTHER_COMMIT] = configuration({"name": "test"})
    await triggers.push()
    await triggers.statuses.post_due()
    await triggers.push(OTHER_COMMIT, "refs/heads/other")
    successor = StatusWorker(
        triggers.database,
        triggers.statuses._providers,
        triggers.clock,
        durable=AlreadyDurable(),
        settings=triggers.settings,
        is_elected=lambda: True,
    )
    await successor.post_due()
    assert [commit for commit, _ in triggers.forge.statuses] == [COMMIT, OTHER_COMMIT]


@pytest.mark.parametrize("point", ["status.before-post", "status.after-post"])
async def test_server_that_dies_posts_the_status_later(triggers: Triggers, point: str) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    await triggers.push()

    def die(name: str) -> None:
        raise Crashed(name)

    with crashing(die, point), pytest.raises(BaseExceptionGroup) as caught:
        await triggers.statuses.post_due()
    assert caught.group_contains(Crashed)
    assert set(await posted(triggers)) == {"running"}
    (record,) = await triggers.status()
    assert record.posted == "running"


async def test_failed_run_says_which_step_failed(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = configuration({"name": "test"})
    delivery = await triggers.push()
    run_id = delivery.decisions[0].run_id
    await triggers.world.finish(triggers.engine, run_id, "build", "failed")
    assert await posted(triggers) == ["failure"]
    ((_, status),) = triggers.forge.statuses
    assert status.description.startswith("run 1 failed: task build: ")


async def test_setup_error_is_in_the_description(triggers: Triggers) -> None:
    triggers.forge.files[COMMIT] = {".sluice/config.yml": b"runs: 7\n"}
    await triggers.push()
    await posted(triggers)
    ((_, status),) = triggers.forge.statuses
    assert status.description.startswith("run 1 setup error: .sluice/config.yml:1:1: runs: must be a list")


async def test_approval_is_a_state_of_its_own(triggers: Triggers) -> None:
    task = {**TASK, "approval": True}
    triggers.forge.files[COMMIT] = configuration({"name": "test", "tasks": [task]})
    delivery = await triggers.push()
    assert await posted(triggers) == ["waiting"]
    assert triggers.forge.statuses[0][1].description == "run 1 waits for approval of build"
    run_id = delivery.decisions[0].run_id
    await triggers.engine.approve_task(run_id, await triggers.world.task_id(run_id, "build"), by="eve", is_owner=False)
    assert (await posted(triggers))[-1] == "running"
