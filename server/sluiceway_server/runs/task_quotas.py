"""The quotas of running tasks: how many tasks of all projects at and below a node may run. Pure, over one view.

A quota of each ancestor counts, as that of projects does. What runs is counted in the index of live assignments, once
for a placement, and only if a quota counts for one of its candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.placement import TaskQuota
from sluiceway_server.datamanager.model import Query, View
from sluiceway_server.projects.quotas import own_limit
from sluiceway_server.projects.tree import Node, NodeType, find, lineage
from sluiceway_server.runrecords.types import ASSIGNMENT

_NAME = "running_tasks"
_PAGE = 1000
_TYPES = {"project": NodeType.PROJECT, "user": NodeType.USER}


class RunningTasks:
    """What runs, by node, and the quotas of that."""

    def __init__(self, view: View, changes: Mapping[str, int] | None = None) -> None:
        """Count in a view; `changes`: how many more run by now, by scope."""
        self._view = view
        self._changes = changes or {}
        self._nodes: dict[str, tuple[Node, ...]] = {}
        self._used: Counter[str] | None = None

    def quotas_of(self, scopes: Iterable[str]) -> dict[str, tuple[TaskQuota, ...]]:
        """Return the quotas that count for the runs of scopes; scopes without one are left out."""
        found = {}
        for scope in scopes:
            limits = [(node, own_limit(self._view, node, _NAME)) for node in self._lineage(scope)]
            quotas = [
                TaskQuota(node.id, f"{node.type} {node.name}", limit, self.used(node.id))
                for node, limit in limits
                if limit
            ]
            if quotas:
                found[scope] = tuple(quotas)
        return found

    def used(self, node_id: str) -> int:
        """Count the running tasks of the projects at and below a node, and of a user's own runs."""
        if self._used is None:
            self._used = Counter()
            for scope, number in self._by_scope().items():
                for node in self._lineage(scope):
                    self._used[node.id] += number
        return max(0, self._used[node_id])

    def _by_scope(self) -> Counter[str]:
        found: Counter[str] = Counter(self._changes)
        token = ""
        while True:
            page = self._view.rows(ASSIGNMENT, Query(where={"live": 1}, size=_PAGE, token=token))
            found.update(str(fields["scope"]) for _, fields in page.records)
            token = page.next_token
            if not token:
                return found

    def _lineage(self, scope: str) -> tuple[Node, ...]:
        known = self._nodes.get(scope)
        if known is None:
            known = self._nodes[scope] = self._read_lineage(scope)
        return known

    def _read_lineage(self, scope: str) -> tuple[Node, ...]:
        kind, *ids = groups.segments(scope)
        if kind not in _TYPES or len(ids) != 1:
            return ()
        try:
            node = find(self._view, ids[0], {_TYPES[kind]})
            return () if node is None else lineage(self._view, node)
        except NotFound:
            # A group above it is being deleted.
            return ()
