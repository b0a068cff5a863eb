from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.records.storage.v1.storage_pb2 import FileRef
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.compaction_plan import (
    OverlappingFiles,
    Rewrite,
    checkpoint_due,
    plan_rewrites,
)

MOST, TINY = 160, 10


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


# -- when one is due

DUE = DataManagerSettings(checkpoint_entries=100, checkpoint_bytes=1000, checkpoint_interval=timedelta(minutes=10))


@pytest.mark.parametrize(
    ("entries", "size", "age", "due"),
    [
        pytest.param(0, 10**9, timedelta(days=1), False, id="nothing has changed"),
        pytest.param(99, 999, timedelta(minutes=10, microseconds=-1), False, id="all just below"),
        pytest.param(100, 0, timedelta(), True, id="as many entries"),
        pytest.param(1, 1000, timedelta(), True, id="as many bytes"),
        pytest.param(1, 1, timedelta(minutes=10), True, id="as old, and something has changed"),
        pytest.param(1, 1, timedelta(days=-3), False, id="a manifest of the future: a clock went back"),
    ],
)
def test_when_a_checkpoint_is_due(entries: int, size: int, age: timedelta, due: bool) -> None:
    assert bool(checkpoint_due(DUE, entries=entries, size=size, age=age)) is due


# -- which files are written again


def file_ref(first: str, last: str, size: int, records: int) -> FileRef:
    return FileRef(first=first, last=last, size=size, records=records)


def files(*items: tuple[str, int]) -> list[FileRef]:
    """`("a-f", 30)` is a file of 30 bytes with ids from a to f; it has 10 records."""
    return [file_ref(range_[0], range_[-1], size, 10) for range_, size in items]


def plan(existing: list[FileRef], **changes: int | None) -> tuple[Rewrite, ...]:
    touched = OverlappingFiles(existing)
    touched.add(sorted(changes.items()))
    return plan_rewrites(touched, MOST)


def shown(rewrites: tuple[Rewrite, ...]) -> list[tuple[int, int, str | None, str | None]]:
    return [(rewrite.start, rewrite.end, rewrite.after, rewrite.before) for rewrite in rewrites]


FULL = files(("a-f", 150), ("i-n", 150), ("q-v", 150))
TABLE = [
    pytest.param(FULL, {}, [], id="nothing changed"),
    pytest.param([], {"c": 5}, [(0, 0, None, None)], id="the first file of a type"),
    pytest.param([], {"c": None}, [], id="what is deleted from nothing writes nothing"),
    pytest.param(FULL, {"b": 5}, [(0, 1, None, "i")], id="a record stored in the first file"),
    pytest.param(FULL, {"a": 5}, [(0, 1, None, "i")], id="the first record of a file is in it"),
    pytest.param(FULL, {"f": 5}, [(0, 1, None, "i")], id="the last record of a file is in it"),
    pytest.param(FULL, {"k": None}, [(1, 2, "f", "q")], id="a record deleted in the middle"),
    pytest.param(FULL, {"p": None}, [], id="a deletion between files touches none"),
    pytest.param(FULL, {"p": 5}, [(2, 2, "n", "q")], id="between full files: a file of its own"),
    pytest.param(FULL, {"z": 5}, [(3, 3, "v", None)], id="after full files: a file of its own"),
    pytest.param(FULL, {"A": 5}, [(0, 0, None, "a")], id="before full files: a file of its own"),
    pytest.param(FULL, {"b": 5, "g": 5, "j": 5}, [(0, 2, None, "q")], id="neighbours and what is between are one"),
    pytest.param(FULL, {"b": 5, "j": 5}, [(0, 2, None, "q")], id="touched neighbours are one stream"),
    pytest.param(FULL, {"b": 5, "r": 5}, [(0, 1, None, "i"), (2, 3, "n", None)], id="two that are apart"),
    pytest.param(files(("a-f", 10)), {"g": 1}, [(0, 1, None, None)], id="a tiny neighbour is taken in"),
    pytest.param(files(("a-f", 11)), {"g": 1}, [(1, 1, "f", None)], id="one that is not tiny is left"),
    pytest.param(files(("a-f", 11)), {"g": 11}, [(0, 1, None, None)], id="no larger than what is written: taken in"),
    pytest.param(files(("a-f", 80)), {"g": 81}, [(1, 1, "f", None)], id="both together would not fit"),
    pytest.param(
        files(("a-b", 80), ("c-d", 40), ("e-f", 20)), {"g": 20}, [(0, 3, None, None)], id="sums take in larger ones"
    ),
    pytest.param(
        files(("a-b", 80), ("c-d", 40), ("e-f", 20)), {"g": 19}, [(3, 3, "f", None)], id="or wait for a little more"
    ),
    pytest.param(files(("a-b", 8), ("c-d", 150), ("e-f", 9)), {"c": 1}, [(0, 3, None, None)], id="tiny on both sides"),
    pytest.param(
        files(("a-b", 150), ("c-d", 9), ("e-f", 150)), {"a": 1, "f": 1}, [(0, 3, None, None)], id="joined by a tiny one"
    ),
    pytest.param(
        files(("a-b", 20), ("c-d", 150)), {"c": None, "cc": None, "ccc": None}, [(0, 2, None, None)], id="shrunk so far"
    ),
]


