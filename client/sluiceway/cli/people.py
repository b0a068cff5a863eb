"""`sluice org` and `sluice user`: organizations with their members, and users with their passwords and tokens."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from sluiceway.cli.commands import ALL_FORMATS, DurationType, Format, option, output_option, server_options
from sluiceway.cli.confirming import ask, refuse_silence, yes_option
from sluiceway.cli.connecting import with_client
from sluiceway.cli.projects import VISIBILITIES, visibility_word

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from sluiceway.api.project.v1 import organization_service_pb2 as organization_pb
    from sluiceway.api.project.v1 import user_service_pb2 as user_pb
    from sluiceway.client import Client

_FORMATS = tuple(each for each in ALL_FORMATS if each is not Format.WIDE)
_ROLES = click.Choice(("owner", "member", "reader"))
_visibility_option = option("--visibility", type=VISIBILITIES, default=None, help="Who may see it.")
_name_option = option("--name", default=None, metavar="NAME", help="Rename it.")


# -- organizations


@click.command()
@click.argument("name", metavar="NAME")
@_visibility_option
@output_option(*_FORMATS)
@server_options
def create(name: str, visibility: str | None, output: Format, server: str | None, token: str | None) -> None:
    """Create the organization NAME, which you own. Without --visibility it is private."""

    async def conversation(client: Client) -> organization_pb.Organization:
        return await client.organizations.create(name, visibility=visibility or "")

    made = with_client(server, token, conversation)
    _changed(made, output, f"created organization {made.name}, id {made.id}")


@click.command("list")
@output_option(*ALL_FORMATS)
@server_options
def list_(output: Format, server: str | None, token: str | None) -> None:
    """List the organizations that you may see, by name."""
    found = with_client(server, token, lambda client: client.organizations.list())
    _print_list(found, output, "VISIBILITY", [visibility_word(each.visibility) for each in found])


@click.command()
@click.argument("organization")
@output_option(*_FORMATS)
@server_options
def get(organization: str, output: Format, server: str | None, token: str | None) -> None:
    """Show ORGANIZATION, which is a name or an id."""
    from sluiceway.cli.showing import details, plain, show
    from sluiceway.cli.units import moment

    found = with_client(server, token, lambda client: client.organizations.get(organization))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    details(
        f"organization {found.name}",
        {"id": found.id, "visibility": visibility_word(found.visibility), "created": moment(found.create_time)},
    )


@click.command()
@click.argument("organization")
@_name_option
@_visibility_option
@output_option(*_FORMATS)
@server_options
def update(
    organization: str,
    name: str | None,
    visibility: str | None,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Change ORGANIZATION, which is a name or an id: what the options name."""
    if name is None and visibility is None:
        raise click.UsageError("give an option that says what to change")
    fields: dict[str, Any] = {} if name is None else {"name": name}

    async def conversation(client: Client) -> organization_pb.Organization:
        return await client.organizations.update(organization, visibility=visibility or "", **fields)

    made = with_client(server, token, conversation)
    _changed(made, output, f"changed organization {made.name}")


@click.command()
@click.argument("organization")
@yes_option
@server_options
def delete(organization: str, yes: bool, server: str | None, token: str | None) -> None:
    """Delete ORGANIZATION, which is a name or an id, with everything below it. The runs there are stopped."""
    refuse_silence(yes)

    async def conversation(client: Client) -> str:
        found = await client.organizations.get(organization)
        ask(f"Delete organization {found.name} and everything below it?", yes)
        await client.organizations.delete(found.id, etag=found.etag)
        return found.name

    print(f"deleted organization {with_client(server, token, conversation)}")


