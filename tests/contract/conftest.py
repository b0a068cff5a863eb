"""Fixtures of several contract suites: an etcd that tests may wipe, and a database in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.backing_stores import BackingStores
from tests.support.etcd import EtcdProcess, etcd_process


@pytest.fixture(scope="module")
def own_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    """Yield an etcd of the module, which its tests may wipe."""
    with etcd_process(tmp_path_factory.mktemp("own-etcd") / "data") as process:
        yield process


@pytest.fixture
async def backing(own_etcd: EtcdProcess, tmp_path: Path) -> AsyncIterator[BackingStores]:
    """Yield the stores of an empty database: that etcd and a folder."""
    backing = BackingStores(own_etcd, tmp_path)
    await backing.lose_keys()
    yield backing
    await backing.close()
