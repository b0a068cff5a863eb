from __future__ import annotations

import pytest

from sluiceway_server.datamanager.log.epochs import Lineage
from sluiceway_server.datamanager.model import LogSequence


def seq(epoch: int, counter: int) -> LogSequence:
    return LogSequence(epoch, counter)


ACCEPTED = {1: None, 2: seq(1, 4), 3: seq(2, 5), 4: seq(2, 3)}


def test_lineage_leaves_out_epochs_that_no_epoch_continues():
    lineage = Lineage.of(ACCEPTED, 4)
    assert lineage.epochs == (1, 2, 4)
    assert lineage.ends == {1: seq(1, 4), 2: seq(2, 3)}
    assert lineage.present == 4


@pytest.mark.parametrize(
    ("sequence", "part"),
    [
        (seq(1, 0), True),
        (seq(1, 4), True),
        (seq(1, 5), False),
        (seq(2, 3), True),
        (seq(2, 4), False),
        (seq(3, 1), False),
        (seq(4, 1), True),
        (seq(4, 10**9), True),
        (seq(5, 1), False),
    ],
)
def test_what_is_part_of_it(sequence, part):
    assert Lineage.of(ACCEPTED, 4).contains(sequence) is part


def test_the_next_entry_crosses_into_the_epoch_that_went_on():
    lineage = Lineage.of(ACCEPTED, 4)
    assert lineage.following(seq(1, 3)) == seq(1, 4)
    assert lineage.following(seq(1, 4)) == seq(2, 1)
    assert lineage.following(seq(2, 3)) == seq(4, 1)
    assert lineage.following(seq(4, 7)) == seq(4, 8)
    with pytest.raises(ValueError, match="not part"):
        lineage.following(seq(1, 5))


def test_an_epoch_of_which_nothing_was_accepted():
    lineage = Lineage.of({1: None, 2: seq(1, 0)}, 2)
    assert not lineage.contains(seq(1, 1))
    assert lineage.following(seq(1, 0)) == seq(2, 1)


def test_epoch_objects_that_make_no_chain():
    with pytest.raises(KeyError):
        Lineage.of({3: seq(2, 1)}, 3)
    with pytest.raises(ValueError, match="not before it"):
        Lineage.of({2: seq(2, 1)}, 2)


def test_a_history_may_be_ended_at_one_of_its_entries():
    lineage = Lineage.of(ACCEPTED, 4)
    ended = lineage.until(seq(2, 2))
    assert (ended.epochs, ended.ends) == ((1, 2), {1: seq(1, 4), 2: seq(2, 2)})
    assert ended.contains(seq(2, 2))
    assert not ended.contains(seq(2, 3))
    assert ended.following(seq(2, 2)) == seq(2, 3)
    assert ended.following(seq(1, 4)) == seq(2, 1)
    with pytest.raises(ValueError, match="not part"):
        lineage.until(seq(3, 1))


@pytest.mark.parametrize(
    ("after", "last", "between"),
    [
        (seq(4, 2), seq(4, 2), []),
        (seq(4, 2), seq(4, 5), [(seq(4, 3), seq(4, 5))]),
        (seq(1, 2), seq(1, 4), [(seq(1, 3), seq(1, 4))]),
        (seq(1, 4), seq(2, 1), [(seq(2, 1), seq(2, 1))]),
        (seq(1, 2), seq(4, 7), [(seq(1, 3), seq(1, 4)), (seq(2, 1), seq(2, 3)), (seq(4, 1), seq(4, 7))]),
    ],
)
def test_what_is_between_two_entries_of_the_history(after, last, between):
    assert list(Lineage.of(ACCEPTED, 4).between(after, last)) == between


def test_entries_are_counted_along_the_history() -> None:
    lineage = Lineage.of({1: None, 2: seq(1, 4), 3: seq(2, 5), 4: seq(2, 3)}, 4)
    assert lineage.count(seq(1, 1), seq(1, 4)) == 3
    assert lineage.count(seq(1, 4), seq(1, 4)) == 0
    assert lineage.count(seq(1, 4), seq(1, 1)) == 0
    assert lineage.count(seq(1, 4), seq(2, 0)) == 0
    assert lineage.count(seq(1, 4), seq(2, 1)) == 1
    assert lineage.count(seq(1, 1), seq(4, 2)) == 3 + 3 + 2
    with pytest.raises(ValueError, match="not part"):
        lineage.count(seq(1, 5), seq(4, 1))
