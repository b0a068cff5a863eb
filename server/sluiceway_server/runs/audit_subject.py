"""What audit records say of a run. Pure."""

from __future__ import annotations

from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.model import Run
from sluiceway_server.projects.auditing import Subject


def audit_subject(run: Run, *details: str) -> Subject:
    """Return the subject of a change of a run, which belongs to the project or user of its group."""
    parts = groups.segments(groups.scope_of(run.group))
    parent_id = parts[1] if len(parts) == 2 else ""
    return Subject("run", run.id, f"{run.group}#{run.number}" if run.number else run.group, details, parent_id)
