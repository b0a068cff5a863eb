from __future__ import annotations

from collections.abc import Collection

from sluiceway_server.executors.absence import AbsenceTimers, look, next_gone


class _Watch:
    """Looks every second. `dynamic*` may be missing for 3 s, all others for 10 s."""

    def __init__(self, *members: str) -> None:
        self.absences = AbsenceTimers()
        self.groups: dict[str, Collection[str]] = {"g": members}
        self.live: set[str] = set(members)
        self.now = 100.0
        self.well_since: float | None = 0.0

    def wait(self, seconds: int) -> tuple[str, ...]:
        gone: tuple[str, ...] = ()
        for _ in range(seconds):
            self.now += 1
            gone = self.look()
        return gone

    def look(self) -> tuple[str, ...]:
        self.absences, gone = look(
            self.absences,
            self.groups,
            self.live,
            now=self.now,
            well_since=self.well_since,
            limits={m: 3.0 if m.startswith("dynamic") else 10.0 for group in self.groups.values() for m in group},
            longest_hold=10,
            longest_pause=3,
        )
        return gone


def _seconds_until_gone(watch: _Watch, executor: str, limit: int = 60) -> int:
    for second in range(limit):
        if executor in watch.look():
            return second
        watch.now += 1
    raise AssertionError(f"{executor} was not gone after {limit} s")


def test_executor_is_gone_after_lost_after_and_not_a_tick_before() -> None:
    watch = _Watch("a", "b")
    watch.look()
    watch.live.discard("a")
    assert _seconds_until_gone(watch, "a") == 10


def test_executor_that_comes_back_in_time_is_not_gone_and_starts_a_new_clock() -> None:
    watch = _Watch("a")
    watch.live.clear()
    assert watch.wait(10) == ()
    watch.live.add("a")
    watch.wait(1)
    watch.live.clear()
    assert watch.wait(10) == ()
    assert watch.wait(1) == ("a",)


def test_clock_starts_over_when_etcd_was_unwell() -> None:
    watch = _Watch("a")
    watch.live.clear()
    watch.wait(8)
    watch.well_since = None
    assert watch.wait(30) == ()
    watch.well_since = watch.now
    assert _seconds_until_gone(watch, "a") == 10


def test_clock_starts_over_when_etcd_was_unwell_between_two_looks() -> None:
    watch = _Watch("a")
    watch.live.clear()
    watch.wait(9)
    watch.well_since = watch.now + 0.5
    watch.now += 1
    assert watch.look() == ()
    assert watch.wait(9) == ()
    assert watch.wait(1) == ("a",)


def test_clock_starts_over_when_this_server_stood_still() -> None:
    watch = _Watch("a")
    watch.live.clear()
    watch.wait(9)
    watch.now += 100
    assert watch.look() == ()
    assert _seconds_until_gone(watch, "a") == 10


def test_clock_is_held_while_most_of_a_group_is_missing() -> None:
    watch = _Watch("a", "b", "c")
    watch.look()
    watch.live -= {"a", "b"}
    watch.wait(6)
    watch.live.add("b")
    # Five seconds were held; the first look only started the clock.
    assert _seconds_until_gone(watch, "a") == 10


def test_clock_is_held_for_lost_after_at_most() -> None:
    watch = _Watch("a", "b", "c")
    watch.look()
    watch.live.clear()
    assert _seconds_until_gone(watch, "a") == 20


def test_a_group_of_two_is_never_held() -> None:
    watch = _Watch("a", "b")
    watch.look()
    watch.live.clear()
    assert _seconds_until_gone(watch, "a") == 10


def test_one_that_is_dealt_with_is_told_once_and_does_not_hold_the_others() -> None:
    watch = _Watch("a", "b", "c", "d")
    watch.live -= {"a", "b", "c"}
    watch.wait(25)
    for executor in ("a", "b"):
        watch.absences = watch.absences.settled(executor)
    assert watch.look() == ("c",)
    watch.absences = watch.absences.settled("c")
    assert watch.look() == ()
    watch.live.clear()
    assert _seconds_until_gone(watch, "d") == 10


def test_one_that_is_not_dealt_with_is_told_again() -> None:
    watch = _Watch("a")
    watch.live.clear()
    assert watch.wait(11) == ("a",)
    assert watch.wait(1) == ("a",)


def test_dynamic_executor_is_gone_after_its_own_shorter_time() -> None:
    watch = _Watch("a", "dynamic")
    watch.look()
    watch.live.clear()
    assert _seconds_until_gone(watch, "dynamic") == 3
    watch.absences = watch.absences.settled("dynamic")
    assert _seconds_until_gone(watch, "a") == 7


def test_time_of_the_next_one_is_known_for_those_that_are_missing_and_not_dealt_with() -> None:
    watch = _Watch("a", "dynamic")
    limits = {"a": 10.0, "dynamic": 3.0}
    watch.look()
    assert next_gone(watch.absences, limits) is None
    watch.live.clear()
    watch.wait(1)
    began = watch.now
    assert next_gone(watch.absences, limits) == began + 3
    watch.absences = watch.absences.settled("dynamic")
    assert next_gone(watch.absences, limits) == began + 10
    assert next_gone(watch.absences, {}) is None
