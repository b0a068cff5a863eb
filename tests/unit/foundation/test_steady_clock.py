"""A clock that follows small steps of the wall clock but no large ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import structlog.testing

from sluiceway_common.foundation.steady_clock import SteadyClock

START = datetime(2026, 1, 1, tzinfo=UTC)
YEARS = 10 * 365 * 86400.0


class _Machine:
    def __init__(self) -> None:
        self.wall, self.steady = START.timestamp(), 1000.0
        self.clock = SteadyClock(wall=lambda: self.wall, steady=lambda: self.steady)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    @property
    def told(self) -> timedelta:
        """Return the time of the clock since the start."""
        return self.clock.now() - START


def test_steady_clock_follows_elapsed_time() -> None:
    machine = _Machine()
    machine.passes(3600)
    assert machine.told == timedelta(hours=1)


@pytest.mark.parametrize("step", [0.5, -0.5, 299, -299], ids=str)
def test_small_steps_of_the_wall_clock_are_followed(step: float) -> None:
    machine = _Machine()
    machine.wall += step
    assert machine.told == timedelta(seconds=step)
    machine.wall += step
    assert machine.told == timedelta(seconds=2 * step)


@pytest.mark.parametrize("step", [YEARS, -YEARS, 301, -301], ids=str)
def test_large_steps_of_the_wall_clock_are_logged_once(step: float) -> None:
    machine = _Machine()
    machine.passes(10)
    machine.wall += step
    with structlog.testing.capture_logs() as logs:
        assert machine.told == timedelta(seconds=10)
        machine.passes(10)
        assert machine.told == timedelta(seconds=20)
    assert [(each["event"], each["seconds"]) for each in logs] == [("wall_clock_was_set", round(step))]


def test_corrected_wall_clock_is_followed_again() -> None:
    machine = _Machine()
    machine.wall += YEARS
    assert machine.told == timedelta()
    machine.wall -= YEARS - 1
    assert machine.told == timedelta(seconds=1)
    machine.wall += YEARS
    with structlog.testing.capture_logs() as logs:
        assert machine.told == timedelta(seconds=1)
    assert len(logs) == 1


def test_steady_clock_is_right_after_a_suspend() -> None:
    machine = _Machine()
    machine.passes(8 * 3600)  # the boot-time clock continues while a machine sleeps
    assert machine.told == timedelta(hours=8)


def test_steady_clock_agrees_with_the_system_clock() -> None:
    clock = SteadyClock()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.monotonic() <= clock.monotonic()
