from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_server.logs.first_error import SEARCHED_BYTES, FirstError, Place, excerpt_lines, search_start
from sluiceway_server.logs.layout import LINE_BLOCK

ERRORS = [
    "error: no such file",
    "main.c:3:5: error: expected ';'",
    "error[E0308]: mismatched types",
    "ERROR  something",
    "FAILED tests/test_x.py::test_y - assert 1 == 2",
    "--- FAIL: TestThings (0.00s)",
    "FAIL\texample.org/x 0.1s",
    "npm ERR! missing script: build",
    "Traceback (most recent call last):",
    "ValueError: bad",
    "java.lang.NullPointerException",
    "panic: runtime error: index out of range",
    "thread 'main' panicked at src/main.rs:2:5:",
    "fatal: not a git repository",
    "bash: line 1: foo: command not found",
    "sh: 1: foo: not found",
    "not ok 3 - works",
    "E   assert 1 == 2",
    "make: *** [all] Error 2",
    "2 failed, 3 passed",
    "\x1b[31merror\x1b[0m: x",
    "\x1b[31mer\x1b[1mror\x1b[0m: x",
    "0 errors, 1 failure",
]
OTHERS = [
    "",
    "0 failed, 3 passed",
    "no errors",
    "without error",
    "12 passed, 0 errors",
    "writing error.log",
    "downloading http-errors",
    "cat /var/log/error",
    "everything is fine",
    "terror",
    "failover is on",
    "ok 3 - not found by the old one",
]


def _found(log: bytes, piece: int = 1 << 30) -> Place | None:
    error = FirstError()
    for begin in range(0, len(log), piece):
        error.feed(log[begin : begin + piece])
    error.finish()
    return error.found


@pytest.mark.parametrize("line", ERRORS)
def test_line_looks_like_an_error(line: str) -> None:
    assert _found(f"fine\n{line}\nfine\n".encode()) == Place(5, 1)


@pytest.mark.parametrize("line", OTHERS)
def test_line_does_not_look_like_an_error(line: str) -> None:
    assert _found(f"fine\n{line}\nfine\n".encode()) is None


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
def test_first_error_is_found_in_pieces_of_any_size(piece: int) -> None:
    log = "one\ntwo é\n\x1b[31mer\x1b[1mror\x1b[0m: x\nerror again\n".encode()
    assert _found(log, piece) == Place(11, 2)


def test_last_line_without_a_newline_is_looked_at() -> None:
    error = FirstError()
    error.feed(b"fine\nfatal: x")
    assert error.found is None
    error.finish()
    assert error.found == Place(5, 1)


def test_line_numbers_count_from_the_offset_of_the_search() -> None:
    error = FirstError(LINE_BLOCK)
    error.feed(b"rest of a line\nerror\n")
    assert error.found == Place(LINE_BLOCK + 15, 1)


def test_bytes_that_are_no_text_are_searched() -> None:
    assert _found(b"\xff\xfe\x00\n\xff error\xff\n") == Place(4, 1)


@given(st.lists(st.sampled_from([*(each.encode() for each in (*ERRORS, *OTHERS)), b"\xff\r"])), st.integers(1, 50))
def test_first_error_is_that_of_the_lines_alone(lines: list[bytes], piece: int) -> None:
    log = b"\n".join(lines)
    first = next((index for index, line in enumerate(lines) if _found(line) is not None), None)
    found = _found(log, piece)
    assert (None if found is None else found.line) == first
    if found is not None:
        assert log[: found.offset].count(b"\n") == found.line
        assert found.offset == 0 or log[found.offset - 1 : found.offset] == b"\n"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"0 failed\n", id="counts of none"),
        pytest.param(b"A.", id="one line of names"),
        pytest.param(b"\x1b[", id="sequences that do not end"),
        pytest.param(b"x" * 999 + b"Erro", id="one long word"),
    ],
)
def test_hostile_log_is_searched_in_linear_time(line: bytes) -> None:
    # A quadratic search of a megabyte takes hours: that the test ends is the proof.
    assert _found(line * (1024 * 1024 // len(line)), 256 * 1024) is None


def test_search_of_a_large_log_begins_at_a_counted_line() -> None:
    assert search_start(SEARCHED_BYTES) == 0
    assert search_start(SEARCHED_BYTES + LINE_BLOCK - 1) == 0
    assert search_start(SEARCHED_BYTES + LINE_BLOCK) == LINE_BLOCK


def test_excerpt_has_whole_lines_from_either_end() -> None:
    assert excerpt_lines(b"a\nb\nc\n", 2, is_begin=True) == ["a", "b"]
    assert excerpt_lines(b"a\nb\nc", 2, is_begin=False) == ["b", "c"]
    assert excerpt_lines(b"", 2, is_begin=True) == []
    assert excerpt_lines(b"\xff" + b"x" * 5000, 2, is_begin=True) == ["\ufffd" + "x" * 999]
