"""`sluice schedule`: the runs of a branch or tag at times of a calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client

if TYPE_CHECKING:
    from sluiceway.api.project.v1 import schedule_service_pb2 as pb

_FORMATS = tuple(each for each in ALL_FORMATS if each is not Format.WIDE)


@click.command()
@click.argument("project", metavar="PROJECT")
@click.argument("cron", metavar="CRON")
@option("--time-zone", default="", metavar="ZONE", help="The time zone, such as Europe/Berlin. Default: UTC.")
@option("--ref", default="", metavar="REF", help="A branch, or a full ref of a tag. Default: the default branch.")
@option("--name", default="", metavar="RUN", help="Only this run, whether its `when` matches or not.")
@option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value for an input that the runs declare. May be repeated.",
)
@output_option(*_FORMATS)
@server_options
def create(
    project: str,
    cron: str,
    time_zone: str,
    ref: str,
    name: str,
    inputs: tuple[str, ...],
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Create a schedule. CRON is "MINUTE HOUR DAY MONTH WEEKDAY", such as "30 2 * * mon-fri"."""
    from sluiceway.cli.values import parse_assignments

    given = parse_assignments("--input", inputs)
    made = with_client(
        server,
        token,
        lambda client: client.schedules.create(
            project, cron, time_zone=time_zone, ref=ref, run_name=name, inputs=given
        ),
    )
    _print(made, output, f"created schedule {made.id}; {_next(made)}")


@click.command("list")
@click.argument("project", metavar="PROJECT")
@output_option(*ALL_FORMATS)
@server_options
def list_(project: str, output: Format, server: str | None, token: str | None) -> None:
    """List the schedules of a project, the oldest first."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table
    from sluiceway.cli.units import moment
    from sluiceway.cli.values import assignments

    found = with_client(server, token, lambda client: client.schedules.list(project))
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    columns = (
        Column("ID"),
        Column("CRON", 9),
        Column("ZONE", 8),
        Column("REF", 8),
        Column("RUN", 6),
        Column("NEXT"),
        Column("LAST"),
    )
    rows = [
        Row(
            (
                each.id,
                each.cron,
                each.time_zone or "UTC",
                each.ref.removeprefix("refs/heads/"),
                " ".join(part for part in (each.run_name or "all", assignments(each.inputs)) if part),
                moment(each.next_time) if each.HasField("next_time") else "paused",
                moment(each.last_time) if each.HasField("last_time") else "",
            )
        )
        for each in found
    ]
    table(columns, rows, limit=NO_LIMIT if output is Format.WIDE else None)


@click.command()
@click.argument("project", metavar="PROJECT")
@click.argument("schedule", metavar="SCHEDULE")
@output_option(*_FORMATS)
@server_options
def pause(project: str, schedule: str, output: Format, server: str | None, token: str | None) -> None:
    """Create no runs of a schedule until it is resumed."""
    changed = with_client(server, token, lambda client: client.schedules.update(project, schedule, paused=True))
    _print(changed, output, f"paused schedule {changed.id}")


@click.command()
@click.argument("project", metavar="PROJECT")
@click.argument("schedule", metavar="SCHEDULE")
@output_option(*_FORMATS)
@server_options
def resume(project: str, schedule: str, output: Format, server: str | None, token: str | None) -> None:
    """Create runs of a schedule again."""
    changed = with_client(server, token, lambda client: client.schedules.update(project, schedule, paused=False))
    _print(changed, output, f"resumed schedule {changed.id}; {_next(changed)}")


@click.command()
@click.argument("project", metavar="PROJECT")
@click.argument("schedule", metavar="SCHEDULE")
@server_options
def delete(project: str, schedule: str, server: str | None, token: str | None) -> None:
    """Delete a schedule. Runs that it made stay."""
    with_client(server, token, lambda client: client.schedules.delete(project, schedule))
    print(f"deleted schedule {schedule}")


def _next(schedule: pb.Schedule) -> str:
    from sluiceway.cli.units import moment

    return f"next at {moment(schedule.next_time)}"


def _print(schedule: pb.Schedule, output: Format, sentence: str) -> None:
    from sluiceway.cli.showing import plain, show

    if output.is_for_people:
        print(sentence)
    else:
        show([plain(schedule)], output, single=True)
