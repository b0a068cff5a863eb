from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.logs.layout import LINE_BLOCK, LineIndex, LogKey, Segment, cover_of
from sluiceway_server.runrecords.types import SETUP_STEP


def _segments(*pairs: tuple[int, int]) -> tuple[Segment, ...]:
    return tuple(Segment(offset, size, f"{offset:020d}") for offset, size in pairs)


@pytest.mark.parametrize(
    ("pairs", "length"),
    [
        pytest.param((), 0, id="nothing stored"),
        pytest.param(((0, 10),), 10, id="one segment"),
        pytest.param(((0, 10), (10, 5)), 15, id="two that touch"),
        pytest.param(((0, 10), (11, 5)), 10, id="a gap of one byte ends the cover"),
        pytest.param(((5, 10),), 0, id="the first one is missing"),
        pytest.param(((0, 10), (4, 10), (14, 1)), 15, id="two servers cut differently"),
        pytest.param(((0, 10), (2, 3), (10, 1)), 11, id="a short one inside a long one adds nothing"),
        pytest.param(((10, 5), (0, 10)), 15, id="listed in any order"),
    ],
)
def test_cover_ends_at_the_first_gap_between_segments(pairs: tuple[tuple[int, int], ...], length: int) -> None:
    chosen, covered = cover_of(_segments(*pairs))
    assert covered == length
    position = 0
    for segment in chosen:
        assert segment.offset <= position < segment.end
        position = segment.end
    assert position == length


def test_path_of_a_log_is_parsed_to_its_key() -> None:
    for key in (LogKey("r", "t", Epoch(2, 3), 12), LogKey("r", "t", Epoch(1, 1), SETUP_STEP)):
        _, run, task, attempt, step, rest = key.path.split("/")
        assert rest == ""
        assert LogKey.parse(run, task, attempt, step) == key


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(("r", "t", "1", "0"), id="no attempt"),
        pytest.param(("r", "t", "1.1", "x"), id="no step"),
        pytest.param(("r", "t", "1.+1", "0"), id="a sign"),
        pytest.param(("r", "t", "1.1", "-1"), id="the number of the setup"),
        pytest.param(("r", "t", "01.1", "0"), id="a zero in front"),
    ],
)
def test_path_that_is_not_of_a_log_is_refused(parts: tuple[str, str, str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        LogKey.parse(*parts)


@given(st.binary(max_size=400).map(lambda b: b.replace(b"a", b"\n")), st.lists(st.integers(1, 50)))
def test_index_does_not_depend_on_how_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    whole, cut = LineIndex(), LineIndex()
    whole.feed(data)
    position = 0
    for size in [*cuts, len(data)]:
        cut.feed(data[position : position + size])
        position += size
    assert cut.finish() == whole.finish()


def test_index_counts_line_ends_before_each_block() -> None:
    data = b"x" * (LINE_BLOCK - 1) + b"\n" + b"\n" * 3 + b"y" * LINE_BLOCK
    lines = LineIndex()
    lines.feed(data)
    index = lines.finish()
    assert index.newlines == 4
    assert index.newlines_before == (1, 4)
    assert index.sha256 == hashlib.sha256(data).hexdigest()
