from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import DataLoss, InvalidInput, NotFound, OutOfRange, Unavailable
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.logs.buffer import LogBuffers, LogBufferSettings
from sluiceway_server.logs.check import LogCheck
from sluiceway_server.logs.layout import LineIndex, LogKey
from sluiceway_server.logs.reader import LogReader
from sluiceway_server.logs.receiver import LogReceiver
from sluiceway_server.logs.states import LogState
from sluiceway_server.logs.store import LogStore
from tests.fakes.clock import FakeClock
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.conditions import eventually

KEY = LogKey("run", "task", Epoch(1, 1), 0)
QUICK = LogBufferSettings(cut_after=timedelta(milliseconds=20), first_cut_after=timedelta(milliseconds=20))
NEVER = LogBufferSettings(cut_after=timedelta(hours=1), first_cut_after=timedelta(hours=1))


class _Owners:
    async def key_of(self, executor_id: str, session_id: str, assignment_id: str, step: int) -> LogKey:
        if assignment_id != "assignment":
            raise NotFound("no such assignment")
        return LogKey("run", "task", Epoch(1, 1), step)


@dataclass
class _States:
    is_over: bool = False
    size: int | None = None
    may_be_empty: bool = True

    async def find(self, run_id: str, task: str, *, attempt: int, step: int, fresh: bool = False) -> LogState:
        key = LogKey("run", task, Epoch(1, 1), step)
        return LogState(key, self.is_over, self.size, title="the log", may_be_empty=self.may_be_empty)

    @property
    def position(self) -> Position:
        return Position(LogSequence(1, 1), 0)

    async def changed(self, run_id: str, *, since: Position) -> None:
        raise OutOfRange("nothing is known of it")


@dataclass
class _Push:
    """A scripted executor: what it sends, and what it was answered."""

    requests: asyncio.Queue[pb.PushLogsRequest | None] = field(default_factory=asyncio.Queue)
    answers: list[pb.PushLogsResponse] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def send(self, offset: int, data: bytes, *, end: bool = False, step: int = 0, of: str = "assignment") -> None:
        log = pb.LogReference(assignment_id=of, step=step)
        self.requests.put_nowait(pb.PushLogsRequest(log=log, offset=offset, data=data, end=end))

    def finish(self) -> None:
        self.requests.put_nowait(None)

    async def sent(self) -> AsyncIterator[pb.PushLogsRequest]:
        while (request := await self.requests.get()) is not None:
            yield request

    async def hear(self, answer: pb.PushLogsResponse) -> None:
        async with self.changed:
            self.answers.append(answer)
            self.changed.notify_all()

    async def until_answered(self, **wanted: object) -> pb.PushLogsResponse:
        def found() -> pb.PushLogsResponse | None:
            return next((a for a in self.answers if all(getattr(a, k) == v for k, v in wanted.items())), None)

        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: found() is not None)
        answer = found()
        assert answer is not None
        return answer


@dataclass
class _Server:
    storage: FakeObjectStorage
    store: LogStore
    live: LogBuffers
    states: _States

    def push(self, tasks: asyncio.TaskGroup) -> _Push:
        push = _Push()
        tasks.create_task(LogReceiver(self.live, _Owners()).receive("e", "s", push.sent(), push.hear))
        return push

    def reader(self) -> LogReader:
        return LogReader(self.store, self.live, self.states, poll=timedelta(milliseconds=20))

    async def described(self) -> tuple[int, int]:
        log = await self.reader().describe("run", "task", step=0)
        return log.attempt, log.size

    async def is_described_as(self, attempt: int, size: int) -> bool:
        return await self.described() == (attempt, size)

    async def read(self, *, offset: int = 0, follow: bool = False, step: int = 0) -> bytes:
        async with asyncio.timeout(30):
            parts = [c async for c in self.reader().read("run", "task", step=step, offset=offset, follow=follow)]
        position = offset
        for part in parts:
            position += len(part.data)
            assert part.next_offset == position
            assert 0 < len(part.data) <= 64 * 1024
        return b"".join(part.data for part in parts)


def _server(storage: FakeObjectStorage, settings: LogBufferSettings = QUICK) -> _Server:
    clock = SystemClock()
    store = LogStore(storage, clock, timeout=timedelta(seconds=5))
    return _Server(storage, store, LogBuffers(store, clock, settings=settings, grace=timedelta(seconds=1)), _States())


