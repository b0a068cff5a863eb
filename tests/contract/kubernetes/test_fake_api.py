"""What the fake of Kubernetes promises, by `kubernetes-asyncio`, `lightkube`, and `kubectl` where it is installed."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import lightkube
import pytest
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.stream import WsApiClient
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Pod, Secret

from tests.support.docker_daemon import BUSYBOX
from tests.support.kubernetes_cluster import Cluster

pytestmark = pytest.mark.system

# Clients are `Any`: their types do not know that a manifest may be a dict.


def manifest(name: str, script: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "fake-test", "name": name}},
        "spec": {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 1, **spec},
    }


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Any]:
    settings = client.Configuration()
    await config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings, persist_config=False)
    async with client.ApiClient(settings) as opened:
        found = client.CoreV1Api(opened)
        yield found
        for pod in (await found.list_namespaced_pod("builds", label_selector="app=fake-test")).items:
            await found.delete_namespaced_pod(pod.metadata.name, "builds", grace_period_seconds=0)


@pytest.fixture
def light(cluster: Cluster) -> Iterator[Any]:
    with lightkube.Client(config=KubeConfig.from_file(str(cluster.kubeconfig)), trust_env=False) as opened:
        yield opened


async def phase(api: Any, name: str, *wanted: str) -> Any:
    async with asyncio.timeout(60):
        while (pod := await api.read_namespaced_pod(name, "builds")).status.phase not in wanted:  # noqa: ASYNC110 - of a server
            await asyncio.sleep(0.05)
    return pod


async def test_pod_runs_to_its_end_with_its_code_and_output(api: Any) -> None:
    await api.create_namespaced_pod("builds", manifest("ends", "echo out; exit 3"))
    pod = await phase(api, "ends", "Failed", "Succeeded")
    assert pod.status.phase == "Failed"
    assert pod.status.container_statuses[0].state.terminated.exit_code == 3
    assert await api.read_namespaced_pod_log("ends", "builds") == "out\n"


async def test_command_in_a_container_has_streams_and_a_code(api: Any, cluster: Cluster) -> None:
    await api.create_namespaced_pod("builds", manifest("serves", "sleep 600"))
    await phase(api, "serves", "Running")
    async with WsApiClient(api.api_client.configuration) as streams:
        calls: Any = client.CoreV1Api(streams)
        opening = await calls.connect_get_namespaced_pod_exec(
            "serves",
            "builds",
            command=["/bin/sh", "-c", "read a; echo got $a; echo bad >&2; exit 4"],
            stdin=True,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        got: dict[int, bytes] = {}
        async with opening as socket:
            await socket.send_bytes(b"\0word\n")
            async for message in socket:
                got[message.data[0]] = got.get(message.data[0], b"") + message.data[1:]
        assert sorted(got) == [1, 2, 3], got
        assert (got[1], got[2]) == (b"got word\n", b"bad\n")
        assert WsApiClient.parse_error_data(got[3]) == 4


async def test_conflicts_and_unknown_objects_have_their_status(api: Any) -> None:
    secret = {"metadata": {"name": "twice"}, "apiVersion": "v1", "kind": "Secret", "stringData": {"a": "b"}}
    await api.create_namespaced_secret("builds", secret)
    with pytest.raises(ApiException) as caught:
        await api.create_namespaced_secret("builds", secret)
    assert caught.value.status == 409
    stale = await api.read_namespaced_secret("twice", "builds")
    await api.patch_namespaced_secret("twice", "builds", {"metadata": {"labels": {"c": "d"}}})
    with pytest.raises(ApiException) as caught:
        await api.replace_namespaced_secret("twice", "builds", stale)
    assert caught.value.status == 409
    await api.delete_namespaced_secret("twice", "builds")
    with pytest.raises(ApiException) as caught:
        await api.read_namespaced_secret("twice", "builds")
    assert caught.value.status == 404


async def test_manifest_that_no_schema_allows_is_refused(api: Any) -> None:
    wrong = manifest("wrong", "true", restartPolicy="Sometimes", hostNetworks=True)
    with pytest.raises(ApiException) as caught:
        await api.create_namespaced_pod("builds", wrong)
    assert caught.value.status == 422


def test_lists_and_watches_follow_selectors_and_revisions(light: Any, cluster: Cluster) -> None:
    def make(name: str, label: str) -> None:
        metadata = {"name": name, "labels": {"kind": label}}
        light.create(Secret.from_dict({"metadata": metadata, "apiVersion": "v1", "kind": "Secret"}))

    make("light-1", "a")
    make("light-2", "b")
    try:
        found = light.list(Secret, labels={"kind": "a"})
        assert [each.metadata.name for each in found] == ["light-1"]
        assert [each.metadata.name for each in light.list(Secret, fields={"metadata.name": "light-2"})] == ["light-2"]
        watch = light.watch(Secret, labels={"kind": "a"}, resource_version=found.resourceVersion)
        light.patch(Secret, "light-1", {"metadata": {"annotations": {"x": "y"}}})
        light.patch(Secret, "light-1", {"metadata": {"labels": {"kind": "b"}}})
        light.patch(Secret, "light-2", {"metadata": {"labels": {"kind": "a"}}})
        events = [(event, each.metadata.name) for event, each in (next(watch) for _ in range(3))]
        # What does not match any more is deleted for this watch.
        assert events == [("MODIFIED", "light-1"), ("DELETED", "light-1"), ("ADDED", "light-2")]
        cluster.fault("compact")
        with pytest.raises(ApiError) as caught:
            next(light.watch(Secret, resource_version=found.resourceVersion))
        assert caught.value.status.code == 410
    finally:
        light.delete(Secret, "light-1")
        light.delete(Secret, "light-2")


def test_eviction_and_deletion_end_a_pod(light: Any, cluster: Cluster) -> None:
    light.create(Pod.from_dict(manifest("evicted", "sleep 600")))
    for event, pod in light.watch(Pod, fields={"metadata.name": "evicted"}):
        if event == "DELETED":
            break
        if pod.status is not None and pod.status.phase == "Running" and not pod.metadata.deletionTimestamp:
            light.create(Pod.Eviction.from_dict({"metadata": {"name": "evicted"}}), "evicted")
    with pytest.raises(ApiError) as caught:
        light.get(Pod, "evicted")
    assert caught.value.status.code == 404


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_creates_shows_enters_and_deletes_a_pod(cluster: Cluster) -> None:
    def kubectl(*arguments: str, given: str = "") -> str:
        command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    kubectl("create", "--validate=false", "-f", "-", given=json.dumps(manifest("by-kubectl", "echo on; sleep 600")))
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/by-kubectl", "--timeout=50s")
    assert kubectl("get", "pods", "-l", "name=by-kubectl", "-o", "name") == "pod/by-kubectl\n"
    assert kubectl("logs", "by-kubectl") == "on\n"
    assert kubectl("exec", "-i", "by-kubectl", "--", "/bin/cat", given="through") == "through"
    kubectl("delete", "pod", "by-kubectl", "--wait=true", "--timeout=50s")
