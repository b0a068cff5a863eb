"""What a task reaches by network: outside, but neither its machine nor another task.

"Outside" is a network namespace beside this machine's, with a cable between them: a host that this machine reaches as
it reaches any other.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_executor.drivers import pod_network, refusal
from sluiceway_executor.drivers.port import Limits, Network, Pod, PodRequest
from sluiceway_executor.drivers.sandbox import SandboxDriver, SandboxSettings
from tests.support.pods import python_in

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(pod_network.missing_for_isolation() != "", reason=pod_network.missing_for_isolation()),
]

REQUEST = PodRequest(assignment_id="a1", session_id="s1", limits=Limits(memory_bytes=1 << 30))

# Reports, for each address and port, whether a stream connects; then bound to the device that leads outside.
CONNECT = """
import socket, sys
for address, port in {targets!r}:
    for device in (b"", b"tap0"):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        s.settimeout(1)
        try:
            if device:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            s.connect((address, port))
            print("reached", address, port, device.decode(), s.recv(5).decode())
        except OSError as error:
            print("refused", address, port, device.decode())
"""

SEND = """
import socket
for address in {addresses!r}:
    for device in (b"", b"tap0"):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            if device:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            for _ in range(3):
                s.sendto(b"attack", (address, {port}))
        except OSError:
            pass
print("sent")
"""


class _Greeting(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"hello")


@contextlib.contextmanager
def greeting(address: str) -> Iterator[int]:
    """Serve `hello` at an address of this machine; gives the port."""

    class Server(socketserver.ThreadingTCPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        daemon_threads = True

    with Server((address, 0), _Greeting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def own_addresses() -> list[str]:
    """The addresses of this machine that are not loopback's."""
    networks = pod_network.machine_addresses(Path("/proc/net/fib_trie").read_text())
    return [network.removesuffix("/32") for network in networks if network.endswith("/32")]


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[SandboxDriver]:
    made = SandboxDriver(tmp_path / "work")
    yield made
    await made.close()


@pytest.fixture
async def pod(driver: SandboxDriver) -> AsyncIterator[Pod]:
    made = await driver.create_pod(REQUEST)
    yield made
    await made.remove()


async def test_a_task_connects_to_nothing_of_its_machine(pod: Pod) -> None:
    addresses = ["127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.2.2", "10.0.2.3", "::1", *own_addresses()]
    with greeting("0.0.0.0") as everywhere, greeting("127.0.0.1") as loopback, greeting("::") as six:
        with socket.create_connection(("127.0.0.1", loopback)) as here:
            assert here.recv(5) == b"hello"
        targets = [(address, port) for address in addresses for port in (everywhere, loopback, six)]
        said = await python_in(pod, CONNECT.format(targets=targets))
    assert "reached" not in said
    assert said.count("refused") == 2 * len(targets)


async def test_no_datagram_of_a_task_arrives_at_its_machine(pod: Pod) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("0.0.0.0", 0))
        listening.settimeout(1)
        port = listening.getsockname()[1]
        addresses = ["127.0.0.1", "10.0.2.2", "10.0.2.255", "255.255.255.255", *own_addresses()]
        assert "sent" in await python_in(pod, SEND.format(addresses=addresses, port=port))
        with pytest.raises(TimeoutError):
            listening.recv(100)
        # The test would notice: this machine itself is heard.
        listening.sendto(b"here", ("127.0.0.1", port))
        assert listening.recv(100) == b"here"


async def test_cloud_metadata_addresses_are_unreachable(pod: Pod) -> None:
    said = await python_in(pod, CONNECT.format(targets=[("169.254.169.254", 80), ("169.254.1.1", 80)]))
    assert "reached" not in said
    assert said.count("refused") == 4


async def test_a_task_cannot_take_a_port_of_its_machine(pod: Pod) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = (
        f"import socket\ns = socket.create_server(('0.0.0.0', {port}))\nprint('listening', flush=True)\ns.accept()"
    )
    process = await python_in(pod, program, wait=False)
    assert await process.read() == b"listening\n"
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 2):
        pass


async def test_tasks_do_not_reach_each_other(driver: SandboxDriver, pod: Pod) -> None:
    other = await driver.create_pod(replace(REQUEST, assignment_id="a2"))
    try:
        program = (
            "import socket\ns = socket.create_server(('0.0.0.0', 7171))\nprint('listening', flush=True)\ns.accept()"
        )
        process = await python_in(other, program, wait=False)
        assert await process.read() == b"listening\n"
        targets = [("127.0.0.1", 7171), ("10.0.2.100", 7171), ("10.0.2.2", 7171)]
        said = await python_in(pod, CONNECT.format(targets=targets))
        assert "reached" not in said
    finally:
        await other.remove()


@dataclass(frozen=True)
class Cable:
    """The addresses of the two ends of a cable."""

    near: str
    far: str


