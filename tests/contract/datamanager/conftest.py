from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway.datamanager.port import Database
from sluiceway.kv.etcd import EtcdStore
from sluiceway.objectstorage.posix import PosixStorage
from tests.fakes.database import FakeDatabase
from tests.support.databases import TYPES, open_database


@pytest.fixture
async def etcd(etcd_endpoint: str) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([etcd_endpoint])
    yield store
    await store.close()


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[PosixStorage]:
    storage = PosixStorage(tmp_path / "objects")
    yield storage
    await storage.close()


@pytest.fixture(params=["real", "fake"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, etcd_prefix: str) -> AsyncIterator[Database]:
    if request.param == "fake":
        yield FakeDatabase(TYPES)
        return
    kv = EtcdStore([request.getfixturevalue("etcd_endpoint")])
    storage = PosixStorage(tmp_path / "objects")
    async with open_database(kv, storage, tmp_path, prefix=etcd_prefix) as real:
        yield real
    await storage.close()
    await kv.close()