async def test_log_is_stored_and_acknowledged_and_read_back() -> None:
    server = _server(FakeObjectStorage())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"hello ")
        await push.until_answered(stored_offset=6)
        push.send(6, b"world\n", end=True)
        await push.until_answered(complete=True, stored_offset=12)
        push.finish()
    assert await server.read() == b"hello world\n"
    assert await server.read(offset=6) == b"world\n"
    assert await server.read(offset=12, follow=True) == b""
    with pytest.raises(OutOfRange):
        await server.read(offset=13)


async def test_description_has_the_present_size_of_a_log() -> None:
    server = _server(FakeObjectStorage(), NEVER)
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


async def test_unstored_bytes_are_readable_but_not_acknowledged() -> None:
    server = _server(FakeObjectStorage(), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"seen at once")
        await push.until_answered(stored_offset=0)
        chunk = await anext(server.reader().read("run", "task", step=0, follow=True))
        assert chunk.data == b"seen at once"
        assert {a.stored_offset for a in push.answers} == {0}
        assert [info async for info in server.storage.list()] == []
        push.send(12, b"", end=True)
        await push.until_answered(complete=True)
        push.finish()


async def test_short_log_is_one_object_and_acknowledged_once() -> None:
    server = _server(FakeObjectStorage(), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"a\nb\n", end=True)
        await push.until_answered(complete=True, stored_offset=4)
        push.finish()
    assert len(push.answers) == 1
    assert [info.key async for info in server.storage.list()] == [f"{KEY.path}log.{4:020d}"]
    cover = await server.store.cover(KEY)
    index = await server.store.index(cover)
    assert (index.size, index.newlines) == (4, 2)
    assert index.sha256 == hashlib.sha256(b"a\nb\n").hexdigest()
    assert await server.read() == b"a\nb\n"
    assert await server.read(offset=2) == b"b\n"
    assert await server.described() == (1, 4)


async def test_short_log_pushed_again_is_complete_and_unchanged() -> None:
    server = _server(FakeObjectStorage(), NEVER)
    names = []
    for _ in range(2):
        async with asyncio.TaskGroup() as tasks:
            push = server.push(tasks)
            push.send(0, b"once", end=True)
            await push.until_answered(complete=True, stored_offset=4)
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
    server = _Server(storage, store, LogBuffers(store, clock, settings=QUICK), _States())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"first ")
        await eventually(lambda: _is_held(server))
        clock.advance(timedelta(seconds=1))
        await push.until_answered(stored_offset=6)
        push.send(6, b"second last", end=True)
        await push.until_answered(complete=True, stored_offset=17)
        push.finish()
    complete = f"{KEY.path}log.{17:020d}"
    names = [info.key async for info in storage.list(KEY.path)]
    assert names == [f"{KEY.path}{0:020d}", complete]
    assert await server.read() == b"first second last"
    clock.advance(timedelta(minutes=61))
    assert await store.do_due_work() == 1
    assert [info.key async for info in storage.list()] == [complete]
    assert await server.read(offset=6) == b"second last"


async def _is_held(server: _Server) -> bool:
    live = server.live.get(KEY)
    return live is not None and live.received > 0


async def test_empty_log_is_complete_and_has_no_object() -> None:
    server = _server(FakeObjectStorage())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"", end=True)
        await push.until_answered(complete=True)
        push.finish()
    assert [info.key async for info in server.storage.list()] == []
    server.states.size = 0
    assert await server.read(follow=True) == b""


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
    server = _Server(storage, store, LogBuffers(store, clock), _States(is_over=True, may_be_empty=False))
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
    server = _server(FakeObjectStorage())
    await server.storage.put(KEY.path + "index", _old_index(b""))
    server.states = _States(is_over=True, may_be_empty=False)
    assert await server.read() == b""
    assert (await server.store.index(await server.store.cover(KEY))).size == 0


async def test_duplicates_and_overlaps_are_stored_once() -> None:
    server = _server(FakeObjectStorage(), NEVER)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        for offset, data in ((0, b"abc"), (0, b"abc"), (1, b"bcde"), (2, b"c")):
            push.send(offset, data)
        push.send(5, b"f", end=True)
        await push.until_answered(complete=True)
        # The end again, as a sender does whose answer was lost.
        push.send(5, b"f", end=True)
        push.finish()
    assert await server.read() == b"abcdef"
    assert not any(a.rewind or a.HasField("refused") for a in push.answers)


