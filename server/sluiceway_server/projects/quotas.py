"""Quotas: what the nodes of the tree may have. Pure reads of a `View`, called in the transaction that adds something.

The numbers of `projects` and of `running_tasks` count for all below a node, so the quota of each ancestor is checked.
All other limits are of one node at a time, and the nearest quota that sets one counts. What neither a user or an
organization nor anything below it sets is as the quota of the installation says. Nothing is counted in
records of its own: each count reads an index up to the limit, which is 1,000 at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import Exhausted
from sluiceway_server.datamanager.model import Query, RecordType, View
from sluiceway_server.projects.records import PROJECT, PROJECT_GROUP, QUOTA
from sluiceway_server.projects.tree import ROOTS, Node, lineage

MAX_QUOTA = 1000
INSTALLATION = "installation"
"""The id of the quota that counts for each user and organization which sets no other. No node has this id."""


def quota_of(view: View, node_id: str) -> pb.Quota:
    """Return the quota that is set for a node itself; a field that is 0 limits nothing."""
    return view.get(QUOTA, node_id) or pb.Quota()


def own_limit(view: View, node: Node, name: str) -> int:
    """Return the limit of a field that a node has itself: of a root, that of the installation if it sets none."""
    limit: int = getattr(quota_of(view, node.id), name)
    return limit or (getattr(quota_of(view, INSTALLATION), name) if node.type in ROOTS else 0)


def nearest_limit(view: View, node: Node, name: str) -> tuple[int, Node]:
    """Return the limit of a field for one node, and the node whose quota sets it; 0: there is none."""
    for each in lineage(view, node):
        limit = own_limit(view, each, name)
        if limit:
            return limit, each
    return 0, node


def check_projects(view: View, parent: Node, *, moved: Node | None = None) -> None:
    """Check that a project or project group may be created below a parent, or moved there with all below it.

    Raises:
        Exhausted: `QUOTA_EXCEEDED`.
    """
    before = {each.id for each in lineage(view, moved)} if moved is not None else set()
    for each in lineage(view, parent):
        limit = own_limit(view, each, "projects")
        if not limit or each.id in before:
            continue
        added = 1 if moved is None else 1 + projects_below(view, moved.id, limit=limit)
        if projects_below(view, each.id, limit=limit) + added > limit:
            raise _exceeded(each, "projects", limit, f"{limit} projects and project groups at most", each)


def check_one_more(view: View, node: Node, name: str, type_: RecordType[Any], column: str = "parent_id") -> None:
    """Check that a node may have one more record of a type.

    Args:
        view: the database.
        node: whose record it is.
        name: of the field of the quota.
        type_: of the record.
        column: has the id of the node, in an index.

    Raises:
        Exhausted: `QUOTA_EXCEEDED`.
    """
    limit, set_at = nearest_limit(view, node, name)
    if limit and count(view, type_, column, node.id, limit=limit) >= limit:
        raise _exceeded(node, name, limit, f"{limit} {name.replace('_', ' ')} at most", set_at)


def check_number(node: Node, name: str, limit: int, set_at: Node, number: int) -> None:
    """Check that a number is below a limit.

    Raises:
        Exhausted: `QUOTA_EXCEEDED`.
    """
    if limit and number >= limit:
        raise _exceeded(node, name, limit, f"{limit} {name.replace('_', ' ')} at most", set_at)


def count(view: View, type_: RecordType[Any], column: str, value: str, *, limit: int = MAX_QUOTA) -> int:
    """Count the records of a node in the index that begins with a column, up to a limit."""
    order = next(index[1:] for index in type_.indexes if index[0] == column)
    return len(view.rows(type_, Query(where={column: value}, order=order, size=limit)).records)


def projects_below(view: View, node_id: str, *, limit: int = MAX_QUOTA) -> int:
    """Count the project groups and projects below a node, at all levels, up to a limit."""
    found, waiting = 0, [node_id]
    while waiting and found < limit:
        parent = waiting.pop()
        groups = _children(view, PROJECT_GROUP, parent, limit - found)
        found += len(groups)
        if found < limit:
            found += len(_children(view, PROJECT, parent, limit - found))
        waiting += groups
    return found


def _children(view: View, type_: RecordType[Any], parent_id: str, limit: int) -> Sequence[str]:
    page = view.rows(type_, Query(where={"parent_id": parent_id}, order=("key",), size=limit))
    return [id_ for id_, _ in page.records]


def _exceeded(node: Node, name: str, limit: int, may_have: str, set_at: Node) -> Exhausted:
    whose = "" if set_at.id == node.id else f", by the quota of {set_at.type} {set_at.name!r}"
    return Exhausted(
        f"{node.type} {node.name!r} may have {may_have}{whose}; make room, or ask an operator for more",
        reason="QUOTA_EXCEEDED",
        subject=node.id,
        metadata={"quota": name, "limit": str(limit)},
    )
