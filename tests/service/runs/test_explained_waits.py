"""What `ExplainRun` says of each wait and each end: the executors by name, and what a person can do."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway_common.runmodel.placement import ExecutorView, Owner
from sluiceway_common.runmodel.queues import QueueSettings
from sluiceway_server.datamanager.model import View
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.explainer import Explainer
from tests.fakes.executor_directory import executor
from tests.support.run_engine import GROUP, World, definition, request


class OneAtATime:
    """Settings and owner of all runs."""

    def queue_settings(self, view: View, scope: str) -> QueueSettings:
        return QueueSettings(concurrency=1)

    def owner(self, view: View, scope: str) -> Owner:
        return Owner(frozenset({scope}), "project org/acme/app")


@dataclass
class Scene:
    """A scheduler without executors."""

    world: World
    engine: Engine

    @property
    def connect(self) -> Callable[[ExecutorView], Awaitable[None]]:
        return self.world.executors.connect

    async def create(self, *tasks: definition_api.TaskDefinition, group: str = GROUP) -> str:
        run_id = (await self.engine.create_run(request(*tasks, group=group), created_by="ann")).value.run.id
        await self.engine.scheduler.place_now()
        return run_id


async def no_executor(at: Scene) -> str:
    return await at.create(definition("z"))


async def another_arch(at: Scene) -> str:
    await at.connect(executor("e1"))
    return await at.create(definition("z", runtime=definition_api.Runtime(arch="arm64")))


async def labels(at: Scene) -> str:
    await at.connect(executor("e1"))
    return await at.create(definition("z", labels={"gpu": "yes"}))


async def privileged(at: Scene) -> str:
    await at.connect(executor("e1", drivers=frozenset({"docker"})))
    task = definition("z")
    task.runtime.containers[0].image = "debian:13"
    task.runtime.containers[0].privileged = True
    return await at.create(task)


async def full(at: Scene) -> str:
    await at.connect(executor("e1", slots=1))
    await at.connect(executor("e2", slots=1))
    return await at.create(*(definition(name) for name in ("a", "b", "z")))


async def draining(at: Scene) -> str:
    await at.connect(executor("e1", draining=True))
    return await at.create(definition("z"))


async def not_served(at: Scene) -> str:
    await at.connect(executor("e1", serves=frozenset({"/project/other"})))
    return await at.create(definition("z"))


async def kinds(at: Scene) -> str:
    await at.connect(executor("e1", draining=True))
    await at.connect(executor("e2", archs=frozenset({"arm64"})))
    await at.connect(executor("e3", archs=frozenset({"arm64"})))
    return await at.create(definition("z", runtime=definition_api.Runtime(arch="amd64")))


async def fair_share(at: Scene) -> str:
    await at.connect(executor("e1", slots=2))
    run_id = await at.create(*(definition(name) for name in ("a", "b", "z")))
    await at.create(definition("b"), definition("c"), group="/user/eve/x")
    return run_id


async def lock(at: Scene) -> str:
    await at.connect(executor("e1"))
    return await at.create(definition("a", lock="deploy"), definition("z", lock="deploy"))


async def parent_running(at: Scene) -> str:
    await at.connect(executor("e1"))
    return await at.create(definition("a"), definition("z", "a"))


async def approval(at: Scene) -> str:
    await at.connect(executor("e1"))
    return await at.create(definition("z", approval=definition_api.Approval()))


async def vanished(at: Scene) -> str:
    await at.connect(executor("e1"))
    run_id = await at.create(definition("z"))
    at.world.executors.disconnect("e1")
    return run_id


async def offline(at: Scene) -> str:
    await at.connect(executor("e1"))
    at.world.executors.disconnect("e1")
    return await at.create(definition("z"))


async def group_busy(at: Scene) -> str:
    await at.connect(executor("e1"))
    await at.create(definition("a"))
    return await at.create(definition("z"))


async def concurrency(at: Scene) -> str:
    await at.connect(executor("e1"))
    await at.create(definition("a"))
    return await at.create(definition("z"), group="/user/admin/another")


async def failed(at: Scene) -> str:
    await at.connect(executor("e1"))
    run_id = await at.create(definition("z"))
    await at.world.finish(at.engine, run_id, "z", "failed")
    return run_id


async def skipped(at: Scene) -> str:
    await at.connect(executor("e1"))
    run_id = await at.create(definition("a"), definition("z", "a"))
    await at.world.finish(at.engine, run_id, "a", "failed")
    return run_id


Row = tuple[Callable[[Scene], Awaitable[str]], list[str]]

TABLE: list[Row] = [
    (no_executor, ["no executor is known", "start an executor: sluice executor run"]),
    (another_arch, ["1 executor (e1): arch arm64 wanted, have amd64", "start an executor of arch arm64"]),
    (labels, ["1 executor (e1): label gpu=yes wanted, have none", "start an executor with --label gpu=yes"]),
    (
        privileged,
        [
            "1 executor (e1): privileged pods wanted, not allowed",
            "start an executor with --allow-privileged, or let the task have no privileged containers",
        ],
    ),
    (full, ["2 full, 1 of 1: e1 and e2"]),
    (draining, ["1 draining: e1", "end its drain: sluice executor undrain e1"]),
    (offline, ["1 offline: e1", "start e1 again; if it is gone for good: sluice executor delete e1"]),
    (
        not_served,
        [
            "1 executor (e1): group default does not serve project org/acme/app",
            "let group default serve project org/acme/app too: sluice executor group update default --serves ...",
        ],
    ),
    (
        kinds,
        [
            "2 executors (e2 and e3): arch amd64 wanted, have arm64; 1 draining: e1",
            "start an executor of arch amd64",
            "end its drain: sluice executor undrain e1",
        ],
    ),
    (
        fair_share,
        [
            "1 full, 2 of 2: e1",
            "2 tasks of 1 other project wait too, and the project that runs the fewest tasks is next: this one runs 2,"
            " 1 of the others runs fewer",
        ],
    ),
    (
        lock,
        [
            'lock "deploy" is held by run 1 of /user/admin/repo/main',
            "the lock is free when that task ends; to stop its run: sluice run stop ID",
        ],
    ),
    (parent_running, ['waits for "a", which is running']),
    (
        approval,
        [
            'task "z" waits for approval since 2026-01-01 00:00:00Z, for at most 7d;'
            " approve it with: sluice run approve ID ID"
        ],
    ),
    (
        vanished,
        [
            "was given to executor e1 at 2026-01-01 00:00:00Z, which has not taken it yet",
            "its executor e1 is offline: the task continues, or ends, when the executor comes back, and is lost when it"
            " stays away for 15m",
            "start e1 again; if it is gone for good: sluice executor delete e1",
        ],
    ),
    (
        group_busy,
        ["run 1 holds the group /user/admin/repo/main until it is finished", "to stop that run: sluice run stop ID"],
    ),
    (
        concurrency,
        [
            "1 run of /user/admin is running; its concurrency is 1",
            "a maintainer can raise it: sluice project update PROJECT --concurrency N",
        ],
    ),
    (failed, ["it failed", "failed on executor e1 at 2026-01-01 00:00:00Z, after 0s"]),
    (skipped, ['it runs only if "a" succeeds, and "a" failed']),
]


@pytest.mark.parametrize(("scene", "told"), [pytest.param(*row, id=row[0].__name__) for row in TABLE])
async def test_wait_or_end_is_explained(scene: Callable[[Scene], Awaitable[str]], told: list[str]) -> None:
    world = World(scopes=OneAtATime())
    run_id = await scene(Scene(world, await world.placing_engine(slots=0)))
    explainer = Explainer(world.executors, world.clock, times=ExecutorTimes(), scopes=world.scopes)
    found = await world.db.read(lambda view: explainer.explain_run(view, run_id))
    assert found is not None
    (task,) = [each for each in found.tasks if each.task_name == "z"]
    sentences = [re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", each.message) for each in task.reasons]
    assert sentences == told
