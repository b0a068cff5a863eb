"""Runs whose tasks are pods: a whole installation, and an executor on the fake of Kubernetes with real containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.docker_daemon import BUSYBOX
from tests.support.installation import Installation, config, installation, make_repository, until
from tests.support.kubernetes_cluster import Cluster
from tests.support.own_executor import own_executor

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def here(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    options = ["--pod-image", cluster.pod_image, "--kubeconfig", str(cluster.kubeconfig), "--setup-seconds", "120"]
    with installation(folder) as running, own_executor(running, folder / "executor", "kubernetes", *options):
        yield running


def pod_task(name: str, *steps: object, **fields: object) -> dict[str, object]:
    runtime = {"containers": [{"image": BUSYBOX}, *fields.pop("services", ())]}  # type: ignore[misc]
    return {"name": name, "runtime": runtime, "steps": list(steps), **fields}


def create(here: Installation, name: str, *tasks: Mapping[str, object]) -> str:
    path = here.repositories / name
    make_repository(path, {".sluice/config.json": config(*tasks)})
    return here.create(path)


def wait_for_output(here: Installation, run_id: str, text: bytes) -> None:
    """Wait until the first step of task "a" has written a text; fail with the setup log if the run ends before."""

    def is_written() -> bool:
        if text in here.log(run_id, "a", 0):
            return True
        assert here.run(run_id)["phase"] != "RUN_PHASE_FINISHED", here.log(run_id, "a", None).decode()
        return False

    until(is_written, f"the step writes {text!r}")


def test_tasks_run_in_pods_with_services_and_files(here: Installation, cluster: Cluster) -> None:
    service = {
        "image": BUSYBOX,
        "entrypoint": "/bin/sh -c 'while :; do echo $WORD | nc -l -p 8099; done'",
        "environment": {"WORD": "served"},
        "ready": 8099,
    }
    save = {"save_to_workspace": {"contents": [{"source_dir": ".", "dest_dir": ".", "paths": ["word"]}]}}
    first = pod_task("first", {"run": "nc 127.0.0.1 8099 < /dev/null | tee word"}, save, services=[service])
    second = pod_task("second", {"restore_workspace": {}}, {"run": "cat word"}, depends=["first"])
    run_id = create(here, "pods", first, second)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS", here.log(run_id, "first", None)
    assert here.log(run_id, "first", 0) == b"served\n"
    assert here.log(run_id, "second", 1) == b"served\n"
    setup = here.log(run_id, "first", None).decode()
    assert f"driver kubernetes, image {BUSYBOX}" in setup
    assert "the pod starts on the node node-1" in setup
    assert f"service 1 ({BUSYBOX}) is ready" in setup


def test_image_that_cannot_be_pulled_is_the_reason_of_the_task(here: Installation) -> None:
    task = {
        "name": "a",
        "runtime": {"containers": [{"image": "127.0.0.1:9/team/tool:1"}]},
        "steps": [{"run": "true"}],
    }
    run_id = create(here, "missing", task)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_FAILED"
    log = here.log(run_id, "a", None).decode()
    assert 'setup failed: the image "127.0.0.1:9/team/tool:1" cannot be pulled: ' in log


def test_step_outlives_an_api_server_that_is_away(here: Installation, cluster: Cluster) -> None:
    script = "i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.1; done"
    run_id = create(here, "away", pod_task("a", {"run": script}))
    wait_for_output(here, run_id, b"line 3\n")
    cluster.fault("away", seconds=3)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.log(run_id, "a", 0) == b"".join(b"line %d\n" % number for number in range(60))


def test_pod_that_is_evicted_says_why(here: Installation, cluster: Cluster) -> None:
    run_id = create(here, "evicted", pod_task("a", {"run": "echo on; sleep 600"}))
    wait_for_output(here, run_id, b"on\n")
    (name,) = [pod["metadata"]["name"] for pod in cluster.pods()]
    cluster.fault("evict", namespace="builds", pod=name, message="The node was low on resource: memory.")
    here.wait_for(run_id)
    shown = here.sluice("run", "get", run_id, "-o", "json").stdout
    assert "the node evicted the pod: The node was low on resource: memory." in shown
    until(lambda: not cluster.pods(), "no pod is left")


def test_step_outlives_its_killed_executor(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    options = ["--pod-image", cluster.pod_image, "--kubeconfig", str(cluster.kubeconfig), "--setup-seconds", "60"]
    script = "i=0; while [ $i -lt 80 ]; do echo line $i; i=$((i+1)); sleep 0.1; done"
    with installation(tmp_path_factory.mktemp("killed")) as here:
        with own_executor(here, tmp_path / "executor", "kubernetes", *options) as first:
            run_id = create(here, "killed", pod_task("a", {"run": script}, {"run": "echo b"}))
            until(lambda: b"line 3\n" in here.log(run_id, "a", 0), "the step writes")
            first.process.kill()
        with own_executor(here, tmp_path / "executor", "kubernetes", *options):
            assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
            assert here.tasks(run_id)["a"]["attempt"] == 1
            assert here.log(run_id, "a", 0) == b"".join(b"line %d\n" % number for number in range(80))
            assert here.log(run_id, "a", 1) == b"b\n"
            until(lambda: not cluster.pods(), "no pod is left")
