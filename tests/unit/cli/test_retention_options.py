"""Values of `--log-retention` and `--run-retention`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.cli.processes import _retention


@pytest.mark.parametrize(
    ("logs", "runs", "expected"),
    [
        pytest.param("30d", "0", (timedelta(days=30), None), id="as they are by default"),
        pytest.param("0", "90d12h", (None, timedelta(days=90, hours=12)), id="logs as long as their runs"),
        pytest.param("1500ms", "0", (timedelta(milliseconds=1500), None), id="as standalone passes it on"),
    ],
)
def test_retention_is_a_duration_or_0(
    logs: str, runs: str, expected: tuple[timedelta | None, timedelta | None]
) -> None:
    settings = _retention(logs, runs)
    assert (settings.logs, settings.runs) == expected


@pytest.mark.parametrize(
    ("logs", "runs", "option"), [("soon", "0", "--log-retention"), ("1d", "-1d", "--run-retention")]
)
def test_invalid_retention_names_its_option(logs: str, runs: str, option: str) -> None:
    with pytest.raises(InvalidInput, match=option):
        _retention(logs, runs)


@pytest.mark.parametrize(
    ("logs", "runs", "interval", "first"),
    [
        pytest.param("30d", "0", timedelta(hours=1), timedelta(minutes=5), id="as they are by default"),
        pytest.param("0", "0", timedelta(hours=1), timedelta(minutes=5), id="nothing is deleted"),
        pytest.param("1d", "20m", timedelta(minutes=2), timedelta(minutes=2), id="the shorter one counts"),
        pytest.param("2s", "30d", timedelta(seconds=1), timedelta(seconds=1), id="not more often than each second"),
    ],
)
def test_short_retention_is_swept_often(logs: str, runs: str, interval: timedelta, first: timedelta) -> None:
    settings = _retention(logs, runs)
    assert (settings.interval, settings.first) == (interval, first)
