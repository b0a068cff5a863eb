"""When things are old enough to go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.foundation.clock import UuidSource
from sluiceway_server.runs.retention_rules import created_by_id, is_due, next_time
from tests.fakes.clock import FakeClock

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEARS = timedelta(days=3650)


@pytest.mark.parametrize(
    ("stored", "now", "passed", "expected"),
    [
        pytest.param(None, NOW, HOUR, NOW, id="the first sweep of a database takes the clock as it is"),
        pytest.param(NOW - HOUR, NOW, HOUR, NOW, id="a clock that goes well is followed"),
        pytest.param(NOW - HOUR, NOW + YEARS, HOUR, NOW + 5 * HOUR, id="one that leaps ahead is followed slowly"),
        pytest.param(NOW - YEARS, NOW, HOUR, NOW - YEARS + 6 * HOUR, id="so is one after years without servers"),
        pytest.param(NOW, NOW - YEARS, HOUR, NOW - YEARS, id="one that goes back is followed at once"),
    ],
)
def test_the_time_of_the_retention_does_not_leap(
    stored: datetime | None, now: datetime, passed: timedelta, expected: datetime
) -> None:
    assert next_time(stored, now, passed) == expected


def run(phase: str, *, ended: timedelta | None = None, created: timedelta = timedelta(days=9)) -> api.Run:
    made = api.Run(phase=f"RUN_PHASE_{phase}")
    made.create_time.FromDatetime(NOW - created)
    if ended is not None:
        made.end_time.FromDatetime(NOW - ended)
    return made


@pytest.mark.parametrize(
    ("of", "kept_for", "due"),
    [
        pytest.param(run("FINISHED", ended=HOUR), HOUR, True, id="at its time"),
        pytest.param(run("FINISHED", ended=HOUR), HOUR + timedelta(microseconds=1), False, id="one tick before it"),
        pytest.param(run("FINISHED", ended=HOUR), None, False, id="kept for ever"),
        pytest.param(run("RUNNING"), HOUR, False, id="it runs"),
        pytest.param(run("QUEUED"), HOUR, False, id="it waits"),
        pytest.param(run("CANCELLED", ended=HOUR), HOUR, True, id="it was cancelled"),
        pytest.param(run("SETUP_ERROR"), timedelta(days=9), True, id="it never began, and has no end"),
        pytest.param(run("SETUP_ERROR"), timedelta(days=10), False, id="so, and is younger"),
    ],
)
def test_data_of_a_run_is_due_when_its_retention_has_passed(of: api.Run, kept_for: timedelta | None, due: bool) -> None:
    assert is_due(of, kept_for, NOW) is due


def test_an_id_says_when_it_was_made() -> None:
    assert created_by_id(UuidSource(FakeClock(NOW)).new_id()) == NOW


@pytest.mark.parametrize(
    "id_",
    [
        pytest.param("notes", id="no id"),
        pytest.param("9b2f0c9e-6a3e-4c0e-8f0e-0123456789ab", id="of another version"),
        pytest.param("01963C8B-0F00-7000-8000-000000000000", id="in capitals"),
        pytest.param("{01963c8b-0f00-7000-8000-000000000000}", id="in braces"),
    ],
)
def test_a_name_that_is_no_id_of_ours_says_nothing(id_: str) -> None:
    assert created_by_id(id_) is None
