"""The `sluice` command: which commands there are. What each does is in its own module."""

from __future__ import annotations

import typer
from sluiceway.cli.config import config_app

from sluiceway.cli import executors, processes, runs
from sluiceway.foundation.version import VERSION

__all__ = ["app"]

app = typer.Typer(
    name="sluice",
    help="Sluiceway: continuous integration and delivery.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(runs.app, name="run", help="Make, see and move runs.")
app.add_typer(config_app, name="config", help="Check, render and draw run configurations, offline.")
app.add_typer(executors.app, name="executor", help="Run an executor, or see and steer those of a server.")
app.command("standalone")(processes.standalone)
app.command("server")(processes.server)
app.command("gateway")(processes.gateway)


@app.command()
def version() -> None:
    """Show the version of this build."""
    print(VERSION)
