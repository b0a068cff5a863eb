from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import LogSequence
from sluiceway_server.datamanager.settings import DataManagerSettings
from sluiceway_server.datamanager.tables.garbage_rules import (
    Found,
    choose_segments,
    is_before,
    judge_manifests,
    may_go,
    sequence_of_file,
    why_not_now,
)

NOW = datetime(2026, 1, 10, tzinfo=UTC)
RULES = DataManagerSettings(manifests_kept_for=timedelta(hours=24), manifests_kept=3, orphans_after=timedelta(hours=24))
ONE = Lineage.of({1: None}, 1)


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


def found(key: str, hours: float | None = 48) -> Found:
    return Found(key, None if hours is None else NOW - timedelta(hours=hours))


def manifests(*items: tuple[LogSequence, float | None]) -> list[tuple[LogSequence, Found]]:
    return [(sequence, found(f"manifest/{sequence}", hours)) for sequence, hours in items]


def segments(*firsts: LogSequence, hours: float = 48) -> list[tuple[LogSequence, Found]]:
    return [(first, found(f"wal/{first}", hours)) for first in firsts]


# -- manifests

MANIFESTS = [
    pytest.param([], [], [], id="none"),
    pytest.param([(1, 100), (2, 90), (3, 80)], [1, 2, 3], [], id="the newest three stay, however old"),
    pytest.param([(1, 100), (2, 90), (3, 80), (4, 70)], [2, 3, 4], [1], id="the fourth goes"),
    pytest.param([(1, 30), (2, 23), (3, 3), (4, 2), (5, 1)], [2, 3, 4, 5], [1], id="and the young ones stay"),
    pytest.param([(1, 24), (2, 3), (3, 2), (4, 1)], [1, 2, 3, 4], [], id="a day to the tick is young"),
    pytest.param([(1, None), (2, 3), (3, 2), (4, 1)], [1, 2, 3, 4], [], id="one of unknown age stays"),
    pytest.param([(1, -5), (2, 90), (3, 80), (4, 70)], [1, 2, 3, 4], [], id="one of the future stays"),
]


@pytest.mark.parametrize(("items", "kept", "going"), MANIFESTS)
def test_which_manifests_stay(items: list[tuple[int, float | None]], kept: list[int], going: list[int]) -> None:
    judged = judge_manifests(manifests(*((seq(1, n), hours) for n, hours in items)), ONE, NOW, RULES)
    assert judged.kept == tuple(seq(1, n) for n in kept)
    assert judged.going == tuple(seq(1, n) for n in going)
    assert judged.void == ()


def test_void_manifests_do_not_count_among_the_newest() -> None:
    lineage = Lineage.of({1: None, 2: seq(1, 10)}, 2)
    items = manifests((seq(1, 8), 90), (seq(1, 9), 80), (seq(1, 10), 70), (seq(1, 11), 60), (seq(1, 12), 5))
    judged = judge_manifests(items, lineage, NOW, RULES)
    assert judged.kept == (seq(1, 8), seq(1, 9), seq(1, 10))
    assert judged.going == (seq(1, 11),)
    assert judged.void == (seq(1, 12),)


# -- files

FILE = f"data/run/{seq(1, 5)}-1-abc"


@pytest.mark.parametrize(
    ("item", "needed", "goes"),
    [
        pytest.param(found(FILE), [], True, id="old, and named by nothing"),
        pytest.param(found(FILE), [FILE], False, id="named"),
        pytest.param(found(FILE, 23), [], False, id="young"),
        pytest.param(found(FILE, 24), [], False, id="a day old to the tick"),
        pytest.param(found(FILE, None), [], False, id="of unknown age"),
        pytest.param(found(FILE, -100), [], False, id="of the future"),
        pytest.param(found(FILE.replace("data", "index", 1)), [FILE], True, id="a dump beside a file that is named"),
        pytest.param(found("data/run/notes.txt"), [], False, id="not one of ours"),
        pytest.param(found(f"data/{seq(1, 5)}-1-abc"), [], False, id="in no type's folder"),
        pytest.param(found(f"data/a/b/{seq(1, 5)}-1-abc"), [], False, id="too deep"),
        pytest.param(found(f"other/run/{seq(1, 5)}-1-abc"), [], False, id="in another folder"),
    ],
)
def test_which_files_go(item: Found, needed: list[str], goes: bool) -> None:
    assert may_go(item, needed, NOW, RULES) is goes


