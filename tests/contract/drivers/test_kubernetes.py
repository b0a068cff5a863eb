"""What the driver `kubernetes` does beside what every driver does, when the API server is slow, away or forgetful."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.docker_request import Owner
from sluiceway_executor.drivers.kubernetes import KubernetesDriver, KubernetesSettings
from sluiceway_executor.drivers.kubernetes_template import parse_template
from sluiceway_executor.drivers.port import Command, ExitStatus, Network, RegistryLogin, ServiceRequest
from tests.support.docker_daemon import BUSYBOX
from tests.support.kubernetes_cluster import Cluster
from tests.support.pods import SESSION, NewPod, run

pytestmark = pytest.mark.system

New = Callable[..., KubernetesDriver]


class Notes(list[str]):
    """The lines of a setup log."""

    async def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
async def new_driver(cluster: Cluster) -> AsyncIterator[New]:
    made: list[KubernetesDriver] = []

    def new(**changes: Any) -> KubernetesDriver:
        fields = {"image": cluster.pod_image, "kubeconfig": cluster.kubeconfig, "allow_privileged": True, **changes}
        made.append(KubernetesDriver(KubernetesSettings(**fields)))
        return made[-1]

    yield new
    for each in made:
        await each.close()


@pytest.fixture
async def new_pod(new_driver: New) -> AsyncIterator[NewPod]:
    made = NewPod(new_driver(), image=BUSYBOX, network=Network.ISOLATED)
    yield made
    await made.remove_all()


def requests_of(cluster: Cluster, pattern: str) -> list[str]:
    return [each for each in cluster.fault("seen") if re.search(pattern, each)]


async def test_output_continues_over_connections_that_are_cut(new_pod: NewPod, cluster: Cluster) -> None:
    pod = await new_pod()
    script = "i=0; while [ $i -lt 3000 ]; do echo line number $i; i=$((i+1)); done; sleep 1; echo end"
    process = await pod.exec(Command(("/bin/sh",), script=script))
    output = await process.read()
    for _ in range(3):
        await asyncio.to_thread(cluster.fault, "cut")
        output += await process.read()
    while data := await process.read():
        output += data
    assert output == b"".join(b"line number %d\n" % number for number in range(3000)) + b"end\n"
    assert await process.wait() == ExitStatus(0)


async def test_archive_arrives_whole_over_a_cut_connection(new_pod: NewPod, cluster: Cluster) -> None:
    pod = await new_pod()
    await run(pod, "mkdir from; head -c 3000000 /dev/urandom > from/data")

    async def cut_twice() -> AsyncIterator[bytes]:
        count = 0
        async for chunk in pod.copy_out("from"):
            yield chunk
            count += 1
            if count in {5, 15}:
                await asyncio.to_thread(cluster.fault, "cut")

    await pod.copy_in("to", cut_twice())
    # `cmp` is not in the image.
    _, output = await run(pod, "wc() { cat < $1 | busybox md5sum; }; wc ~/from/data; wc ~/to/data", shell=("/bin/sh",))
    first, second = output.split(b"\n")[:2]
    assert first == second


async def test_pod_starts_after_a_compaction_and_refusals(new_pod: NewPod, cluster: Cluster) -> None:
    await new_pod(assignment_id="before")
    cluster.fault("compact")
    cluster.fault("refuse", request="^POST .*/pods$", status=429, reason="TooManyRequests", retry_after=1)
    cluster.fault("refuse", request="^GET .*watch=true", status=500, times=2)
    pod = await new_pod(assignment_id="after")
    assert (await run(pod, "echo on"))[1] == b"on\n"


async def test_pod_starts_after_the_api_server_was_away(new_pod: NewPod, cluster: Cluster) -> None:
    await new_pod()
    await asyncio.to_thread(cluster.fault, "away", seconds=2)
    async with asyncio.timeout(60):
        await new_pod()


async def test_pull_secret_lives_until_the_images_are_pulled(new_pod: NewPod, cluster: Cluster) -> None:
    cluster.fault("seen")
    await new_pod(registries={"registry.example.org": RegistryLogin("u", "open-sesame")})
    secrets = [each.partition(" ")[0] for each in requests_of(cluster, r"/secrets(/sluice-a1-|$)")]
    # Removed before it is made, too.
    assert secrets[-3:] == ["POST", "PATCH", "DELETE"]
    (pod,) = cluster.pods()
    assert pod["spec"]["imagePullSecrets"] == [{"name": pod["metadata"]["name"]}]
    assert "open-sesame" not in repr(pod)


async def test_pod_without_a_node_says_what_it_waits_for(new_driver: New) -> None:
    template = parse_template("spec: {nodeSelector: {pool: none}}")
    new_pod = NewPod(new_driver(template=template, start_seconds=3.0), image=BUSYBOX, network=Network.ISOLATED)
    notes = Notes()
    with pytest.raises(FailedPrecondition) as caught:
        await new_pod(notes)
    why = "no node for the pod yet: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    assert str(caught.value) == f"the pod did not start within 3 s: {why}"
    assert notes == [why]


async def test_image_that_cannot_be_pulled_is_tried_again_for_a_while(new_driver: New) -> None:
    # Nothing listens there.
    new_pod = NewPod(new_driver(pull_seconds=2.0), image="127.0.0.1:9/team/tool:1", network=Network.ISOLATED)
    with pytest.raises(FailedPrecondition, match=r'^the image "127.0.0.1:9/team/tool:1" cannot be pulled: ') as caught:
        await new_pod()
    assert caught.value.reason == "IMAGE"


async def test_pod_that_somebody_deletes_says_so(new_pod: NewPod, new_driver: New) -> None:
    pod = await new_pod()
    process = await pod.exec(Command(("/bin/sleep", "600")))
    await new_driver().remove_pod(SESSION, "a1")
    async with asyncio.timeout(60):
        status = await process.wait()
    assert status.code is None
    assert status.pod_ended == "ended"
    assert status.error


async def test_services_are_ready_before_steps(new_pod: NewPod) -> None:
    command = ("/bin/sh", "-c", "sleep 1; touch /started; while :; do echo $WORD | nc -l -p 8099; done")
    service = ServiceRequest(
        BUSYBOX,
        entrypoint=command,
        environment={"WORD": "served"},
        user="0",
        ready_command="test -e /started",
        ready_port=8099,
    )
    notes = Notes()
    pod = await new_pod(notes, services=(service,))
    assert (await run(pod, "nc 127.0.0.1 8099 < /dev/null"))[1] == b"served\n"
    assert notes[-2:] == ["waiting for 1 services", f"service 1 ({BUSYBOX}) is ready"]


async def test_service_that_ends_before_it_is_ready_shows_its_end(new_pod: NewPod) -> None:
    service = ServiceRequest(BUSYBOX, entrypoint=("/bin/sh", "-c", "echo no database here; exit 5"), ready_port=5432)
    notes = Notes()
    with pytest.raises(FailedPrecondition, match=r"service 1 .* ended with 5 before it was ready") as caught:
        await new_pod(notes, services=(service,))
    assert caught.value.reason == "SERVICE"
    assert "service 1 | no database here" in notes


async def test_user_of_a_service_is_a_number(new_pod: NewPod) -> None:
    with pytest.raises(FailedPrecondition, match="Kubernetes takes numbers only") as caught:
        await new_pod(services=(ServiceRequest(BUSYBOX, user="worker"),))
    assert caught.value.reason == "USER_UNSUPPORTED"


async def test_steps_run_as_the_named_user(new_pod: NewPod) -> None:
    pod = await new_pod(user="worker")
    assert (await run(pod, "id -u; id -G; echo $HOME"))[1] == b"1234\n1234 4321\n/home/worker\n"


async def test_next_process_of_an_executor_removes_what_is_left(new_driver: New, cluster: Cluster) -> None:
    owner = Owner("swept", "")
    await NewPod(new_driver(owner=owner), image=BUSYBOX, network=Network.ISOLATED)(session_id="swept")
    following = new_driver(owner=owner)
    assert list(await following.list_pods("swept")) == ["a1"]
    await following.sweep()
    async with asyncio.timeout(60):
        while await following.list_pods("swept"):  # noqa: ASYNC110 - of a server
            await asyncio.sleep(0.1)


async def test_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    driver = KubernetesDriver(KubernetesSettings("image", kubeconfig=tmp_path / "missing"))
    with pytest.raises(FailedPrecondition, match="no configuration of a cluster is found") as caught:
        await driver.probe()
    assert caught.value.reason == "DRIVER_UNAVAILABLE"
    await driver.close()
