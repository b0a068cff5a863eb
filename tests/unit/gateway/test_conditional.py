"""Entity tags and byte ranges (RFC 9110)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_server.gateway.conditional import ByteRange, parse_range, tag_is_listed

HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=2-4", ByteRange(2, 4)),
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=007-010", ByteRange(7, 10)),
        ("Bytes = 2-4", ByteRange(2, 4)),
        ("bytes=2-", ByteRange(2, None)),
        ("bytes=-5", ByteRange(None, 5)),
        ("bytes=-0", ByteRange(None, 0)),
        ("bytes=2-4,", ByteRange(2, 4)),
        (f"bytes=2-{HUGE}", ByteRange(2, 10**18)),
        (f"bytes={HUGE}-", ByteRange(10**18, None)),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=4-2", None),
        ("bytes=a-b", None),
        ("bytes=1-2-3", None),
        ("bytes=1 - 2", None),
        ("bytes=--1", None),
        ("bytes=+1-2", None),
        ("bytes=0-1,4-5", None),
        ("lines=1-2", None),
        ("bytes 1-2", None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_range_header_is_parsed_or_ignored(header: str, expected: ByteRange | None) -> None:
    assert parse_range(header) == expected


@pytest.mark.parametrize(
    ("asked", "size", "expected"),
    [
        (ByteRange(2, 4), 10, range(2, 5)),
        (ByteRange(2, 99), 10, range(2, 10)),
        (ByteRange(2, None), 10, range(2, 10)),
        (ByteRange(9, 9), 10, range(9, 10)),
        (ByteRange(10, 10), 10, None),
        (ByteRange(0, None), 0, None),
        (ByteRange(None, 3), 10, range(7, 10)),
        (ByteRange(None, 99), 10, range(10)),
        (ByteRange(None, 0), 10, None),
    ],
    ids=str,
)
def test_range_is_within_the_file_or_unsatisfiable(asked: ByteRange, size: int, expected: range | None) -> None:
    assert asked.within(size) == expected


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_range_equals_a_slice_of_the_file(first: int, more: int, size: int) -> None:
    data = bytes(size)
    found = ByteRange(first, first + more).within(size)
    assert len(data[first : first + more + 1]) == (0 if found is None else len(found))


@pytest.mark.parametrize(
    ("header", "strong", "weak"),
    [
        ('"a"', True, True),
        ('"b", "a"', True, True),
        ('W/"a"', False, True),
        ("*", True, True),
        ('"b"', False, False),
        ('"ab"', False, False),
        ("a", False, False),
        ("", False, False),
    ],
)
def test_entity_tag_is_matched_against_a_list(header: str, strong: bool, weak: bool) -> None:
    assert tag_is_listed('"a"', header, weak=False) is strong
    assert tag_is_listed('"a"', header, weak=True) is weak
