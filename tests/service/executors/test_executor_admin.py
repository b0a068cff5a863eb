from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_admin_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.errors import Code
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_server.runrecords.types import EXECUTOR
from sluiceway_server.runs.transaction import tasks_of
from tests.support.conditions import eventually
from tests.support.executor_cluster import TIMES, Cluster, ScriptedExecutor, Server, leaving
from tests.support.executor_runs import delete_executor
from tests.support.run_engine import request

PATIENT = replace(TIMES, vanish_after=timedelta(hours=1), lost_after=timedelta(hours=1))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@asynccontextmanager
async def _admin(server: Server) -> AsyncIterator[pb_grpc.ExecutorAdminServiceAsyncStub]:
    async with open_channel(f"127.0.0.1:{server.port}", token="admin") as channel:
        yield pb_grpc.ExecutorAdminServiceStub(channel)


async def _until_live(server: Server, *wanted: tuple[str, str]) -> None:
    async def holds() -> bool:
        return {(p.group, p.id) for p in server.directory.presences()} == set(wanted)

    await eventually(holds)


async def test_executors_are_shown_with_group_siblings_and_slots(cluster: Cluster) -> None:
    first, second, third = ScriptedExecutor("e1"), ScriptedExecutor("e2"), ScriptedExecutor("g1", token="green")
    async with cluster.server() as server, leaving(first, second, third), _admin(server) as admin:
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


@pytest.mark.parametrize("method", ["GetExecutor", "DrainExecutor", "UndrainExecutor", "DeleteExecutor"])
async def test_unknown_executor_is_not_found(cluster: Cluster, method: str) -> None:
    async with cluster.server() as server, _admin(server) as admin:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(admin, method)(getattr(pb, f"{method}Request")(executor_id="nobody"))
        assert error_of(caught.value).reason == "NOT_FOUND"