@click.command()
@click.argument("organization")
@output_option(*ALL_FORMATS)
@server_options
def members(organization: str, output: Format, server: str | None, token: str | None) -> None:
    """List the members of ORGANIZATION, by name."""
    from sluiceway.api.project.v1.organization_service_pb2 import OrganizationRole
    from sluiceway.cli.showing import Column, Row, plain, show, table

    found = with_client(server, token, lambda client: client.organizations.members(organization))
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    rows = [
        Row((each.user_name, OrganizationRole.Name(each.role).removeprefix("ORGANIZATION_ROLE_").lower(), each.user_id))
        for each in found
    ]
    table((Column("NAME"), Column("ROLE"), Column("ID")), rows)


@click.command("set-member")
@click.argument("organization")
@click.argument("user")
@option("--role", type=_ROLES, required=True, help="What the user may do there.")
@server_options
def set_member(organization: str, user: str, role: str, server: str | None, token: str | None) -> None:
    """Set the role of USER in ORGANIZATION."""
    with_client(server, token, lambda client: client.organizations.set_member(organization, user, role))
    print(f"{user} is {role} of {organization}")


@click.command("remove-member")
@click.argument("organization")
@click.argument("user")
@server_options
def remove_member(organization: str, user: str, server: str | None, token: str | None) -> None:
    """Remove USER from ORGANIZATION."""
    with_client(server, token, lambda client: client.organizations.remove_member(organization, user))
    print(f"removed {user} from {organization}")


# -- users


@click.command("create")
@click.argument("name", metavar="NAME")
@option("--operator", is_flag=True, help="The user may operate the installation.")
@output_option(*_FORMATS)
@server_options
def create_user(name: str, operator: bool, output: Format, server: str | None, token: str | None) -> None:
    """Create the user NAME: for operators."""

    async def conversation(client: Client) -> user_pb.User:
        return await client.users.create(name, operator=operator)

    made = with_client(server, token, conversation)
    _changed(made, output, f"created user {made.name}, id {made.id}")


@click.command("list")
@output_option(*ALL_FORMATS)
@server_options
def list_users(output: Format, server: str | None, token: str | None) -> None:
    """List users, by name."""
    found = with_client(server, token, lambda client: client.users.list())
    _print_list(found, output, "OPERATOR", ["yes" if each.operator else "no" for each in found])


@click.command("get")
@click.argument("user")
@output_option(*_FORMATS)
@server_options
def get_user(user: str, output: Format, server: str | None, token: str | None) -> None:
    """Show USER, which is a name or an id."""
    from sluiceway.cli.showing import details, plain, show
    from sluiceway.cli.units import moment

    found = with_client(server, token, lambda client: client.users.get(user))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    details(
        f"user {found.name}",
        {"id": found.id, "operator": "yes" if found.operator else "no", "created": moment(found.create_time)},
    )


