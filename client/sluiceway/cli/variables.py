"""`sluice variable`: names for values of secrets, which configurations use with `from_variable`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.secrets import split_path
from sluiceway_common.foundation.errors import NotFound

if TYPE_CHECKING:
    from sluiceway.api.project.v1 import variable_service_pb2 as pb
    from sluiceway.client import Client

_FORMATS = tuple(each for each in ALL_FORMATS if each is not Format.WIDE)
_PATH_HELP = "PATH is the parent's path and the name, such as org/acme/api/NPM_TOKEN, or an id."
_RULE = "Names, or regular expressions (RE2) between slashes. May be repeated. Default: everything."


@click.command("set", epilog=_PATH_HELP)
@click.argument("path", metavar="PATH")
@click.argument("secret", metavar="SECRET")
@click.argument("key", metavar="KEY")
@option("--branch", "branches", multiple=True, metavar="RULE", help=f"Use the value for these branches. {_RULE}")
@option("--tag", "tags", multiple=True, metavar="RULE", help=f"Use the value for these tags. {_RULE}")
@option("--ref", "refs", multiple=True, metavar="RULE", help=f"Use the value for these full refs. {_RULE}")
@option("--append", is_flag=True, help="Add the value behind those that the variable has. Default: replace them.")
@output_option(*_FORMATS)
@server_options
def set_(
    path: str,
    secret: str,
    key: str,
    branches: tuple[str, ...],
    tags: tuple[str, ...],
    refs: tuple[str, ...],
    append: bool,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Let a variable stand for the value KEY of the secret named SECRET, and create it if there is none.

    The secret belongs to the parent of the variable, or to an ancestor of it. Of several values (--append) the first
    one whose conditions match the ref of a run is used.
    """
    from sluiceway.api.project.v1 import variable_service_pb2 as pb

    value = pb.VariableValue(secret_name=secret, key=key)
    for name, rules in (("branch", branches), ("tag", tags), ("ref", refs)):
        if rules:
            getattr(value.when, name).include.extend(rules)

    async def conversation(client: Client) -> pb.Variable:
        try:
            known = await client.variables.get(path)
        except NotFound:
            parent, name = split_path(path)
            return await client.variables.create(name, parent, [value])
        values = [*known.values, value] if append else [value]
        return await client.variables.update(known.id, values=values, etag=known.etag)

    made = with_client(server, token, conversation)
    _print(made, output, f"set variable {path}: {_values(made)}")


@click.command("list")
@click.argument("parent", metavar="[PARENT]", required=False, default="")
@output_option(*ALL_FORMATS)
@server_options
def list_(parent: str, output: Format, server: str | None, token: str | None) -> None:
    """List variables by name: those of PARENT, such as org/acme, or all that you may see."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table

    found: Sequence[pb.Variable] = with_client(server, token, lambda client: client.variables.list(parent=parent))
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    rows = [Row((each.name, _values(each), each.parent_id, each.id)) for each in found]
    columns = (Column("NAME", 6), Column("VALUES", 10), Column("PARENT", 8), Column("ID", 8))
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


@click.command(epilog=_PATH_HELP)
@click.argument("path", metavar="PATH")
@output_option(*_FORMATS)
@server_options
def get(path: str, output: Format, server: str | None, token: str | None) -> None:
    """Show what a variable stands for."""
    from sluiceway.cli.showing import details, plain, show
    from sluiceway.cli.units import moment

    found = with_client(server, token, lambda client: client.variables.get(path))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    values = {f"value {number}": _value(value) for number, value in enumerate(found.values, start=1)}
    details(
        f"variable {found.name}",
        {"id": found.id, "parent": found.parent_id, **values, "created": moment(found.create_time)},
    )


@click.command(epilog=_PATH_HELP)
@click.argument("path", metavar="PATH")
@server_options
def delete(path: str, server: str | None, token: str | None) -> None:
    """Delete a variable. Runs that exist keep what it stood for."""
    with_client(server, token, lambda client: client.variables.delete(path))
    print(f"deleted variable {path}")


def _values(variable: pb.Variable) -> str:
    return "; ".join(_value(value) for value in variable.values) or "no value"


def _value(value: pb.VariableValue) -> str:
    conditions = []
    for name in ("branch", "tag", "ref"):
        rule: pb.WhenRule = getattr(value.when, name)
        conditions += [f"{name} {each}" for each in rule.include] + [f"not {name} {each}" for each in rule.exclude]
    return f"{value.secret_name} {value.key}" + (f" ({', '.join(conditions)})" if conditions else "")


def _print(variable: pb.Variable, output: Format, sentence: str) -> None:
    from sluiceway.cli.showing import plain, show

    if output.is_for_people:
        print(sentence)
    else:
        show([plain(variable)], output, single=True)
