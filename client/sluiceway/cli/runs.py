"""`sluice run list|get`: runs and their states."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, MomentType, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, run_argument, run_id_of
from sluiceway_common.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from sluiceway.api.run.v1 import run_pb2
    from sluiceway.client import Client
    from sluiceway.client.words import RunPhase, RunResult

W = TypeVar("W", "RunPhase", "RunResult")


@click.command("list")
@option(
    "--group",
    "--project",
    "group",
    default="",
    metavar="PATH",
    help="Only runs of this project, such as org/acme/site, or of this group and all below it, such as /user/me.",
)
@option("--phase", default="", metavar="PHASE", help="Only runs in this phase, such as running.")
@option("--result", default="", metavar="RESULT", help="Only runs with this result, such as failed.")
@option(
    "--since",
    type=MomentType(),
    metavar="TIME",
    help="Only runs created since this time: how long ago (2h, 3d), or RFC 3339 (2026-11-30T08:00:00Z).",
)
@option("--until", type=MomentType(), metavar="TIME", help="Only runs created before this time.")
@option("--limit", type=click.IntRange(1, 100_000), default=50, metavar="N", help="The largest number of runs.")
@option("--watch", is_flag=True, help="Then print every run that changes, until Ctrl-C.")
@output_option(*ALL_FORMATS)
@server_options
def list_(
    group: str,
    phase: str,
    result: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    watch: bool,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """List runs, the newest first."""
    from sluiceway.client.words import RunPhase, RunResult

    wanted_phase = _word("--phase", RunPhase, phase)
    wanted_result = _word("--result", RunResult, result)
    if watch and output in {Format.JSON, Format.YAML}:
        raise click.UsageError(f"--watch never ends, so it has no whole {output.value}; use -o jsonl")

    async def conversation(client: Client) -> None:
        from sluiceway.cli.run_tables import RunList

        shown = RunList(output)
        shown.print(
            await client.runs.list(
                group_prefix=group, phase=wanted_phase, result=wanted_result, since=since, until=until, limit=limit
            )
        )
        if watch:
            await shown.follow(client, group_prefix=group, phase=wanted_phase, result=wanted_result)

    with_client(server, token, conversation)


@click.command(epilog=RUN_HELP)
@run_argument
@output_option(*ALL_FORMATS)
@server_options
def get(run: str, output: Format, server: str | None, token: str | None) -> None:
    """Show a run and its tasks."""
    from sluiceway.cli.run_tables import show_run
    from sluiceway.cli.showing import plain, show

    async def conversation(client: Client) -> tuple[run_pb2.Run, Sequence[run_pb2.Task]]:
        run_id = await run_id_of(client, run)
        return await client.runs.get(run_id), await client.runs.tasks(run_id)

    found, tasks = with_client(server, token, conversation)
    if output.is_for_people:
        show_run(found, tasks, wide=output is Format.WIDE)
    else:
        show([plain(found) | {"tasks": [plain(task) for task in tasks]}], output, single=True)


def _word(name: str, kind: type[W], text: str) -> W:
    """Return the enum member of a name; the first member if the name is empty."""
    try:
        return kind.parse(text.replace(" ", "_")) if text else kind(0)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error.violations[0].message}") from error
