"""Times of schedules, and what is no schedule."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sluiceway.api.project.v1 import schedule_service_pb2 as api
from sluiceway_server.triggers.schedule_rules import full_name, next_time, violations

NOW = datetime(2026, 3, 28, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        pytest.param("*/15 * * * *", "", "2026-03-28T12:00:30", "2026-03-28T12:15:00", id="a step"),
        pytest.param("30 2 * * mon-fri", "", "2026-03-28T12:00:30", "2026-03-30T02:30:00", id="names of days"),
        pytest.param("0 12 * * *", "", "2026-03-28T12:00:00", "2026-03-29T12:00:00", id="not the same time again"),
        pytest.param("0 9 * * *", "Asia/Tokyo", "2026-03-28T12:00:30", "2026-03-29T00:00:00", id="a time zone"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:30", "2026-03-29T01:00:00", id="skipped hour"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00", "2026-10-25T00:30:00", id="repeated hour"),
        pytest.param("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-26T01:30:00", id="comes once"),
        pytest.param("0 0 29 2 *", "", "2026-03-28T12:00:30", "2028-02-29T00:00:00", id="a leap day"),
    ],
)
def test_next_time_of_a_schedule(cron: str, zone: str, after: str, expected: str) -> None:
    found = next_time(cron, zone, datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        pytest.param({"cron": ""}, "cron", "it has 0 fields", id="nothing"),
        pytest.param({"cron": "* * * *"}, "cron", "it has 4 fields", id="four fields"),
        pytest.param({"cron": "0 0 * * * *"}, "cron", "it has 6 fields", id="seconds"),
        pytest.param({"cron": "61 * * * *"}, "cron", "Bad minute", id="minute 61"),
        pytest.param({"cron": "0 0 31 2 *"}, "cron", "Bad day-of-month", id="31 February"),
        pytest.param({"cron": "@daily"}, "cron", "it has 1 fields", id="a nickname"),
        pytest.param({"time_zone": "Mars/Olympus"}, "time_zone", "is no time zone", id="a zone of nowhere"),
        pytest.param({"time_zone": "../../etc/passwd"}, "time_zone", "is no time zone", id="a path"),
        pytest.param({"time_zone": "Europe"}, "time_zone", "is no time zone", id="a folder of zones"),
        pytest.param({"ref": "-x"}, "ref", "", id="an option"),
        pytest.param({"ref": "refs/pull/1/head"}, "ref", "no branch and no tag", id="a pull request"),
    ],
)
def test_wrong_field_of_a_schedule_is_named(fields: dict[str, str], path: str, words: str) -> None:
    schedule = api.Schedule(cron="0 0 * * *")
    for name, value in fields.items():
        setattr(schedule, name, value)
    (violation,) = violations(schedule, NOW)
    assert violation.path == f"schedule.{path}"
    assert words in violation.message


def test_right_schedule_has_no_fault() -> None:
    schedule = api.Schedule(cron="0 3 1,15 jan-jun sun", time_zone="America/New_York", ref="refs/tags/v1")
    assert list(violations(schedule, NOW)) == []
    assert full_name("release/1") == "refs/heads/release/1"
