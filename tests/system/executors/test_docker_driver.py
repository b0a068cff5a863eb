"""Pipelines in containers: a whole installation whose executor uses a real Docker daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.docker_daemon import BUSYBOX, DEBIAN, DockerDaemon
from tests.support.installation import Installation, config, copy_example, installation, make_repository, until

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
