"""How long what belongs to the runs of a project is kept: its own settings, within those of the installation. Pure.

A project may shorten what the installation says. What keeps something longer is set by operators; the record names
these fields, so that a shorter default of the installation counts for all others at once (decision 0500).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from sluiceway.api.project.v1 import project_service_pb2 as api
from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import PermissionDenied, Violation
from sluiceway_common.runmodel.wording import duration

__all__ = ["RETENTION_FIELDS", "Kept", "kept_by", "put_retention", "retention_faults", "shown_retention"]

RETENTION_FIELDS = ("logs", "artifacts", "caches", "runs")
_SHORTEST = 1_000_000_000
_LONGEST = 36_500 * 86_400 * _SHORTEST


@dataclass(frozen=True, slots=True)
class Kept:
    """How long things are kept; None: for ever.

    Attributes:
        logs: after the end of their run.
        artifacts: workspaces, artifacts and test reports, after the end of their run.
        caches: after they were last used.
        runs: with all that belongs to them, after their end.
    """

    logs: timedelta | None = timedelta(days=30)
    artifacts: timedelta | None = timedelta(days=30)
    caches: timedelta | None = timedelta(days=7)
    runs: timedelta | None = None


def kept_by(project: pb.Project | None, installation: Kept) -> Kept:
    """Return how long things of a project are kept; None: of what is in no project."""
    if project is None or not project.HasField("retention"):
        return installation
    found: dict[str, timedelta | None] = {}
    for name in RETENTION_FIELDS:
        if project.retention.HasField(name):
            wanted, default = _span(project.retention, name), getattr(installation, name)
            if name in project.lengthened_retention or not _is_longer(wanted, default):
                found[name] = wanted
    return replace(installation, **found)


def retention_faults(retention: api.Retention) -> Iterator[Violation]:
    """Yield what is wrong with the values of a request."""
    for name in RETENTION_FIELDS:
        nanoseconds = getattr(retention, name).ToNanoseconds()
        if nanoseconds and not _SHORTEST <= nanoseconds <= _LONGEST:
            yield Violation(f"project.retention.{name}", "must be from 1 s to 36,500 days, or 0 s: for ever")


def put_retention(project: pb.Project, wanted: api.Retention, installation: Kept, *, is_operator: bool) -> None:
    """Store the retention of a project in its record.

    Raises:
        PermissionDenied: `RETENTION_LONGER`: a field would keep something longer than the installation does, and the
            caller is no operator. A longer value that an operator has set may be sent back unchanged.
    """
    longer = [
        name
        for name in RETENTION_FIELDS
        if wanted.HasField(name) and _is_longer(_span(wanted, name), getattr(installation, name))
    ]
    for name in longer:
        is_kept = name in project.lengthened_retention and getattr(project.retention, name) == getattr(wanted, name)
        if not is_operator and not is_kept:
            default = getattr(installation, name)
            raise PermissionDenied(
                f"this installation keeps {name} for {duration(default)}; only an operator may keep them longer",
                reason="RETENTION_LONGER",
                metadata={"field": name, "installation": duration(default)},
            )
    project.ClearField("retention")
    if any(wanted.HasField(name) for name in RETENTION_FIELDS):
        project.retention.CopyFrom(wanted)
    project.lengthened_retention[:] = longer


def shown_retention(kept: Kept) -> api.Retention:
    """Return how long things are kept as clients see it: 0 s is for ever."""
    shown = api.Retention()
    for name in RETENTION_FIELDS:
        getattr(shown, name).FromTimedelta(getattr(kept, name) or timedelta())
    return shown


def _span(retention: api.Retention, name: str) -> timedelta | None:
    value: timedelta = getattr(retention, name).ToTimedelta()
    return value or None


def _is_longer(wanted: timedelta | None, default: timedelta | None) -> bool:
    return default is not None and (wanted is None or wanted > default)
