"""Assignments over real gRPC: given, reported, repeated, stopped, lost, and released."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_server.datamanager.model import Query
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR, RUN
from sluiceway_server.runs.executor_times import ExecutorTimes
from tests.support.conditions import eventually
from tests.support.executor_cluster import TIMES, Cluster, ScriptedExecutor, leaving
from tests.support.executor_runs import (
    began_assigned,
    begin_run,
    executor_record,
    status_of,
    task_of,
    until_gone,
    until_status,
)
from tests.support.run_engine import request

import grpc.aio  # isort: skip


async def test_task_is_assigned_run_and_released(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        assert assign.specification.task_name == "build"
        for phase in ("ACCEPTED", "RUNNING", "SUCCESS"):
            assert not (await executor.reported(assign, phase)).HasField("refused")
        assert await status_of(cluster, run_id) == "SUCCESS"
        assert (await cluster.db.get(RUN, run_id)).run.result == run_pb2.RUN_RESULT_SUCCESS
        release = (await executor.until("release")).release
        assert release.assignment_id == assign.assignment_id
        assert release.number > assign.number


async def test_assign_is_sent_again_until_it_is_acknowledged(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        await begin_run(server)
        first = (await executor.until("assign")).assign
        again = (await executor.until("assign", after=len(executor.heard))).assign
        assert again == first
        await executor.confirm(first.number)
        await executor.heartbeat(1)
        await executor.until("heartbeat_acknowledgement")
        count = len(executor.of("assign"))
        await asyncio.sleep(cluster.again_after.total_seconds() * 3)
        assert len(executor.of("assign")) == count


async def test_assign_that_was_lost_is_sent_again_after_reconnection(
    cluster: Cluster, executor: ScriptedExecutor
) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id = await begin_run(server)
        first = (await executor.until("assign")).assign
        await executor.leave()
        await executor.welcomed(server)
        again = (await executor.until("assign")).assign
        assert (again.assignment_id, again.epoch) == (first.assignment_id, first.epoch)
        assert again.number > first.number
        assert await status_of(cluster, run_id) == "RUNNING"


async def test_assignment_that_the_executor_refuses_is_lost(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id = await begin_run(server)
        assign = (await executor.until("assign")).assign
        await executor.confirm(assign.number, refused="NO_SLOT")
        await until_status(cluster, run_id, "LOST")
        assert (await task_of(cluster, run_id)).reason.message == "it cannot be done"


async def test_update_that_comes_twice_is_acknowledged_without_effect(
    cluster: Cluster, executor: ScriptedExecutor
) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        await executor.reported(assign, "RUNNING", number=1)
        await executor.reported(assign, "SUCCESS", number=2)
        position = cluster.db.position
        for number, phase in ((1, "RUNNING"), (2, "SUCCESS")):
            answer = await executor.reported(assign, phase, number=number)
            assert not answer.HasField("refused")
        assert cluster.db.position == position
        assert await status_of(cluster, run_id) == "SUCCESS"


async def test_update_of_an_old_epoch_is_refused(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        answer = await executor.reported(assign, "FAILED", attempt=7)
        assert answer.refused.code == "STALE_EPOCH"
        assert await status_of(cluster, run_id) == "RUNNING"
        # The stream continues.
        assert not (await executor.reported(assign, "SUCCESS")).HasField("refused")


async def test_update_of_another_executors_assignment_is_refused(cluster: Cluster, executor: ScriptedExecutor) -> None:
    other = ScriptedExecutor("e2", slots=1)
    async with cluster.server() as server, leaving(other):
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        await other.welcomed(server)
        answer = await other.reported(assign, "SUCCESS")
        assert answer.refused.code == "UNKNOWN_ASSIGNMENT"
        assert await status_of(cluster, run_id) == "RUNNING"


async def test_stop_of_a_run_reaches_the_executor(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        await server.engine.stop_run(run_id, by="admin")
        stop = (await executor.until("stop")).stop
        assert (stop.assignment_id, stop.epoch, stop.discard) == (assign.assignment_id, assign.epoch, False)
        assert (stop.reason.code, stop.reason.message) == ("RUN_STOPPED", "run stopped by admin")
        # It is sent again at the next hello.
        await executor.confirm(stop.number)
        executor.hold(assign, "RUNNING")
        await executor.leave()
        await executor.welcomed(server)
        assert (await executor.until("stop")).stop.assignment_id == assign.assignment_id
        await executor.reported(assign, "STOPPED")
        assert await status_of(cluster, run_id) == "STOPPED"


async def test_assignment_that_was_lost_is_discarded(cluster: Cluster, executor: ScriptedExecutor) -> None:
    from sluiceway_common.runmodel.reasons import Reason

    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        await server.engine.mark_lost([assign.assignment_id], Reason("operator", "because"))
        stop = (await executor.until("stop")).stop
        assert stop.discard
        assert await status_of(cluster, run_id) == "LOST"


async def test_restarted_server_continues_running_tasks(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as first:
        await executor.welcomed(first)
        run_id, assign = await began_assigned(first, executor)
        await executor.reported(assign, "RUNNING")
        await first.die()
        await executor.leave()
        executor.hold(assign, "RUNNING")
        async with cluster.server() as second:
            # The key of the dead server still is there; the proof takes it over.
            await executor.welcomed(second)
            assert await status_of(cluster, run_id) == "RUNNING"
            assert executor.of("stop") == []
            assert not (await executor.reported(assign, "SUCCESS")).HasField("refused")
            assert await status_of(cluster, run_id) == "SUCCESS"


async def test_assignment_that_a_restarted_executor_forgot_is_lost(
    cluster: Cluster, executor: ScriptedExecutor
) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        await executor.reported(assign, "RUNNING")
        await executor.leave()
        await executor.welcomed(server)
        await until_status(cluster, run_id, "LOST")


async def test_unknown_assignment_is_discarded(cluster: Cluster, executor: ScriptedExecutor) -> None:
    executor.held.append(
        pb.HeldAssignment(
            assignment_id="unknown", epoch=pb.Epoch(database=1, attempt=1), phase=pb.ASSIGNMENT_PHASE_RUNNING
        )
    )
    async with cluster.server() as server:
        await executor.welcomed(server)
        stop = (await executor.until("stop")).stop
        assert (stop.assignment_id, stop.discard) == ("unknown", True)


async def test_ended_assignment_is_released_at_the_next_hello(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        _, assign = await began_assigned(server, executor)
        await executor.reported(assign, "SUCCESS")
        await executor.leave()
        executor.hold(assign, "SUCCESS")
        await executor.welcomed(server)
        assert (await executor.until("release")).release.assignment_id == assign.assignment_id


async def test_missing_executor_is_fenced_and_loses_assignments(executor: ScriptedExecutor) -> None:
    cluster = Cluster(times=replace(TIMES, vanish_after=timedelta(seconds=1), lost_after=timedelta(seconds=1)))
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        await executor.reported(assign, "RUNNING")
        executor.hold(assign, "RUNNING")
        await executor.leave()
        await until_status(cluster, run_id, "LOST")
        assert (await executor_record(cluster)).vanished
        error = await executor.refused(server)
        assert error.reason == "SESSION_FENCED"
        executor.session_id = executor.session_secret = ""
        executor.held.clear()
        await executor.welcomed(server)
        assert not (await executor_record(cluster)).vanished


async def test_executor_that_comes_back_in_time_loses_nothing(executor: ScriptedExecutor) -> None:
    cluster = Cluster(times=replace(TIMES, lost_after=timedelta(minutes=15)))
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        await executor.reported(assign, "RUNNING")
        await executor.leave()
        await until_gone(server)
        await server.detector.check()
        executor.hold(assign, "RUNNING")
        await executor.welcomed(server)
        await executor.reported(assign, "SUCCESS")
        assert await status_of(cluster, run_id) == "SUCCESS"


async def test_dynamic_executor_vanishes_before_a_static_one() -> None:
    cluster = Cluster(times=replace(TIMES, vanish_after=timedelta(seconds=0.5), lost_after=timedelta(minutes=15)))
    static, dynamic = ScriptedExecutor("static"), ScriptedExecutor("dynamic", dynamic=True)
    async with cluster.server() as server, leaving(static, dynamic):
        runs = {}
        for executor in (static, dynamic):
            await executor.welcomed(server, slots=1)
            runs[executor.id] = (await server.engine.create_run(request(group=f"/{executor.id}"), created_by="a")).value
            await executor.until("assign")
        for executor in (static, dynamic):
            await executor.leave()
        await until_status(cluster, runs["dynamic"].run.id, "LOST")

        async def is_forgotten() -> bool:
            return await cluster.db.read(lambda view: view.get(EXECUTOR, "dynamic") is None)

        await eventually(is_forgotten)
        assert await status_of(cluster, runs["static"].run.id) == "RUNNING"


async def test_executor_vanishes_in_time_with_rare_checks(executor: ScriptedExecutor) -> None:
    cluster = Cluster(times=replace(TIMES, lost_after=timedelta(milliseconds=300)), look_interval=timedelta(seconds=20))
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, _ = await began_assigned(server, executor)
        await executor.leave()
        await until_status(cluster, run_id, "LOST")


async def test_pods_of_a_dynamic_executor_end_before_it_vanishes() -> None:
    times = ExecutorTimes()
    cluster = Cluster(times=times)
    for dynamic, fence in ((False, times.fence_after), (True, times.dynamic_fence_after)):
        executor = ScriptedExecutor(dynamic=dynamic)
        async with cluster.server() as server, leaving(executor):
            welcome = await executor.welcomed(server)
            assert welcome.fence_after.ToTimedelta() == fence


async def test_specification_is_returned_to_its_executor_only(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        _, assign = await began_assigned(server, executor)
        async with open_channel(f"127.0.0.1:{server.port}", token="blue") as channel:
            stub = pb_grpc.ExecutorServiceStub(channel)
            asked = pb.GetSpecificationRequest(
                executor_id="e1",
                session_id=executor.session_id,
                session_secret=executor.session_secret,
                assignment_id=assign.assignment_id,
                epoch=assign.epoch,
            )
            answer = await stub.GetSpecification(asked)
            assert answer.specification == assign.specification
            for change, reason in (
                ({"session_secret": "guess"}, "SESSION_FENCED"),
                ({"epoch": pb.Epoch(database=1, attempt=2)}, "STALE_EPOCH"),
                ({"assignment_id": "other"}, "NOT_FOUND"),
            ):
                wrong = pb.GetSpecificationRequest()
                wrong.CopyFrom(asked)
                wrong.MergeFrom(pb.GetSpecificationRequest(**change))
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.GetSpecification(wrong)
                assert error_of(caught.value).reason == reason
            await executor.reported(assign, "SUCCESS")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetSpecification(asked)
            assert error_of(caught.value).reason == "ASSIGNMENT_FINAL"


async def test_final_assignments_are_not_live(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        for _ in range(3):
            _, assign = await began_assigned(server, executor)
            await executor.reported(assign, "SUCCESS")
        page = await cluster.db.list(ASSIGNMENT, Query(where={"live": 1}))
        assert page.records == ()
