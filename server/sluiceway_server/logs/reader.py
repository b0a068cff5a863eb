"""Reads logs for people: what is stored, then the tail that arrives, as one stream of bytes by offset.

Bytes come from the memory of this server when it holds them, from the object storage otherwise; a reader that falls
behind the memory is served from the storage until it has caught up. Nothing is queued for a reader: it is given the
next 64 KiB when it asks, so a slow one is slow and costs nothing, and none is skipped.

A log that is pushed to another server is followed by looking at the storage every `poll`; so it is late by as much as
segments are (log_store). The end of a step that wrote nothing is seen in the changes of its run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.run.v1 import run_pb2
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import DataLoss, NotFound, OutOfRange
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.datamanager.model import Position, Query, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.logs.buffer import LogBuffer, LogBuffers
from sluiceway_server.logs.layout import SETUP_STEP, Cover, LogKey
from sluiceway_server.logs.store import LogStore
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, TASK, run_of_row, run_topic, task_id

__all__ = ["CHUNK_BYTES", "LogChunk", "LogDescription", "LogReader", "LogState", "LogStates", "StoredLogStates"]

CHUNK_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024

_FINISHED = frozenset(
    {
        run_pb2.TASK_STATUS_SKIPPED,
        run_pb2.TASK_STATUS_CANCELLED,
        run_pb2.TASK_STATUS_STOPPED,
        run_pb2.TASK_STATUS_SUCCESS,
        run_pb2.TASK_STATUS_FAILED,
        run_pb2.TASK_STATUS_LOST,
    }
)
_STEP_FINAL = frozenset(
    {
        run_pb2.STEP_PHASE_SUCCESS,
        run_pb2.STEP_PHASE_FAILED,
        run_pb2.STEP_PHASE_STOPPED,
        run_pb2.STEP_PHASE_SKIPPED,
    }
)


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Bytes of a log: at most 64 KiB, the offset after them, and when the server had them, where that is known."""

    next_offset: int
    data: bytes
    time: datetime | None


@dataclass(frozen=True, slots=True)
class LogDescription:
    """What can be said of a log before it is read.

    Attributes:
        attempt: the one whose log it is, from 1.
        size: the bytes that it has now.
        etag: differs when the bytes do.
    """

    attempt: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class LogState:
    """What the records say of a log.

    Attributes:
        key: where it is.
        is_over: the attempt is over: nothing that is not stored by now will come.
        size: of the whole log, as the executor reported it when the step ended; None: it did not.
        title: how messages name it.
        may_be_empty: False: the step ran, and nobody reported how much it wrote.
        deleted: why and when it was deleted, for people; empty: it was not.
    """

    key: LogKey
    is_over: bool
    size: int | None
    title: str = "the log"
    may_be_empty: bool = True
    deleted: str = ""


class LogStates(Protocol):
    """Who knows tasks, attempts and steps."""

    async def find(self, run_id: str, task: str, *, attempt: int, step: int, fresh: bool = False) -> LogState:
        """Find a log; attempt 0 is the latest, `SETUP_STEP` the setup. Raises `NotFound`.

        `fresh`: as it is now, also when another server changed it a moment ago.
        """
        ...

    @property
    def position(self) -> Position:
        """What `find` sees, at least."""
        ...

    async def changed(self, run_id: str, *, since: Position) -> None:
        """Return when a run has changed after a position.

        Raises:
            OutOfRange, Exhausted, Unavailable: it cannot be known; look again later.
        """
        ...


