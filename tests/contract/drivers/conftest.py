"""Each driver that this machine can run, and pods of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway_executor.drivers.docker import DockerDriver, DockerSettings
from sluiceway_executor.drivers.docker_images import PullPolicy
from sluiceway_executor.drivers.host import HostDriver
from sluiceway_executor.drivers.kubernetes import KubernetesDriver, KubernetesSettings
from sluiceway_executor.drivers.port import Driver, Network
from sluiceway_executor.drivers.sandbox import SandboxDriver
from tests.support.docker_daemon import DEBIAN, DockerDaemon
from tests.support.kubernetes_cluster import Cluster
from tests.support.pods import NewPod


@pytest.fixture(params=["sandbox", "host", "docker", "kubernetes"])
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Driver]:
    made: Driver
    if request.param == "docker":
        running: DockerDaemon = request.getfixturevalue("daemon")
        made = DockerDriver(tmp_path, DockerSettings(url=running.url, pull=PullPolicy.NEVER, allow_privileged=True))
    elif request.param == "kubernetes":
        found: Cluster = request.getfixturevalue("cluster")
        settings = KubernetesSettings(
            found.pod_image, namespace=found.namespace, kubeconfig=found.kubeconfig, allow_privileged=True
        )
        made = KubernetesDriver(settings)
    else:
        made = HostDriver(tmp_path) if request.param == "host" else SandboxDriver(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def new_pod(request: pytest.FixtureRequest, driver: Driver) -> AsyncIterator[NewPod]:
    if driver.name == "docker":
        url = request.getfixturevalue("daemon").url
        made = NewPod(driver, image=DEBIAN, settings=f'DockerSettings(url="{url}")')
    elif driver.name == "kubernetes":
        # The cluster makes the network of a pod, which cannot be left out.
        image = request.getfixturevalue("cluster").task_image
        made = NewPod(driver, image=image, network=Network.ISOLATED)
    else:
        made = NewPod(driver)
    yield made
    await made.remove_all()
