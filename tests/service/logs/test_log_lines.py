"""Logs are read by line and by time, through their stored index, while they are written, and as earlier versions left
them."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import pytest

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import InvalidInput, Unavailable
from sluiceway_server.logs.layout import Cover, LogIndex, complete_name
from sluiceway_server.logs.settings import LogBufferSettings
from sluiceway_server.runs.log_calls import LogCalls
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.conditions import eventually
from tests.support.log_server import KEY, NEVER, QUICK, LogServer, PushStream, log_server

BEGAN = datetime(2026, 11, 30, 8, tzinfo=UTC)
LINES = [f"{number}:".encode() + b"x" * (number * 7919 % 300) + b"\n" for number in range(1, 3001)]
DATA = b"".join(LINES)
STARTS = [0, *accumulate(map(len, LINES))]


async def read(server: LogServer, **fields: Any) -> tuple[bytes, int]:
    """Return the bytes of a read, and the number of the line that they begin with."""
    request = pb.ReadLogsRequest(run_id="run", task_id="task", **fields)
    messages = [message async for message in LogCalls(server.reader()).read(request)]
    return b"".join(each.data for each in messages), messages[0].first_line if messages else 0


async def write(server: LogServer, tasks: asyncio.TaskGroup, *, end: bool = True) -> PushStream:
    """Write 64 KiB each second."""
    push = server.push(tasks)
    for begin in range(0, len(DATA), 65536):
        piece = DATA[begin : begin + 65536]
        is_last = end and begin + len(piece) == len(DATA)
        push.send(begin, piece, end=is_last, time=BEGAN + timedelta(seconds=begin // 65536))
    if end:
        await push.until_response(complete=True)
        push.finish()
    else:
        await eventually(lambda: server.is_described_as(1, len(DATA)))
    return push


async def is_stored(server: LogServer) -> bool:
    return server.live.get(KEY) is None


async def check_lines(server: LogServer) -> None:
    for first, count in ((1, 1), (1, 3000), (700, 5), (2999, 9), (3000, 1)):
        expected = b"".join(LINES[first - 1 : first - 1 + count])
        assert await read(server, first_line=first, max_lines=count) == (expected, first)
    assert await read(server, tail_lines=2) == (b"".join(LINES[-2:]), 2999)
    assert await read(server, tail_lines=10_000) == (DATA, 1)
    assert (await read(server, first_line=3002))[0] == b""
    # A stream that is resumed ends where it would have ended.
    inside = STARTS[700] + 1
    assert (await read(server, first_line=700, max_lines=3, offset=inside))[0] == DATA[inside : STARTS[702]]


@pytest.mark.parametrize("settings", [NEVER, QUICK], ids=["in memory until its end", "in segments"])
async def test_complete_log_is_read_by_lines_and_time(settings: LogBufferSettings) -> None:
    server = log_server(FakeObjectStorage(SystemClock()), settings)
    async with server.live, asyncio.TaskGroup() as tasks:
        await write(server, tasks)
        await eventually(lambda: is_stored(server))
        await server.store.compose(KEY)
        await check_lines(server)
        index = await LogCalls(server.reader()).index(
            pb.GetLogIndexRequest(run_id="run", task_id="task", with_times=True)
        )
        assert (index.size, index.newlines, index.complete, len(index.sha256)) == (len(DATA), 3000, True, 64)
        assert [each.time.ToDatetime(UTC) for each in index.times] == [
            BEGAN + timedelta(seconds=n) for n in range(len(DATA) // 65536 + 1)
        ]
        third = next(n for n, start in enumerate(STARTS) if start >= 3 * 65536)
        since = BEGAN + timedelta(seconds=2.5)
        assert await read(server, since=since) == (DATA[STARTS[third] :], third + 1)
        request = pb.ReadLogsRequest(run_id="run", task_id="task", timestamps=True)
        times = [(m.next_offset, m.time.ToDatetime(UTC)) async for m in LogCalls(server.reader()).read(request)]
        assert times[:2] == [(65536, BEGAN), (131072, BEGAN + timedelta(seconds=1))]


async def test_log_is_read_by_lines_while_it_is_written() -> None:
    server = log_server(FakeObjectStorage(SystemClock()), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = await write(server, tasks, end=False)
        await check_lines(server)
        index = await LogCalls(server.reader()).index(pb.GetLogIndexRequest(run_id="run", task_id="task"))
        assert (index.newlines, index.complete, index.stride) == (3000, False, 65536)
        assert list(index.newlines_before) == [DATA[: n * 65536].count(b"\n") for n in range(1, len(DATA) // 65536 + 1)]
        push.finish()


async def test_segments_without_an_index_are_read_by_lines() -> None:
    storage = FakeObjectStorage(SystemClock())
    for begin in range(0, len(DATA), 100_000):
        await storage.put(f"{KEY.path}{begin:020d}", DATA[begin : begin + 100_000])
    await check_lines(log_server(storage))


async def test_index_of_a_log_has_no_more_than_4096_blocks() -> None:
    storage = FakeObjectStorage(SystemClock())
    size = 5000 * 65536 + 1
    # All that is read of the object is the index after its bytes.
    index = LogIndex(size, "0" * 64, 5000, tuple(range(1, 5001)))
    server = log_server(storage)

    async def stored(cover: Cover) -> LogIndex:
        return index

    server.store.index = stored  # type: ignore[method-assign]
    await storage.put(f"{KEY.path}{complete_name(size)}", b"")
    found = await LogCalls(server.reader()).index(pb.GetLogIndexRequest(run_id="run", task_id="task"))
    assert (found.stride, len(found.newlines_before)) == (131072, 2500)
    assert (found.newlines_before[0], found.newlines_before[-1]) == (2, 5000)


async def test_any_bytes_are_stored_as_written_though_puts_fail() -> None:
    """Zero bytes, broken UTF-8, a line of 3 MiB, many short lines; `bench.b5_logs` has a gigabyte of them."""
    written = b"".join(
        (bytes(range(256)) * 2000, b"x" * (3 << 20), b"\n\n\xff\xc3\n" * 50_000, b"\x00" * 70_000, b"end")
    )
    storage = FakeObjectStorage(SystemClock())
    server = log_server(storage, QUICK)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        for number, begin in enumerate(range(0, len(written), 65536)):
            if number % 20 == 5:
                storage.fail_next_writes(Unavailable("503"), applied=number % 40 == 5)
            piece = written[begin : begin + 65536]
            push.send(begin, piece, end=begin + len(piece) == len(written))
        await push.until_response(complete=True, stored_offset=len(written))
        push.finish()
        index = await server.store.compose(KEY)
        assert index.sha256 == hashlib.sha256(written).hexdigest()
        assert await server.read() == written
        lines = written.split(b"\n")
        for number in (1, 2000, 2001, 2002, 100_000, len(lines)):
            expected = lines[number - 1] + (b"\n" if number < len(lines) else b"")
            assert await read(server, first_line=number, max_lines=1) == (expected, number)


async def test_only_one_beginning_may_be_given() -> None:
    with pytest.raises(InvalidInput, match="tail_lines"):
        await read(log_server(FakeObjectStorage(SystemClock())), first_line=1, tail_lines=1)