def test_files_tell_their_sequence() -> None:
    assert sequence_of_file(FILE) == seq(1, 5)
    assert sequence_of_file(f"index/run_config/{seq(2, 3)}-12-00ff") == seq(2, 3)
    assert sequence_of_file("data/run/notes.txt") is None


# -- segments

TWO = Lineage.of({1: None, 2: seq(1, 25), 3: seq(2, 4), 4: seq(2, 4)}, 4)


@pytest.mark.parametrize(
    ("firsts", "oldest", "going"),
    [
        pytest.param([seq(1, 1), seq(1, 11), seq(1, 21)], seq(1, 5), [], id="the manifest is within the first"),
        pytest.param([seq(1, 1), seq(1, 11), seq(1, 21)], seq(1, 9), [], id="at the last entry but one of it"),
        pytest.param([seq(1, 1), seq(1, 11), seq(1, 21)], seq(1, 10), [seq(1, 1)], id="at the last entry of it"),
        pytest.param([seq(1, 1), seq(1, 11), seq(1, 21)], seq(1, 20), [seq(1, 1), seq(1, 11)], id="two before it"),
        pytest.param([seq(1, 1), seq(1, 11)], seq(1, 50), [seq(1, 1)], id="the last one stays: its end is not known"),
        pytest.param([seq(1, 11), seq(1, 21)], seq(1, 3), [], id="nothing before it"),
        pytest.param([seq(1, 1), seq(1, 11), seq(2, 1)], seq(1, 25), [seq(1, 1)], id="at the end of an epoch"),
        pytest.param([seq(1, 1), seq(1, 11), seq(2, 1)], seq(2, 1), [seq(1, 1), seq(1, 11)], id="past an epoch"),
        pytest.param([seq(1, 21), seq(1, 31), seq(2, 1), seq(3, 1)], seq(1, 25), [seq(1, 31), seq(3, 1)], id="void"),
    ],
)
def test_which_segments_go(firsts: list[LogSequence], oldest: LogSequence, going: list[LogSequence]) -> None:
    assert choose_segments(segments(*firsts), oldest, TWO, NOW, RULES) == going
    seen = [item for item in segments(*firsts) if is_before(item[0], oldest, TWO)]
    assert choose_segments(seen, oldest, TWO, NOW, RULES) == going


def test_a_young_segment_stays_and_so_do_those_after_it() -> None:
    items = [*segments(seq(1, 1)), *segments(seq(1, 11), hours=23), *segments(seq(1, 21), seq(1, 31))]
    assert choose_segments(items, seq(1, 30), ONE, NOW, RULES) == [seq(1, 1)]
    young = segments(seq(1, 31), hours=2)
    assert choose_segments([*segments(seq(2, 1)), *young], seq(2, 3), TWO, NOW, RULES) == []


# -- when nothing may


def test_a_server_that_was_left_behind_cleans_nothing() -> None:
    epochs = [(1, found("epoch/1")), (2, found("epoch/2"))]
    assert not why_not_now(ONE, epochs, [seq(1, 9)], NOW, RULES), "an epoch that came to nothing long ago"
    assert "recovery" in why_not_now(ONE, [(2, found("epoch/2", 3))], [], NOW, RULES)
    assert "epoch 2" in why_not_now(ONE, [], [seq(1, 9), seq(2, 1)], NOW, RULES)
    assert not why_not_now(TWO, [(5, found("epoch/5"))], [seq(3, 1), seq(4, 10)], NOW, RULES)


# -- all of it, against a model


@dataclass
class Stored:
    """A whole database as an object storage has it, with what each manifest names."""

    lineage: Lineage
    segments: dict[LogSequence, tuple[LogSequence, float]] = field(default_factory=dict)
    manifests: dict[LogSequence, tuple[frozenset[str], float]] = field(default_factory=dict)
    files: dict[str, float] = field(default_factory=dict)


