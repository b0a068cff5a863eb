"""The certificate of a server: files that are refused, and files that are renewed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.app.tls import server_credentials
from tests.support.certificates import self_signed_certificate


@dataclass
class Files:
    folder: Path

    @property
    def cert(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def renew(self) -> bytes:
        """Write another certificate, as a client of ACME does; return it."""
        key, cert = self_signed_certificate()
        for file, text in ((self.key, key), (self.cert, cert)):
            file.with_suffix(".new").write_bytes(text)
            file.with_suffix(".new").rename(file)
        return cert


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("broken", "text", "path", "words"),
    [
        pytest.param("cert", None, "tls_cert_file", "cannot be read: No such file", id="no certificate"),
        pytest.param("key", None, "tls_key_file", "cannot be read: No such file", id="no key"),
        pytest.param("cert", b"\n", "tls_cert_file", "is not a certificate in PEM form", id="an empty certificate"),
        pytest.param("key", bytes(range(256)), "tls_cert_file", "with the key of", id="a key that is none"),
        pytest.param("key", self_signed_certificate()[0], "tls_cert_file", "mismatch", id="the key of another"),
    ],
)
def test_wrong_file_of_a_certificate_is_named(
    files: Files, broken: str, text: bytes | None, path: str, words: str
) -> None:
    files.renew()
    file: Path = getattr(files, broken)
    file.unlink()
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(InvalidInput, match=words) as caught:
        server_credentials(files.cert, files.key)
    assert [violation.path for violation in caught.value.violations] == [path]


@pytest.fixture
async def port(files: Files) -> AsyncIterator[int]:
    files.renew()
    server = RpcServer(tls=server_credentials(files.cert, files.key))
    yield await server.start("127.0.0.1:0")
    await server.drain(timedelta(0))


async def is_answered(port: int, authority: bytes) -> bool:
    """Return whether a new connection that trusts one authority is answered."""
    credentials = grpc.ssl_channel_credentials(authority)
    # Without a pool of its own, gRPC would use the connection of another channel.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options=options) as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
    return True


async def test_renewed_certificate_is_used_without_a_restart(files: Files, port: int) -> None:
    first = files.cert.read_bytes()
    assert await is_answered(port, first)
    second = files.renew()
    assert await is_answered(port, second)
    assert not await is_answered(port, first)


async def test_broken_renewal_leaves_the_certificate_in_use(files: Files, port: int) -> None:
    first = files.cert.read_bytes()
    files.cert.write_bytes(b"half of a fi")
    assert await is_answered(port, first)
