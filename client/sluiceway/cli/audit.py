"""`sluice audit`: who changed what, and when."""

from __future__ import annotations

from datetime import datetime

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, MomentType, option, output_option, server_options
from sluiceway.cli.connecting import with_client

_TIME = "how long ago (2h, 3d), or RFC 3339 (2026-11-30T08:00:00Z)."


@click.command("list")
@option("--of", "parent", default="", metavar="PATH", help="Only changes of this user or organization: org/NAME.")
@option("--by", "caller", default="", metavar="USER", help="Only changes that this user made.")
@option("--resource", default="", metavar="ID", help="Only changes of this resource; a project also by its path.")
@option("--type", "resource_type", default="", metavar="TYPE", help="Only changes of this type, such as project.")
@option("--method", default="", metavar="METHOD", help="Only changes by this method, such as DeleteProject.")
@option("--since", type=MomentType(), default=None, metavar="TIME", help=f"Only changes since this time: {_TIME}")
@option("--until", type=MomentType(), default=None, metavar="TIME", help=f"Only changes before this time: {_TIME}")
@option("--limit", type=click.IntRange(1, 100_000), default=100, metavar="NUMBER", help="At most so many.")
@output_option(*ALL_FORMATS)
@server_options
def list_(
    parent: str,
    caller: str,
    resource: str,
    resource_type: str,
    method: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """List changes, the newest first. Without --of this is for operators."""
    from sluiceway.cli.showing import NO_LIMIT, Column, Row, plain, show, table
    from sluiceway.cli.units import moment

    found = with_client(
        server,
        token,
        lambda client: client.audit.list(
            parent=parent,
            caller=caller,
            resource=resource,
            resource_type=resource_type,
            method=method,
            since=since,
            until=until,
            limit=limit,
        ),
    )
    if not output.is_for_people:
        show([plain(each) for each in found], output)
        return
    wide = output is Format.WIDE
    columns = [Column("TIME"), Column("BY", 6), Column("METHOD", 8), Column("WHAT", 12), Column("DETAILS", 8)]
    rows = [
        (
            moment(each.time),
            each.caller_name or each.caller_id,
            each.method,
            each.resource_path or each.resource_id,
            "; ".join(each.details),
            *((each.resource_id, each.forwarded_for or each.peer) if wide else ()),
        )
        for each in found
    ]
    if wide:
        columns += [Column("ID"), Column("FROM")]
    table(tuple(columns), [Row(row) for row in rows], limit=NO_LIMIT if wide else None)
