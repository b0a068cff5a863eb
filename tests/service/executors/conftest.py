"""A scripted executor, which leaves when its test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.executor_side import House, ScriptedExecutor


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def executor() -> AsyncIterator[ScriptedExecutor]:
    scripted = ScriptedExecutor()
    yield scripted
    await scripted.leave()
