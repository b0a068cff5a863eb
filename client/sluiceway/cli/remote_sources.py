"""`sluice remote-source` and `sluice linked-account`: git providers, and accounts of users there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.values import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message

    from sluiceway.api.project.v1 import remote_source_service_pb2 as pb
    from sluiceway.api.project.v1.linked_account_service_pb2 import LinkedAccount
    from sluiceway.cli.showing import Row
    from sluiceway.client import Client

_FORMATS = tuple(each for each in ALL_FORMATS if each is not Format.WIDE)
_TYPES = ("gitea", "github", "gitlab")
_CLIENT_FILE = "A file with the client secret of this installation at the provider (OAuth 2). -: standard input."
_LOGIN = "Whether users log in with their account there. Default: no."
_REGISTRATION = "Whether a login with an account that nobody has linked creates a user. Default: no."
_PATH = click.Path(path_type=Path, allow_dash=True)


@click.command()
@click.argument("name", metavar="NAME")
@option("--type", "type_", type=click.Choice(_TYPES), required=True, help="The kind of the provider. Forgejo is gitea.")
@option(
    "--api-url",
    required=True,
    metavar="URL",
    help="The URL of its API, such as https://git.example.org/api/v1, https://api.github.com or"
    " https://gitlab.com/api/v4.",
)
@option("--oauth2-client-id", default="", metavar="ID", help="The client id of this installation there (OAuth 2).")
@option("--oauth2-client-secret-file", type=_PATH, metavar="FILE", help=_CLIENT_FILE)
@option("--ssh-host-key", default="", metavar="KEY", help="Its SSH host key: a line of known_hosts.")
@option("--login/--no-login", default=False, help=_LOGIN)
@option("--registration/--no-registration", default=False, help=_REGISTRATION)
@output_option(*_FORMATS)
@server_options
def create(
    name: str,
    type_: str,
    api_url: str,
    oauth2_client_id: str,
    oauth2_client_secret_file: Path | None,
    ssh_host_key: str,
    login: bool,
    registration: bool,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Create the remote source NAME: a git provider that repositories are in."""
    secret = text_of(oauth2_client_secret_file)

    async def conversation(client: Client) -> pb.RemoteSource:
        return await client.remote_sources.create(
            name,
            type_,
            api_url,
            oauth2_client_id=oauth2_client_id,
            oauth2_client_secret=secret,
            ssh_host_key=ssh_host_key,
            login_allowed=login,
            registration_allowed=registration,
        )

    _print(with_client(server, token, conversation), output, f"created remote source {name}")


