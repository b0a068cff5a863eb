"""What a caller may do with a node of the tree. Pure reads of a `View`.

| caller                                  | right on the nodes of a tree            |
| --------------------------------------- | --------------------------------------- |
| operator                                | MANAGE                                  |
| the user whose tree it is               | MANAGE                                  |
| owner of the organization               | MANAGE                                  |
| member of the organization              | CONFIGURE                               |
| reader of the organization              | READ                                    |
| any other user                          | READ if it is public, else none         |
| token that is confined to an organization | that of its user there, else none     |

A node that a caller may not see is reported as one that does not exist.
"""

from __future__ import annotations

from collections.abc import Collection

from sluiceway.api.project.v1 import organization_service_pb2 as organization_api
from sluiceway_common.foundation.errors import PermissionDenied
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_server.datamanager.model import View
from sluiceway_server.projects.records import ORGANIZATION_MEMBER, member_id
from sluiceway_server.projects.tree import Node, NodeType, ancestors, is_private, not_found, resolve

__all__ = ["check_right", "has_right", "is_member", "require_right", "right_of", "role_missing", "user_named"]

_ROLES = {
    organization_api.ORGANIZATION_ROLE_OWNER: Right.MANAGE,
    organization_api.ORGANIZATION_ROLE_MEMBER: Right.CONFIGURE,
    organization_api.ORGANIZATION_ROLE_READER: Right.READ,
}
_WHO = {
    Right.CONTROL: "members and owners",
    Right.CONFIGURE: "members and owners",
    Right.MANAGE: "owners",
}


def user_named(caller: Caller, reference: str) -> str:
    """Return what names the user of a request: the id of the caller for `me`, which no user can be called."""
    return caller.id if reference == "me" else reference


def right_of(view: View, caller: Caller, node: Node) -> Right | None:
    """Return the greatest right of a caller on a node; None: the caller may not see it.

    Raises:
        NotFound: an ancestor is being deleted.
    """
    root = (node, *ancestors(view, node))[-1]
    if caller.organization is not None and root.id != caller.organization:
        return None
    if caller.kind is CallerKind.OPERATOR:
        return Right.MANAGE
    if caller.kind is CallerKind.USER:
        role = _right_on_root(view, caller, root)
        if role is not None:
            return role
    return None if is_private(view, node) else Right.READ


def has_right(view: View, caller: Caller, node: Node, right: Right) -> bool:
    """Return whether a caller has a right on a node."""
    greatest = right_of(view, caller, node)
    return greatest is not None and greatest >= right


def is_member(view: View, caller: Caller, root: Node) -> bool:
    """Return whether a caller has a role in the tree of a root, or is an operator."""
    return caller.kind is CallerKind.OPERATOR or _right_on_root(view, caller, root) is not None


def check_right(view: View, caller: Caller, node: Node, right: Right, *, reference: str = "") -> None:
    """Check that a caller has a right on a node.

    Raises:
        NotFound: the caller may not see the node. The message names it as the caller did, by `reference`.
        PermissionDenied: `ROLE_MISSING`: the caller may see it, and not do this.
    """
    greatest = right_of(view, caller, node)
    if greatest is None:
        raise not_found(reference or node.id, {node.type})
    if greatest < right:
        raise role_missing(f"{node.type} {node.name!r}", right)


def role_missing(what: str, right: Right) -> PermissionDenied:
    """Make the error for a caller who may see something and has not the right."""
    return PermissionDenied(
        f"only {_WHO[right]} may do this with {what}; ask one of them",
        reason="ROLE_MISSING",
        metadata={"right": right.name},
    )


def require_right(
    view: View, caller: Caller, reference: str, types: Collection[NodeType], right: Right = Right.READ
) -> Node:
    """Return the node that an id or a path names, if it is of one of `types` and the caller has a right on it.

    Raises:
        NotFound: there is none, or the caller may not see it: both have the same message.
        PermissionDenied: `ROLE_MISSING`: the caller may see it, and not do this.
    """
    node = resolve(view, reference, types)
    if node is None or right_of(view, caller, node) is None:
        raise not_found(reference, types)
    check_right(view, caller, node, right)
    return node


def _right_on_root(view: View, caller: Caller, root: Node) -> Right | None:
    if root.type is NodeType.USER:
        return Right.MANAGE if root.id == caller.id else None
    member = view.get(ORGANIZATION_MEMBER, member_id(root.id, caller.id))
    return None if member is None else _ROLES.get(member.role)
