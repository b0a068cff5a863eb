"""A host that accepts calls and never responds delays its own projects, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from sluiceway.api.project.v1 import delivery_service_pb2 as api
from sluiceway.api.project.v1 import project_service_pb2 as project_api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_server.datamanager.model import Delete, Put
from sluiceway_server.forges.port import Repository
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.triggers.catching_up import CatchUp
from sluiceway_server.triggers.host_work import HostPlaces
from sluiceway_server.triggers.records import KNOWN_REFS, LINK
from tests.fakes.forge_port import FakeForge, signed
from tests.service.triggers.conftest import COMMIT, MAIN, OTHER_COMMIT, OTHER_PROJECT, Triggers, configuration
from tests.support.conditions import eventually
from tests.support.run_engine import request

PUSHES = 40


@dataclass
class HangingForge(FakeForge):
    """A provider that responds to nothing before `responds` is set."""

    responds: asyncio.Event = field(default_factory=asyncio.Event)

    async def repository_by_id(self, token: str, repository_id: str) -> Repository:
        self.calls.append("repository_by_id")
        await self.responds.wait()
        return await super().repository_by_id(token, repository_id)


@pytest.fixture
async def hanging(triggers: Triggers) -> HangingForge:
    """The provider of a second project."""
    forge = HangingForge()
    for each in (triggers.forge, forge):
        each.files = {COMMIT: configuration({"name": "test"}), OTHER_COMMIT: configuration({"name": "test"})}
    await triggers.link_another("slow", forge, project_id=OTHER_PROJECT)
    return forge


async def make_run(triggers: Triggers, project_id: str, commit: str, name: str) -> str:
    wanted = request(name=name, group=f"/project/{project_id}/branch/main")
    wanted.source.commit_sha = commit
    return (await triggers.engine.create_run(wanted, created_by="eve")).value.run.id


class Working:
    """Runs workers while the block runs."""

    def __init__(self, *workers: Coroutine[Any, Any, None]) -> None:
        self._workers = workers
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(each) for each in self._workers]

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


def holds(check: Callable[[], bool]) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def ask() -> bool:
        return check()

    return ask


async def test_statuses_of_other_providers_are_posted(triggers: Triggers, hanging: HangingForge) -> None:
    for number in range(PUSHES):
        await make_run(triggers, OTHER_PROJECT, COMMIT, f"slow-{number}")
    async with Working(triggers.statuses.run()):
        await eventually(holds(lambda: len(hanging.calls) == 8))
        await triggers.push(OTHER_COMMIT)
        (run,) = [each for each in await triggers.runs() if each.source.commit_sha == OTHER_COMMIT]
        await eventually(holds(lambda: [each.state for _, each in triggers.forge.statuses] == ["running"]))
        # And again, while the other one still hangs.
        await triggers.world.finish(triggers.engine, run.id)
        await eventually(holds(lambda: [each.state for _, each in triggers.forge.statuses] == ["running", "success"]))
        assert len(hanging.calls) == 8, "no more than its places"
        hanging.responds.set()
        await eventually(holds(lambda: len(hanging.statuses) == PUSHES))


async def test_status_that_changes_while_it_is_posted_is_posted_again(
    triggers: Triggers, hanging: HangingForge
) -> None:
    run_id = await make_run(triggers, OTHER_PROJECT, COMMIT, "test")
    async with Working(triggers.statuses.run()):
        await eventually(holds(lambda: len(hanging.calls) == 1))
        await triggers.world.finish(triggers.engine, run_id)
        hanging.responds.set()
        await eventually(holds(lambda: [each.state for _, each in hanging.statuses][-1:] == ["success"]))
    states = [each.state for _, each in hanging.statuses]
    assert states in (["running", "success"], ["success"])


async def test_deliveries_of_other_providers_are_worked_on(triggers: Triggers, hanging: HangingForge) -> None:
    for number in range(PUSHES):
        await deliver(triggers, OTHER_PROJECT, f"refs/heads/{number}", COMMIT)
    # More of its projects than there are places.
    link = await triggers.database.get(LINK, OTHER_PROJECT)
    for number in range(8):
        project_id = f"{OTHER_PROJECT[:-1]}{number + 1}"
        await triggers.link_another(f"slow{number}", hanging, project_id=project_id)
        same = pb.LinkRecord()
        same.CopyFrom(await triggers.database.get(LINK, project_id))
        same.remote_source_id = link.remote_source_id
        await triggers.database.commit([Put(LINK, project_id, same)])
        for branch in range(4):
            await deliver(triggers, project_id, f"refs/heads/{branch}", COMMIT)
    async with Working(triggers.worker.run()):
        await eventually(holds(lambda: len(hanging.calls) == 16))
        await triggers.deliver(kind="push", ref=MAIN, after=OTHER_COMMIT)
        await eventually(lambda: has_run_of(triggers, OTHER_COMMIT))
        assert len(hanging.calls) == 16
        hanging.responds.set()


async def test_refs_of_other_providers_are_listed(triggers: Triggers, hanging: HangingForge) -> None:
    triggers.forge.refs_ = {MAIN: COMMIT}
    for number in range(5):
        await triggers.link_another(f"slow{number}", hanging, project_id=f"{OTHER_PROJECT[:-1]}{number + 1}")
    # One that looks at all at once.
    catch_up = CatchUp(
        triggers.database,
        triggers.providers,
        triggers.clock,
        ids=triggers.world.ids,
        settings=replace(triggers.settings, catch_up_interval=timedelta(seconds=1), interval=timedelta(seconds=0.05)),
        is_elected=lambda: True,
    )
    async with Working(catch_up.run()):
        await asyncio.sleep(0)
        await eventually(lambda: is_listed(triggers))


async def is_listed(triggers: Triggers) -> bool:
    triggers.clock.advance(timedelta(seconds=1))
    return bool(await triggers.database.read(lambda view: [key for key, _ in view.scan(KNOWN_REFS)]))


async def test_links_at_other_providers_are_removed(triggers: Triggers, hanging: HangingForge) -> None:
    await triggers.database.commit([Delete(PROJECT, OTHER_PROJECT)])
    projects = await triggers.database.read(lambda view: [key for key, _ in view.scan(PROJECT)])
    async with Working(triggers.cleaner.run()):
        await eventually(holds(lambda: bool(hanging.calls)))
        await triggers.database.commit([Delete(PROJECT, key) for key in projects])
        await eventually(holds(lambda: triggers.forge.webhooks == {}))
        hanging.responds.set()


async def test_hosts_of_git_have_places_of_their_own(triggers: Triggers) -> None:
    places = HostPlaces(1)
    held: set[str] = set()
    end = asyncio.Event()

    async def hold(name: str, link: pb.LinkRecord) -> None:
        async with places.take(link):
            held.add(name)
            await end.wait()

    def of_git(url: str) -> pb.LinkRecord:
        return pb.LinkRecord(git=project_api.GitRepository(url=url))

    tasks = [asyncio.create_task(hold(f"git{n}", of_git(f"https://{n}.example.org/a.git"))) for n in range(6)]
    tasks += [asyncio.create_task(hold(f"same{n}", of_git(f"https://0.example.org/{n}.git"))) for n in range(2)]
    await eventually(holds(lambda: len(held) == 4))
    # Users choose those hosts; the sources of operators are not behind them.
    tasks.append(asyncio.create_task(hold("source", pb.LinkRecord(remote_source_id="s"))))
    await eventually(holds(lambda: "source" in held))
    assert len(held) == 5
    end.set()
    await asyncio.gather(*tasks)
    assert len(held) == 9
    assert places._places == {}


async def deliver(triggers: Triggers, project_id: str, ref: str, commit: str) -> None:
    headers, body = signed(triggers.secret, {"kind": "push", "ref": ref, "after": commit})
    await triggers.receiver.ReceiveDelivery(
        api.ReceiveDeliveryRequest(project_id=project_id, headers=headers, body=body), None
    )


async def has_run_of(triggers: Triggers, commit: str) -> bool:
    return any(run.source.commit_sha == commit for run in await triggers.runs())
