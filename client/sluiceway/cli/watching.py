"""A run as it goes, line by line: readable in a terminal that scrolls, in a file, and in another CI's log."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway.cli.showing import duration, phase_name, result_name, status_name, table

if TYPE_CHECKING:
    from sluiceway.api.run.v1.run_service_pb2 import WatchRunResponse
    from sluiceway.client import Client

__all__ = ["exit_code", "follow_run", "show_graph"]

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


def exit_code(run: run_pb2.Run) -> int:
    """Say the exit code of a command that watched a run to its end.

    0 success, 1 failed, 2 stopped or cancelled, 3 setup error.
    """
    if run.phase == run_pb2.RUN_PHASE_SETUP_ERROR:
        return 3
    if run.phase == run_pb2.RUN_PHASE_CANCELLED or run.result == run_pb2.RUN_RESULT_STOPPED:
        return 2
    return 0 if run.result == run_pb2.RUN_RESULT_SUCCESS else 1


async def follow_run(client: Client, run_id: str) -> run_pb2.Run:
    """Print what happens to a run until it is over; answers its last state."""
    return await _Following().follow(client.runs.watch(run_id))


class _Following:
    def __init__(self) -> None:
        self._run = run_pb2.Run()
        self._tasks: dict[str, run_pb2.Task] = {}

    async def follow(self, messages: AsyncIterator[WatchRunResponse]) -> run_pb2.Run:
        async for message in messages:
            for task in message.tasks:
                self._see_task(task)
            if message.HasField("run"):
                self._see_run(message.run)
        return self._run

    def _see_run(self, run: run_pb2.Run) -> None:
        before, self._run = self._run, run
        if run.phase != before.phase:
            _say(f"run {run.number} {run.name}", phase_name(run.phase), "")
            for error in run.setup_errors:
                print(f"  {error}")
        if run.result != before.result:
            _say(f"run {run.number} {run.name}", f"result {result_name(run.result)}", run.reason.message)
        for warning in run.warnings[len(before.warnings) :]:
            print(f"  warning: {warning}")

    def _see_task(self, task: run_pb2.Task) -> None:
        before = self._tasks.get(task.id)
        self._tasks[task.id] = task
        waits_before = before is not None and before.approval.HasField("waiting_since")
        if task.approval.HasField("waiting_since") and not waits_before:
            _say(task.name, "waits for approval", f"sluice run approve {task.run_id} {shlex.quote(task.name)}")
        if (before is None or before.status != task.status) and task.status != run_pb2.TASK_STATUS_NOT_STARTED:
            took = duration(task.start_time, task.end_time) if task.status in _FINISHED else task.executor_id
            note = task.reason.message
            _say(task.name, status_name(task.status), f"{took}  {note}".strip() if note else took)


def _say(what: str, state: str, note: str) -> None:
    print(f"{what:<28} {state:<20} {note}".rstrip(), flush=True)


def show_graph(tasks: Sequence[run_pb2.Task]) -> None:
    """Print a run's graph: one line a task, by level, with its parents, its status and how long it took."""
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
