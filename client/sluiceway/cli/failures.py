"""Where a failed task failed: the step, and the lines of its log around the first error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sluiceway.cli.terminal import clean

if TYPE_CHECKING:
    from sluiceway.api.run.v1 import run_pb2, run_service_pb2
    from sluiceway.client import Client

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_LINES_BEFORE = 2
_LINES_AFTER = 6
_LINES_OF_END = 8


def failed_step(task: run_pb2.Task) -> int | None:
    """Return the index of the last step of a failed task that failed, or None; -1 is the setup."""
    from sluiceway.api.run.v1 import run_pb2

    if task.status != run_pb2.TASK_STATUS_FAILED:
        return None
    failed = [index for index, step in enumerate(task.steps) if step.phase == run_pb2.STEP_PHASE_FAILED]
    if failed:
        return failed[-1]
    return -1 if task.setup_step.phase == run_pb2.STEP_PHASE_FAILED else None


async def failure_lines(client: Client, task: run_pb2.Task) -> list[str]:
    """Return lines that show where a task failed, or none: it did not, or its log is gone."""
    from sluiceway.client import NotFound, SluicewayError

    step = failed_step(task)
    if step is None:
        return []
    try:
        excerpt = await client.runs.find_log_error(task.run_id, task.id, step=max(0, step), setup=step < 0)
    except NotFound:
        return []
    except SluicewayError as error:
        return [f"  its log cannot be read: {error}"]
    return _shown(excerpt, "setup" if step < 0 else f'step "{clean(task.steps[step].name)}"')


def _shown(excerpt: run_service_pb2.LogExcerpt, step: str) -> list[str]:
    if not excerpt.lines:
        return []
    first, lines = excerpt.first_line, list(excerpt.lines)
    if excerpt.error_line:
        at = excerpt.error_line - first
        begin, end = max(0, at - _LINES_BEFORE), at + _LINES_AFTER
        title = f"  {step}, the first error is in line {excerpt.error_line}:"
    else:
        begin, end = max(0, len(lines) - _LINES_OF_END), len(lines)
        title = f"  {step}, the end of its log:"
    width = len(str(first + len(lines)))
    chosen = enumerate(lines[begin:end], first + begin)
    return [title, *(f"  {number:{width}} | {_COLOUR.sub('', line)}".rstrip() for number, line in chosen)]
