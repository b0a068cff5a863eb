"""The methods of `RunService` that read logs: from requests to the logs, and from them to responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Protocol

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.rpc.caller import announce_stream
from sluiceway_server.logs.chunks import LogChunk
from sluiceway_server.logs.excerpts import LogExcerpts
from sluiceway_server.logs.layout import LINE_BLOCK
from sluiceway_server.logs.places import LogPlaces
from sluiceway_server.logs.reader import LogDescription, LogLines
from sluiceway_server.logs.run_search import LogSearcher, SearchedLog, SearchOutcome
from sluiceway_server.logs.search import Pattern
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import SETUP_STEP

_MOST_STRIDES = 4096
_MOST_MATCHES = 1000


class Logs(Protocol):
    """Reads logs (`logs.reader.LogReader`)."""

    async def describe(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogDescription:
        """Describe a log as it is now. Raises `NotFound`."""
        ...

    async def lines(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogLines:
        """Return where the lines of a log are. Raises `NotFound`."""
        ...

    def read(
        self,
        run_id: str,
        task: str,
        *,
        step: int,
        attempt: int = 0,
        offset: int = 0,
        follow: bool = False,
        timestamps: bool = False,
    ) -> AsyncGenerator[LogChunk]:
        """Yield the bytes of a log from an offset on. Raises `NotFound` and `OutOfRange`."""
        ...

    async def newlines_before(self, run_id: str, task: str, *, step: int, attempt: int, offset: int) -> int | None:
        """Return how many line ends a log has before an offset; None: it is not known yet."""
        ...


class LogCalls:
    """Serves requests for logs of runs that the caller may read."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._excerpts = LogExcerpts(logs)
        self._searcher = LogSearcher(logs)

    async def read(self, request: pb.ReadLogsRequest) -> AsyncIterator[pb.ReadLogsResponse]:
        """Serve `ReadLogs`. Raises `InvalidInput` and the errors of `LogReader.read`."""
        _check_read(request)
        step = SETUP_STEP if request.setup else request.step
        attempt, offset = request.attempt, request.offset
        by_lines = _selects_lines(request)
        line, left = 0, request.max_lines
        if by_lines:
            places = await LogPlaces.of(self._logs, request.run_id, request.task_id, step=step, attempt=attempt)
            attempt = places.lines.attempt
            offset, line, left = await _begin(places, request)
        if request.describe or request.tail or request.follow:
            log = await self._logs.describe(request.run_id, request.task_id, step=step, attempt=attempt)
            attempt = log.attempt  # the latest one may be another by the time that the log is read
            if request.tail:
                offset = max(0, log.size - request.tail)
            if request.describe:
                has_end = not (request.follow or by_lines or request.max_lines)
                yield pb.ReadLogsResponse(next_offset=offset, size=log.size if has_end else None, etag=log.etag)
            elif request.follow and offset <= log.size:
                await announce_stream()
        if request.max_lines and not left:
            return
        chunks = self._logs.read(
            request.run_id,
            request.task_id,
            step=step,
            attempt=attempt,
            offset=offset,
            follow=request.follow,
            timestamps=request.timestamps,
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                data = chunk.data
                if request.max_lines:
                    data, left = _first_lines(data, left)
                end = chunk.next_offset - len(chunk.data) + len(data)
                response = pb.ReadLogsResponse(next_offset=end, data=data, first_line=line)
                line = 0
                if chunk.time is not None:
                    codec.put_time(response.time, chunk.time)
                yield response
                if request.max_lines and not left:
                    return

    async def index(self, request: pb.GetLogIndexRequest) -> pb.LogIndex:
        """Serve `GetLogIndex`. Raises the errors of `LogReader.lines`."""
        step = SETUP_STEP if request.setup else request.step
        found = await self._logs.lines(request.run_id, request.task_id, step=step, attempt=request.attempt)
        # The distance is a power of two, so that it changes seldom while the log grows.
        every = 1
        while len(found.newlines_before) // every > _MOST_STRIDES:
            every *= 2
        index = pb.LogIndex(
            attempt=found.attempt,
            size=found.size,
            complete=found.is_complete,
            sha256=found.sha256,
            newlines=found.newlines,
            stride=every * LINE_BLOCK,
            newlines_before=found.newlines_before[every - 1 :: every],
        )
        for offset, seconds in found.times if request.with_times else ():
            codec.put_time(index.times.add(offset=offset).time, datetime.fromtimestamp(seconds, UTC))
        return index

    async def first_error(self, request: pb.FindLogErrorRequest) -> pb.LogExcerpt:
        """Serve `FindLogError`. Raises the errors of `LogReader.describe`."""
        step = SETUP_STEP if request.setup else request.step
        found = await self._excerpts.find(request.run_id, request.task_id, step=step, attempt=request.attempt)
        return pb.LogExcerpt(
            attempt=found.attempt,
            error_line=found.error_line,
            first_line=found.first_line,
            lines=found.lines,
            size=found.size,
        )

    async def search(
        self, request: pb.SearchLogsRequest, tasks: Sequence[api.Task]
    ) -> AsyncIterator[pb.SearchLogsResponse]:
        """Serve `SearchLogs` for these tasks. Raises `InvalidInput` and the errors of `LogSearcher.search`."""
        pattern = Pattern(request.pattern, regexp=request.regexp, ignore_case=request.ignore_case)
        outcome = SearchOutcome()
        names = {task.id: task.name for task in tasks}
        matches = self._searcher.search(
            request.run_id,
            (log for task in tasks for log in _logs_of(task)),
            pattern,
            context=request.context,
            most=request.max_matches or _MOST_MATCHES,
            outcome=outcome,
        )
        async with aclosing(matches):
            async for log, match in matches:
                is_setup = log.step == SETUP_STEP
                found = pb.LogMatch(
                    task_id=log.task,
                    task_name=names[log.task],
                    attempt=log.attempt,
                    setup=is_setup,
                    step=0 if is_setup else log.step,
                    line=match.line,
                    text=match.text,
                    before=match.before,
                    after=match.after,
                )
                yield pb.SearchLogsResponse(match=found)
        end = pb.LogSearchEnd(searched_bytes=outcome.searched_bytes, truncated=outcome.truncated, unread=outcome.unread)
        yield pb.SearchLogsResponse(end=end)


def _check_read(request: pb.ReadLogsRequest) -> None:
    names = ("step", "attempt", "offset", "tail", "first_line", "tail_lines", "max_lines")
    found = [Violation(name, "it must not be negative") for name in names if getattr(request, name) < 0]
    begins = [name for name in ("tail", "first_line", "tail_lines") if getattr(request, name)]
    begins += ["since"] if request.HasField("since") else []
    found += [Violation(name, f"it excludes {begins[0]}") for name in begins[1:]]
    if found:
        raise InvalidInput(found)


def _selects_lines(request: pb.ReadLogsRequest) -> bool:
    return bool(request.first_line or request.tail_lines or request.HasField("since"))


async def _begin(places: LogPlaces, request: pb.ReadLogsRequest) -> tuple[int, int, int]:
    """Return the offset and the number of the line to begin with, and how many lines are to be read."""
    if request.offset:
        # It resumes; of a range of lines the end stays where it was.
        line = await places.number_at(request.offset)
        past = line - request.first_line if request.first_line else 0
        return request.offset, line, max(0, request.max_lines - max(0, past))
    if request.first_line:
        place = await places.line(request.first_line)
    elif request.tail_lines:
        place = await places.tail(request.tail_lines)
    else:
        place = await places.since(request.since.ToMicroseconds() / 1e6)
    return place.offset, place.line, request.max_lines


def _first_lines(data: bytes, count: int) -> tuple[bytes, int]:
    """Return the first lines of some bytes, and how many more lines are to be read."""
    newlines = data.count(b"\n")
    if newlines < count:
        return data, count - newlines
    at = -1
    for _ in range(count):
        at = data.index(b"\n", at + 1)
    return data[: at + 1], 0


def _logs_of(task: api.Task) -> Iterator[SearchedLog]:
    """Yield the logs of the latest attempt that have bytes, as far as that is known."""
    if not task.attempt:
        return
    steps = [(SETUP_STEP, "the setup", task.setup_step), *((n, s.name, s) for n, s in enumerate(task.steps))]
    for number, name, step in steps:
        if step.phase in _NOT_BEGUN or (step.phase in _ENDED and not step.log_size_bytes):
            continue
        yield SearchedLog(task.id, task.attempt, number, f"task {task.name}, {name}")


_NOT_BEGUN = frozenset({api.STEP_PHASE_UNSPECIFIED, api.STEP_PHASE_NOT_STARTED, api.STEP_PHASE_SKIPPED})
_ENDED = frozenset({api.STEP_PHASE_SUCCESS, api.STEP_PHASE_FAILED, api.STEP_PHASE_STOPPED})
