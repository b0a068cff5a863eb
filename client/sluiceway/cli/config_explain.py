"""`sluice config explain`: which runs and tasks an event would start, and why not the others. Offline."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from sluiceway.cli.commands import EnumChoice, option
from sluiceway.cli.config import CheckFormat, Source, load_configuration, print_problems, source_options
from sluiceway.cli.terminal import clean
from sluiceway_common.runconfig.runs import Explained, context_of_run, explain_when, missing_inputs, shown_ref

if TYPE_CHECKING:
    from collections.abc import Collection

    from sluiceway_common.runconfig.model import Config
    from sluiceway_common.runconfig.when import Context


@dataclass(frozen=True, slots=True)
class _Task:
    name: str
    found: Explained


@dataclass(frozen=True, slots=True)
class _Run:
    name: str
    found: Explained
    tasks: tuple[_Task, ...]


@click.command()
@source_options
@option(
    "--changed", "-c", multiple=True, metavar="PATH", help="A file that has changed. Default: it is not known which."
)
@option("--output", "-o", type=EnumChoice(CheckFormat), default=CheckFormat.TEXT.value, help="Output format.")
def explain(source: Source, changed: tuple[str, ...], output: CheckFormat) -> int:
    """Explain which runs and tasks a branch, tag or pull request would start.

    Such as `sluice config explain --branch main`, or `--tag v1.2.3`, or `--pull-request-id 7`; without any, the branch
    that is checked out. The exit code is 1 if the configuration has errors.
    """
    loaded, context = load_configuration(source)
    print_problems(loaded, sys.stderr)
    if loaded.config is None:
        return 1
    runs = _explained(loaded.config, context, changed or None)
    if output is CheckFormat.JSON:
        print(json.dumps({"ref": shown_ref(context), "runs": [_as_json(run) for run in runs]}, indent=2))
        return 0
    print(f"{loaded.source_path}, for {clean(shown_ref(context))}")
    for run in runs:
        print(
            f"run {clean(run.name)}: {'starts' if run.found.applies else 'does not start'}; {clean(run.found.sentence)}"
        )
        for task in run.tasks if run.found.applies else ():
            # A task without a `when` needs no explanation.
            why = "" if task.found.applies else f" is skipped; {clean(task.found.sentence)}"
            print(f"  task {clean(task.name)}{why}")
    return 0


def _explained(config: Config, context: Context, changed: Collection[str] | None) -> list[_Run]:
    explained = []
    for run in config.runs:
        own = context_of_run(run, context)
        found = explain_when(run.when, own, changed)
        missing = missing_inputs(run, context.inputs)
        if found.applies and missing:
            found = Explained(False, missing)
        tasks = tuple(_Task(task.name, explain_when(task.when, own, changed)) for task in run.tasks)
        explained.append(_Run(run.name, found, tasks))
    return explained


def _as_json(run: _Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "starts": run.found.applies,
        "why": run.found.sentence,
        "tasks": [
            {"name": task.name, "skipped": not task.found.applies, "why": task.found.sentence} for task in run.tasks
        ],
    }
