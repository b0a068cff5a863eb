"""`sluice run delete-logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import server_options
from sluiceway.cli.confirming import ask, refuse_silence, yes_option
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, find_task, resolve, run_argument, task_reference, title_of
from sluiceway.cli.terminal import clean, say
from sluiceway_common.foundation.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.client import Client


@click.command("delete-logs", epilog=RUN_HELP)
@run_argument
@click.argument("task", required=False)
@yes_option
@server_options
def delete_logs(run: str, task: str | None, yes: bool, server: str | None, token: str | None) -> None:
    """Delete the logs of all tasks of a run, or of TASK, with all their attempts.

    The tasks must be over. The run and its tasks are still listed; their logs cannot be restored.
    """
    refuse_silence(yes)

    async def find(client: Client) -> tuple[run_pb2.Run, Sequence[run_pb2.Task]]:
        found = await resolve(client, run)
        tasks = await client.runs.tasks(found.id)
        return found, tasks if task is None else [find_task(tasks, task)]

    found, tasks = with_client(server, token, find)
    of_one = f"task {clean(tasks[0].name)} of " if task is not None else ""
    chosen = [each for each in tasks if each.attempt and not each.HasField("logs_delete_time")]
    if not chosen:
        say(f"{of_one}{title_of(found)} has no logs")
        return
    _check_over(chosen)
    ask(f"Delete the logs of {of_one}{title_of(found)} ({_size(chosen)})?", yes)

    async def delete(client: Client) -> None:
        for each in chosen:
            await client.runs.delete_logs(found.id, each.id)
            say(f"the logs of task {each.name} of {title_of(found)} are deleted")

    with_client(server, token, delete)


def _check_over(tasks: Sequence[run_pb2.Task]) -> None:
    """Raise `FailedPrecondition` when one of the tasks runs, before the logs of any are deleted."""
    running = [each for each in tasks if not each.HasField("end_time")]
    if running:
        names = ", ".join(task_reference(each) for each in running[:3])
        more = f" and {len(running) - 3} more" if len(running) > 3 else ""
        raise FailedPrecondition(
            f"not over yet: {names}{more}; stop the run or wait for its end, or name a task that is over",
            reason="TASK_NOT_FINISHED",
        )


def _size(tasks: Sequence[run_pb2.Task]) -> str:
    from sluiceway.cli.units import size_text

    steps = [step for each in tasks for attempt in each.attempts for step in (attempt.setup_step, *attempt.steps)]
    return size_text(sum(step.log_size_bytes for step in steps))
