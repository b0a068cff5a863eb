"""Each driver that this machine can run, and pods of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_executor.drivers.host import HostDriver
from sluiceway_executor.drivers.port import Driver, Pod
from sluiceway_executor.drivers.sandbox import SandboxDriver
from tests.support.pods import REQUEST, NewPod


@pytest.fixture(params=["sandbox", "host"])
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Driver]:
    made: Driver = HostDriver(tmp_path) if request.param == "host" else SandboxDriver(tmp_path)
    yield made
    made.close()


@pytest.fixture
async def new_pod(driver: Driver) -> AsyncIterator[NewPod]:
    pods: list[Pod] = []

    async def make(**changes: object) -> Pod:
        pod = await driver.create_pod(replace(REQUEST, **changes))  # type: ignore[arg-type]
        pods.append(pod)
        return pod

    yield make
    for pod in pods:
        await pod.remove()
