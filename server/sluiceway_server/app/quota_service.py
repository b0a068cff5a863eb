"""The servicer of `QuotaService`. It is here because it counts what several services store."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sluiceway.api.project.v1 import quota_service_pb2 as pb
from sluiceway.api.project.v1 import quota_service_pb2_grpc as pb_grpc
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.rpc.caller import set_response_position
from sluiceway_server.datamanager.model import Action, Delete, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes
from sluiceway_server.projects.pages import requested
from sluiceway_server.projects.quotas import count, nearest_limit, projects_below, quota_of
from sluiceway_server.projects.records import QUOTA
from sluiceway_server.projects.secret_records import SECRET, VARIABLE
from sluiceway_server.projects.tree import Node, NodeType, path_of, require
from sluiceway_server.projects.user_tokens import lasting_tokens
from sluiceway_server.runs.access import PROJECT_SCOPE
from sluiceway_server.runs.run_quota import queued_runs
from sluiceway_server.triggers.records import SCHEDULE

_FIELDS = ("projects", "queued_runs", "secrets", "variables", "schedules", "tokens")
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
            node = require(view, request.node_id)
            own = _shown(quota_of(view, node.id))
            effective = pb.Quota(projects=own.projects, tokens=own.tokens)
            for name in _INHERITED:
                setattr(effective, name, nearest_limit(view, node, name)[0])
            return pb.GetQuotaResponse(quota=own, effective=effective, usage=_usage(view, node, now))

        response = await self._database.read(read, after=requested())
        set_response_position(str(self._database.position))
        return response

    async def SetQuota(self, request: pb.SetQuotaRequest, context: Any) -> pb.SetQuotaResponse:
        wanted = request.quota

        def put(view: View, now: datetime) -> Change[None]:
            node = require(view, request.node_id)
            if wanted.tokens and node.type is not NodeType.USER:
                raise InvalidInput([Violation("quota.tokens", f"a {node.type} has no tokens; set it for a user")])
            made = records.Quota(parent_id=node.id, **{name: getattr(wanted, name) for name in _FIELDS})
            if made == (view.get(QUOTA, node.id) or records.Quota(parent_id=node.id)):
                return Change(None)
            is_set = any(getattr(made, name) for name in _FIELDS)
            action: Action = Put(QUOTA, node.id, made) if is_set else Delete(QUOTA, node.id)
            details = [f"{name}: {getattr(made, name) or 'no limit'}" for name in _FIELDS]
            return Change(None, Subject("quota", node.id, path_of(view, node), details, parent_id=node.id), [action])

        await self._changes.commit("SetQuota", put)
        return pb.SetQuotaResponse(quota=wanted)


def _usage(view: View, node: Node, now: datetime) -> pb.Quota:
    usage = pb.Quota(
        secrets=count(view, SECRET, "parent_id", node.id), variables=count(view, VARIABLE, "parent_id", node.id)
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
