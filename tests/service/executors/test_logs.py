"""Logs that executors push: stored, acknowledged, composed, and continued by another server."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import pytest

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import InvalidInput, OutOfRange, Unavailable
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.receiver import LogReceiver
from sluiceway_server.logs.settings import LogBufferSettings
from sluiceway_server.logs.store import LogStore
from tests.fakes.clock import FakeClock
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.conditions import eventually
from tests.support.log_server import KEY, NEVER, QUICK, LogServer, Owners, PushStream, States, log_server


async def test_log_is_stored_and_acknowledged_and_read_back() -> None:
    server = log_server(FakeObjectStorage())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"hello ")
        await push.until_response(stored_offset=6)
        push.send(6, b"world\n", end=True)
        await push.until_response(complete=True, stored_offset=12)
        push.finish()
    assert await server.read() == b"hello world\n"
    assert await server.read(offset=6) == b"world\n"
    assert await server.read(offset=12, follow=True) == b""
    with pytest.raises(OutOfRange):
        await server.read(offset=13)


async def test_unstored_bytes_are_readable_but_not_acknowledged() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"seen at once")
        await push.until_response(stored_offset=0)
        chunk = await anext(server.reader().read("run", "task", step=0, follow=True))
        assert chunk.data == b"seen at once"
        assert {a.stored_offset for a in push.responses} == {0}
        assert [info async for info in server.storage.list()] == []
        push.send(12, b"", end=True)
        await push.until_response(complete=True)
        push.finish()


async def test_short_log_is_one_object_and_acknowledged_once() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"a\nb\n", end=True)
        await push.until_response(complete=True, stored_offset=4)
        push.finish()
    assert len(push.responses) == 1
    assert [info.key async for info in server.storage.list()] == [f"{KEY.path}log.{4:020d}"]
    cover = await server.store.cover(KEY)
    index = await server.store.index(cover)
    assert (index.size, index.newlines) == (4, 2)
    assert index.sha256 == hashlib.sha256(b"a\nb\n").hexdigest()
    assert await server.read() == b"a\nb\n"
    assert await server.read(offset=2) == b"b\n"
    assert await server.described() == (1, 4)


async def test_short_log_pushed_again_is_complete_and_unchanged() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    names = []
    for _ in range(2):
        async with asyncio.TaskGroup() as tasks:
            push = server.push(tasks)
            push.send(0, b"once", end=True)
            await push.until_response(complete=True, stored_offset=4)
            push.finish()
        names.append([(info.key, info.modified) async for info in server.storage.list()])
    assert names[0] == names[1]
    assert await server.read() == b"once"
    async with server.live:
        pass


async def test_log_in_memory_becomes_one_object_after_segments() -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    store = LogStore(storage, clock)
    server = LogServer(storage, store, LogBuffers(store, clock, settings=QUICK), States())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"first ")
        await eventually(lambda: _is_held(server))
        clock.advance(timedelta(seconds=1))
        await push.until_response(stored_offset=6)
        push.send(6, b"second last", end=True)
        await push.until_response(complete=True, stored_offset=17)
        push.finish()
    complete = f"{KEY.path}log.{17:020d}"
    names = [info.key async for info in storage.list(KEY.path)]
    assert names == [f"{KEY.path}{0:020d}", complete]
    assert await server.read() == b"first second last"
    clock.advance(timedelta(minutes=61))
    assert await store.do_due_work() == 1
    assert [info.key async for info in storage.list()] == [complete]
    assert await server.read(offset=6) == b"second last"


async def _is_held(server: LogServer) -> bool:
    live = server.live.get(KEY)
    return live is not None and live.received > 0


async def test_empty_log_is_complete_and_has_no_object() -> None:
    server = log_server(FakeObjectStorage())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"", end=True)
        await push.until_response(complete=True)
        push.finish()
    assert [info.key async for info in server.storage.list()] == []
    server.states.size = 0
    assert await server.read(follow=True) == b""


async def test_duplicates_and_overlaps_are_stored_once() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        for offset, data in ((0, b"abc"), (0, b"abc"), (1, b"bcde"), (2, b"c")):
            push.send(offset, data)
        push.send(5, b"f", end=True)
        await push.until_response(complete=True)
        # The end again, as a sender does whose response was lost.
        push.send(5, b"f", end=True)
        push.finish()
    assert await server.read() == b"abcdef"
    assert not any(a.rewind or a.HasField("refused") for a in push.responses)


async def test_chunk_after_a_gap_rewinds_the_sender_once() -> None:
    server = log_server(FakeObjectStorage())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"abc")
        await push.until_response(stored_offset=3)
        push.send(5, b"f")
        push.send(6, b"g")
        await push.until_response(rewind=True, stored_offset=3)
        push.send(3, b"defg", end=True)
        await push.until_response(complete=True, stored_offset=7)
        push.finish()
    assert await server.read() == b"abcdefg"
    assert sum(a.rewind for a in push.responses) == 1


async def test_log_of_another_executor_is_refused_alone() -> None:
    server = log_server(FakeObjectStorage())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"not mine", of="other")
        push.send(0, b"mine", end=True)
        await push.until_response(complete=True)
        push.finish()
    refused = [a for a in push.responses if a.HasField("refused")]
    assert [(a.log.assignment_id, a.refused.code) for a in refused] == [("other", "NOT_FOUND")]
    assert await server.read() == b"mine"


async def test_chunk_out_of_bounds_ends_the_stream() -> None:
    server = log_server(FakeObjectStorage())
    push = PushStream()
    push.send(0, b"x" * (64 * 1024 + 1))
    async with server.live:
        with pytest.raises(InvalidInput):
            await LogReceiver(server.live, Owners()).receive("e", "s", push.sent(), push.on_response)


async def test_large_log_is_cut_and_composed() -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    store = LogStore(storage, clock)
    live = LogBuffers(store, clock, settings=LogBufferSettings(cut_bytes=100_000, segment_bytes=100_000))
    server = LogServer(storage, store, live, States())
    body = b"".join(f"line {i}\n".encode() for i in range(100_000))
    async with live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        for offset in range(0, len(body), 50_000):
            push.send(offset, body[offset : offset + 50_000], end=offset + 50_000 >= len(body))
        await push.until_response(complete=True, stored_offset=len(body))
        push.finish()
    index = await store.index(await store.cover(KEY))
    assert index.sha256 == hashlib.sha256(body).hexdigest()
    assert index.newlines == 100_000
    names = [info.key async for info in storage.list(KEY.path)]
    assert len(names) > 10
    assert await server.read() == body
    clock.advance(timedelta(minutes=59))
    await store.do_due_work()
    assert [info.key async for info in storage.list(KEY.path)] == names
    clock.advance(timedelta(minutes=2))
    await store.do_due_work()
    assert [info.key async for info in storage.list(KEY.path)] == [f"{KEY.path}log.{len(body):020d}"]
    assert [info.key async for info in storage.list("log-work/")] == []
    assert await server.read(offset=777_777) == body[777_777:]


async def test_log_is_composed_later_when_its_server_died() -> None:
    clock = FakeClock()
    store = LogStore(FakeObjectStorage(clock), clock)
    await store.put_segment(KEY, 0, b"ab")
    await store.put_segment(KEY, 2, b"cd")
    assert await store.end(KEY, 4)
    clock.advance(timedelta(minutes=6))
    assert await store.do_due_work() == 1
    assert (await store.index(await store.cover(KEY))).sha256 == hashlib.sha256(b"abcd").hexdigest()


async def test_stores_with_two_prefixes_share_a_bucket_only() -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    await storage.put("one/log-work/what somebody keeps there", b"")
    one, two = (LogStore(storage, clock, prefix=prefix) for prefix in ("one", "two"))
    for store, text in ((one, b"ab"), (two, b"cd")):
        await store.put_segment(KEY, 0, text)
        assert await store.end(KEY, 2)
        await store.put_segment(KEY, 0, text)
    clock.advance(timedelta(minutes=6))
    assert await one.do_due_work() == 1
    assert [(await store.cover(KEY)).composed for store in (one, two)] == [True, False]
    await one.delete_all("run", "task")
    assert {info.key.split("/")[0] async for info in storage.list("") if "/logs/" in info.key} == {"two"}
    assert await two.do_due_work() == 1
    assert (await two.index(await two.cover(KEY))).sha256 == hashlib.sha256(b"cd").hexdigest()


async def test_another_server_continues_where_the_first_died() -> None:
    storage = FakeObjectStorage()
    first, second = log_server(storage, NEVER), log_server(storage)
    async with second.live, asyncio.TaskGroup() as tasks:
        async with asyncio.TaskGroup() as dying:
            push = first.push(dying)
            push.send(0, b"x" * 10)
            await push.until_response(stored_offset=0)
            push.finish()  # the end of a stream stores what came over it
        push = second.push(tasks)
        push.send(10, b"y" * 5)
        assert (await push.until_response(stored_offset=10)).rewind is False
        push.send(15, b"", end=True)
        await push.until_response(complete=True)
        push.finish()
    assert await second.read() == b"x" * 10 + b"y" * 5


async def test_bytes_lost_with_a_server_are_requested_again() -> None:
    storage = FakeObjectStorage()
    server = log_server(storage)
    await server.store.put_segment(KEY, 0, b"stored")
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(20, b"later")
        await push.until_response(rewind=True, stored_offset=6)
        push.send(6, b" and the rest", end=True)
        await push.until_response(complete=True)
        push.finish()
    assert await server.read() == b"stored and the rest"


async def test_two_servers_that_cut_differently_store_one_log() -> None:
    storage = FakeObjectStorage()
    store = LogStore(storage, SystemClock())
    body = b"0123456789"
    assert await store.put_segment(KEY, 0, body[:4]) == 4
    # The second server knew nothing of the first one's segment.
    assert await store.put_segment(KEY, 0, body[:7]) == 4
    assert await store.put_segment(KEY, 4, body[4:7]) == 7
    assert await store.put_segment(KEY, 2, body[2:10]) == 10
    assert (await store.cover(KEY)).length == 10
    await store.end(KEY, 10)
    index = await store.compose(KEY)
    assert index.sha256 == hashlib.sha256(body).hexdigest()


async def test_pusher_waits_while_the_storage_is_away() -> None:
    storage = FakeObjectStorage()
    server = log_server(storage, LogBufferSettings(cut_bytes=10_000, log_bytes=30_000))
    body = b"z" * 200_000
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, body[:1])
        await push.until_response(stored_offset=0)
        storage.hold()
        for offset in range(1, len(body), 1000):
            push.send(offset, body[offset : offset + 1000])
        push.send(len(body), b"", end=True)
        live = server.live.get(KEY)
        assert live is not None
        async with asyncio.timeout(30):
            while live.unstored < 30_000:
                await live.watch().wait()
        assert not push.requests.empty()
        assert server.live.unstored_bytes <= 31_000
        storage.release()
        await push.until_response(complete=True, stored_offset=len(body))
        push.finish()
    assert await server.read() == body


async def test_failing_puts_are_repeated() -> None:
    storage = FakeObjectStorage()
    server = log_server(storage)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"")
        await push.until_response(stored_offset=0)
        storage.fail_next_writes(Unavailable("503"))
        storage.fail_next_writes(Unavailable("503"), applied=True)
        push.send(0, b"stubborn", end=True)
        await push.until_response(complete=True, stored_offset=8)
        push.finish()
    assert await server.read() == b"stubborn"


async def test_closing_buffers_stores_their_bytes() -> None:
    storage = FakeObjectStorage()
    server = log_server(storage, NEVER)
    async with server.live, server.live.pushing(KEY) as live:
        await live.push(0, b"before the end", end=False)
    assert (await server.store.cover(KEY)).length == 14


async def test_closed_buffer_refuses_bytes() -> None:
    # Nothing would store them, and their sender would wait for an acknowledgement.
    storage = FakeObjectStorage()
    server = log_server(storage)
    pushing = server.live.pushing(KEY)
    async with server.live:
        live = await pushing.__aenter__()
        await live.push(0, b"before", end=False)
    with pytest.raises(Unavailable, match="push again"):
        await live.push(6, b" and after", end=False)
    await pushing.__aexit__(None, None, None)
    assert (await server.store.cover(KEY)).length == len(b"before")
