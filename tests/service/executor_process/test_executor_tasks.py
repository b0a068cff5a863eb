"""What the executor does with tasks, against a scripted server over real gRPC: real processes for pods."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway_executor.drivers.port import Network
from tests.fakes.executor_server import FakeExecutorServer
from tests.support.executor_process import Start, journal_of, script, until, until_exists

pytestmark = pytest.mark.system


async def test_log_is_stored_before_the_end_is_reported(server: FakeExecutorServer, start: Start) -> None:
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
    assert steps[1].log_size_bytes == 0
    assert {step for _, step in server.logs} == {-1, 0, 3}, "an empty log is not sent"
    assert all(log.complete for log in server.logs.values())


async def test_step_that_cannot_start_has_a_reason_and_a_log_line(server: FakeExecutorServer, start: Start) -> None:
    await start()
    specification = script("touch file", "echo never")
    specification.steps[1].definition.run.working_dir = "file/sub"
    server.assign("a1", specification)
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    log = server.log_of("a1", 1).decode()
    assert log.endswith("/project/file is not a directory\n")
    assert final.reason.code == "STEP_INVALID"
    assert final.reason.message == f'"echo never" did not start: {log.removeprefix("sluice: ").rstrip()}'


async def test_step_with_an_invalid_shell_has_a_reason(server: FakeExecutorServer, start: Start) -> None:
    await start()
    specification = script("echo never")
    specification.shell = "sh 'open"
    server.assign("a1", specification)
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    said = 'the shell "sh \'open" is not a command: no closing quotation'
    assert server.log_of("a1", 0).decode() == f"[sluice] {said}\n"
    assert final.reason == run_pb2.Reason(code="STEP_INVALID", message=f'"echo never" did not start: {said}')


async def test_task_is_running_from_the_start_of_its_pod(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.assign("a1", script("true"))
    await server.until(lambda: server.final_of("a1"))
    phases = [(update.phase, update.HasField("pod_start_time")) for update in server.updates_of("a1")]
    assert phases[0] == (pb.ASSIGNMENT_PHASE_ACCEPTED, False)
    assert {started for phase, started in phases if phase == pb.ASSIGNMENT_PHASE_RUNNING} <= {True}
    assert {started for phase, started in phases if phase == pb.ASSIGNMENT_PHASE_ACCEPTED} == {False}


async def test_assignment_beyond_the_slots_is_refused(server: FakeExecutorServer, start: Start) -> None:
    await start(slots=1)
    server.assign("a1", script("sleep 60"))
    second = server.assign("a2", script("true"))
    await server.until(lambda: second in server.stream.acknowledged)
    assert server.stream.acknowledged[second].refused.code == "NO_SLOT"


async def test_stop_ends_the_step_and_runs_always_steps(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    await start()
    server.assign("a1", script(f"touch {tmp_path}/on; sleep 60", f"always:touch {tmp_path}/cleaned"))
    await until_exists(tmp_path / "on")
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


async def test_stopped_task_has_the_reason_of_the_stop(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    await start()
    server.assign("a1", script(f"touch {tmp_path}/on; sleep 60"))
    await until_exists(tmp_path / "on")
    reason = run_pb2.Reason(code="RUN_TIMED_OUT", message="the run took longer than its timeout of 5s")
    server.command(stop=pb.Stop(assignment_id="a1", epoch=pb.Epoch(database=1, attempt=1), reason=reason))
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert (final.phase, final.reason) == (pb.ASSIGNMENT_PHASE_STOPPED, reason)
    step = next(step for step in final.steps if step.step == 0)
    assert (step.phase, step.reason) == (run_pb2.STEP_PHASE_STOPPED, reason)


async def test_stop_of_another_epoch_has_no_effect(server: FakeExecutorServer, start: Start, tmp_path: Path) -> None:
    await start()
    server.assign("a1", script(f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"), attempt=2)
    number = server.command(stop=pb.Stop(assignment_id="a1", epoch=pb.Epoch(database=1, attempt=1), force=True))
    await server.until(lambda: number in server.stream.acknowledged)
    (tmp_path / "go").touch()
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_SUCCESS


async def test_task_is_ended_at_its_timeout(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.assign("a1", script("sleep 60", timeout=0.5))
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    reason = run_pb2.Reason(code="TIMEOUT", message="timed out after 0.5s")
    assert (final.phase, final.reason, final.timed_out) == (pb.ASSIGNMENT_PHASE_FAILED, reason, True)
    assert final.cause == definition_pb2.RETRY_CAUSE_TIMEOUT
    step = next(step for step in final.steps if step.step == 0)
    assert (step.phase, step.reason) == (run_pb2.STEP_PHASE_STOPPED, reason)


CHILD_THAT_ENDS_LATE = """
cat > child.py <<'END'
import os, signal, sys, time
def end(*_):
    time.sleep(0.5)
    os.write(1, b"child ended\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
os.write(1, b"child began\\n")
time.sleep(600)
END
python3 child.py
echo never
"""


async def test_always_step_has_its_own_budget_after_a_timeout(server: FakeExecutorServer, start: Start) -> None:
    await start()
    # Longer than the grace: what still stopped the first step would kill it.
    clean = "always:for i in 1 2 3 4 5; do sleep 0.5; echo $i; done"
    server.assign("a1", script(CHILD_THAT_ENDS_LATE, clean, timeout=1, grace=1.5))
    await server.until(lambda: server.final_of("a1"))
    assert server.log_of("a1", 0) == b"child began\nchild ended\n"
    assert server.log_of("a1", 1) == b"1\n2\n3\n4\n5\n"
    final = server.final_of("a1")
    assert final is not None
    assert [step.phase for step in final.steps if step.step >= 0] == [
        run_pb2.STEP_PHASE_STOPPED,
        run_pb2.STEP_PHASE_SUCCESS,
    ]


async def test_background_process_survives_the_stop_of_a_later_step(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    await start()
    service = f"sleep 600 > /dev/null 2>&1 & echo $! > {tmp_path}/pid"
    alive = f"always:kill -0 $(cat {tmp_path}/pid) && echo alive"
    server.assign("a1", script(service, f"touch {tmp_path}/on; sleep 600", alive))
    await until_exists(tmp_path / "on")
    server.command(stop=pb.Stop(assignment_id="a1", epoch=pb.Epoch(database=1, attempt=1)))
    await server.until(lambda: server.final_of("a1"))
    assert server.log_of("a1", 2) == b"alive\n"


async def test_log_notes_a_background_process_with_open_output(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.assign("a1", script("sleep 600 & echo begun"))
    await server.until(lambda: server.final_of("a1"))
    note = b"[sluice] a background process still has the output of this step open; what it writes is not kept\n"
    assert server.log_of("a1", 0) == b"begun\n" + note


async def test_discarded_task_is_removed_without_a_report(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    executor = await start()
    server.assign("a1", script(f"touch {tmp_path}/on; sleep 60"))
    await until_exists(tmp_path / "on")
    server.command(stop=pb.Stop(assignment_id="a1", epoch=pb.Epoch(database=1, attempt=1), discard=True))
    await until(lambda: not journal_of(executor)["held"])
    assert server.final_of("a1") is None
    assert not list((executor.settings.work_dir / "host" / "pods").iterdir())


async def test_release_removes_the_data_of_an_assignment(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    server.assign("a1", script("echo hi"))
    await server.until(lambda: server.final_of("a1"))
    assert [held["assignment_id"] for held in journal_of(executor)["held"]] == ["a1"]
    number = server.command(release=pb.Release(assignment_id="a1"))
    await server.until(lambda: number in server.stream.acknowledged)
    await until(lambda: journal_of(executor)["held"] == [])
    assert not list((executor.settings.work_dir / "spool").glob("*/*"))


async def test_assignment_that_is_sent_twice_runs_once(
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


async def test_clean_is_reported_when_the_pods_are_gone(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.command(clean=pb.Clean(session_id="gone", executor_id="e9"))
    await server.until(lambda: server.stream.pods_gone)
    assert server.stream.pods_gone[0].session_id == "gone"


async def test_clone_in_a_sandbox_is_of_a_local_repository(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    repository = tmp_path / "repositories" / "r"
    repository.mkdir(parents=True)
    sha = _commit(repository)
    await start(drivers=("sandbox",), local_repositories=repository.parent, network=Network.NONE)
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
    assert (final.reason.code, final.cause) == ("SETUP_FAILED", definition_pb2.RETRY_CAUSE_SETUP)
    assert b"/etc is not a folder below" in server.log_of("a2", -1)


async def test_variables_of_a_task_do_not_reach_its_clone(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    repository = tmp_path / "repositories" / "r"
    repository.mkdir(parents=True)
    sha = _commit(repository)
    await start(drivers=("sandbox",), local_repositories=repository.parent, network=Network.NONE)
    specification = script("", "cat file")
    specification.source.repository = str(repository)
    specification.source.ref = specification.source.commit_sha = sha
    specification.steps[0].definition.clone.depth = 0
    for name in ("TMPDIR", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "HOME", "ENV", "LD_LIBRARY_PATH"):
        specification.environment[name] = "/home/sluice/nowhere"
        specification.runtime.containers[0].environment[name].value = "/home/sluice/nowhere"
    specification.runtime.containers[0].environment["PATH"].value = "/nowhere"
    server.assign("a1", specification)
    await server.until(lambda: server.final_of("a1"))
    log = server.log_of("a1", 0).decode()
    assert log.startswith(f"cloning {repository} at {sha}\n"), log
    steps = {step.step: step.phase for step in server.updates_of("a1")[-1].steps}
    assert steps[0] == run_pb2.STEP_PHASE_SUCCESS, log


def _commit(repository: Path) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    (repository / "file").write_text("content\n")
    for arguments in (["init", "-q", "-b", "main"], ["add", "file"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True)
    return done.stdout.strip()
