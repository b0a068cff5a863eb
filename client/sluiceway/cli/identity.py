"""`sluice identity`: the issuer of id tokens, its keys, and the subjects of projects."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client

if TYPE_CHECKING:
    from sluiceway.api.project.v1 import identity_service_pb2 as pb

_FORMATS = (Format.TABLE, Format.JSON, Format.YAML)
_DISCOVERY = "/.well-known/openid-configuration"


@click.command()
@click.argument("project", required=False)
@output_option(*_FORMATS)
@server_options
def get(project: str | None, output: Format, server: str | None, token: str | None) -> None:
    """Show the issuer of id tokens and its keys, or, with PROJECT, what they say of a project."""
    from sluiceway.cli.showing import details, plain, show

    if project is None:
        provider = with_client(server, token, lambda client: client.identity.get_provider())
        if not output.is_for_people:
            show([plain(provider)], output, single=True)
            return
        facts = {
            "discovery": provider.issuer + _DISCOVERY,
            "tokens": f"are valid for {provider.token_lifetime.seconds // 60} minutes",
        }
        details(f"issuer {provider.issuer}", facts)
        print(textwrap.fill("claims: " + ", ".join(provider.claims), 78, initial_indent="  ", subsequent_indent="    "))
        _print_keys(provider.keys)
        return
    found = with_client(server, token, lambda client: client.identity.get_project(project))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    facts = {
        "issuer": found.issuer,
        "project_id": found.project_id,
        "owner_id": f"{found.owner_id} ({found.owner_type})",
        "forks": "get id tokens" if found.issues_to_forks else "get no id tokens",
    }
    details(f"project {found.project_path}", facts)
    print("subjects:")
    for subject in found.subjects:
        print(f"  {subject}")


@click.command("rotate-keys")
@option("--revoke", is_flag=True, help="Remove the old keys at once: no token that they signed is valid any more.")
@output_option(*_FORMATS)
@server_options
def rotate_keys(revoke: bool, output: Format, server: str | None, token: str | None) -> None:
    """Sign id tokens with a new key from now on. For operators; it happens by itself every 30 days."""
    from sluiceway.cli.showing import plain, show

    rotated = with_client(server, token, lambda client: client.identity.rotate_keys(revoke=revoke))
    if output.is_for_people:
        _print_keys(rotated.keys)
    else:
        show([plain(rotated)], output, single=True)


def _print_keys(keys: Sequence[pb.IdentityKey]) -> None:
    from sluiceway.cli.showing import Column, Row, table
    from sluiceway.cli.units import moment

    rows = [
        Row((key.kid, moment(key.sign_time), moment(key.retire_time) if key.HasField("retire_time") else ""))
        for key in keys
    ]
    table((Column("KEY"), Column("SIGNS FROM"), Column("UNTIL")), rows)