class StoredLogStates:
    """`LogStates` from the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, run_id: str, task: str, *, attempt: int, step: int, fresh: bool = False) -> LogState:
        if fresh:
            await self._database.linearize()
        record = await self._database.get(TASK, task_id(run_id, task))
        found = record.task
        # A task that was never attempted has an attempt to come, whose log one may wait for already.
        latest = max(1, found.attempt)
        if not 0 <= attempt <= latest:
            raise NotFound(
                f"the task {found.name} has no attempt {attempt}; its latest is {latest}",
                resource_type="attempt",
                resource_name=f"{task}/{attempt}",
            )
        attempt = attempt or latest
        if step != SETUP_STEP and not 0 <= step < len(found.steps):
            raise NotFound(
                f"the task {found.name} has no step {step}; it has {len(found.steps)}",
                resource_type="step",
                resource_name=f"{task}/{step}",
            )
        assignment, shown = await self._attempt(found, attempt, step)
        is_over = (
            attempt < latest
            or found.status in _FINISHED
            # It waits for its retry.
            or (found.status == run_pb2.TASK_STATUS_NOT_STARTED and found.attempt > 0)
        )
        # An attempt that is to come will be of the present epoch of the database.
        epoch = Epoch(self._database.epoch if assignment is None else assignment.epoch.database, attempt)
        # A step that was cut off, such as by the loss of its executor, has a final phase too, and no digest.
        is_reported = shown.phase in _STEP_FINAL and bool(shown.log_sha256)
        name = "the setup" if step == SETUP_STEP else f'step "{shown.name}"'
        return LogState(
            LogKey(record.kept_from or run_id, found.id, epoch, step),
            is_over,
            shown.log_size_bytes if is_reported else None,
            title=f'the log of {name} of task "{found.name}" (attempt {attempt})',
            may_be_empty=is_reported or not shown.HasField("start_time"),
            deleted=await self._why_deleted(record, record.kept_from or run_id),
        )

    @property
    def position(self) -> Position:
        return self._database.position

    async def changed(self, run_id: str, *, since: Position) -> None:
        async with aclosing(self._database.subscribe(after=since, topics=[run_topic(run_id)])) as changes:
            await anext(changes)

    async def _why_deleted(self, record: pb.TaskRecord, ran_in: str) -> str:
        task = record.task
        if task.HasField("logs_delete_time"):
            return f"by {task.logs_deleted_by} on {_moment(task.logs_delete_time)}"
        if task.status not in _FINISHED:
            return ""
        fields = await self._database.read(lambda view: view.fields(RUN, ran_in))
        if fields is None:
            return "with its run, as old runs are" if record.kept_from else ""
        run = run_of_row(ran_in, fields)
        if not run.HasField("logs_delete_time"):
            return ""
        return f"on {_moment(run.logs_delete_time)}: it was older than logs are kept"

    async def _attempt(
        self, task: run_pb2.Task, attempt: int, step: int
    ) -> tuple[pb.AssignmentRecord | None, run_pb2.Step]:
        """Find the assignment of an attempt, if there is one yet, and what is known of a step in it."""
        query = Query(where={"bad_end_of": task.id, "bad_attempt": attempt}, size=10)

        is_last = attempt == task.attempt and bool(task.assignment_id)

        def read(view: View) -> pb.AssignmentRecord | None:
            if is_last:
                return view.get(ASSIGNMENT, task.assignment_id)
            ended = view.select(ASSIGNMENT, query).records
            return max((record for _, record in ended), key=lambda record: record.epoch.database, default=None)

        assignment = await self._database.read(read)
        of = task if is_last else assignment
        if of is None:
            return None, run_pb2.Step()
        if step == SETUP_STEP:
            return assignment, of.setup_step if isinstance(of, run_pb2.Task) else of.setup
        return assignment, of.steps[step] if step < len(of.steps) else run_pb2.Step()


class LogReader:
    """Gives logs to readers, live or stored."""

    def __init__(
        self, store: LogStore, live: LogBuffers, states: LogStates, *, poll: timedelta = timedelta(seconds=1)
    ) -> None:
        self._store = store
        self._live = live
        self._states = states
        self._poll = poll.total_seconds()

    async def describe(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogDescription:
        """Describe a log as it is now. May be repeated.

        Args:
            run_id: the run, through which the reader sees the task.
            task: the task's id.
            step: its index; `SETUP_STEP` for the setup.
            attempt: from 1; 0: the latest.

        Raises:
            NotFound: there is no such task, attempt or step; reason `LOG_DELETED`, or `LOG_MISSING`: nothing of it is
                stored.
            Unavailable: the object storage is away.
        """
        state = await self._states.find(run_id, task, attempt=attempt, step=step)
        _check_deleted(state)
        key = state.key
        live = self._live.get(key)
        if live is None:
            cover = await self._store.cover(key)
            size = cover.length
            if size == 0 and state.is_over:
                _check_whole(state, cover)
        else:
            size = live.received
        # A log only grows, so its first `size` bytes are the same at all times. An attempt of another epoch of the
        # database may have written another log.
        epoch = key.epoch
        return LogDescription(epoch.attempt, size, f"{epoch.database}.{epoch.attempt}.{size}")

    async def read(
        self, run_id: str, task: str, *, step: int, attempt: int = 0, offset: int = 0, follow: bool = False
    ) -> AsyncIterator[LogChunk]:
        """Give the bytes of a log from an offset on, in order, each once.

        Ends at the end of what there is; with `follow`, when the step is over. May be repeated from any offset.

        Args:
            run_id: the run, through which the reader sees the task.
            task: the task's id.
            step: its index; `SETUP_STEP` for the setup.
            attempt: from 1; 0: the latest, which is settled at the first moment.
            offset: of the first byte wanted.
            follow: wait for more.

        Raises:
            NotFound: there is no such task, attempt or step; reason `LOG_DELETED`, or `LOG_MISSING`: nothing of it is
                stored.
            DataLoss: reason `LOG_INCOMPLETE`, after what there is: not all of the log is stored.
            OutOfRange: the offset is beyond the end of a log that is over.
            Unavailable: the object storage is away.
        """
        seen = self._states.position
        state = await self._states.find(run_id, task, attempt=attempt, step=step)
        _check_deleted(state)
        key = state.key
        position = offset
        while True:
            live = self._live.get(key)
            if live is not None and position >= live.memory_start:
                tail = live.peek(position, CHUNK_BYTES)
                if tail is not None:
                    position += len(tail.data)
                    yield LogChunk(position, tail.data, tail.time)
                    continue
                if live.ended:
                    _check_range(key, position, live.received)
                    return
                if not follow:
                    return
                if not await self._changed(live, position):
                    # Nothing for a while: the attempt may be over without an end of this log (it was lost).
                    state = await self._states.find(run_id, task, attempt=key.epoch.attempt, step=step)
                    if state.is_over and position >= live.received:
                        return
                continue
            appearance = self._live.watch()
            cover = await self._store.cover(key)
            if position < cover.length:
                async for chunk in self._stored(key, cover, position):
                    position = chunk.next_offset
                    yield chunk
                continue
            if cover.ended or state.is_over or (state.size is not None and cover.length >= state.size):
                if not _is_whole(state, cover) or position > cover.length:
                    # It may have been deleted under this reader.
                    _check_deleted(await self._find(run_id, task, key))
                _check_whole(state, cover)
                _check_range(key, position, cover.length)
                return
            if not follow:
                return
            if self._live.get(key) is None:
                await self._until_it_may_be_there(run_id, appearance, since=seen)
            # Asked before the storage is looked at again, so that what was stored before the end is seen.
            seen = self._states.position
            state = await self._states.find(run_id, task, attempt=key.epoch.attempt, step=step)

    async def _until_it_may_be_there(self, run_id: str, appearance: asyncio.Event, *, since: Position) -> None:
        """Wait until a log appears here or the run changes, for `poll` at most."""
        changing = asyncio.ensure_future(self._states.changed(run_id, since=since))
        appearing = asyncio.ensure_future(appearance.wait())
        waits = (changing, appearing)
        try:
            done, waiting = await asyncio.wait(waits, timeout=self._poll, return_when=asyncio.FIRST_COMPLETED)
            if waiting and changing in done and changing.exception() is not None:
                await asyncio.wait(waiting, timeout=self._poll)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _find(self, run_id: str, task: str, key: LogKey) -> LogState:
        return await self._states.find(run_id, task, attempt=key.epoch.attempt, step=key.step, fresh=True)

    async def _changed(self, live: LogBuffer, position: int) -> bool:
        """Wait until a live log has more than `position`, has ended or has gone; False: nothing for a while."""
        event = live.watch()
        if live.received > position or live.ended or self._live.get(live.key) is not live:
            return True
        try:
            async with asyncio.timeout(max(self._poll, 1.0)):
                await event.wait()
        except TimeoutError:
            return False
        return True

    async def _stored(self, key: LogKey, cover: Cover, position: int) -> AsyncIterator[LogChunk]:
        times = [(s.offset, s.time) for s in cover.segments]
        try:
            async for data in self._store.read(cover, position, cover.length, at_most=_READ_BYTES):
                for begin in range(0, len(data), CHUNK_BYTES):
                    piece = data[begin : begin + CHUNK_BYTES]
                    while len(times) > 1 and times[1][0] <= position:
                        times.pop(0)
                    position += len(piece)
                    yield LogChunk(position, piece, times[0][1])
        except NotFound as cause:
            # Composed or deleted under us: the next look at the cover tells. One that did not change is a fault.
            if await self._store.cover(key) == cover:
                raise DataLoss(f"an object of {key.path} is listed and cannot be read") from cause


def _is_whole(state: LogState, cover: Cover) -> bool:
    return cover.ended or (state.size is not None and cover.length >= state.size)


def _check_deleted(state: LogState) -> None:
    if state.deleted:
        raise NotFound(
            f"{state.title} was deleted {state.deleted}",
            reason="LOG_DELETED",
            resource_type="log",
            resource_name=state.key.path,
        )


def _check_whole(state: LogState, cover: Cover) -> None:
    """Tell a log that was lost from one that is empty."""
    if _is_whole(state, cover):
        return
    if cover.length == 0 and (state.size is not None or not state.may_be_empty):
        why = (
            "nothing of it was stored before its executor was lost"
            if state.size is None
            else f"its {state.size} bytes are not in the object storage, at {state.key.path}; an import brings no logs."
            " Copy them from the object storage of the other database, or from a backup"
        )
        raise NotFound(
            f"{state.title} is missing: {why}",
            reason="LOG_MISSING",
            resource_type="log",
            resource_name=state.key.path,
        )
    if state.size is not None:
        raise DataLoss(
            f"{state.title} is incomplete: {cover.length} of its {state.size} bytes are in the object storage",
            reason="LOG_INCOMPLETE",
            metadata={"object": state.key.path},
        )


def _check_range(key: LogKey, position: int, size: int) -> None:
    if position > size:
        raise OutOfRange(
            f"the log {key.path} is over and has {size} bytes; there is nothing at {position}",
            metadata={"size": str(size)},
        )


def _moment(time: Timestamp) -> str:
    return f"{time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
