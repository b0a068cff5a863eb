"""`sluice token`: the tokens of an installation, for operators."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, DurationType, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import short_ids
from sluiceway.cli.showing import NO_LIMIT

if TYPE_CHECKING:
    from sluiceway.api.project.v1 import token_service_pb2 as pb
    from sluiceway.client import Client


@click.command()
@click.argument("name", metavar="NAME")
@option("--operator", is_flag=True, help="A token of an operator, who may do everything that the scopes allow.")
@option("--executor-group", default="", metavar="GROUP", help="A token for the executors of this group.")
@option("--user", default="", metavar="ID", help="The user that the token stands for. Default: you.")
@option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="Allow only this, such as runs:read. May be repeated. Default: everything.",
)
@option(
    "--expires-in",
    type=DurationType(),
    metavar="DURATION",
    help="How long the token is valid, such as 30d. Default: without limit.",
)
@output_option(Format.TABLE, Format.JSON, Format.YAML)
@server_options
def create(
    name: str,
    operator: bool,
    executor_group: str,
    user: str,
    scopes: tuple[str, ...],
    expires_in: timedelta | None,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Create a token and print it. It is stored nowhere and cannot be printed again.

    Without --operator or --executor-group it is a token of a user.
    """
    from sluiceway.api.project.v1 import token_service_pb2 as pb
    from sluiceway.cli.showing import plain, show

    if operator and executor_group:
        raise click.UsageError("--operator and --executor-group exclude each other")
    if executor_group and (user or scopes):
        raise click.UsageError("--user and --scope are not for executors")
    expire = None if expires_in is None else datetime.now(UTC) + expires_in
    kind = pb.TOKEN_KIND_EXECUTOR if executor_group else pb.TOKEN_KIND_OPERATOR if operator else pb.TOKEN_KIND_USER

    async def conversation(client: Client) -> tuple[pb.Token, str]:
        return await client.tokens.create(name, kind, user_id=user, group=executor_group, scopes=scopes, expire=expire)

    made, text = with_client(server, token, conversation)
    if not output.is_for_people:
        show([{"token": plain(made), "text": text}], output, single=True)
        return
    # The text alone on stdout, so that it can be written into a file.
    print(f"token {made.id}; its text is shown once:", file=sys.stderr, flush=True)
    print(text)


@click.command("list")
@option("--all", "everything", is_flag=True, help="List expired and revoked tokens, and sessions, too.")
@output_option(*ALL_FORMATS)
@server_options
def list_(everything: bool, output: Format, server: str | None, token: str | None) -> None:
    """List tokens, by kind and name."""
    from sluiceway.api.project.v1 import token_service_pb2 as pb
    from sluiceway.cli.showing import Column, Row, plain, show, table

    async def conversation(client: Client) -> Sequence[pb.Token]:
        return await client.tokens.list()

    now = datetime.now(UTC)
    tokens = [
        each
        for each in with_client(server, token, conversation)
        if everything or (_state(each, now) == "valid" and not each.session)
    ]
    if not output.is_for_people:
        show([plain(each) for each in tokens], output)
        return
    wide = output is Format.WIDE
    ids = {each.id: each.id for each in tokens} if wide else short_ids([each.id for each in tokens])
    rows = [
        Row(
            (
                ids[each.id],
                each.name,
                pb.TokenKind.Name(each.kind).removeprefix("TOKEN_KIND_").lower(),
                f"group {each.group}" if each.group else each.user_id,
                ",".join(each.scopes),
                f"{each.create_time.ToDatetime():%Y-%m-%d}",
                f"{each.expire_time.ToDatetime():%Y-%m-%d}" if each.HasField("expire_time") else "never",
                f"{each.last_use_time.ToDatetime():%Y-%m-%d}" if each.HasField("last_use_time") else "never",
                _state(each, now),
            )
        )
        for each in tokens
    ]
    columns = (
        Column("ID"),
        Column("NAME", 6),
        Column("KIND"),
        Column("OF", 5),
        Column("SCOPES", 6),
        Column("CREATED"),
        Column("EXPIRES"),
        Column("USED"),
        Column("STATE"),
    )
    table(columns, rows, limit=NO_LIMIT if wide else None)


@click.command()
@click.argument("token_id", metavar="ID")
@server_options
def revoke(token_id: str, server: str | None, token: str | None) -> None:
    """Revoke a token at once. ID is that of `sluice token list`, or the beginning of it."""
    with_client(server, token, lambda client: client.tokens.revoke(token_id))
    print(f"revoked {token_id}")


def _state(token: pb.Token, now: datetime) -> str:
    if token.HasField("revoke_time"):
        return "revoked"
    if token.HasField("expire_time") and token.expire_time.ToDatetime(tzinfo=UTC) <= now:
        return "expired"
    return "valid"
