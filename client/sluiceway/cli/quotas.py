"""`sluice quota`: what users, organizations, project groups and projects may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sluiceway.cli.commands import Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client

if TYPE_CHECKING:
    from sluiceway.api.project.v1 import quota_service_pb2 as pb
    from sluiceway.client import Client

C = TypeVar("C", bound=Callable[..., Any])

_FIELDS = {
    "projects": "Project groups and projects below it.",
    "running_tasks": "Running tasks of all projects at and below it; more wait.",
    "queued_runs": "Queued runs of each project.",
    "secrets": "Secrets of it, and of each project group and project below.",
    "variables": "Variables, likewise.",
    "schedules": "Schedules of each project.",
    "tokens": "Tokens, of a user only.",
}
_FORMATS = (Format.TABLE, Format.JSON, Format.YAML)


def _limit_options(command: C) -> C:
    for name, text in reversed(_FIELDS.items()):
        command = option(
            f"--{name.replace('_', '-')}", type=click.IntRange(0, 1000), default=None, metavar="NUMBER", help=text
        )(command)
    return command


@click.command()
@click.argument("node", metavar="PATH")
@output_option(*_FORMATS)
@server_options
def get(node: str, output: Format, server: str | None, token: str | None) -> None:
    """Show the quota and the usage of a user, an organization, a project group or a project.

    PATH `installation` is what counts for each user and organization that sets no other.
    """
    from sluiceway.cli.showing import Column, Row, plain, show, table

    found = with_client(server, token, lambda client: client.quotas.get(node))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    rows = []
    for name in _FIELDS:
        used, limit, own = (getattr(each, name) for each in (found.usage, found.effective, found.quota))
        rows.append(
            Row((name.replace("_", " "), str(used), str(limit or "none"), "here" if own else "above" * bool(limit)))
        )
    table((Column("OF"), Column("USED"), Column("LIMIT"), Column("SET")), rows)


@click.command("set")
@click.argument("node", metavar="PATH")
@_limit_options
@output_option(*_FORMATS)
@server_options
def set_(node: str, output: Format, server: str | None, token: str | None, **limits: int | None) -> None:
    """Change the quota of PATH: what the options name. 0 is no limit. For operators.

    PATH `installation` is what counts for each user and organization that sets no other.
    """
    from sluiceway.cli.showing import plain, show

    wanted = {name: limit for name, limit in limits.items() if limit is not None}
    if not wanted:
        raise click.UsageError("give an option that says what to change")

    async def conversation(client: Client) -> pb.Quota:
        before = (await client.quotas.get(node)).quota
        return await client.quotas.set(node, **{name: getattr(before, name) for name in _FIELDS} | wanted)

    made = with_client(server, token, conversation)
    if output.is_for_people:
        said = ", ".join(f"{name.replace('_', ' ')} {limit or 'without limit'}" for name, limit in wanted.items())
        print(f"quota of {node}: {said}")
    else:
        show([plain(made)], output, single=True)
