"""The rules of the retention: what is deleted when. Pure.

Ages are measured against a time of their own, which is stored: it follows the clock of the server that sweeps, but when
that is ahead, only six times as fast as time passes. So a server that starts with a wrong clock does not delete all
that there is; and after a time without servers the retention catches up.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_server.projects.retention import Kept
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.types import TERMINAL_PHASES

_CATCH_UP = 6
_UUID_VERSION = 7
_SHORTEST_INTERVAL = timedelta(seconds=1)
_SWEEPS = 10


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long things are kept.

    Attributes:
        logs: of a run, after its end; None: forever.
        runs: a run with all that belongs to it, after its end; None: forever.
        workspaces: files that tasks saved for each other, after the end of the run.
        artifacts: files that tasks saved for people, after the end of the run.
        caches: after they were last used.
        orphans: logs and archives of a run that is not there, and configurations that no run has. Longer than the
            creation of a run takes.
        interval: between two sweeps.
        first: from the start of a server to its first sweep.
        at_once: as many runs are looked at between two pauses.
    """

    logs: timedelta | None = timedelta(days=30)
    runs: timedelta | None = None
    workspaces: timedelta = timedelta(days=7)
    artifacts: timedelta = timedelta(days=30)
    caches: timedelta = timedelta(days=7)
    orphans: timedelta = timedelta(days=1)
    interval: timedelta = timedelta(hours=1)
    first: timedelta = timedelta(minutes=5)
    at_once: int = 100

    @property
    def kept(self) -> Kept:
        """How long things of a project are kept that says nothing itself."""
        return Kept(logs=self.logs, artifacts=self.artifacts, caches=self.caches, runs=self.runs)


def settings_for(*, logs: timedelta | None, runs: timedelta | None) -> RetentionSettings:
    """Return settings that sweep often enough for these spans: after a tenth of the shorter one, at most an hour."""
    usual = RetentionSettings()
    tenths = [max(_SHORTEST_INTERVAL, span / _SWEEPS) for span in (logs, runs) if span is not None]
    interval = min([usual.interval, *tenths])
    return RetentionSettings(logs=logs, runs=runs, interval=interval, first=min(usual.first, interval))


def next_time(stored: datetime | None, now: datetime, passed: timedelta) -> datetime:
    """Find the time that ages are measured by.

    Args:
        stored: that of the sweep before; None: this is the first one of the database.
        now: the wall clock of this server.
        passed: since the sweep before, by a clock that nobody sets.
    """
    return now if stored is None else min(now, stored + _CATCH_UP * passed)


def created_by_id(id_: str) -> datetime | None:
    """Read the time in a UUIDv7; None: it is none."""
    try:
        parsed = uuid.UUID(id_)
    except ValueError:
        return None
    if parsed.version != _UUID_VERSION or str(parsed) != id_:
        return None
    return datetime.fromtimestamp((parsed.int >> 80) / 1000, UTC)


def ended(run: api.Run) -> datetime | None:
    """Return when a run ended; None: it has not."""
    if run.phase not in TERMINAL_PHASES:
        return None
    return codec.read_time(run.end_time if run.HasField("end_time") else run.create_time)


def is_due(run: api.Run, kept_for: timedelta | None, time: datetime) -> bool:
    """Return whether what is kept for so long after the end of a run goes now."""
    end = ended(run)
    return kept_for is not None and end is not None and end + kept_for <= time
