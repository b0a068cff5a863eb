"""`sluice run history`: what happened in a run, or its state at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import Format, MomentType, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, resolve, run_argument, title_of
from sluiceway.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.timestamp_pb2 import Timestamp

    from sluiceway.api.run.v1 import run_pb2, run_service_pb2
    from sluiceway.cli.showing import Row
    from sluiceway.client import Client


@click.command(epilog=RUN_HELP)
@run_argument
@option(
    "--at",
    type=MomentType(),
    default=None,
    metavar="TIME",
    help="Show the state of the run at this time: how long ago (2h, 3d), or RFC 3339 (2026-11-30T08:00:00Z).",
)
@output_option(Format.TABLE, Format.JSON, Format.YAML, Format.JSONL)
@server_options
def history(run: str, at: datetime | None, output: Format, server: str | None, token: str | None) -> None:
    """Show what happened in a run: when each task was ready, waited, was assigned, ran and ended, and why.

    Times are counted from the creation of the run. With --at the status of the run and of each task at that time.
    """

    async def conversation(client: Client) -> tuple[run_pb2.Run, run_service_pb2.RunHistory]:
        found = await resolve(client, run)
        return found, await client.runs.history(found.id, at=at)

    found, told = with_client(server, token, conversation)
    if not output.is_for_people:
        from sluiceway.cli.showing import plain, show

        shown = told.entries if at is None else [told.moment]
        show([plain(each) for each in shown], output, single=at is not None)
    elif at is None:
        _print_entries(found, told.entries)
    else:
        _print_moment(found, told.moment)


def _print_entries(run: run_pb2.Run, entries: Iterable[run_service_pb2.RunHistoryEntry]) -> None:
    from sluiceway.cli.showing import Column, table
    from sluiceway.cli.units import moment

    say(f"{title_of(run)}, created {moment(run.create_time)}")
    rows = [_row(_after(run.create_time, each.time), each.task_name, each.message) for each in entries]
    table([Column("AFTER"), Column("TASK", least=12), Column("WHAT", least=20)], rows)


def _print_moment(run: run_pb2.Run, moment_: run_service_pb2.RunHistoryMoment) -> None:
    from sluiceway.cli.showing import Column, table
    from sluiceway.cli.units import moment
    from sluiceway.cli.words import phase_name, status_name

    stood = f"was {phase_name(moment_.phase)}" if moment_.phase else "was not created yet"
    say(f"{title_of(run)} {stood} at {moment(moment_.time)}")
    if moment_.tasks:
        rows = [_row(each.task_name, status_name(each.status), each.message) for each in moment_.tasks]
        table([Column("TASK", least=12), Column("STATUS"), Column("WHAT", least=20)], rows)


def _row(first: str, second: str, message: str) -> Row:
    """Return a row whose last cell says what happened, with the reason on a line of its own."""
    from sluiceway.cli.showing import Row

    what, _, why = message.partition(": ")
    return Row((first, second, what), note=why)


def _after(start: Timestamp, time: Timestamp) -> str:
    """Return the time since the creation of the run: `4.2s`, `12m03s`, `3h05m`, `2d04h`."""
    seconds = max(0.0, (time.ToDatetime(tzinfo=UTC) - start.ToDatetime(tzinfo=UTC)).total_seconds())
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
