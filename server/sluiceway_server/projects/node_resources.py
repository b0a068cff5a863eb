"""What secrets and variables have in common: they belong to a node of the tree, and have a name there.

A resource is named by its id, or by the path of its parent and its name: `org/acme/npm` is the secret `npm` of
`org/acme`. Whoever may configure a node sees and changes what belongs to it; to everybody else it does not exist. What
takes a `View` is a pure read of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sluiceway.records.project.v1 import secrets_pb2 as pb
from sluiceway_common.foundation.errors import AlreadyExists, NotFound
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import Caller, current_caller
from sluiceway_server.datamanager.model import Query, RecordType, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.projects import tree
from sluiceway_server.projects.names import key_of
from sluiceway_server.projects.pages import PageRequest, page_of_visible, requested
from sluiceway_server.projects.rights import has_right, require_right

__all__ = ["ResourceKind"]

R = TypeVar("R", pb.Secret, pb.Variable)
T = TypeVar("T")


class ListRequest(PageRequest, Protocol):
    """A request of a list of resources."""

    parent_id: str
    """Of all nodes, if it is empty."""


@dataclass(frozen=True, slots=True)
class ResourceKind(Generic[R]):
    """A kind of resource.

    Attributes:
        name: of the kind, for people.
        type: of its records.
    """

    name: str
    type: RecordType[R]

    def parent(self, view: View, caller: Caller, reference: str) -> tree.Node:
        """Return the node to which a resource is to belong, or whose resources are to be listed.

        Raises:
            NotFound: there is none, or the caller may not see it.
            PermissionDenied: the caller may not configure it.
        """
        return require_right(view, caller, reference, frozenset(tree.NodeType), Right.CONFIGURE)

    def find(self, view: View, caller: Caller, reference: str) -> tuple[str, R]:
        """Return a resource by its id or path, with its id.

        Raises:
            NotFound: there is none, or the caller may not see it.
        """
        parent_path, _, name = reference.rpartition("/")
        found: tuple[str, R] | None = None
        if parent_path:
            parent = tree.resolve(view, parent_path)
            found = None if parent is None else self.named(view, parent.id, name)
        elif reference and (stored := view.get(self.type, reference)) is not None:
            found = reference, stored
        if found is None or not self.is_visible(view, caller, found[1]):
            raise NotFound(f"there is no {self.name} {reference!r}", resource_type=self.name, resource_name=reference)
        return found

    async def list(
        self, database: Database, request: ListRequest, shown: Callable[[View, str, R], T]
    ) -> tuple[list[T], str]:
        """Return a page of the resources that the caller may see, and the token of the next one.

        Raises:
            NotFound, PermissionDenied: as `parent`.
            InvalidInput: the token is of another list or caller.
        """
        caller = current_caller()
        where: dict[str, str] = {}
        if request.parent_id:
            parent = await database.read(lambda view: self.parent(view, caller, request.parent_id), after=requested())
            where["parent_id"] = parent.id

        def visible(view: View, id_: str) -> T | None:
            found = view.get(self.type, id_)
            return None if found is None or not self.is_visible(view, caller, found) else shown(view, id_, found)

        return await page_of_visible(database, self.type, where, request, visible)

    def named(self, view: View, parent_id: str, name: str) -> tuple[str, R] | None:
        """Return the resource of a parent that has a name, in any case, with its id."""
        query = Query(where={"parent_id": parent_id, "key": key_of(name)}, size=1)
        return next(iter(view.select(self.type, query).records), None)

    def is_visible(self, view: View, caller: Caller, resource: R) -> bool:
        """Return whether a caller may see and change a resource."""
        node = tree.find(view, resource.parent_id)
        return node is not None and has_right(view, caller, node, Right.CONFIGURE)

    def check_name_is_free(self, view: View, parent_id: str, name: str, *, except_id: str = "") -> None:
        """Check that no other resource of a parent has a name.

        Raises:
            AlreadyExists: one has it, perhaps in another case.
        """
        same = self.named(view, parent_id, name)
        if same is not None and same[0] != except_id:
            raise AlreadyExists(
                f"there is a {self.name} {same[1].name!r} at this place already; update it, or choose another name",
                resource_type=self.name,
                resource_name=same[1].name,
            )

    def path_of(self, view: View, resource: R) -> str:
        """Return the path of a resource, such as `org/acme/npm`."""
        node = tree.find(view, resource.parent_id)
        return resource.name if node is None else f"{tree.path_of(view, node)}/{resource.name}"
