"""What the driver `docker` does beside what every driver does: images, users, services, labels, and what is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers.docker import DockerDriver, DockerSettings, PullPolicy
from sluiceway_executor.drivers.docker_engine import DockerEngine
from sluiceway_executor.drivers.docker_request import Owner
from sluiceway_executor.drivers.pod_network import own_networks
from sluiceway_executor.drivers.port import Command, ExitStatus, Limits, Network, Pod, ServiceRequest, TmpfsMount
from tests.support.docker_daemon import BUSYBOX, DEBIAN, DockerDaemon
from tests.support.pods import SESSION, NewPod, marked, run, until

pytestmark = pytest.mark.system

LABEL = f"sluiceway.session={SESSION}"
SERVER = "while :; do echo served | nc -l -p 8099; done"


@pytest.fixture
async def driver(daemon: DockerDaemon, tmp_path: Path) -> AsyncIterator[DockerDriver]:
    settings = DockerSettings(url=daemon.url, pull=PullPolicy.NEVER, allow_privileged=True)
    made = DockerDriver(tmp_path, settings)
    yield made
    await made.close()


@pytest.fixture
async def engine(daemon: DockerDaemon) -> AsyncIterator[DockerEngine]:
    opened = DockerEngine(daemon.url)
    yield opened
    await opened.close()


class Notes(list[str]):
    """The lines of a setup log."""

    async def __call__(self, text: str) -> None:
        self.append(text)


async def test_image_needs_nothing_but_what_steps_use(new_pod: NewPod) -> None:
    pod = await new_pod(image=BUSYBOX)
    status, output = await run(pod, "echo $HOME $USER; pwd; test -d /tmp && echo yes")
    assert (status, output) == (ExitStatus(0), b"/root root\n/root\nyes\n")


async def test_digests_of_all_images_of_a_pod_are_known(new_pod: NewPod, engine: DockerEngine) -> None:
    service = ServiceRequest(image=DEBIAN, entrypoint=("sleep", "60"))
    pod = await new_pod(image=BUSYBOX, services=(service,))
    expected = [(name, ((await engine.image(name)) or {})["Id"]) for name in (BUSYBOX, DEBIAN)]
    assert [(image.name, image.digest) for image in pod.images] == expected


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param("", b"0 0 /root\n", id="the image's"),
        pytest.param("worker", b"1234 1234 1234 4321 /home/worker\n", id="a name, with its groups"),
        pytest.param("1234", b"1234 1234 1234 4321 /home/worker\n", id="the uid of a name"),
        pytest.param("worker:extra", b"1234 4321 /home/worker\n", id="another group"),
        pytest.param("4567", b"4567 0 /home/sluice\n", id="a uid without a name"),
        pytest.param("4567:89", b"4567 89 /home/sluice\n", id="a uid and a gid"),
    ],
)
async def test_commands_run_as_the_user_in_a_home_of_its_own(new_pod: NewPod, user: str, expected: bytes) -> None:
    pod = await new_pod(image=BUSYBOX, user=user)
    status, output = await run(pod, "touch ~/own; mkdir -p ~/project; echo $(id -u) $(id -G) $HOME")
    assert (status, sorted(set(output.split()))) == (ExitStatus(0), sorted(set(expected.split())))


async def test_step_of_another_user_has_its_home(new_pod: NewPod) -> None:
    pod = await new_pod(image=BUSYBOX)
    assert (await run(pod, "id -un; echo $HOME", user="worker"))[1] == b"worker\n/home/worker\n"
    assert (await run(pod, "id -un"))[1] == b"root\n"


async def test_ordinary_user_cannot_end_the_first_process(new_pod: NewPod) -> None:
    pod = await new_pod(image=BUSYBOX, user="worker")
    status, _ = await run(pod, "kill -9 1 2>/dev/null || :; cat /proc/1/environ > /dev/null 2>&1 || exit 3")
    assert status == ExitStatus(3)
    assert (await run(pod, "echo usable"))[1] == b"usable\n"


async def test_unknown_group_and_user_are_named(new_pod: NewPod) -> None:
    with pytest.raises(FailedPrecondition, match='the image has no group "nobodies"'):
        await new_pod(image=BUSYBOX, user="worker:nobodies")
    with pytest.raises(FailedPrecondition, match='the image has no user "somebody"'):
        await new_pod(image=BUSYBOX, user="somebody")


async def test_image_that_the_engine_lacks_is_not_pulled_if_never(new_pod: NewPod) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await new_pod(image="sluice-test/missing:7")
    assert caught.value.reason == "IMAGE"
    assert str(caught.value) == (
        'this executor pulls no images (--docker-pull never), and its engine does not have "sluice-test/missing:7"'
    )


async def test_image_that_no_registry_gives_fails_with_its_name(daemon: DockerDaemon, tmp_path: Path) -> None:
    driver = DockerDriver(tmp_path, DockerSettings(url=daemon.url))
    notes = Notes()
    try:
        # Nothing listens there.
        request = NewPod(driver, image="127.0.0.1:9/team/tool:1").request()
        with pytest.raises(
            FailedPrecondition, match=r'the image "127.0.0.1:9/team/tool:1" cannot be pulled: '
        ) as caught:
            await driver.create_pod(request, notes)
    finally:
        await driver.close()
    assert caught.value.reason == "IMAGE"
    assert notes == ["pulling the image 127.0.0.1:9/team/tool:1"]


async def test_privileged_containers_need_the_operator(daemon: DockerDaemon, tmp_path: Path) -> None:
    driver = DockerDriver(tmp_path, DockerSettings(url=daemon.url, pull=PullPolicy.NEVER))
    try:
        new_pod = NewPod(driver, image=BUSYBOX)
        for changes in ({"privileged": True}, {"services": (ServiceRequest(BUSYBOX, privileged=True),)}):
            with pytest.raises(FailedPrecondition) as caught:
                await new_pod(**changes)
            assert caught.value.reason == "PRIVILEGED_UNSUPPORTED"
    finally:
        await driver.close()


async def test_capabilities_of_a_task_are_few(new_pod: NewPod) -> None:
    has = await capabilities_of(await new_pod(image=BUSYBOX))
    net_admin, net_raw, sys_admin = 1 << 12, 1 << 13, 1 << 21
    assert has & (net_raw | net_admin | sys_admin) == 0


async def test_privileged_task_has_more_capabilities(new_pod: NewPod) -> None:
    try:
        pod = await new_pod(image=BUSYBOX, privileged=True)
    except FailedPrecondition as error:
        if "unable to apply caps" not in str(error):
            raise
        pytest.skip("this machine's root lacks capabilities that privileged containers have")
    assert await capabilities_of(pod) & (1 << 21)


async def capabilities_of(pod: Pod) -> int:
    return int((await run(pod, "cat /proc/self/status"))[1].partition(b"CapEff:")[2].split()[0], 16)


async def test_network_none_has_only_a_loopback(new_pod: NewPod) -> None:
    pod = await new_pod(image=BUSYBOX, network=Network.NONE)
    assert (await run(pod, "ls /sys/class/net"))[1].split() == [b"lo"]


async def test_isolated_pods_have_networks_of_their_own(new_pod: NewPod, engine: DockerEngine) -> None:
    for number in (1, 2):
        pod = await new_pod(image=BUSYBOX, network=Network.ISOLATED, assignment_id=f"n{number}")
        assert b"eth0" in (await run(pod, "ls /sys/class/net"))[1].split()
    networks = await engine.networks(LABEL)
    assert len({each["IPAM"]["Config"][0]["Subnet"] for each in networks}) == 2


async def test_isolated_pod_has_no_route_to_its_machine(new_pod: NewPod, engine: DockerEngine) -> None:
    # On all addresses of this machine, so also on that of the pod's network.
    server = await asyncio.start_server(lambda _, writer: writer.close(), "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        pod = await new_pod(network=Network.ISOLATED)
        (network,) = await engine.networks(LABEL)
        own = [each.removesuffix("/32") for each in own_networks() if each.endswith("/32")]
        assert own
        for address in ("127.0.0.1", network["IPAM"]["Config"][0]["Gateway"], *own):
            _, output = await run(pod, f"exec 3<>/dev/tcp/{address}/{port} && echo reached", shell=("/bin/bash",))
            assert b"reached" not in output, address
            assert b"No route to host" in output or b"Connection refused" in output, output
        # By this name the firewall of the machine knows the bridge.
        assert Path("/sys/class/net", network["Options"]["com.docker.network.bridge.name"], "bridge").is_dir()
        assert network["Options"]["com.docker.network.bridge.name"].startswith("sl-")
    finally:
        server.close()
    assert await capabilities_of(pod) & (1 << 12) == 0


@pytest.mark.parametrize(
    "ready",
    [
        pytest.param({"ready_port": 8099}, id="a port"),
        pytest.param({"ready_command": "test -e /started"}, id="a command"),
        pytest.param({"ready_port": 8099, "ready_command": "test -e /started"}, id="both"),
    ],
)
@pytest.mark.parametrize("network", [Network.NONE, Network.ISOLATED])
async def test_service_is_waited_for_and_is_on_localhost(
    driver: DockerDriver, new_pod: NewPod, ready: dict[str, object], network: Network
) -> None:
    # With the command it is up only when the command can know.
    script = f"sleep 1; {SERVER} & sleep 0.5; touch /started; wait"
    service = ServiceRequest(BUSYBOX, entrypoint=("/bin/sh", "-c", script), environment={"A": "b"}, **ready)  # type: ignore[arg-type]
    notes = Notes()
    pod = await new_pod(notes, image=BUSYBOX, network=network, services=(service,))
    assert (await run(pod, "nc 127.0.0.1 8099 < /dev/null"))[1] == b"served\n"
    assert notes == ["starting 1 services", f"service 1 ({BUSYBOX}) is ready"]


async def test_service_that_ends_before_it_is_ready_shows_its_end(
    driver: DockerDriver, new_pod: NewPod, engine: DockerEngine
) -> None:
    service = ServiceRequest(BUSYBOX, entrypoint=("/bin/sh", "-c", "echo no database here; exit 5"), ready_port=5432)
    notes = Notes()
    with pytest.raises(FailedPrecondition, match=r"service 1 .* ended with 5 before it was ready") as caught:
        await new_pod(notes, image=BUSYBOX, services=(service,))
    assert caught.value.reason == "SERVICE"
    assert "service 1 | no database here" in notes
    assert await engine.containers(LABEL) == []


async def test_service_is_no_part_of_the_steps_processes(new_pod: NewPod) -> None:
    service = ServiceRequest(BUSYBOX, entrypoint=("/bin/sleep", "600"), environment={"MARK": "of-the-service"})
    pod = await new_pod(image=BUSYBOX, services=(service,))
    await pod.stop(0)
    assert len(marked("MARK=of-the-service")) == 1
    await pod.remove()
    await until(lambda: not marked("MARK=of-the-service"))


async def test_memory_hog_among_other_processes_is_told_as_such(new_pod: NewPod) -> None:
    pod = await new_pod(limits=Limits(memory_bytes=100 << 20))
    status, _ = await run(pod, "/usr/bin/python3 -c 'x = bytearray(300 << 20)'")
    assert (status.code, status.limit) == (137, "memory")
    assert (await run(pod, "echo usable"))[1] == b"usable\n"


async def test_tmpfs_can_be_written_and_executed_by_any_user(new_pod: NewPod) -> None:
    pod = await new_pod(image=BUSYBOX, user="worker", tmpfs=(TmpfsMount("/scratch", 8 << 20),))
    status, _ = await run(pod, "cp /bin/busybox /scratch/echo && /scratch/echo works")
    assert status == ExitStatus(0)


async def test_labels_say_whose_it_is(daemon: DockerDaemon, tmp_path: Path, engine: DockerEngine) -> None:
    journal = f"j-{os.getpid()}"
    label = f"sluiceway.journal={journal}"
    owner = Owner(journal, "", executor_id="e1", group="builders", server="server:7070")
    driver = DockerDriver(tmp_path, DockerSettings(url=daemon.url, pull=PullPolicy.NEVER, owner=owner))
    new_pod = NewPod(driver, image=BUSYBOX)
    try:
        labels = {"run": "r1", "task": "t1", "attempt": "3.1"}
        service = ServiceRequest(BUSYBOX, entrypoint=("/bin/sleep", "600"))
        await new_pod(network=Network.ISOLATED, labels=labels, services=(service,))
        found = [*await engine.containers(label), *await engine.networks(label)]
        assert len(found) == 3
        for each in found:
            assert {name: each["Labels"][f"sluiceway.{name}"] for name in labels} == labels
            assert each["Labels"]["sluiceway.executor"] == "e1"
            assert each["Labels"]["sluiceway.group"] == "builders"
            assert each["Labels"]["sluiceway.session"] == SESSION
            assert each["Labels"]["sluiceway.installation"] == "server:7070"
    finally:
        await driver.close()
    assert await engine.containers(label) == await engine.networks(label) == []


ORPHANED = f"{SESSION}-orphan"
ORPHAN = """
import asyncio, sys
from pathlib import Path
from sluiceway_executor.drivers.docker import DockerDriver, DockerSettings
from sluiceway_executor.drivers.docker_request import Owner
from sluiceway_executor.drivers.port import *
async def main():
    owner = Owner(sys.argv[3], "")
    driver = DockerDriver(Path(sys.argv[1]), DockerSettings(url=sys.argv[2], owner=owner))
    service = ServiceRequest(sys.argv[4], entrypoint=("/bin/sleep", "600"))
    pod = await driver.create_pod(PodRequest("o1", sys.argv[5], image=sys.argv[4], services=(service,)))
    process = await pod.exec(Command(("/bin/sleep", "600")))
    print("on", flush=True)
    await process.wait()
