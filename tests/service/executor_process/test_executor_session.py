"""The executor against a scripted server over real gRPC, with real processes for pods."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway.executor.app import ExecutorSettings, run_executor
from sluiceway.executor.log_pusher import PushTimes
from sluiceway.executor.session import SessionTimes
from sluiceway.foundation.errors import AlreadyExists, FailedPrecondition
from tests.fakes.executor_server import FakeExecutorServer

pytestmark = pytest.mark.system


class StopWish:
    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def wait(self) -> None:
        await self.event.wait()


@dataclass
class RunningExecutor:
    settings: ExecutorSettings
    stop: StopWish = field(default_factory=StopWish)
    task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.stop = StopWish()
        self.task = asyncio.create_task(run_executor(self.settings, self.stop))

    async def kill(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])

    async def drain(self) -> None:
        assert self.task is not None
        self.stop.event.set()
        async with asyncio.timeout(20):
            await self.task


@pytest.fixture
async def server() -> AsyncIterator[FakeExecutorServer]:
    fake = FakeExecutorServer()
    await fake.start()
    yield fake
    await fake.stop()


Start = Callable[..., Awaitable[RunningExecutor]]


@pytest.fixture
async def start(server: FakeExecutorServer, tmp_path: Path) -> AsyncIterator[Start]:
    running: list[RunningExecutor] = []
    settings = ExecutorSettings(
        server=server.target,
        work_dir=tmp_path / "work",
        drivers=("host",),
        executor_id="e1",
        session_times=SessionTimes(welcome_seconds=5, first_backoff_seconds=0.02, most_backoff_seconds=0.1),
        push_times=PushTimes(gather_seconds=0.01, first_backoff_seconds=0.02, most_backoff_seconds=0.1),
        store_logs_seconds=10,
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


def script(*commands: str, masks: tuple[bytes, ...] = (), timeout: float = 60, grace: float = 1) -> pb.Specification:
    specification = pb.Specification(
        run_id="run",
        task_id="task",
        task_name="t",
        working_dir="~/project",
        shell="/bin/sh -e",
        masks=masks,
        environment={"CI": "true"},
    )
    specification.runtime.containers.add(image="host")
    specification.timeout.FromTimedelta(timedelta(seconds=timeout))
    specification.grace.FromTimedelta(timedelta(seconds=grace))
    for command in commands:
        always = command.startswith("always:")
        definition = definition_pb2.StepDefinition(name=command[:20], always=always)
        definition.run.command = command.removeprefix("always:")
        specification.steps.add(definition=definition)
    return specification


async def test_a_task_runs_and_its_log_is_stored_before_its_end_is_reported(
    server: FakeExecutorServer, start: Start
) -> None:
    await start()
    number = server.assign("a1", script("echo hello; echo again >&2; pwd", "exit 3", "echo never", "always:echo clean"))
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_FAILED
    assert final.reason.code == "STEP_FAILED"
    assert not server.stream.acknowledged[number].HasField("refused")
    steps = {step.step: step for step in final.steps}
    assert [steps[i].phase for i in range(-1, 4)] == [
        run_pb2.STEP_PHASE_SUCCESS,
        run_pb2.STEP_PHASE_SUCCESS,
        run_pb2.STEP_PHASE_FAILED,
        run_pb2.STEP_PHASE_SKIPPED,
        run_pb2.STEP_PHASE_SUCCESS,
    ]
    assert steps[1].exit_status == 3
    log = server.log_of("a1", 0)
    assert log.startswith(b"hello\nagain\n/")
    assert steps[0].log_size_bytes == len(log)
    assert steps[0].log_sha256 == hashlib.sha256(log).hexdigest()
    assert server.log_of("a1", 3) == b"clean\n"
    assert all(server.logs["a1", step].complete for step in (-1, 0, 1, 3))


async def test_a_task_is_called_running_from_the_start_of_its_pod(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.assign("a1", script("true"))
    await server.until(lambda: server.final_of("a1"))
    phases = [(update.phase, update.HasField("pod_start_time")) for update in server.updates_of("a1")]
    assert phases[0] == (pb.ASSIGNMENT_PHASE_ACCEPTED, False)
    assert {started for phase, started in phases if phase == pb.ASSIGNMENT_PHASE_RUNNING} <= {True}
    assert {started for phase, started in phases if phase == pb.ASSIGNMENT_PHASE_ACCEPTED} == {False}


async def test_secrets_do_not_leave_the_executor(server: FakeExecutorServer, start: Start) -> None:
    secret = b"correct horse battery"
    command = f"printf 'correct ho'; sleep 0.1; echo 'rse battery'; echo {base64.b64encode(secret).decode()}"
    await start()
    server.assign("a1", script(command, masks=(secret,)))
    await server.until(lambda: server.final_of("a1"))
    assert server.log_of("a1", 0).split() == [b"***", b"***"]


async def test_output_is_kept_byte_for_byte(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.assign("a1", script(r"printf '\000\377\376a\r\n\033[1m'; head -c 300000 /dev/zero"))
    await server.until(lambda: server.final_of("a1"))
    assert server.log_of("a1", 0) == b"\x00\xff\xfea\r\n\x1b[1m" + bytes(300000)


async def test_a_restarted_server_loses_no_byte_and_ends_no_task(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    await start()
    server.store_logs = False
    gate = tmp_path / "gate"
    server.assign("a1", script(f"seq 1 20000; while [ ! -e {gate} ]; do sleep 0.02; done; seq 20001 30000"))
    expected = b"".join(b"%d\n" % n for n in range(1, 30001))
    half = expected.index(b"20001\n")
    await server.until(lambda: len(server.logs.get(("a1", 0), FAKE_LOG).received) == half)
    await server.stop()
    server.store_logs = True
    await server.start()
    await server.until(lambda: len(server.streams) == 2)
    assert server.stream.hello.session_id == "session-1"
    assert server.stream.hello.session_secret == "secret-1"
    assert [held.assignment_id for held in server.stream.hello.held] == ["a1"]
    assert server.stream.hello.held[0].phase == pb.ASSIGNMENT_PHASE_RUNNING
    gate.touch()
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_SUCCESS
    assert server.log_of("a1", 0) == expected


class _Empty:
    received = b""


FAKE_LOG = _Empty()


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


async def test_in_a_new_epoch_of_the_database_all_that_is_held_is_reported_anew(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    await start()
    server.assign("over", script("echo over"))
    await server.until(lambda: server.final_of("over"))
    go_on = tmp_path / "go on"
    server.assign("runs", script("echo first", f"until [ -e '{go_on}' ]; do sleep 0.02; done"))
    await server.until(lambda: any(s.step == 1 for u in server.updates_of("runs") for s in u.steps))
    # Once all of it is acknowledged, a stream that breaks brings nothing again.
    for _ in range(10):
        known = server.stream
        server.break_streams()
        await server.until(lambda: server.stream is not known and len(server.stream.heartbeats) >= 2)  # noqa: B023
        if not server.stream.updates:
            break
    assert not server.stream.updates

    server.database_epoch = 2
    streams = len(server.streams)
    server.break_streams()
    await server.until(lambda: len(server.streams) > streams and len(server.stream.updates) >= 2)
    again = {update.assignment_id: update for update in server.stream.updates}
    assert again["over"].phase == pb.ASSIGNMENT_PHASE_SUCCESS
    assert [step.step for step in again["over"].steps] == [-1, 0]
    assert again["over"].steps[1].log_size_bytes == len(b"over\n")
    assert again["runs"].phase == pb.ASSIGNMENT_PHASE_RUNNING
    assert [(step.step, step.phase) for step in again["runs"].steps] == [
        (-1, run_pb2.STEP_PHASE_SUCCESS),
        (0, run_pb2.STEP_PHASE_SUCCESS),
        (1, run_pb2.STEP_PHASE_RUNNING),
    ]
    go_on.touch()
    await server.until(lambda: server.final_of("runs"))


async def test_an_assignment_that_comes_twice_runs_once(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    await start()
    server.assign("a1", script(f"echo x >> {tmp_path}/count"))
    second = server.assign("a1", script(f"echo x >> {tmp_path}/count"))
    await server.until(lambda: server.final_of("a1") and second in server.stream.acknowledged)
    third = server.assign("a1", script(f"echo x >> {tmp_path}/count"))
    await server.until(lambda: third in server.stream.acknowledged)
    assert not server.stream.acknowledged[third].HasField("refused")
    assert (tmp_path / "count").read_text() == "x\n"


async def test_more_than_the_slots_is_refused(server: FakeExecutorServer, start: Start) -> None:
    await start(slots=1)
    server.assign("a1", script("sleep 60"))
    second = server.assign("a2", script("true"))
    await server.until(lambda: second in server.stream.acknowledged)
    assert server.stream.acknowledged[second].refused.code == "NO_SLOT"


async def test_a_stop_ends_the_step_and_cleans_up(server: FakeExecutorServer, start: Start, tmp_path: Path) -> None:
    await start()
    server.assign("a1", script(f"touch {tmp_path}/on; sleep 60", f"always:touch {tmp_path}/cleaned"))
    await _exists(tmp_path / "on")
    number = server.command(stop=pb.Stop(assignment_id="a1", epoch=pb.Epoch(database=1, attempt=1)))
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_STOPPED
    assert number in server.stream.acknowledged
    assert (tmp_path / "cleaned").exists()
    step = next(step for step in final.steps if step.step == 0)
    assert step.phase == run_pb2.STEP_PHASE_STOPPED
    assert not step.HasField("exit_status")


async def test_a_stop_of_another_epoch_has_no_effect(server: FakeExecutorServer, start: Start, tmp_path: Path) -> None:
    await start()
    server.assign("a1", script(f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"), attempt=2)
    number = server.command(stop=pb.Stop(assignment_id="a1", epoch=pb.Epoch(database=1, attempt=1), force=True))
    await server.until(lambda: number in server.stream.acknowledged)
    (tmp_path / "go").touch()
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_SUCCESS


async def test_a_task_that_takes_too_long_is_ended(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.assign("a1", script("sleep 60", timeout=0.3))
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert (final.phase, final.reason.code, final.timed_out) == (pb.ASSIGNMENT_PHASE_FAILED, "TIMEOUT", True)


async def test_a_discarded_task_leaves_nothing_and_reports_nothing(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    executor = await start()
    server.assign("a1", script(f"touch {tmp_path}/on; sleep 60"))
    await _exists(tmp_path / "on")
    server.command(stop=pb.Stop(assignment_id="a1", epoch=pb.Epoch(database=1, attempt=1), discard=True))
    await _until(lambda: not _journal(executor)["held"])
    assert server.final_of("a1") is None
    assert not list((executor.settings.work_dir / "host" / "pods").iterdir())


async def test_a_release_removes_what_is_kept(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    server.assign("a1", script("echo hi"))
    await server.until(lambda: server.final_of("a1"))
    assert [held["assignment_id"] for held in _journal(executor)["held"]] == ["a1"]
    number = server.command(release=pb.Release(assignment_id="a1"))
    await server.until(lambda: number in server.stream.acknowledged)
    assert _journal(executor)["held"] == []
    assert not list((executor.settings.work_dir / "spool").glob("*/*"))


async def test_a_restarted_executor_reports_what_it_held_as_lost(
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


async def test_an_end_that_was_not_acknowledged_survives_the_executor(server: FakeExecutorServer, start: Start) -> None:
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


async def test_a_fenced_executor_removes_its_pods_and_begins_anew(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    executor = await start()
    server.assign("a1", script(f"touch {tmp_path}/on; sleep 60"))
    await _exists(tmp_path / "on")
    server.refusals.append(FailedPrecondition("vanished", reason="SESSION_FENCED"))
    server.session_id, server.session_secret = "session-2", "secret-2"
    server.break_streams()
    await server.until(lambda: len(server.streams) == 2)
    assert server.stream.hello.session_id == ""
    assert not server.stream.hello.held
    assert not list((executor.settings.work_dir / "host" / "pods").iterdir())
    await _until(lambda: _journal(executor)["session_id"] == "session-2")


async def test_an_id_that_is_in_use_is_tried_again(server: FakeExecutorServer, start: Start) -> None:
    server.refusals += [AlreadyExists("lives", reason="SESSION_LIVES")] * 2
    await start()
    assert not server.refusals


async def test_a_silent_server_is_left(server: FakeExecutorServer, start: Start) -> None:
    server.heartbeat_seconds = 0.05
    await start()
    server.acknowledge_heartbeats = False
    await server.until(lambda: len(server.streams) >= 2)


async def test_pods_die_while_no_heartbeat_is_acknowledged(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    server.fence_seconds = 0.6
    await start()
    server.assign("a1", script(f"touch {tmp_path}/on; sleep 60"))
    await _exists(tmp_path / "on")
    beats = len(server.stream.heartbeats)
    await server.until(lambda: len(server.stream.heartbeats) >= beats + 5)
    assert server.final_of("a1") is None
    server.acknowledge_heartbeats = False
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert (final.phase, final.reason.code) == (pb.ASSIGNMENT_PHASE_LOST, "FENCED")


async def test_a_drained_executor_finishes_what_runs_and_takes_no_more(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    executor = await start()
    server.assign("a1", script(f"touch {tmp_path}/on; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"))
    await _exists(tmp_path / "on")
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


async def test_a_drain_with_a_deadline_gives_up_what_still_runs(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    server.assign("a1", script("sleep 60"))
    drain = pb.Drain()
    drain.deadline.GetCurrentTime()
    server.command(drain=drain)
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert (final.phase, final.reason.code) == (pb.ASSIGNMENT_PHASE_LOST, "DRAINED")
    assert executor.task is not None
    async with asyncio.timeout(20):
        await executor.task


async def test_a_clean_is_answered_when_the_pods_are_gone(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.command(clean=pb.Clean(session_id="gone", executor_id="e9"))
    await server.until(lambda: server.stream.pods_gone)
    assert server.stream.pods_gone[0].session_id == "gone"


async def test_a_refused_log_does_not_hold_up_the_end(server: FakeExecutorServer, start: Start) -> None:
    server.refused_logs.add(("a1", 0))
    await start()
    server.assign("a1", script("echo hi"))
    await server.until(lambda: server.final_of("a1"), seconds=5)


async def test_a_log_ends_at_its_limit_and_the_task_goes_on(server: FakeExecutorServer, start: Start) -> None:
    await start()
    specification = script("seq 1 100000; echo done >&2", "true")
    specification.log_limit_bytes = 1000
    server.assign("a1", specification)
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_SUCCESS
    log = server.log_of("a1", 0)
    assert log.startswith(b"1\n2\n3\n")
    assert log.endswith(b"[sluice] the log reached its limit of 1000 bytes; what follows is not kept\n")


async def test_the_token_is_read_anew_for_each_connection(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    await start(token_file=token)
    token.write_text("second\n")
    server.break_streams()
    await server.until(lambda: len(server.streams) == 2)
    assert server.tokens == ["Bearer first", "Bearer second"]


async def test_two_processes_cannot_be_one_executor(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    with pytest.raises(FailedPrecondition, match="another executor uses"):
        await run_executor(executor.settings, StopWish())


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
async def test_a_clone_in_a_sandbox_comes_from_this_machine(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    repository = tmp_path / "repositories" / "r"
    repository.mkdir(parents=True)
    sha = _commit(repository)
    await start(drivers=("sandbox",), local_repositories=repository.parent, network=False)
    specification = script("", "cat file; git log --format=%s; id -u; ls /mnt/repository/file")
    specification.source.repository = str(repository)
    specification.source.ref = "refs/heads/main"
    specification.source.branch = "main"
    specification.source.commit_sha = sha
    specification.steps[0].definition.clone.depth = 1
    server.assign("a1", specification)
    await server.until(lambda: server.final_of("a1"))
    assert server.log_of("a1", 1) == b"content\nfirst\n1000\n/mnt/repository/file\n", server.log_of("a1", 0)
    server.command(release=pb.Release(assignment_id="a1"))
    specification.source.repository = "/etc"
    server.assign("a2", specification)
    await server.until(lambda: server.final_of("a2"))
    final = server.final_of("a2")
    assert final is not None
    assert final.reason.code == "SETUP_FAILED"
    assert b"/etc is no folder below" in server.log_of("a2", -1)


def _commit(repository: Path) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    (repository / "file").write_text("content\n")
    for arguments in (["init", "-q", "-b", "main"], ["add", "file"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _journal(executor: RunningExecutor) -> dict[str, Any]:
    path = executor.settings.work_dir / "journal.json"
    assert path.stat().st_mode & 0o777 == 0o600
    content: dict[str, Any] = json.loads(path.read_text())
    return content


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - files tell nobody when they change
            await asyncio.sleep(0.01)


async def _exists(path: Path) -> None:
    await _until(path.exists)
