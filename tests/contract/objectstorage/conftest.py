from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway_server.objectstorage.locate import open_storage
from sluiceway_server.objectstorage.port import ObjectStorage
from sluiceway_server.objectstorage.posix import PosixStorage
from tests.fakes.objectstorage import FakeObjectStorage


@pytest.fixture(params=["posix", "fake", "seaweed", "moto"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStorage]:
    storage: ObjectStorage
    if request.param == "posix":
        storage = PosixStorage(tmp_path / "root")
    elif request.param == "fake":
        storage = FakeObjectStorage()
    else:
        storage = await open_storage(
            request.getfixturevalue("s3_url" if request.param == "seaweed" else "s3_memory_url")
        )
    yield storage
    await storage.close()
    # pytest's own cleaning cannot remove folders hundreds deep, which a test that failed may leave.
    await asyncio.to_thread(subprocess.run, ["rm", "-rf", str(tmp_path / "root")], check=True, timeout=60)
