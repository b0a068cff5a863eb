"""`sluice org invite` and what follows: invitations to organizations."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, DurationType, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client

if TYPE_CHECKING:
    from sluiceway.api.project.v1 import invitation_service_pb2 as pb
    from sluiceway.api.project.v1 import organization_service_pb2 as organization_pb
    from sluiceway.client import Client

_FORMATS = (Format.TABLE, Format.JSON, Format.YAML)


@click.command()
@click.argument("organization")
@option("--user", default="", metavar="USER", help="Invite this user. Default: whoever has the code that is printed.")
@option(
    "--role",
    type=click.Choice(("owner", "member", "reader")),
    default="member",
    help="What the user may do there. Default: member.",
)
@option("--expires-in", type=DurationType(), metavar="DURATION", help="How long it is valid. Default: 7d.")
@output_option(*_FORMATS)
@server_options
def invite(
    organization: str,
    user: str,
    role: str,
    expires_in: timedelta | None,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Invite somebody to ORGANIZATION, which is a name or an id.

    Without --user, the code on standard output makes whoever has it a member, once.
    """
    from sluiceway.cli.showing import plain, show
    from sluiceway.cli.units import moment

    expire = None if expires_in is None else datetime.now(UTC) + expires_in

    async def conversation(client: Client) -> tuple[pb.Invitation, str]:
        return await client.invitations.create(organization, role, user=user, expire=expire)

    made, code = with_client(server, token, conversation)
    if not output.is_for_people:
        show([{"invitation": plain(made), "code": code}], output, single=True)
    elif code:
        print(f"until {moment(made.expire_time)}: sluice org accept CODE; the code:", file=sys.stderr, flush=True)
        print(code)
    else:
        print(f"invited {made.user_name} until {moment(made.expire_time)}: sluice org accept {made.id}")


@click.command()
@click.argument("organization", required=False)
@output_option(*ALL_FORMATS)
@server_options
def invitations(organization: str | None, output: Format, server: str | None, token: str | None) -> None:
    """List the invitations to ORGANIZATION; without it, those for you."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table
    from sluiceway.cli.units import moment

    async def conversation(client: Client) -> list[pb.Invitation]:
        listed = client.invitations.list(organization) if organization else client.invitations.received()
        return list(await listed)

    found = with_client(server, token, conversation)
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    rows = [
        Row(
            (
                each.organization_name,
                _role(each.role),
                each.user_name or "who has the code",
                each.created_by,
                moment(each.expire_time),
                each.id,
            )
        )
        for each in found
    ]
    columns = (
        Column("ORGANIZATION", 8),
        Column("ROLE"),
        Column("FOR", 6),
        Column("BY", 6),
        Column("EXPIRES"),
        Column("ID"),
    )
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


@click.command()
@click.argument("invitation", metavar="ID-OR-CODE")
@output_option(*_FORMATS)
@server_options
def accept(invitation: str, output: Format, server: str | None, token: str | None) -> None:
    """Accept an invitation: its id, if it is for you, or its code."""
    from sluiceway.cli.showing import plain, show

    async def conversation(
        client: Client,
    ) -> tuple[organization_pb.Organization, organization_pb.OrganizationRole]:
        return await client.invitations.accept(**_named(invitation))

    organization, role = with_client(server, token, conversation)
    if output.is_for_people:
        print(f"you are {_role(role)} of {organization.name}")
    else:
        show([plain(organization)], output, single=True)


@click.command()
@click.argument("invitation", metavar="ID-OR-CODE")
@server_options
def decline(invitation: str, server: str | None, token: str | None) -> None:
    """Decline an invitation: its id, if it is for you, or its code."""

    async def conversation(client: Client) -> None:
        await client.invitations.decline(**_named(invitation))

    with_client(server, token, conversation)
    print("declined the invitation")


@click.command("delete-invitation")
@click.argument("organization")
@click.argument("invitation", metavar="ID")
@server_options
def delete(organization: str, invitation: str, server: str | None, token: str | None) -> None:
    """Delete an invitation to ORGANIZATION. Its code is worthless at once."""
    with_client(server, token, lambda client: client.invitations.delete(organization, invitation))
    print(f"deleted the invitation {invitation}")


def _named(text: str) -> dict[str, str]:
    # A code is an id, a dot and a secret.
    return {"code": text} if "." in text else {"invitation": text}


def _role(role: organization_pb.OrganizationRole) -> str:
    from sluiceway.api.project.v1.organization_service_pb2 import OrganizationRole

    return OrganizationRole.Name(role).removeprefix("ORGANIZATION_ROLE_").lower()
