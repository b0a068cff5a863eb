"""Pipelines on real parts: etcd, server, gateway, executor and sandbox, each a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import (
    ROOT,
    Installation,
    config,
    copy_example,
    installation,
    is_alive,
    make_repository,
    until,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("installation")) as running:
        yield running


def repository_of(here: Installation, name: str, *tasks: dict[str, Any], **fields: Any) -> Path:
    path = here.repositories / name
    make_repository(path, {".sluice/config.json": config(*tasks, **fields)})
    return path


def test_small_pipeline_runs_to_its_end(here: Installation) -> None:
    copy_example("small", here.repositories / "small")
    done = here.sluice("run", "create", "--repo", str(here.repositories / "small"), "--watch")
    assert "result success" in done.stdout
    (run,) = [r for r in list_runs(here) if r["name"] == "small"]
    assert run["result"] == "RUN_RESULT_SUCCESS"
    assert run["phase"] == "RUN_PHASE_FINISHED"
    tasks = here.tasks(str(run["id"]))
    assert {t["status"] for t in tasks.values()} == {"TASK_STATUS_SUCCESS"}


def list_runs(here: Installation) -> list[dict[str, object]]:
    with here.http() as client:
        runs: list[dict[str, object]] = client.get("/api/v1/runs").json()["runs"]
    return runs


def test_watch_of_a_failed_run_exits_with_1_and_names_the_step(here: Installation) -> None:
    repository = repository_of(here, "failing", {"name": "breaks", "steps": [{"run": "echo before; exit 7"}]})
    done = here.sluice("run", "create", "--repo", str(repository), "--watch", check=False)
    assert done.returncode == 1
    (run,) = [r for r in list_runs(here) if str(r["group"]).endswith("/failing/main")]
    step = here.tasks(str(run["id"]))["breaks"]["steps"][0]
    assert step["phase"] == "STEP_PHASE_FAILED"
    assert step["exitStatus"] == 7
    assert here.log(str(run["id"]), "breaks", 0) == b"before\n"


def test_restart_of_what_failed_keeps_the_rest_with_its_logs(here: Installation) -> None:
    tasks = (
        {"name": "build", "steps": [{"run": "echo built by run $SLUICE_RUN_NUMBER"}]},
        {"name": "test", "depends": ["build"], "steps": [{"run": 'echo in run $SLUICE_RUN_NUMBER; test -n "$AGAIN"'}]},
        {"name": "publish", "depends": ["test"], "steps": [{"run": "echo published"}]},
    )
    repository = here.repositories / "restarted"
    make_repository(repository, {".sluice/config.json": config(*tasks)})
    first = here.create(repository)
    assert here.wait_for(first)["result"] == "RUN_RESULT_FAILED"
    again = here.sluice("run", "restart", first, "--failed", "--watch", check=False)
    assert again.returncode == 1, "it is the same commit, so it fails again"
    second = here.sluice("run", "list", "--group", "/user/me/restarted", "--jq", ".[0].id").stdout.strip()
    assert second != first
    numbers = [here.run(run)["number"] for run in (first, second)]
    assert here.log(second, "build", 0) == here.log(first, "build", 0) == f"built by run {numbers[0]}\n".encode()
    assert here.log(second, "test", 0) == f"in run {numbers[1]}\n".encode()
    refused = here.sluice("run", "restart", second, "--task", "nobody", check=False)
    assert refused.returncode == 1
    assert "nobody" in refused.stderr


def test_unparseable_configuration_fails_the_run_with_its_error(here: Installation) -> None:
    path = here.repositories / "broken"
    make_repository(path, {".sluice/config.yml": "runs:\n  - name: x\n    taskss: []\n"})
    done = here.sluice("run", "create", "--repo", str(path), "--watch", check=False)
    assert done.returncode == 3
    assert "did you mean `tasks`" in done.stdout
    assert "3:5" in done.stdout


def test_runs_overlap_only_between_groups(here: Installation) -> None:
    repository = repository_of(here, "queueing", {"name": "holds", "steps": [{"run": "sleep 600"}]})
    first = here.create(repository, "--group", "/user/me/one")
    second = here.create(repository, "--group", "/user/me/one")
    other = here.create(repository, "--group", "/user/me/two")
    here.wait_for(other, "RUN_PHASE_RUNNING")
    assert here.run(first)["phase"] == "RUN_PHASE_RUNNING"
    assert here.run(second)["phase"] == "RUN_PHASE_QUEUED"
    explained = here.sluice("run", "explain", second).stdout
    assert first in explained or str(here.run(first)["number"]) in explained
    here.sluice("run", "stop", first)
    ended = here.wait_for(first)
    started = here.wait_for(second, "RUN_PHASE_RUNNING")
    assert started["startTime"] >= ended["endTime"]
    assert here.run(other)["phase"] == "RUN_PHASE_RUNNING"
    assert here.run(other)["startTime"] < ended["endTime"]
    for run_id in (second, other):
        here.sluice("run", "stop", run_id)
        here.wait_for(run_id)


def test_run_that_times_out_ends_with_the_reason_in_its_task(here: Installation) -> None:
    repository = repository_of(here, "timing-out", {"name": "long", "steps": [{"run": "sleep 600"}]}, timeout="2s")
    run_id = here.create(repository)
    run = here.wait_for(run_id)
    assert run["result"] == "RUN_RESULT_FAILED"
    assert run["reason"] == {"code": "RUN_TIMED_OUT", "message": "run timed out after 2s"}
    began, ended = (datetime.fromisoformat(run[name]) for name in ("startTime", "endTime"))
    assert ended - began >= timedelta(seconds=2)
    task = here.tasks(run_id)["long"]
    assert (task["status"], task["reason"]) == ("TASK_STATUS_STOPPED", run["reason"])


def test_stopped_run_exits_with_2_and_leaves_no_process(here: Installation) -> None:
    # Lengths of sleep that nobody else on this machine asks for: by them the processes are known.
    mark = f".{os.getpid()}"
    script = f"bash -c 'exec -a renamed sleep 300{mark}' & setsid sleep 301{mark} & echo up; sleep 302{mark}"
    repository = repository_of(here, "stopping", {"name": "long", "shell": "/bin/bash -e", "steps": [{"run": script}]})
    run_id = here.create(repository)
    until(lambda: sleepers(mark) == {f"300{mark}", f"301{mark}", f"302{mark}"}, "it is up")
    here.sluice("run", "stop", run_id)
    assert here.sluice("run", "watch", run_id, check=False).returncode == 2
    assert here.run(run_id)["result"] == "RUN_RESULT_STOPPED"
    until(lambda: not sleepers(mark), "no process is left")


def sleepers(mark: str) -> set[str]:
    """Return the last arguments that end with the mark, of all processes of the machine."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process that has ended since
            found.add(path.read_bytes().rstrip(b"\0").split(b"\0")[-1].decode(errors="replace"))
    return {argument for argument in found if argument.endswith(mark) and " " not in argument}


