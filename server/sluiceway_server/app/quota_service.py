"""The servicer of `QuotaService`. It is here because it counts what several services store."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sluiceway.api.project.v1 import quota_service_pb2 as pb
from sluiceway.api.project.v1 import quota_service_pb2_grpc as pb_grpc
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway.records.run.v1.records_pb2 import PlacementNotice
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.rpc.caller import set_response_position
from sluiceway_server.datamanager.model import Action, Delete, Emit, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes
from sluiceway_server.projects.pages import requested
from sluiceway_server.projects.quotas import (
    INSTALLATION,
    MAX_QUOTA,
    count,
    nearest_limit,
    own_limit,
    projects_below,
    quota_of,
)
from sluiceway_server.projects.records import QUOTA
from sluiceway_server.projects.secret_records import SECRET, VARIABLE
from sluiceway_server.projects.tree import Node, NodeType, path_of, require
from sluiceway_server.projects.user_tokens import lasting_tokens
from sluiceway_server.runrecords.types import TOPIC_PLACEMENT
from sluiceway_server.runs.access import PROJECT_SCOPE
from sluiceway_server.runs.run_quota import queued_runs
from sluiceway_server.runs.task_quotas import RunningTasks
from sluiceway_server.runs.transaction import KIND_PLACEMENT
from sluiceway_server.triggers.records import SCHEDULE

_FIELDS = ("projects", "running_tasks", "queued_runs", "secrets", "variables", "schedules", "tokens")
_OWN = ("projects", "running_tasks", "tokens")
_INHERITED = ("queued_runs", "secrets", "variables", "schedules")


class QuotaServicer(pb_grpc.QuotaServiceServicer):
    """Implements `QuotaService`."""

    def __init__(self, database: Database, *, clock: Clock, ids: IdSource) -> None:
        """Offer quotas; `clock` and `ids` are for audit records."""
        self._database = database
        self._clock = clock
        self._changes = Changes(database, clock=clock, ids=ids)

    async def GetQuota(self, request: pb.GetQuotaRequest, context: Any) -> pb.GetQuotaResponse:
        now = self._clock.now()

        def read(view: View) -> pb.GetQuotaResponse:
            if request.node_id == INSTALLATION:
                quota = _shown(quota_of(view, INSTALLATION))
                return pb.GetQuotaResponse(quota=quota, effective=quota)
            node = require(view, request.node_id)
            own = _shown(quota_of(view, node.id))
            effective = pb.Quota(**{name: own_limit(view, node, name) for name in _OWN})
            if node.type is not NodeType.USER:
                effective.tokens = 0
            for name in _INHERITED:
                setattr(effective, name, nearest_limit(view, node, name)[0])
            return pb.GetQuotaResponse(quota=own, effective=effective, usage=_usage(view, node, now))

        response = await self._database.read(read, after=requested())
        set_response_position(str(self._database.position))
        return response

    async def SetQuota(self, request: pb.SetQuotaRequest, context: Any) -> pb.SetQuotaResponse:
        wanted = request.quota

        def put(view: View, now: datetime) -> Change[None]:
            node = None if request.node_id == INSTALLATION else require(view, request.node_id)
            if wanted.tokens and node is not None and node.type is not NodeType.USER:
                raise InvalidInput([Violation("quota.tokens", f"a {node.type} has no tokens; set it for a user")])
            id_, parent_id = (INSTALLATION, "") if node is None else (node.id, node.id)
            made = records.Quota(parent_id=parent_id, **{name: getattr(wanted, name) for name in _FIELDS})
            if made == (view.get(QUOTA, id_) or records.Quota(parent_id=parent_id)):
                return Change(None)
            is_set = any(getattr(made, name) for name in _FIELDS)
            action: Action = Put(QUOTA, id_, made) if is_set else Delete(QUOTA, id_)
            details = [f"{name}: {getattr(made, name) or 'no limit'}" for name in _FIELDS]
            path = INSTALLATION if node is None else path_of(view, node)
            # Tasks that wait for the quota may run now.
            notice = Emit(KIND_PLACEMENT, (TOPIC_PLACEMENT,), PlacementNotice().SerializeToString())
            return Change(None, Subject("quota", id_, path, details, parent_id=parent_id), [action, notice])

        await self._changes.commit("SetQuota", put)
        return pb.SetQuotaResponse(quota=wanted)


def _usage(view: View, node: Node, now: datetime) -> pb.Quota:
    usage = pb.Quota(
        running_tasks=min(MAX_QUOTA, RunningTasks(view).used(node.id)),
        secrets=count(view, SECRET, "parent_id", node.id),
        variables=count(view, VARIABLE, "parent_id", node.id),
    )
    if node.type is NodeType.PROJECT:
        usage.queued_runs = queued_runs(view, f"/{PROJECT_SCOPE}/{node.id}")
        usage.schedules = count(view, SCHEDULE, "project_id", node.id)
    else:
        usage.projects = projects_below(view, node.id)
    if node.type is NodeType.USER:
        usage.tokens = lasting_tokens(view, node.id, now)
    return usage


def _shown(stored: records.Quota) -> pb.Quota:
    return pb.Quota(**{name: getattr(stored, name) for name in _FIELDS})
