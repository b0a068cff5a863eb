"""Groups of commands, and the options that many commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib import import_module
from typing import Any, TypeVar

import click

__all__ = ["EnumChoice", "Format", "LazyGroup", "option", "output_option", "server_options"]

C = TypeVar("C", bound=Callable[..., Any])
E = TypeVar("E", bound=StrEnum)


class LazyGroup(click.Group):
    """A group that imports the module of a command when that command is run or completed.

    A help text and a mistyped name need the names and short texts only.

    Args:
        places: by name: `MODULE:ATTRIBUTE` of the command, and its short help.
        more: what `click.Group` takes.
    """

    def __init__(self, *, places: Mapping[str, tuple[str, str]], **more: Any) -> None:
        super().__init__(no_args_is_help=True, **more)
        self._places = {name: place for name, (place, _) in places.items()}
        self.commands = {name: click.Command(name, short_help=text) for name, (_, text) in places.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names in the order in which they were given."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            module, _, attribute = self._places[name].partition(":")
            command = getattr(import_module(module), attribute)
        return name, command, rest


class Format(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"
    NAME = "name"


class EnumChoice(click.Choice[E]):
    """A choice among the values of an enum of strings."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Give the value, which is what is typed; click would take the name."""
        return str(choice)


def option(*names: str, **more: Any) -> Callable[[C], C]:
    """Make an option as `click.option` does, which shows its default in the help text unless that says nothing."""
    default = more.get("default")
    more.setdefault("show_default", default not in (None, "", False))
    return click.option(*names, **more)


def server_options(command: C) -> C:
    """Add `--server` and `--token`, which take their defaults from the environment."""
    token = option("--token", envvar="SLUICE_TOKEN", show_envvar=True, help="Your token.")
    server = option(
        "--server", metavar="HOST:PORT", envvar="SLUICE_SERVER", show_envvar=True, help="The server's gRPC address."
    )
    return server(token(command))


def output_option(*formats: Format) -> Callable[[C], C]:
    """Add `-o`; the first format is the default."""
    return option("--output", "-o", type=EnumChoice(formats), default=formats[0].value, help="Output format.")
