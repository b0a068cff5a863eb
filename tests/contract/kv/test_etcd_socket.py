"""An etcd that listens on unix sockets only, and a store that connects to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.kv.embedded import ETCD_SOCKETS, etcd_environment, etcd_socket_arguments, find_etcd
from sluiceway_server.kv.etcd import EtcdStore, unix_endpoint
from tests.support.conditions import eventually
from tests.support.processes import GuardedProcess, Restartable

T = timedelta(seconds=10)

pytestmark = pytest.mark.system

# etcd wants HOST:PORT also where it takes it as the name of a file in its working directory.
_SOCKET = ETCD_SOCKETS[0]


class SocketEtcd(Restartable):
    """An etcd whose sockets, and data, are in `folder`."""

    def __init__(self, folder: Path, *, search_path: str | None) -> None:
        self.folder = folder
        self._binary = find_etcd(search_path)

    @property
    def endpoint(self) -> str:
        return unix_endpoint(self.folder / _SOCKET)

    def start(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ETCD_SOCKETS:
            (self.folder / name).unlink(missing_ok=True)
        arguments = etcd_socket_arguments(self._binary, Path("data"))
        self._process = GuardedProcess(
            arguments,
            words=self.folder.with_name("stderr"),
            folder=self.folder,
            environment=etcd_environment(os.environ),
        )
        self._process.wait_until_ready(self._fault, seconds=30)

    def _fault(self) -> str | None:
        with socket.socket(socket.AF_UNIX) as connection, contextlib.chdir(self.folder):
            try:
                connection.connect(_SOCKET)
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: connection.recv(4096), b""))
            except OSError as error:
                return str(error)
        return None if b'"health":"true"' in answer else "it is not healthy"


@pytest.fixture(
    params=[None, os.devnull],
    ids=["of the system", "of the wheel"],
)
def etcd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SocketEtcd]:
    # A folder whose path is longer than the 107 bytes of a socket's address, with characters that URLs encode.
    process = SocketEtcd(tmp_path / f"é, #?%20 {'long' * 25}", search_path=request.param)
    try:
        process.start()
        yield process
    finally:
        process.kill()


async def test_store_reads_writes_and_watches_through_a_socket(etcd):
    store = EtcdStore([etcd.endpoint])
    try:
        revision = await store.put("a", b"1", timeout=T)

        found, _ = await store.get("a", timeout=T)
        async with aclosing(store.watch("a", start_revision=revision)) as batches:
            batch = await anext(batches)

        assert found is not None
        assert found.value == b"1"
        assert [event.key for event in batch.events] == ["a"]
        # Older releases report their quota by HTTP only, at the same socket.
        assert (await store.status(timeout=T)).quota_bytes > 0
    finally:
        await store.close()


async def test_store_reconnects_when_the_socket_folder_is_replaced(etcd):
    store = EtcdStore([etcd.endpoint])
    try:
        await store.put("a", b"1", timeout=T)
        etcd.kill()
        shutil.rmtree(etcd.folder)
        with pytest.raises(Unavailable, match="unix:///"):
            await store.get("a", timeout=T)
        etcd.start()

        async def is_served() -> bool:
            try:
                return (await store.get("a", timeout=T))[0] is None
            except Unavailable:
                return False

        await eventually(is_served)
    finally:
        await store.close()


async def test_closed_store_holds_no_open_folder(etcd):
    def held() -> int:
        return sum(os.path.realpath(descriptor) == str(etcd.folder) for descriptor in _descriptors())

    store = EtcdStore([etcd.endpoint])
    await store.get("a", timeout=T)
    assert held() == 1

    await store.close()

    assert held() == 0


def _descriptors() -> Iterator[Path]:
    return Path("/proc/self/fd").iterdir()
