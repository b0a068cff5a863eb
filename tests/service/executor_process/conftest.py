"""A scripted server, and executors that it starts with quick settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_executor.app import ExecutorSettings
from sluiceway_executor.log_pusher import PushTimes
from sluiceway_executor.session import SessionTimes
from tests.fakes.executor_server import FakeExecutorServer
from tests.support.executor_process import RunningExecutor, Start


@pytest.fixture
async def server() -> AsyncIterator[FakeExecutorServer]:
    fake = FakeExecutorServer()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def start(server: FakeExecutorServer, tmp_path: Path) -> AsyncIterator[Start]:
    running: list[RunningExecutor] = []
    settings = ExecutorSettings(
        server=server.target,
        work_dir=tmp_path / "work",
        drivers=("host",),
        executor_id="e1",
        # Quick to come back, but never impatient: a stream ends when its test ends it, not on a slow machine.
        session_times=SessionTimes(
            welcome_seconds=60, missed_heartbeats=300, first_backoff_seconds=0.02, max_backoff_seconds=0.1
        ),
        push_times=PushTimes(gather_seconds=0.01, first_backoff_seconds=0.02, max_backoff_seconds=0.1),
        store_logs_seconds=60,
        min_free_disk_bytes=0,
    )

    async def begin(**changes: object) -> RunningExecutor:
        executor = RunningExecutor(replace(settings, **changes))  # type: ignore[arg-type]
        running.append(executor)
        streams = len(server.streams)
        await executor.start()
        await server.until(lambda: len(server.streams) > streams)
        return executor

    yield begin
    for executor in running:
        await executor.kill()
