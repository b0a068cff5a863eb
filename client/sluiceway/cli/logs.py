"""Which logs a task has, and how they are copied to standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sluiceway.api.run.v1 import run_pb2, run_service_pb2
from sluiceway.cli.log_text import LogOutput
from sluiceway.cli.terminal import clean
from sluiceway.cli.units import size_text
from sluiceway.cli.words import STEPS_THAT_ENDED
from sluiceway_common.foundation.errors import DataLoss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluiceway.client import Client


@dataclass(frozen=True, slots=True)
class LogPart:
    """Which part of a log is copied; by default all of it. Only one place to begin at may be set.

    Attributes:
        offset: the first byte.
        first_line: the first line, counted from 1; 0: not by lines.
        tail_lines: how many lines before the present end; 0: not from the end.
        since: when the first line was written, or later; None: not by time.
        max_lines: how many lines at most; 0: all.
        follow: wait for more until the step is over.
        timestamps: ask for the time of each line.
    """

    offset: int = 0
    first_line: int = 0
    tail_lines: int = 0
    since: datetime | None = None
    max_lines: int = 0
    follow: bool = False
    timestamps: bool = False

    @property
    def is_of_lines(self) -> bool:
        """Whether it is chosen by lines or by time."""
        return bool(self.first_line or self.tail_lines or self.max_lines or self.since is not None)


@dataclass(frozen=True, slots=True)
class StepLog:
    """The log of one step of one attempt.

    Attributes:
        title: what people call the step.
        number: of the step, from 0; None: the preparation of the pod.
        size: in bytes; None: not known, since the step is not over or is of a later attempt.
        begun: whether the step began.
    """

    title: str
    number: int | None
    size: int | None
    begun: bool


def logs_of(task: run_pb2.Task, attempt: int = 0) -> Sequence[StepLog]:
    """List the logs of an attempt of a task, the preparation of the pod first.

    Args:
        task: as it stands; with its attempts if one of them is asked for.
        attempt: from 1; 0: the latest.
    """
    setup, steps = task.setup_step, task.steps
    known = attempt in {0, task.attempt}
    for each in task.attempts:
        if each.attempt == attempt:
            setup, steps, known = each.setup_step, each.steps, True
    return (_log("setup", None, setup, known=known), *(_log(s.name, n, s, known=known) for n, s in enumerate(steps)))


def _log(title: str, number: int | None, step: run_pb2.Step, *, known: bool) -> StepLog:
    size = step.log_size_bytes if known and step.phase in STEPS_THAT_ENDED else None
    idle = {run_pb2.STEP_PHASE_UNSPECIFIED, run_pb2.STEP_PHASE_NOT_STARTED, run_pb2.STEP_PHASE_SKIPPED}
    return StepLog(title, number, size, begun=not known or step.phase not in idle)


def is_raw() -> bool:
    """Return whether standard output takes the bytes of a log as they are: it is no terminal."""
    return not sys.stdout.isatty()


_ALL = LogPart()


async def copy_log(
    client: Client,
    task: run_pb2.Task,
    log: StepLog,
    output: LogOutput,
    *,
    attempt: int = 0,
    part: LogPart = _ALL,
    say: Callable[[str], None],
) -> None:
    """Copy a log to its end, and say if there is nothing to see, or not all.

    Args:
        client: of the server.
        task: whose log it is.
        log: the log.
        output: where it goes.
        attempt: from 1; 0: the latest.
        part: which part of it.
        say: prints a remark.
    """
    request = run_service_pb2.ReadLogsRequest(
        run_id=task.run_id,
        task_id=task.id,
        step=log.number or 0,
        setup=log.number is None,
        attempt=attempt,
        offset=part.offset,
        follow=part.follow,
        first_line=part.first_line,
        tail_lines=part.tail_lines,
        max_lines=part.max_lines,
        timestamps=part.timestamps,
    )
    if part.since is not None:
        request.since.FromDatetime(part.since)
    messages = client.runs.log_messages(request)
    count = part.offset
    try:
        async with aclosing(messages):
            async for message in messages:
                count += len(message.data)
                output.write(message.data, message.time.ToDatetime(UTC) if message.HasField("time") else None)
    except DataLoss as error:
        say(f"(the log is not here: {clean(error.message)})")
        return
    finally:
        output.finish()
    if part.is_of_lines:
        return
    if log.size is not None and count < log.size:
        # An import brings the records of runs, and not their logs.
        lost = "the log is not here" if not count else f"the log is not here after its first {size_text(count)}"
        say(f"({lost}: the step wrote {size_text(log.size)})")
    elif not count and not part.follow:
        say("(no output)")


async def print_logs(client: Client, task: run_pb2.Task, prefix: str) -> None:
    """Follow the logs of a task's latest attempt to their ends; each line begins with a prefix."""
    for log in logs_of(task):
        output = LogOutput(sys.stdout, raw=is_raw(), prefix=prefix)
        await copy_log(
            client,
            task,
            log,
            output,
            attempt=task.attempt,
            part=LogPart(follow=True),
            say=lambda text: print(prefix + text),
        )
