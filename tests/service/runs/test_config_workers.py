"""Processes for configurations: what becomes of calls that take too much."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import DeadlineExceeded, Exhausted, Unavailable
from sluiceway_server.runs.config_workers import ConfigProcesses


async def test_call_returns_what_the_function_returns() -> None:
    workers = ConfigProcesses(1, waiting=1)
    assert await workers.call(abs, -7) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await workers.call(int, "x")


async def test_call_that_takes_too_long_is_killed() -> None:
    workers = ConfigProcesses(1, waiting=1)
    with pytest.raises(DeadlineExceeded) as caught:
        await workers.call(time.sleep, 3600, within=timedelta(milliseconds=500))
    assert caught.value.reason == "CONFIGURATION_TOO_SLOW"
    assert await workers.call(abs, -7) == 7, "its place is free"


async def test_call_that_needs_too_much_memory_is_refused() -> None:
    workers = ConfigProcesses(1, waiting=1)
    with pytest.raises(Exhausted) as caught:
        await workers.call(bytearray, 3 << 30)
    assert caught.value.reason == "CONFIGURATION_TOO_LARGE"


async def test_process_that_ends_is_replaced() -> None:
    workers = ConfigProcesses(1, waiting=1)
    with pytest.raises(Unavailable) as caught:
        await workers.call(os._exit, 1)
    assert caught.value.reason == "WORKER_LOST"
    assert await workers.call(abs, -7) == 7


async def test_cancelled_call_frees_its_place() -> None:
    workers = ConfigProcesses(1, waiting=1)
    waiting = asyncio.create_task(workers.call(time.sleep, 3600))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await workers.call(abs, -7) == 7
