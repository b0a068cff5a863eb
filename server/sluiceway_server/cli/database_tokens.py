"""`sluice db reset-operator-token`: for an operator who has lost every token."""

from __future__ import annotations

import asyncio
import json

import click

from sluiceway.cli.commands import Format, option, output_option
from sluiceway.cli.confirming import ask, refuse_silence, yes_option
from sluiceway.cli.terminal import waiting
from sluiceway_server.cli.database_places import both_stores, say, stores_options


@click.command("reset-operator-token")
@option("--keep-others", is_flag=True, help="Do not revoke the tokens of operators that there are.")
@stores_options
@yes_option
@output_option(Format.TABLE, Format.JSON)
def reset(keep_others: bool, etcd: str, object_storage: str, prefix: str, yes: bool, output: Format) -> None:
    """Make a new token for an operator and revoke the others, without a server and without a token.

    Who can write both stores may do that. Servers may be running; they know the new token at once. Its text is printed
    once and is stored nowhere.
    """
    from sluiceway_server.app import token_reset

    stores = both_stores(etcd, object_storage, prefix, why="this works on both stores")
    refuse_silence(yes)
    with waiting("reading the database"):
        others = () if keep_others else asyncio.run(token_reset.list_operator_tokens(stores))
    say(*(f"Revoked: {each.short_id} {each.name}, made {each.created:%Y-%m-%d}" for each in others))
    ask("Make a new token for an operator?", yes)
    text = asyncio.run(token_reset.reset_operator_token(stores, revoke=others))
    if output is Format.JSON:
        print(json.dumps({"text": text, "revoked": [each.short_id for each in others]}))
    else:
        print(text)
