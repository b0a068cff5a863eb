"""Confirmation of destructive commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sluiceway.cli.commands import option
from sluiceway_common.foundation.errors import FailedPrecondition

C = TypeVar("C", bound=Callable[..., Any])


def yes_option(command: C) -> C:
    """Add `--yes`."""
    return option("--yes", is_flag=True, help="Do not ask for confirmation.")(command)


def refuse_silence(yes: bool) -> None:
    """Raise `UsageError` if there is no terminal to ask at."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked; give --yes to do it unasked")


def ask(question: str, yes: bool) -> None:
    """Ask, unless `yes`. Raises `FailedPrecondition` when the answer is no."""
    if not yes and not click.confirm(question, err=True):
        raise FailedPrecondition("nothing was changed")
