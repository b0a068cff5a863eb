"""TLS with client certificates against a real etcd; the test makes the certificates."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import InvalidInput, Unavailable
from sluiceway_server.kv.access import EtcdAccess, read_access
from sluiceway_server.kv.etcd import EtcdStore
from tests.support.etcd import etcd_process
from tests.support.guarded_etcd import make_certificates

T = timedelta(seconds=5)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed; it makes the certificates"),
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def access_of(certificates: Path) -> EtcdAccess:
    """Return the access with the certificate of a node."""
    return read_access(
        ca_file=certificates / "ca.pem", cert_file=certificates / "node.pem", key_file=certificates / "node.key"
    )


@pytest.fixture(scope="module")
def secure_endpoint(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("secure-etcd")
    with etcd_process(folder / "data", certificates=certificates) as process:
        yield process.endpoint


async def test_client_with_a_certificate_is_served(secure_endpoint, certificates):
    store = EtcdStore([secure_endpoint], access=access_of(certificates))
    try:
        await store.put("a", b"1", timeout=T)
        found, _ = await store.get("a", timeout=T)
        assert found is not None
        assert found.value == b"1"
        # etcd before 3.6 reports it among its metrics, to those with a certificate.
        assert (await store.status(timeout=T)).quota_bytes > 0
    finally:
        await store.close()


async def test_client_without_a_certificate_does_not_send_its_write(secure_endpoint, certificates):
    access = read_access(ca_file=certificates / "ca.pem")
    store = EtcdStore([secure_endpoint], access=access)
    try:
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await store.put("unsent", b"1", timeout=T)
    finally:
        await store.close()

    store = EtcdStore([secure_endpoint], access=access_of(certificates))
    assert (await store.get("unsent", timeout=T))[0] is None
    await store.close()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param(("missing", None, None), "--etcd-ca-file .*missing cannot be read: No such file", id="no file"),
        pytest.param(("empty", None, None), "--etcd-ca-file .*empty is empty", id="an empty file"),
        pytest.param(("ca.key", None, None), "--etcd-ca-file .*ca.key holds no certificate in PEM", id="a key for it"),
        pytest.param(("garbage", None, None), "--etcd-ca-file .*garbage holds no certificate", id="no PEM"),
        pytest.param(("ca.pem", "node.pem", None), "--etcd-cert-file and --etcd-key-file go together", id="no key"),
        pytest.param((None, None, "node.key"), "--etcd-cert-file and --etcd-key-file go together", id="no certificate"),
        pytest.param((None, "node.pem", "ca.key"), "no certificate in PEM and its key", id="the key of another"),
        pytest.param((None, "node.key", "node.pem"), "no certificate in PEM and its key", id="the wrong way round"),
        pytest.param((None, "node.pem", "locked.key"), "its key, without a password", id="an encrypted key"),
    ],
)
def test_unusable_tls_file_is_named_with_its_option(certificates, files, words):
    ca, certificate, key = (None if name is None else certificates / name for name in files)

    with pytest.raises(InvalidInput, match=words):
        read_access(ca_file=ca, cert_file=certificate, key_file=key)


async def test_client_without_the_authority_does_not_send_its_write(secure_endpoint):
    store = EtcdStore([secure_endpoint])
    try:
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable, match="was not sent"):
                await store.put("a", b"1", timeout=T)
    finally:
        await store.close()
