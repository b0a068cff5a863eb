"""`sluice login`: remember a server and a token, once the server took the token."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import server_options
from sluiceway.cli.connecting import find_server, with_client, write_login

if TYPE_CHECKING:
    from sluiceway.client import Client


@click.command()
@server_options
def login(server: str | None, token: str | None) -> None:
    """Store the address of a server and your token, for all later commands.

    Without --token or SLUICE_TOKEN the token is prompted for, or read from standard input if that is not a terminal.
    """
    if not token:
        # Not as an argument: that is in the history of the shell, and in the list of processes.
        token = click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    where = find_server(server, token)

    async def try_it(client: Client) -> None:
        await client.runs.list(limit=1)

    with_client(where.address, where.token, try_it)
    print(f"logged in to {where.address}; the token is in {write_login(where)}")
