"""A transaction function blocks every other one, so one that exceeds its budget is logged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sluiceway_server.datamanager.engine.batch import BatchBuilder, Call
from sluiceway_server.datamanager.engine.write_state import State
from sluiceway_server.datamanager.log.entries import GENESIS_DIGEST, Catalogue
from sluiceway_server.datamanager.model import Decision, LogSequence, Position, View
from sluiceway_server.datamanager.replica.deleted_subtrees import TOMBSTONE
from sluiceway_server.datamanager.replica.replica import AppliedUpTo, Replica
from sluiceway_server.datamanager.replica.schema import Tables
from tests.support.databases import TYPES, put

LAST = AppliedUpTo(Position(LogSequence(1, 0), 0), GENESIS_DIGEST, 0, 0)


class Thread:
    """The time that a thread has worked, moved by what it works on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def thread() -> Thread:
    return Thread()


@pytest.fixture
def preparer(tmp_path: Path, thread: Thread) -> Iterator[BatchBuilder]:
    catalogue = Catalogue((*TYPES, TOMBSTONE))
    database = Replica(tmp_path / "read.sqlite", Tables(catalogue), writes=True)
    database.create("database", 1, LAST)
    yield BatchBuilder(State(database), catalogue, writer="one", max_batch_bytes=1 << 20, worked=thread)
    database.close()


def told(preparer: BatchBuilder, thread: Thread, *seconds: float) -> list[tuple[str, float]]:
    def slow(view: View) -> Decision[None]:
        thread.seconds += left.pop(0)
        return Decision(None, [put("a")])

    left = list(seconds)
    with capture_logs() as logs:
        for _ in seconds:
            preparer.prepare([Call(slow)], last=LAST, time_us=1)
    return [(log["function"], log["seconds"]) for log in logs if log["event"] == "transaction_function_is_slow"]


def test_a_function_within_its_budget_is_not_reported(preparer: BatchBuilder, thread: Thread) -> None:
    assert told(preparer, thread, 0.0, 0.02, 0.025) == []


def test_slow_function_is_logged_again_only_when_much_slower(preparer: BatchBuilder, thread: Thread) -> None:
    assert told(preparer, thread, 0.03, 0.03, 0.05, 0.2, 0.1) == [
        ("told.<locals>.slow", 0.03),
        ("told.<locals>.slow", 0.2),
    ]


def test_one_that_fails_after_a_long_time_is_reported_too(preparer: BatchBuilder, thread: Thread) -> None:
    def fails(view: View) -> Decision[None]:
        thread.seconds += 1
        raise ValueError

    with capture_logs() as logs:
        (outcome,), _ = preparer.prepare([Call(fails)], last=LAST, time_us=1)
    assert isinstance(outcome.error, ValueError)
    assert [log["seconds"] for log in logs if log["event"] == "transaction_function_is_slow"] == [1]