def test_task_waits_for_its_approval(here: Installation) -> None:
    repository = repository_of(
        here, "approving", {"name": "deploy it", "approval": True, "steps": [{"run": "echo deployed"}]}
    )
    run_id = here.create(repository)
    until(lambda: here.tasks(run_id)["deploy it"].get("approval", {}).get("waitingSince"), "it waits")
    assert "approve" in here.sluice("run", "explain", run_id).stdout
    here.sluice("run", "approve", run_id, "deploy it")
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    again = here.sluice("run", "approve", run_id, "deploy it", check=False)
    assert again.returncode == 1
    assert "Traceback" not in again.stderr


NUMBERS = "i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.1; done; printf 'no newline \\000\\377'"


def numbers() -> bytes:
    return b"".join(b"line %d\n" % i for i in range(60)) + b"no newline \x00\xff"


@pytest.mark.parametrize("victim", ["server", "gateway"])
def test_tasks_and_logs_survive_the_kill_of_a_process(here: Installation, victim: str) -> None:
    tasks: list[dict[str, Any]] = [{"name": f"counts {n}", "steps": [{"run": NUMBERS}]} for n in range(3)]
    repository = repository_of(here, f"killing-{victim}", *tasks)
    run_id = here.create(repository)
    until(lambda: b"line 5\n" in here.log(run_id, "counts 0", 0), "it counts")
    pid = here.state["processes"][victim]
    os.kill(pid, signal.SIGKILL)
    until(lambda: here.state["processes"][victim] not in {pid, None}, f"{victim} is restarted")
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    for task in tasks:
        name = str(task["name"])
        assert here.log(run_id, name, 0) == numbers()
        step = here.tasks(run_id)[name]["steps"][0]
        assert step["logSha256"] == hashlib.sha256(numbers()).hexdigest()
        assert here.tasks(run_id)[name]["attempt"] == 1


