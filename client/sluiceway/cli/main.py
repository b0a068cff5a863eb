"""The `sluice` command: which commands there are. What each does is in its own module.

Configurations take the libraries of the whole compiler, and the database some of the server's; they are loaded when
`config` or `db` is what is asked for.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from sluiceway.cli import executors, login, processes, runs
from sluiceway.foundation.version import VERSION

__all__ = ["app"]


class _LazyCommands(TyperGroup):
    """Commands that are loaded when one of them is looked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """See the base class."""
        return self._loaded().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See the base class."""
        return self._loaded().get_command(ctx, cmd_name)

    def _loaded(self) -> TyperGroup:
        raise NotImplementedError


class _ConfigCommands(_LazyCommands):
    def _loaded(self) -> TyperGroup:
        from sluiceway.cli.config import config_app

        return typer.main.get_group(config_app)


class _DatabaseCommands(_LazyCommands):
    def _loaded(self) -> TyperGroup:
        from sluiceway.cli import database

        return typer.main.get_group(database.app)


app = typer.Typer(
    name="sluice",
    help="Sluiceway: continuous integration and delivery.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(runs.app, name="run", help="Make, see and move runs.")
app.add_typer(
    typer.Typer(cls=_ConfigCommands, no_args_is_help=True, rich_markup_mode=None),
    name="config",
    help="Check, render and draw run configurations, offline.",
)
app.add_typer(executors.app, name="executor", help="Run an executor, or see and steer those of a server.")
app.add_typer(
    typer.Typer(cls=_DatabaseCommands, no_args_is_help=True, rich_markup_mode=None),
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
