"""`sluice run tests`: the tests that the tasks of a run have reported, those that failed first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import ALL_FORMATS, Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, run_argument, run_id_of
from sluiceway.cli.terminal import clean, clean_lines, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluiceway.api.run.v1 import test_report_pb2 as pb
    from sluiceway.client import Client

_LINES_OF_OUTPUT = 20
_FORMATS = tuple(each for each in ALL_FORMATS if each not in {Format.WIDE, Format.NAME})


@click.command(epilog=RUN_HELP)
@run_argument
@option("--failed", is_flag=True, help="Only tests that failed or ended with an error, with their output.")
@option("--limit", type=click.IntRange(1, 50_000), default=1000, show_default=True, help="The most tests to list.")
@output_option(*_FORMATS)
@server_options
def tests(run: str, failed: bool, limit: int, output: Format, server: str | None, token: str | None) -> None:
    """List the tests that the tasks of a run have reported with `save_reports`, those that failed first."""

    async def conversation(client: Client) -> tuple[Sequence[pb.TestCase], pb.TestCounts]:
        return await client.runs.tests(await run_id_of(client, run), failed=failed, limit=limit)

    found, counts = with_client(server, token, conversation)
    if not output.is_for_people:
        from sluiceway.cli.showing import plain, show

        show([plain(each) for each in found], output)
        return
    if failed:
        _print_failures(found)
    else:
        _print_table(found)
    say(f"{counts.total} tests: {counts.failed} failed, {counts.skipped} skipped")


def _print_table(found: Sequence[pb.TestCase]) -> None:
    from sluiceway.cli.showing import Column, Row, table

    columns = (Column("RESULT"), Column("TIME"), Column("TEST", 20), Column("TASK", 10))
    rows = [Row((_result(each), _time(each), _name(each), each.task_name), note=clean(each.message)) for each in found]
    if rows:
        table(columns, rows)


def _print_failures(found: Sequence[pb.TestCase]) -> None:
    for each in found:
        say(f"{_result(each)}: {_name(each)} ({_time(each)}, task {each.task_name})")
        if each.message:
            say(f"  {each.message}")
        for line in each.output.splitlines()[-_LINES_OF_OUTPUT:]:
            print(f"  | {clean_lines(line)}".rstrip())


def _result(case: pb.TestCase) -> str:
    from sluiceway.api.run.v1 import test_report_pb2 as pb

    return pb.TestResult.Name(case.result).removeprefix("TEST_RESULT_").lower()


def _name(case: pb.TestCase) -> str:
    return clean(f"{case.class_name or case.suite}.{case.name}".strip("."))


def _time(case: pb.TestCase) -> str:
    return f"{case.duration.ToTimedelta().total_seconds():.2f}s"
