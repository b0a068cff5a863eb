"""The lines around the first error of logs that are stored, or still in memory."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import NotFound
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.excerpts import LogExcerpt, LogExcerpts
from sluiceway_server.logs.first_error import SEARCHED_BYTES
from sluiceway_server.logs.store import LogStore
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.conditions import eventually
from tests.support.log_server import KEY, NEVER, LogServer, States, log_server


async def _stored(data: bytes, *, composed: bool = True) -> LogServer:
    storage, clock = FakeObjectStorage(), SystemClock()
    store = LogStore(storage, clock, timeout=timedelta(seconds=30))
    if data:
        await store.put_segment(KEY, 0, data)
    await store.end(KEY, len(data))
    if composed and data:
        await store.compose(KEY)
    return LogServer(storage, store, LogBuffers(store, clock), States(is_over=True, size=len(data)))


async def _found(server: LogServer) -> LogExcerpt:
    return await LogExcerpts(server.reader()).find("run", "task", step=0)


async def test_lines_around_the_first_error_are_returned() -> None:
    log = b"".join(b"line %d\n" % number for number in range(1, 101)).replace(b"line 50\n", b"fatal: 50\n")
    found = await _found(await _stored(log))
    assert (found.attempt, found.size, found.error_line, found.first_line) == (1, len(log), 50, 45)
    assert found.lines == [f"line {n}" if n != 50 else "fatal: 50" for n in range(45, 62)]


@pytest.mark.parametrize(
    ("log", "error_line", "first_line", "lines"),
    [
        pytest.param(b"", 0, 1, [], id="of an empty log"),
        pytest.param(b"error", 1, 1, ["error"], id="of one line"),
        pytest.param(b"\n\nerror\n", 3, 1, ["", "", "error"], id="after empty lines"),
        pytest.param(b"x" * 9000 + b"\nerror\n", 2, 2, ["error"], id="after a line of which only the end is read"),
        pytest.param(b"one\ntwo\n", 0, 1, ["one", "two"], id="of a log without an error"),
        pytest.param(b"one\ntwo", 0, 1, ["one", "two"], id="of a log without an error and newline"),
    ],
)
async def test_excerpt_is_right(log: bytes, error_line: int, first_line: int, lines: list[str]) -> None:
    found = await _found(await _stored(log))
    assert (found.error_line, found.first_line, found.lines) == (error_line, first_line, lines)


async def test_end_of_a_log_without_an_error_is_returned() -> None:
    log = b"".join(b"line %d\n" % number for number in range(1, 101))
    found = await _found(await _stored(log))
    assert (found.error_line, found.first_line) == (0, 83)
    assert found.lines == [f"line {n}" for n in range(83, 101)]


@pytest.mark.parametrize("composed", [True, False], ids=["with an index", "without an index"])
async def test_end_of_a_large_log_is_searched_with_right_numbers(composed: bool) -> None:
    line = b"%099d\n" % 0
    count = SEARCHED_BYTES // len(line) + 5000
    log = bytearray(b"error too long ago\n" + line * count)
    log += b"error: at the end\nafter\n"
    server = await _stored(bytes(log), composed=composed)
    found = await _found(server)
    assert found.error_line == count + 2
    assert found.lines[found.error_line - found.first_line] == "error: at the end"
    assert found.lines[-1] == "after"


async def test_error_of_a_log_in_memory_is_found() -> None:
    server = log_server(FakeObjectStorage(), NEVER)
    async with asyncio.TaskGroup() as tasks, server.live:
        push = server.push(tasks)
        push.send(0, b"one\nerror: two\nthr")
        await eventually(lambda: server.is_described_as(1, 18))
        found = await _found(server)
        assert (found.error_line, found.first_line, found.lines) == (2, 1, ["one", "error: two", "thr"])
        push.finish()


async def test_missing_log_is_reported() -> None:
    storage, clock = FakeObjectStorage(), SystemClock()
    store = LogStore(storage, clock, timeout=timedelta(seconds=5))
    server = LogServer(storage, store, LogBuffers(store, clock), States(is_over=True, size=10))
    with pytest.raises(NotFound) as caught:
        await _found(server)
    assert caught.value.reason == "LOG_MISSING"
