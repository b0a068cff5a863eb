"""The changes of runs, line by line: readable in a terminal that scrolls, in a file, and in another CI's log.

Every line has the same columns: the run, the task (`-` for the run itself), the state, how long it took, and a note.
"""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluiceway.api.run.v1 import run_pb2
from sluiceway.cli.logs import print_logs
from sluiceway.cli.references import short_id, task_reference
from sluiceway.cli.terminal import clean, columns_of, cut, paint, says_colour, width
from sluiceway.cli.units import duration
from sluiceway.cli.words import phase_name, result_name, run_took, task_status

if TYPE_CHECKING:
    from sluiceway.api.run.v1.run_service_pb2 import WatchRunResponse
    from sluiceway.client import Client
    from sluiceway_common.foundation.errors import SluicewayError

_GOING_ON = frozenset({run_pb2.RUN_PHASE_QUEUED, run_pb2.RUN_PHASE_RUNNING})
# From what is best to what needs a person most: what was stopped was stopped on purpose, a failure says something of
# the commit, and a run that could not be set up says that nothing was tested at all.
_FROM_BEST = (0, 2, 1, 3)
_RUN_ITSELF = "-"
_STATE_WIDTH = 18  # `waits for approval`
_TOOK_WIDTH = 7
_NAME_WIDTH = 32

Print = Callable[[str], None]
OnAttempt = Callable[[run_pb2.Task, str], None]


def exit_code(run: run_pb2.Run) -> int:
    """Return the exit code of a command that watched a run to its end.

    0 success, 1 failed, 2 stopped or cancelled, 3 setup error.
    """
    if run.phase == run_pb2.RUN_PHASE_SETUP_ERROR:
        return 3
    if run.phase == run_pb2.RUN_PHASE_CANCELLED or run.result == run_pb2.RUN_RESULT_STOPPED:
        return 2
    return 0 if run.result == run_pb2.RUN_RESULT_SUCCESS else 1


def worst(codes: Iterable[int]) -> int:
    """Choose the exit code for several runs: setup error before failed before stopped before success."""
    return max(codes, key=_FROM_BEST.index)


async def follow_runs(
    client: Client, runs: Sequence[run_pb2.Run], *, to_stderr: bool = False, with_logs: bool = False
) -> Sequence[run_pb2.Run]:
    """Print what happens to runs until all are over; returns their last states, in order.

    Args:
        client: of the server.
        runs: as they stand now.
        to_stderr: print on stderr, because stdout belongs to a program.
        with_logs: print the logs of the tasks too.
    """
    stream = sys.stderr if to_stderr else sys.stdout

    def say(line: str) -> None:
        print(line, file=stream, flush=True)

    def on_break(error: SluicewayError) -> None:
        print(f"sluice: the connection broke, trying again ({clean(error.message)})", file=sys.stderr, flush=True)

    layout = Layout(say, colour=says_colour(stream), limit=columns_of(stream))
    # No run is printed before all have their first message: the columns are as wide as all names need.
    started = asyncio.Barrier(len(runs))

    async def follow(run: run_pb2.Run, group: asyncio.TaskGroup) -> run_pb2.Run:
        def begin_log(task: run_pb2.Task, names: str) -> None:
            group.create_task(print_logs(client, task, f"{names}  | "), name=f"logs of {task.id}")

        following = Following(run, layout, on_attempt=begin_log if with_logs else None, started=started)
        async with aclosing(client.runs.watch(run.id, on_break=on_break)) as messages:
            return await following.follow(messages)

    try:
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(follow(run, group), name=f"follow {run.id}") for run in runs]
    except BaseExceptionGroup as errors:
        # One is enough for a person; the others were ended because of it, or say the same.
        raise errors.exceptions[0] from None
    return [task.result() for task in following]


@dataclass(slots=True)
class Layout:
    """The columns of the lines.

    Attributes:
        say: prints a line.
        colour: whether states are in colour.
        limit: the maximum length of a line; longer texts are wrapped. None: no limit.
        run: the width of the column of runs.
        task: the width of the column of tasks.
    """

    say: Print
    colour: bool = False
    limit: int | None = None
    run: int = 0
    task: int = len(_RUN_ITSELF)

    def make_room(self, run: str, tasks: Iterable[str]) -> None:
        """Widen the columns for names that will be printed."""
        self.run = min(_NAME_WIDTH, max(self.run, width(run)))
        self.task = min(_NAME_WIDTH, max([self.task, *map(width, tasks)]))

    def names(self, run: str, task: str) -> str:
        """Return the first two columns."""
        return f"{_padded(run, self.run)}  {_padded(task, self.task)}"

    def line(self, run: str, task: str, state: str, *, took: str = "", note: str = "") -> None:
        """Print a line."""
        state_width = max(_STATE_WIDTH, width(state))
        names = self.names(run, task)
        fits = self.limit is None or width(names) + state_width + _TOOK_WIDTH + width(note) + 6 <= self.limit
        shown = paint(state, state, colour=self.colour) + " " * (state_width - width(state))
        self.say(f"{names}  {shown}  {took.rjust(_TOOK_WIDTH)}  {note if fits else ''}".rstrip())
        if not fits:
            self.note(note)

    def note(self, text: str) -> None:
        """Print something about the line before."""
        for line in [text] if self.limit is None else textwrap.wrap(text, max(20, self.limit - 4)):
            self.say(f"    {line}")


