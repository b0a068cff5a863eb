"""The quota of queued runs of a project: checked in the transaction that creates a run."""

from __future__ import annotations

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.model import Run, RunPhase
from sluiceway_server.datamanager.model import Query, View
from sluiceway_server.projects.quotas import MAX_QUOTA, check_number, nearest_limit
from sluiceway_server.projects.tree import NodeType, find
from sluiceway_server.runrecords.types import RUN, active_in

_NAME = "queued_runs"


def check_run_quota(view: View, run: Run) -> None:
    """Check that a project may have one more queued run.

    Raises:
        Exhausted: `QUOTA_EXCEEDED`.
    """
    if run.phase is not RunPhase.QUEUED:
        return
    project = find(view, groups.project_of(run.group), {NodeType.PROJECT})
    if project is None:
        return
    limit, set_at = nearest_limit(view, project, _NAME)
    if limit:
        check_number(project, _NAME, limit, set_at, queued_runs(view, run.scope, limit=limit))


def queued_runs(view: View, scope: str, *, limit: int = MAX_QUOTA) -> int:
    """Count the queued runs of a scope, up to a limit."""
    query = Query(where=active_in(scope, api.RUN_PHASE_QUEUED), order=("created",), size=limit)
    return len(view.rows(RUN, query).records)
