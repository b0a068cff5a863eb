"""The executor as a process of its own, on the loop that it really uses: how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from tests.fakes.executor_server import FakeExecutorServer

pytestmark = pytest.mark.system

PROGRAM = """
import os, sys
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
from pathlib import Path
from sluiceway_executor.app import ExecutorSettings, run_executor
from sluiceway_executor.drivers.port import Network
from sluiceway_common.foundation.lifecycle import run_process
settings = ExecutorSettings(server=sys.argv[1], work_dir=Path(sys.argv[2]), network=Network.NONE, min_free_disk_bytes=0)
sys.exit(run_process(lambda stop: run_executor(settings, stop)))
"""


@pytest.fixture
async def server() -> AsyncIterator[FakeExecutorServer]:
    fake = FakeExecutorServer()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def executor(server: FakeExecutorServer, tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, server.target, str(tmp_path / "work"), stderr=asyncio.subprocess.DEVNULL
    )
    await server.until(lambda: server.streams)
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


def specification(command: str, mark: str) -> pb.Specification:
    spec = pb.Specification(working_dir="~/project", shell="/bin/sh -e", environment={"MARK": mark})
    spec.runtime.containers.add(image="host")
    step = spec.steps.add().definition
    step.name = "step"
    step.run.command = command
    return spec


def living(mark: str) -> int:
    count = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            count += entry.name.isdigit() and f"MARK={mark}".encode() in (entry / "environ").read_bytes()
    return count


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the end of a process causes no event
            await asyncio.sleep(0.02)


async def test_first_sigterm_drains(server: FakeExecutorServer, executor: asyncio.subprocess.Process) -> None:
    mark = f"drain-{os.getpid()}"
    server.assign("a1", specification("echo on; sleep 1; echo off", mark))
    await server.until(lambda: server.log_of("a1", 0))
    executor.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(executor.wait(), 30) == 0
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_SUCCESS
    assert server.log_of("a1", 0) == b"on\noff\n"


async def test_second_sigterm_stops_and_leaves_no_process(
    server: FakeExecutorServer, executor: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    mark = f"second-{os.getpid()}"
    server.assign("a1", specification("echo on; sleep 600", mark))
    await server.until(lambda: server.log_of("a1", 0))
    executor.send_signal(signal.SIGTERM)
    await server.until(lambda: len(server.streams) == 2 and server.stream.heartbeats)
    assert server.stream.hello.slots == 0
    assert living(mark)
    executor.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(executor.wait(), 30) == 130
    await until(lambda: not living(mark))
    assert not list((tmp_path / "work" / "sandbox" / "pods").iterdir())


async def test_killed_executor_that_stays_away_leaves_nothing(
    server: FakeExecutorServer, executor: asyncio.subprocess.Process, tmp_path: Path
) -> None:
    mark = f"killed-{os.getpid()}"
    server.fence_seconds = 3
    server.break_streams()
    await server.until(lambda: len(server.streams) == 2)
    server.assign("a1", specification("setsid sleep 600 & echo on; sleep 600", mark))
    await server.until(lambda: server.log_of("a1", 0))
    assert living(mark) >= 2
    executor.kill()
    await executor.wait()
    assert living(mark) >= 2
    await until(lambda: not living(mark))
    await until(lambda: not list((tmp_path / "work" / "sandbox" / "pods").iterdir()))
