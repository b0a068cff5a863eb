"""The settings of a project hold for its runs: concurrency, and what a newer run does to queued ones."""

from __future__ import annotations

import pytest

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.runmodel.queues import QueueSettings
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.runs.project_settings import ProjectSettings
from tests.support.project_services import IDS, tree_actions
from tests.support.run_engine import World, request

PROJECT_ID = IDS["public-project"]


async def _world(**settings: object) -> World:
    world = World(types=RECORD_TYPES, scopes=ProjectSettings())
    await world.db.commit(tree_actions())
    project = pb.Project(name="public-project", parent_id=IDS["public-group"], **settings)  # type: ignore[arg-type]  # of a test
    await world.db.commit([Put(PROJECT, PROJECT_ID, project)])
    return world


async def test_concurrency_bounds_the_runs_of_all_branches() -> None:
    world = await _world(concurrency=1)
    engine = await world.placing_engine(slots=4)
    runs = [
        (await engine.create_run(request(group=f"/project/{PROJECT_ID}/branch/{name}"), created_by="a")).value.run.id
        for name in ("a", "b")
    ]
    assert [await world.phase(run) for run in runs] == ["running", "queued"]
    await world.finish(engine, runs[0])
    assert [await world.phase(run) for run in runs] == ["finished", "running"]


@pytest.mark.parametrize(("cancels", "phase"), [(True, "cancelled"), (False, "queued")])
async def test_newer_run_cancels_queued_ones_if_the_project_says_so(cancels: bool, phase: str) -> None:
    world = await _world(cancel_superseded=cancels)
    engine = await world.placing_engine(slots=1)
    runs = [
        (await engine.create_run(request(group=f"/project/{PROJECT_ID}/branch/a"), created_by="a")).value.run.id
        for _ in range(3)
    ]
    assert [await world.phase(run) for run in runs] == ["running", phase, "queued"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (f"/project/{PROJECT_ID}", QueueSettings(3, True)),
        ("/project/none", QueueSettings()),
        (f"/user/{PROJECT_ID}", QueueSettings()),
        ("/project", QueueSettings()),
    ],
)
async def test_scope_has_the_settings_of_its_project(scope: str, expected: QueueSettings) -> None:
    world = await _world(concurrency=3, cancel_superseded=True)
    assert await world.db.read(lambda view: ProjectSettings().queue_settings(view, scope)) == expected
