from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_admin_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway.foundation.rpc.channel import open_channel
from sluiceway.foundation.rpc.status import error_of
from sluiceway.runservice.records import EXECUTOR
from sluiceway.runservice.work import tasks_of
from tests.support.conditions import eventually
from tests.support.executor_side import House, ScriptedExecutor, Server, leaving
from tests.support.run_engine import request


@pytest.fixture
def house() -> House:
    return House()


@asynccontextmanager
async def _admin(server: Server) -> AsyncIterator[pb_grpc.ExecutorAdminServiceAsyncStub]:
    async with open_channel(f"127.0.0.1:{server.port}", token="admin") as channel:
        yield pb_grpc.ExecutorAdminServiceStub(channel)


async def _until_live(server: Server, *wanted: tuple[str, str]) -> None:
    async def holds() -> bool:
        return {(p.group, p.id) for p in server.directory.presences()} == set(wanted)

    await eventually(holds)


async def test_executors_are_shown_with_group_siblings_and_slots(house: House) -> None:
    first, second, third = ScriptedExecutor("e1"), ScriptedExecutor("e2"), ScriptedExecutor("g1", token="green")
    async with house.server() as server, leaving(first, second, third), _admin(server) as admin:
        for each in (first, second, third):
            await each.welcomed(server)
        await _until_live(server, ("blue", "e1"), ("blue", "e2"), ("green", "g1"))
        await server.engine.create_run(request(), created_by="admin")

        async def is_used() -> bool:
            answer = await admin.ListExecutors(pb.ListExecutorsRequest())
            return sum(e.slots_used for e in answer.executors) == 1

        await eventually(is_used)
        shown = (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor
        assert (shown.group, list(shown.siblings), shown.slots, shown.online) == ("blue", ["e2"], 4, True)
        listed = (await admin.ListExecutors(pb.ListExecutorsRequest())).executors
        assert [(e.group, e.id) for e in listed] == [("blue", "e1"), ("blue", "e2"), ("green", "g1")]
        page = await admin.ListExecutors(pb.ListExecutorsRequest(group="blue", page_size=1))
        rest = await admin.ListExecutors(
            pb.ListExecutorsRequest(group="blue", page_size=1, page_token=page.next_page_token)
        )
        assert [e.id for e in (*page.executors, *rest.executors)] == ["e1", "e2"]
        groups = (await admin.ListExecutorGroups(pb.ListExecutorGroupsRequest())).executor_groups
        assert [(g.name, list(g.executor_ids)) for g in groups] == [("blue", ["e1", "e2"]), ("green", ["g1"])]
        first_page = await admin.ListExecutorGroups(pb.ListExecutorGroupsRequest(page_size=1))
        second_page = await admin.ListExecutorGroups(
            pb.ListExecutorGroupsRequest(page_size=1, page_token=first_page.next_page_token)
        )
        assert [g.name for g in (*first_page.executor_groups, *second_page.executor_groups)] == ["blue", "green"]
        assert second_page.next_page_token == ""
        group = (await admin.GetExecutorGroup(pb.GetExecutorGroupRequest(name="green"))).executor_group
        assert list(group.executor_ids) == ["g1"]


@pytest.mark.parametrize("method", ["GetExecutor", "DrainExecutor", "DeleteExecutor"])
async def test_executor_that_is_not_there_is_not_found(house: House, method: str) -> None:
    async with house.server() as server, _admin(server) as admin:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(admin, method)(getattr(pb, f"{method}Request")(executor_id="nobody"))
        assert error_of(caught.value).reason == "NOT_FOUND"


async def test_offline_executor_stays_in_the_list(house: House) -> None:
    executor = ScriptedExecutor()
    async with house.server() as server, _admin(server) as admin:
        await executor.welcomed(server)
        await executor.leave()
        await _until_live(server)
        shown = (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor
        assert not shown.online


async def test_drained_executor_is_told_and_gets_no_more_work(house: House) -> None:
    executor = ScriptedExecutor()
    async with house.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        await admin.DrainExecutor(pb.DrainExecutorRequest(executor_id="e1"))
        drain = (await executor.until("drain")).drain
        assert drain.number
        run_id = (await server.engine.create_run(request(), created_by="admin")).value.run.id
        tasks = await house.db.read(lambda view: tasks_of(view, run_id))
        assert tasks[0].status == run_pb2.TASK_STATUS_NOT_STARTED
        # Told again at its next hello, until it begins a new session.
        await executor.leave()
        await executor.welcomed(server)
        await executor.until("drain")
        assert (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor.draining


async def test_deleted_executor_is_fenced_at_once_and_may_come_back_anew(house: House) -> None:
    executor = ScriptedExecutor()
    async with house.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        await admin.DeleteExecutor(pb.DeleteExecutorRequest(executor_id="e1"))
        assert (await executor.end()).reason == "SESSION_FENCED"
        assert not (await admin.ListExecutors(pb.ListExecutorsRequest())).executors
        executor.session_id = executor.session_secret = ""
        await executor.welcomed(server)
        assert (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor.id == "e1"


async def test_deleted_executor_with_work_leaves_the_list_and_its_work_is_lost_in_time(house: House) -> None:
    executor = ScriptedExecutor()
    async with house.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        run_id = (await server.engine.create_run(request(), created_by="admin")).value.run.id
        await executor.until("assign")
        await admin.DeleteExecutor(pb.DeleteExecutorRequest(executor_id="e1"))
        assert (await executor.end()).reason == "SESSION_FENCED"
        assert not (await admin.ListExecutors(pb.ListExecutorsRequest())).executors

        async def is_lost() -> bool:
            tasks = await house.db.read(lambda view: tasks_of(view, run_id))
            return tasks[0].status == run_pb2.TASK_STATUS_LOST

        async def is_forgotten() -> bool:
            return await house.db.read(lambda view: view.get(EXECUTOR, "e1") is None)

        await eventually(is_lost)
        await eventually(is_forgotten)
        assert await _why_lost(house, run_id) == "OPERATOR"


async def test_work_of_a_deleted_executor_that_comes_back_is_lost_because_an_operator_deleted_it(house: House) -> None:
    executor = ScriptedExecutor()
    async with house.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        run_id = (await server.engine.create_run(request(), created_by="admin")).value.run.id
        await executor.until("assign")
        await admin.DeleteExecutor(pb.DeleteExecutorRequest(executor_id="e1"))
        assert (await executor.end()).reason == "SESSION_FENCED"
        executor.session_id = executor.session_secret = ""
        await executor.welcomed(server)

        async def is_lost() -> bool:
            return bool(await _why_lost(house, run_id))

        await eventually(is_lost)
        assert await _why_lost(house, run_id) == "OPERATOR"


async def _why_lost(house: House, run_id: str) -> str:
    tasks = await house.db.read(lambda view: tasks_of(view, run_id))
    task = tasks[0]
    return task.reason.code if task.status == run_pb2.TASK_STATUS_LOST else ""
