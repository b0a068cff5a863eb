"""Time limits, also in a task that is being cancelled."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from sluiceway_common.foundation.time_limit import time_limit

ROOT = Path(__file__).parents[3]


async def test_block_that_takes_too_long_raises_timeout_error() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(0.01) as limit:
            await asyncio.Event().wait()
    assert limit.expired()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_block_that_ends_in_time_is_left_alone() -> None:
    async with time_limit(60) as limit:
        await asyncio.sleep(0)
    assert not limit.expired()


async def test_without_a_limit_nothing_is_scheduled() -> None:
    async with time_limit(None) as limit:
        assert limit.when() is None


@pytest.mark.parametrize("seconds", [-1, 0])
async def test_limit_that_has_passed_cancels_at_the_first_wait(seconds: float) -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(seconds):
            await asyncio.Event().wait()


async def test_limit_can_be_extended_in_the_block() -> None:
    async with time_limit(0.01) as limit:
        when = limit.when()
        assert when is not None
        limit.reschedule(when + 60)
        await asyncio.sleep(0.02)


async def test_cleanup_of_a_cancelled_task_sees_timeout_error() -> None:
    # Python 3.11.2 lets `asyncio.timeout` raise CancelledError here.
    seen: list[type[BaseException]] = []
    waits = asyncio.Event()

    async def work() -> None:
        try:
            waits.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(2):
                try:
                    async with time_limit(0):
                        await asyncio.Event().wait()
                except BaseException as error:
                    seen.append(type(error))

    task = asyncio.create_task(work())
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [TimeoutError, TimeoutError]


async def test_cancellation_during_the_block_stays_a_cancellation() -> None:
    waits = asyncio.Event()

    async def work() -> None:
        async with time_limit(60):
            waits.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_inner_limit_does_not_end_the_outer_one() -> None:
    async with time_limit(60):
        with pytest.raises(TimeoutError):
            async with time_limit(0):
                await asyncio.Event().wait()
        await asyncio.sleep(0)


async def test_an_error_of_the_block_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="as it is"):
        async with time_limit(60):
            raise ValueError("as it is")


def test_no_product_code_uses_the_timeout_of_asyncio() -> None:
    product = [path for root in ("common", "server", "executor", "client") for path in (ROOT / root).rglob("*.py")]
    assert len(product) > 100
    used = [
        str(path.relative_to(ROOT)) for path in product if re.search(r"\basyncio\.timeout(_at)?\(", path.read_text())
    ]
    assert used == []
