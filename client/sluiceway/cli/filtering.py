"""`--jq`: a filter of jq for what a command prints as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click
from click.core import ParameterSource

from sluiceway.foundation.errors import InvalidInput

__all__ = ["filter_of", "filtered", "json_if_filtered"]

_KEY: Final = "sluiceway.cli.filter"


def filter_of(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Compile the filter and keep it for `filtered`: the callback of `--jq`.

    Raises:
        click.BadParameter: it is no filter.
    """
    if value is None:
        return
    import jq

    try:
        context.meta[_KEY] = jq.compile(value)
    except ValueError as error:
        text = str(error).removeprefix("jq: error: ").partition(" at <top-level>")[0]
        raise click.BadParameter(f"{text}: {value}", context, parameter) from error


def json_if_filtered(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return the format of the output, which is JSON if there is a filter and no format was named.

    Raises:
        click.UsageError: a format without JSON was named.
    """
    from sluiceway.cli.commands import Format

    if _KEY not in context.meta:
        return value
    if context.get_parameter_source(parameter.name or "") is ParameterSource.DEFAULT:
        return Format.JSON
    if value not in {Format.JSON, Format.JSONL}:
        raise click.UsageError(f"--jq filters JSON; give -o json or jsonl, not -o {value}", context)
    return value


def filtered(value: Any) -> Iterable[Any] | None:
    """Return what the filter of this command makes of a value; None if there is no filter.

    Raises:
        InvalidInput: the filter failed on this value.
    """
    context = click.get_current_context(silent=True)
    program = None if context is None else context.meta.get(_KEY)
    if program is None:
        return None
    try:
        found: list[Any] = program.input_value(value).all()
    except ValueError as error:
        raise InvalidInput(f"--jq: {error}") from error
    return found
