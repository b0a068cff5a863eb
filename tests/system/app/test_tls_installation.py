"""A server with TLS, and the gateway, the executor and the commands that connect to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import self_signed_certificate
from tests.support.etcd import etcd_process
from tests.support.installation import SLUICE, gateway_client, run_sluice, sentence_of, until
from tests.support.ports import free_ports
from tests.support.several_servers import Process, definitions

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@dataclass
class Secured:
    grpc: str
    http: str
    ca_file: Path
    token: str

    def sluice(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_sluice(*arguments, seconds=60, SLUICE_TOKEN=self.token, **environment)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    key, certificate = self_signed_certificate()
    (folder / "key.pem").write_bytes(key)
    (folder / "cert.pem").write_bytes(certificate)
    grpc, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    server = f"https://{grpc}"
    with ExitStack() as stack:

        def start(name: str, *command: str | Path) -> None:
            process = Process(name, [*SLUICE, *map(str, command)], folder / f"{name}.log")
            process.start()
            stack.callback(process.end)

        etcd = stack.enter_context(etcd_process(folder / "etcd"))
        where: list[str | Path] = ["--data-dir", folder / "data", "--object-storage", f"posix:{folder / 'objects'}"]
        where += ["--tls-cert-file", folder / "cert.pem", "--tls-key-file", folder / "key.pem"]
        start("server", "server", "--etcd", etcd.endpoint, "--grpc", grpc, *where)
        start("gateway", "gateway", "--http", http, "--server", server, "--ca-file", folder / "cert.pem")
        until(lambda: is_ready(http), "the gateway reaches the server", seconds=60)
        work: list[str | Path] = ["--token-file", folder / "data" / "executor.token", "--work-dir", folder / "work"]
        start("executor", "executor", "run", "--server", server, "--ca-file", folder / "cert.pem", *work)
        yield Secured(grpc, http, folder / "cert.pem", (folder / "data" / "admin.token").read_text().strip())


def is_ready(http: str) -> bool:
    try:
        return httpx.get(f"http://{http}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_run_succeeds_where_all_connections_have_tls(secured: Secured) -> None:
    body = {
        "run": {"name": "run", "group": "/user/me/tls"},
        "tasks": definitions({"name": "a", "steps": [{"run": "true"}]}),
    }
    with gateway_client(secured.http, secured.token, {}) as client:
        made = client.post("/api/v1/runs", json=body)
    assert made.status_code == 201, made.text
    environment = {"SLUICE_SERVER": f"https://{secured.grpc}", "SLUICE_CA_FILE": str(secured.ca_file)}
    watched = secured.sluice("run", "watch", made.json()["id"], **environment)
    assert watched.returncode == 0, watched.stdout + watched.stderr


def test_server_with_tls_serves_nothing_in_clear(secured: Secured) -> None:
    refused = secured.sluice("run", "list", SLUICE_SERVER=secured.grpc)
    assert secured.grpc in sentence_of(refused)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["gateway", "--http", "127.0.0.1:0"], id="gateway"),
        pytest.param(["executor", "run", "--token-file", os.devnull, "--work-dir", "work"], id="executor"),
    ],
)
def test_token_in_clear_to_another_machine_is_refused(command: list[str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    arguments = [
        str(token) if each == os.devnull else str(tmp_path / each) if each == "work" else each for each in command
    ]
    said = sentence_of(run_sluice(*arguments, "--server", "192.0.2.1:7070"))
    assert "the token would be sent in clear to 192.0.2.1:7070" in said
    assert "--insecure" in said
