"""The small logs of an attempt are stored together, at its end or later, and read, verified and deleted there."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.errors import DataLoss, Unavailable
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.logs.check import LogCheck
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.packs import FinishedLog, pack_size
from sluiceway_server.logs.store import LogStore
from sluiceway_server.runrecords.types import SETUP_STEP
from sluiceway_server.runs.log_calls import LogCalls
from tests.fakes.clock import FakeClock
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.conditions import eventually
from tests.support.log_server import NEVER, QUICK, LogServer, PushStream, log_server

HOUR = timedelta(minutes=61)
LOGS = {SETUP_STEP: b"[sluice] ready\n", 0: b"one\ntwo\nthree", 1: b"\x00\xff broken \xc3\n" * 900, 2: b"last\n"}
BEGAN = datetime(2026, 11, 30, 8, tzinfo=UTC)


def key_of(step: int) -> LogKey:
    return LogKey("run", "task", Epoch(1, 1), step)


ATTEMPT = key_of(0).attempt_path


async def names(storage: FakeObjectStorage) -> list[str]:
    """Return the names of the objects of the attempt."""
    return [info.key.removeprefix(ATTEMPT) async for info in storage.list(ATTEMPT)]


def are_packs(found: list[str], count: int = 1) -> bool:
    return len(found) == count and all(pack_size(name) is not None for name in found)


async def check_reads(server: LogServer, logs: dict[int, bytes] = LOGS) -> None:
    for step, data in logs.items():
        assert await server.read(step=step) == data
        assert await server.read(step=step, offset=3) == data[3:]
        cover = await server.store.cover(key_of(step))
        assert (cover.length, cover.ended, cover.composed) == (len(data), True, True)
        index = await server.store.index(cover)
        assert (index.size, index.sha256) == (len(data), hashlib.sha256(data).hexdigest())


async def has_bytes(server: LogServer, count: int) -> bool:
    return server.live.unstored_bytes >= count


def send_all(push: PushStream, *, may_wait: bool = True) -> None:
    for number, (step, data) in enumerate(LOGS.items()):
        push.send(0, data, end=True, step=step, may_wait=may_wait, time=BEGAN + timedelta(seconds=number))


async def until_complete(push: PushStream, count: int) -> None:
    async with asyncio.timeout(30), push.changed:
        await push.changed.wait_for(lambda: sum(each.complete for each in push.responses) >= count)


async def stored_one_by_one(server: LogServer) -> None:
    """Store each log as an earlier version does."""
    async with server.live:
        for step, data in LOGS.items():
            async with asyncio.TaskGroup() as tasks:
                push = server.push(tasks)
                push.send(0, data, end=True, step=step)
                push.finish()


async def test_logs_of_an_attempt_are_stored_in_one_object() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        send_all(push)
        await eventually(lambda: has_bytes(server, sum(map(len, LOGS.values()))))
        for step, data in LOGS.items():
            assert await server.read(step=step) == data
        assert [info.key async for info in server.storage.list()] == []
        assert not any(each.complete for each in push.responses)
        push.send(len(LOGS[1]), b"", end=True, step=1)
        await until_complete(push, len(LOGS))
        push.finish()
    assert {each.log.step: each.stored_offset for each in push.responses if each.complete} == {
        step: len(data) for step, data in LOGS.items()
    }
    assert server.storage.puts == 1
    assert are_packs(await names(server.storage))
    assert server.live.unstored_bytes == 0
    await check_reads(server)


async def test_lines_and_times_of_a_packed_log_are_found() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        send_all(push)
        push.finish()

    async def read(**fields: Any) -> bytes:
        request = pb.ReadLogsRequest(run_id="run", task_id="task", step=0, **fields)
        return b"".join([message.data async for message in LogCalls(server.reader()).read(request)])

    assert await read(first_line=2, max_lines=1) == b"two\n"
    assert await read(tail_lines=2) == b"two\nthree"
    assert await read(since=BEGAN) == LOGS[0]
    assert await read(since=BEGAN + timedelta(seconds=5)) == b""
    index = await LogCalls(server.reader()).index(pb.GetLogIndexRequest(run_id="run", task_id="task", with_times=True))
    assert (index.newlines, index.complete) == (2, True)
    assert [each.time.ToDatetime(UTC) for each in index.times] == [BEGAN + timedelta(seconds=1)]


async def test_end_of_stream_stores_what_waits() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        send_all(push)
        push.finish()
    assert are_packs(await names(server.storage))
    await check_reads(server)


async def test_log_that_waits_is_stored_after_a_time() -> None:
    clock = FakeClock()
    server = log_server(FakeObjectStorage(clock), QUICK, clock)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        for step in (SETUP_STEP, 0):
            push.send(0, LOGS[step], end=True, step=step, may_wait=True)
        await eventually(lambda: has_bytes(server, 1))
        clock.advance(timedelta(seconds=1))
        await until_complete(push, 2)
        for step in (1, 2):
            push.send(0, LOGS[step], end=True, step=step)
        await until_complete(push, 4)
        push.finish()
    await check_reads(server)
    clock.advance(HOUR)
    await server.store.do_due_work()
    await check_reads(server)
    clock.advance(HOUR)
    await server.store.do_due_work()
    assert are_packs(await names(server.storage))
    await check_reads(server)


async def test_logs_stored_one_by_one_are_packed_after_an_hour() -> None:
    clock = FakeClock()
    server = log_server(FakeObjectStorage(clock), NEVER, clock)
    await stored_one_by_one(server)
    alone = await names(server.storage)
    assert len(alone) == len(LOGS)
    clock.advance(HOUR)
    await server.store.do_due_work()
    found = await names(server.storage)
    # A reader may have listed the others just before.
    assert set(found) > set(alone)
    await check_reads(server)
    clock.advance(HOUR)
    await server.store.do_due_work()
    assert are_packs(await names(server.storage))
    await check_reads(server)
    clock.advance(HOUR)
    await server.store.do_due_work()
    assert [info.key async for info in server.storage.list("log-work/")] == []


async def test_single_log_of_an_attempt_stays_as_it_is() -> None:
    clock = FakeClock()
    server = log_server(FakeObjectStorage(clock), NEVER, clock)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, LOGS[0], end=True)
        push.finish()
    assert [info.key async for info in server.storage.list("log-work/")] == []
    assert await names(server.storage) == [f"0/log.{len(LOGS[0]):020d}"]


async def test_log_in_segments_is_packed_with_others_at_its_end() -> None:
    clock = FakeClock()
    server = log_server(FakeObjectStorage(clock), QUICK, clock)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, LOGS[1][:100], step=1)
        await eventually(lambda: has_bytes(server, 1))
        clock.advance(timedelta(seconds=1))
        await push.until_response(stored_offset=100)
        push.send(100, LOGS[1][100:], end=True, step=1, may_wait=True)
        push.send(0, LOGS[2], end=True, step=2)
        await until_complete(push, 2)
        push.finish()
    logs = {step: LOGS[step] for step in (1, 2)}
    assert len(await names(server.storage)) == 2
    await check_reads(server, logs)
    clock.advance(HOUR)
    await server.store.do_due_work()
    assert are_packs(await names(server.storage))
    await check_reads(server, logs)


async def test_large_log_is_not_packed() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    large = b"x" * 1000 * 1000
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        for begin in range(0, len(large), 50_000):
            push.send(begin, large[begin : begin + 50_000], end=begin + 50_000 == len(large), may_wait=True)
        await push.until_response(complete=True)
        for step in (1, 2):
            push.send(0, LOGS[step], end=True, step=step, may_wait=True)
        push.finish()
    assert f"0/log.{len(large):020d}" in await names(server.storage)
    assert len(await names(server.storage)) == 2
    await check_reads(server, {0: large, 1: LOGS[1], 2: LOGS[2]})


@pytest.mark.parametrize("is_stored", [True, False], ids=["after storing", "before storing"])
async def test_other_server_continues_after_a_death(is_stored: bool) -> None:
    """The first server dies before it acknowledges what it stored, or could not store."""
    storage = FakeObjectStorage()
    first, second = log_server(storage, NEVER), log_server(storage, NEVER)
    logs = [FinishedLog(key_of(step), data) for step, data in LOGS.items()]
    if is_stored:
        await first.store.put_complete(logs)
    else:
        storage.fail_next_writes(Unavailable("503"))
        with pytest.raises(Unavailable):
            await first.store.put_complete(logs)
    async with second.live, asyncio.TaskGroup() as tasks:
        push = second.push(tasks)
        # In another order, and one of them in parts.
        push.send(0, LOGS[2], end=True, step=2, may_wait=True)
        push.send(0, LOGS[1][:10], step=1)
        push.send(10, LOGS[1][10:], end=True, step=1, may_wait=True)
        for step in (0, SETUP_STEP):
            push.send(0, LOGS[step], end=True, step=step, may_wait=True)
        push.send(len(LOGS[0]), b"", end=True, step=0)
        await until_complete(push, len(LOGS))
        push.finish()
    await check_reads(second)
    await check_reads(first)
    assert are_packs(await names(storage), 2 if is_stored else 1)


async def test_pack_that_was_put_but_failed_is_put_once() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    server.storage.fail_next_writes(Unavailable("503"), applied=True)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        send_all(push)
        push.send(len(LOGS[2]), b"", end=True, step=2)
        await until_complete(push, len(LOGS))
        push.finish()
    assert are_packs(await names(server.storage))
    assert server.live.unstored_bytes == 0
    await check_reads(server)


async def test_two_servers_pack_at_once_and_one_pack_remains() -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    first, second = (log_server(storage, NEVER, clock) for _ in range(2))
    await stored_one_by_one(first)
    for _ in range(4):
        clock.advance(HOUR)
        await asyncio.gather(first.store.do_due_work(), second.store.do_due_work())
        await check_reads(second)
    assert are_packs(await names(storage))


async def test_reader_continues_when_its_object_was_packed() -> None:
    clock = FakeClock()
    server = log_server(FakeObjectStorage(clock), NEVER, clock)
    await stored_one_by_one(server)
    before = await server.store.cover(key_of(1))
    chunks = server.reader().read("run", "task", step=1, follow=True)
    for _ in range(2):
        clock.advance(HOUR)
        await server.store.do_due_work()
    assert (await server.store.index(before)).sha256 == hashlib.sha256(LOGS[1]).hexdigest()
    assert b"".join([chunk.data async for chunk in chunks]) == LOGS[1]


async def test_deleted_logs_are_not_packed_again() -> None:
    clock = FakeClock()
    server = log_server(FakeObjectStorage(clock), NEVER, clock)
    await stored_one_by_one(server)
    store, schedule = server.store, server.store._schedule

    async def deleted_before_the_pack_is_put(key: LogKey, after: timedelta) -> None:
        await store.delete_all("run", "task")
        await schedule(key, after)

    store._schedule = deleted_before_the_pack_is_put  # type: ignore[method-assign]
    clock.advance(HOUR)
    puts = server.storage.puts
    await store.do_due_work()
    assert server.storage.puts > puts
    assert await names(server.storage) == []


async def test_packs_are_deleted_with_their_task_and_run() -> None:
    server = log_server(FakeObjectStorage())
    for run in ("run", "other"):
        logs = [FinishedLog(LogKey(run, "task", Epoch(1, 1), step), data) for step, data in LOGS.items()]
        await server.store.put_complete(logs)
        assert not await server.store.is_of_earlier_version(run)
    assert await server.store.delete_all("run", "task") == 1
    assert await server.store.delete_all("other") == 1
    assert [info.key async for info in server.storage.list()] == []


@pytest.mark.parametrize("where", ["bytes", "directory", "lines", "missing bytes"])
async def test_damaged_pack_is_found(where: str) -> None:
    storage, clock = FakeObjectStorage(), FakeClock()
    store = LogStore(storage, clock, prefix="p")
    await store.put_complete([FinishedLog(key_of(step), data) for step, data in LOGS.items()])
    check = LogCheck(storage, store, prefix="p")
    (good,) = [each async for each in check.run()]
    assert (good.is_fault, good.objects, good.bytes) == (False, 1, sum(map(len, LOGS.values())))
    path = good.object
    body = await storage.get(path)
    size = pack_size(path.rpartition("/")[2]) or 0
    damaged = {
        "bytes": b"X" + body[1:],
        "directory": body[:size] + b"{}",
        "lines": body.replace(b'"newlines": 2', b'"newlines": 3'),
        "missing bytes": body[1:],
    }[where]
    assert damaged != body
    await storage.put(path, damaged)
    (fault,) = [each async for each in check.run()]
    assert (fault.object, fault.is_fault) == (path, True)
    assert "Restore" in fault.message
    if where == "directory":
        with pytest.raises(DataLoss):
            await store.cover(key_of(0))
