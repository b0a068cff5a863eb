"""The settings of projects for their runs (`ports.ScopeSettings`): a pure read of the stored project."""

from __future__ import annotations

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.placement import Owner
from sluiceway_common.runmodel.queues import QueueSettings
from sluiceway_server.datamanager.model import View
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.projects.tree import NodeType, find, lineage, path_of
from sluiceway_server.runs.access import PROJECT_SCOPE

_OWNERS = frozenset({NodeType.PROJECT, NodeType.USER})


class ProjectSettings:
    """`ScopeSettings` of the projects in the database. Other scopes have no limits."""

    def queue_settings(self, view: View, scope: str) -> QueueSettings:
        """Return the settings of `/project/<id>`; the default if there is no such project, or for another scope."""
        kind, *ids = groups.segments(scope)
        project = view.get(PROJECT, ids[0]) if kind == PROJECT_SCOPE and len(ids) == 1 else None
        if project is None:
            return QueueSettings()
        return QueueSettings(project.concurrency or None, project.cancel_superseded)

    def owner(self, view: View, scope: str) -> Owner:
        """Return the project or user of a scope, and what is above it; its name alone if it is gone."""
        _, *ids = groups.segments(scope)
        node = find(view, ids[0], _OWNERS) if len(ids) == 1 else None
        if node is None:
            return Owner(name=scope)
        try:
            return Owner(frozenset(each.id for each in lineage(view, node)), f"{node.type} {path_of(view, node)}")
        except NotFound:
            return Owner(frozenset({node.id}), f"{node.type} {node.name}")  # its organization is being deleted
