"""Several servers on one etcd and one object storage, each with a gateway and an executor, as single processes.

`standalone` restarts a process that ends; here a test decides what is down and for how long.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from google.protobuf import json_format

from sluiceway_common.runconfig.compile import load_source
from sluiceway_common.runconfig.files import MappingFiles
from sluiceway_common.runconfig.tasks import tasks_of_run
from sluiceway_common.runconfig.when import Context
from sluiceway_server.kv.embedded import etcd_arguments, etcd_environment, find_etcd
from tests.support.installation import SLUICE, config, gateway_client, until
from tests.support.ports import free_ports

__all__ = ["Process", "Servers", "definitions", "several_servers"]


@dataclass
class Process:
    """One process that a test may kill, pause and start again, on the same folder and ports."""

    name: str
    command: list[str]
    log: Path
    environment: Mapping[str, str] | None = None
    running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the id of the running process."""
        assert self.running is not None
        return self.running.pid

    def start(self) -> None:
        """Start it (again)."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        if self.running is not None:
            self.running.kill()
            self.running.wait()
            self.running = None

    def end(self, seconds: float = 30) -> int:
        """Stop it by SIGTERM; return its exit code."""
        if self.running is None:
            return 0
        self.running.send_signal(signal.SIGCONT)
        self.running.send_signal(signal.SIGTERM)
        try:
            return self.running.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9


def definitions(*tasks: Mapping[str, Any], **fields: Any) -> list[Any]:
    """Render tasks for a create request over HTTP."""
    context = Context()
    text = config(*tasks, **fields)
    loaded = load_source("config.json", text.encode(), MappingFiles({}), context)
    assert loaded.config is not None, loaded.errors
    return [json_format.MessageToDict(task) for task in tasks_of_run(loaded.config, "run", context).tasks]


@dataclass
class Servers:
    """The running processes, and clients of each server."""

    folder: Path
    etcd: Process
    etcd_ports: tuple[int, int]
    storage: str
    servers: list[Process] = field(default_factory=list)
    gateways: list[Process] = field(default_factory=list)
    executors: list[Process] = field(default_factory=list)
    grpc: list[str] = field(default_factory=list)
    http: list[str] = field(default_factory=list)
    token: str = ""

    def client(self, server: int = 0, **headers: str) -> httpx.Client:
        """Yield a client of the gateway of one server, as the first operator."""
        return gateway_client(self.http[server], self.token, headers, seconds=60)

    def create(self, *tasks: Mapping[str, Any], server: int = 0, group: str = "/user/me/test", **body: Any) -> str:
        """Create a run through one server; return its id."""
        run = {"name": "run", "group": group, **body.pop("run", {})}
        with self.client(server) as client:
            answer = client.post("/api/v1/runs", json={"run": run, "tasks": definitions(*tasks), **body})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def get(self, path: str, server: int = 0, **parameters: Any) -> Any:
        """Read through one server."""
        with self.client(server) as client:
            answer = client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, run_id: str, server: int = 0) -> dict[str, Any]:
        """Return the run as one server shows it."""
        run: dict[str, Any] = self.get(f"/api/v1/runs/{run_id}", server)
        return run

    def tasks(self, run_id: str, server: int = 0) -> dict[str, dict[str, Any]]:
        """Return the tasks by name, as one server shows them."""
        return {task["name"]: task for task in self.get(f"/api/v1/runs/{run_id}/tasks", server, pageSize=1000)["tasks"]}

    def log(self, run_id: str, task: str, server: int = 0, **parameters: Any) -> bytes:
        """Return a step's log through one server."""
        task_id = self.tasks(run_id, server)[task]["id"]
        with self.client(server, Accept="text/plain") as client:
            answer = client.get(
                f"/api/v1/runs/{run_id}/tasks/{task_id}/log", params={"step": 0, **parameters}, timeout=120
            )
        assert answer.status_code == 200, answer.text
        return answer.content

    def wait_for(
        self, run_id: str, phase: str = "RUN_PHASE_FINISHED", *, server: int = 0, seconds: float = 60
    ) -> dict[str, Any]:
        """Wait until a run is in a phase, as one server shows it."""

        def reached() -> dict[str, Any] | None:
            try:
                run = self.run(run_id, server)
            except (httpx.TransportError, AssertionError):
                return None
            return run if run["phase"] == phase else None

        run: dict[str, Any] = until(reached, f"run {run_id} is in {phase}", seconds=seconds)
        return run

    def is_ready(self, server: int = 0) -> bool:
        """Return whether a gateway finds its server ready."""
        try:
            return (
                httpx.get(f"http://{self.http[server]}/readyz", timeout=2, trust_env=False, verify=False).status_code
                == 200
            )
        except httpx.TransportError:
            return False

    def refusal(self, server: int = 0) -> dict[str, Any]:
        """Return the error of a server that is not ready; empty when it has another response or none."""
        try:
            with self.client(server) as client:
                answer = client.get("/api/v1/runs", headers={"sluice-timeout": "2"})
        except httpx.TransportError:
            return {}
        error: dict[str, Any] = answer.json().get("error", {}) if answer.status_code == 503 else {}
        return error

    # What happens to etcd.

    @property
    def etcd_endpoint(self) -> str:
        """Return the address of etcd."""
        return f"http://127.0.0.1:{self.etcd_ports[0]}"

    def wipe_etcd(self) -> None:
        """Lose all data of etcd; start an empty one at the same address."""
        self.etcd.kill()
        shutil.rmtree(self.folder / "etcd")
        self.etcd.command = _etcd_command(self.folder, self.etcd_ports)
        self.etcd.start()

    def copy_etcd(self) -> None:
        """Copy the data of etcd, which is stopped for that."""
        self.etcd.end()
        shutil.copytree(self.folder / "etcd", self.folder / "etcd-copy")
        self.etcd.start()

    def set_back_etcd(self) -> None:
        """Start etcd with the data of the copy."""
        self.etcd.kill()
        shutil.rmtree(self.folder / "etcd")
        (self.folder / "etcd-copy").rename(self.folder / "etcd")
        self.etcd.start()

    def db(
        self, command: str, *arguments: str, etcd: str = "", seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a `sluice db` command on both stores directly. `etcd`: another one than that of the servers."""
        where = ["--etcd", etcd or self.etcd_endpoint, "--object-storage", self.storage]
        done = subprocess.run(
            [*SLUICE, "db", command, *where, *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=seconds,
            check=False,
        )
        print(f"sluice db {command} {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def sluice(self, *arguments: str, server: int = 0, seconds: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run a command of the command line against one server."""
        environment = {**os.environ, "SLUICE_SERVER": self.grpc[server], "SLUICE_TOKEN": self.token}
        return subprocess.run([*SLUICE, *arguments], env=environment, capture_output=True, timeout=seconds, check=False)

    def log_of(self, process: Process) -> list[dict[str, Any]]:
        """Return the log events of a process."""
        events = []
        for line in process.log.read_text().splitlines():
            if line.startswith("{"):
                events.append(json.loads(line))
        return events


@contextmanager
def several_servers(
    folder: Path,
    *,
    count: int = 2,
    slots: int = 4,
    executors: bool = True,
    ids: tuple[str, ...] = ("one", "two", "three"),
    storage: str | None = None,
    options: Sequence[str] = (),
) -> Iterator[Servers]:
    """Run etcd, and `count` servers with these options, with a gateway and an executor each, for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_ports(2 + 2 * count)
    etcd_ports = (ports[0], ports[1])
    etcd = Process(
        "etcd",
        _etcd_command(folder, etcd_ports),
        folder / "etcd.log",
        etcd_environment({"PATH": os.environ["PATH"]}),
    )
    here = Servers(folder, etcd, etcd_ports, storage or f"posix:{folder / 'storage'}")
    with ExitStack() as stack:

        def start(process: Process) -> Process:
            process.start()
            stack.callback(process.end)
            return process

        start(etcd)
        for number in range(count):
            grpc, http = (f"127.0.0.1:{port}" for port in ports[2 + 2 * number : 4 + 2 * number])
            data = folder / f"server-{number}"
            command = ["server", "--data-dir", str(data), "--etcd", here.etcd_endpoint]
            command += ["--object-storage", here.storage, "--grpc", grpc, *options]
            here.grpc.append(grpc)
            here.http.append(http)
            here.servers.append(
                start(Process(f"server-{number}", [*SLUICE, *command], folder / f"server-{number}.log"))
            )
            gateway = ["gateway", "--http", http, "--server", grpc]
            here.gateways.append(
                start(Process(f"gateway-{number}", [*SLUICE, *gateway], folder / f"gateway-{number}.log"))
            )
            until(partial(here.is_ready, number), f"server {number} is ready")
        here.token = (folder / "server-0" / "admin.token").read_text().strip()
        for number in range(count):
            work = folder / f"executor-{number}"
            command = ["executor", "run", "--server", here.grpc[number], "--id", ids[number], "--slots", str(slots)]
            command += ["--token-file", str(folder / "server-0" / "executor.token"), "--work-dir", str(work)]
            process = Process(f"executor-{number}", [*SLUICE, *command], folder / f"executor-{number}.log")
            here.executors.append(process)
            if executors:
                start(process)
        if executors:
            until(lambda: len(online(here)) == count, "the executors are online")
        yield here


def _etcd_command(folder: Path, ports: tuple[int, int]) -> list[str]:
    return list(etcd_arguments(find_etcd(), folder / "etcd", client_port=ports[0], peer_port=ports[1]))


def online(here: Servers, server: int = 0) -> list[str]:
    """Return the executors that a server sees online."""
    executors = here.get("/api/v1/executors", server).get("executors", [])
    return [executor["id"] for executor in executors if executor.get("online")]