@st.composite
def databases(draw: st.DrawFn) -> Stored:
    """Epochs, each with segments without a gap and manifests that continue from each other; some entries void."""
    accepted: dict[int, LogSequence | None] = {1: None}
    ends: dict[int, int] = {}
    epochs = draw(st.integers(1, 4))
    for epoch in range(1, epochs + 1):
        ends[epoch] = draw(st.integers(1, 40))
        if epoch > 1:
            of = draw(st.sampled_from(range(1, epoch)))
            accepted[epoch] = seq(of, draw(st.integers(1, ends[of])))
    made = Stored(Lineage.of(accepted, epochs))
    hours = draw(st.integers(0, 300))
    number = 0
    for epoch in range(1, epochs + 1):
        at = 1
        while at <= ends[epoch]:
            last = min(at + draw(st.integers(0, 9)), ends[epoch])
            made.segments[seq(epoch, at)] = (seq(epoch, last), hours)
            at = last + 1
            hours = max(hours - draw(st.integers(0, 20)), 0)
            if draw(st.booleans()):
                sequence = seq(epoch, draw(st.integers(last - 3, last)))
                before = [names for known, (names, _) in sorted(made.manifests.items()) if known < sequence]
                names = set(draw(st.permutations(sorted(before[-1])))[:3]) if before else set()
                for _ in range(draw(st.integers(0, 2))):
                    number += 1
                    names.add(f"data/run/{max(sequence, seq(epoch, 0))}-{number}-x")
                if sequence.counter > 0 and sequence not in made.manifests:
                    made.manifests[sequence] = (frozenset(names), hours)
                for name in names:
                    made.files.setdefault(name, hours)
            if draw(st.booleans()):
                number += 1
                made.files[f"index/run/{seq(epoch, last)}-{number}-x"] = hours
    return made


@given(databases())
def test_nothing_that_is_needed_ever_goes(stored: Stored) -> None:
    lineage = stored.lineage
    listed = [(sequence, found(str(sequence), hours)) for sequence, (_, hours) in stored.manifests.items()]
    judged = judge_manifests(listed, lineage, NOW, RULES)
    history = sorted(sequence for sequence in stored.manifests if lineage.contains(sequence))
    assert set(history[-3:]) <= set(judged.kept)
    assert sorted((*judged.kept, *judged.going, *judged.void)) == sorted(stored.manifests)
    assert all(stored.manifests[sequence][1] > 24 for sequence in judged.going)
    if not judged.kept:
        assert not history
        return
    needed = {name for sequence in (*judged.kept, *judged.void) for name in stored.manifests[sequence][0]}
    going = {key for key, hours in stored.files.items() if may_go(found(key, hours), needed, NOW, RULES)}
    for sequence in judged.kept:
        assert not going & stored.manifests[sequence][0]
    assert all(stored.files[name] > 24 for name in going)
    left = {name for name, hours in stored.files.items() if hours > 24} - going
    assert left <= needed, "no orphan is left"

    oldest, end = judged.kept[0], seq(lineage.present, max(s.counter for s, _ in last_of(stored, lineage.present)))
    chosen = choose_segments(
        [(first, found(str(first), hours)) for first, (_, hours) in stored.segments.items()],
        oldest,
        lineage,
        NOW,
        RULES,
    )
    assert all(stored.segments[first][1] > 24 for first in chosen)
    remaining = dict(stored.segments)
    for first in (None, *chosen):
        remaining.pop(first, None)  # type: ignore[arg-type]
        entries = {seq(f.epoch, n) for f, (last, _) in remaining.items() for n in range(f.counter, last.counter + 1)}
        at = oldest
        while at < end:
            at = lineage.following(at)
            assert at in entries, "the way from the oldest manifest to the present has no gap, at any time"
        within = sorted(f for f in remaining if lineage.contains(f))
        of_history = {entry for entry in entries if lineage.contains(entry)}
        at = within[0]
        while at < end:
            at = lineage.following(at)
            assert at in of_history, "nor has what is left before it"


def last_of(stored: Stored, epoch: int) -> list[tuple[LogSequence, float]]:
    return [item for first, item in stored.segments.items() if first.epoch == epoch]
