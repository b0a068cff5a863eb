"""`sluice completion`: the script that lets a shell complete commands."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    For bash, put this line into ~/.bashrc:  eval "$(sluice completion bash)"
    """
    from sluiceway.cli.entry import COMPLETION_VARIABLE
    from sluiceway.cli.main import app

    kind = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    click.echo(kind(app, {}, "sluice", COMPLETION_VARIABLE).source())
