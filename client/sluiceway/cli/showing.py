"""How commands show things: tables for people, JSON and names for programs, colours only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from google.protobuf import json_format

from sluiceway.api.run.v1 import run_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.console import Console

__all__ = ["Format", "console", "duration", "phase_name", "result_name", "show_messages", "status_name", "table"]


class Format(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    JSON = "json"
    NAME = "name"


def console() -> Console:
    """Make a console on stdout: colours only on a terminal, never cut lines for programs."""
    from rich.console import Console

    return Console(soft_wrap=not sys.stdout.isatty(), highlight=False)


def show_messages(messages: Sequence[Message], format_: Format, *, single: bool = False) -> None:
    """Print messages for programs: JSON in protobuf's mapping, or their ids, one a line."""
    if format_ is Format.NAME:
        for message in messages:
            print(getattr(message, "id", "") or getattr(message, "name", ""))
        return
    plain = [json_format.MessageToDict(message) for message in messages]
    print(json.dumps(plain[0] if single else plain, indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with aligned columns and no frame; text of users never becomes markup."""
    everything = [tuple(columns), *(tuple(_one_line(cell) for cell in row) for row in rows)]
    widths = [max(len(row[i]) for row in everything) for i in range(len(columns))]
    for row in everything:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.replace("\n", " "))


def phase_name(phase: run_pb2.RunPhase) -> str:
    """Say a phase as people do."""
    return _lower(run_pb2.RunPhase.Name(phase), "RUN_PHASE_")


def result_name(result: run_pb2.RunResult) -> str:
    """Say a result as people do; empty while there is none."""
    return "" if result == run_pb2.RUN_RESULT_UNSPECIFIED else _lower(run_pb2.RunResult.Name(result), "RUN_RESULT_")


def status_name(status: run_pb2.TaskStatus) -> str:
    """Say a status as people do."""
    return _lower(run_pb2.TaskStatus.Name(status), "TASK_STATUS_")


def _lower(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")


def duration(start: Timestamp, end: Timestamp, *, running: bool = False) -> str:
    """Say how long something took, or takes up to now; empty when it never began."""
    if not start.seconds:
        return ""
    if end.seconds:
        until = end.ToDatetime(tzinfo=UTC)
    elif running:
        until = datetime.now(UTC)
    else:
        return ""
    seconds = max(0.0, (until - start.ToDatetime(tzinfo=UTC)).total_seconds())
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
