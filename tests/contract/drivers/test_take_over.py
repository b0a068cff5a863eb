"""Pods whose executor was killed: what the next process of it finds, and what is left if none comes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sluiceway_executor.drivers.docker import DockerDriver, DockerSettings
from sluiceway_executor.drivers.docker_engine import DockerEngine
from sluiceway_executor.drivers.docker_images import PullPolicy
from sluiceway_executor.drivers.docker_request import Owner
from sluiceway_executor.drivers.host import HostDriver
from sluiceway_executor.drivers.kubernetes import KubernetesDriver, KubernetesSettings
from sluiceway_executor.drivers.port import Command, Driver, Pod, PodRequest, Process
from sluiceway_executor.drivers.sandbox import SandboxDriver
from tests.support.docker_daemon import DEBIAN
from tests.support.kubernetes_cluster import Cluster

ROOT = Path(__file__).parents[3]
COUNT = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; sleep 0.01; done; exit 3"
EARLIER = """
import asyncio, json, sys
from pathlib import Path
from sluiceway_common.foundation.file_lock import lock_file
from sluiceway_executor.drivers.port import Command, Network, PodRequest, ServiceRequest
from tests.contract.drivers.test_take_over import driver_of

async def main():
    work, kind, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    work.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_file(work.parent / "lock")
    driver = driver_of(kind, work, options["places"])
    await driver.sweep()
    network = "isolated" if kind == "kubernetes" else "none"
    image = options["places"].get("image", "host")
    # With Docker, the end of the first container leaves services and a network.
    services = (ServiceRequest(image, entrypoint=("/bin/sleep", "600")),) if kind == "docker" else ()
    network = "isolated" if services else network
    request = PodRequest(
        "a1", "s1", image=image, fence_after=options["fence"], network=Network(network), services=services
    )
    pod = await driver.create_pod(request)
    argv = ("/bin/sh", "-c", options["script"])
    process = await pod.exec(Command(argv, tty=options["tty"], key="step", environment={"MARK": options["mark"]}))
    data = b""
    while len(data) < options["read"]:
        data += await process.read()
    await process.acknowledge(options["acknowledge"])
    print(data.hex(), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@dataclass
class Earlier:
    """An executor that has begun a command, read some of its output, and was killed."""

    work_dir: Path
    mark: str
    read: bytes
    pids: list[int]


Begin = Callable[..., Awaitable[Earlier]]
Left = Callable[[], Awaitable[list[object]]]


def driver_of(kind: str, work_dir: Path, places: Mapping[str, str]) -> Driver:
    """Return a driver whose pods continue when its process is killed."""
    owner = owner_of(work_dir)
    if kind == "docker":
        return DockerDriver(
            work_dir, DockerSettings(url=places["url"], pull=PullPolicy.NEVER, owner=owner), outlives=True
        )
    if kind == "kubernetes":
        settings = KubernetesSettings(
            places["pod_image"], namespace=places["namespace"], kubeconfig=Path(places["kubeconfig"]), owner=owner
        )
        return KubernetesDriver(settings)
    return HostDriver(work_dir, outlives=True) if kind == "host" else SandboxDriver(work_dir, outlives=True)


def owner_of(work_dir: Path) -> Owner:
    """Return what is the same in each process of an executor."""
    journal_id = hashlib.sha256(str(work_dir).encode()).hexdigest()[:32]
    return Owner(journal_id, "", secret=b"s" * 32)


@pytest.fixture(params=["sandbox", "host", "docker", "kubernetes"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def places(request: pytest.FixtureRequest, kind: str) -> Mapping[str, str]:
    """Return where the engine or cluster is, and the image of pods."""
    if kind == "docker":
        return {"url": request.getfixturevalue("daemon").url, "image": DEBIAN}
    if kind == "kubernetes":
        found: Cluster = request.getfixturevalue("cluster")
        return {
            "image": found.task_image,
            "pod_image": found.pod_image,
            "namespace": found.namespace,
            "kubeconfig": str(found.kubeconfig),
        }
    return {}


@pytest.fixture
async def begin(tmp_path: Path, kind: str, places: Mapping[str, str]) -> AsyncIterator[Begin]:
    began: list[Earlier] = []

    async def begin_(script: str, **options: Any) -> Earlier:
        mark = f"{kind}-{os.getpid()}-{len(began)}"
        given = {"fence": 60, "tty": False, "read": 1, "acknowledge": 0, "script": script, "mark": mark, **options}
        given["places"] = dict(places)
        work_dir = tmp_path / "work" / kind
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            EARLIER,
            str(work_dir),
            kind,
            json.dumps(given),
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 22,
            cwd=ROOT,
        )
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        process.kill()
        await process.wait()
        assert line, "the executor failed"
        earlier = Earlier(work_dir, mark, bytes.fromhex(line.decode()), living(mark))
        began.append(earlier)
        return earlier

    yield begin_
    for earlier in began:
        for pid in launchers(earlier.work_dir):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def driver(tmp_path: Path, kind: str, places: Mapping[str, str]) -> AsyncIterator[Driver]:
    made = driver_of(kind, tmp_path / "work" / kind, places)
    yield made
    await made.close()


@pytest.fixture
async def left(kind: str, tmp_path: Path, places: Mapping[str, str], request: pytest.FixtureRequest) -> Left:
    """Return what is left of pods: folders, sockets, launchers and guards, containers, networks, pods of a cluster."""
    work_dir = tmp_path / "work" / kind
    journal_id = owner_of(work_dir).journal_id

    async def left_() -> list[object]:
        if kind == "docker":
            engine = DockerEngine(places["url"])
            try:
                label = f"sluiceway.journal={journal_id}"
                return [*await engine.containers(label), *await engine.networks(label), *guards(work_dir)]
            finally:
                await engine.close()
        if kind == "kubernetes":
            found: Cluster = request.getfixturevalue("cluster")
            labels = [each["metadata"]["labels"] for each in found.pods()]
            return [each for each in labels if each["sluiceway/journal"] == journal_id]
        return [*(work_dir / "pods").glob("*"), *(work_dir / "launchers").glob("*"), *launchers(work_dir)]

    return left_


def living(mark: str) -> list[int]:
    wanted = f"MARK={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def launchers(work_dir: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{work_dir}/launchers/".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def guards(work_dir: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f'"{work_dir}"'.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - processes of others cause no event
            await asyncio.sleep(0.02)


async def take_over(driver: Driver, offset: int) -> tuple[Pod, Process]:
    pods = await driver.take_over(["a1"])
    await driver.sweep()
    pod = pods["a1"]
    pod.resume(PodRequest("a1", "s1", fence_after=60))
    pod.feed(60)
    process = await pod.find("step", offset)
    assert process is not None
    return pod, process


async def rest(process: Process, offset: int) -> bytes:
    data = b""
    while some := await process.read():
        data += some
        await process.acknowledge(offset + len(data))
    return data


@pytest.mark.parametrize("tty", [False, True], ids=["pipe", "terminal"])
async def test_output_continues_at_the_byte_where_it_was_stored(begin: Begin, driver: Driver, tty: bool) -> None:
    earlier = await begin(COUNT, tty=tty, read=500, acknowledge=123)
    pod, process = await take_over(driver, 300)
    data = earlier.read[:300] + await rest(process, 300)
    expected = "".join(f"line {number}\n" for number in range(1, 301)).encode()
    assert data.replace(b"\r", b"") == expected
    assert (await process.wait()).code == 3
    await process.forget()
    assert await pod.find("step", 0) is None
    await pod.remove()
    assert not living(earlier.mark)
    await until(lambda: not launchers(earlier.work_dir))


async def test_end_that_nobody_saw_is_reported(begin: Begin, driver: Driver) -> None:
    earlier = await begin("echo begun; (sleep 0.3; echo ended; exit 7)")
    await until(lambda: not living(earlier.mark))
    pod, process = await take_over(driver, 0)
    assert await rest(process, 0) == b"begun\nended\n"
    assert (await process.wait()).code == 7
    # The pod takes commands as before.
    again = await pod.exec(Command(("/bin/sh", "-c", "echo $0"), key="next"))
    assert await rest(again, 0) == b"/bin/sh\n"


async def test_stop_ends_a_step_of_the_process_before(begin: Begin, driver: Driver) -> None:
    earlier = await begin("trap 'echo ends; exit 9' TERM; echo begun; while :; do sleep 0.05; done")
    _, process = await take_over(driver, 0)
    stopping = asyncio.create_task(process.stop(20))
    data = await rest(process, 0)
    assert data.startswith(b"begun\n")
    assert data.endswith(b"ends\n")
    await stopping
    assert (await process.wait()).code == 9
    assert not living(earlier.mark)


async def test_command_is_held_up_while_nobody_acknowledges(begin: Begin, driver: Driver) -> None:
    script = "echo begun; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"
    await begin(script)
    _, process = await take_over(driver, 0)
    data = await rest(process, 0)
    assert data == b"begun\n" + b"x" * 3_000_000 + b"\nend\n"


async def test_pods_end_when_no_executor_comes(begin: Begin, kind: str, left: Left) -> None:
    earlier = await begin("echo begun; setsid sleep 600 & sleep 600", fence=3)
    assert earlier.pids
    await until(lambda: not living(earlier.mark))
    if kind == "kubernetes":
        # The cluster keeps a pod that has ended until somebody deletes it: the next process, or a sibling.
        return
    async with asyncio.timeout(60):
        while await left():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)
    assert str(earlier.work_dir) not in Path("/proc/self/mountinfo").read_text()


async def test_pod_that_is_not_wanted_is_removed(begin: Begin, driver: Driver, left: Left) -> None:
    earlier = await begin("echo begun; setsid sleep 600 & sleep 600")
    assert await driver.take_over(["another"]) == {}
    await driver.sweep()
    await until(lambda: not living(earlier.mark))
    await driver.close()
    async with asyncio.timeout(60):
        while await left():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("kind", ["sandbox", "host"])
async def test_end_of_the_launcher_ends_its_pods(begin: Begin, driver: Driver) -> None:
    earlier = await begin("echo begun; setsid sleep 600 & sleep 600")
    pod, process = await take_over(driver, 0)
    for pid in launchers(earlier.work_dir):
        os.kill(pid, signal.SIGKILL)
    assert await rest(process, 0) == b"begun\n"
    assert (await process.wait()).pod_ended == "ended"
    await pod.remove()
    await until(lambda: not living(earlier.mark))
    assert not list((earlier.work_dir / "pods").iterdir())


async def test_pods_of_an_unknown_protocol_are_ended(
    begin: Begin, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = await begin("echo begun; setsid sleep 600 & sleep 600")
    monkeypatch.setattr("sluiceway_executor.drivers.launcher.PROTOCOL", 2)
    for module in ("docker", "kubernetes"):
        monkeypatch.setattr(f"sluiceway_executor.drivers.{module}.CONTAINER_PROTOCOL", 3)
    assert await driver.take_over(["a1"]) == {}
    await driver.sweep()
    await until(lambda: not living(earlier.mark))
    assert not launchers(earlier.work_dir)