asyncio.run(main())
"""


async def orphan(daemon: DockerDaemon, folder: Path, journal: str) -> asyncio.subprocess.Process:
    """Run a process with a pod of a service and a network."""
    arguments = (str(folder), daemon.url, journal, BUSYBOX, ORPHANED)
    executor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORPHAN, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert executor.stdout is not None
    assert await executor.stdout.readline()
    return executor


async def all_of(engine: DockerEngine, label: str) -> int:
    return len(await engine.containers(label)) + len(await engine.networks(label))


async def test_nothing_is_left_of_an_executor_that_is_killed(
    daemon: DockerDaemon, tmp_path: Path, engine: DockerEngine
) -> None:
    label = f"sluiceway.journal=killed-{os.getpid()}"
    executor = await orphan(daemon, tmp_path, label.partition("=")[2])
    assert await all_of(engine, label) == 3
    executor.kill()
    await executor.wait()
    async with asyncio.timeout(60):
        while await all_of(engine, label):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)


async def test_next_process_of_an_executor_removes_what_is_left(
    daemon: DockerDaemon, tmp_path: Path, engine: DockerEngine
) -> None:
    journal = f"swept-{os.getpid()}"
    executor = await orphan(daemon, tmp_path, journal)
    # It is stopped, so neither it nor its guard removes anything.
    executor.send_signal(19)
    driver = DockerDriver(tmp_path, DockerSettings(url=daemon.url, owner=Owner(journal, "")))
    try:
        assert list(await driver.list_pods(ORPHANED)) == ["o1"]
        await driver.sweep()
        assert list(await driver.list_pods(ORPHANED)) == []
        assert await all_of(engine, f"sluiceway.journal={journal}") == 0
    finally:
        await driver.close()
        # It may have ended, since its pod has.
        with contextlib.suppress(ProcessLookupError):
            executor.kill()
        await executor.wait()


async def test_sibling_removes_the_pods_of_a_session(
    driver: DockerDriver, daemon: DockerDaemon, tmp_path: Path, new_pod: NewPod
) -> None:
    executor = await orphan(daemon, tmp_path, f"sibling-{os.getpid()}")
    try:
        await new_pod(image=BUSYBOX)
        for assignment in await driver.list_pods(ORPHANED):
            await driver.remove_pod(ORPHANED, assignment)
        assert list(await driver.list_pods(ORPHANED)) == []
        assert list(await driver.list_pods(SESSION)) == ["a1"]
    finally:
        # It may have ended, since its pod has.
        with contextlib.suppress(ProcessLookupError):
            executor.kill()
        await executor.wait()


async def test_many_pods_at_a_time(new_pod: NewPod) -> None:
    async def one(number: int) -> bytes:
        pod: Pod = await new_pod(image=BUSYBOX, network=Network.ISOLATED, assignment_id=f"m{number}")
        return (await run(pod, f"echo {number}"))[1]

    assert await asyncio.gather(*(one(number) for number in range(6))) == [b"%d\n" % number for number in range(6)]


async def test_engine_that_is_not_there_is_told(driver: DockerDriver, tmp_path: Path) -> None:
    absent = DockerDriver(tmp_path, DockerSettings(url=f"unix://{tmp_path}/no.sock"))
    with pytest.raises(
        FailedPrecondition, match=f"container engine at unix://{tmp_path}/no.sock does not respond"
    ) as e:
        await absent.probe()
    assert e.value.reason == "DRIVER_UNAVAILABLE"
    await absent.close()


async def test_container_that_is_removed_by_somebody_ends_the_step(new_pod: NewPod, engine: DockerEngine) -> None:
    pod = await new_pod(image=DEBIAN)
    process = await pod.exec(Command(argv=("/bin/sleep", "600")))
    (container,) = await engine.containers(LABEL)
    await engine.remove_container(str(container["Id"]))
    async with asyncio.timeout(60):
        assert await process.read() == b""
        assert (await process.wait()).pod_ended == "ended"