def _padded(text: str, columns: int) -> str:
    text = cut(text, columns)
    return text + " " * (columns - width(text))


class Following:
    """One run that is followed.

    Args:
        run: as it is known before its first message.
        layout: of the lines, which all runs share.
        on_attempt: is called with each attempt of a task, and its names as lines begin with them.
        started: awaited after the first message, so that the columns fit the names of all runs.
    """

    def __init__(
        self,
        run: run_pb2.Run,
        layout: Layout,
        *,
        on_attempt: OnAttempt | None = None,
        started: asyncio.Barrier | None = None,
    ) -> None:
        self._title = clean(f"{run.number} {run.name}")
        self._layout = layout
        self._on_attempt = on_attempt
        self._started = started
        self._run = run_pb2.Run(id=run.id)
        self._tasks: dict[str, run_pb2.Task] = {}
        self._attempts: set[tuple[str, int]] = set()

    async def follow(self, messages: AsyncIterator[WatchRunResponse]) -> run_pb2.Run:
        """Print what changes until the run is over; returns how it stands then."""
        first = True
        async for message in messages:
            if first:
                self._layout.make_room(self._title, [clean(task.name) for task in message.tasks])
                first = False
                if self._started is not None:
                    await self._started.wait()
            # A run begins before its tasks do, and ends after them.
            begins = message.HasField("run") and message.run.phase in _GOING_ON
            if begins:
                self._see_run(message.run)
            for task in message.tasks:
                self._see_task(task)
            if message.HasField("run") and not begins:
                self._see_run(message.run)
        return self._run

    def _see_run(self, run: run_pb2.Run) -> None:
        before, self._run = self._run, run
        result = f"result {result_name(run.result)}" if run.result != before.result else ""
        if run.phase != before.phase:
            note = result
            if run.phase == run_pb2.RUN_PHASE_QUEUED:
                note = f"why: sluice run explain {short_id(run.id)}"
            elif run.phase in _GOING_ON:
                note = f"id {short_id(run.id)}" if not before.phase else ""
            self._line(
                _RUN_ITSELF, phase_name(run.phase), took=run_took(run) if run.end_time.seconds else "", note=note
            )
            for error in run.setup_errors:
                for line in error.splitlines():
                    self._layout.note(clean(line))
        if run.HasField("stop_request") and not before.HasField("stop_request") and run.phase in _GOING_ON:
            by = run.stop_request.by_name or run.stop_request.by
            self._line(_RUN_ITSELF, "stopping", note=f"requested by {by}" if by else "")
        if result and run.phase in _GOING_ON:
            self._line(_RUN_ITSELF, result)
        if run.reason.message != before.reason.message and run.reason.message:
            self._layout.note(clean(run.reason.message))
        for warning in run.warnings[len(before.warnings) :]:
            self._layout.note(f"warning: {clean(warning)}")

    def _see_task(self, task: run_pb2.Task) -> None:
        before = self._tasks.get(task.id)
        self._tasks[task.id] = task
        waited = before is not None and before.approval.HasField("waiting_since")
        if task.approval.HasField("waiting_since") and not waited:
            command = f"sluice run approve {short_id(task.run_id)} {task_reference(task)}"
            self._line(task.name, "waits for approval", note=f"approve it with: {command}")
        if before is not None and before.attempt and task.attempt > before.attempt:
            self._line(task.name, f"attempt {task.attempt}", note=task.reason.message)
        changed = before is None or before.status != task.status
        if changed and task.status not in {run_pb2.TASK_STATUS_NOT_STARTED, run_pb2.TASK_STATUS_UNSPECIFIED}:
            running = task.status == run_pb2.TASK_STATUS_RUNNING
            notes = (f"on {task.executor_id}" if running and task.executor_id else "", task.reason.message)
            took = duration(task.start_time, task.end_time)
            self._line(task.name, task_status(task), took=took, note=", ".join(note for note in notes if note))
        if self._on_attempt is not None and task.attempt and (task.id, task.attempt) not in self._attempts:
            self._attempts.add((task.id, task.attempt))
            self._on_attempt(task, self._layout.names(self._title, clean(task.name)))

    def _line(self, task: str, state: str, *, took: str = "", note: str = "") -> None:
        self._layout.line(self._title, clean(task), state, took=took, note=clean(note))
