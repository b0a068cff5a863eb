"""The `sluice` command: which commands there are. What each does is in its own module.

Configurations take the libraries of the whole compiler, and the database some of the server's; they are loaded when
`config` or `db` is what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from sluiceway.cli import executors, login, processes, runs
from sluiceway.foundation.version import VERSION

__all__ = ["app"]


def _loaded_later(load: Callable[[], typer.Typer]) -> type[TyperGroup]:
    """Make a group whose commands are loaded when one of them is looked for."""

    class LazyCommands(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return typer.main.get_group(load()).list_commands(ctx)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return typer.main.get_group(load()).get_command(ctx, cmd_name)

    return LazyCommands


def _config_commands() -> typer.Typer:
    from sluiceway.cli.config import config_app

    return config_app


def _database_commands() -> typer.Typer:
    from sluiceway.cli import database

    return database.app


app = typer.Typer(
    name="sluice",
    help="Sluiceway: continuous integration and delivery.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(runs.app, name="run", help="Make, see and move runs.")
app.add_typer(
    typer.Typer(cls=_loaded_later(_config_commands), no_args_is_help=True, rich_markup_mode=None),
    name="config",
    help="Check, render and draw run configurations, offline.",
)
app.add_typer(executors.app, name="executor", help="Run an executor; list, drain and delete those of a server.")
app.add_typer(
    typer.Typer(cls=_loaded_later(_database_commands), no_args_is_help=True, rich_markup_mode=None),
    name="db",
    help="See, check, save and repair the database.",
)
app.command("login")(login.login)
app.command("standalone")(processes.standalone)
app.command("server")(processes.server)
app.command("gateway")(processes.gateway)


@app.command()
def version() -> None:
    """Show the version of this build."""
    print(VERSION)
