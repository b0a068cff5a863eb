"""The network of a sandboxed pod: a network namespace of its own, which leads outside through `slirp4netns`.

Inside, the pod has its own loopback and the device `tap0`. A process outside, `slirp4netns`, opens the connections that
the pod asks for as an ordinary program of this machine would. So a pod reaches what this machine reaches, except this
machine itself: its loopback, its own addresses and link-local addresses (which serve cloud metadata) are unreachable by
routes, because `slirp4netns --disable-host-loopback` alone lets datagrams through that a task binds to `tap0`
(SO_BINDTODEVICE). Nothing reaches the pod from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import re
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.drivers.launcher import LaunchedProcess, Launcher, LaunchRequest

__all__ = [
    "Outside",
    "PodNetwork",
    "connect_outside",
    "disconnect",
    "missing_for_isolation",
    "pod_network",
    "resolver_file",
    "this_machine",
]

_DEVICE = "tap0"
_MTU = "65520"
_TUN = Path("/dev/net/tun")
_READY_SECONDS = 15.0
_END_SECONDS = 5.0
_ALWAYS_UNREACHABLE = ("127.0.0.0/8", "169.254.0.0/16")
_CANDIDATES = ("10.0.2.0/24", "10.213.2.0/24", "172.29.213.0/24", "192.168.213.0/24")


@dataclass(frozen=True, slots=True)
class Outside:
    """The `slirp4netns` of one pod. The launcher ends it with the pod."""

    process: LaunchedProcess


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """Addresses of a pod's network.

    Attributes:
        cidr: of the pod and of the two hosts that slirp4netns plays, its gateway (.2) and its resolver (.3).
        unreachable: IPv4 networks that the pod must not reach.
    """

    cidr: str
    unreachable: Sequence[str]

    @property
    def resolver(self) -> str:
        """The address of the resolver of the pod; the queries go to this machine's own resolver."""
        return str(ipaddress.ip_network(self.cidr)[3])


def pod_network(own: Sequence[str], routes: Sequence[str]) -> PodNetwork:
    """Choose the addresses of a pod's network, beside those that this machine uses.

    Args:
        own: IPv4 networks whose addresses are this machine's own (`192.0.2.7/32`).
        routes: IPv4 networks that this machine has routes to, without the default route.
    """
    taken = [ipaddress.ip_network(network) for network in (*routes, *own)]
    free = [each for each in _CANDIDATES if not any(ipaddress.ip_network(each).overlaps(other) for other in taken)]
    cidr = free[0] if free else _CANDIDATES[0]
    gateway = f"{ipaddress.ip_network(cidr)[2]}/32"
    return PodNetwork(cidr, tuple(dict.fromkeys((*_ALWAYS_UNREACHABLE, gateway, *own))))


def machine_addresses(fib_trie: str) -> tuple[str, ...]:
    """Return the IPv4 networks whose addresses are this machine's own, from the text of `/proc/net/fib_trie`."""
    found: dict[str, None] = {}
    address = ""
    for line in fib_trie.splitlines():
        if leaf := re.fullmatch(r"\s*\|--\s+([\d.]+)\s*", line):
            address = leaf[1]
        elif route := re.fullmatch(r"\s*/(\d+) host LOCAL\s*", line):
            found[f"{address}/{route[1]}"] = None
    # What is always unreachable covers these.
    return tuple(network for network in found if not network.startswith("127."))


def machine_routes(route: str) -> tuple[str, ...]:
    """Return the networks of the text of `/proc/net/route`, without the default route."""
    networks = []
    for line in route.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[7] != "00000000":
            address, mask = (ipaddress.IPv4Address(struct.pack("<I", int(fields[i], 16))) for i in (1, 7))
            networks.append(str(ipaddress.ip_network(f"{address}/{mask}")))
    return tuple(dict.fromkeys(networks))


