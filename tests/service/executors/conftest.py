"""A scripted executor, which leaves when its test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.executor_cluster import Cluster, ScriptedExecutor


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def executor() -> AsyncIterator[ScriptedExecutor]:
    scripted = ScriptedExecutor()
    yield scripted
    await scripted.leave()
