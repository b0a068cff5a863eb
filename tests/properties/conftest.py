"""Turns logs off: histories have hundreds of servers."""

from __future__ import annotations

import pytest

from tests.properties.run import quiet


@pytest.fixture(autouse=True)
def _quiet_servers() -> None:
    quiet()
