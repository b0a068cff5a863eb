"""Pods of the sandbox whose root is an image of an OCI layout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.machine import machine_archs
from sluiceway_executor.drivers.sandbox import SandboxDriver, SandboxSettings
from tests.support.docker_daemon import busybox_root
from tests.support.oci import Layout, layer
from tests.support.pods import REQUEST, run

pytestmark = pytest.mark.system


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[SandboxDriver]:
    (tmp_path / "images").mkdir()
    made = SandboxDriver(tmp_path / "work", SandboxSettings(image_dir=tmp_path / "images"))
    yield made
    await made.close()


@pytest.fixture
def image(tmp_path: Path, driver: SandboxDriver) -> str:
    layout = Layout(tmp_path / "images" / "tools")
    upper = layer(("usr", None), ("usr/of-image", b"yes"), ("opt", None), ("opt/x", b"x"))
    env = ["PATH=/opt/bin:/bin", "HOME=/root", "FROM_IMAGE=1"]
    layout.add([busybox_root(), upper], tag="1.36", arch=machine_archs()[0], env=env)
    return f"{layout.folder}:1.36"


async def test_commands_run_in_the_image(driver: SandboxDriver, image: str) -> None:
    pod = await driver.create_pod(replace(REQUEST, image=image, environment={"FROM_TASK": "2"}))
    try:
        script = 'cat /usr/of-image; echo " $PATH $HOME $FROM_IMAGE $FROM_TASK"; ls /; touch /opt/y || echo read-only'
        status, output = await run(pod, script)
    finally:
        await pod.remove()
    text = output.decode()
    assert status.code == 0, text
    assert text.startswith("yes /opt/bin:/bin /home/sluice 1 2\n")
    assert "read-only" in text
    assert "root" in text.splitlines()


async def test_second_pod_uses_the_unpacked_image(driver: SandboxDriver, image: str, tmp_path: Path) -> None:
    for number in range(2):
        pod = await driver.create_pod(replace(REQUEST, assignment_id=f"a{number}", image=image))
        await pod.remove()
    assert len(list((tmp_path / "work" / "images").iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{images}/tools:2", 'has no image with the tag "2"'),
        ("{images}/other", "there is no image folder"),
        ("{images}/../work/images", "not below"),
    ],
)
async def test_image_that_is_not_there_is_refused(
    driver: SandboxDriver, image: str, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "work" / "images").mkdir(parents=True, exist_ok=True)
    (tmp_path / "work" / "images" / "oci-layout").touch()
    with pytest.raises(FailedPrecondition, match=message) as refused:
        await driver.create_pod(replace(REQUEST, image=name.format(images=tmp_path / "images")))
    assert refused.value.reason == "IMAGE"
