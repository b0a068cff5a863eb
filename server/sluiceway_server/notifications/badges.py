"""The servicer of `BadgeService`: the state of a branch, for everybody who may see it.

A private project looks as if it did not exist, unless the request has the token of its badges. The token shows nothing
else, so it may be in a page that others read.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Any

from sluiceway.api.project.v1 import badge_service_pb2 as api
from sluiceway.api.project.v1 import badge_service_pb2_grpc as api_grpc
from sluiceway.api.run.v1 import run_pb2 as run_api
from sluiceway.records.notification.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import InvalidInput, NotFound
from sluiceway_common.foundation.texts import shown
from sluiceway_common.runmodel import groups
from sluiceway_server.datamanager.model import Action, Delete, Put, Query, View, Where
from sluiceway_server.datamanager.port import Database
from sluiceway_server.notifications.records import BADGE_TOKEN
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes
from sluiceway_server.projects.tree import Node, NodeType, is_private, path_of, require, resolve
from sluiceway_server.runrecords.types import RUN, outcomes, run_of_row

_PROJECTS = frozenset({NodeType.PROJECT})
_SHOWN_PHASES = (run_api.RUN_PHASE_RUNNING, run_api.RUN_PHASE_FINISHED, run_api.RUN_PHASE_SETUP_ERROR)
_MAX_SEGMENTS = 64
_LOOKED_AT = 100
"""Runs of a branch among which one of a name is looked for."""
_TOKEN_BYTES = 24


class BadgeServicer(api_grpc.BadgeServiceServicer):
    """Implements `BadgeService`."""

    def __init__(self, database: Database, *, clock: Clock, ids: IdSource) -> None:
        self._database = database
        self._changes = Changes(database, clock=clock, ids=ids)

    async def GetBadge(self, request: api.GetBadgeRequest, context: Any) -> api.GetBadgeResponse:
        # What this server knows: a badge may be a moment late, and anybody may ask for it.
        return await self._database.read(lambda view: _badge(view, request))

    async def CreateBadgeToken(
        self, request: api.CreateBadgeTokenRequest, context: Any
    ) -> api.CreateBadgeTokenResponse:
        token = secrets.token_urlsafe(_TOKEN_BYTES)

        def create(view: View, now: datetime) -> Change[None]:
            node = require(view, request.project_id, _PROJECTS)
            record = pb.BadgeTokenRecord(project_id=node.id, digest=_digest(token))
            return _change(view, node, Put(BADGE_TOKEN, node.id, record))

        await self._changes.commit("CreateBadgeToken", create)
        return api.CreateBadgeTokenResponse(token=token)

    async def DeleteBadgeToken(
        self, request: api.DeleteBadgeTokenRequest, context: Any
    ) -> api.DeleteBadgeTokenResponse:
        def delete(view: View, now: datetime) -> Change[None]:
            node = require(view, request.project_id, _PROJECTS)
            if view.fields(BADGE_TOKEN, node.id) is None:
                return Change(None)
            return _change(view, node, Delete(BADGE_TOKEN, node.id))

        await self._changes.commit("DeleteBadgeToken", delete)
        return api.DeleteBadgeTokenResponse()


def _change(view: View, node: Node, action: Action) -> Change[None]:
    return Change(None, Subject("project", node.id, path_of(view, node), ["badge token"]), [action])


def _badge(view: View, request: api.GetBadgeRequest) -> api.GetBadgeResponse:
    found = _split(view, request.path)
    if found is None:
        raise _no_badge(request.path)
    project, branch = found
    is_public = not is_private(view, project)
    if not is_public and not _opens(view, project.id, request.token):
        raise _no_badge(request.path)
    run = _newest(view, project.id, branch, request.run_name)
    if run is None:
        return api.GetBadgeResponse(is_public=is_public)
    return api.GetBadgeResponse(phase=run.phase, result=run.result, is_public=is_public)


def _split(view: View, path: str) -> tuple[Node, str] | None:
    """Return the project that a path begins with, and the branch that follows. Nothing is below a project."""
    segments = path.split("/")[:_MAX_SEGMENTS]
    for count in range(1, len(segments)):
        try:
            node = resolve(view, "/".join(segments[:count]), _PROJECTS)
        except NotFound:
            return None  # it is being deleted
        if node is not None:
            return node, "/".join(path.split("/")[count:])
    return None


def _opens(view: View, project_id: str, token: str) -> bool:
    record = view.get(BADGE_TOKEN, project_id)
    return record is not None and hmac.compare_digest(record.digest, _digest(token))


def _newest(view: View, project_id: str, branch: str, run_name: str) -> run_api.Run | None:
    try:
        group = groups.canonical(groups.join("project", project_id, "branch", branch))
    except InvalidInput:
        return None
    where: Where = {"group": group, "outcome": outcomes(phases=_SHOWN_PHASES)}
    page = view.rows(RUN, Query(where=where, order=("-created",), size=_LOOKED_AT if run_name else 1))
    runs = (run_of_row(run_id, fields) for run_id, fields in page.records)
    return next((run for run in runs if run_name in {"", run.name}), None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _no_badge(path: str) -> NotFound:
    name = shown(path, most=200)
    return NotFound(f"there is no badge {name!r}", resource_type="badge", resource_name=name)
