"""Marks and shared calls: what is left of those who wait no more."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.waiting import Mark, SharedCall


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    mark = Mark(0)
    patient = asyncio.create_task(mark.reach(7))
    for _ in range(5000):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await mark.reach(1_000_000)
    assert mark.waiting < 200
    mark.move(6)
    await asyncio.sleep(0)
    assert not patient.done()
    mark.move(7)
    await patient


async def test_mark_wakes_waiters_behind_cancelled_ones() -> None:
    mark = Mark(0)
    tasks = [asyncio.create_task(mark.reach(n)) for n in range(1, 401)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.sleep(0)
    mark.move(400)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result is None for result in results] == [n % 2 == 1 for n in range(400)]
    assert mark.waiting == 0


async def test_a_call_that_is_ended_ends_who_waits_and_runs_no_more() -> None:
    began, ended = asyncio.Event(), False

    async def call() -> int:
        nonlocal ended
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended = True
        return 1

    shared = SharedCall(call)
    first = asyncio.create_task(shared.ask())
    await began.wait()
    second = asyncio.create_task(shared.ask())
    await asyncio.sleep(0)
    await shared.end(Unavailable("this server stops"))
    assert ended
    for task in (first, second):
        with pytest.raises(Unavailable, match="stops"):
            await task
    with pytest.raises(Unavailable, match="stops"):
        await shared.ask()


async def test_who_is_cancelled_while_it_asks_does_not_end_the_call() -> None:
    go = asyncio.Event()

    async def call() -> int:
        await go.wait()
        return 1

    shared = SharedCall(call)
    one, other = asyncio.create_task(shared.ask()), asyncio.create_task(shared.ask())
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    go.set()
    assert await other == 1
