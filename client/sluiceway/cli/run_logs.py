"""`sluice run logs`."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import LinesType, MomentType, option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, find_task, run_argument, run_id_of
from sluiceway.cli.terminal import clean
from sluiceway_common.foundation.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.cli.logs import StepLog
    from sluiceway.client import Client


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("task", required=False)
@option("--step", type=click.IntRange(min=0), metavar="N", help="Only this step, counted from 0.")
@option("--setup", is_flag=True, help="Only the preparation of the pod.")
@option("--attempt", type=click.IntRange(min=1), metavar="N", help="The attempt, counted from 1. Default: the latest.")
@option("--offset", type=click.IntRange(min=0), default=0, metavar="BYTE", help="Start at this byte, of a single step.")
@option("--follow", "-f", is_flag=True, help="Wait for more output until the step is over.")
@option("--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines of each log.")
@option("--since", type=MomentType(), metavar="TIME", help="Only lines written after TIME (10m ago, or RFC 3339).")
@option("--lines", type=LinesType(), metavar="FIRST[-LAST]", help="Only these lines of a single step, from 1.")
@option("--timestamps", "-t", is_flag=True, help="Begin each line with the time at which it was written, in UTC.")
@option("--raw", is_flag=True, help="Do not write out control characters at a terminal.")
@server_options
def logs(
    run: str,
    task: str | None,
    step: int | None,
    setup: bool,
    attempt: int | None,
    offset: int,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    lines: tuple[int, int] | None,
    timestamps: bool,
    raw: bool,
    server: str | None,
    token: str | None,
) -> None:
    """Print the logs of all tasks of a run, or of TASK.

    At a terminal control characters are written out, except for colours; a pipe or file gets the logs byte for byte.
    If there are several logs, a heading for each goes to stderr.
    """
    if offset and (task is None or (step is None and not setup)):
        raise InvalidInput("--offset needs a task and --step or --setup")
    if lines and (task is None or (step is None and not setup)):
        raise InvalidInput("--lines needs a task and --step or --setup")
    if sum(1 for each in (offset, tail, since, lines) if each) > 1:
        raise click.UsageError("--offset, --tail, --since and --lines exclude each other")
    if setup and step is not None:
        raise click.UsageError("--setup and --step exclude each other")

    async def conversation(client: Client) -> None:
        from sluiceway.cli.log_text import LogOutput
        from sluiceway.cli.logs import LogPart, copy_log, is_raw

        first, last = lines or (0, 0)
        part = LogPart(
            offset=offset,
            first_line=first,
            tail_lines=tail or 0,
            since=since,
            max_lines=last - first + 1 if last else 0,
            follow=follow,
            timestamps=timestamps,
        )
        tasks = await client.runs.tasks(await run_id_of(client, run))
        chosen = tasks if task is None else [find_task(tasks, task)]
        if follow and task is not None and attempt is None and chosen[0].attempt == 0:
            chosen = [await _first_attempt(client, chosen[0])]
        single = task is not None and (step is not None or setup)

        def say(text: str) -> None:
            print(text, file=sys.stderr, flush=True)

        for each in chosen:
            if each.attempt == 0 and attempt is None:
                continue  # it never ran, so it has no log
            for log in _chosen(each, step, setup=setup, attempt=attempt, coming=follow and task is not None):
                if not single:
                    say(f"--- {clean(each.name)}: {clean(log.title)}")
                output = LogOutput(sys.stdout, raw=raw or is_raw(), timestamps=timestamps)
                await copy_log(client, each, log, output, attempt=attempt or 0, part=part, say=say)

    with_client(server, token, conversation)


def _chosen(
    task: run_pb2.Task, step: int | None, *, setup: bool, attempt: int | None, coming: bool
) -> Sequence[StepLog]:
    """Choose the logs of a task that are printed: those of steps that began, and of the preparation if it has one."""
    from sluiceway.cli.logs import logs_of

    prepared, *steps = logs_of(task, attempt or 0)
    if setup:
        return [prepared]
    if step is not None:
        if step >= len(steps):
            raise NotFound(f'task "{task.name}" has {len(steps)} steps, counted from 0')
        return [steps[step]]
    # It is usually empty.
    return [*([prepared] if prepared.size != 0 else []), *(log for log in steps if log.begun or coming)]


async def _first_attempt(client: Client, task: run_pb2.Task) -> run_pb2.Task:
    """Wait until a task begins, or it is certain that it never will; return its last state."""
    async with aclosing(client.runs.watch(task.run_id)) as messages:
        async for message in messages:
            for each in message.tasks:
                if each.id == task.id:
                    task = each
            if task.attempt or task.HasField("end_time"):
                break
    return task
