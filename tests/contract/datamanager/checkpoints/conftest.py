"""What tests of checkpoints and cleaning ask for. Most need one storage only, since nothing in them depends on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sluiceway_server.objectstorage.locate import open_storage
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.clock import FakeClock


@pytest.fixture
def storage(folder_storage: PosixStorage) -> ObjectStorage:
    """Most of what is tested here does not depend on the storage."""
    return folder_storage


@pytest.fixture(params=["posix", pytest.param("s3", marks=pytest.mark.long)])
async def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStorage]:
    url = f"posix:{tmp_path / 'objects'}" if request.param == "posix" else request.getfixturevalue("s3_url")
    found = await open_storage(url)
    yield found
    await found.close()


@pytest.fixture
def prefix(etcd_prefix: str) -> str:
    return etcd_prefix.strip("/")


@pytest.fixture
def clock() -> FakeClock:
    """The storage reports real ages: a day later is the day after now."""
    return FakeClock(datetime.now(UTC))
