"""A run as it goes, line by line: readable in a terminal that scrolls, in a file, and in another CI's log."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway.cli.showing import duration, phase_name, result_name, status_name, table
from sluiceway.cli.terminal import clean, paint, says_colour, width

if TYPE_CHECKING:
    from sluiceway.api.run.v1.run_service_pb2 import WatchRunResponse
    from sluiceway.client import Client
    from sluiceway.foundation.errors import SluicewayError

__all__ = ["exit_code", "follow_runs", "show_graph", "worst"]

_UNFINISHED = frozenset({run_pb2.TASK_STATUS_UNSPECIFIED, run_pb2.TASK_STATUS_NOT_STARTED, run_pb2.TASK_STATUS_RUNNING})
_GOING_ON = frozenset({run_pb2.RUN_PHASE_QUEUED, run_pb2.RUN_PHASE_RUNNING})
# From what is best to what needs a person most: what was stopped was stopped on purpose, a failure says something of
# the commit, and a run that could not be set up says that nothing was tested at all.
_FROM_BEST = (0, 2, 1, 3)

Print = Callable[[str], None]


def exit_code(run: run_pb2.Run) -> int:
    """Say the exit code of a command that watched a run to its end.

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
    client: Client, run_ids: Sequence[str], *, to_stderr: bool = False
) -> Sequence[tuple[run_pb2.Run, Sequence[run_pb2.Task]]]:
    """Print what happens to runs until all are over; answers their last states.

    Of several, each line begins with its run's name.
    """
    stream = sys.stderr if to_stderr else sys.stdout

    def say(line: str) -> None:
        print(line, file=stream, flush=True)

    def on_break(error: SluicewayError) -> None:
        print(f"sluice: the connection broke, trying again ({clean(error.message)})", file=sys.stderr, flush=True)

    async def follow(run_id: str) -> tuple[run_pb2.Run, Sequence[run_pb2.Task]]:
        follower = Following(say, colour=says_colour(stream), with_run_name=len(run_ids) > 1)
        return await follower.follow(client.runs.watch(run_id, on_break=on_break))

    try:
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(follow(run_id), name=f"follow {run_id}") for run_id in run_ids]
    except BaseExceptionGroup as errors:
        # One is enough for a person; the others were ended because of it, or say the same.
        raise errors.exceptions[0] from None
    return [task.result() for task in following]


class Following:
    """One run that is followed."""

    def __init__(self, say: Print, *, colour: bool = False, with_run_name: bool = False) -> None:
        self._say = say
        self._colour = colour
        self._with_run_name = with_run_name
        self._run = run_pb2.Run()
        self._tasks: dict[str, run_pb2.Task] = {}
        self._width = 20

    async def follow(self, messages: AsyncIterator[WatchRunResponse]) -> tuple[run_pb2.Run, Sequence[run_pb2.Task]]:
        """Print what changes until the run is over; answers how it stands then."""
        async for message in messages:
            begins = message.HasField("run") and message.run.phase in _GOING_ON
            if not self._run.id and message.HasField("run"):
                names = [self._title(message.run), *(task.name for task in message.tasks)]
                self._width = min(48, max(width(clean(name)) for name in names))
            # A run begins before its tasks do, and ends after them.
            if begins:
                self._see_run(message.run)
            for task in message.tasks:
                self._see_task(task)
            if message.HasField("run") and not begins:
                self._see_run(message.run)
        return self._run, tuple(self._tasks.values())

    def _title(self, run: run_pb2.Run) -> str:
        return f"run {run.number}" if self._with_run_name else f"run {run.number} {run.name}"

    def _see_run(self, run: run_pb2.Run) -> None:
        before, self._run = self._run, run
        if run.phase != before.phase:
            waits = run.phase == run_pb2.RUN_PHASE_QUEUED
            self._line(self._title(run), phase_name(run.phase), f"why: sluice run explain {run.id}" if waits else "")
            for error in run.setup_errors:
                for line in error.splitlines():
                    self._note(clean(line))
        if run.HasField("stop_request") and not before.HasField("stop_request") and run.phase in _GOING_ON:
            self._line(self._title(run), "stops", f"asked for by {run.stop_request.by}" if run.stop_request.by else "")
        if run.result != before.result:
            self._line(self._title(run), f"result {result_name(run.result)}", run.reason.message)
        for warning in run.warnings[len(before.warnings) :]:
            self._note(f"warning: {clean(warning)}")

    def _see_task(self, task: run_pb2.Task) -> None:
        before = self._tasks.get(task.id)
        self._tasks[task.id] = task
        waited = before is not None and before.approval.HasField("waiting_since")
        if task.approval.HasField("waiting_since") and not waited:
            command = f"sluice run approve {task.run_id} {_argument(task)}"
            self._line(task.name, "waits for approval", f"somebody must say yes: {command}")
        if before is not None and before.attempt and task.attempt > before.attempt:
            self._line(task.name, f"attempt {task.attempt}", task.reason.message)
        if (before is None or before.status != task.status) and task.status != run_pb2.TASK_STATUS_NOT_STARTED:
            took = task.executor_id if task.status in _UNFINISHED else duration(task.start_time, task.end_time)
            note = task.reason.message
            self._line(task.name, status_name(task.status), f"{took}  {note}".strip() if note else took)

    def _line(self, what: str, state: str, note: str) -> None:
        what = clean(what)
        padding = " " * (self._width - width(what))
        shown = paint(state, state, colour=self._colour) + " " * (18 - width(state))
        self._print(f"{what}{padding}  {shown}  {clean(note)}" if note else f"{what}{padding}  {shown}".rstrip())

    def _note(self, text: str) -> None:
        self._print(f"  {text}")

    def _print(self, line: str) -> None:
        self._say(f"{clean(self._run.name)}: {line}" if self._with_run_name else line)


def _argument(task: run_pb2.Task) -> str:
    # A name that cannot be shown as it is would not be the one that is typed.
    return shlex.quote(task.name) if task.name.isprintable() else task.id


def show_graph(tasks: Sequence[run_pb2.Task]) -> None:
    """Print a run's graph: one line a task, by level, with its parents, its status and how long it took."""
    if not tasks:
        return
    rows = []
    for task in sorted(tasks, key=lambda t: (t.level, t.name)):
        edges = ", ".join(_edge(depend) for depend in task.depends)
        status = status_name(task.status)
        if task.ignore_failure and task.status in {run_pb2.TASK_STATUS_FAILED, run_pb2.TASK_STATUS_LOST}:
            status += " (ignored)"
        took = duration(task.start_time, task.end_time, running=task.status == run_pb2.TASK_STATUS_RUNNING)
        rows.append(("  " * task.level + task.name, status, took, edges, task.reason.message))
    table(("TASK", "STATUS", "TOOK", "AFTER", "REASON"), rows)


def _edge(depend: definition_pb2.Depend) -> str:
    names = [
        definition_pb2.DependCondition.Name(condition).removeprefix("DEPEND_CONDITION_").lower()
        for condition in depend.conditions
    ]
    return depend.task if names in ([], ["on_success"]) else f"{depend.task} ({' or '.join(names)})"
