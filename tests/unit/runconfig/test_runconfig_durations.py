"""Durations and amounts: read, written, refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.runconfig.durations import (
    DAY,
    HOUR,
    MAX_DURATION,
    MINUTE,
    SECOND,
    format_duration,
    parse_duration,
)
from sluiceway_common.runconfig.quantities import parse_bytes, parse_cpu_millis

GOOD: list[tuple[Any, int]] = [
    ("10s", 10 * SECOND),
    ("1h30m", HOUR + 30 * MINUTE),
    ("7d", 7 * DAY),
    ("1.5h", 90 * MINUTE),
    ("0.1s", SECOND // 10),
    ("100ms", SECOND // 10),
    ("1us", 1000),
    ("1µs", 1000),
    ("1ns", 1),
    ("30m1h", 90 * MINUTE),
    (1, 1),
    (3_600_000_000_000, HOUR),
    ("3650d", MAX_DURATION),
]


@pytest.mark.parametrize(("value", "nanoseconds"), GOOD, ids=[repr(v) for v, _ in GOOD])
def test_duration_is_read(value: Any, nanoseconds: int) -> None:
    assert parse_duration(value) == nanoseconds


@pytest.mark.parametrize(
    "value",
    ["", "10", "s", "1 h", "-1s", "1h-30m", "1w", "1H", "0s", 0, -1, True, 1.5, None, [], "3650d1ns", MAX_DURATION + 1,
     "1" * 1000 + "s", "1h" * 1000, "١s", "0.1ns", "1e3s", "1..5s"],
    ids=repr,
)  # fmt: skip
def test_what_is_no_duration_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(value)


@given(st.integers(1, MAX_DURATION))
def test_duration_that_was_written_is_read_as_it_was(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.text(max_size=20))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_duration(text) > 0


@pytest.mark.parametrize(
    ("value", "amount"),
    [("512Mi", 512 << 20), ("1G", 10**9), ("1GB", 10**9), ("1.5Gi", 3 << 29), (1024, 1024), ("1k", 1000), ("7", 7)],
)
def test_bytes_are_read(value: Any, amount: int) -> None:
    assert parse_bytes(value) == amount


@pytest.mark.parametrize(
    "value", ["", "1X", "-1", 0, True, 1.5, "0", "9999999Ti", "1 G", None, "9" * 10_000], ids=lambda v: repr(v)[:20]
)
def test_what_is_no_amount_of_bytes_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_bytes(value)


@pytest.mark.parametrize(("value", "amount"), [("500m", 500), (0.5, 500), (2, 2000), ("1.5", 1500), (0.1, 100)])
def test_processors_are_read(value: Any, amount: int) -> None:
    assert parse_cpu_millis(value) == amount


@pytest.mark.parametrize("value", ["", "1c", -1, 0, True, "0.0001", 1e300, 10**30, None, 1001], ids=repr)
def test_what_is_no_amount_of_processors_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_cpu_millis(value)
