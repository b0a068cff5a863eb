from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.logs.search import PIECE_BYTES, LineMatch, LogSearch, Pattern

LOG = b"one\ntwo \x1b[31mer\x1b[0mror\nthree\nError x\r\nfive\nlast error"


def matches(data: bytes, pattern: Pattern, *, piece: int = 7, context: int = 0, most: int = 1000) -> list[LineMatch]:
    search, found = LogSearch(pattern, context=context, most=most), []
    for begin in range(0, len(data), piece):
        found += search.feed(data[begin : begin + piece])
        if search.is_over:
            return found
    return found + search.finish()


@pytest.mark.parametrize(
    ("pattern", "lines"),
    [
        pytest.param(Pattern("error"), [2, 6], id="a text, across a colour"),
        pytest.param(Pattern("ERROR", ignore_case=True), [2, 4, 6], id="in both cases"),
        pytest.param(Pattern("e."), [], id="a text is no expression"),
        pytest.param(Pattern("^(one|five)$", regexp=True), [1, 5], id="ends of lines"),
        pytest.param(Pattern(r"o\s*t", regexp=True), [], id="not across lines"),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_lines_with_a_pattern_are_found(pattern: Pattern, lines: list[int], piece: int) -> None:
    assert [each.line for each in matches(LOG, pattern, piece=piece)] == lines


def test_match_has_its_line_and_context() -> None:
    two, six = matches(LOG, Pattern("error"), context=2)
    assert two == LineMatch(2, "two \x1b[31mer\x1b[0mror", ("one",), ("three", "Error x"))
    assert six == LineMatch(6, "last error", ("Error x", "five"), ())


@given(
    data=st.lists(st.sampled_from([b"a", b"b", b"\n", b"\n", b"\x1b[1m"]), max_size=60).map(b"".join),
    piece=st.integers(1, 9),
    context=st.integers(0, 3),
)
def test_matches_do_not_depend_on_the_pieces(data: bytes, piece: int, context: int) -> None:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    texts = [line.decode() for line in lines]
    expected = [
        LineMatch(n + 1, text, tuple(texts[max(0, n - context) : n]), tuple(texts[n + 1 : n + 1 + context]))
        for n, text in enumerate(texts)
        if "ab" in text.replace("\x1b[1m", "")
    ]
    assert matches(data, Pattern("ab"), piece=piece, context=context) == expected


def test_search_ends_after_as_many_matches_as_asked() -> None:
    assert [each.line for each in matches(b"x\n" * 100, Pattern("x"), most=3)] == [1, 2, 3]


def test_line_of_any_length_is_searched_in_bounded_memory() -> None:
    search, found = LogSearch(Pattern("needle"), context=3), []
    for _ in range(20):
        # It is one line, although it is searched in parts.
        found += search.feed(b"needle" + b"x" * PIECE_BYTES)
        assert len(search._data) <= 2 * PIECE_BYTES
    found += search.feed(b"needle" + b"y" * 5000 + b"\nneedle\n") + search.finish()
    assert [each.line for each in found] == [1, 2]
    assert all(len(each.text) <= 1000 and "needle" in each.text for each in found)


def test_bytes_that_are_not_text_are_searched() -> None:
    (found,) = matches(b"\x00\xff\xfe\n\xffne\xc3\xa9dle\x00\n", Pattern("neédle"))
    assert (found.line, found.text) == (2, "\ufffdneédle\x00")


@pytest.mark.parametrize("pattern", ["", "a\nb", "(", "a**", r"\1", "(?<=a)b"])
def test_pattern_that_cannot_be_searched_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput, match="pattern"):
        Pattern(pattern, regexp=True)
