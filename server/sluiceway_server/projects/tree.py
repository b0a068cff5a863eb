"""The tree of users, organizations, project groups and projects: how a node is named, found and placed.

A root is a user or an organization; below it are project groups and projects. Each node stores the id of its parent
only, so a move is one write. A path is `user/NAME/...` or `org/NAME/...`, and an id is accepted wherever a path is.
Among the children of one parent, project groups and projects together, a name is unique without regard to case.

All functions are pure reads of a `View`, and may be called in a transaction function. Callers check rights
(`rights.py`): nothing here hides a node from anybody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from sluiceway.api.project.v1 import visibility_pb2
from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.errors import AlreadyExists, FailedPrecondition, NotFound
from sluiceway_server.datamanager.model import Query, RecordType, View
from sluiceway_server.datamanager.queries import walk_rows
from sluiceway_server.projects.names import key_of
from sluiceway_server.projects.records import ORGANIZATION, PROJECT, PROJECT_GROUP, USER

__all__ = [
    "GROUPS",
    "MAX_DEPTH",
    "PARENTS",
    "ROOTS",
    "Node",
    "NodeType",
    "ancestors",
    "check_depth",
    "check_move",
    "check_name_is_free",
    "child_named",
    "find",
    "is_private",
    "lineage",
    "not_found",
    "path_of",
    "require",
    "resolve",
]

MAX_DEPTH = 20
"""The number of project groups and projects from a root to a leaf."""


class NodeType(StrEnum):
    """The type of a node, as people call it."""

    USER = "user"
    ORGANIZATION = "organization"
    PROJECT_GROUP = "project group"
    PROJECT = "project"


NodeRecord: TypeAlias = "pb.User | pb.Organization | pb.ProjectGroup | pb.Project"

_RECORD_TYPES: dict[NodeType, RecordType[Any]] = {
    NodeType.PROJECT: PROJECT,
    NodeType.PROJECT_GROUP: PROJECT_GROUP,
    NodeType.ORGANIZATION: ORGANIZATION,
    NodeType.USER: USER,
}
_ROOT_SEGMENTS = {"user": NodeType.USER, "org": NodeType.ORGANIZATION}
_SEGMENT_OF = {type_: segment for segment, type_ in _ROOT_SEGMENTS.items()}

ROOTS = frozenset({NodeType.USER, NodeType.ORGANIZATION})
GROUPS = frozenset({NodeType.PROJECT_GROUP})
PARENTS = ROOTS | GROUPS
"""What may have project groups and projects below it."""
_ALL = frozenset(NodeType)


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree.

    Attributes:
        type: of the node.
        id: of its record.
        record: the stored message; not to be changed.
    """

    type: NodeType
    id: str
    record: NodeRecord

    @property
    def name(self) -> str:
        """The node's name."""
        return self.record.name

    @property
    def parent_id(self) -> str:
        """The id of the parent; empty for a root."""
        return self.record.parent_id if isinstance(self.record, pb.ProjectGroup | pb.Project) else ""

    @property
    def record_type(self) -> RecordType[Any]:
        """The type of the node's record."""
        return _RECORD_TYPES[self.type]


def find(view: View, id_: str, types: Collection[NodeType] = _ALL) -> Node | None:
    """Return the node with an id, if it is of one of `types`."""
    if not id_:
        return None
    for type_, record_type in _RECORD_TYPES.items():
        if type_ in types and (record := view.get(record_type, id_)) is not None:
            return Node(type_, id_, record)
    return None


def resolve(view: View, reference: str, types: Collection[NodeType] = _ALL) -> Node | None:
    """Return the node that an id or a path names, if it is of one of `types`.

    If `types` is one type of roots, a name is accepted too: `acme` is `org/acme`.
    """
    if "/" not in reference:
        found = find(view, reference, types)
        if found is None and len(types) == 1:
            (type_,) = types
            return _root_named(view, type_, reference) if type_ in ROOTS else None
        return found
    segment, name, *rest = reference.split("/")
    if segment not in _ROOT_SEGMENTS:
        return None
    node = _root_named(view, _ROOT_SEGMENTS[segment], name)
    for part in rest:
        if node is None or node.type not in PARENTS:
            return None
        node = child_named(view, node.id, part)
    return node if node is not None and node.type in types else None


def require(view: View, reference: str, types: Collection[NodeType] = _ALL) -> Node:
    """Return the node that an id or a path names.

    Raises:
        NotFound: there is none of one of `types`.
    """
    node = resolve(view, reference, types)
    if node is None:
        raise not_found(reference, types)
    return node


