"""`sluice db history`: to which entries, and so to which times, a restore can go back."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime

import click

from sluiceway.cli.commands import Format, option, output_option
from sluiceway.cli.terminal import waiting
from sluiceway_server.cli.database_places import both_stores, stores_options

_MOST = 1000


@click.command()
@option("--limit", "-n", type=click.IntRange(min=1, max=_MOST), default=20, help="The largest number of entries.")
@option("--before", default="", metavar="TIME", help="Only entries up to a time, such as 2026-01-31T12:00:00Z.")
@stores_options
@output_option(Format.TABLE, Format.JSON)
def history(limit: int, before: str, etcd: str, object_storage: str, prefix: str, output: Format) -> None:
    """List entries that `restore --to` can go back to, the newest first: the last one of each segment.

    Every entry in between can be gone back to as well, and so can every time.
    """
    from sluiceway_server.app import operations

    stores = both_stores(etcd, object_storage, prefix, why="the history needs both stores")
    until: datetime | None = None
    if before:
        target = operations.parse_target(before)
        if not isinstance(target, datetime):
            raise click.BadParameter("a time, such as 2026-01-31T12:00:00Z", param_hint="--before")
        until = target
    with waiting("reading segments"):
        points = asyncio.run(operations.history(stores, limit=limit, before=until))
    if output is Format.JSON:
        found = [
            {
                "sequence": str(point.sequence),
                "time": point.time.isoformat().replace("+00:00", "Z"),
                "entries": point.entries,
                "writer": point.writer,
            }
            for point in points
        ]
        print(json.dumps(found, indent=2))
        return
    from sluiceway.cli.showing import Column, Row, table

    columns = [Column(title) for title in ("SEQUENCE", "TIME", "ENTRIES", "WRITTEN BY")]
    rows = [
        Row((str(point.sequence), f"{point.time:%Y-%m-%dT%H:%M:%SZ}", str(point.entries), point.writer))
        for point in points
    ]
    table(columns, rows)
