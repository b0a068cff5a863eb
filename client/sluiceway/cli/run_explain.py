"""`sluice run explain`: why a run and its tasks wait, or are as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import Format, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.failures import failed_step, failure_lines
from sluiceway.cli.references import RUN_HELP, find_task, run_argument, run_id_of, title_of
from sluiceway.cli.terminal import say

if TYPE_CHECKING:
    from sluiceway.api.run.v1 import run_pb2, run_service_pb2
    from sluiceway.client import Client

_MOST_EXCERPTS = 3


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("task", required=False)
@output_option(Format.TABLE, Format.JSON, Format.YAML, Format.JSONL, Format.NAME)
@server_options
def explain(run: str, task: str | None, output: Format, server: str | None, token: str | None) -> None:
    """Explain why a run and its tasks wait, what runs and what failed, with the first error; or the status of TASK."""
    if task is None:
        with_client(server, token, lambda client: _explain_run(client, run, output))
    else:
        with_client(server, token, lambda client: _explain_task(client, run, task, output))


async def _explain_task(client: Client, run: str, task: str, output: Format) -> None:
    from sluiceway.cli.showing import plain, show

    run_id = await run_id_of(client, run)
    found = find_task(await client.runs.tasks(run_id), task)
    explained = await client.runs.explain_task(run_id, found.id)
    if output.is_for_people:
        _say_task(explained)
        for line in await failure_lines(client, found):
            say(line)
    else:
        show([plain(explained)], output, single=True)


async def _explain_run(client: Client, run: str, output: Format) -> None:
    from sluiceway.cli.showing import plain, show

    run_id = await run_id_of(client, run)
    explanation = await client.runs.explain(run_id)
    if output is Format.NAME:
        show([plain(each) for each in explanation.tasks], output)
    elif not output.is_for_people:
        show([plain(explanation)], output, single=True)
    else:
        run_shown, tasks = await client.runs.get(run_id), await client.runs.tasks(run_id)
        failed = [task for task in tasks if failed_step(task) is not None]
        failures = {task.id: await failure_lines(client, task) for task in failed[:_MOST_EXCERPTS]}
        _say_run(run_shown, tasks, explanation, failures)


def _say_run(
    run: run_pb2.Run,
    tasks: Sequence[run_pb2.Task],
    explanation: run_service_pb2.RunExplanation,
    failures: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    from sluiceway.cli.words import run_status, task_status

    say(f"{title_of(run)} is {run_status(run)}")
    # The reason of a run is often one of the explanation, too.
    for message in dict.fromkeys((run.reason.message, *(reason.message for reason in explanation.reasons))):
        if message:
            say(f"  {message}")
    # The task itself says whether its failure is ignored, too.
    statuses = {task.id: task_status(task) for task in tasks}
    for explained in explanation.tasks:
        _say_task(explained, status=statuses.get(explained.task_id, ""))
        for line in failures.get(explained.task_id, ()):
            say(line)


def _say_task(task: run_service_pb2.TaskExplanation, *, status: str = "") -> None:
    from sluiceway.cli.words import status_name

    say(f"{task.task_name} is {status or status_name(task.status)}")
    for reason in task.reasons:
        say(f"  {reason.message}")