def not_found(reference: str, types: Collection[NodeType] = _ALL) -> NotFound:
    """Make the error for a node that does not exist, or that the caller may not see: the two look the same."""
    names = [type_.value for type_ in NodeType if type_ in types]
    what = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return NotFound(f"there is no {what} {reference!r}", resource_type=what, resource_name=reference)


def child_named(view: View, parent_id: str, name: str) -> Node | None:
    """Return the child of a parent that has a name, in any case."""
    query = Query(where={"parent_id": parent_id, "key": key_of(name)}, size=1)
    for type_ in (NodeType.PROJECT_GROUP, NodeType.PROJECT):
        for id_, record in view.select(_RECORD_TYPES[type_], query).records:
            return Node(type_, id_, record)
    return None


def ancestors(view: View, node: Node) -> tuple[Node, ...]:
    """Return the ancestors of a node, nearest first; the last one is its root.

    Raises:
        NotFound: a part of the line is being deleted, so the node is gone as well.
    """
    return tuple(_ancestors(view, node))


def lineage(view: View, node: Node) -> tuple[Node, ...]:
    """Return a node and its ancestors, nearest first."""
    return (node, *_ancestors(view, node))


def path_of(view: View, node: Node) -> str:
    """Return the path of a node, such as `org/acme/backend/api`."""
    line = lineage(view, node)
    return "/".join((_SEGMENT_OF[line[-1].type], *(each.name for each in reversed(line))))


def is_private(view: View, node: Node) -> bool:
    """Return whether only members may see a node: it is private, or an ancestor is."""
    return any(_is_private(each) for each in lineage(view, node))


def check_name_is_free(view: View, parent_id: str, name: str, *, except_id: str = "") -> None:
    """Check that no other child of a parent has a name.

    Raises:
        AlreadyExists: a project group or a project has it, perhaps in another case.
    """
    same = child_named(view, parent_id, name)
    if same is not None and same.id != except_id:
        raise AlreadyExists(
            f"there is a {same.type} {same.name!r} at this place already; choose another name",
            resource_type=same.type,
            resource_name=same.name,
        )


def check_depth(view: View, parent: Node, *, levels: int = 1) -> None:
    """Check that a parent may have so many levels below it.

    Raises:
        FailedPrecondition: `TREE_TOO_DEEP`.
    """
    if len(ancestors(view, parent)) + levels > MAX_DEPTH:
        raise FailedPrecondition(
            f"a tree has at most {MAX_DEPTH} levels below its user or organization; choose a parent nearer to the root",
            reason="TREE_TOO_DEEP",
            subject=parent.id,
        )


def check_move(view: View, node: Node, parent: Node) -> None:
    """Check that a node may move below a parent: not into itself, not too deep, and not onto a name that is taken.

    Raises:
        FailedPrecondition: `MOVE_INTO_ITSELF` or `TREE_TOO_DEEP`.
        AlreadyExists: the parent has a child of this name.
    """
    if any(each.id == node.id for each in lineage(view, parent)):
        raise FailedPrecondition(
            f"{node.type} {node.name!r} cannot move into itself or below itself",
            reason="MOVE_INTO_ITSELF",
            subject=node.id,
        )
    check_depth(view, parent, levels=1 + _height(view, node))
    check_name_is_free(view, parent.id, node.name, except_id=node.id)


def _root_named(view: View, type_: NodeType, name: str) -> Node | None:
    query = Query(where={"key": key_of(name)}, size=1)
    for id_, record in view.select(_RECORD_TYPES[type_], query).records:
        return Node(type_, id_, record)
    return None


def _ancestors(view: View, node: Node) -> Iterator[Node]:
    while node.type not in ROOTS:
        parent = find(view, node.parent_id, PARENTS)
        if parent is None:
            raise not_found(node.id, {node.type})
        yield parent
        node = parent


def _height(view: View, node: Node) -> int:
    """Return the number of levels below a node. Stops counting at `MAX_DEPTH`."""
    level = [node.id] if node.type in GROUPS else []
    height = 0
    while level and height < MAX_DEPTH:
        below = [child for id_ in level for child in _groups_below(view, id_)]
        if not below:
            return height + any(_has_projects(view, id_) for id_ in level)
        level = below
        height += 1
    return height


def _has_projects(view: View, parent_id: str) -> bool:
    return bool(view.rows(PROJECT, Query(where={"parent_id": parent_id}, order=("key",), size=1)).records)


def _groups_below(view: View, parent_id: str) -> Iterator[str]:
    return (id_ for id_, _ in walk_rows(view, PROJECT_GROUP, {"parent_id": parent_id}, order=("key",)))


def _is_private(node: Node) -> bool:
    # The projects of a user decide for themselves. A value that this version does not know hides a node.
    if isinstance(node.record, pb.User):
        return False
    return node.record.visibility != visibility_pb2.VISIBILITY_PUBLIC
