"""Runs of deleted projects and users are stopped."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.runmodel.reasons import Reason
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.model import Put, RecordType
from sluiceway_server.datamanager.replica.deleted_subtrees import delete_subtree
from sluiceway_server.projects.records import ORGANIZATION, PROJECT, PROJECT_GROUP, USER
from sluiceway_server.runrecords.types import ASSIGNMENT
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.orphans import OrphanedRuns
from tests.support.conditions import eventually
from tests.support.project_services import IDS, tree_actions
from tests.support.run_engine import World, request

GROUPS = {
    "public-project": f"/project/{IDS['public-project']}/branch/main",
    "below-private": f"/project/{IDS['below-private']}/branch/main",
    "own-project": f"/project/{IDS['own-project']}/branch/main",
    "owner": f"/user/{IDS['owner']}/app/main",
    "named": "/user/named/app/main",
    "no-user": "/user/free-name/app/main",
    "other": "/other/group",
}


class DeletedLogs:
    """Notes whose logs are to be deleted."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    async def delete_all(self, run_id: str) -> int:
        self.runs.append(run_id)
        return 1


async def _world() -> tuple[World, Engine, dict[str, str]]:
    world = World(types=RECORD_TYPES)
    await world.db.commit([*tree_actions(), Put(USER, "named", pb.User(name="named"))])
    engine = await world.placing_engine(slots=1)
    runs = {
        name: (await engine.create_run(request(group=group), created_by="a")).value.run.id
        for name, group in GROUPS.items()
    }
    return world, engine, runs


async def _unfinished(world: World, runs: dict[str, str]) -> set[str]:
    """Return the runs that nobody asked to end."""
    return {
        name
        for name, run_id in runs.items()
        if not (await world.run(run_id)).HasField("stop_request") and await world.phase(run_id) in {"queued", "running"}
    }


@pytest.mark.parametrize(
    ("type_", "deleted", "stopped"),
    [
        (PROJECT, "public-project", {"public-project"}),
        (PROJECT_GROUP, "private-group", {"below-private"}),
        (ORGANIZATION, "acme", {"public-project", "below-private"}),
        (ORGANIZATION, "hidden", set()),
        (USER, "owner", {"own-project", "owner"}),
    ],
)
async def test_runs_below_what_is_deleted_are_stopped(
    type_: RecordType[pb.Project], deleted: str, stopped: set[str]
) -> None:
    world, engine, runs = await _world()
    orphans = OrphanedRuns(world.db, engine, DeletedLogs(), is_elected=lambda: True)
    assert await orphans.stop_all() == 0
    await world.db.commit(delete_subtree(type_, IDS[deleted], now=world.clock.now()))
    assert await orphans.stop_all() == len(stopped)
    assert await _unfinished(world, runs) == GROUPS.keys() - stopped


async def test_loop_stops_runs_when_something_is_deleted() -> None:
    world, engine, runs = await _world()
    orphans = OrphanedRuns(world.db, engine, DeletedLogs(), is_elected=lambda: True, interval=timedelta(hours=1))
    loop = asyncio.create_task(orphans.run())
    try:
        # Its id is a name, so it is known to be deleted only to who followed the deletion.
        await world.db.commit(delete_subtree(USER, "named", now=world.clock.now()))
        await world.db.commit(delete_subtree(PROJECT, IDS["below-private"], now=world.clock.now()))

        async def are_stopped() -> bool:
            return await _unfinished(world, runs) == GROUPS.keys() - {"named", "below-private"}

        await eventually(are_stopped)
    finally:
        loop.cancel()
        await asyncio.wait({loop})


async def test_only_the_scheduler_stops_runs() -> None:
    world, engine, runs = await _world()
    elected = False
    orphans = OrphanedRuns(
        world.db, engine, DeletedLogs(), is_elected=lambda: elected, interval=timedelta(milliseconds=1)
    )
    await world.db.commit(delete_subtree(PROJECT, IDS["public-project"], now=world.clock.now()))
    loop = asyncio.create_task(orphans.run())
    try:
        for _ in range(100):
            await asyncio.sleep(0)
        assert await _unfinished(world, runs) == GROUPS.keys()
        elected = True

        async def is_stopped() -> bool:
            return await _unfinished(world, runs) == GROUPS.keys() - {"public-project"}

        await eventually(is_stopped)
    finally:
        loop.cancel()
        await asyncio.wait({loop})


async def test_runs_of_a_deleted_tree_leave_no_record() -> None:
    world, engine, runs = await _world()
    logs = DeletedLogs()
    orphans = OrphanedRuns(world.db, engine, logs, is_elected=lambda: True)
    assert await orphans.delete_all() == 0
    await world.db.commit(delete_subtree(ORGANIZATION, IDS["acme"], now=world.clock.now()))
    gone = {runs["public-project"], runs["below-private"]}
    # The one that has an attempt waits for its end.
    await orphans.stop_all()
    live = [each for each in gone if await world.phase(each) == "running"]
    await orphans.delete_all()
    assert set(logs.runs) == gone - set(live)
    for run_id in live:
        assignments = await world.db.read(
            lambda view, run_id=run_id: [id_ for id_, record in view.scan(ASSIGNMENT) if record.run_id == run_id]  # type: ignore[misc]
        )
        await engine.mark_lost(assignments, Reason("executor_vanished", "it is gone"))
    await orphans.delete_all()
    assert sorted(logs.runs) == sorted(gone)
    assert await orphans.delete_all() == 0
    texts = await world.db.read(
        lambda view: [
            f"{type_.name} {id_} {message}"
            for type_ in RECORD_TYPES
            if type_.name not in {"tombstone", *(each.name for each in (PROJECT, PROJECT_GROUP, ORGANIZATION))}
            for id_, message in view.scan(type_)
        ]
    )
    left = [text for text in texts for id_ in (*gone, IDS["public-project"], IDS["below-private"]) if id_ in text]
    assert left == []
    # Others keep theirs.
    for name in GROUPS.keys() - {"public-project", "below-private"}:
        assert await world.phase(runs[name]) in {"queued", "running"}
