"""Logs that executors push over real gRPC, while servers die and storages hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeVar

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.owners import StoredLogOwners
from sluiceway_server.logs.reader import LogReader
from sluiceway_server.logs.states import StoredLogStates
from sluiceway_server.logs.store import LogStore
from sluiceway_server.runrecords.types import RECORD_TYPES
from tests.fakes.database import FakeDatabase
from tests.support.executor_cluster import Cluster, ScriptedExecutor, log_answer
from tests.support.executor_runs import (
    began_assigned,
)

import grpc.aio  # isort: skip

T = TypeVar("T")


async def test_followed_logs_survive_a_killed_server(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as first, cluster.server(scheduler=False) as second:
        await executor.welcomed(first)
        run_id, assign = await began_assigned(first, executor)
        await executor.reported(assign, "RUNNING")
        task_id = assign.specification.task_id

        def chunk(offset: int, data: bytes, *, end: bool = False) -> pb.PushLogsRequest:
            return executor.log_request(assign, data, offset=offset, end=end)

        async def follow() -> bytes:
            return b"".join([c.data async for c in second.logs.read(run_id, task_id, step=0, follow=True)])

        following = asyncio.create_task(follow())
        async with open_channel(f"127.0.0.1:{first.port}", token="blue") as channel:
            push = pb_grpc.ExecutorServiceStub(channel).PushLogs()
            await push.write(chunk(0, b"stored "))
            answer = await log_answer(push)
            while answer.stored_offset < 7:
                answer = await log_answer(push)
            cluster.storage.hold()
            await push.write(chunk(7, b"only in memory "))
            seen = [c async for c in _take(first.logs.read(run_id, task_id, step=0, offset=7, follow=True), 1)]
            assert seen[0].data == b"only in memory "
            await first.die()
            cluster.storage.release()
        async with open_channel(f"127.0.0.1:{second.port}", token="blue") as channel:
            push = pb_grpc.ExecutorServiceStub(channel).PushLogs()
            await push.write(chunk(22, b"and the end"))
            answer = await log_answer(push)
            assert answer.stored_offset == 7
            while not answer.rewind:
                answer = await log_answer(push)
            await push.write(chunk(7, b"only in memory "))
            await push.write(chunk(22, b"and the end", end=True))
            while not answer.complete:
                answer = await log_answer(push)
            await push.done_writing()
            assert await push.read() is grpc.aio.EOF
        async with asyncio.timeout(30):
            assert await following == b"stored only in memory and the end"
        index = await LogStore(cluster.storage, cluster.clock).compose(LogKey(run_id, task_id, Epoch(1, 1), 0))
        assert index.size == 33


async def _take(chunks: AsyncIterator[T], count: int) -> AsyncIterator[T]:
    async for chunk in chunks:
        yield chunk
        count -= 1
        if not count:
            return


async def test_logs_without_the_session_are_refused(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        async with open_channel(f"127.0.0.1:{server.port}", token="blue") as channel:
            push = pb_grpc.ExecutorServiceStub(channel).PushLogs()
            await push.write(
                pb.PushLogsRequest(executor_id="e1", session_id=executor.session_id, session_secret="guess")
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await push.read()
            assert error_of(caught.value).reason == "SESSION_FENCED"


async def test_storage_that_hangs_does_not_delay_heartbeats(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        _, assign = await began_assigned(server, executor)
        cluster.storage.hold()
        async with open_channel(f"127.0.0.1:{server.port}", token="blue") as channel:
            push = pb_grpc.ExecutorServiceStub(channel).PushLogs()
            await push.write(executor.log_request(assign, b"waits"))
            for number in range(1, 6):
                await executor.heartbeat(number)
                await executor.until("heartbeat_acknowledgement", lambda a, n=number: a.number == n)  # type: ignore[misc]
            cluster.storage.release()
            answer = await log_answer(push)
            while answer.stored_offset < 5:
                answer = await log_answer(push)


async def test_follower_of_an_empty_log_ends_with_the_step(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
        await executor.reported(assign, "RUNNING")
        store = LogStore(cluster.storage, cluster.clock)
        reader = LogReader(store, server.live_logs, StoredLogStates(cluster.db), poll=timedelta(hours=1))
        chunks = reader.read(run_id, assign.specification.task_id, step=0, follow=True)
        following = asyncio.ensure_future(anext(chunks, None))
        await asyncio.wait([following], timeout=0)
        step = pb.StepUpdate(step=0, phase=run_pb2.STEP_PHASE_SUCCESS, log_sha256="0" * 64)
        await executor.report(assign, "RUNNING", steps=[step])
        async with asyncio.timeout(60):
            assert await following is None


async def test_owner_of_a_sent_assignment_is_not_read(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        run_id, assign = await began_assigned(server, executor)
    what = assign.specification
    key = LogKey(run_id, what.task_id, Epoch(1, 1), 0)
    read, sent = StoredLogOwners(cluster.db), StoredLogOwners(FakeDatabase(RECORD_TYPES, clock=cluster.clock))
    sent.on_assign("e1", executor.session_id, assign)
    for owners in (read, sent):
        assert await owners.key_of("e1", executor.session_id, assign.assignment_id, 0) == key
        with pytest.raises(FailedPrecondition) as stale:
            await owners.key_of("e1", "another", assign.assignment_id, 0)
        assert stale.value.reason == "STALE_SESSION"
        with pytest.raises(NotFound, match="no step 1"):
            await owners.key_of("e1", executor.session_id, assign.assignment_id, 1)