async def test_chunk_after_a_gap_rewinds_the_sender_once() -> None:
    server = _server(FakeObjectStorage())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"abc")
        await push.until_answered(stored_offset=3)
        push.send(5, b"f")
        push.send(6, b"g")
        await push.until_answered(rewind=True, stored_offset=3)
        push.send(3, b"defg", end=True)
        await push.until_answered(complete=True, stored_offset=7)
        push.finish()
    assert await server.read() == b"abcdefg"
    assert sum(a.rewind for a in push.answers) == 1


async def test_log_of_another_executor_is_refused_alone() -> None:
    server = _server(FakeObjectStorage())
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"not mine", of="other")
        push.send(0, b"mine", end=True)
        await push.until_answered(complete=True)
        push.finish()
    refused = [a for a in push.answers if a.HasField("refused")]
    assert [(a.log.assignment_id, a.refused.code) for a in refused] == [("other", "NOT_FOUND")]
    assert await server.read() == b"mine"


async def test_chunk_out_of_bounds_ends_the_stream() -> None:
    server = _server(FakeObjectStorage())
    push = _Push()
    push.send(0, b"x" * (64 * 1024 + 1))
    async with server.live:
        with pytest.raises(InvalidInput):
            await LogReceiver(server.live, _Owners()).receive("e", "s", push.sent(), push.hear)


async def test_large_log_is_cut_and_composed() -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    store = LogStore(storage, clock)
    live = LogBuffers(store, clock, settings=LogBufferSettings(cut_bytes=100_000))
    server = _Server(storage, store, live, _States())
    body = b"".join(f"line {i}\n".encode() for i in range(100_000))
    async with live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        for offset in range(0, len(body), 50_000):
            push.send(offset, body[offset : offset + 50_000], end=offset + 50_000 >= len(body))
        await push.until_answered(complete=True, stored_offset=len(body))
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


async def test_reader_continues_when_segments_are_deleted() -> None:
    clock = FakeClock()
    storage = FakeObjectStorage(clock)
    store = LogStore(storage, clock)
    body = bytes(range(256)) * 4096
    half = len(body) // 2
    await store.put_segment(KEY, 0, body[:half])
    await store.put_segment(KEY, half, body[half:])
    await store.end(KEY, len(body))
    server = _Server(storage, store, LogBuffers(store, clock), _States())
    reading = server.reader().read("run", "task", step=0)
    got = (await anext(reading)).data
    clock.advance(timedelta(minutes=6))
    await store.do_due_work()
    clock.advance(timedelta(minutes=61))
    await store.do_due_work()
    assert f"{KEY.path}{half:020d}" not in [info.key async for info in storage.list(KEY.path)]
    got += b"".join([chunk.data async for chunk in reading])
    assert got == body


async def test_another_server_continues_where_the_first_died() -> None:
    storage = FakeObjectStorage()
    first, second = _server(storage, NEVER), _server(storage)
    async with second.live, asyncio.TaskGroup() as tasks:
        async with asyncio.TaskGroup() as dying:
            push = first.push(dying)
            push.send(0, b"x" * 10)
            await push.until_answered(stored_offset=0)
            push.finish()  # the end of a stream stores what came over it
        push = second.push(tasks)
        push.send(10, b"y" * 5)
        assert (await push.until_answered(stored_offset=10)).rewind is False
        push.send(15, b"", end=True)
        await push.until_answered(complete=True)
        push.finish()
    assert await second.read() == b"x" * 10 + b"y" * 5


async def test_bytes_lost_with_a_server_are_requested_again() -> None:
    storage = FakeObjectStorage()
    server = _server(storage)
    await server.store.put_segment(KEY, 0, b"stored")
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(20, b"later")
        await push.until_answered(rewind=True, stored_offset=6)
        push.send(6, b" and the rest", end=True)
        await push.until_answered(complete=True)
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


