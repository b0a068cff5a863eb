from __future__ import annotations

from collections.abc import Collection

from sluiceway_server.executors.absence import AbsenceTimers, next_expiry, tick


class _Clock:
    """Ticks every second. `dynamic*` may be missing for 3 s, all others for 10 s."""

    def __init__(self, *members: str) -> None:
        self.absences = AbsenceTimers()
        self.groups: dict[str, Collection[str]] = {"g": members}
        self.live: set[str] = set(members)
        self.now = 100.0
        self.available_since: float | None = 0.0

    def wait(self, seconds: int) -> tuple[str, ...]:
        gone: tuple[str, ...] = ()
        for _ in range(seconds):
            self.now += 1
            gone = self.tick()
        return gone

    def tick(self) -> tuple[str, ...]:
        self.absences, gone = tick(
            self.absences,
            self.groups,
            self.live,
            now=self.now,
            available_since=self.available_since,
            limits={m: 3.0 if m.startswith("dynamic") else 10.0 for group in self.groups.values() for m in group},
            longest_pause=10,
            longest_interval=3,
        )
        return gone


def _seconds_until_gone(clock: _Clock, executor: str, limit: int = 60) -> int:
    for second in range(limit):
        if executor in clock.tick():
            return second
        clock.now += 1
    raise AssertionError(f"{executor} was not gone after {limit} s")


def test_executor_is_gone_at_its_limit_and_not_before() -> None:
    clock = _Clock("a", "b")
    clock.tick()
    clock.live.discard("a")
    assert _seconds_until_gone(clock, "a") == 10


def test_timer_ends_when_the_executor_comes_back() -> None:
    clock = _Clock("a")
    clock.live.clear()
    assert clock.wait(10) == ()
    clock.live.add("a")
    clock.wait(1)
    clock.live.clear()
    assert clock.wait(10) == ()
    assert clock.wait(1) == ("a",)


def test_timer_restarts_when_etcd_was_away() -> None:
    clock = _Clock("a")
    clock.live.clear()
    clock.wait(8)
    clock.available_since = None
    assert clock.wait(30) == ()
    clock.available_since = clock.now
    assert _seconds_until_gone(clock, "a") == 10


def test_timer_restarts_when_etcd_was_away_between_two_ticks() -> None:
    clock = _Clock("a")
    clock.live.clear()
    clock.wait(9)
    clock.available_since = clock.now + 0.5
    clock.now += 1
    assert clock.tick() == ()
    assert clock.wait(9) == ()
    assert clock.wait(1) == ("a",)


def test_timer_restarts_when_this_server_was_suspended() -> None:
    clock = _Clock("a")
    clock.live.clear()
    clock.wait(9)
    clock.now += 100
    assert clock.tick() == ()
    assert _seconds_until_gone(clock, "a") == 10


def test_timer_pauses_while_most_of_a_group_is_missing() -> None:
    clock = _Clock("a", "b", "c")
    clock.tick()
    clock.live -= {"a", "b"}
    clock.wait(6)
    clock.live.add("b")
    # Five seconds were paused; the first tick only started the timer.
    assert _seconds_until_gone(clock, "a") == 10


def test_timer_pauses_no_longer_than_the_longest_pause() -> None:
    clock = _Clock("a", "b", "c")
    clock.tick()
    clock.live.clear()
    assert _seconds_until_gone(clock, "a") == 20


def test_timers_of_a_group_of_two_never_pause() -> None:
    clock = _Clock("a", "b")
    clock.tick()
    clock.live.clear()
    assert _seconds_until_gone(clock, "a") == 10


def test_handled_executor_is_returned_once_and_pauses_no_other() -> None:
    clock = _Clock("a", "b", "c", "d")
    clock.live -= {"a", "b", "c"}
    clock.wait(25)
    for executor in ("a", "b"):
        clock.absences = clock.absences.handled(executor)
    assert clock.tick() == ("c",)
    clock.absences = clock.absences.handled("c")
    assert clock.tick() == ()
    clock.live.clear()
    assert _seconds_until_gone(clock, "d") == 10


def test_executor_that_is_not_handled_is_returned_again() -> None:
    clock = _Clock("a")
    clock.live.clear()
    assert clock.wait(11) == ("a",)
    assert clock.wait(1) == ("a",)


def test_dynamic_executor_is_gone_at_its_shorter_limit() -> None:
    clock = _Clock("a", "dynamic")
    clock.tick()
    clock.live.clear()
    assert _seconds_until_gone(clock, "dynamic") == 3
    clock.absences = clock.absences.handled("dynamic")
    assert _seconds_until_gone(clock, "a") == 7


def test_next_expiry_is_of_missing_executors_not_handled() -> None:
    clock = _Clock("a", "dynamic")
    limits = {"a": 10.0, "dynamic": 3.0}
    clock.tick()
    assert next_expiry(clock.absences, limits) is None
    clock.live.clear()
    clock.wait(1)
    began = clock.now
    assert next_expiry(clock.absences, limits) == began + 3
    clock.absences = clock.absences.handled("dynamic")
    assert next_expiry(clock.absences, limits) == began + 10
    assert next_expiry(clock.absences, {}) is None
