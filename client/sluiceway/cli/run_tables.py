"""Runs and tasks as tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from sluiceway.api.run.v1 import run_pb2
from sluiceway.cli.commands import Format
from sluiceway.cli.references import short_ids
from sluiceway.cli.showing import NO_LIMIT, Column, Row, Table, details, plain, show, table
from sluiceway.cli.terminal import clean_lines
from sluiceway.cli.units import age, duration, moment
from sluiceway.cli.values import assignments
from sluiceway.cli.words import STEPS_THAT_ENDED, edge, run_status, run_took, task_status
from sluiceway.client.words import RunPhase, RunResult

if TYPE_CHECKING:
    from sluiceway.client import Client

_COLUMNS = (
    Column("NUMBER"),
    Column("ID"),
    Column("NAME", 8),
    Column("STATUS"),
    Column("TOOK"),
    Column("AGE"),
    Column("GROUP", 12),
)
_WIDE_COLUMNS = (*_COLUMNS, Column("REF"), Column("COMMIT"), Column("CREATED BY"))


class RunList:
    """A list of runs that is printed, and printed on when runs change."""

    def __init__(self, output: Format) -> None:
        self._output = output
        self._wide = output is Format.WIDE
        self._table = Table(_WIDE_COLUMNS if self._wide else _COLUMNS, limit=NO_LIMIT if self._wide else None)

    def print(self, runs: Sequence[run_pb2.Run], *, heading: bool = True) -> None:
        """Print runs, with a heading unless they continue a table."""
        if not self._output.is_for_people:
            show([plain(run) for run in runs], self._output)
            sys.stdout.flush()
            return
        ids = {run.id: run.id for run in runs} if self._wide else short_ids([run.id for run in runs])
        self._table.print([self._row(run, ids[run.id]) for run in runs], heading=heading)

    def _row(self, run: run_pb2.Run, shown_id: str) -> Row:
        cells = (
            str(run.number),
            shown_id,
            run.name,
            run_status(run),
            run_took(run),
            age(run.create_time),
            run.group_path or run.group,
        )
        more = (run.source.ref, run.source.commit_sha, run.created_by_name or run.created_by) if self._wide else ()
        return Row((*cells, *more))

    async def follow(self, client: Client, *, group_prefix: str, phase: RunPhase, result: RunResult) -> None:
        """Print each run of a group that changes from now on and fits a filter, until it is cancelled."""
        async with aclosing(client.runs.watch_all(group_prefix=group_prefix)) as messages:
            async for message in messages:
                for run_id in dict.fromkeys(event.run_id for event in message.events):
                    run = await client.runs.get(run_id)
                    if phase in {RunPhase.UNSPECIFIED, run.phase} and result in {RunResult.UNSPECIFIED, run.result}:
                        self.print([run], heading=False)


def show_run(run: run_pb2.Run, tasks: Sequence[run_pb2.Task], *, wide: bool = False) -> None:
    """Print a run and its tasks."""
    source = run.source
    created = f"{moment(run.create_time)} ({age(run.create_time)} ago)" if run.create_time.seconds else ""
    details(
        f"run {run.number}  {run.name}",
        {
            "id": run.id,
            "status": run_status(run),
            "reason": run.reason.message or run.waiting.message,
            "stop requested by": run.stop_request.by_name or run.stop_request.by,
            "group": run.group_path or run.group,
            "repository": source.repository,
            "ref": source.ref if source.ref != source.commit_sha else "",
            "commit": f"{source.commit_sha if wide else source.commit_sha[:12]} {_first_line(source.message)}".strip(),
            "created": " by ".join(part for part in (created, run.created_by_name or run.created_by) if part),
            "took": run_took(run),
            "variables": assignments(run.variables),
            "inputs": assignments({each.name: each.value for each in run.inputs}),
        },
    )
    for kind, texts in (("error", run.setup_errors), ("warning", run.warnings)):
        for text in texts:
            print(f"  {kind}: {clean_lines(text)}")
    if tasks:
        print()
        show_tasks(tasks, wide=wide)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def show_tasks(tasks: Sequence[run_pb2.Task], *, wide: bool = False) -> None:
    """Print the graph of a run: a line for each task, by level, with a note below those that have a reason."""
    columns = [
        Column("TASK", 12),
        Column("STATUS"),
        Column("TOOK"),
        Column("EXECUTOR", 10),
        Column("ATTEMPT"),
        Column("STEPS"),
        Column("EXIT"),
        Column("AFTER", 10),
    ]
    if wide:
        columns.append(Column("ID"))
    rows = []
    for task in sorted(tasks, key=lambda each: (each.level, each.name)):
        cells = (
            "  " * task.level + task.name,
            task_status(task),
            duration(task.start_time, task.end_time, running=task.status == run_pb2.TASK_STATUS_RUNNING),
            task.executor_id,
            str(task.attempt or ""),
            _steps(task),
            _exit(task),
            ", ".join(edge(depend) for depend in task.depends),
        )
        rows.append(Row((*cells, task.id) if wide else cells, note=task.reason.message))
    table(columns, rows, limit=NO_LIMIT if wide else None)


def _steps(task: run_pb2.Task) -> str:
    """Return how many steps ended, of how many."""
    return f"{sum(step.phase in STEPS_THAT_ENDED for step in task.steps)}/{len(task.steps)}" if task.attempt else ""


def _exit(task: run_pb2.Task) -> str:
    """Return the first exit code that is not 0, or 0 if a step ended by itself."""
    codes = [step.exit_status for step in task.steps if step.HasField("exit_status")]
    return str(next((code for code in codes if code), 0)) if codes else ""
