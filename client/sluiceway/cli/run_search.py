"""`sluice run search`."""

from __future__ import annotations

import re
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from sluiceway.cli.commands import Format, option, output_option, server_options
from sluiceway.cli.connecting import with_client
from sluiceway.cli.references import RUN_HELP, find_task, run_argument, run_id_of
from sluiceway.cli.terminal import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluiceway.api.run.v1 import run_pb2, run_service_pb2
    from sluiceway.client import Client

_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_NOTHING_FOUND = 1


@click.command(epilog=RUN_HELP)
@run_argument
@click.argument("pattern")
@option("--task", metavar="TASK", help="Only the logs of this task.")
@option("--regexp", "-E", is_flag=True, help="PATTERN is a regular expression (RE2).")
@option("--ignore-case", "-i", is_flag=True, help="Letters match in both cases.")
@option("--context", "-C", type=click.IntRange(0, 20), default=0, metavar="N", help="Lines around each match.")
@option("--limit", type=click.IntRange(1, 10_000), default=1000, help="Stop after so many matches.")
@output_option(Format.TABLE, Format.JSON, Format.YAML, Format.JSONL)
@server_options
def search(
    run: str,
    pattern: str,
    task: str | None,
    regexp: bool,
    ignore_case: bool,
    context: int,
    limit: int,
    output: Format,
    server: str | None,
    token: str | None,
) -> None:
    """Print the lines with PATTERN in the logs of a run: task, step and number of the line before each.

    The latest attempt of each task is searched. Colours are ignored. The exit code is 1 if nothing is found.
    """
    if not pattern:
        raise click.UsageError("PATTERN must not be empty")

    async def conversation(client: Client) -> tuple[int, list[run_service_pb2.LogMatch]]:
        run_id = await run_id_of(client, run)
        tasks = await client.runs.tasks(run_id)
        task_id = find_task(tasks, task).id if task is not None else ""
        printer = _Printer(tasks, context=context)
        count, kept = 0, []
        stream = client.runs.search_logs(
            run_id,
            pattern,
            task_id=task_id,
            regexp=regexp,
            ignore_case=ignore_case,
            context=context,
            max_matches=limit,
        )
        async with aclosing(stream) as messages:
            async for message in messages:
                if message.HasField("end"):
                    printer.flush()
                    _say_end(message.end, limit)
                    continue
                count += 1
                if output.is_for_people:
                    printer.print(message.match)
                else:
                    kept.append(message.match)
        return count, kept

    count, matches = with_client(server, token, conversation)
    if not output.is_for_people:
        from sluiceway.cli.showing import plain, show

        show([plain(each) for each in matches], output)
    if not count:
        sys.exit(_NOTHING_FOUND)


class _Printer:
    """Prints matches as grep does: a line of their context has a dash where the line itself has a colon."""

    def __init__(self, tasks: Sequence[run_pb2.Task], *, context: int) -> None:
        self._steps = {each.id: [step.name for step in each.steps] for each in tasks}
        self._context = context
        # The log, and the number of the last line that was printed.
        self._log = ("", "")
        self._last = 0
        # Lines after the last match. They are printed when the next one is known, which may be among them.
        self._after: list[tuple[int, str]] = []

    def print(self, match: run_service_pb2.LogMatch) -> None:
        """Print what precedes a match, and the match."""
        names = self._steps.get(match.task_id, [])
        step = "setup" if match.setup else names[match.step] if match.step < len(names) else str(match.step)
        log = (match.task_name, step)
        is_same = log == self._log
        self.flush(until=match.line if is_same else None)
        before = list(enumerate(match.before, match.line - len(match.before)))
        if is_same:
            before = [each for each in before if each[0] > self._last]
        first = before[0][0] if before else match.line
        if self._context and self._last and not (is_same and first == self._last + 1):
            print("--")
        self._log = log
        for number, text in before:
            self._put("-", number, text)
        self._put(":", match.line, match.text)
        self._after = list(enumerate(match.after, match.line + 1))
        sys.stdout.flush()

    def flush(self, *, until: int | None = None) -> None:
        """Print the lines after the last match, up to a line."""
        for number, text in self._after:
            if until is None or number < until:
                self._put("-", number, text)
        self._after = []

    def _put(self, mark: str, number: int, text: str) -> None:
        task, step = self._log
        print(f"{clean(task)}/{clean(step)}{mark}{number}{mark} {clean(_SEQUENCE.sub('', text))}")
        self._last = number


def _say_end(end: run_service_pb2.LogSearchEnd, limit: int) -> None:
    for each in end.unread:
        print(f"not searched to its end: {clean(each)}", file=sys.stderr)
    if end.truncated:
        print(f"stopped after {limit} matches; there may be more (--limit)", file=sys.stderr)
