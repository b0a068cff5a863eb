"""Executors' side of a server on a real etcd, the real database and a folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.posix import PosixStorage
from sluiceway_server.runs.transaction import tasks_of
from tests.support.databases import open_database
from tests.support.executor_cluster import Cluster, ScriptedExecutor, leaving, log_answer
from tests.support.run_engine import request


@pytest.mark.system
async def test_run_survives_a_restart_of_the_server_with_its_log(
    etcd_endpoint: str, etcd_prefix: str, tmp_path: Path
) -> None:
    kv = EtcdStore([etcd_endpoint])
    storage = PosixStorage(tmp_path / "objects")
    types: Any = RECORD_TYPES
    executor = ScriptedExecutor()
    cluster = Cluster()
    try:
        async with open_database(kv, storage, tmp_path, prefix=etcd_prefix, types=types) as database:
            stores: Any = cluster
            stores.db, stores.kv, stores.storage = database, kv, storage
            async with leaving(executor), cluster.server() as first:
                await executor.welcomed(first)
                run_id = (await first.engine.create_run(request(), created_by="admin")).value.run.id
                assign = (await executor.until("assign")).assign
                await executor.confirm(assign.number)
                await executor.reported(assign, "RUNNING")
                await first.die()
                await executor.leave()
                executor.hold(assign, "RUNNING")
                async with cluster.server() as second:
                    await executor.welcomed(second)
                    body = b"line\n" * 10_000
                    async with open_channel(f"127.0.0.1:{second.port}", token="blue") as channel:
                        push = pb_grpc.ExecutorServiceStub(channel).PushLogs()
                        for offset in range(0, len(body), 10_000):
                            data, end = body[offset : offset + 10_000], offset + 10_000 >= len(body)
                            await push.write(executor.log_request(assign, data, offset=offset, end=end))
                        async with asyncio.timeout(60):
                            while not (await log_answer(push)).complete:
                                pass
                    assert not (await executor.reported(assign, "SUCCESS")).HasField("refused")
                    assert (await executor.until("release")).release.assignment_id == assign.assignment_id
                    tasks = await database.read(lambda view: tasks_of(view, run_id))
                    task = tasks[0]
                    assert task.status == run_pb2.TASK_STATUS_SUCCESS
                    read = [c.data async for c in second.logs.read(run_id, task.id, step=0, follow=True)]
                    assert b"".join(read) == body
                    await executor.leave()
    finally:
        await storage.close()
        await kv.close()
