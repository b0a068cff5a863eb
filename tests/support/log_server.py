"""The parts of a server that receive, store and read logs, over a fake object storage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import NotFound, OutOfRange
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.chunks import LogPeers
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.reader import LogReader
from sluiceway_server.logs.receiver import LogReceiver
from sluiceway_server.logs.settings import LogBufferSettings
from sluiceway_server.logs.states import LogState
from sluiceway_server.logs.store import LogStore
from tests.fakes.objectstorage import FakeObjectStorage

KEY = LogKey("run", "task", Epoch(1, 1), 0)
QUICK = LogBufferSettings(cut_after=timedelta(milliseconds=20), first_cut_after=timedelta(milliseconds=20))
NEVER = LogBufferSettings(cut_after=timedelta(hours=1), first_cut_after=timedelta(hours=1))


class Owners:
    """Every executor owns the one assignment that there is."""

    async def key_of(self, executor_id: str, session_id: str, assignment_id: str, step: int) -> LogKey:
        if assignment_id != "assignment":
            raise NotFound("no such assignment")
        return LogKey("run", "task", Epoch(1, 1), step)


@dataclass
class States:
    """The state of every log, as a test sets it."""

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
class PushStream:
    """A scripted executor: what it sends, and the responses that it gets."""

    requests: asyncio.Queue[pb.PushLogsRequest | None] = field(default_factory=asyncio.Queue)
    responses: list[pb.PushLogsResponse] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def send(
        self,
        offset: int,
        data: bytes,
        *,
        end: bool = False,
        step: int = 0,
        of: str = "assignment",
        time: datetime | None = None,
        may_wait: bool = False,
    ) -> None:
        log = pb.LogReference(assignment_id=of, step=step)
        request = pb.PushLogsRequest(log=log, offset=offset, data=data, end=end, storage_may_wait=may_wait)
        if time is not None:
            request.time.FromDatetime(time)
        self.requests.put_nowait(request)

    def finish(self) -> None:
        self.requests.put_nowait(None)

    async def sent(self) -> AsyncIterator[pb.PushLogsRequest]:
        while (request := await self.requests.get()) is not None:
            yield request

    async def on_response(self, response: pb.PushLogsResponse) -> None:
        async with self.changed:
            self.responses.append(response)
            self.changed.notify_all()

    async def until_response(self, **wanted: object) -> pb.PushLogsResponse:
        def found() -> pb.PushLogsResponse | None:
            return next((a for a in self.responses if all(getattr(a, k) == v for k, v in wanted.items())), None)

        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(lambda: found() is not None)
        response = found()
        assert response is not None
        return response


@dataclass
class LogServer:
    """The log services of one server."""

    storage: FakeObjectStorage
    store: LogStore
    live: LogBuffers
    states: States
    peers: LogPeers | None = None

    def push(self, tasks: asyncio.TaskGroup) -> PushStream:
        push = PushStream()
        tasks.create_task(LogReceiver(self.live, Owners()).receive("e", "s", push.sent(), push.on_response))
        return push

    def reader(self) -> LogReader:
        return LogReader(self.store, self.live, self.states, peers=self.peers, poll=timedelta(milliseconds=20))

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


def log_server(
    storage: FakeObjectStorage, settings: LogBufferSettings = QUICK, clock: Clock | None = None
) -> LogServer:
    clock = clock or SystemClock()
    store = LogStore(storage, clock, timeout=timedelta(seconds=5))
    return LogServer(storage, store, LogBuffers(store, clock, settings=settings, grace=timedelta(seconds=1)), States())
