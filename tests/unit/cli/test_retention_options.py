"""What `--log-retention` and `--run-retention` take."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluiceway.cli.processes import _retention
from sluiceway.foundation.errors import InvalidInput


@pytest.mark.parametrize(
    ("logs", "runs", "expected"),
    [
        pytest.param("30d", "0", (timedelta(days=30), None), id="as they are by default"),
        pytest.param("0", "90d12h", (None, timedelta(days=90, hours=12)), id="logs as long as their runs"),
        pytest.param("1500ms", "0", (timedelta(milliseconds=1500), None), id="as standalone passes it on"),
    ],
)
def test_a_span_or_0_for_ever(logs: str, runs: str, expected: tuple[timedelta | None, timedelta | None]) -> None:
    settings = _retention(logs, runs)
    assert (settings.logs, settings.runs) == expected


@pytest.mark.parametrize(
    ("logs", "runs", "option"), [("soon", "0", "--log-retention"), ("1d", "-1d", "--run-retention")]
)
def test_a_fault_names_its_option(logs: str, runs: str, option: str) -> None:
    with pytest.raises(InvalidInput, match=option):
        _retention(logs, runs)
