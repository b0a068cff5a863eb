"""Names for the ids that runs have: paths of projects, and names of users. Pure, over one view.

Runs are stored with ids, since names change; what people read has names. A group is shown as the path of its project
with what follows, such as `org/acme/site/branch/main`, or as `/user/alice/site/main`. A request may name
a group so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel import groups
from sluiceway_server.datamanager.model import View
from sluiceway_server.projects.records import USER
from sluiceway_server.projects.tree import NodeType, find, path_of, resolve
from sluiceway_server.runrecords.types import RUN

PROJECT_SEGMENT, USER_SEGMENT = "project", "user"
_ROOTS = ("org/", "user/")
_ROOT_SEGMENTS = 2
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_IDS = re.compile(rf"/(?P<scope>project|user)/(?P<id>{_UUID})|\bby (?P<by>{_UUID})\b")


class Names:
    """Names for ids; each is read once from the view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._known: dict[tuple[str, str], str] = {}

    def group(self, group: str) -> str:
        """Return a canonical group with names for its ids: what has none stays."""
        scope = groups.scope_of(group)
        kind, _, id_ = scope[1:].partition("/")
        return self._scope(kind, id_, scope) + group.removeprefix(scope)

    def user(self, id_: str) -> str:
        """Return the name of a user; what is the id of none stays, such as that of a token."""
        return self._of(USER_SEGMENT, id_) or id_

    def load(self, group: str, user_id: str) -> None:
        """Read the names that runs of a canonical group have that this user creates."""
        self.group(group)
        self.user(user_id)

    def are_known(self, run: api.Run) -> bool:
        """Return whether `put_in_runs` has read all names of a run, so that its view may be over."""
        kind, _, id_ = groups.scope_of(run.group)[1:].partition("/")
        others = any(run.HasField(name) for name in ("stop_request", "restart_of", "reason", "waiting"))
        return not others and {(kind, id_), (USER_SEGMENT, run.created_by)} <= self._known.keys()

    def sentence(self, text: str) -> str:
        """Return a sentence with names for the ids of groups and of users who did something."""

        def named(found: re.Match[str]) -> str:
            if found["by"]:
                return f"by {self.user(found['by'])}"
            return self._scope(found["scope"], found["id"], found[0])

        return _IDS.sub(named, text)

    def put_in_runs(self, runs: Iterable[api.Run]) -> None:
        """Fill in the names in runs."""
        for run in runs:
            run.group_path = self.group(run.group)
            run.created_by_name = self.user(run.created_by)
            if run.HasField("stop_request"):
                run.stop_request.by_name = self.user(run.stop_request.by)
            if run.HasField("restart_of"):
                fields = self._view.fields(RUN, run.restart_of.run_id)
                run.restart_of.run_number = 0 if fields is None else int(str(fields["number"]))
            self.put_in_reasons(getattr(run, name) for name in ("reason", "waiting") if run.HasField(name))

    def put_in_tasks(self, tasks: Iterable[api.Task]) -> None:
        """Fill in the names in tasks."""
        for task in tasks:
            if task.approval.approved_by:
                task.approval.approved_by_name = self.user(task.approval.approved_by)
            self.put_in_reasons([task.reason] if task.HasField("reason") else [])
            self.put_in_reasons(each.reason for each in task.attempts if each.HasField("reason"))

    def put_in_reasons(self, reasons: Iterable[api.Reason]) -> None:
        """Put names into the sentences of reasons."""
        for reason in reasons:
            reason.message = self.sentence(reason.message)

    def _scope(self, kind: str, id_: str, scope: str) -> str:
        name = self._of(kind, id_)
        if not name:
            return scope
        return name if kind == PROJECT_SEGMENT else f"/{USER_SEGMENT}/{name}"

    def _of(self, kind: str, id_: str) -> str:
        known = self._known.get((kind, id_))
        if known is None:
            known = self._known[kind, id_] = self._read(kind, id_)
        return known

    def _read(self, kind: str, id_: str) -> str:
        if kind == USER_SEGMENT:
            user = self._view.get(USER, id_)
            return "" if user is None else user.name
        try:
            node = find(self._view, id_, {NodeType.PROJECT}) if kind == PROJECT_SEGMENT else None
            return "" if node is None else path_of(self._view, node)
        except NotFound:
            # A group above it is being deleted.
            return ""


def group_named(view: View, text: str, *, visible: Callable[[str], bool]) -> str:
    """Return the group that a text names: one that `Names.group` returned, or a group, which stays as it is.

    Args:
        view: the database.
        text: such as `org/acme/site`, `org/acme/site/branch/main`, `/user/alice/site` or `/project/ID`.
        visible: whether the caller may see the runs of a scope.

    Raises:
        NotFound: it begins like a path, and there is no such project.
    """
    if text.startswith(f"/{USER_SEGMENT}/"):
        _, _, name, *rest = text.split("/")
        user = resolve(view, f"user/{name}", {NodeType.USER})
        return text if user is None else "/".join(("", USER_SEGMENT, user.id, *rest))
    if not text.startswith(_ROOTS):
        return text
    segments = text.rstrip("/").split("/")
    if len(segments) == _ROOT_SEGMENTS and text.startswith("user/"):
        return text  # `/user/me` without its slash
    for length in range(_ROOT_SEGMENTS + 1, len(segments) + 1):
        project = resolve(view, "/".join(segments[:length]), {NodeType.PROJECT})
        scope = "" if project is None else f"/{PROJECT_SEGMENT}/{project.id}"
        if scope and visible(scope):
            return "/".join((scope, *segments[length:]))
    raise NotFound(
        f"there is no project {text!r}, or you may not see it; a group begins with the path of a project, such as"
        " org/acme/site",
        resource_type="project",
        resource_name=text,
    )
