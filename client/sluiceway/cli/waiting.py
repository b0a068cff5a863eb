"""`--wait` and `--timeout` of commands whose effect takes time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from sluiceway.cli.commands import DurationType, option
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.foundation.time_limit import time_limit

C = TypeVar("C", bound=Callable[..., Any])
T = TypeVar("T")


def wait_options(what: str) -> Callable[[C], C]:
    """Add `--wait` and `--timeout`.

    Args:
        what: is waited for, as in "until ...".
    """

    def add(command: C) -> C:
        timeout = option(
            "--timeout",
            type=DurationType(),
            metavar="DURATION",
            help="The longest time to wait, such as 10m. Default: without limit.",
        )
        return option("--wait", is_flag=True, help=f"Wait until {what}.")(timeout(command))

    return add


def check_wait(wait: bool, timeout: timedelta | None) -> None:
    """Refuse a timeout without waiting.

    Raises:
        click.UsageError: there is a timeout, and nothing is waited for.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")


async def within(timeout: timedelta | None, work: Awaitable[T], otherwise: str) -> T:
    """Wait for something.

    Args:
        timeout: of the waiting; None: any time.
        work: is waited for.
        otherwise: says what is not done yet.

    Raises:
        FailedPrecondition: `WAIT_TIMED_OUT`, it took longer.
    """
    try:
        async with time_limit(None if timeout is None else timeout.total_seconds()):
            return await work
    except TimeoutError as error:
        raise FailedPrecondition(otherwise, reason="WAIT_TIMED_OUT") from error