@click.command("list")
@output_option(*ALL_FORMATS)
@server_options
def list_(output: Format, server: str | None, token: str | None) -> None:
    """List remote sources, by name."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table

    found = with_client(server, token, lambda client: client.remote_sources.list())
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    rows = [Row((each.name, each.type, each.api_url, each.id)) for each in found]
    columns = (Column("NAME", 6), Column("TYPE"), Column("API URL", 10), Column("ID", 8))
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


@click.command()
@click.argument("remote_source", metavar="NAME")
@output_option(*_FORMATS)
@server_options
def get(remote_source: str, output: Format, server: str | None, token: str | None) -> None:
    """Show a remote source. NAME may be an id."""
    from sluiceway.cli.showing import details, plain, show
    from sluiceway.cli.units import moment

    found = with_client(server, token, lambda client: client.remote_sources.get(remote_source))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    details(
        f"remote source {found.name}",
        {
            "id": found.id,
            "type": found.type,
            "API URL": found.api_url,
            "OAuth 2 client": found.oauth2_client_id,
            "SSH host key": found.ssh_host_key,
            "logins": "allowed" if found.login_allowed else "not allowed",
            "registration": "allowed" if found.registration_allowed else "not allowed",
            "created": moment(found.create_time),
        },
    )


@click.command()
@click.argument("remote_source", metavar="NAME")
@option("--name", "new_name", metavar="NAME", help="Another name.")
@option("--api-url", metavar="URL", help="Another URL of its API; only while no project uses it.")
@option("--oauth2-client-id", metavar="ID", help="Another client id (OAuth 2).")
@option("--oauth2-client-secret-file", type=_PATH, metavar="FILE", help=_CLIENT_FILE)
@option("--ssh-host-key", metavar="KEY", help="Another SSH host key.")
@option("--login/--no-login", "login_allowed", default=None, help=_LOGIN)
@option("--registration/--no-registration", "registration_allowed", default=None, help=_REGISTRATION)
@output_option(*_FORMATS)
@server_options
def update(
    remote_source: str,
    new_name: str | None,
    oauth2_client_secret_file: Path | None,
    output: Format,
    server: str | None,
    token: str | None,
    **others: str | bool | None,
) -> None:
    """Change a remote source. NAME may be an id."""
    fields: dict[str, Any] = {name: value for name, value in {"name": new_name, **others}.items() if value is not None}
    if oauth2_client_secret_file is not None:
        fields["oauth2_client_secret"] = text_of(oauth2_client_secret_file)
    if not fields:
        raise click.UsageError("name what is to change, such as --api-url")

    async def conversation(client: Client) -> pb.RemoteSource:
        return await client.remote_sources.update(remote_source, **fields)

    _print(with_client(server, token, conversation), output, f"changed remote source {remote_source}")


@click.command()
@click.argument("remote_source", metavar="NAME")
@server_options
def delete(remote_source: str, server: str | None, token: str | None) -> None:
    """Delete a remote source that no project uses, and the linked accounts at it. NAME may be an id."""
    with_client(server, token, lambda client: client.remote_sources.delete(remote_source))
    print(f"deleted remote source {remote_source}")


@click.command()
@click.argument("remote_source", metavar="REMOTE_SOURCE")
@option(
    "--access-token-file",
    type=_PATH,
    required=True,
    metavar="FILE",
    help="A file with an access token that was made at the provider. -: standard input.",
)
@option("--user", default="me", metavar="USER", help="The id or name of the user. Default: you.")
@output_option(*_FORMATS)
@server_options
def link(
    remote_source: str, access_token_file: Path, user: str, output: Format, server: str | None, token: str | None
) -> None:
    """Link your account at REMOTE_SOURCE. The server acts with its access token, which is stored encrypted."""
    text = text_of(access_token_file)

    async def conversation(client: Client) -> Any:
        return await client.linked_accounts.create(remote_source, text, user=user)

    found = with_client(server, token, conversation)
    _print(found, output, f"linked the account {found.remote_name} at {remote_source}")


@click.command("list")
@option("--user", default="me", metavar="USER", help="The id or name of the user. Default: you.")
@output_option(*ALL_FORMATS)
@server_options
def list_accounts(user: str, output: Format, server: str | None, token: str | None) -> None:
    """List linked accounts."""
    from sluiceway.cli.showing import NO_LIMIT, Column, plain, show, table

    async def conversation(client: Client) -> Any:
        return await client.linked_accounts.list(user=user), await client.remote_sources.list()

    found, sources = with_client(server, token, conversation)
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    names = {each.id: each.name for each in sources}
    rows = account_rows(found, names)
    columns = (Column("REMOTE SOURCE", 8), Column("ACCOUNT", 8), Column("ID", 8))
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


def account_rows(found: Sequence[LinkedAccount], names: Mapping[str, str]) -> list[Row]:
    """Return the rows of a table of linked accounts, each with its problem; `names`: of remote sources, by id."""
    from sluiceway.cli.showing import Row

    return [
        Row((names.get(each.remote_source_id, each.remote_source_id), each.remote_name, each.id), note=each.problem)
        for each in found
    ]


@click.command()
@click.argument("linked_account", metavar="REMOTE-SOURCE")
@option("--user", default="me", metavar="USER", help="The id or name of the user. Default: you.")
@server_options
def unlink(linked_account: str, user: str, server: str | None, token: str | None) -> None:
    """Remove a linked account. Projects that use it cannot read their repository any more."""
    with_client(server, token, lambda client: client.linked_accounts.delete(linked_account, user=user))
    print(f"removed linked account {linked_account}")


def _print(made: Message, output: Format, sentence: str) -> None:
    from sluiceway.cli.showing import plain, show

    if output.is_for_people:
        print(sentence)
    else:
        show([plain(made)], output, single=True)
