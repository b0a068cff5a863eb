"""Logs that an earlier version stored without the run in their path (decision 0240): read, continued and deleted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.check import LogCheck
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.store import LogStore
from tests.fakes.clock import FakeClock
from tests.fakes.objectstorage import FakeObjectStorage
from tests.service.runs.test_retention import DAY, HOUR, RetainedRuns
from tests.support.run_engine import World, request

TASK = "01a22c3e-118a-781a-a693-0bc7dcefbcd6"
KEY = LogKey("01a22c3e-118a-781a-a693-0bc7dcefbcd5", TASK, Epoch(1, 1), 0)


@pytest.fixture
async def retained() -> RetainedRuns:
    world = World()
    retained = RetainedRuns(world, await world.placing_engine(slots=10_000))
    await retained.swept(retained.sweeper)
    return retained


async def wrote(retained: RetainedRuns, run_id: str, log: bytes) -> str:
    """Store a log of the task `build` as an earlier version did; return its folder."""
    task = await retained.world.task_id(run_id, "build")
    key = LogKey(run_id, task, Epoch(1, 1), 0).of_earlier_version
    assert key.path == f"logs/{task}/1.1/0/"
    await retained.world.log_store.put_segment(key, 0, log)
    await retained.world.log_store.end(key, len(log))
    return task


async def test_logs_are_deleted_a_month_after_end_of_run(retained: RetainedRuns) -> None:
    run_id = (await retained.engine.create_run(request(), created_by="a")).value.run.id
    task = await wrote(retained, run_id, b"a line\n")
    await retained.pass_time(40 * DAY)
    assert await retained.runs_with_logs() == {task}, "the run is not over"
    await retained.world.finish(retained.engine, run_id, "build")
    await retained.pass_time(30 * DAY - HOUR)
    assert await retained.read(run_id) == b"a line\n"
    await retained.pass_time(2 * HOUR)
    assert await retained.runs_with_logs() == set()
    with pytest.raises(NotFound) as gone:
        await retained.read(run_id)
    assert gone.value.reason == "LOG_DELETED"


async def test_logs_of_unknown_task_are_kept_as_long_as_others(retained: RetainedRuns) -> None:
    task = retained.world.ids.new_id()
    await retained.world.storage.put(f"logs/{task}/1.1/0/00000000000000000000", b"")
    await retained.pass_time(30 * DAY - HOUR)
    assert await retained.runs_with_logs() == {task}
    await retained.pass_time(2 * DAY)
    assert await retained.runs_with_logs() == set()


async def test_logs_are_deleted_on_request(retained: RetainedRuns) -> None:
    run_id = (await retained.engine.create_run(request(), created_by="a")).value.run.id
    await retained.world.finish(retained.engine, run_id, "build")
    await wrote(retained, run_id, b"a line\n")
    await retained.world.deletion.delete(run_id, await retained.world.task_id(run_id, "build"), by="alice")
    assert await retained.runs_with_logs() == set()


async def test_incomplete_log_is_continued_and_composed_in_place() -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    store = LogStore(storage, clock)
    await store.put_segment(KEY.of_earlier_version, 0, b"before ")
    live = LogBuffers(store, clock)
    async with live, live.pushing(KEY) as log:
        assert log.stored == 7
        assert live.get(KEY) is log
        await log.push(7, b"and after\n", end=True)
    clock.advance(timedelta(minutes=6))
    assert await store.do_due_work() == 1
    clock.advance(timedelta(minutes=61))
    await store.do_due_work()
    cover = await store.cover(KEY)
    assert cover.composed
    assert b"".join([chunk async for chunk in store.read(cover, 0, cover.length)]) == b"before and after\n"
    folder = f"logs/{TASK}/1.1/0/"
    assert {info.key async for info in storage.list("logs/")} == {f"{folder}log.{17:020d}"}


async def test_logs_are_verified() -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    store = LogStore(storage, clock, prefix="p")
    await store.put_segment(KEY.of_earlier_version, 0, b"a line\n")
    await store.put_segment(KEY.of_earlier_version, 9, b"beyond")
    (found,) = [finding async for finding in LogCheck(storage, store, prefix="p").run()]
    assert found.is_fault
    assert found.object == f"p/logs/{TASK}/1.1/0/"
