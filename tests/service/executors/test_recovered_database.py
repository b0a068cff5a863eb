"""The hold, and what executors bring back, on a real database that was really recovered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway.api.run.v1 import run_pb2
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.engine.opening import RecoverAlways, RecoverManually, RecoverPolicy
from sluiceway_server.datamanager.model import Decision
from sluiceway_server.objectstorage.posix import PosixStorage
from sluiceway_server.runrecords.types import ASSIGNMENT, PLACER, PLACER_ID, TASK
from tests.fakes.kv import FakeKeyValueStore
from tests.support.conditions import eventually
from tests.support.databases import FAST
from tests.support.executor_cluster import TIMES, Cluster, ScriptedExecutor
from tests.support.executor_runs import began_assigned, until_gone
from tests.support.run_engine import request
from tests.support.storage_away import SwitchedStorage


@asynccontextmanager
async def opened(
    cluster: Cluster, kv: FakeKeyValueStore, storage: SwitchedStorage, folder: Path, policy: RecoverPolicy
) -> AsyncIterator[DataManager]:
    """Open the database of the cluster; one that cannot be flushed does not wait for that when it ends."""
    settings = replace(FAST, server_id="one", stop_timeout=timedelta(milliseconds=200))
    async with DataManager.open(
        kv=kv, storage=storage, prefix="p", path=folder, types=RECORD_TYPES, settings=settings, recover=policy
    ) as database:
        cluster.db = database  # type: ignore[assignment]  # the real one in place of the fake
        yield database


async def _status(database: DataManager, run_id: str) -> str:
    (task,) = await database.read(lambda view: [record.task for _, record in view.scan(TASK, f"{run_id}/")])
    return run_pb2.TaskStatus.Name(task.status).removeprefix("TASK_STATUS_")


async def _until(database: DataManager, run_id: str, status: str) -> None:
    async def holds() -> bool:
        return await _status(database, run_id) == status

    await eventually(holds)


@pytest.mark.parametrize("phase", ["RUNNING", "SUCCESS"])
async def test_task_that_the_recovered_database_lost_starts_once(phase: str, tmp_path: Path) -> None:
    cluster = Cluster(times=replace(TIMES, lost_after=timedelta(minutes=15)))
    posix, kv = PosixStorage(tmp_path / "objects"), FakeKeyValueStore()
    storage = SwitchedStorage(posix)
    executor, other = ScriptedExecutor(), ScriptedExecutor("e2", journal="journal-2")
    async with AsyncExitStack() as stack:
        for each in (executor, other):
            stack.push_async_callback(each.leave)
        stack.push_async_callback(posix.close)
        async with (
            opened(cluster, kv, storage, tmp_path / "one", RecoverManually()) as database,
            cluster.server() as server,
        ):
            # Both are known, and have run something; none is there when the run is made.
            for each in (executor, other):
                await each.welcomed(server)
                _, first = await began_assigned(server, each)
                await each.reported(first, "SUCCESS")
                await each.leave()
                await until_gone(server, each.id)

            async def nobody_is_there() -> bool:
                return server.directory.members("blue") == ()

            await eventually(nobody_is_there)
            run_id = (await server.engine.create_run(request(), created_by="admin")).value.run.id
            await database.transact(lambda view: Decision(None), durable=True)
            # From here on nothing reaches the storage.
            storage.away = True
            await executor.welcomed(server)
            assign = (await executor.until("assign")).assign
            await executor.confirm(assign.number)
            await executor.reported(assign, phase)
            assert await _status(database, run_id) == phase
            await server.die()
            await executor.leave()
        # All of etcd goes, and the folder of the only server.
        storage.away = False
        kv.wipe(cluster_id=2)
        cluster.kv.wipe(cluster_id=2)
        async with (
            opened(cluster, kv, storage, tmp_path / "anew", RecoverAlways()) as database,
            cluster.server() as server,
        ):
            assert database.epoch == 2
            assert await _status(database, run_id) == "NOT_STARTED"
            await other.welcomed(server)

            async def is_held() -> bool:
                record = await database.read(lambda view: view.get(PLACER, PLACER_ID))
                return record is not None and record.held_epoch == 2

            await eventually(is_held)
            assert await _status(database, run_id) == "NOT_STARTED"
            executor.hold(assign, phase)
            assert (await executor.welcomed(server)).database_epoch == 2
            await _until(database, run_id, "RUNNING")
            assert not (await executor.reported(assign, "SUCCESS")).HasField("refused")
            await _until(database, run_id, "SUCCESS")

            async def is_open() -> bool:
                return (await database.get(PLACER, PLACER_ID)).open_epoch == 2

            await eventually(is_open)
            assignments = await database.read(lambda view: [each for _, each in view.scan(ASSIGNMENT)])
            assert [each.id for each in assignments if each.run_id == run_id] == [assign.assignment_id]
            assert (executor.of("assign"), other.of("assign")) == ([], [])
