from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway_server.datamanager.port import Database
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.objectstorage.locate import open_storage
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.database import FakeDatabase
from tests.support.databases import TYPES, open_database


@pytest.fixture
async def etcd(etcd_endpoint: str) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([etcd_endpoint])
    yield store
    await store.close()


async def _open(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorage:
    return await open_storage(f"posix:{tmp_path / 'objects'}" if kind == "posix" else request.getfixturevalue("s3_url"))


@pytest.fixture
async def folder_storage(tmp_path: Path) -> AsyncIterator[PosixStorage]:
    """An object storage in a folder: for what does not depend on which one it is."""
    storage = PosixStorage(tmp_path / "objects")
    yield storage
    await storage.close()


LONG_S3 = pytest.param("s3", marks=pytest.mark.long)
"""The contract suite of storages proves that both are alike."""


@pytest.fixture(params=["posix", LONG_S3])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStorage]:
    """An object storage of the test's own: a folder, and a prefix on a real S3 server."""
    storage = await _open(request.param, request, tmp_path)
    yield storage
    await storage.close()


@pytest.fixture(params=["posix", LONG_S3, "fake"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, etcd_prefix: str) -> AsyncIterator[Database]:
    """A database: over a real etcd with either storage, and the fake."""
    if request.param == "fake":
        yield FakeDatabase(TYPES)
        return
    kv = EtcdStore([request.getfixturevalue("etcd_endpoint")])
    storage = await _open(request.param, request, tmp_path)
    async with open_database(kv, storage, tmp_path, prefix=etcd_prefix) as real:
        yield real
    await storage.close()
    await kv.close()
