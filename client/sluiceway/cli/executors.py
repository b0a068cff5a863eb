"""`sluice executor list|drain|delete`: the executors of a server. `run` is in `processes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client

if TYPE_CHECKING:
    from sluiceway.api.executor.v1 import executor_admin_service_pb2 as pb
    from sluiceway.client import Client

__all__ = ["delete", "drain", "list_"]


@click.command("list")
@option("--group", default="", help="Only of this group.")
@output_option(Format.TABLE, Format.JSON, Format.NAME)
@server_options
def list_(group: str, output: Format, server: str | None, token: str | None) -> None:
    """List executors, by group and id."""
    from sluiceway.cli.showing import show_messages, table

    async def conversation(client: Client) -> Sequence[pb.Executor]:
        return await client.executors.list(group=group)

    executors = with_client(server, token, conversation)
    if output is not Format.TABLE:
        show_messages(executors, output)
        return
    rows = [
        (
            e.id,
            e.group,
            "draining" if e.draining and e.online else "online" if e.online else "offline",
            f"{e.slots_used} of {e.slots}",
            ",".join(e.archs),
            ",".join(e.drivers),
            e.version,
        )
        for e in executors
    ]
    table(("ID", "GROUP", "STATE", "SLOTS", "ARCHS", "DRIVERS", "VERSION"), rows)


@click.command()
@click.argument("executor_id", metavar="EXECUTOR")
@server_options
def drain(executor_id: str, server: str | None, token: str | None) -> None:
    """Give an executor no more work."""
    with_client(server, token, lambda client: client.executors.drain(executor_id))


@click.command()
@click.argument("executor_id", metavar="EXECUTOR")
@server_options
def delete(executor_id: str, server: str | None, token: str | None) -> None:
    """Take an executor from the list; what it still runs is lost."""
    with_client(server, token, lambda client: client.executors.delete(executor_id))
