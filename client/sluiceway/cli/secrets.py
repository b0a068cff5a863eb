"""`sluice secret`: values that runs get, and nobody can read. A value is never an argument: others would see it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway_common.foundation.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from sluiceway.api.project.v1 import secret_service_pb2 as pb
    from sluiceway.client import Client

_FORMATS = tuple(each for each in ALL_FORMATS if each is not Format.WIDE)
_PATH_HELP = "PATH is the parent's path and the name, such as org/acme/npm, or an id."


@click.command("set", epilog=_PATH_HELP)
@click.argument("path", metavar="PATH")
@click.argument("key", metavar="KEY")
@option(
    "--file",
    type=click.Path(path_type=Path, allow_dash=True),
    default=Path("-"),
    metavar="FILE",
    help="The file with the value. Default: standard input.",
)
@output_option(*_FORMATS)
@server_options
def set_(path: str, key: str, file: Path, output: Format, server: str | None, token: str | None) -> None:
    """Set the value KEY of a secret, and create the secret if there is none.

    The value is read from standard input or from a file; at a terminal it is asked for, and not shown. The line end
    after a single line does not belong to it. Other values of the secret stay. Runs that exist keep the value that they
    were created with.
    """
    values = {key: _value(key, file)}

    async def conversation(client: Client) -> pb.Secret:
        try:
            return await client.secrets.update(path, set_values=values)
        except NotFound:
            parent, name = split_path(path)
            return await client.secrets.create(name, parent, values)

    made = with_client(server, token, conversation)
    _print(made, output, f"set {key} of secret {path}, version {made.version}")


@click.command("list")
@click.argument("parent", metavar="[PARENT]", required=False, default="")
@output_option(*ALL_FORMATS)
@server_options
def list_(parent: str, output: Format, server: str | None, token: str | None) -> None:
    """List secrets by name, without their values: those of PARENT, such as org/acme, or all that you may see."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table

    found: Sequence[pb.Secret] = with_client(server, token, lambda client: client.secrets.list(parent=parent))
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    rows = [Row((each.name, ", ".join(each.keys), str(each.version), each.parent_id, each.id)) for each in found]
    columns = (Column("NAME", 6), Column("KEYS", 6), Column("VERSION"), Column("PARENT", 8), Column("ID", 8))
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


@click.command(epilog=_PATH_HELP)
@click.argument("path", metavar="PATH")
@output_option(*_FORMATS)
@server_options
def get(path: str, output: Format, server: str | None, token: str | None) -> None:
    """Show the keys and the version of a secret."""
    from sluiceway.cli.showing import details, plain, show
    from sluiceway.cli.units import moment

    found = with_client(server, token, lambda client: client.secrets.get(path))
    if not output.is_for_people:
        show([plain(found)], output, single=True)
        return
    details(
        f"secret {found.name}",
        {
            "id": found.id,
            "parent": found.parent_id,
            "keys": ", ".join(found.keys),
            "version": str(found.version),
            "created": moment(found.create_time),
        },
    )


@click.command(epilog=_PATH_HELP)
@click.argument("path", metavar="PATH")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@server_options
def delete(path: str, keys: tuple[str, ...], server: str | None, token: str | None) -> None:
    """Delete a secret with all versions of its values; with KEY, these values only.

    A task that needs a deleted secret and was not sent to an executor yet fails.
    """
    if keys:
        changed = with_client(server, token, lambda client: client.secrets.update(path, delete_keys=keys))
        print(f"deleted {', '.join(keys)} of secret {path}, version {changed.version}")
        return
    with_client(server, token, lambda client: client.secrets.delete(path))
    print(f"deleted secret {path}")


def split_path(path: str) -> tuple[str, str]:
    """Split the path of a new secret or variable into that of its parent, and its name."""
    parent, _, name = path.rpartition("/")
    if not parent:
        raise NotFound(f"there is no {path!r}; to create it, give its path, such as org/acme/{path}")
    return parent, name


def _value(key: str, file: Path) -> bytes:
    if str(file) != "-":
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InvalidInput(f"--file {file} cannot be read: {error.strerror}") from error
    elif sys.stdin.isatty():
        return str(click.prompt(f"value of {key}", hide_input=True, err=True)).encode()
    else:
        content = sys.stdin.buffer.read()
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    # A key in PEM needs the line end after its last line.
    return line if b"\n" not in line else content


def _print(secret: pb.Secret, output: Format, sentence: str) -> None:
    from sluiceway.cli.showing import plain, show

    if output.is_for_people:
        print(sentence)
    else:
        show([plain(secret)], output, single=True)
