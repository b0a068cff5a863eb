"""Takes logs from executors (`ExecutorService.PushLogs`) and gives them to readers.

One stream carries many logs of one executor. Each chunk is taken by its `LogBuffer`; each answer tells how much of a
log is stored. The answers of a stream are made by one hand from what is true at that moment, so that however often a
log moves, at most one answer of it waits.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.errors import (
    DataLoss,
    Exhausted,
    FailedPrecondition,
    NotFound,
    SluicewayError,
    Unavailable,
)
from sluiceway_common.foundation.tasks import one_error
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.logs.buffer import LogBuffer, LogBuffers
from sluiceway_server.logs.layout import SETUP_STEP, LogKey
from sluiceway_server.logs.reader import CHUNK_BYTES, LogChunk, LogReader, StoredLogStates
from sluiceway_server.runrecords.executor_messages import check_push
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR, TASK, task_id

__all__ = ["LogChunk", "LogOwners", "LogReader", "LogReceiver", "StoredLogOwners", "StoredLogStates"]

log = structlog.get_logger(__name__)

_MOST_LOGS_OF_A_STREAM = 10_000
_MOST_OWNERS_KNOWN = 10_000

Send = Callable[[pb.PushLogsResponse], Awaitable[None]]


class LogOwners(Protocol):
    """Who knows which session a log belongs to."""

    async def key_of(self, executor_id: str, session_id: str, assignment_id: str, step: int) -> LogKey:
        """Find the log of a step of an assignment of this session.

        Raises:
            NotFound: there is no such assignment or step.
            FailedPrecondition: it is another session's.
            Unavailable: the executor has not settled in this epoch of the database.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Owned:
    executor_id: str
    session_id: str
    run_id: str
    task_id: str
    task_name: str
    epoch: Epoch
    steps: int