@pytest.mark.parametrize(("existing", "changes", "expected"), TABLE)
def test_which_files_are_written_again(
    existing: list[FileRef], changes: dict[str, int | None], expected: list[tuple[int, int, str | None, str | None]]
) -> None:
    assert shown(plan(existing, **changes)) == expected


def test_a_shrunk_file_counts_for_what_is_left_of_it() -> None:
    existing = files(("a-b", 60), ("c-d", 150))
    assert shown(plan(existing, c=None)) == [(1, 2, "b", None)]
    half = {f"c{n}": None for n in range(5)}
    assert shown(plan(existing, **half)) == [(0, 2, None, None)]


def test_new_files_begin_at_the_limit_or_at_even_pieces() -> None:
    (alone,) = plan(FULL, b=5)
    assert alone.cut == 160
    (middle,) = plan(FULL, b=50)
    assert 100 <= middle.cut < 160, "two pieces that are alike, and not a full one and a tiny one"
    (end,) = plan(FULL, r=50)
    assert end.cut == 160, "at the end the rest is taken in by what follows"


ids = st.text("abcdefghij", min_size=1, max_size=4)


@st.composite
def databases(draw: st.DrawFn) -> tuple[list[FileRef], dict[str, int | None]]:
    bounds = sorted(draw(st.sets(ids, max_size=24)))
    existing = []
    at = 0
    while at < len(bounds):
        last = min(at + draw(st.integers(0, 1)), len(bounds) - 1)
        existing.append(
            file_ref(bounds[at], bounds[last], draw(st.integers(1, 200)), draw(st.integers(1, 20)) + last - at)
        )
        at = last + 1
    return existing, draw(st.dictionaries(ids, st.none() | st.integers(1, 200), max_size=20))


@given(databases())
def test_every_change_has_one_place_and_untouched_files_none(
    database: tuple[list[FileRef], dict[str, int | None]],
) -> None:
    existing, changes = database
    touched = OverlappingFiles(existing)
    touched.add(sorted(changes.items()))
    rewrites = plan_rewrites(touched, MOST)
    for one, other in pairwise(rewrites):
        assert one.end < other.start, "rewrites are in order, and neighbours are one"
    for rewrite in rewrites:
        assert 0 < rewrite.cut <= MOST
        assert 0 <= rewrite.start <= rewrite.end <= len(existing)

    def within(rewrite: Rewrite, id_: str) -> bool:
        return (rewrite.after is None or id_ > rewrite.after) and (rewrite.before is None or id_ < rewrite.before)

    for id_, size in changes.items():
        places = [rewrite for rewrite in rewrites if within(rewrite, id_)]
        inside = [at for at, file in enumerate(existing) if file.first <= id_ <= file.last]
        assert len(places) <= 1
        if inside:
            assert places, "what is in a file's range makes it be written"
            assert places[0].start <= inside[0] < places[0].end
        if size is not None:
            assert places, "what is stored is written"
    for rewrite in rewrites:
        for file in existing[rewrite.start : rewrite.end]:
            assert within(rewrite, file.first)
            assert within(rewrite, file.last)


@pytest.mark.parametrize("portion", [1, 7, 40, 170])
def test_records_that_are_only_added_make_few_files(portion: int) -> None:
    """The usual case: ids grow with time. Sizes here are exact, as if nothing were compressed."""
    existing: list[FileRef] = []
    written = total = number = 0
    while total < 4000:
        number += 1
        touched = OverlappingFiles(existing)
        touched.add([(f"{number:06}", portion)])
        (rewrite,) = plan_rewrites(touched, MOST)
        size = portion + sum(file.size for file in existing[rewrite.start : rewrite.end])
        first = existing[rewrite.start].first if rewrite.start < rewrite.end else f"{number:06}"
        made: list[FileRef] = []
        left = size
        while left > 0:
            made.append(file_ref(f"{first}{'x' * len(made)}", f"{first}{'x' * len(made)}", min(left, rewrite.cut), 1))
            left -= rewrite.cut
        made[-1] = file_ref(made[-1].first, f"{number:06}", made[-1].size, 1)
        existing[rewrite.start : rewrite.end] = made
        written += size
        total += portion
        tiny = [file for file in existing if file.size <= TINY]
        assert len(tiny) <= 1
    assert len(existing) <= total // MOST * 2 + 5
    # Each byte: while it is in a tiny file, once a portion; then once for each doubling, of which there are four.
    assert written <= total * (TINY / portion + 6)
