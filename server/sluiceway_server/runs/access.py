"""Who may see and control runs: it depends on the scope, the first two segments of a run's group.

| scope           | rights                                                      |
| --------------- | ----------------------------------------------------------- |
| `/project/<id>` | those on the project; none if there is no such project      |
| `/user/<id>`    | MANAGE for that user                                        |
| any             | MANAGE for operators whose token is not confined            |

To create, stop, cancel, restart and approve runs is CONTROL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.runmodel import groups
from sluiceway_server.datamanager.model import View
from sluiceway_server.projects.guard import Resource
from sluiceway_server.projects.rights import right_of
from sluiceway_server.projects.tree import NodeType, find
from sluiceway_server.runrecords.types import RUN
from sluiceway_server.runs.engine import no_run

ScopeRights: TypeAlias = Callable[[View, Caller, str], Right | None]
"""Returns the greatest right of a caller on the runs of a scope; None: the caller may not see them. A pure read."""

PROJECT_SCOPE = "project"
USER_SCOPE = "user"
_SEGMENTS = 2


def right_on_scope(view: View, caller: Caller, scope: str) -> Right | None:
    """Return the greatest right of a caller on the runs of a canonical scope; None: the caller may not see them."""
    confined = caller.organization is not None
    if caller.kind is CallerKind.OPERATOR and not confined:
        return Right.MANAGE
    parts = groups.segments(scope)
    if len(parts) != _SEGMENTS:
        return None
    kind, id_ = parts
    if kind == PROJECT_SCOPE:
        try:
            node = find(view, id_, {NodeType.PROJECT})
            return None if node is None else right_of(view, caller, node)
        except NotFound:
            return None
    is_own = kind == USER_SCOPE and caller.kind is CallerKind.USER and caller.id == id_
    return Right.MANAGE if is_own and not confined else None


class VisibleScopes:
    """Whether a caller may see the runs of scopes: for one read of one view, which checks each scope once."""

    def __init__(self, view: View, caller: Caller, rights: ScopeRights) -> None:
        self._view = view
        self._caller = caller
        self._rights = rights
        self._known: dict[str, bool] = {}

    def __call__(self, scope: str) -> bool:
        """Return whether the caller may see the runs of a scope."""
        known = self._known.get(scope)
        if known is None:
            known = self._known[scope] = self._rights(self._view, self._caller, scope) is not None
        return known


def no_scope(scope: str) -> NotFound:
    """Make the error for a scope that does not exist, or whose runs the caller may not see."""
    return NotFound(
        f"there is no project or user {scope!r}, or you may not see it; a group is /project/ID/... or /user/me/...",
        resource_type="group",
        resource_name=scope,
    )


def _right_on_run(view: View, caller: Caller, run_id: str) -> Right | None:
    fields = view.fields(RUN, run_id)
    return None if fields is None else right_on_scope(view, caller, str(fields["scope"]))


RUN_RESOURCE = Resource(_right_on_run, no_run)