def test_followed_log_is_complete_across_a_server_restart(here: Installation) -> None:
    repository = repository_of(here, "following", {"name": "counts", "steps": [{"run": NUMBERS}]})
    run_id = here.create(repository)
    environment = {**os.environ, "SLUICE_SERVER": here.state["grpc"], "SLUICE_TOKEN": here.token}
    command = [sys.executable, "-m", "sluiceway.cli.entry", "run", "logs", run_id, "counts", "--step", "0", "--follow"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"line 0\n"
        os.kill(here.state["processes"]["server"], signal.SIGKILL)
        rest = follower.stdout.read()
        assert follower.wait(60) == 0
    assert b"line 0\n" + rest == numbers()


def test_events_are_server_sent_events_and_resume(here: Installation) -> None:
    repository = repository_of(here, "events", {"name": "one", "steps": [{"run": "true"}]})
    run_id = here.create(repository)
    here.wait_for(run_id)
    with here.http(Accept="text/event-stream") as client:
        whole = client.get(f"/api/v1/runs/{run_id}:watch").text
        ids = [line.removeprefix("id: ") for line in whole.splitlines() if line.startswith("id: ")]
        assert ids
        assert "event: end" in whole
        # Nothing is left to send, which ends the reconnections of a browser (HTML, 9.2.3).
        ended = client.get(f"/api/v1/runs/{run_id}:watch", headers={"Last-Event-ID": ids[-1]})
    assert (ended.status_code, ended.content) == (204, b"")


def test_followed_logs_equal_the_stored_log(here: Installation) -> None:
    script = "head -c 3000000 /dev/urandom | base64"
    repository = repository_of(
        here, "large", {"name": "much", "steps": [{"run": f"{script} | tee all; sha256sum all >&2"}]}
    )
    run_id = here.create(repository)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    log = here.log(run_id, "much", 0)
    body, _, line = log.rstrip(b"\n").rpartition(b"\n")
    assert line.split()[0].decode() == hashlib.sha256(body + b"\n").hexdigest()


def test_example_runs_with_one_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.demo", "--data-dir", str(tmp_path)]
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "RUN_RESULT_SUCCESS" in done.stdout
        assert "failed (ignored)" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_served_example_ends_with_all_its_processes(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "scripts.demo", "--serve", "--data-dir", str(tmp_path)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        # As a shell starts it in the background: SIGINT is ignored.
        shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
        demo = subprocess.Popen(shell, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        until(lambda: b"serving http://" in log.read_bytes(), "it serves", seconds=120)
        state = json.loads((tmp_path / "data" / "standalone.json").read_text())
        demo.send_signal(number)
        assert demo.wait(90) == 0
    finally:
        demo.kill()
        demo.wait(30)
    assert not is_alive(state["pid"])


def test_processes_end_with_standalone_which_can_start_again(tmp_path: Path) -> None:
    with installation(tmp_path) as first:
        repository = repository_of(first, "before", {"name": "one", "steps": [{"run": "echo one"}]})
        run_id = first.create(repository)
        first.wait_for(run_id)
        processes = first.state["processes"]
        pids = [processes["etcd"], processes["server"], processes["gateway"], *processes["executors"]]
        first.process.kill()
        first.process.wait()
        until(lambda: not any(is_alive(pid) for pid in pids), "all ended")
    read_database = next(first.data.rglob("read.sqlite"))
    read_database.unlink()
    with installation(tmp_path) as second:
        assert second.run(run_id)["result"] == "RUN_RESULT_SUCCESS"
        assert second.log(run_id, "one", 0) == b"one\n"
        next_run = second.create(repository)
        assert second.wait_for(next_run)["number"] != second.run(run_id)["number"]
        assert second.stop() == 0
        # Or the next start would wait for a scheduler that is gone.
        assert "scheduler_resigned" in (second.data / "logs" / "server.log").read_text()
        assert not (second.data / "standalone.json").exists()