def own_networks() -> tuple[str, ...]:
    """Return the IPv4 networks that are this machine only: loopback, link-local, its addresses. Reads `/proc`."""
    with contextlib.suppress(OSError):
        return (*_ALWAYS_UNREACHABLE, *machine_addresses(Path("/proc/net/fib_trie").read_text()))
    return _ALWAYS_UNREACHABLE


def this_machine() -> PodNetwork:
    """Choose the addresses of a pod's network on this machine. Reads two files of `/proc`."""
    with contextlib.suppress(OSError):
        return _network_beside(Path("/proc/net/fib_trie").read_text(), Path("/proc/net/route").read_text())
    raise FailedPrecondition(
        "the addresses of this machine cannot be read from /proc/net, so a pod's network cannot be separated from it",
        reason="NETWORK_UNAVAILABLE",
    )


@functools.lru_cache(maxsize=1)
def _network_beside(fib_trie: str, route: str) -> PodNetwork:
    return pod_network(machine_addresses(fib_trie), machine_routes(route))


def missing_for_isolation() -> str:
    """Return what this machine lacks for pods with a network of their own; empty if nothing."""
    if shutil.which("slirp4netns", path="/usr/bin:/bin") is None:
        return "slirp4netns is not installed (Debian: apt-get install slirp4netns)"
    if not os.access(_TUN, os.R_OK | os.W_OK):
        return f"{_TUN} cannot be opened by this user (as root: chmod 666 {_TUN}, or run the executor as root)"
    return ""


def resolver_file(network: PodNetwork, machine: str) -> str:
    """Return the pod's `resolv.conf`; search domains and options are those of the machine's."""
    kept = [line for line in machine.splitlines() if line.split()[:1] in (["search"], ["domain"], ["options"])]
    return "\n".join([f"nameserver {network.resolver}", *kept, ""])


async def connect_outside(
    launcher: Launcher, name: str, pod: LaunchedProcess, network: PodNetwork, folder: Path
) -> Outside:
    """Start `slirp4netns` for the network namespace of a pod; return when the device is up.

    Args:
        launcher: starts it.
        name: of the pod.
        pod: the first process of the pod.
        network: its addresses.
        folder: where it may leave its output.

    Raises:
        FailedPrecondition: it did not start (`NETWORK_UNAVAILABLE`); the message has the end of its output.
    """
    log = folder / "network.log"
    reader, ready = os.pipe2(os.O_CLOEXEC)
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            process = await launcher.launch(
                # It ends by itself, by the pipe, when the launcher does.
                LaunchRequest(_slirp4netns(network), env={}),
                output=output,
                inherited=[ready, *pod.namespaces],
                pod=name,
            )
        finally:
            for each in (output, ready):
                os.close(each)
        try:
            if not await _is_ready(reader):
                printed = log.read_text(errors="replace").strip()[-500:]
                raise FailedPrecondition(
                    f"the pod's network did not start: {printed or 'slirp4netns printed nothing'}",
                    reason="NETWORK_UNAVAILABLE",
                )
        except BaseException:
            process.kill()
            process.close()
            raise
    finally:
        os.close(reader)
    return Outside(process)


async def disconnect(outside: Outside) -> None:
    """End `slirp4netns`. Call it once."""
    outside.process.kill()
    await outside.process.wait(_END_SECONDS)
    outside.process.close()


def _slirp4netns(network: PodNetwork) -> list[str]:
    command = ["/usr/bin/slirp4netns", "--configure", f"--mtu={_MTU}", "--disable-host-loopback", "--enable-seccomp"]
    command += ["--ready-fd=3", "--exit-fd=4", f"--cidr={network.cidr}"]
    if os.geteuid() == 0:
        # It drops privileges. Without root it has none to drop, and cannot create this sandbox.
        command.append("--enable-sandbox")
    else:
        command.append("--userns-path=/proc/self/fd/6")
    return [*command, "--netns-type=path", "/proc/self/fd/5", _DEVICE]


async def _is_ready(descriptor: int) -> bool:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        async with time_limit(_READY_SECONDS):
            await readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 1) == b"1"
