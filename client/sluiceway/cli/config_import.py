"""`sluice config import`: convert a configuration of another CI system to jsonnet."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sluiceway.cli.commands import EnumChoice, option
from sluiceway.importing.importers import System, comments_in, convert
from sluiceway.importing.yaml_values import MAX_BYTES
from sluiceway_common.foundation.errors import AlreadyExists, InvalidInput
from sluiceway_common.runconfig.compile import load_source
from sluiceway_common.runconfig.files import FolderFiles
from sluiceway_common.runconfig.when import Context

_CHECKED_AS = ".sluice/config.jsonnet"


@click.command(name="import")
@click.argument("system", type=EnumChoice(System))
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@option("--output", "-o", type=click.Path(path_type=Path), help="Write it to this file instead of the terminal.")
def import_(system: System, files: tuple[Path, ...], output: Path | None) -> int:
    """Convert configurations of another CI system to jsonnet; each file becomes a run.

    SYSTEM is github-actions, gitlab or woodpecker. A comment stands at each thing that has no counterpart: read them
    before you use the result. The exit code is 1 if the result has errors.
    """
    made = convert(system, [(path.name, _read(path)) for path in files])
    if output is None:
        print(made, end="")
    else:
        _write(output, made)
    checked = load_source(
        _CHECKED_AS, made.encode(), FolderFiles(Path.cwd()), Context("branch", "refs/heads/main", "main")
    )
    for problem in checked.errors:
        print(problem.in_file(str(output or "result"), "error"), file=sys.stderr)
    count = comments_in(made)
    if count:
        print(f"sluice: read the {count} comments: they say what is missing or different", file=sys.stderr)
    return 1 if checked.errors else 0


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as cause:
        raise InvalidInput(f"{path} cannot be read: {cause.strerror}") from cause


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError as cause:
        raise AlreadyExists(f"{path} exists; choose another file") from cause
    except OSError as cause:
        raise InvalidInput(f"{path} cannot be written: {cause.strerror}") from cause
