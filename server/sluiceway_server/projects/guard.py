"""The check of rights on the resource that a request names (`foundation.rpc.access.ResourceGuard`).

The interceptor calls it for every method whose `access` option names a resource field. What kind of resource that is
follows from the name of the field: `run_id` and `run.id` are a run, `project.parent_id` is a parent. Here are the nodes
of the tree; other services add theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from sluiceway_common.foundation.errors import NotFound, PermissionDenied, SluicewayError
from sluiceway_common.foundation.rpc.access import Access, Right
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, requested_position
from sluiceway_server.datamanager.model import Position, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects.quotas import INSTALLATION
from sluiceway_server.projects.rights import right_of, role_missing, user_named
from sluiceway_server.projects.tree import PARENTS, NodeType, not_found, resolve

__all__ = ["CHECKED_BY_THEIR_SERVICE", "TREE_RESOURCES", "Guard", "Resource", "resource_name"]

_USERS = frozenset({NodeType.USER})


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of resource.

    Attributes:
        right_of: returns the greatest right of a caller on the resource that a reference names; None: there is none,
            or the caller may not see it. A pure read.
        missing: makes the error for None.
    """

    right_of: Callable[[View, Caller, str], Right | None]
    missing: Callable[[str], NotFound]


def _of_node(types: Collection[NodeType], view: View, caller: Caller, reference: str) -> Right | None:
    node = resolve(view, reference, types)
    return None if node is None else right_of(view, caller, node)


def _of_user(view: View, caller: Caller, reference: str) -> Right | None:
    return _of_node(_USERS, view, caller, user_named(caller, reference))


def _of_quota(view: View, caller: Caller, reference: str) -> Right | None:
    if reference != INSTALLATION:
        return _of_node(frozenset(NodeType), view, caller, reference)
    # Everybody may read what counts for everybody.
    return Right.MANAGE if caller.kind is CallerKind.OPERATOR and caller.organization is None else Right.CONFIGURE


def _node(types: Collection[NodeType]) -> Resource:
    return Resource(partial(_of_node, types), partial(not_found, types=types))


TREE_RESOURCES: Mapping[str, Resource] = {
    "user": Resource(_of_user, partial(not_found, types=_USERS)),
    "organization": _node({NodeType.ORGANIZATION}),
    "project_group": _node({NodeType.PROJECT_GROUP}),
    "project": _node({NodeType.PROJECT}),
    "parent": _node(PARENTS),
    "node": Resource(_of_quota, not_found),
}
CHECKED_BY_THEIR_SERVICE = frozenset({"secret", "variable", "remote_source", "linked_account", "webhook"})
"""Resources that the guard leaves to the method itself."""


class Guard:
    """Checks rights in the database of this server.

    Before it refuses, it reads linearizably: what another server allowed a moment ago is allowed here too.
    """

    def __init__(self, database: Database, resources: Mapping[str, Resource]) -> None:
        self._database = database
        self._resources = resources

    async def check(self, access: Access, caller: Caller, reference: str) -> None:
        """Check that a caller has the right that a method needs on a resource.

        Raises:
            NotFound: there is no such resource, or the caller may not see it: both have the same message.
            PermissionDenied: `ROLE_MISSING`: the caller may see it, and not do this. `ACCESS_NOT_DECLARED`: nobody
                knows the kind of resource.
            Unavailable: the database cannot be read.
        """
        name = resource_name(access.resource_field)
        if name in CHECKED_BY_THEIR_SERVICE:
            return
        resource = self._resources.get(name)
        if resource is None:
            raise PermissionDenied(
                f"nobody can say who may use a resource of the kind {name!r}", reason="ACCESS_NOT_DECLARED"
            )
        seen = requested_position()
        if await self._refusal(resource, access, caller, reference, Position.parse(seen) if seen else None) is None:
            return
        refusal = await self._refusal(resource, access, caller, reference, await self._database.linearize())
        if refusal is not None:
            raise refusal

    async def _refusal(
        self, resource: Resource, access: Access, caller: Caller, reference: str, after: Position | None
    ) -> SluicewayError | None:
        def read(view: View) -> SluicewayError | None:
            try:
                greatest = resource.right_of(view, caller, reference)
            except NotFound:
                greatest = None
            if greatest is None:
                return resource.missing(reference)
            return None if greatest >= access.right else role_missing(repr(reference), access.right)

        return await self._database.read(read, after=after)


def resource_name(field: str) -> str:
    """Return the kind of resource that a field names: `run_id` and `run.id` name a run."""
    *messages, name = field.split(".")
    return messages[-1] if name == "id" and messages else name.removesuffix("_id")
