"""Images come from a registry: with and without credentials, by policy, with progress. A real registry serves them."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.docker import DockerDriver, DockerSettings, PullPolicy
from sluiceway_executor.drivers.docker_engine import DockerEngine
from sluiceway_executor.drivers.port import PodRequest, RegistryLogin
from tests.support.docker_daemon import BUSYBOX, DockerDaemon
from tests.support.pods import REQUEST, run

pytestmark = pytest.mark.system

# `open-sesame` in bcrypt.
HTPASSWD = "user:$2b$05$D1rdFdBVSVCXTUeRlDSC9OCQgFtNvD1T7VVjPuo4akjjuk9s0Ifuy"
LOGIN = RegistryLogin("user", "open-sesame")


@pytest.fixture(scope="module")
def registry(daemon: DockerDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry with one image, which wants credentials."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    folder = tmp_path_factory.mktemp("registry")
    (folder / "htpasswd").write_text(HTPASSWD + "\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '{address}'}}\nauth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        _wait_for(address, process, folder / "log")
        _push(daemon, BUSYBOX, f"{address}/team/tool", "1")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, _, port = address.partition(":")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.05)
    raise AssertionError("the registry does not listen")


def _push(daemon: DockerDaemon, image: str, repository: str, tag: str) -> None:
    body = f'{{"username": "{LOGIN.username}", "password": "{LOGIN.password}"}}'
    auth = base64.urlsafe_b64encode(body.encode()).decode()
    daemon.call("POST", f"/images/{image}/tag?repo={repository}&tag={tag}", status=201)
    pushed = daemon.call("POST", f"/images/{repository}/push?tag={tag}", headers={"X-Registry-Auth": auth})
    assert b"error" not in pushed, pushed
    daemon.call("DELETE", f"/images/{repository}:{tag}")


@pytest.fixture
async def image(registry: str, daemon: DockerDaemon) -> AsyncIterator[str]:
    """The name of an image that the engine does not have, and that needs credentials."""
    name = f"{registry}/team/tool:1"
    yield name
    engine = DockerEngine(daemon.url)
    with contextlib.suppress(FailedPrecondition):
        if await engine.image(name) is not None:
            daemon.call("DELETE", f"/images/{name}")
    await engine.close()


async def pull(daemon: DockerDaemon, folder: Path, request: PodRequest, policy: PullPolicy) -> list[str]:
    """Make a pod and run a command in it; return the notes."""
    notes: list[str] = []

    async def note(text: str) -> None:
        notes.append(text)

    driver = DockerDriver(folder, DockerSettings(url=daemon.url, pull=policy))
    try:
        pod = await driver.create_pod(request, note)
        assert (await run(pod, "echo pulled"))[1] == b"pulled\n"
    finally:
        await driver.close()
    return notes


async def test_image_is_pulled_once_with_its_credentials(
    daemon: DockerDaemon, registry: str, image: str, tmp_path: Path
) -> None:
    request = replace(REQUEST, image=image, registries={registry: LOGIN})
    first = await pull(daemon, tmp_path, request, PullPolicy.MISSING)
    assert first[0] == f"pulling the image {image} with the credentials of {registry}"
    assert first[-1].startswith(f"pulled the image {image}: ")
    assert "open-sesame" not in repr((request, *first))
    assert await pull(daemon, tmp_path, request, PullPolicy.MISSING) == []
    assert await pull(daemon, tmp_path, request, PullPolicy.NEVER) == []
    assert len(await pull(daemon, tmp_path, request, PullPolicy.ALWAYS)) >= 2


@pytest.mark.parametrize(
    "logins",
    [
        pytest.param({}, id="none"),
        pytest.param({"other.example.org": LOGIN}, id="of another registry"),
        pytest.param("wrong", id="a wrong password"),
    ],
)
async def test_image_without_the_right_credentials_fails(
    daemon: DockerDaemon, registry: str, image: str, tmp_path: Path, logins: dict[str, RegistryLogin] | str
) -> None:
    given = {registry: RegistryLogin("user", "wrong")} if isinstance(logins, str) else logins
    request = replace(REQUEST, image=image, registries=given)
    with pytest.raises(FailedPrecondition, match=f'the image "{image}" cannot be pulled: ') as caught:
        await pull(daemon, tmp_path, request, PullPolicy.MISSING)
    assert caught.value.reason == "IMAGE"


async def test_tag_that_the_registry_lacks_is_named(daemon: DockerDaemon, registry: str, tmp_path: Path) -> None:
    image = f"{registry}/team/tool:{os.getpid()}"
    request = replace(REQUEST, image=image, registries={f"https://{registry}": LOGIN})
    with pytest.raises(FailedPrecondition, match=r"not found|unknown") as caught:
        await pull(daemon, tmp_path, request, PullPolicy.MISSING)
    assert image in str(caught.value)