@pytest.fixture
def cable() -> Iterator[Cable]:
    """A cable to a host that this machine reaches by it, and that serves `hello` at port 7000."""
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in ("ip", "nsenter", "unshare")):
        pytest.skip("a network namespace beside this machine's needs root, iproute2 and util-linux")
    # Names and addresses of this test alone, and a namespace that a process holds: `ip netns add` of several processes
    # at a time may hide each other's names.
    name, subnet = f"sl{secrets.token_hex(4)}", secrets.randbelow(1 << 14) * 4
    base = ipaddress.ip_address("10.231.0.0") + subnet
    near, far = str(base + 1), str(base + 2)
    program = (
        "import socket\nprint('in', flush=True)\ninput()\n"
        "s = socket.create_server(('0.0.0.0', 7000))\nprint('ready', flush=True)\n"
        "while True:\n c, _ = s.accept()\n c.sendall(b'hello')\n c.close()"
    )
    command = ["unshare", "--net", "/usr/bin/python3", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdin is not None
        assert host.stdout is not None

        def ip(*words: str) -> None:
            subprocess.run(["ip", *words], check=True)

        def ip_of_host(*words: str) -> None:
            subprocess.run(["nsenter", f"--net=/proc/{host.pid}/ns/net", "ip", *words], check=True)

        try:
            assert host.stdout.readline() == b"in\n"
            ip("link", "add", f"{name}a", "type", "veth", "peer", "name", "far", "netns", str(host.pid))
            ip("addr", "add", f"{near}/30", "dev", f"{name}a")
            ip("link", "set", f"{name}a", "up")
            ip_of_host("addr", "add", f"{far}/30", "dev", "far")
            ip_of_host("link", "set", "far", "up")
            host.stdin.write(b"\n")
            host.stdin.flush()
            assert host.stdout.readline() == b"ready\n"
            yield Cable(near, far)
        finally:
            host.kill()  # the namespace and both ends of the cable go with it


async def test_outside_is_reachable_but_not_the_host_end_of_the_link(cable: Cable, driver: SandboxDriver) -> None:
    pod = await driver.create_pod(REQUEST)
    try:
        with greeting("0.0.0.0") as port:
            targets = [(cable.far, 7000), (cable.near, port)]
            said = await python_in(pod, CONNECT.format(targets=targets))
    finally:
        await pod.remove()
    assert f"reached {cable.far} 7000  hello" in said
    assert f"reached {cable.near}" not in said


async def test_a_task_that_asks_for_none_has_only_itself(cable: Cable, driver: SandboxDriver) -> None:
    pod = await driver.create_pod(replace(REQUEST, network=Network.NONE))
    try:
        said = await python_in(pod, CONNECT.format(targets=[(cable.far, 7000)]))
        own = "import socket\ns = socket.create_server(('127.0.0.1', 0))\nsocket.create_connection(s.getsockname())\n"
        assert "own" in await python_in(pod, own + "print('own')")
    finally:
        await pod.remove()
    assert "reached" not in said


async def test_names_are_asked_of_the_resolver_that_the_network_has(pod: Pod) -> None:
    said = await python_in(pod, "print(open('/etc/resolv.conf').read())")
    assert "nameserver 10.0.2.3" in said


async def test_nothing_of_a_pod_s_network_outlives_it(driver: SandboxDriver) -> None:
    pod = await driver.create_pod(REQUEST)
    # It stays: its first process does not show its namespaces to an executor that is not root.
    program = "import os, time\nprint(os.stat('/proc/self/ns/net').st_ino, flush=True)\ntime.sleep(600)"
    inode = (await (await python_in(pod, program, wait=False)).read()).decode().strip()
    assert inode in _network_namespaces()
    await pod.remove()
    assert inode not in _network_namespaces()


def _network_namespaces() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.add(str((process / "ns/net").stat().st_ino))
    return found


async def test_host_network_needs_the_task_and_the_operator(tmp_path: Path) -> None:
    driver = SandboxDriver(tmp_path, SandboxSettings(network=Network.HOST))
    try:
        with greeting("127.0.0.1") as port:
            for wanted, reached in ((Network.HOST, True), (Network.ISOLATED, False), (Network.NONE, False)):
                pod = await driver.create_pod(replace(REQUEST, network=wanted))
                try:
                    said = await python_in(pod, CONNECT.format(targets=[("127.0.0.1", port)]))
                finally:
                    await pod.remove()
                assert ("reached" in said) is reached, wanted
    finally:
        await driver.close()


@pytest.mark.parametrize(
    ("wanted", "offered", "has"),
    [
        ("isolated", "isolated", "isolated"),
        ("isolated", "none", "none"),
        ("isolated", "host", "isolated"),
        ("none", "isolated", "none"),
        ("none", "host", "none"),
        ("host", "host", "host"),
    ],
)
def test_a_task_gets_what_it_wants_and_no_more_than_is_offered(wanted: str, offered: str, has: str) -> None:
    assert refusal.narrower_network(Network(wanted), Network(offered)) is Network(has)


@pytest.mark.parametrize("offered", ["none", "isolated"])
def test_a_task_that_wants_the_machine_s_network_is_refused(offered: str) -> None:
    with pytest.raises(FailedPrecondition, match="--network host"):
        refusal.narrower_network(Network.HOST, Network(offered))


def test_the_network_of_a_pod_is_beside_those_of_the_machine() -> None:
    free = pod_network.pod_network(["192.0.2.7/32"], ["192.0.2.0/24"])
    assert free.cidr == "10.0.2.0/24"
    assert free.resolver == "10.0.2.3"
    assert set(free.unreachable) == {"127.0.0.0/8", "169.254.0.0/16", "10.0.2.2/32", "192.0.2.7/32"}
    for taken in (["10.0.2.15/32"], ["10.0.0.0/8"]):
        assert pod_network.pod_network(taken, []).cidr not in {"10.0.2.0/24"}


def test_addresses_and_routes_of_the_kernel_are_parsed() -> None:
    trie = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 198.51.100.0
        /24 link UNICAST
        /24 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
"""
    assert pod_network.machine_addresses(trie) == ("192.0.2.2/32", "198.51.100.0/24")
    table = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert pod_network.machine_routes(table) == ("192.0.2.0/24",)
