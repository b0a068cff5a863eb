"""How commands show things: tables for people, JSON and names for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sluiceway.cli.commands import Format
from sluiceway.cli.terminal import clean, paint, says_colour, width

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from sluiceway.api.run.v1 import run_pb2

__all__ = ["duration", "phase_name", "result_name", "show_messages", "status_name", "table"]


def show_messages(messages: Sequence[Message], format_: Format, *, single: bool = False) -> None:
    """Print messages for programs: JSON in protobuf's mapping, or their ids, one a line."""
    if format_ is Format.NAME:
        for message in messages:
            print(clean(getattr(message, "id", "") or getattr(message, "name", "")))
        return
    from google.protobuf import json_format

    plain = [json_format.MessageToDict(message) for message in messages]
    print(_without_controls(json.dumps(plain[0] if single else plain, indent=2, ensure_ascii=False)))


def _without_controls(text: str) -> str:
    # JSON itself escapes the controls of ASCII only; a terminal obeys others as well.
    return re.sub(r"[^\n -~]", lambda found: _escaped(found.group()), text)


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with aligned columns and no frame, statuses in colour at a terminal."""
    colour = says_colour(sys.stdout)
    everything = [tuple(columns), *(tuple(clean(cell) for cell in row) for row in rows)]
    widths = [max(width(row[i]) for row in everything) for i in range(len(columns))]
    painted = {i for i, column in enumerate(columns) if column in {"STATUS", "PHASE", "RESULT"}}
    for number, row in enumerate(everything):
        last = max((i for i, cell in enumerate(row) if cell), default=-1)
        cells = []
        for i, cell in enumerate(row[: last + 1]):
            shown = paint(cell, cell, colour=colour) if i in painted and number else cell
            cells.append(shown + " " * (0 if i == last else widths[i] - width(cell)))
        print("  ".join(cells))


def phase_name(phase: run_pb2.RunPhase) -> str:
    """Say a phase as people do."""
    from sluiceway.api.run.v1 import run_pb2

    return _lower(run_pb2.RunPhase.Name(phase), "RUN_PHASE_")


def result_name(result: run_pb2.RunResult) -> str:
    """Say a result as people do; empty while there is none."""
    from sluiceway.api.run.v1 import run_pb2

    return "" if result == run_pb2.RUN_RESULT_UNSPECIFIED else _lower(run_pb2.RunResult.Name(result), "RUN_RESULT_")


def status_name(status: run_pb2.TaskStatus) -> str:
    """Say a status as people do."""
    from sluiceway.api.run.v1 import run_pb2

    return _lower(run_pb2.TaskStatus.Name(status), "TASK_STATUS_")


def _lower(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")


def duration(start: Timestamp, end: Timestamp, *, running: bool = False, now: datetime | None = None) -> str:
    """Say how long something took, or takes up to now; empty when it never began."""
    if not start.seconds:
        return ""
    if end.seconds:
        until = end.ToDatetime(tzinfo=UTC)
    elif running:
        until = now or datetime.now(UTC)
    else:
        return ""
    seconds = max(0.0, (until - start.ToDatetime(tzinfo=UTC)).total_seconds())
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
