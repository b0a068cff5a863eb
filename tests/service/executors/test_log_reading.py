"""Logs that are read and followed, while they are written and afterwards."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import partial

import pytest

from sluiceway_common.foundation.errors import DataLoss, NotFound
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.check import LogCheck
from sluiceway_server.logs.layout import LineIndex
from sluiceway_server.logs.settings import LogBufferSettings
from sluiceway_server.logs.store import LogStore
from tests.fakes.clock import FakeClock
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.conditions import eventually
from tests.support.log_server import KEY, NEVER, LogServer, States, log_server


async def test_description_has_the_present_size_of_a_log() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    tags = set()
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        assert await server.described() == (1, 0)
        for number in range(3):
            push.send(6 * number, b"hello ", end=number == 2)
            await eventually(partial(server.is_described_as, 1, 6 * number + 6))
            tags.add((await server.reader().describe("run", "task", step=0)).etag)
            assert await server.read() == b"hello " * (number + 1)
        push.finish()
    assert len(tags) == 3
    assert await server.described() == (1, 18), "what is stored is described as it was when it was live"
    assert (await server.reader().describe("run", "task", step=0)).etag in tags


def _old_index(data: bytes, *, part: str = "", composed: float = 0.0) -> bytes:
    """The index of a log as it was an object of its own."""
    lines = LineIndex()
    lines.feed(data)
    made = lines.finish(composed=composed)
    fields = {"size": made.size, "sha256": made.sha256, "newlines": made.newlines, "newlines_before": []}
    return json.dumps({"format": 1, **fields, "part": part, "times": [[0, 1.5]], "composed": composed}).encode()


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param({"0" * 20: b"a\nb\n", "index": _old_index(b"a\nb\n", part="0" * 20)}, id="of one segment"),
        pytest.param({"whole": b"a\nb\n", "index": _old_index(b"a\nb\n")}, id="composed and swept"),
        pytest.param(
            {"0" * 20: b"a\n", f"{2:020d}": b"b\n", "end": b"{}", "whole": b"a\nb\n", "index": _old_index(b"a\nb\n")},
            id="composed",
        ),
    ],
)
async def test_log_with_a_separate_index_is_read_and_cleaned(objects: dict[str, bytes]) -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    store = LogStore(storage, clock, prefix="p")
    for name, body in objects.items():
        await storage.put(f"p/{KEY.path}{name}", body)
    await storage.put(f"p/log-work/{0:012d}/{KEY.path.removeprefix('logs/').rstrip('/')}", b"")
    server = LogServer(storage, store, LogBuffers(store, clock), States(is_over=True, may_be_empty=False))
    for _ in range(2):
        assert await server.read() == b"a\nb\n"
        assert (await store.index(await store.cover(KEY))).newlines == 2
        assert await store.end(KEY, 4) is False
        found = [finding async for finding in LogCheck(storage, store, prefix="p").run()]
        assert [(finding.is_fault, finding.message, finding.bytes) for finding in found] == [(False, "", 4)]
        assert await store.do_due_work() in (0, 1)
    kept = {info.key.removeprefix(f"p/{KEY.path}") async for info in storage.list()}
    assert kept == ({"whole", "index"} if "whole" in objects else set(objects))


async def test_empty_log_with_a_separate_index_is_empty() -> None:
    server = log_server(FakeObjectStorage())
    await server.storage.put(KEY.path + "index", _old_index(b""))
    server.states = States(is_over=True, may_be_empty=False)
    assert await server.read() == b""
    assert (await server.store.index(await server.store.cover(KEY))).size == 0


async def test_reader_continues_when_segments_are_deleted() -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    store = LogStore(storage, clock)
    body = bytes(range(256)) * 4096
    half = len(body) // 2
    await store.put_segment(KEY, 0, body[:half])
    await store.put_segment(KEY, half, body[half:])
    await store.end(KEY, len(body))
    server = LogServer(storage, store, LogBuffers(store, clock), States())
    reading = server.reader().read("run", "task", step=0)
    got = (await anext(reading)).data
    clock.advance(timedelta(minutes=6))
    await store.do_due_work()
    clock.advance(timedelta(minutes=61))
    await store.do_due_work()
    assert f"{KEY.path}{half:020d}" not in [info.key async for info in storage.list(KEY.path)]
    got += b"".join([chunk.data async for chunk in reading])
    assert got == body


async def test_follower_sees_all_from_the_beginning_to_the_end() -> None:
    server = log_server(FakeObjectStorage())
    body = bytes(range(256)) * 2000
    async with server.live, asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(server.read(follow=True))
        push = server.push(tasks)
        for offset in range(0, len(body), 10_000):
            push.send(offset, body[offset : offset + 10_000])
            if offset % 50_000 == 0:
                await push.until_response(stored_offset=offset + 10_000)
        push.send(len(body), b"", end=True)
        await push.until_response(complete=True)
        push.finish()
        assert await follower == body


async def test_follower_on_another_server_reads_what_is_stored() -> None:
    storage = FakeObjectStorage()
    pushed_to, read_from = log_server(storage), log_server(storage)
    async with pushed_to.live, read_from.live, asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(read_from.read(follow=True))
        push = pushed_to.push(tasks)
        push.send(0, b"one ")
        await push.until_response(stored_offset=4)
        push.send(4, b"two", end=True)
        await push.until_response(complete=True)
        push.finish()
        assert await follower == b"one two"


async def test_follower_of_a_lost_attempt_ends_with_what_is_stored() -> None:
    server = log_server(FakeObjectStorage())
    await server.store.put_segment(KEY, 0, b"last words")
    async with server.live, asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(server.read(follow=True))
        server.states.is_over = True
        assert await follower == b"last words"


@pytest.mark.parametrize(
    ("size", "may_be_empty", "said"),
    [
        pytest.param(5, True, "its 5 bytes are not in the object storage", id="it had bytes"),
        pytest.param(None, False, "before its executor was lost", id="nobody knows what it had"),
    ],
)
async def test_missing_log_is_not_an_empty_one(size: int | None, may_be_empty: bool, said: str) -> None:
    server = log_server(FakeObjectStorage())
    server.states = States(is_over=True, size=size, may_be_empty=may_be_empty)
    for follow in (False, True):
        with pytest.raises(NotFound, match=said) as missing:
            await server.read(follow=follow)
        assert missing.value.reason == "LOG_MISSING"
    with pytest.raises(NotFound, match=said):
        await server.described()


@pytest.mark.parametrize(
    ("size", "may_be_empty"),
    [
        pytest.param(0, True, id="it was reported as empty"),
        pytest.param(None, True, id="its step never began"),
    ],
)
async def test_empty_log_is_read_as_empty(size: int | None, may_be_empty: bool) -> None:
    server = log_server(FakeObjectStorage())
    server.states = States(is_over=True, size=size, may_be_empty=may_be_empty)
    assert await server.read() == b""
    assert await server.described() == (1, 0)


async def test_stored_part_of_a_log_is_read_before_the_error() -> None:
    server = log_server(FakeObjectStorage())
    await server.store.put_segment(KEY, 0, b"abc")
    server.states = States(is_over=True, size=5)
    read = server.reader().read("run", "task", step=0)
    assert (await anext(read)).data == b"abc"
    with pytest.raises(DataLoss, match="3 of its 5 bytes") as lost:
        await anext(read)
    assert lost.value.reason == "LOG_INCOMPLETE"
    assert await server.described() == (1, 3)


async def test_slow_reader_costs_no_memory_and_skips_nothing() -> None:
    server = log_server(FakeObjectStorage(), LogBufferSettings(cut_bytes=64_000, tail_bytes=64_000))
    body = bytes(range(250)) * 8000
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, body[:1000])
        await push.until_response(stored_offset=0)
        slow = server.reader().read("run", "task", step=0, follow=True)
        got = (await anext(slow)).data
        for offset in range(1000, len(body), 50_000):
            push.send(offset, body[offset : offset + 50_000])
        push.send(len(body), b"", end=True)
        await push.until_response(complete=True)
        push.finish()
        got += b"".join([chunk.data async for chunk in slow])
    assert got == body
