"""Timers: each subject is looked at when its time has come, once, and never before."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.runs import timers as module
from sluiceway_server.runs.timers import Subject, TimerKey, Timers
from tests.fakes.clock import FakeClock

A, B, C = (Subject.RUN, "a"), (Subject.RUN, "b"), (Subject.DRAIN, "a")


class _Watched:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.timers = Timers(self.clock)
        self.again: dict[TimerKey, datetime | None] = {}
        self.fail: set[TimerKey] = set()

    def after(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)

    async def due(self, *, later: float = 0) -> list[TimerKey]:
        """What is looked at, `later` seconds from now."""
        self.clock.advance(timedelta(seconds=later))
        looked: list[TimerKey] = []

        async def look(key: TimerKey) -> datetime | None:
            looked.append(key)
            if key in self.fail:
                raise Unavailable("away")
            return self.again.get(key)

        await self.timers.look_at_due(look)
        return looked


async def test_subject_is_due_at_its_time_and_not_a_tick_before() -> None:
    at = _Watched()
    at.timers.set(B, at.after(2))
    at.timers.set(A, at.after(1))
    at.timers.set(C, at.after(2))
    assert await at.due(later=0.999) == []
    assert await at.due(later=0.001) == [A]
    assert await at.due(later=1) == [C, B]
    assert await at.due(later=100) == []
    assert len(at.timers) == 0


async def test_time_that_is_set_again_replaces_the_one_before() -> None:
    at = _Watched()
    for time in (at.after(1), at.after(5), at.after(3)):
        at.timers.set(A, time)
    assert await at.due(later=2.9) == []
    assert await at.due(later=0.1) == [A]
    assert await at.due(later=10) == []
    at.timers.set(A, at.after(1))
    at.timers.set(A, None)
    assert await at.due(later=10) == []


async def test_time_that_is_added_only_ever_comes_sooner() -> None:
    at = _Watched()
    at.timers.set(A, at.after(5))
    at.timers.add(A, at.after(10))
    at.timers.add(B, at.after(10))
    assert await at.due(later=5) == [A]
    at.timers.add(B, at.after(1))
    assert await at.due(later=1) == [B]
    assert len(at.timers) == 0


async def test_subject_is_due_again_at_its_next_time_or_on_failure() -> None:
    at = _Watched()
    at.timers.set(A, at.after(1))
    at.timers.set(B, at.after(1))
    at.again[A] = at.after(3)
    at.fail.add(B)
    assert await at.due(later=1) == [A, B]
    at.fail.clear()
    assert await at.due(later=module.RETRY_PAUSE.total_seconds()) == [B]
    at.again.clear()
    assert await at.due(later=1) == [A]
    assert len(at.timers) == 0


async def test_what_is_set_while_a_subject_is_looked_at_is_not_lost() -> None:
    at = _Watched()
    at.timers.set(A, at.after(0))
    sooner, later = at.after(1), at.after(2)

    async def look(key: TimerKey) -> datetime | None:
        at.timers.set(key, sooner)
        return later

    await at.timers.look_at_due(look)
    assert await at.due(later=1) == [A]


async def test_timers_that_are_set_again_and_again_take_no_more_memory() -> None:
    at = _Watched()
    for number in range(10_000):
        at.timers.set(A, at.after(number))
    assert len(at.timers._heap) < 200
    assert len(at.timers) == 1
    at.timers.clear()
    assert await at.due(later=20_000) == []


async def test_loop_wakes_for_a_sooner_time_than_it_slept_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE", timedelta(hours=1))
    clock = SystemClock()
    timers = Timers(clock)
    looked: asyncio.Queue[TimerKey] = asyncio.Queue()

    async def look(key: TimerKey) -> None:
        await looked.put(key)

    running = asyncio.create_task(timers.run(look))
    timers.set(A, clock.now() + timedelta(hours=1))
    await asyncio.sleep(0)  # it sleeps for an hour now
    timers.set(B, clock.now() + timedelta(milliseconds=20))
    async with asyncio.timeout(60):
        assert await looked.get() == B
    assert looked.empty()
    running.cancel()


async def test_loop_looks_at_a_clock_that_was_set_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE", timedelta(milliseconds=10))
    at = _Watched()
    looked: asyncio.Queue[TimerKey] = asyncio.Queue()

    async def look(key: TimerKey) -> None:
        await looked.put(key)

    running = asyncio.create_task(at.timers.run(look))
    at.timers.set(A, at.after(3600))
    await asyncio.sleep(0)
    at.clock.advance(timedelta(seconds=3600))
    async with asyncio.timeout(60):
        assert await looked.get() == A
    running.cancel()