async def test_follower_sees_all_from_the_beginning_to_the_end() -> None:
    server = _server(FakeObjectStorage())
    body = bytes(range(256)) * 2000
    async with server.live, asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(server.read(follow=True))
        push = server.push(tasks)
        for offset in range(0, len(body), 10_000):
            push.send(offset, body[offset : offset + 10_000])
            if offset % 50_000 == 0:
                await push.until_answered(stored_offset=offset + 10_000)
        push.send(len(body), b"", end=True)
        await push.until_answered(complete=True)
        push.finish()
        assert await follower == body


async def test_follower_on_another_server_reads_what_is_stored() -> None:
    storage = FakeObjectStorage()
    pushed_to, read_from = _server(storage), _server(storage)
    async with pushed_to.live, read_from.live, asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(read_from.read(follow=True))
        push = pushed_to.push(tasks)
        push.send(0, b"one ")
        await push.until_answered(stored_offset=4)
        push.send(4, b"two", end=True)
        await push.until_answered(complete=True)
        push.finish()
        assert await follower == b"one two"


async def test_follower_of_a_lost_attempt_ends_with_what_is_stored() -> None:
    server = _server(FakeObjectStorage())
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
    server = _server(FakeObjectStorage())
    server.states = _States(is_over=True, size=size, may_be_empty=may_be_empty)
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
    server = _server(FakeObjectStorage())
    server.states = _States(is_over=True, size=size, may_be_empty=may_be_empty)
    assert await server.read() == b""
    assert await server.described() == (1, 0)


async def test_stored_part_of_a_log_is_read_before_the_error() -> None:
    server = _server(FakeObjectStorage())
    await server.store.put_segment(KEY, 0, b"abc")
    server.states = _States(is_over=True, size=5)
    read = server.reader().read("run", "task", step=0)
    assert (await anext(read)).data == b"abc"
    with pytest.raises(DataLoss, match="3 of its 5 bytes") as lost:
        await anext(read)
    assert lost.value.reason == "LOG_INCOMPLETE"
    assert await server.described() == (1, 3)


async def test_slow_reader_costs_no_memory_and_skips_nothing() -> None:
    server = _server(FakeObjectStorage(), LogBufferSettings(cut_bytes=64_000, tail_bytes=64_000))
    body = bytes(range(250)) * 8000
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, body[:1000])
        await push.until_answered(stored_offset=0)
        slow = server.reader().read("run", "task", step=0, follow=True)
        got = (await anext(slow)).data
        for offset in range(1000, len(body), 50_000):
            push.send(offset, body[offset : offset + 50_000])
        push.send(len(body), b"", end=True)
        await push.until_answered(complete=True)
        push.finish()
        got += b"".join([chunk.data async for chunk in slow])
    assert got == body


async def test_pusher_waits_while_the_storage_is_away() -> None:
    storage = FakeObjectStorage()
    server = _server(storage, LogBufferSettings(cut_bytes=10_000, log_bytes=30_000))
    body = b"z" * 200_000
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, body[:1])
        await push.until_answered(stored_offset=0)
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
        await push.until_answered(complete=True, stored_offset=len(body))
        push.finish()
    assert await server.read() == body


async def test_failing_puts_are_repeated() -> None:
    storage = FakeObjectStorage()
    server = _server(storage)
    async with server.live, asyncio.TaskGroup() as tasks:
        push = server.push(tasks)
        push.send(0, b"")
        await push.until_answered(stored_offset=0)
        storage.fail_next_writes(Unavailable("503"))
        storage.fail_next_writes(Unavailable("503"), applied=True)
        push.send(0, b"stubborn", end=True)
        await push.until_answered(complete=True, stored_offset=8)
        push.finish()
    assert await server.read() == b"stubborn"


async def test_closing_buffers_stores_their_bytes() -> None:
    storage = FakeObjectStorage()
    server = _server(storage, NEVER)
    async with server.live, server.live.pushing(KEY) as live:
        await live.push(0, b"before the end", end=False)
    assert (await server.store.cover(KEY)).length == 14


async def test_closed_buffer_refuses_bytes() -> None:
    # Nothing would store them, and their sender would wait for an acknowledgement.
    storage = FakeObjectStorage()
    server = _server(storage)
    pushing = server.live.pushing(KEY)
    async with server.live:
        live = await pushing.__aenter__()
        await live.push(0, b"before", end=False)
    with pytest.raises(Unavailable, match="push again"):
        await live.push(6, b" and after", end=False)
    await pushing.__aexit__(None, None, None)
    assert (await server.store.cover(KEY)).length == len(b"before")
