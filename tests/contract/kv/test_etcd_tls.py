"""TLS with client certificates against a real etcd; the certificates are made for the test."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway.foundation.errors import Unavailable
from sluiceway.kv.embedded import etcd_arguments, etcd_environment, find_etcd, free_ports
from sluiceway.kv.etcd import EtcdStore, EtcdTls
from tests.support.conditions import eventually

T = timedelta(seconds=5)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed; it makes the certificates"),
]


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority `ca`, and `node` signed by it for 127.0.0.1, for both ends."""
    folder = tmp_path_factory.mktemp("certificates")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test ca")
    _openssl(folder, "req", *key, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=node")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    sign = ("-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    _openssl(folder, "x509", *sign, "-extfile", "names", "-out", "node.pem")
    return folder


@pytest.fixture(scope="module")
def secure_endpoint(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    client_port, peer_port = free_ports(2)
    folder = tmp_path_factory.mktemp("secure-etcd")
    plain = etcd_arguments(find_etcd(), folder / "data", client_port=client_port, peer_port=peer_port)
    arguments = [argument.replace("client-urls=http:", "client-urls=https:") for argument in plain]
    arguments += [
        f"--cert-file={certificates / 'node.pem'}",
        f"--key-file={certificates / 'node.key'}",
        f"--trusted-ca-file={certificates / 'ca.pem'}",
        "--client-cert-auth",
    ]
    with (folder / "stderr").open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, env=etcd_environment({}))
    yield f"https://127.0.0.1:{client_port}"
    process.kill()
    process.wait(timeout=10)


async def test_a_client_with_a_certificate_is_served(secure_endpoint, certificates):
    tls = EtcdTls(
        ca=(certificates / "ca.pem").read_bytes(),
        certificate=(certificates / "node.pem").read_bytes(),
        key=(certificates / "node.key").read_bytes(),
    )
    store = EtcdStore([secure_endpoint], tls=tls)

    async def is_served() -> bool:
        try:
            await store.put("a", b"1", timeout=T)
        except Unavailable:
            return False
        return True

    try:
        await eventually(is_served, seconds=20)
        found, _ = await store.get("a", timeout=T)
        assert found is not None
        assert found.value == b"1"
    finally:
        await store.close()


async def test_a_client_that_does_not_know_the_authority_does_not_send_its_write(secure_endpoint):
    store = EtcdStore([secure_endpoint])
    try:
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match="was not sent"):
                await store.put("a", b"1", timeout=T)
    finally:
        await store.close()
