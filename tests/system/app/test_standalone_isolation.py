"""Isolation of a standalone installation from other users of the machine, from tasks, and from a full disk."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sluiceway_executor.drivers.pod_network import machine_addresses
from tests.support.installation import (
    Installation,
    config,
    installation,
    make_repository,
    run_sluice,
    until,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

OTHER_USER = 65533
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="acting as another user needs root")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("walls")) as running:
        yield running


def answers(here: Installation) -> bool:
    """Return whether the gateway returns a response of the server."""
    with contextlib.suppress(httpx.HTTPError), here.http() as client:
        return client.get("/api/v1/runs").status_code == 200
    return False


def listening_ports(pid: int) -> set[int]:
    """Find the TCP ports on which a process listens."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def test_standalone_etcd_listens_on_no_port(here: Installation) -> None:
    assert listening_ports(here.state["processes"]["etcd"]) == set()
    assert listening_ports(here.state["processes"]["server"]) == {int(here.state["grpc"].rpartition(":")[2])}


def test_data_folder_is_not_accessible_to_others(here: Installation) -> None:
    repository = here.repositories / "walls"
    make_repository(repository, {".sluice/config.json": config({"name": "task", "steps": [{"run": "sleep 60"}]})})
    run_id = here.create(repository)
    until(lambda: here.tasks(run_id)["task"]["status"] == "TASK_STATUS_RUNNING", "the task runs")
    assert stat.S_IMODE(here.data.stat().st_mode) == 0o700
    open_to_others = []
    for folder, names, files in os.walk(here.data):
        # What pods see is for their uids, behind a folder that is closed to everybody else.
        if Path(folder).name == "sandbox":
            assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
            names.clear()
            continue
        for name in files:
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    open_to_others.append(path)
    assert open_to_others == []
    here.sluice("run", "stop", run_id, check=False)


ATTACK = """
import os, socket, sys
ports, data = {ports!r}, {data!r}
for port in ports:
    for address in ("127.0.0.1", "0.0.0.0", "10.0.2.2", *{addresses!r}):
        s = socket.socket()
        s.settimeout(1)
        try:
            s.connect((address, port))
            print("REACHED", address, port)
        except OSError:
            pass
for path in (data, data + "/admin.token", data + "/sockets/client.sock:0", "/proc/1/root" + data):
    if os.path.lexists(path):
        print("SEEN", path)
for name in os.listdir("/proc"):
    if name.isdigit():
        try:
            line = open(f"/proc/{{name}}/cmdline").read()
        except OSError:
            continue
        if "etcd" in line or "sluiceway.cli" in line:
            print("PROCESS", line)
print("tried", len(ports))
"""


def test_task_has_no_access_to_its_installation(here: Installation) -> None:
    repository = here.repositories / "attack"
    ports = [int(here.state[name].rpartition(":")[2]) for name in ("http", "grpc")]
    trie = Path("/proc/net/fib_trie").read_text()
    addresses = [network.removesuffix("/32") for network in machine_addresses(trie) if network.endswith("/32")]
    script = ATTACK.format(ports=ports, data=str(here.data), addresses=addresses)
    step = {"run": {"name": "attack", "command": script, "shell": "/usr/bin/python3"}}
    make_repository(repository, {".sluice/config.json": config({"name": "task", "steps": [step]})})
    run_id = here.create(repository)
    assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
    assert here.log(run_id, "task", 0) == b"tried 2\n"


@NEEDS_ROOT
def test_data_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, OTHER_USER, OTHER_USER)
    done = run_sluice("standalone", "--data-dir", data, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    assert done.returncode == 1
    assert str(data) in done.stderr
    assert list(data.iterdir()) == []


BIND = """
import socket, sys
for reuse in (0, 1):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
    try:
        s.bind(("127.0.0.1", int(sys.argv[1])))
        print("bound")
    except OSError as error:
        print("refused")
"""


@NEEDS_ROOT
@pytest.mark.parametrize("part", ["gateway", "server"])
def test_port_of_a_dead_process_stays_reserved(here: Installation, part: str) -> None:
    pid = here.state["processes"][part]
    port = here.state["http" if part == "gateway" else "grpc"].rpartition(":")[2]
    os.kill(pid, signal.SIGKILL)
    as_user = ["/usr/bin/setpriv", "--reuid", str(OTHER_USER), "--regid", str(OTHER_USER), "--clear-groups", "--"]
    done = subprocess.run([*as_user, "/usr/bin/python3", "-c", BIND, port], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused", "refused"]
    until(lambda: here.state["processes"][part] not in {pid, None}, f"the {part} is started again")
    until(lambda: answers(here), "it serves again")


def test_connection_waits_while_the_gateway_restarts(here: Installation) -> None:
    pid = here.state["processes"]["gateway"]
    os.kill(pid, signal.SIGSTOP)  # so that it cannot be the old one that responds
    os.kill(pid, signal.SIGKILL)
    answer = httpx.get(f"http://{here.state['http']}/api/v1/version", timeout=60, trust_env=False, verify=False)
    assert answer.status_code == 200
    until(lambda: here.state["processes"]["gateway"] not in {pid, None}, "the gateway is started again")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m,mode=755", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Fill a disk to its last byte."""
    with path.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * (1 << 20))
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0")


def test_standalone_works_again_after_a_full_disk(small_disk: Path) -> None:
    with installation(small_disk, "--slots", "1") as here:
        make_repository(
            here.repositories / "r", {".sluice/config.json": config({"name": "task", "steps": [{"run": "true"}]})}
        )
        assert here.wait_for(here.create(here.repositories / "r"))["result"] == "RUN_RESULT_SUCCESS"
        fill(small_disk / "filler")
        # Each part meets the full disk: the run is written, and a part that dies cannot even be logged.
        here.sluice("run", "create", "--repo", str(here.repositories / "r"), check=False)
        for part in ("etcd", "server", "gateway"):
            pid = here.state["processes"][part]
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            fill(small_disk / "filler-2")
        fill(small_disk / "filler-3")
        here.sluice("run", "list", check=False)
        assert here.process.poll() is None
        for path in small_disk.glob("filler*"):
            path.unlink()

        def serves() -> bool:
            assert here.process.poll() is None, "the parent ended"
            return answers(here)

        until(serves, "it serves again", seconds=120)
        run_id = here.create(here.repositories / "r")
        assert here.wait_for(run_id, seconds=120)["result"] == "RUN_RESULT_SUCCESS"


def test_port_in_use_is_refused_at_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for option, other in (("--http", "--grpc"), ("--grpc", "--http")):
            done = run_sluice("standalone", "--data-dir", tmp_path / "d", option, address, other, "127.0.0.1:0")
            assert done.returncode == 1
            assert f"{option} {address} cannot be used" in done.stderr
