"""Pipelines in containers: a whole installation whose executor uses a real Docker daemon."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_daemon import BUSYBOX, DEBIAN, DockerDaemon
from tests.support.installation import Installation, config, copy_example, installation, make_repository, until
from tests.support.own_executor import OwnExecutor, own_executor

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def here(daemon: DockerDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with installation(folder, "--driver", "docker,sandbox", "--docker-host", daemon.url) as running:
        yield running


def test_example_pipeline_runs_in_containers(here: Installation, daemon: DockerDaemon) -> None:
    path = here.repositories / "pipeline"
    copy_example("pipeline", path, {"image: 'host'": f"image: '{DEBIAN}'"})
    checked = here.sluice("config", "check", str(path), "--driver", "docker")
    assert "no errors" in checked.stdout
    run_id = here.create(path)

    def is_due() -> bool:
        tasks = here.tasks(run_id)
        assert tasks["package"]["status"] not in {"TASK_STATUS_FAILED", "TASK_STATUS_SKIPPED"}, tasks
        return bool(tasks["release"].get("approval", {}).get("waitingSince"))

    until(is_due, "the approval is due", seconds=300)
    here.sluice("run", "approve", run_id, "release")
    run = here.wait_for(run_id)
    tasks = here.tasks(run_id)
    assert run["result"] == "RUN_RESULT_SUCCESS", tasks
    assert here.log(run_id, "lint", None) == f"[sluice] driver docker, image {DEBIAN}\n[sluice] the pod runs\n".encode()
    assert b"released" in here.log(run_id, "release", 0)
    until(
        lambda: daemon.count(f"sluiceway.installation={here.state['grpc']}") == 0, "no container and no network is left"
    )


def test_task_with_a_service_has_it_on_localhost(here: Installation) -> None:
    service = {
        "image": BUSYBOX,
        "entrypoint": "/bin/sh -c 'while :; do echo $WORD | nc -l -p 8099; done'",
        "ready": 8099,
    }
    runtime = {"containers": [{"image": BUSYBOX}, {**service, "environment": {"WORD": "served"}}]}
    steps = [{"run": "nc 127.0.0.1 8099 < /dev/null"}]
    path = here.repositories / "service"
    make_repository(path, {".sluice/config.json": config({"name": "a", "runtime": runtime, "steps": steps})})
    run_id = here.create(path)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.log(run_id, "a", 0) == b"served\n"


def test_image_that_cannot_be_pulled_is_a_failed_setup(here: Installation) -> None:
    runtime = {"containers": [{"image": "127.0.0.1:9/team/tool:1"}]}
    path = here.repositories / "missing"
    make_repository(
        path, {".sluice/config.json": config({"name": "a", "runtime": runtime, "steps": [{"run": "true"}]})}
    )
    run_id = here.create(path)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
    log = here.log(run_id, "a", None).decode()
    assert 'setup failed: the image "127.0.0.1:9/team/tool:1" cannot be pulled: ' in log


def test_clone_into_an_image_without_git_says_what_to_do(here: Installation) -> None:
    runtime = {"containers": [{"image": BUSYBOX}]}
    path = here.repositories / "gitless"
    make_repository(path, {".sluice/config.json": config({"name": "a", "runtime": runtime, "steps": [{"clone": {}}]})})
    run_id = here.create(path)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
    assert b"the image of this task has no git" in here.log(run_id, "a", 0)


def test_task_of_the_machine_takes_the_other_driver(here: Installation) -> None:
    path = here.repositories / "host"
    make_repository(path, {".sluice/config.json": config({"name": "a", "steps": [{"run": "id -un"}]})})
    run_id = here.create(path)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.log(run_id, "a", 0) == b"sluice\n"
    assert b"driver sandbox" in here.log(run_id, "a", None)


def test_stop_of_a_run_ends_its_containers(here: Installation, daemon: DockerDaemon) -> None:
    runtime = {"containers": [{"image": BUSYBOX}]}
    steps = [{"run": "trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.1; done"}]
    path = here.repositories / "stopped"
    make_repository(path, {".sluice/config.json": config({"name": "a", "runtime": runtime, "steps": steps})})
    run_id = here.create(path)
    until(lambda: here.log(run_id, "a", 0) == b"on\n", "the step runs")
    here.sluice("run", "stop", run_id)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_STOPPED"
    # Its shell may say that its sleep was terminated.
    assert here.log(run_id, "a", 0).splitlines()[-1] == b"bye"
    until(
        lambda: daemon.count(f"sluiceway.installation={here.state['grpc']}") == 0, "no container and no network is left"
    )


def test_step_outlives_its_killed_executor(here: Installation, daemon: DockerDaemon) -> None:
    script = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); sleep 0.1; done"
    task = {"name": "a", "runtime": {"containers": [{"image": BUSYBOX}]}, "steps": [{"run": script}, {"run": "echo b"}]}
    path = here.repositories / "killed"
    make_repository(path, {".sluice/config.json": config(task)})
    run_id = here.create(path)
    for line in (b"line 3\n", b"line 40\n"):
        until(lambda line=line: line in here.log(run_id, "a", 0), "the step writes")  # type: ignore[misc]
        (executor,) = here.state["processes"]["executors"]
        os.kill(executor, signal.SIGKILL)
        until(lambda old=executor: here.state["processes"]["executors"] not in ([old], []), "it is restarted")  # type: ignore[misc]
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.tasks(run_id)["a"]["attempt"] == 1
    assert here.log(run_id, "a", 0) == b"".join(b"line %d\n" % number for number in range(100))
    assert here.log(run_id, "a", 1) == b"b\n"
    until(
        lambda: daemon.count(f"sluiceway.installation={here.state['grpc']}") == 0, "no container and no network is left"
    )


# A dynamic executor that is missing vanishes after 5 s; its pods have ended after 4 s, those of others after a minute.
SHORT = "--executors 0 --heartbeat-interval 500ms --executor-lease 2s --fence-after 60s --vanish-after 5s"
VANISH_SECONDS = 5


@pytest.fixture(scope="module")
def shortened(daemon: DockerDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("shortened")
    with installation(folder, *SHORT.split()) as running:
        service = {"image": BUSYBOX, "entrypoint": "/bin/sh -c 'sleep 600'"}
        task = {
            "name": "a",
            "runtime": {"containers": [{"image": BUSYBOX}, service]},
            "steps": [{"run": "sleep 600"}],
            "retry": {"max_attempts": 2, "on": ["lost"]},
        }
        make_repository(running.repositories / "app", {".sluice/config.json": config(task)})
        yield running


def _kill(executor: OwnExecutor) -> None:
    """Kill an executor and the guard of its containers."""
    processes = [each for each in Path("/proc").iterdir() if each.name.isdigit()]
    children = [int(each.name) for each in processes if _parent(each) == executor.process.pid]
    for pid in (*children, executor.process.pid):
        os.kill(pid, signal.SIGKILL)
    executor.process.wait(10)


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _names(here: Installation) -> list[str]:
    return here.sluice("executor", "list", "-o", "name").stdout.split()


def test_sibling_removes_containers_before_the_task_is_retried(
    shortened: Installation, daemon: DockerDaemon, tmp_path: Path
) -> None:
    options, left = ("--docker-host", daemon.url, "--dynamic"), "sluiceway.executor=doomed"
    with own_executor(shortened, tmp_path / "1", "docker", *options, id_="doomed") as doomed:
        run_id = shortened.create(shortened.repositories / "app")
        until(lambda: daemon.count(left) == 3, "the pod has two containers and a network")
        with own_executor(shortened, tmp_path / "2", "docker", *options, id_="sibling"):
            _kill(doomed)
            killed, counted = time.monotonic(), 3
            # What was counted before the second attempt was seen was there, at the latest, when it began.
            while shortened.tasks(run_id)["a"].get("attempt", 0) < 2:
                counted = daemon.count(left)
                assert time.monotonic() < killed + 60, "the task is not retried"
            assert (counted, daemon.count(left)) == (0, 0)
            until(lambda: _names(shortened) == ["sibling"], "the executor is not listed any more")
            assert time.monotonic() - killed < VANISH_SECONDS + 10
            until(lambda: daemon.count("sluiceway.executor=sibling") == 3, "the sibling runs the second attempt")
            shortened.sluice("run", "stop", run_id, "--force")
            shortened.wait_for(run_id)


def test_static_executor_that_is_away_keeps_its_pods(
    shortened: Installation, daemon: DockerDaemon, tmp_path: Path
) -> None:
    options, left = ("--docker-host", daemon.url), "sluiceway.executor=static"
    with (
        own_executor(shortened, tmp_path / "1", "docker", *options, id_="static") as static,
        own_executor(shortened, tmp_path / "2", "docker", *options, "--dynamic", id_="dynamic") as dynamic,
    ):
        shortened.sluice("executor", "drain", "dynamic")
        run_id = shortened.create(shortened.repositories / "app")
        until(lambda: daemon.count(left) == 3, "the pod has two containers and a network")
        for each in (static, dynamic):
            each.process.send_signal(signal.SIGSTOP)
        try:
            until(lambda: "dynamic" not in _names(shortened), "the dynamic executor has vanished")
            assert "offline" in shortened.sluice("executor", "get", "static").stdout
        finally:
            for each in (static, dynamic):
                each.process.send_signal(signal.SIGCONT)
        until(lambda: "online" in shortened.sluice("executor", "get", "static").stdout, "it is back")
        task = shortened.tasks(run_id)["a"]
        assert (task["status"], task["attempt"], daemon.count(left)) == ("TASK_STATUS_RUNNING", 1, 3)
        shortened.sluice("run", "stop", run_id, "--force")
        shortened.wait_for(run_id)
