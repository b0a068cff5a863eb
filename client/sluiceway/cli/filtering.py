"""`--jq`: a filter of jq for what a command prints as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click

from sluiceway_common.foundation.errors import InvalidInput

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


def has_filter(context: click.Context) -> bool:
    """Return whether this command was given a filter."""
    return _KEY in context.meta


def filtered(value: Any) -> Iterable[Any] | None:
    """Return the output of the filter of this command for a value; None if there is no filter.

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
