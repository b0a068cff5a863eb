from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway.objectstorage.port import ObjectStorage
from sluiceway.objectstorage.posix import PosixStorage
from tests.fakes.objectstorage import FakeObjectStorage


@pytest.fixture(params=["posix", "fake"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStorage]:
    storage: ObjectStorage = PosixStorage(tmp_path / "root") if request.param == "posix" else FakeObjectStorage()
    yield storage
    await storage.close()
    # pytest's own cleaning cannot remove folders a thousand deep, which a test that failed may leave.
    await asyncio.to_thread(subprocess.run, ["rm", "-rf", str(tmp_path / "root")], check=True, timeout=60)
