"""`sluice run artifacts`."""

from __future__ import annotations

import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, run_argument, run_id_of
from sluiceway.cli.terminal import clean, say
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluiceway.api.run.v1 import run_service_pb2 as pb
    from sluiceway.client import Client

_FORMATS = tuple(each for each in ALL_FORMATS if each is not Format.WIDE)


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("name", required=False)
@option("--save", "-s", metavar="FILE", help="Save the artifact NAME to this file. Default: NAME.zip. -: to stdout.")
@option("--force", is_flag=True, help="Replace the file if it exists.")
@output_option(*_FORMATS)
@server_options
def artifacts(
    run: str, name: str | None, save: str | None, force: bool, output: Format, server: str | None, token: str | None
) -> None:
    """List the artifacts of a run, or save the artifact NAME as a ZIP file.

    If several tasks have saved one of the same name, write TASK/NAME.
    """
    if save is not None and name is None:
        raise InvalidInput("--save needs the name of an artifact; without one, the artifacts are listed")

    async def conversation(client: Client) -> None:
        run_id = await run_id_of(client, run)
        found = await client.runs.artifacts(run_id)
        if name is None:
            _print(found, output)
            return
        chosen = _choose(found, name)
        target = f"{chosen.name.replace('/', '-')}.zip" if save is None else save
        if target == "-":
            async with aclosing(client.runs.artifact(run_id, chosen.id)) as chunks:
                async for chunk in chunks:
                    sys.stdout.buffer.write(chunk)
            return
        await _save(client, run_id, chosen, Path(target), force=force)
        say(f"saved {chosen.file_count} files of {clean(chosen.task_name)} to {clean(target)}")

    with_client(server, token, conversation)


async def _save(client: Client, run_id: str, artifact: pb.Artifact, path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise FailedPrecondition(f"{path} exists; name another file with --save, or replace it with --force")
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            async with aclosing(client.runs.artifact(run_id, artifact.id)) as chunks:
                async for chunk in chunks:
                    file.write(chunk)
        part.replace(path)
    except OSError as error:
        raise FailedPrecondition(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _choose(found: Sequence[pb.Artifact], name: str) -> pb.Artifact:
    fitting = [each for each in found if name in {each.name, f"{each.task_name}/{each.name}", each.id}]
    if not fitting:
        there = ", ".join(sorted({each.name for each in found})) or "none"
        raise NotFound(f"the run has no artifact {name!r}; there is {there}")
    if len(fitting) > 1:
        names = ", ".join(f"{each.task_name}/{each.name}" for each in fitting)
        raise InvalidInput(f"several tasks have an artifact {name!r}; name one of {names}")
    return fitting[0]


def _print(found: Sequence[pb.Artifact], output: Format) -> None:
    from sluiceway.cli.showing import Column, Row, plain, show, table
    from sluiceway.cli.units import size_text

    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    if not found:
        say("the run has no artifacts")
        return
    columns = (Column("NAME", 8), Column("TASK", 8), Column("FILES"), Column("SIZE"))
    table(
        columns, [Row((each.name, each.task_name, str(each.file_count), size_text(each.size_bytes))) for each in found]
    )
