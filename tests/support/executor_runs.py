"""Create runs, assign them to scripted executors, and read them from the database."""

from __future__ import annotations

from datetime import UTC, datetime

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.runmodel.executor_state import Deleted
from sluiceway_server.datamanager.model import Decision, View
from sluiceway_server.runrecords.executor_record import has_live_assignments, transition
from sluiceway_server.runrecords.types import EXECUTOR
from sluiceway_server.runs.transaction import tasks_of
from tests.fakes.database import FakeDatabase
from tests.support.conditions import eventually
from tests.support.executor_cluster import Cluster, ScriptedExecutor, Server
from tests.support.run_engine import request

__all__ = [
    "assigned",
    "began_assigned",
    "begin_run",
    "delete_executor",
    "executor_record",
    "status_of",
    "task_of",
    "until_gone",
    "until_live",
    "until_status",
]


async def begin_run(server: Server) -> str:
    """Create a run of one task; return its id."""
    return (await server.engine.create_run(request(), created_by="admin")).value.run.id


async def task_of(cluster: Cluster, run_id: str) -> run_pb2.Task:
    """Return the only task of a run."""
    page = await cluster.db.read(lambda view: tasks_of(view, run_id))
    return page[0]


async def status_of(cluster: Cluster, run_id: str) -> str:
    """Return the status of the only task, without the prefix of the enum."""
    return run_pb2.TaskStatus.Name((await task_of(cluster, run_id)).status).removeprefix("TASK_STATUS_")


async def until_status(cluster: Cluster, run_id: str, status: str) -> None:
    async def holds() -> bool:
        return await status_of(cluster, run_id) == status

    await eventually(holds)


async def executor_record(cluster: Cluster, executor_id: str = "e1") -> records.ExecutorRecord:
    return await cluster.db.get(EXECUTOR, executor_id)


async def delete_executor(db: FakeDatabase, executor_id: str) -> None:
    """Commit what DeleteExecutor commits first; the executor's assignments are not lost yet."""

    def delete(view: View) -> Decision[None]:
        event = Deleted(has_assignments=has_live_assignments(view, executor_id))
        return Decision(None, transition(view, executor_id, event, datetime.now(UTC)))

    await db.transact(delete)


async def until_live(server: Server, executor_id: str = "e1") -> None:
    """Wait until the server sees the executor as present."""

    async def is_live() -> bool:
        return executor_id in server.directory.members("blue")

    await eventually(is_live)


async def until_gone(server: Server, executor_id: str = "e1") -> None:
    """Wait until the server sees that the executor is away."""

    async def is_gone() -> bool:
        return executor_id not in server.directory.members("blue")

    await eventually(is_gone)


async def assigned(executor: ScriptedExecutor, run_id: str = "") -> pb.Assign:
    """Return the next assignment (of a run) of a connected executor, acknowledged."""
    told = await executor.until("assign", lambda a: not run_id or a.specification.run_id == run_id)
    assign: pb.Assign = told.assign
    await executor.confirm(assign.number)
    return assign


async def began_assigned(server: Server, executor: ScriptedExecutor) -> tuple[str, pb.Assign]:
    """Create a run whose only task is assigned to a connected executor, and acknowledge the assignment."""
    run_id = await begin_run(server)
    return run_id, await assigned(executor, run_id)
