"""`sluice executor group`: groups of executors, and what they serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.terminal import say

if TYPE_CHECKING:
    from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
    from sluiceway.client import Client

_SERVES = option(
    "--serves",
    multiple=True,
    metavar="PATH",
    help="Serve the runs of this user, organization, project group or project, and of all below it. May be repeated.",
)


@click.command()
@click.argument("name", metavar="NAME")
@_SERVES
@option("--serves-all", is_flag=True, help="Serve all runs.")
@option("--takes-forks", is_flag=True, help="Take runs of pull requests from forks.")
@server_options
def create(
    name: str, serves: tuple[str, ...], serves_all: bool, takes_forks: bool, server: str | None, token: str | None
) -> None:
    """Create an executor group. Without --serves or --serves-all it serves you and the organizations that you own.

    Its executors need a token: sluice token create TOKEN-NAME --executor-group NAME
    """
    _check(serves, serves_all)

    async def conversation(client: Client) -> pb.ExecutorGroup:
        return await client.executors.create_group(name, serves=serves, serves_all=serves_all, takes_forks=takes_forks)

    made = with_client(server, token, conversation)
    say(f"executor group {made.name} is created; it serves {_serves(made)}")


@click.command("list")
@output_option(*ALL_FORMATS)
@server_options
def list_(output: Format, server: str | None, token: str | None) -> None:
    """List executor groups, by name."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table

    async def conversation(client: Client) -> Sequence[pb.ExecutorGroup]:
        return await client.executors.groups()

    groups = with_client(server, token, conversation)
    if not output.is_for_people:
        show([plain(each) for each in groups], output)
        return
    rows = [
        Row(
            (
                each.name,
                f"{len(each.executor_ids)} of {each.executors}",
                f"{each.slots_used}/{each.slots}",
                str(each.tokens),
                "yes" if each.takes_forks else "no",
                _serves(each),
            )
        )
        for each in groups
    ]
    columns = (
        Column("NAME", 8),
        Column("ONLINE"),
        Column("SLOTS"),
        Column("TOKENS"),
        Column("FORKS"),
        Column("SERVES", 6),
    )
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


@click.command()
@click.argument("name", metavar="NAME")
@output_option(*(each for each in ALL_FORMATS if each is not Format.WIDE))
@server_options
def get(name: str, output: Format, server: str | None, token: str | None) -> None:
    """Show an executor group."""
    from sluiceway.cli.showing import details, plain, show
    from sluiceway.cli.units import moment

    found = with_client(server, token, lambda client: client.executors.group(name))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    details(
        f"executor group {found.name}",
        {
            "serves": _serves(found),
            "takes forks": "yes" if found.takes_forks else "no",
            "executors": f"{found.executors}, of which {len(found.executor_ids)} are online",
            "online": ", ".join(found.executor_ids),
            "slots": f"{found.slots_used} of {found.slots} in use",
            "tokens": str(found.tokens),
            "created": moment(found.create_time),
        },
    )


@click.command()
@click.argument("name", metavar="NAME")
@_SERVES
@option("--serves-all", is_flag=True, help="Serve all runs.")
@option("--takes-forks/--no-takes-forks", default=None, help="Take runs of pull requests from forks, or do not.")
@server_options
def update(
    name: str,
    serves: tuple[str, ...],
    serves_all: bool,
    takes_forks: bool | None,
    server: str | None,
    token: str | None,
) -> None:
    """Change an executor group. --serves replaces what it served before."""
    _check(serves, serves_all)
    if not serves and not serves_all and takes_forks is None:
        raise click.UsageError("nothing to change: give --serves, --serves-all, --takes-forks or --no-takes-forks")

    async def conversation(client: Client) -> pb.ExecutorGroup:
        return await client.executors.update_group(
            name, serves=serves or None, serves_all=serves_all or None, takes_forks=takes_forks
        )

    changed = with_client(server, token, conversation)
    forks = "takes" if changed.takes_forks else "does not take"
    say(f"executor group {changed.name} serves {_serves(changed)}, and {forks} runs of forks")


@click.command()
@click.argument("name", metavar="NAME")
@option("--force", is_flag=True, help="Also when its executors run tasks: those are lost.")
@server_options
def delete(name: str, force: bool, server: str | None, token: str | None) -> None:
    """Delete an executor group, its executors and its tokens. Executors that still run are refused from then on."""

    async def conversation(client: Client) -> None:
        await client.executors.delete_group(name, force=force)

    with_client(server, token, conversation)
    say(f"executor group {name} is deleted, with its executors and tokens")


def _check(serves: Sequence[str], serves_all: bool) -> None:
    if serves and serves_all:
        raise click.UsageError("--serves and --serves-all exclude each other")


def _serves(group: pb.ExecutorGroup) -> str:
    return "all" if group.serves_all else ", ".join(group.serves) or "nothing"
