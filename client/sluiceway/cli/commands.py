"""Groups of commands, and the options that many commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from sluiceway.cli.filtering import filter_of, has_filter

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

C = TypeVar("C", bound=Callable[..., Any])
E = TypeVar("E", bound=StrEnum)


EXTRA_KEY = "sluiceway.extra"
_ENTRY_POINTS = "sluiceway.commands"


class LazyGroup(click.Group):
    """A group that imports the module of a command when that command is run or completed.

    A help text and a mistyped name need the names and short texts only. Commands of other packages (`sluice server`)
    are entry points of the group `sluiceway.commands`: their names are those of the commands, with the parent's in
    front, and their extra is the one to install for them.

    Args:
        places: by name: `MODULE:ATTRIBUTE` of the command, and its short help.
        parent: the names in front of those of its commands that are entry points, such as `executor`; None: it has
            no such commands.
        more: what `click.Group` takes.
    """

    def __init__(self, *, places: Mapping[str, tuple[str, str]], parent: str | None = None, **more: Any) -> None:
        super().__init__(no_args_is_help=True, **more)
        self._places = {name: place for name, (place, _) in places.items()}
        self._parent = parent
        self.commands = {name: click.Command(name, short_help=text) for name, (_, text) in places.items()}

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        """Return the entry points of its commands, by the command's name."""
        if self._parent is None:
            return {}
        # It takes 20 ms; commands of this package do not need it.
        from importlib.metadata import entry_points

        found: dict[str, EntryPoint] = {}
        for each in entry_points(group=_ENTRY_POINTS):
            *parents, name = each.name.split()
            if " ".join(parents) == self._parent:
                found[name] = each
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options of the group; an option of a command that stands before it is refused with its place."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in {"--server", "--token", "--output", "-o"}:
                ctx.fail(
                    f"{error.option_name} goes after the command: {ctx.command_path} COMMAND {error.option_name} ..."
                )
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names in the order in which they were given, and then those of other packages."""
        return [*self.commands, *sorted(self._entry_points)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of another package, or the name and short text of one of its own."""
        if cmd_name in self.commands or cmd_name not in self._entry_points:
            return self.commands.get(cmd_name)
        entry_point = self._entry_points[cmd_name]
        if entry_point.extras:
            ctx.meta[EXTRA_KEY] = entry_point.extras[0]
        command: click.Command = entry_point.load()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names, and import it."""
        try:
            name, command, rest = super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # click proposes names of `commands`, which has none of the entry points.
            raise click.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx) from error
        if name is not None and name in self._places:
            module, _, attribute = self._places[name].partition(":")
            command = getattr(import_module(module), attribute)
        return name, command, rest


class Format(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    JSONL = "jsonl"
    NAME = "name"

    @property
    def is_for_people(self) -> bool:
        """Whether it is a table; the others are for programs."""
        return self in {Format.TABLE, Format.WIDE}


class EnumChoice(click.Choice[E]):
    """A choice among the values of an enum of strings."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Return the value, which is what is typed; click would take the name."""
        return str(choice)


def option(*names: str, **more: Any) -> Callable[[C], C]:
    """Make an option as `click.option` does, which shows its default in the help text unless that says nothing."""
    default = more.get("default")
    more.setdefault("show_default", default not in (None, "", False))
    return click.option(*names, **more)


def server_options(command: C) -> C:
    """Add `--server` and `--token`, which take their defaults from the environment."""
    token = option("--token", metavar="TOKEN", envvar="SLUICE_TOKEN", show_envvar=True, help="Your token.")
    server = option(
        "--server",
        metavar="HOST:PORT",
        envvar="SLUICE_SERVER",
        show_envvar=True,
        help="The gRPC address of the server.",
    )
    return server(token(command))


ALL_FORMATS = tuple(Format)


def _json_if_filtered(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return the format of the output, which is JSON if there is a filter and no format was named.

    Raises:
        click.UsageError: a format without JSON was named.
    """
    if not has_filter(context):
        return value
    if context.get_parameter_source(parameter.name or "") is ParameterSource.DEFAULT:
        return Format.JSON
    if value not in {Format.JSON, Format.JSONL}:
        raise click.UsageError(f"--jq filters JSON; give -o json or jsonl, not -o {value}", context)
    return value


def output_option(*formats: Format) -> Callable[[C], C]:
    """Add `-o`; the first format is the default. With JSON lines among them, what is printed is filtered by `--jq`."""
    made = partial(option, "--output", "-o", type=EnumChoice(formats), default=formats[0].value, help="Output format.")
    if Format.JSONL not in formats:
        return made()

    def add(command: C) -> C:
        return made(callback=_json_if_filtered)(
            option(
                "--jq",
                metavar="FILTER",
                expose_value=False,
                is_eager=True,
                callback=filter_of,
                help="Filter the JSON as jq -r does.",
            )(command)
        )

    return add


class DurationType(click.ParamType[timedelta]):
    """A duration as run configurations write it: `90s`, `1h30m`, `3d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it.

        Raises:
            click.BadParameter: the value is not a duration.
        """
        from sluiceway_common.runconfig.durations import parse_duration

        if isinstance(value, timedelta):
            return value
        try:
            return timedelta(microseconds=parse_duration(str(value)) // 1000)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


class MomentType(click.ParamType[datetime]):
    """A time: how long ago (`2h`, `3d`), or RFC 3339 (`2026-11-30T08:00:00Z`; UTC if it has no offset)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it.

        Raises:
            click.BadParameter: the value is not a time.
        """
        if isinstance(value, datetime):
            return value
        text = str(value)
        with contextlib.suppress(click.BadParameter):
            return datetime.now(UTC) - DurationType().convert(text, param, ctx)
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f'{value!r} is no time; write how long ago ("2h", "3d") or "2026-11-30T08:00:00Z"', param, ctx)
        return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


class LinesType(click.ParamType[tuple[int, int]]):
    """A range of lines, counted from 1: `120-140`, `120-` to the end (with 0 as its last line), or `120` alone."""

    name = "lines"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Read it.

        Raises:
            click.BadParameter: the value is not a range of lines.
        """
        if isinstance(value, tuple):
            return value
        first, dash, last = str(value).partition("-")
        if not (first.isdecimal() and int(first) and (last.isdecimal() or not last)):
            self.fail(f'{value!r} is no range of lines; write "120-140", "120-" or "120"', param, ctx)
        begin = int(first)
        end = int(last) if last else 0 if dash else begin
        if last and end < begin:
            self.fail(f"{value!r} ends before it begins", param, ctx)
        return begin, end
