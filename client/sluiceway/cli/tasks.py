"""`sluice task get`: a task with all its attempts and their steps; `sluice task retry`: another attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, find_task, resolve, run_argument, run_id_of, title_of
from sluiceway.cli.terminal import clean, say

if TYPE_CHECKING:
    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.cli.showing import Row
    from sluiceway.client import Client


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("task")
@output_option(*ALL_FORMATS)
@server_options
def get(run: str, task: str, output: Format, server: str | None, token: str | None) -> None:
    """Show a task of a run: its attempts, their steps and exit codes.

    TASK is the name or the id of the task.
    """
    from sluiceway.cli.showing import plain, show

    async def conversation(client: Client) -> run_pb2.Task:
        return find_task(await client.runs.tasks(await run_id_of(client, run)), task)

    found = with_client(server, token, conversation)
    if output.is_for_people:
        _show(found, wide=output is Format.WIDE)
    else:
        show([plain(found)], output, single=True)


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("task")
@server_options
def retry(run: str, task: str, server: str | None, token: str | None) -> None:
    """Ask for another attempt of TASK, which failed or is lost, while its run continues.

    Tasks that were skipped or cancelled because it failed are decided again. It is refused when one that depends on it
    has started. When the run is over: sluice run restart.
    """

    async def conversation(client: Client) -> None:
        found = await resolve(client, run)
        chosen = find_task(await client.runs.tasks(found.id), task)
        await client.runs.retry(found.id, chosen.id)
        say(f"task {clean(chosen.name)} of {title_of(found)} is to be attempted again")

    with_client(server, token, conversation)


def _show(task: run_pb2.Task, *, wide: bool) -> None:
    from sluiceway.cli.showing import NO_LIMIT, Column, details, table
    from sluiceway.cli.units import duration
    from sluiceway.cli.words import edge, task_status

    details(
        f"task {task.name}",
        {
            "id": task.id,
            "run": task.run_id,
            "status": task_status(task),
            "reason": task.reason.message,
            "executor": task.executor_id,
            "attempts": f"{task.attempt} of at most {max(task.attempt, task.retry.max_attempts)}"
            if task.attempt
            else "",
            "after": ", ".join(edge(depend) for depend in task.depends),
            "labels": ", ".join(f"{key}={value}" for key, value in sorted(task.labels.items())),
            "arch": task.arch,
            "lock": task.lock,
            "approved by": task.approval.approved_by_name,
            "took": duration(task.start_time, task.end_time),
        },
    )
    rows: list[Row] = []
    for attempt in task.attempts:
        rows += _rows(attempt)
    columns = (
        Column("ATTEMPT"),
        Column("STEP", 12),
        Column("STATUS"),
        Column("EXIT"),
        Column("TOOK"),
        Column("CPU"),
        Column("MEMORY"),
        Column("LOG"),
        Column("EXECUTOR", 10),
    )
    if rows:
        print()
        table(columns, rows, limit=NO_LIMIT if wide else None)


def _rows(attempt: run_pb2.Attempt) -> list[Row]:
    """Make the row of an attempt and those of its steps, which are numbered as `run logs --step` counts them."""
    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.cli.showing import Row
    from sluiceway.cli.units import duration
    from sluiceway.cli.words import status_name

    took = duration(attempt.start_time, attempt.end_time, running=attempt.status == run_pb2.TASK_STATUS_RUNNING)
    first = (str(attempt.attempt), "", status_name(attempt.status), "", took, "", "", "", attempt.executor_id)
    # A step that failed says the same in its own row.
    is_shown = any(step.reason.message and step.reason.message in attempt.reason.message for step in attempt.steps)
    rows = [Row(first, note="" if is_shown else attempt.reason.message)]
    if attempt.HasField("setup_step"):
        rows.append(_step_row("setup", attempt.setup_step))
    rows += [_step_row(f"{number} {step.name}", step) for number, step in enumerate(attempt.steps)]
    return rows


def _step_row(name: str, step: run_pb2.Step) -> Row:
    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.cli.showing import Row
    from sluiceway.cli.units import duration, size_text
    from sluiceway.cli.words import STEPS_THAT_ENDED, step_name

    exit_code = str(step.exit_status) if step.HasField("exit_status") else ""
    took = duration(step.start_time, step.end_time, running=step.phase == run_pb2.STEP_PHASE_RUNNING)
    log = size_text(step.log_size_bytes) if step.phase in STEPS_THAT_ENDED else ""
    cpu = f"{step.cpu_time.ToTimedelta().total_seconds():.1f}s" if step.HasField("cpu_time") else ""
    memory = size_text(step.peak_memory_bytes) if step.peak_memory_bytes else ""
    note = step.reason.message or "; ".join(f"{image.name} is {image.digest}" for image in step.images)
    return Row(("", name, step_name(step.phase), exit_code, took, cpu, memory, log, ""), note=note)