class StoredLogOwners:
    """`LogOwners` from the database.

    Whose an assignment is never changes in an epoch of the database, so it is remembered: of those that this server
    sent to their executors (`sent`), and of those that it has read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[int, str], _Owned] = OrderedDict()

    def sent(self, executor_id: str, session_id: str, assign: pb.Assign) -> None:
        """Remember an assignment that is sent to its executor."""
        what = assign.specification
        epoch = Epoch(assign.epoch.database, assign.epoch.attempt)
        owned = _Owned(executor_id, session_id, what.run_id, what.task_id, what.task_name, epoch, steps=len(what.steps))
        self._remember(assign.assignment_id, owned)

    async def key_of(self, executor_id: str, session_id: str, assignment_id: str, step: int) -> LogKey:
        owned = self._known.get((self._database.epoch, assignment_id))
        if owned is None:
            owned = await self._read(executor_id, assignment_id)
            self._remember(assignment_id, owned)
        if (owned.executor_id, owned.session_id) != (executor_id, session_id):
            raise FailedPrecondition(
                f"the assignment {assignment_id} is not of this session", reason="STALE_SESSION", subject=assignment_id
            )
        if step != SETUP_STEP and not 0 <= step < owned.steps:
            raise NotFound(f"the task {owned.task_name} has no step {step}", reason="STEP_UNKNOWN")
        return LogKey(owned.run_id, owned.task_id, owned.epoch, step)

    async def _read(self, executor_id: str, assignment_id: str) -> _Owned:
        try:
            assignment = await self._database.get(ASSIGNMENT, assignment_id)
        except NotFound as error:
            if await self._database.read(lambda view: _has_settled(view, executor_id)):
                raise
            # The database may have lost it with its last moments: then the executor is about to bring it back.
            raise Unavailable(
                f"the executor {executor_id} has not settled yet; push again", reason="NOT_SETTLED"
            ) from error
        task = (await self._database.get(TASK, task_id(assignment.run_id, assignment.task_id))).task
        return _Owned(
            assignment.executor_id,
            assignment.session_id,
            assignment.run_id,
            assignment.task_id,
            task.name,
            Epoch(assignment.epoch.database, assignment.epoch.attempt),
            steps=len(task.steps),
        )

    def _remember(self, assignment_id: str, owned: _Owned) -> None:
        self._known[self._database.epoch, assignment_id] = owned
        if len(self._known) > _MOST_OWNERS_KNOWN:
            self._known.popitem(last=False)


def _has_settled(view: View, executor_id: str) -> bool:
    record = view.get(EXECUTOR, executor_id)
    return record is not None and record.settled_epoch == view.position.sequence.epoch


class LogReceiver:
    """Takes the streams of all executors that push to this server."""

    def __init__(
        self, live: LogBuffers, owners: LogOwners, *, limit_bytes: int = 1024 * 1024 * 1024 + CHUNK_BYTES
    ) -> None:
        """Make one.

        Args:
            live: where bytes go.
            owners: who may write what.
            limit_bytes: of one log. The executor keeps the limit of its specification itself, with a line in the log
                that says so; this one is for those that do not.
        """
        self._live = live
        self._owners = owners
        self._limit_bytes = limit_bytes

    async def receive(
        self, executor_id: str, session_id: str, requests: AsyncIterator[pb.PushLogsRequest], send: Send
    ) -> None:
        """Serve one stream of a proven session. Ends when the sender has ended and all that it sent is stored.

        Raises:
            InvalidInput: a message says something impossible.
            Unavailable: the object storage is away; push again later.
        """
        stream = _Stream(executor_id, session_id, self._live, self._owners, self._limit_bytes)
        try:
            # One hand fails and the other is ended for it; a stream has one status.
            with one_error():
                async with asyncio.TaskGroup() as tasks:
                    reading = tasks.create_task(stream.read(requests), name=f"logs of {executor_id}")
                    reading.add_done_callback(stream.reading_ended)
                    await stream.answer(send)
        finally:
            await stream.close()


@dataclass(slots=True, eq=False)
class _Pushed:
    reference: pb.LogReference
    live: LogBuffer | None = None
    refused: SluicewayError | None = None
    answered: tuple[int, bool] | None = None
    is_asked: bool = True
    is_rewinding: bool = False
    rewind_due: bool = False
    moved: Callable[[], None] = field(default=lambda: None)
    hold: AsyncExitStack = field(default_factory=AsyncExitStack)


class _Stream:
    def __init__(
        self, executor_id: str, session_id: str, live: LogBuffers, owners: LogOwners, limit_bytes: int
    ) -> None:
        self._executor_id = executor_id
        self._session_id = session_id
        self._live = live
        self._owners = owners
        self._limit_bytes = limit_bytes
        self._logs: dict[tuple[str, int], _Pushed] = {}
        # A dictionary for its order: what changed first is answered first.
        self._changed: dict[_Pushed, None] = {}
        self._wake = asyncio.Event()
        self._reading = True

    async def read(self, requests: AsyncIterator[pb.PushLogsRequest]) -> None:
        async for request in requests:
            if not request.HasField("log"):
                continue
            check_push(request, most_bytes=CHUNK_BYTES)
            await self._take(request)
        for pushed in self._logs.values():
            if pushed.live is not None and not pushed.live.ended:
                await pushed.hold.aclose()  # nobody brings more: what there is is stored now

    async def _take(self, request: pb.PushLogsRequest) -> None:
        name = (request.log.assignment_id, request.log.step)
        pushed = self._logs.get(name)
        if pushed is None:
            if len(self._logs) >= _MOST_LOGS_OF_A_STREAM:
                self._forget_complete()
            pushed = self._logs[name] = _Pushed(pb.LogReference(assignment_id=name[0], step=name[1]))
            brings_all = request.end and request.offset == 0
            await self._open(pushed, brings_all=brings_all)
            if not brings_all:
                self._note(pushed)  # so that a sender that comes back skips what is stored
        live = pushed.live
        if live is None or pushed.refused is not None:
            return
        if request.offset + len(request.data) > self._limit_bytes:
            self._refuse(pushed, Exhausted(f"a log may have {self._limit_bytes} bytes", reason="LOG_LIMIT"))
            return
        try:
            if await live.push(request.offset, request.data, end=request.end):
                pushed.is_rewinding = False
            elif not pushed.is_rewinding:
                pushed.is_rewinding = pushed.rewind_due = True
                self._note(pushed)
        except DataLoss as error:
            self._refuse(pushed, error)
            return
        if request.offset + len(request.data) <= live.stored and (live.complete or not request.end):
            pushed.is_asked = True  # its answer was lost, perhaps
            self._note(pushed)

    async def _open(self, pushed: _Pushed, *, brings_all: bool) -> None:
        reference = pushed.reference
        try:
            key = await self._owners.key_of(
                self._executor_id, self._session_id, reference.assignment_id, reference.step
            )
        except (NotFound, FailedPrecondition) as error:
            self._refuse(pushed, error)
            return
        live = await pushed.hold.enter_async_context(self._live.pushing(key, brings_all=brings_all))
        pushed.moved = partial(self._note, pushed)
        live.listeners.append(pushed.moved)
        pushed.live = live

    def _refuse(self, pushed: _Pushed, error: SluicewayError) -> None:
        log.info("log_refused", executor=self._executor_id, assignment=pushed.reference.assignment_id, why=str(error))
        pushed.refused = error
        self._note(pushed)

    def _forget_complete(self) -> None:
        for name, pushed in tuple(self._logs.items()):
            if _is_settled(pushed) and pushed not in self._changed:
                if pushed.live is not None:
                    pushed.live.listeners.remove(pushed.moved)
                del self._logs[name]
        if len(self._logs) >= _MOST_LOGS_OF_A_STREAM:
            raise Exhausted(f"one stream may carry {_MOST_LOGS_OF_A_STREAM} logs at a time")

    def _note(self, pushed: _Pushed) -> None:
        self._changed[pushed] = None
        self._wake.set()

    def reading_ended(self, _: asyncio.Task[None]) -> None:
        self._reading = False
        self._wake.set()

    async def answer(self, send: Send) -> None:
        while True:
            self._wake.clear()
            while self._changed:
                pushed = next(iter(self._changed))
                del self._changed[pushed]
                await self._answer_one(pushed, send)
            if not self._reading and not self._changed and all(self._needs_no_more(p) for p in self._logs.values()):
                return
            await self._wake.wait()

    async def _answer_one(self, pushed: _Pushed, send: Send) -> None:
        response = pb.PushLogsResponse(log=pushed.reference)
        if pushed.refused is not None:
            response.refused.CopyFrom(run_pb2.Reason(code=pushed.refused.reason, message=str(pushed.refused)))
        elif pushed.live is not None:
            now = (pushed.live.stored, pushed.live.complete)
            if now == pushed.answered and not pushed.rewind_due and not pushed.is_asked:
                return
            response.stored_offset, response.complete = pushed.answered = now
            response.rewind = pushed.rewind_due
            pushed.rewind_due = pushed.is_asked = False
        await send(response)
        if _is_settled(pushed):
            await pushed.hold.aclose()

    def _needs_no_more(self, pushed: _Pushed) -> bool:
        live = pushed.live
        return (
            _is_settled(pushed)
            or live is None
            or (not live.ended and not live.unstored)
            # Given up: the executor still has the bytes.
            or self._live.get(live.key) is not live
        )

    async def close(self) -> None:
        """Let go of all logs. Does no I/O."""
        for pushed in self._logs.values():
            if pushed.live is not None:
                pushed.live.listeners.remove(pushed.moved)
            await pushed.hold.aclose()


def _is_settled(pushed: _Pushed) -> bool:
    return pushed.refused is not None or (pushed.live is not None and pushed.live.complete)
