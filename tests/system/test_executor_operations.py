"""Executors on real parts: drained, undrained, deleted, and missing for too long."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import (
    Installation,
    config,
    installation,
    make_repository,
    run_sluice,
    sentence_of,
    until,
)
from tests.support.own_executor import own_executor

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

EXECUTOR = "executor-1"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("operated")) as running:
        make_repository(
            running.repositories / "app",
            {".sluice/config.json": config({"name": "ok", "steps": [{"run": "true"}]})},
        )
        yield running


def repository(here: Installation) -> Path:
    return here.repositories / "app"


def executors(here: Installation) -> list[dict[str, Any]]:
    with here.http() as client:
        listed: list[dict[str, Any]] = client.get("/api/v1/executors").json().get("executors", [])
    return listed


def act(here: Installation, method: str, path: str) -> None:
    with here.http() as client:
        answer = client.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == 204, answer.text


def test_drained_executor_works_again_when_undrained(here: Installation) -> None:
    processes = here.state["processes"]["executors"]
    act(here, "POST", f"/api/v1/executors/{EXECUTOR}:drain")
    run_id = here.create(repository(here))
    here.wait_for(run_id, "RUN_PHASE_RUNNING")
    (shown,) = executors(here)
    assert (shown["online"], shown["draining"], shown["drained"]) == (True, True, True)
    assert here.run(run_id)["waiting"]["code"] == "WAITS_FOR_EXECUTOR"
    act(here, "POST", f"/api/v1/executors/{EXECUTOR}:undrain")
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.state["processes"]["executors"] == processes


def test_deleted_executor_returns_with_a_new_session(here: Installation) -> None:
    (before,) = executors(here)
    act(here, "DELETE", f"/api/v1/executors/{EXECUTOR}")

    def is_back() -> bool:
        return any(each.get("online") and each["sessionTime"] > before["sessionTime"] for each in executors(here))

    until(is_back, "the executor said hello again")
    run_id = here.create(repository(here))
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"


def test_task_of_a_deleted_executor_is_lost_at_once(here: Installation) -> None:
    make_repository(
        here.repositories / "long", {".sluice/config.json": config({"name": "long", "steps": [{"run": "sleep 600"}]})}
    )
    run_id = here.create(here.repositories / "long")
    until(lambda: here.tasks(run_id)["long"]["status"] == "TASK_STATUS_RUNNING", "the task runs")
    shown = here.sluice("executor", "get", EXECUTOR).stdout
    assert all(word in shown for word in ("1 of ", "long", "ATTEMPT")), shown
    act(here, "DELETE", f"/api/v1/executors/{EXECUTOR}")
    assert here.wait_for(run_id, seconds=60)["result"] == "RUN_RESULT_FAILED"
    task = here.tasks(run_id)["long"]
    assert (task["status"], task["reason"]["code"]) == ("TASK_STATUS_LOST", "OPERATOR")


def test_executor_times_are_set_by_options(tmp_path: Path) -> None:
    times = {"heartbeat-interval": "200ms", "executor-lease": "2s", "fence-after": "3s", "vanish-after": "3500ms"}
    options = [word for name, value in times.items() for word in (f"--{name}", value)]
    with installation(tmp_path, *options, "--lost-after", "5s") as there:
        make_repository(
            there.repositories / "long",
            {".sluice/config.json": config({"name": "long", "steps": [{"run": "sleep 600"}]})},
        )
        run_id = there.create(there.repositories / "long")
        until(lambda: there.tasks(run_id)["long"]["status"] == "TASK_STATUS_RUNNING", "the task runs")
        # Its parent sees that it lives, and its server that it says nothing.
        (executor,) = there.state["processes"]["executors"]
        os.kill(executor, signal.SIGSTOP)
        try:
            assert there.wait_for(run_id, seconds=60)["result"] == "RUN_RESULT_FAILED"
        finally:
            os.kill(executor, signal.SIGCONT)
        task = there.tasks(run_id)["long"]
        assert (task["status"], task["reason"]["code"]) == ("TASK_STATUS_LOST", "EXECUTOR_VANISHED")
        assert "was not heard of for 5s" in task["reason"]["message"]


@pytest.mark.parametrize("command", ["standalone", "server"])
def test_inconsistent_executor_times_are_refused_at_the_start(command: str, tmp_path: Path) -> None:
    needed = ["--etcd", "http://127.0.0.1:1", "--object-storage", f"posix:{tmp_path}"] if command == "server" else []
    done = run_sluice(command, "--data-dir", tmp_path, *needed, "--lost-after", "10m")
    assert "fence_after: it must be shorter than lost_after (10m)" in sentence_of(done)


def test_group_serves_what_it_is_told_and_dies_with_its_tokens(here: Installation, tmp_path: Path) -> None:
    here.sluice("executor", "group", "create", "gpu", "--serves", "user/admin")
    assert "user/admin" in here.sluice("executor", "group", "list").stdout
    token = here.sluice("token", "create", "gpu-1", "--executor-group", "gpu").stdout
    (tmp_path / "token").write_text(token)
    with own_executor(here, tmp_path / "gpu", "sandbox", id_="gpu-1", token_file=tmp_path / "token") as gpu:
        here.sluice("executor", "drain", "--group", "default")
        here.sluice("org", "create", "acme")
        here.sluice("executor", "group", "update", "gpu", "--serves", "org/acme")
        run_id = here.create(repository(here))
        until(
            lambda: "group gpu does not serve user user/admin" in here.sluice("run", "explain", run_id).stdout,
            "it is explained",
        )
        here.sluice("executor", "group", "update", "gpu", "--serves-all")
        assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
        here.sluice("executor", "group", "delete", "gpu")
        assert [each["id"] for each in executors(here)] == [EXECUTOR]
        until(lambda: "CREDENTIALS_INVALID" in gpu.log.read_text(), "the executor is refused")
    here.sluice("executor", "undrain", "--group", "default")
