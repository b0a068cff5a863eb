"""The executor in and out of touch with a scripted server over real gRPC: restarts, fences, drains, with real pods."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.errors import AlreadyExists, FailedPrecondition
from sluiceway_executor.app import run_executor
from sluiceway_executor.session import SessionTimes
from tests.fakes.executor_server import FakeExecutorServer
from tests.support.executor_process import Start, StopRequest, journal_of, script, until, until_exists

pytestmark = pytest.mark.system


async def test_updates_are_sent_again_until_they_are_acknowledged(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.acknowledge_updates = False
    server.assign("a1", script("true"))
    await server.until(lambda: server.final_of("a1"))
    first = {update.number for update in server.streams[0].updates}
    server.break_streams()
    await server.until(lambda: len(server.streams) == 2 and server.stream.updates)
    await server.until(lambda: {update.number for update in server.stream.updates} == first)
    server.acknowledge_updates = True
    server.break_streams()
    await server.until(lambda: len(server.streams) == 3 and server.stream.updates)
    await server.until(lambda: {update.number for update in server.stream.updates} == first)
    server.break_streams()
    await server.until(lambda: len(server.streams) == 4 and len(server.stream.heartbeats) >= 2)
    assert not server.stream.updates


async def test_all_that_is_held_is_reported_again_in_a_new_epoch(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    await start()
    server.assign("over", script("echo over"))
    await server.until(lambda: server.final_of("over"))
    go_on = tmp_path / "go on"
    server.assign("runs", script("echo first", f"until [ -e '{go_on}' ]; do sleep 0.02; done"))
    running = (1, run_pb2.STEP_PHASE_RUNNING)
    await server.until(lambda: any((s.step, s.phase) == running for u in server.updates_of("runs") for s in u.steps))
    # Once all of it is acknowledged, a stream that breaks brings nothing again.
    for _ in range(10):
        known = server.stream
        server.break_streams()
        # The function is not called after this iteration.
        await server.until(lambda: server.stream is not known and len(server.stream.heartbeats) >= 2)  # noqa: B023
        if not server.stream.updates:
            break
    assert not server.stream.updates

    server.database_epoch = 2
    streams = len(server.streams)
    server.break_streams()

    def again() -> dict[str, pb.AssignmentUpdate]:
        return {update.assignment_id: update for stream in server.streams[streams:] for update in stream.updates}

    await server.until(lambda: set(again()) == {"over", "runs"})
    assert again()["over"].phase == pb.ASSIGNMENT_PHASE_SUCCESS
    assert [step.step for step in again()["over"].steps] == [-1, 0]
    assert again()["over"].steps[1].log_size_bytes == len(b"over\n")
    assert again()["runs"].phase == pb.ASSIGNMENT_PHASE_RUNNING
    assert [(step.step, step.phase) for step in again()["runs"].steps] == [
        (-1, run_pb2.STEP_PHASE_SUCCESS),
        (0, run_pb2.STEP_PHASE_SUCCESS),
        (1, run_pb2.STEP_PHASE_RUNNING),
    ]
    go_on.touch()
    await server.until(lambda: server.final_of("runs"))


async def test_restarted_executor_reports_its_assignments_as_lost(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    executor = await start()
    server.assign("a1", script(f"echo begun; touch {tmp_path}/on; sleep 60"))
    await server.until(lambda: server.log_of("a1", 0))
    await executor.kill()
    await start()
    assert server.stream.hello.session_secret == "secret-1"
    assert server.stream.hello.journal_id == server.streams[0].hello.journal_id
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert (final.phase, final.reason.code) == (pb.ASSIGNMENT_PHASE_LOST, "EXECUTOR_RESTARTED")
    await server.until(lambda: ("a1", 0) in server.logs and server.logs["a1", 0].complete)
    assert server.log_of("a1", 0) == b"begun\n"
    numbers = [update.number for stream in server.streams for update in stream.updates]
    assert numbers == sorted(set(numbers))


async def test_unacknowledged_end_survives_a_restart(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    server.acknowledge_updates = False
    server.assign("a1", script("exit 7"))
    await server.until(lambda: server.final_of("a1"))
    await executor.kill()
    server.acknowledge_updates = True
    await start()
    await server.until(lambda: server.stream.updates)
    final = server.stream.updates[-1]
    assert (final.phase, final.reason.code) == (pb.ASSIGNMENT_PHASE_FAILED, "STEP_FAILED")


async def test_fenced_executor_removes_its_pods_and_registers_again(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    executor = await start()
    server.assign("a1", script(f"touch {tmp_path}/on; sleep 60"))
    await until_exists(tmp_path / "on")
    server.refusals.append(FailedPrecondition("vanished", reason="SESSION_FENCED"))
    server.session_id, server.session_secret = "session-2", "secret-2"
    server.break_streams()
    await server.until(lambda: len(server.streams) == 2)
    assert server.stream.hello.session_id == ""
    assert not server.stream.hello.held
    assert not list((executor.settings.work_dir / "host" / "pods").iterdir())
    await until(lambda: journal_of(executor)["session_id"] == "session-2")


async def test_hello_with_an_id_in_use_is_retried(server: FakeExecutorServer, start: Start) -> None:
    server.refusals += [AlreadyExists("lives", reason="SESSION_LIVES")] * 2
    await start()
    assert not server.refusals


async def test_stream_to_a_silent_server_is_ended(server: FakeExecutorServer, start: Start) -> None:
    server.heartbeat_seconds = 0.05
    await start(session_times=SessionTimes())
    server.acknowledge_heartbeats = False
    await server.until(lambda: len(server.streams) >= 2)


async def test_heartbeats_are_as_rare_as_the_server_says(server: FakeExecutorServer, start: Start) -> None:
    server.heartbeat_seconds = 0.05
    await start()
    rarely = pb.HeartbeatAcknowledgement(number=1)
    rarely.heartbeat_interval.FromSeconds(3600)
    server.stream.send(heartbeat_acknowledgement=rarely)
    server.assign("a1", script("true"))
    await server.until(lambda: server.final_of("a1"))
    beats = len(server.stream.heartbeats)
    server.assign("a2", script("sleep 0.5"))
    await server.until(lambda: server.final_of("a2"))
    assert len(server.stream.heartbeats) <= beats + 1


async def test_pods_die_while_no_heartbeat_is_acknowledged(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    server.fence_seconds = 3.0
    await start()
    server.assign("a1", script(f"touch {tmp_path}/on; sleep 60"))
    await until_exists(tmp_path / "on")
    beats = len(server.stream.heartbeats)
    await server.until(lambda: len(server.stream.heartbeats) >= beats + 20)
    assert server.final_of("a1") is None
    server.acknowledge_heartbeats = False
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert (final.phase, final.reason.code) == (pb.ASSIGNMENT_PHASE_LOST, "FENCED")


async def test_stopped_executor_completes_what_runs(server: FakeExecutorServer, start: Start, tmp_path: Path) -> None:
    executor = await start()
    server.assign("a1", script(f"touch {tmp_path}/on; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"))
    await until_exists(tmp_path / "on")
    executor.stop.event.set()
    await server.until(lambda: len(server.streams) == 2)
    assert server.stream.hello.slots == 0
    assert [held.assignment_id for held in server.stream.hello.held] == ["a1"]
    await server.until(lambda: server.stream.heartbeats)
    number = server.assign("a2", script("true"))
    await server.until(lambda: number in server.stream.acknowledged)
    assert server.stream.acknowledged[number].refused.code == "DRAINING"
    (tmp_path / "go").touch()
    await executor.drain()
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_SUCCESS


async def test_token_is_read_for_each_connection(server: FakeExecutorServer, start: Start, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    await start(token_file=token)
    token.write_text("second\n")
    server.break_streams()
    await server.until(lambda: len(server.streams) == 2)
    assert server.tokens == ["Bearer first", "Bearer second"]


async def test_second_process_in_a_work_folder_is_refused(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    with pytest.raises(FailedPrecondition, match="another executor uses"):
        await run_executor(executor.settings, StopRequest())
