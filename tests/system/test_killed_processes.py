"""Parts that are killed under a running task and restarted: stored data stay, lost tasks are reported."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.installation import Installation, config, installation, make_repository, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

COUNTS = "i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.1; done"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("dying")) as running:
        yield running


def start(here: Installation, name: str, script: str) -> str:
    path = here.repositories / name
    make_repository(path, {".sluice/config.json": config({"name": "task", "steps": [{"run": script}]})})
    return here.create(path)


def processes_marked(mark: str) -> list[int]:
    """Find the processes whose command line or environment contains a mark."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                text = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in text:
                found.append(int(folder.name))
    return found


def test_run_continues_after_etcd_is_killed_and_restarted(here: Installation) -> None:
    run_id = start(here, "etcd", COUNTS)
    until(lambda: b"line 5\n" in here.log(run_id, "task", 0), "it counts")
    etcd = here.state["processes"]["etcd"]
    os.kill(etcd, signal.SIGKILL)
    until(lambda: here.state["processes"]["etcd"] not in {etcd, None}, "etcd is restarted")
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.log(run_id, "task", 0) == b"".join(b"line %d\n" % i for i in range(60))
    assert here.tasks(run_id)["task"]["attempt"] == 1


def test_writes_wait_while_etcd_is_paused_and_apply_once(here: Installation) -> None:
    etcd = here.state["processes"]["etcd"]
    run_id = start(here, "paused", COUNTS)
    until(lambda: b"line 5\n" in here.log(run_id, "task", 0), "it counts")
    os.kill(etcd, signal.SIGSTOP)
    try:
        with here.http(**{"sluice-timeout": "2"}) as client:
            body = {"run": {"name": "r", "group": "/user/a/paused"}, "setupErrors": ["on purpose"], "requestId": "p1"}
            answer = client.post("/api/v1/runs", json=body)
    finally:
        os.kill(etcd, signal.SIGCONT)
    assert answer.status_code in {503, 504}, answer.text
    assert answer.json()["error"]["message"]
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.log(run_id, "task", 0) == b"".join(b"line %d\n" % i for i in range(60))
    with here.http() as client:
        again = until(lambda: _created(client.post("/api/v1/runs", json=body)), "the same call works again")
        runs = client.get("/api/v1/runs", params={"group": "/user/a/paused"}).json()["runs"]
    assert [run["id"] for run in runs] == [again], "the same request id, the same run"


def _created(answer: object) -> str:
    return str(answer.json()["id"]) if answer.status_code == 201 else ""  # type: ignore[attr-defined]  # httpx.Response


def _has(here: Installation, run_id: str, line: bytes) -> bool:
    return line in here.log(run_id, "task", 0)


def _is_replaced(here: Installation, executor: int) -> bool:
    return here.state["processes"]["executors"] not in ([executor], [])


def test_task_continues_when_its_executor_is_killed(here: Installation) -> None:
    run_id = start(here, "executor", COUNTS)
    for line in (b"line 5\n", b"line 25\n"):
        until(partial(_has, here, run_id, line), "it counts")
        (executor,) = here.state["processes"]["executors"]
        os.kill(executor, signal.SIGKILL)
        until(partial(_is_replaced, here, executor), "the executor is restarted")
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.log(run_id, "task", 0) == b"".join(b"line %d\n" % i for i in range(60))
    assert here.tasks(run_id)["task"]["attempt"] == 1


def test_stop_while_the_executor_is_away_ends_the_task(here: Installation) -> None:
    mark = f"99{os.getpid()}"
    run_id = start(here, "stopped", f"echo up; sleep {mark} & setsid sleep {mark} & sleep {mark}")
    until(lambda: len(processes_marked(f"sleep\0{mark}")) == 3, "its processes are there")
    (executor,) = here.state["processes"]["executors"]
    os.kill(executor, signal.SIGKILL)
    with here.http() as client:
        assert client.post(f"/api/v1/runs/{run_id}:stop", json={}).is_success
    run = here.wait_for(run_id)
    assert run["result"] == "RUN_RESULT_STOPPED"
    assert here.tasks(run_id)["task"]["attempt"] == 1
    until(lambda: not processes_marked(f"sleep\0{mark}"), "no process of the task stays")


def test_task_is_lost_when_its_launcher_is_killed(here: Installation) -> None:
    mark = f"88{os.getpid()}"
    run_id = start(here, "launcher", f"echo up; sleep {mark} & setsid sleep {mark} & sleep {mark}")
    until(lambda: len(processes_marked(f"sleep\0{mark}")) == 3, "its processes are there")
    for launcher in processes_marked("pod_launcher.py"):
        if str(here.data).encode() in (Path("/proc") / str(launcher) / "cmdline").read_bytes():
            os.kill(launcher, signal.SIGKILL)
    here.wait_for(run_id)
    task = here.tasks(run_id)["task"]
    assert (task["status"], task["reason"]["code"]) == ("TASK_STATUS_LOST", "POD_GONE")
    assert task["reason"]["message"]
    until(lambda: not processes_marked(f"sleep\0{mark}"), "no process of the task stays")
    # And the executor works as before.
    assert here.wait_for(start(here, "after", "true"))["result"] == "RUN_RESULT_SUCCESS"
