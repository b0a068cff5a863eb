"""When a server leaves the next entry to others."""

from __future__ import annotations

import pytest

from sluiceway_server.datamanager.engine.writer_fairness import MOST_IN_A_ROW, WriterFairness

ENTRY = 0.002


def after(writers: str) -> tuple[WriterFairness, float]:
    """The turns of server `a` after entries of servers named by a letter, one each `ENTRY` seconds."""
    turns, now = WriterFairness("a"), 100.0
    for writer in writers:
        now += ENTRY
        turns.wrote(writer, now)
    return turns, now


@pytest.mark.parametrize(
    ("writers", "waits"),
    [
        pytest.param("", False, id="an empty log"),
        pytest.param("a" * 50, False, id="alone"),
        pytest.param("b" + "a" * (MOST_IN_A_ROW - 1), False, id="not yet too many in a row"),
        pytest.param("b" + "a" * MOST_IN_A_ROW, True, id="too many in a row while another writes"),
        pytest.param("b" + "a" * MOST_IN_A_ROW + "b", False, id="another one had its turn"),
        pytest.param("b" * 50, False, id="only others write"),
        pytest.param("b" + "a" * 200, False, id="the other one has written nothing lately"),
    ],
)
def test_a_server_leaves_a_turn(writers: str, waits: bool) -> None:
    turns, now = after(writers)
    assert (turns.pause(now) > 0) is waits


def test_the_wait_is_a_few_entries_long_and_bounded() -> None:
    turns, now = after("b" + "a" * MOST_IN_A_ROW)
    assert ENTRY < turns.pause(now) < 5 * ENTRY
    slow = WriterFairness("a")
    for at in range(MOST_IN_A_ROW + 1):
        slow.wrote("b" if not at else "a", at * 0.03)
    assert 0 < slow.pause(MOST_IN_A_ROW * 0.03) <= 0.06


def test_a_turn_that_nobody_takes_is_ones_own_again() -> None:
    turns, now = after("b" + "a" * MOST_IN_A_ROW)
    assert turns.pause(now)
    turns.waited()
    assert not turns.pause(now)