@click.command("update")
@click.argument("user")
@_name_option
@option("--operator/--no-operator", default=None, help="Whether the user may operate the installation.")
@option("--disabled/--enabled", default=None, help="Whether the user is locked out; all tokens are revoked.")
@output_option(*_FORMATS)
@server_options
def update_user(
    user: str,
    name: str | None,
    operator: bool | None,
    disabled: bool | None,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Change USER, which is a name or an id: what the options name."""
    fields: dict[str, Any] = {
        key: value
        for key, value in (("name", name), ("operator", operator), ("disabled", disabled))
        if value is not None
    }
    if not fields:
        raise click.UsageError("give an option that says what to change")

    async def conversation(client: Client) -> user_pb.User:
        return await client.users.update(user, **fields)

    made = with_client(server, token, conversation)
    _changed(made, output, f"changed user {made.name}")


@click.command("delete")
@click.argument("user")
@yes_option
@server_options
def delete_user(user: str, yes: bool, server: str | None, token: str | None) -> None:
    """Delete USER, which is a name or an id, with all tokens and projects. The runs there are stopped."""
    refuse_silence(yes)

    async def conversation(client: Client) -> str:
        found = await client.users.get(user)
        ask(f"Delete user {found.name} and everything below it?", yes)
        await client.users.delete(found.id, etag=found.etag)
        return found.name

    print(f"deleted user {with_client(server, token, conversation)}")


@click.command("set-password")
@click.argument("user")
@option("--keep-tokens", is_flag=True, help="End the sessions of the user only, and leave the other tokens valid.")
@server_options
def set_password(user: str, keep_tokens: bool, server: str | None, token: str | None) -> None:
    """Set the password of USER. If there was one, sessions and tokens of the user end, but for the one that you use.

    It is asked for, or the first line of standard input. A second line, or answer, is the current password; operators
    leave it empty.
    """
    if sys.stdin.isatty():
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
        current = click.prompt("Current password (empty for operators)", hide_input=True, default="", err=True)
    else:
        password, current = sys.stdin.readline().rstrip("\r\n"), sys.stdin.readline().rstrip("\r\n")

    async def conversation(client: Client) -> None:
        await client.users.set_password(user, password, current=current, keep_tokens=keep_tokens)

    with_client(server, token, conversation)
    print(f"set the password of {user}")


@click.command("tokens")
@click.argument("user")
@output_option(*ALL_FORMATS)
@server_options
def tokens(user: str, output: Format, server: str | None, token: str | None) -> None:
    """List the valid tokens and sessions of USER, by name."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table
    from sluiceway.cli.units import moment

    found = with_client(server, token, lambda client: client.users.tokens(user))
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    rows = [
        Row(
            (
                each.name,
                "session" if each.session else "operator" if each.operator else "user",
                ",".join(each.scopes),
                moment(each.create_time),
                moment(each.expire_time) or "never",
                moment(each.last_use_time) or "never",
            )
        )
        for each in found
    ]
    columns = (
        Column("NAME", 6),
        Column("KIND"),
        Column("SCOPES", 6),
        Column("CREATED"),
        Column("EXPIRES"),
        Column("LAST USED"),
    )
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


@click.command("create-token")
@click.argument("user")
@click.argument("name")
@option(
    "--scope", "scopes", multiple=True, metavar="SCOPE", help="Allow only this, such as runs:read. May be repeated."
)
@option("--expires-in", type=DurationType(), metavar="DURATION", help="How long it is valid. Default: without limit.")
@server_options
def create_token(
    user: str,
    name: str,
    scopes: tuple[str, ...],
    expires_in: timedelta | None,
    server: str | None,
    token: str | None,
) -> None:
    """Create the token NAME of USER and print it. It is stored nowhere and cannot be printed again."""
    expire = None if expires_in is None else datetime.now(UTC) + expires_in

    async def conversation(client: Client) -> str:
        return await client.users.create_token(user, name, scopes=scopes, expire=expire)

    print(with_client(server, token, conversation))


@click.command("revoke-token")
@click.argument("user")
@click.argument("name")
@server_options
def revoke_token(user: str, name: str, server: str | None, token: str | None) -> None:
    """Revoke the token NAME of USER at once."""
    with_client(server, token, lambda client: client.users.revoke_token(user, name))
    print(f"revoked {name} of {user}")


def _changed(message: Message, output: Format, sentence: str) -> None:
    from sluiceway.cli.showing import plain, show

    if output.is_for_people:
        print(sentence)
    else:
        show([plain(message)], output, single=True)


def _print_list(
    found: Sequence[organization_pb.Organization | user_pb.User],
    output: Format,
    column: str,
    values: Sequence[str],
) -> None:
    from sluiceway.cli.references import short_ids
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table
    from sluiceway.cli.units import moment

    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    wide = output is Format.WIDE
    ids = {each.id: each.id for each in found} if wide else short_ids([each.id for each in found])
    rows = [
        Row((each.name, value, ids[each.id], moment(each.create_time)))
        for each, value in zip(found, values, strict=True)
    ]
    columns = (Column("NAME", 6), Column(column), Column("ID"), Column("CREATED"))
    table(columns, rows, limit=NO_LIMIT if wide else None)
