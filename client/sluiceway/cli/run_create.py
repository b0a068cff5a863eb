"""`sluice run create|watch`: make the runs of a commit, and follow runs to their ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, DurationType, Format, option, output_option, server_options
from sluiceway.cli.connecting import find_server, with_client
from sluiceway.cli.references import RUN_HELP, resolve

if TYPE_CHECKING:
    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.client import Client


@click.command()
@option(
    "--repo",
    required=True,
    metavar="REPO",
    help="A repository: a folder on the machine of the executor, or an https or ssh URL.",
)
@option("--ref", metavar="REF", help="A branch, tag, full ref or commit. Default: the default branch.")
@option("--name", metavar="NAME", help="Create only this run of the configuration. Default: all that apply to the ref.")
@option("--project", metavar="PATH", help="The project of the runs, such as org/acme/api: they get its variables.")
@option(
    "--group",
    metavar="PATH",
    help="The group in which the runs queue. Default: /user/<you>/<repository>/<ref>, or that of a push to --project.",
)
@option(
    "--hold-on-failure",
    type=DurationType(),
    metavar="DURATION",
    help="Keep the pod of a task for so long when a step fails, such as 30m; see `sluice task shell`.",
)
@option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value for an input that the run declares. No secrets: it is shown with the run. May be repeated.",
)
@option("--request-id", metavar="ID", help="A repeated call with the same id creates no second run.")
@option("--watch", is_flag=True, help="Follow the runs until they are over. The exit code says how they ended.")
@option("--logs", is_flag=True, help="With --watch: print the logs of the tasks too.")
@output_option(*ALL_FORMATS)
@server_options
def create(
    repo: str,
    ref: str | None,
    name: str | None,
    project: str | None,
    group: str | None,
    hold_on_failure: timedelta | None,
    inputs: tuple[str, ...],
    request_id: str | None,
    watch: bool,
    logs: bool,
    output: Format,
    server: str | None,
    token: str | None,
) -> int:
    """Create the runs of a commit.

    With --watch the exit code is 0 for success, 1 failed, 2 stopped or cancelled, 3 setup error; of several runs the
    worst, in the order setup error, failed, stopped. With -o json, yaml, jsonl or name the watch goes to stderr.
    """
    from threading import Thread

    from sluiceway.cli.repository import open_commit
    from sluiceway.cli.terminal import waiting
    from sluiceway.cli.values import parse_assignments

    given = parse_assignments("--input", inputs)
    if logs and not watch:
        raise click.UsageError("--logs goes with --watch")
    if logs and not output.is_for_people:
        raise click.UsageError(f"--logs and -o {output.value} would both print on standard output")
    if project and group:
        raise click.UsageError("--project and --group exclude each other")
    find_server(server, token)  # so that an error is reported now, and not after a long fetch
    project_id = with_client(server, token, lambda client: _project_id(client, project)) if project else ""
    imports = Thread(target=_import_rest)
    imports.start()
    with waiting(f"reading {repo}"), open_commit(repo, ref) as checkout:
        imports.join()
        from sluiceway.cli.creating import requests_for

        requests = requests_for(
            checkout, name=name, group=group, request_id=request_id, project_id=project_id, inputs=given
        )
    if hold_on_failure is not None:
        for request in requests:
            request.run.hold_on_failure.FromTimedelta(hold_on_failure)

    async def conversation(client: Client) -> int:
        from sluiceway.cli.run_tables import RunList

        runs: list[run_pb2.Run] = []
        try:
            for request in requests:
                runs.append(await client.runs.create(request))
        finally:
            # Those that were made are there, even when a later one was refused. A watch begins with them anyway.
            if runs and not (watch and output.is_for_people and len(runs) == len(requests)):
                RunList(output).print(runs)
            if output.is_for_people:
                await print_pages(client, [run.id for run in runs])
        return await follow(client, runs, to_stderr=not output.is_for_people, with_logs=logs) if watch else 0

    return with_client(server, token, conversation)


async def print_pages(client: Client, run_ids: Sequence[str]) -> None:
    """Print the page of each run, if the server knows where its pages are."""
    public_url = await client.public_url() if run_ids else ""
    if public_url:
        for run_id in run_ids:
            print(f"{public_url}/runs/{run_id}")


async def _project_id(client: Client, project: str) -> str:
    return (await client.projects.get(project)).id


def _import_rest() -> None:
    """Import what `create` needs after the commit is found; git runs meanwhile, on another processor."""
    import sluiceway.cli.creating
    import sluiceway.client  # noqa: F401 - imported early, while git runs


@click.command(epilog=RUN_HELP)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@option("--logs", is_flag=True, help="Print the logs of the tasks too.")
@server_options
def watch(runs: tuple[str, ...], logs: bool, server: str | None, token: str | None) -> int:
    """Follow runs until they are over.

    The exit code is 0 for success, 1 failed, 2 stopped or cancelled, 3 setup error; of several runs the worst. Ctrl-C
    ends the command with 130, and not the runs.
    """

    async def conversation(client: Client) -> int:
        found = {run.id: run for run in [await resolve(client, reference) for reference in runs]}
        return await follow(client, list(found.values()), with_logs=logs)

    return with_client(server, token, conversation)


async def follow(
    client: Client, runs: Sequence[run_pb2.Run], *, to_stderr: bool = False, with_logs: bool = False
) -> int:
    """Follow runs until they are over, and return the exit code that says how they ended."""
    from sluiceway.cli.watching import exit_code, follow_runs, worst

    sys.stdout.flush()
    return worst(exit_code(run) for run in await follow_runs(client, runs, to_stderr=to_stderr, with_logs=with_logs))
