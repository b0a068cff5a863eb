"""Functions in worker processes: results, errors, and their end."""

from __future__ import annotations

import asyncio
import operator
import os
import time
from collections.abc import AsyncIterator

import pytest

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.gateway.transcoding import parse_json
from sluiceway_server.gateway.workers import WorkerLost, WorkerPool
from tests.support.conditions import eventually
from tests.support.gateway_workers import workers

MEMORY = 512 * 1024 * 1024


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(1, memory_bytes=MEMORY)
    yield pool
    await pool.close()
    assert workers() == []


async def has_workers() -> bool:
    return bool(workers())


async def no_workers() -> bool:
    return not workers()


async def test_function_runs_in_a_reused_worker_process(pool: WorkerPool) -> None:
    first, second = await pool.run(os.getpid), await pool.run(os.getpid)
    assert first == second != os.getpid()
    assert await pool.run(operator.add, b"a" * 10_000_000, b"b") == b"a" * 10_000_000 + b"b"


async def test_error_of_a_worker_is_raised_unchanged(pool: WorkerPool) -> None:
    with pytest.raises(InvalidInput) as ours:
        await pool.run(parse_json, b"{")
    with pytest.raises(ZeroDivisionError) as other:
        await pool.run(operator.floordiv, 1, 0)
    assert ours.value.reason == "BODY_NOT_JSON"
    assert "operator.floordiv" in other.value.__notes__[0] or "function(*arguments)" in other.value.__notes__[0]


async def test_call_over_the_memory_limit_fails_alone(pool: WorkerPool) -> None:
    before = await pool.run(os.getpid)
    with pytest.raises(MemoryError):
        await pool.run(bytearray, MEMORY)
    assert await pool.run(os.getpid) != before, "its memory is given back"


async def test_ended_worker_is_replaced(pool: WorkerPool) -> None:
    with pytest.raises(WorkerLost):
        await pool.run(os._exit, 3)
    assert await pool.run(operator.add, 1, 2) == 3


async def test_cancelled_call_kills_its_worker_and_frees_its_slot(pool: WorkerPool) -> None:
    call = asyncio.create_task(pool.run(time.sleep, 600))
    await eventually(has_workers)
    waiting = asyncio.create_task(pool.run(operator.add, 1, 2))
    call.cancel()
    assert await waiting == 3
    assert len(workers()) == 1


async def test_worker_ends_with_its_pool(pool: WorkerPool) -> None:
    await pool.run(os.getpid)
    await pool.close()
    await eventually(no_workers)
    await pool.close()
