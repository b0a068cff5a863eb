from __future__ import annotations

from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.runs.executor_times import MISSED_HEARTBEATS, ExecutorTimes


def _seconds(**times: float) -> ExecutorTimes:
    return ExecutorTimes(**{name: timedelta(seconds=value) for name, value in times.items()})


# Three heartbeats and a lease are 3.3 s.
SHORT = {"heartbeat_interval": 0.1, "lease": 3, "fence_after": 4, "vanish_after": 4.2, "lost_after": 5}

FAULTS = {
    "a heartbeat too often": ({"heartbeat_interval": 0.09}, {"heartbeat_interval"}),
    "a lease that etcd does not have": ({"lease": 0.9}, {"lease"}),
    "a fence at the end of a break that nobody should notice": ({"fence_after": 3.3}, {"fence_after"}),
    "a fence of a dynamic executor there": ({"vanish_after": 4.125}, {"vanish_after"}),
    "a fence when tasks are called lost": ({"fence_after": 5}, {"fence_after"}),
    "vanished when tasks are called lost": ({"vanish_after": 5}, {"vanish_after"}),
    "lost before the rest": ({"lost_after": 3}, {"fence_after", "vanish_after"}),
}


def test_default_times_fit_together() -> None:
    ExecutorTimes().check()


def test_times_just_inside_the_limits_fit_together() -> None:
    _seconds(**SHORT).check()
    _seconds(**{**SHORT, "fence_after": 3.301, "vanish_after": 4.127}).check()
    _seconds(**{**SHORT, "fence_after": 4.999, "vanish_after": 4.999}).check()


@pytest.mark.parametrize(("wrong", "paths"), FAULTS.values(), ids=FAULTS)
def test_times_that_do_not_fit_together_are_refused(wrong: dict[str, float], paths: set[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        _seconds(**{**SHORT, **wrong}).check()
    assert {violation.path for violation in caught.value.violations} == paths


def test_dynamic_fence_ends_before_tasks_are_lost() -> None:
    times = ExecutorTimes()
    assert times.dynamic_fence_after == timedelta(seconds=96)
    assert times.dynamic_fence_after < times.after_absence(dynamic=True) == timedelta(minutes=2)
    assert times.fence_after < times.after_absence(dynamic=False) == timedelta(minutes=15)
    short = _seconds(fence_after=10, vanish_after=100)
    assert short.dynamic_fence_after == timedelta(seconds=10)


@pytest.mark.parametrize(("streams", "seconds"), [(0, 5), (1000, 5), (2000, 10), (4000, 20), (100_000, 20)])
def test_interval_of_heartbeats_grows_up_to_a_limit(streams: int, seconds: int) -> None:
    assert ExecutorTimes().interval_for(streams) == timedelta(seconds=seconds)


def test_interval_of_heartbeats_stays_short_enough_for_fences() -> None:
    times = ExecutorTimes(vanish_after=timedelta(seconds=60))
    interval = times.interval_for(100_000)
    assert interval * MISSED_HEARTBEATS + times.lease < times.dynamic_fence_after
