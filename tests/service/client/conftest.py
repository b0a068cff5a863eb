"""The command line against a real `RunService`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.commands import ServedEngine, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[ServedEngine]:
    async with serving(tmp_path) as served:
        yield served
