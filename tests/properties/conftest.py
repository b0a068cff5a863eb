"""Histories have hundreds of servers, and nobody reads their logs."""

from __future__ import annotations

import pytest

from tests.properties.run import quiet


@pytest.fixture(autouse=True)
def _quiet_servers() -> None:
    quiet()
