"""The executor as a process of its own that is killed and started again: its tasks continue where they were."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from tests.fakes.executor_server import FakeExecutorServer
from tests.support.executor_process import script

pytestmark = pytest.mark.system

PROGRAM = """
import os, sys
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
from pathlib import Path
from sluiceway_executor.app import ExecutorSettings, run_executor
from sluiceway_executor.drivers.port import Network
from sluiceway_executor.session import SessionTimes
from sluiceway_common.foundation.lifecycle import run_process
settings = ExecutorSettings(
    server=sys.argv[1], work_dir=Path(sys.argv[2]), drivers=(sys.argv[3],), network=Network.NONE, slots=20,
    min_free_disk_bytes=0, session_times=SessionTimes(max_backoff_seconds=0.1), executor_id="e1",
)
sys.exit(run_process(lambda stop: run_executor(settings, stop)))
"""
COUNT = "i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; sleep 0.01; done"

Executor = asyncio.subprocess.Process
Start = Callable[[], Awaitable[Executor]]


def numbered(lines: int) -> bytes:
    return "".join(f"line {number}\n" for number in range(1, lines + 1)).encode()


@pytest.fixture
async def server() -> AsyncIterator[FakeExecutorServer]:
    fake = FakeExecutorServer()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture(params=["sandbox", "host"])
async def start(request: pytest.FixtureRequest, server: FakeExecutorServer, tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Executor] = []

    async def start_() -> Executor:
        streams = len(server.streams)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, server.target, str(tmp_path / "work"), request.param
        )
        started.append(process)
        await server.until(lambda: len(server.streams) > streams)
        return process

    yield start_
    for process in started:
        if process.returncode is None:
            await kill(process)
    for pid in launchers(tmp_path):
        os.kill(pid, signal.SIGKILL)


async def kill(process: Executor) -> None:
    process.kill()
    await process.wait()


def launchers(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"{folder}/".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def final_of(server: FakeExecutorServer, assignment_id: str) -> pb.AssignmentUpdate:
    found = server.final_of(assignment_id)
    assert found is not None
    return found


def living(mark: str) -> int:
    count = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            count += entry.name.isdigit() and f"MARK={mark}".encode() in (entry / "environ").read_bytes()
    return count


async def test_log_of_a_step_is_exact_after_kills(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    server.assign("a1", script("echo first", COUNT.format(lines=400), "echo last"))
    for lines in (50, 150, 250):
        begun = len(numbered(lines))
        await server.until(lambda: len(server.log_of("a1", 1)) > begun)  # noqa: B023 - called before the next round
        await kill(executor)
        executor = await start()
        assert [(each.assignment_id, each.epoch.attempt) for each in server.stream.hello.held] == [("a1", 1)]
    await server.until(lambda: server.final_of("a1"))
    assert final_of(server, "a1").phase == pb.ASSIGNMENT_PHASE_SUCCESS
    await server.until(lambda: all(server.logs["a1", step].complete for step in (-1, 0, 1, 2)))
    assert server.log_of("a1", 0) == b"first\n"
    assert server.log_of("a1", 1) == numbered(400)
    assert server.log_of("a1", 2) == b"last\n"
    steps = {step.step: step for step in final_of(server, "a1").steps}
    assert [steps[index].log_size_bytes for index in (0, 1, 2)] == [6, len(numbered(400)), 5]
    assert len(server.log_of("a1", -1)) == steps[-1].log_size_bytes
    assert all(step.phase == run_pb2.STEP_PHASE_SUCCESS for step in steps.values())


async def test_secrets_are_masked_after_a_restart(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    secret = "correct-horse-battery-staple"
    command = "printf 'a correct-horse-'; sleep 1; printf 'battery-staple b\\n'"
    server.assign("a1", script(f"echo begun; {command}", masks=(secret.encode(),)))
    await server.until(lambda: server.log_of("a1", 0))
    await kill(executor)
    await start()
    await server.until(lambda: server.final_of("a1"))
    await server.until(lambda: server.logs["a1", 0].complete)
    assert server.log_of("a1", 0) == b"begun\na *** b\n"


async def test_stop_that_came_while_it_was_down_is_carried_out(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    trap = "trap 'echo ends; exit 9' TERM; echo begun; while :; do sleep 0.05; done"
    server.assign("a1", script(trap, "always:echo cleaned", grace=20))
    await server.until(lambda: server.log_of("a1", 0))
    await kill(executor)
    await start()
    server.stream.send(stop=pb.Stop(number=server.next_number(), assignment_id="a1"))
    await server.until(lambda: server.final_of("a1"))
    assert final_of(server, "a1").phase == pb.ASSIGNMENT_PHASE_STOPPED
    await server.until(lambda: server.logs["a1", 1].complete)
    assert server.log_of("a1", 0).endswith(b"ends\n")
    assert server.log_of("a1", 1) == b"cleaned\n"


async def test_kill_during_a_stop_does_not_undo_it(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    trap = "trap 'echo ends; sleep 1; echo ended; exit 9' TERM; echo begun; while :; do sleep 0.05; done"
    server.assign("a1", script(trap, "always:echo cleaned", "echo never", grace=20))
    await server.until(lambda: server.log_of("a1", 0))
    server.stream.send(stop=pb.Stop(number=server.next_number(), assignment_id="a1"))
    await server.until(lambda: b"ends" in server.log_of("a1", 0))
    await kill(executor)
    await start()
    await server.until(lambda: server.final_of("a1"))
    assert final_of(server, "a1").phase == pb.ASSIGNMENT_PHASE_STOPPED
    phases = {step.step: step.phase for step in final_of(server, "a1").steps}
    assert (phases[1], phases[2]) == (run_pb2.STEP_PHASE_SUCCESS, run_pb2.STEP_PHASE_SKIPPED)
    await server.until(lambda: server.logs["a1", 0].complete)
    assert server.log_of("a1", 0).endswith(b"ends\nended\n")


async def test_timeout_counts_while_the_executor_is_down(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    server.assign("a1", script("echo begun; sleep 600", timeout=3))
    await server.until(lambda: server.log_of("a1", 0))
    await kill(executor)
    await asyncio.sleep(3)
    await start()
    await server.until(lambda: server.final_of("a1"))
    final = final_of(server, "a1")
    assert (final.phase, final.timed_out, final.reason.code) == (pb.ASSIGNMENT_PHASE_FAILED, True, "TIMEOUT")


async def test_task_that_ended_meanwhile_succeeds(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    mark = f"meanwhile-{os.getpid()}"
    specification = script("echo begun; sleep 1; echo ended")
    specification.environment["MARK"] = mark
    server.assign("a1", specification)
    await server.until(lambda: server.log_of("a1", 0))
    await kill(executor)
    async with asyncio.timeout(60):
        while living(mark):  # noqa: ASYNC110 - the end of a process causes no event
            await asyncio.sleep(0.02)
    await start()
    await server.until(lambda: server.final_of("a1"))
    assert final_of(server, "a1").phase == pb.ASSIGNMENT_PHASE_SUCCESS
    await server.until(lambda: server.logs["a1", 0].complete)
    assert server.log_of("a1", 0) == b"begun\nended\n"


async def test_drained_executor_completes_what_it_took_over(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    server.assign("a1", script(COUNT.format(lines=200)))
    await server.until(lambda: server.log_of("a1", 0))
    await kill(executor)
    executor = await start()
    executor.terminate()
    assert await asyncio.wait_for(executor.wait(), 60) == 0
    assert final_of(server, "a1").phase == pb.ASSIGNMENT_PHASE_SUCCESS
    assert server.log_of("a1", 0) == numbered(200)


async def test_id_token_is_masked_after_a_restart(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    server.refresh_seconds = 0.5
    specification = script('i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo "$ID_TOKEN"; sleep 0.01; done')
    specification.id_tokens.append("ID_TOKEN")
    server.assign("a1", specification)
    await server.until(lambda: len(server.log_of("a1", 0)) > 20)
    server.refresh_seconds = 300.0
    await server.until(lambda: len(server.id_tokens) == 2)
    await kill(executor)
    await start()
    await server.until(lambda: server.final_of("a1"))
    await server.until(lambda: server.logs["a1", 0].complete)
    assert server.log_of("a1", 0) == b"***\n" * 400