async def test_offline_executor_stays_in_the_list(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    async with cluster.server() as server, _admin(server) as admin:
        await executor.welcomed(server)
        await executor.leave()
        await _until_live(server)
        shown = (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor
        assert not shown.online


async def test_drained_executor_completes_its_work_and_gets_no_more(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        first = await _created(server)
        assign = (await executor.until("assign")).assign
        await admin.DrainExecutor(pb.DrainExecutorRequest(executor_id="e1"))
        assert await _drain_state(admin) == (True, True, False)
        second = await _created(server)
        await executor.reported(assign, "SUCCESS")
        assert await _status(cluster, first) == run_pb2.TASK_STATUS_SUCCESS
        assert await _drain_state(admin) == (True, True, True)
        assert await _status(cluster, second) == run_pb2.TASK_STATUS_NOT_STARTED
        assert not executor.is_ended


async def test_drain_survives_a_restart_and_ends_with_undrain(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    async with (
        cluster.server() as server,
        cluster.server(scheduler=False) as other,
        leaving(executor),
        _admin(other) as admin,
    ):
        await executor.welcomed(server)
        for _ in range(2):
            await admin.DrainExecutor(pb.DrainExecutorRequest(executor_id="e1"))
        await executor.leave()
        await _until_live(other)
        executor.session_id = executor.session_secret = ""
        executor.journal = "journal-2"
        await executor.welcomed(server)
        await _until_live(other, ("blue", "e1"))
        run_id = await _created(server)
        assert await _drain_state(admin) == (True, True, True)
        assert await _status(cluster, run_id) == run_pb2.TASK_STATUS_NOT_STARTED
        # On a server that does not place: the scheduler hears of it through the log.
        for _ in range(2):
            await admin.UndrainExecutor(pb.UndrainExecutorRequest(executor_id="e1"))
        await executor.until("assign")
        assert await _drain_state(admin) == (True, False, False)


async def test_executors_are_drained_by_group_and_by_label(cluster: Cluster) -> None:
    labels = {"e1": {"disk": "ssd", "zone": "a"}, "e2": {"disk": "ssd"}, "e3": {}}
    executors = [ScriptedExecutor(id_) for id_ in labels] + [ScriptedExecutor("g1", token="green")]
    async with cluster.server() as server, leaving(*executors), _admin(server) as admin:
        for each in executors:
            await each.welcomed(server, labels=labels.get(each.id, {"disk": "ssd"}))

        async def draining() -> list[str]:
            answer = await admin.ListExecutors(pb.ListExecutorsRequest())
            return [e.id for e in answer.executors if e.draining]

        async def drain(**selector: object) -> list[str]:
            request = pb.DrainExecutorsRequest(selector=pb.ExecutorSelector(**selector))  # type: ignore[arg-type]
            return list((await admin.DrainExecutors(request)).executor_ids)

        assert await drain(labels={"disk": "ssd", "zone": "a"}) == await draining() == ["e1"]
        assert await drain(group="blue", labels={"disk": "ssd"}) == await draining() == ["e1", "e2"]
        assert await drain(group="red") == []
        assert await drain(group="green") == ["g1"]
        undrain = pb.UndrainExecutorsRequest(selector=pb.ExecutorSelector(labels={"disk": "ssd"}))
        assert list((await admin.UndrainExecutors(undrain)).executor_ids) == ["e1", "e2", "g1"]
        assert await draining() == []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain()
        assert error_of(caught.value).code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("all_at_once", [False, True], ids=["one", "a-group"])
async def test_assignment_is_lost_when_the_drain_deadline_passed(cluster: Cluster, all_at_once: bool) -> None:
    executor = ScriptedExecutor()
    async with (
        cluster.server() as server,
        cluster.server(scheduler=False) as other,
        leaving(executor),
        _admin(other) as admin,
    ):
        await executor.welcomed(server)
        run_id = await _created(server)
        await executor.until("assign")
        timeout = Duration(nanos=200_000_000)
        if all_at_once:
            selector = pb.ExecutorSelector(group="blue")
            await admin.DrainExecutors(pb.DrainExecutorsRequest(selector=selector, timeout=timeout))
        else:
            await admin.DrainExecutor(pb.DrainExecutorRequest(executor_id="e1", timeout=timeout))
        shown = (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor
        assert shown.draining
        assert shown.HasField("drain_deadline")

        async def is_lost() -> bool:
            return await _why_lost(cluster, run_id) == "DRAINED"

        await eventually(is_lost)
        assert (await executor.until("stop")).stop.discard
        assert await _drain_state(admin) == (True, True, True)


async def test_drain_deadline_is_replaced_by_a_later_call(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        run_id = await _created(server)
        assign = (await executor.until("assign")).assign
        for seconds in (0.2, 3600.0, None):
            request_ = pb.DrainExecutorRequest(executor_id="e1")
            if seconds is not None:
                request_.timeout.FromTimedelta(timedelta(seconds=seconds))
            await admin.DrainExecutor(request_)
        shown = (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor
        assert shown.draining
        assert not shown.HasField("drain_deadline")
        await admin.DrainExecutor(pb.DrainExecutorRequest(executor_id="e1", timeout=Duration(seconds=3600)))
        await admin.UndrainExecutor(pb.UndrainExecutorRequest(executor_id="e1"))
        shown = (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor
        assert not shown.draining
        assert not shown.HasField("drain_deadline")
        await executor.reported(assign, "SUCCESS")
        assert await _status(cluster, run_id) == run_pb2.TASK_STATUS_SUCCESS


@pytest.mark.parametrize("seconds", [-1, 31 * 86400], ids=["negative", "too-long"])
async def test_drain_timeout_out_of_bounds_is_refused(cluster: Cluster, seconds: int) -> None:
    async with cluster.server() as server, _admin(server) as admin:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await admin.DrainExecutor(pb.DrainExecutorRequest(executor_id="e1", timeout=Duration(seconds=seconds)))
        assert error_of(caught.value).code is Code.INVALID_ARGUMENT


async def test_deleted_executor_is_fenced_and_may_register_again(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        await admin.DeleteExecutor(pb.DeleteExecutorRequest(executor_id="e1"))
        assert (await executor.end()).reason == "SESSION_FENCED"
        assert not (await admin.ListExecutors(pb.ListExecutorsRequest())).executors
        executor.session_id = executor.session_secret = ""
        await executor.welcomed(server)
        assert (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor.id == "e1"


async def test_assignments_of_a_deleted_executor_are_lost_at_once() -> None:
    cluster = Cluster(times=PATIENT)
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        run_id = await _created(server)
        await executor.until("assign")
        await admin.DeleteExecutor(pb.DeleteExecutorRequest(executor_id="e1"))
        assert await _why_lost(cluster, run_id) == "OPERATOR"
        assert await cluster.db.read(lambda view: view.get(EXECUTOR, "e1")) is None
        assert (await executor.end()).reason == "SESSION_FENCED"
        assert not (await admin.ListExecutors(pb.ListExecutorsRequest())).executors


async def test_assignments_are_lost_when_the_deleting_server_died() -> None:
    cluster = Cluster(times=PATIENT)
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor):
        await executor.welcomed(server)
        run_id = await _created(server)
        await executor.until("assign")
        await executor.leave()

        # All that a server had done that died between the two steps.
        await delete_executor(cluster.db, "e1")

        async def is_lost() -> bool:
            return await _why_lost(cluster, run_id) == "OPERATOR"

        await eventually(is_lost)


async def test_assignment_of_a_deleted_executor_names_the_operator(
    cluster: Cluster,
) -> None:
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        run_id = (await server.engine.create_run(request(), created_by="admin")).value.run.id
        await executor.until("assign")
        await admin.DeleteExecutor(pb.DeleteExecutorRequest(executor_id="e1"))
        assert (await executor.end()).reason == "SESSION_FENCED"
        executor.session_id = executor.session_secret = ""
        await executor.welcomed(server)

        async def is_lost() -> bool:
            return bool(await _why_lost(cluster, run_id))

        await eventually(is_lost)
        assert await _why_lost(cluster, run_id) == "OPERATOR"


async def test_executor_is_shown_with_the_tasks_that_it_has(cluster: Cluster) -> None:
    executor = ScriptedExecutor()
    async with cluster.server() as server, leaving(executor), _admin(server) as admin:
        await executor.welcomed(server)
        run = (await server.engine.create_run(request(), created_by="admin")).value.run
        assign = (await executor.until("assign")).assign
        (shown,) = (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor.assignments
        assert (shown.id, shown.run_id, shown.run_number) == (assign.assignment_id, run.id, run.number)
        assert (shown.task_name, shown.attempt, shown.group) == ("build", 1, run.group)
        async with open_channel(f"127.0.0.1:{server.port}", token="stranger") as channel:
            stub = pb_grpc.ExecutorAdminServiceStub(channel)
            hidden = (await stub.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor
        assert (hidden.slots_used, list(hidden.assignments)) == (1, [])


async def _created(server: Server) -> str:
    return (await server.engine.create_run(request(), created_by="admin")).value.run.id


async def _status(cluster: Cluster, run_id: str) -> int:
    return (await cluster.db.read(lambda view: tasks_of(view, run_id)))[0].status


async def _drain_state(admin: pb_grpc.ExecutorAdminServiceAsyncStub) -> tuple[bool, bool, bool]:
    """Whether the executor e1 is online, draining and drained."""
    shown = (await admin.GetExecutor(pb.GetExecutorRequest(executor_id="e1"))).executor
    return shown.online, shown.draining, shown.drained


async def _why_lost(cluster: Cluster, run_id: str) -> str:
    tasks = await cluster.db.read(lambda view: tasks_of(view, run_id))
    task = tasks[0]
    return task.reason.code if task.status == run_pb2.TASK_STATUS_LOST else ""
