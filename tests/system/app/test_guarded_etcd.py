"""Servers and commands on an etcd that requires a certificate, a user and a password."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.etcd import etcd_process
from tests.support.guarded_etcd import OURS, Guarded, make_certificates
from tests.support.installation import SLUICE, installation, run_sluice, sentence_of, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed; it makes the certificates"),
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    make_certificates(folder)
    (folder / "password").write_text(f"{OURS.password}\n")
    with etcd_process(folder / "data", certificates=folder, options=["--bcrypt-cost=4"]) as process:
        etcd = Guarded(process)
        # A database whose prefix is "sluiceway" has its keys below it.
        etcd.enable("sluiceway/")
        yield etcd


def access_options(guarded: Guarded, **others: str) -> list[str]:
    folder = guarded.process.certificates
    assert folder is not None
    files = {"ca-file": "ca.pem", "cert-file": "node.pem", "key-file": "node.key", "password-file": "password"}
    values = {name: str(folder / file) for name, file in files.items()} | {"user": OURS.user} | others
    return [part for name, value in values.items() for part in (f"--etcd-{name}", value) if value]


def test_installation_works_on_etcd_with_tls_and_password(guarded: Guarded, tmp_path: Path) -> None:
    access = access_options(guarded)
    with installation(tmp_path, "--etcd", guarded.process.endpoint, *access, "--executors", "1") as running:
        status = json.loads(running.sluice("db", "status", "-o", "json").stdout)
        server = Path(f"/proc/{running.state['processes']['server']}/cmdline").read_bytes()
        executor = Path(f"/proc/{running.state['processes']['executors'][0]}/environ").read_bytes()

    assert status
    assert OURS.password.encode() not in server
    assert b"SLUICE_ETCD" not in executor


def test_server_takes_the_password_from_its_environment(guarded: Guarded, tmp_path: Path) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    where = ["--etcd", guarded.process.endpoint, *access_options(guarded, **{"password-file": ""})]
    command = ["server", "--data-dir", str(data), *where, "--object-storage", f"posix:{tmp_path / 'objects'}"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*SLUICE, *command, "--grpc", "127.0.0.1:0", "--prefix", "sluiceway/environment"],
            env={**os.environ, "SLUICE_ETCD_PASSWORD": OURS.password},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: b"server_ready" in log.read_bytes(), "the server is ready", seconds=60)
    finally:
        server.kill()
        server.wait(30)

    assert OURS.password not in log.read_text()


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        # etcd takes the name in the certificate, `node`, for a user then.
        pytest.param({"user": "", "password-file": ""}, "the name in the client certificate, needs", id="no user"),
        pytest.param({"user": "nobody"}, "does not accept the user 'nobody'", id="a user that is not there"),
        pytest.param({"password-file": ""}, "needs a password: give --etcd-password-file", id="no password"),
        pytest.param({"key-file": ""}, "--etcd-cert-file and --etcd-key-file go together", id="no key"),
        pytest.param({"ca-file": "/none"}, "--etcd-ca-file /none cannot be read", id="no authority"),
    ],
)
def test_server_without_etcd_access_exits_with_one_sentence(
    guarded: Guarded, tmp_path: Path, others: dict[str, str], sentence: str
) -> None:
    where = ["--etcd", guarded.process.endpoint, *access_options(guarded, **others)]
    command = ["server", "--data-dir", str(tmp_path), *where, "--object-storage", f"posix:{tmp_path / 'objects'}"]

    done = run_sluice(*command, "--grpc", "127.0.0.1:0")

    assert sentence in sentence_of(done)
    assert OURS.password not in done.stdout + done.stderr


def test_embedded_etcd_refuses_access_options(tmp_path: Path) -> None:
    done = run_sluice("standalone", "--data-dir", tmp_path, "--etcd-user", "x")

    assert done.returncode == 2
    assert "--etcd-user goes with --etcd" in done.stderr
