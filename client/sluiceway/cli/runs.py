"""`sluice run ...`: make, see and move runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.terminal import clean
from sluiceway.foundation.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from sluiceway.api.run.v1 import run_pb2, run_service_pb2
    from sluiceway.client import Client

__all__ = ["approve", "cancel", "create", "explain", "get", "list_", "logs", "stop", "watch"]

_NOT_STARTED = 1  # StepPhase; the generated module takes longer to load than a help text should
_SHOWN_TASKS = 10


@click.command()
@option("--repo", required=True, help="A folder on the executor's machine, or an https or ssh URL.")
@option("--ref", help="Branch, tag, full ref or commit; the default branch if none.")
@option("--name", help="Only this run of the configuration; all that apply if none.")
@option("--group", help="Where it queues; /user/<you>/<repository>/<ref> if none.")
@option("--request-id", help="The same id makes no second run.")
@option("--watch", is_flag=True, help="Follow it to its end; the exit code tells how it ended.")
@output_option(Format.TABLE, Format.JSON, Format.NAME)
@server_options
def create(
    repo: str,
    ref: str | None,
    name: str | None,
    group: str | None,
    request_id: str | None,
    watch: bool,
    output: Format,
    server: str | None,
    token: str | None,
) -> int:
    """Make the runs of a commit.

    With --watch the exit code tells how they ended: 0 success, 1 failed, 2 stopped or cancelled, 3 setup error; of
    several runs the worst, in the order setup error, failed, stopped. With -o json or -o name, what happens to them is
    told on stderr.
    """
    from sluiceway.cli.connecting import find_server
    from sluiceway.cli.creating import requests_for
    from sluiceway.cli.repository import open_commit
    from sluiceway.cli.terminal import waiting

    find_server(server, token)  # said now, and not after a long fetch
    with waiting(f"reading {repo}"), open_commit(repo, ref) as checkout:
        requests = requests_for(checkout, name=name, group=group, request_id=request_id)

    async def conversation(client: Client) -> int:
        runs: list[run_pb2.Run] = []
        try:
            for request in requests:
                runs.append(await client.runs.create(request))
        finally:
            # Those that were made are there, even when a later one was refused.
            if runs:
                _show_runs(runs, output)
                sys.stdout.flush()
        if not watch:
            return 0
        return await _follow(client, [run.id for run in runs], to_stderr=output is not Format.TABLE)

    return with_client(server, token, conversation)


@click.command("list")
@option("--group", default="", help="Only runs of this group.")
@option("--phase", default="", help="Only runs in this phase.")
@option("--result", default="", help="Only runs with this result.")
@option(
    "--limit",
    type=click.IntRange(min=1, max=100000),
    default=50,
    help="At most so many, the newest first.",
)
@output_option(Format.TABLE, Format.JSON, Format.NAME)
@server_options
def list_(
    group: str, phase: str, result: str, limit: int, output: Format, server: str | None, token: str | None
) -> None:
    """List runs, the newest first."""
    from sluiceway.api.run.v1 import run_pb2

    wanted_phase = _enum_name(run_pb2.RunPhase.keys(), "RUN_PHASE_", phase, "--phase")
    wanted_result = _enum_name(run_pb2.RunResult.keys(), "RUN_RESULT_", result, "--result")

    async def conversation(client: Client) -> Sequence[run_pb2.Run]:
        return await client.runs.list(
            group=group,
            phase=wanted_phase,
            result=wanted_result,
            limit=limit,
        )

    _show_runs(with_client(server, token, conversation), output)


@click.command()
@click.argument("run_id", metavar="RUN")
@output_option(Format.TABLE, Format.JSON, Format.NAME)
@server_options
def get(run_id: str, output: Format, server: str | None, token: str | None) -> None:
    """Show a run and its graph."""
    from sluiceway.cli.showing import show_messages
    from sluiceway.cli.watching import show_graph

    async def conversation(client: Client) -> tuple[run_pb2.Run, Sequence[run_pb2.Task]]:
        return await client.runs.get(run_id), await client.runs.tasks(run_id)

    run, tasks = with_client(server, token, conversation)
    if output is not Format.TABLE:
        show_messages([run], output, single=True)
        return
    _show_runs([run], output)
    _show_details(run)
    if tasks:
        print()
    show_graph(tasks)


@click.command()
@click.argument("run_id", metavar="RUN")
@server_options
def watch(run_id: str, server: str | None, token: str | None) -> int:
    """Follow a run to its end.

    The exit code tells how it ended: 0 success, 1 failed, 2 stopped or cancelled, 3 setup error. Ctrl-C ends the
    watching, not the run, with 130.
    """

    async def conversation(client: Client) -> int:
        return await _follow(client, [run_id])

    return with_client(server, token, conversation)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("task", metavar="TASK", required=False)
@option("--step", type=click.IntRange(min=0), help="Only this step, from 0.")
@option("--setup", is_flag=True, help="Only the pod's preparation.")
@option("--attempt", type=click.IntRange(min=0), default=0, help="From 1; the latest if none.")
@option(
    "--offset",
    type=click.IntRange(min=0),
    default=0,
    help="Begin at this byte; with a single step only.",
)
@option("--follow", "-f", is_flag=True, help="Wait for more until the step is over.")
@server_options
def logs(
    run_id: str,
    task: str | None,
    step: int | None,
    setup: bool,
    attempt: int,
    offset: int,
    follow: bool,
    server: str | None,
    token: str | None,
) -> None:
    """Print logs, byte for byte. More than one step at a time are headed by a line each, on stderr."""
    if offset and (task is None or (step is None and not setup)):
        raise InvalidInput("--offset needs a task and --step or --setup")

    async def conversation(client: Client) -> None:
        tasks = await client.runs.tasks(run_id)
        chosen = tasks if task is None else [_find_task(tasks, run_id, task)]
        if follow and task is not None and attempt == 0 and chosen[0].attempt == 0:
            chosen = [await _first_attempt(client, chosen[0])]
        single = task is not None and (step is not None or setup)
        for each in chosen:
            if each.attempt == 0 and attempt == 0:
                continue  # it never ran, so it has no log
            for heading, number in _steps(each, step, only_setup=setup, coming=follow and task is not None):
                if not single:
                    print(f"--- {clean(each.name)}: {clean(heading)}", file=sys.stderr, flush=True)
                await _copy_log(client, each, number, attempt=attempt, offset=offset, follow=follow)

    with_client(server, token, conversation)


@click.command()
@click.argument("run_id", metavar="RUN")
@option("--force", is_flag=True, help="Stop clean-up tasks too.")
@server_options
def stop(run_id: str, force: bool, server: str | None, token: str | None) -> None:
    """Ask for the end of a running run."""
    with_client(server, token, lambda client: client.runs.stop(run_id, force=force))


@click.command()
@click.argument("run_id", metavar="RUN")
@server_options
def cancel(run_id: str, server: str | None, token: str | None) -> None:
    """Cancel a queued run."""
    with_client(server, token, lambda client: client.runs.cancel(run_id))


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("task", metavar="TASK")
@option("--commit", default="", help="Refuse when the run is of another commit.")
@server_options
def approve(run_id: str, task: str, commit: str, server: str | None, token: str | None) -> None:
    """Approve a task that waits for it."""

    async def conversation(client: Client) -> None:
        found = _find_task(await client.runs.tasks(run_id), run_id, task)
        await client.runs.approve(run_id, found.id, commit_sha=commit)

    with_client(server, token, conversation)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("task", metavar="TASK", required=False)
@output_option(Format.TABLE, Format.JSON, Format.NAME)
@server_options
def explain(run_id: str, task: str | None, output: Format, server: str | None, token: str | None) -> None:
    """Say why a run and its tasks wait; of one task, also why it is as it is."""
    from sluiceway.cli.showing import phase_name, show_messages

    async def of_run(client: Client) -> run_service_pb2.RunExplanation:
        return await client.runs.explain(run_id)

    async def of_task(client: Client) -> run_service_pb2.TaskExplanation:
        found = _find_task(await client.runs.tasks(run_id), run_id, str(task))
        return await client.runs.explain_task(run_id, found.id)

    if task is not None:
        explained = with_client(server, token, of_task)
        if output is Format.JSON:
            show_messages([explained], output, single=True)
        else:
            _show_explained([explained], output)
        return
    explanation = with_client(server, token, of_run)
    if output is Format.JSON:
        show_messages([explanation], output, single=True)
        return
    if output is Format.TABLE:
        print(f"run is {phase_name(explanation.phase)}")
        for reason in explanation.reasons:
            print(f"  {clean(reason.message)}")
    _show_explained(explanation.tasks, output)


def _show_explained(tasks: Sequence[run_service_pb2.TaskExplanation], output: Format) -> None:
    from sluiceway.cli.showing import status_name

    for task in tasks:
        if output is Format.NAME:
            print(task.task_id)
            continue
        print(f"{clean(task.task_name)} is {status_name(task.status)}")
        for reason in task.reasons:
            print(f"  {clean(reason.message)}")


async def _follow(client: Client, run_ids: Sequence[str], *, to_stderr: bool = False) -> int:
    from sluiceway.cli.watching import exit_code, follow_runs, show_graph, worst

    ended = await follow_runs(client, run_ids, to_stderr=to_stderr)
    if not to_stderr:
        for run, tasks in ended:
            if tasks:
                print(f"\n{clean(run.name)}" if len(ended) > 1 else "")
            show_graph(tasks)
    return worst(exit_code(run) for run, _ in ended)


async def _first_attempt(client: Client, task: run_pb2.Task) -> run_pb2.Task:
    """Wait until a task begins, or it is plain that it never will; answers how it stands then."""
    async with aclosing(client.runs.watch(task.run_id)) as messages:
        async for message in messages:
            for each in message.tasks:
                if each.id == task.id:
                    task = each
            if task.attempt or task.HasField("end_time"):
                break
    return task


async def _copy_log(
    client: Client, task: run_pb2.Task, number: int | None, *, attempt: int, offset: int, follow: bool
) -> None:
    chunks = client.runs.logs(
        task.run_id,
        task.id,
        step=number or 0,
        setup=number is None,
        attempt=attempt,
        offset=offset,
        follow=follow,
    )
    async with aclosing(chunks):
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


def _steps(task: run_pb2.Task, step: int | None, *, only_setup: bool, coming: bool) -> list[tuple[str, int | None]]:
    """Choose the logs of a task: what people call it, and the step's number or None for the pod's preparation."""
    if only_setup:
        return [("setup", None)]
    if step is not None:
        if step >= len(task.steps):
            raise NotFound(f'task "{task.name}" has {len(task.steps)} steps, counted from 0')
        return [(task.steps[step].name, step)]
    begun = [n for n, each in enumerate(task.steps) if coming or each.phase > _NOT_STARTED]
    return [("setup", None), *((task.steps[n].name, n) for n in begun)]


def _find_task(tasks: Sequence[run_pb2.Task], run_id: str, wanted: str) -> run_pb2.Task:
    for task in tasks:
        if wanted in {task.name, task.id}:
            return task
    names = [task.name for task in tasks]
    more = f", and {len(names) - _SHOWN_TASKS} more" if len(names) > _SHOWN_TASKS else ""
    known = f"; it has {', '.join(names[:_SHOWN_TASKS])}{more}" if names else "; it has none"
    raise NotFound(f'run {run_id} has no task "{wanted}"{known}')


def _show_runs(runs: Sequence[run_pb2.Run], output: Format) -> None:
    from sluiceway.cli.showing import duration, phase_name, result_name, show_messages, table

    if output is not Format.TABLE:
        show_messages(runs, output)
        return
    rows = [
        (
            run.id,
            str(run.number),
            run.name,
            phase_name(run.phase),
            result_name(run.result),
            duration(run.start_time, run.end_time, running=True),
            run.group,
        )
        for run in runs
    ]
    table(("ID", "NUMBER", "NAME", "PHASE", "RESULT", "TOOK", "GROUP"), rows)


def _show_details(run: run_pb2.Run) -> None:
    from sluiceway.cli.terminal import clean_lines

    source = run.source
    details = {
        "reason": run.reason.message,
        "stop asked for by": run.stop_request.by,
        "commit": f"{source.commit_sha} {source.message.partition(chr(10))[0]}".strip(),
        "ref": source.ref if source.ref != source.commit_sha else "",
        "repository": source.repository,
        "made by": run.created_by,
    }
    for name, value in details.items():
        if value:
            print(f"  {name}: {clean(value)}")
    for kind, texts in (("error", run.setup_errors), ("warning", run.warnings)):
        for text in texts:
            print(f"  {kind}: {clean_lines(text)}")


def _enum_name(names: Sequence[str], prefix: str, text: str, option: str) -> str:
    if not text:
        return f"{prefix}UNSPECIFIED"
    name = text.upper().replace("-", "_").replace(" ", "_")
    for candidate in (name, prefix + name):
        if candidate in names:
            return candidate
    known = ", ".join(sorted(n.removeprefix(prefix).lower() for n in names if not n.endswith("UNSPECIFIED")))
    raise InvalidInput(f'{option}: "{text}" is not one of: {known}')
