"""The servicer of `ProjectService`: projects and project groups.

The interceptor has checked the caller's right on the resource that a request names (`guard.py`). Here only what a
second resource decides is checked: the new parent of a move, and a change of visibility, which is for owners.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from sluiceway.api.project.v1 import project_service_pb2 as pb
from sluiceway.api.project.v1 import project_service_pb2_grpc as pb_grpc
from sluiceway.api.project.v1 import visibility_pb2
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, SluicewayError, Violation
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, current_caller, set_response_position
from sluiceway_server.datamanager.model import Action, Put, View
from sluiceway_server.datamanager.port import Committed, Database
from sluiceway_server.datamanager.replica.deleted_subtrees import delete_subtree
from sluiceway_server.projects.auditing import Subject
from sluiceway_server.projects.changes import Change, Changes, check_etag, etag_of
from sluiceway_server.projects.fields import changed_fields, check_fields
from sluiceway_server.projects.pages import page_of_visible, requested
from sluiceway_server.projects.quotas import check_projects
from sluiceway_server.projects.records import PROJECT, PROJECT_GROUP
from sluiceway_server.projects.retention import (
    Kept,
    kept_by,
    put_retention,
    retention_faults,
    shown_retention,
)
from sluiceway_server.projects.rights import check_right, has_right, require_right
from sluiceway_server.projects.tree import (
    GROUPS,
    PARENTS,
    Node,
    NodeType,
    check_depth,
    check_move,
    check_name_is_free,
    find,
    is_private,
    path_of,
    require,
)

__all__ = ["ProjectServicer"]

Resource = TypeVar("Resource", pb.Project, pb.ProjectGroup)
Record: TypeAlias = records.Project | records.ProjectGroup

_PROJECTS = frozenset({NodeType.PROJECT})
_COMMON = frozenset({"name", "parent_id", "visibility"})
_SETTINGS = frozenset({"concurrency", "cancel_superseded", "pass_variables_to_forks", "issue_id_tokens_to_forks"})
_REMOTE = ("remote_source_id", "repository_path")


class LinkedRepository(Protocol):
    """What a project that is about to be created has at its git provider.

    Attributes:
        remote_source_id: the id of the remote source.
        repository_id: the id of the repository there.
        repository_path: its path, as the provider spells it.
        deploy_key: the public half of the key that runs clone with.
        actions: to be committed with the project.
    """

    @property
    def remote_source_id(self) -> str: ...

    @property
    def repository_id(self) -> str: ...

    @property
    def repository_path(self) -> str: ...

    @property
    def deploy_key(self) -> str: ...

    @property
    def actions(self) -> Sequence[Action]: ...


class RepositoryLinks(Protocol):
    """Who links projects to their repositories (`triggers.links`)."""

    async def install(
        self, project_id: str, *, user_id: str, remote_source: str, repository_path: str
    ) -> LinkedRepository:
        """Make the webhook and the deploy key of a project, with the linked account of a user.

        Raises:
            SluicewayError: it could not be linked; nothing is left at the provider in the end.
        """
        ...

    async def install_git(self, project_id: str, *, user_id: str, git: pb.GitRepository) -> LinkedRepository:
        """Link a project with a repository that is read with git alone.

        Raises:
            SluicewayError: it could not be linked.
        """
        ...

    async def change_git(self, project_id: str, *, git: pb.GitRepository) -> LinkedRepository:
        """Prepare another URL, or other credentials, of a project whose repository is read with git alone.

        Raises:
            SluicewayError: the repository cannot be read, or the project has none of that kind.
        """
        ...

    async def abandon(self, project_id: str) -> None:
        """Take away what was made for a project that was not created."""
        ...


class ProjectServicer(pb_grpc.ProjectServiceServicer):
    """Implements `ProjectService`."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        ids: IdSource,
        links: RepositoryLinks | None = None,
        kept: Kept | None = None,
    ) -> None:
        """Offer the tree of projects.

        Args:
            database: where the tree is stored.
            clock: for times of creation.
            ids: for new projects and groups.
            links: links projects to their repositories at git providers; None: a project has none.
            kept: how long the installation keeps things; None: as without options.
        """
        self._database = database
        self._ids = ids
        self._links = links
        self._kept = kept or Kept()
        self._changes = Changes(database, clock=clock, ids=ids)

    # -- projects

    async def CreateProject(self, request: pb.CreateProjectRequest, context: Any) -> pb.CreateProjectResponse:
        project = request.project
        faults = [*_remote_faults(project), *retention_faults(project.retention)]
        check_fields("project", name=project.name, visibility=project.visibility, others=faults)
        record = records.Project(**{name: getattr(project, name) for name in sorted(_SETTINGS)})
        put_retention(record, project.retention, self._kept, is_operator=_is_operator())
        if not _is_linked(project) or await self._changes.is_known(request, request.request_id):
            made = await self._create(request, project, record)
        else:
            made = await self._create_linked(request, record)
        return pb.CreateProjectResponse(project=await self._shown(pb.Project, made))

    async def GetProject(self, request: pb.GetProjectRequest, context: Any) -> pb.GetProjectResponse:
        return pb.GetProjectResponse(project=await self._get(pb.Project, request.project_id))

    async def ListProjects(self, request: pb.ListProjectsRequest, context: Any) -> pb.ListProjectsResponse:
        found, token = await self._list(pb.Project, request)
        return pb.ListProjectsResponse(projects=found, next_page_token=token)

    async def UpdateProject(self, request: pb.UpdateProjectRequest, context: Any) -> pb.UpdateProjectResponse:
        project = request.project
        fields = changed_fields(project, request.update_mask, _COMMON | _SETTINGS | {"git", "retention"})
        if not project.HasField("git"):
            if "git" in request.update_mask.paths:
                raise InvalidInput([Violation("project.git", "must be given; a project keeps its repository")])
            fields -= {"git"}
        check_fields(
            "project",
            name=project.name if "name" in fields else None,
            visibility=project.visibility,
            others=[
                *(() if request.update_mask.paths else _fixed_remote_faults(project)),
                *(retention_faults(project.retention) if "retention" in fields else ()),
            ],
        )
        linked = await self._linked_again(project) if "git" in fields else None
        changed = await self._update("UpdateProject", project, fields, linked)
        return pb.UpdateProjectResponse(project=await self._shown(pb.Project, changed))

    async def DeleteProject(self, request: pb.DeleteProjectRequest, context: Any) -> pb.DeleteProjectResponse:
        await self._delete("DeleteProject", request.project_id, _PROJECTS, request.etag)
        return pb.DeleteProjectResponse()

    # -- project groups

    async def CreateProjectGroup(
        self, request: pb.CreateProjectGroupRequest, context: Any
    ) -> pb.CreateProjectGroupResponse:
        group = request.project_group
        check_fields("project_group", name=group.name, visibility=group.visibility)
        made = await self._create(request, group, records.ProjectGroup())
        return pb.CreateProjectGroupResponse(project_group=await self._shown(pb.ProjectGroup, made))

    async def GetProjectGroup(self, request: pb.GetProjectGroupRequest, context: Any) -> pb.GetProjectGroupResponse:
        return pb.GetProjectGroupResponse(project_group=await self._get(pb.ProjectGroup, request.project_group_id))

    async def ListProjectGroups(
        self, request: pb.ListProjectGroupsRequest, context: Any
    ) -> pb.ListProjectGroupsResponse:
        found, token = await self._list(pb.ProjectGroup, request)
        return pb.ListProjectGroupsResponse(project_groups=found, next_page_token=token)

    async def UpdateProjectGroup(
        self, request: pb.UpdateProjectGroupRequest, context: Any
    ) -> pb.UpdateProjectGroupResponse:
        group = request.project_group
        fields = changed_fields(group, request.update_mask, _COMMON)
        check_fields("project_group", name=group.name if "name" in fields else None, visibility=group.visibility)
        changed = await self._update("UpdateProjectGroup", group, fields)
        return pb.UpdateProjectGroupResponse(project_group=await self._shown(pb.ProjectGroup, changed))

    async def DeleteProjectGroup(
        self, request: pb.DeleteProjectGroupRequest, context: Any
    ) -> pb.DeleteProjectGroupResponse:
        await self._delete("DeleteProjectGroup", request.project_group_id, GROUPS, request.etag)
        return pb.DeleteProjectGroupResponse()

    # -- both

    async def _create(
        self,
        request: pb.CreateProjectRequest | pb.CreateProjectGroupRequest,
        resource: pb.Project | pb.ProjectGroup,
        record: Record,
        *,
        id_: str | None = None,
        more: Sequence[Action] = (),
    ) -> Committed[str]:
        """Create a node; `record` has what only its type has. `more` is committed with it."""
        type_ = PROJECT if isinstance(record, records.Project) else PROJECT_GROUP

        def create(view: View, now: datetime, id_: str) -> Change[str]:
            parent = require(view, resource.parent_id, PARENTS)
            check_name_is_free(view, parent.id, resource.name)
            check_depth(view, parent)
            check_projects(view, parent)
            made = _copy(record)
            made.name = resource.name
            made.parent_id = parent.id
            made.visibility = resource.visibility or _visibility_below(view, parent)
            made.create_time.FromDatetime(now)
            path = f"{path_of(view, parent)}/{resource.name}"
            return Change(id_, Subject(type_.name, id_, path, parent_id=parent.id), [Put(type_, id_, made), *more])

        return await self._changes.create(request, request.request_id, create, id_=id_)

    async def _create_linked(self, request: pb.CreateProjectRequest, record: records.Project) -> Committed[str]:
        """Create a project with a repository at a git provider, where its webhook and deploy key are made first."""
        project = request.project
        if self._links is None:
            raise FailedPrecondition("this server has no git providers", reason="PUBLIC_URL_MISSING")

        def check(view: View) -> None:
            parent = require(view, project.parent_id, PARENTS)
            check_name_is_free(view, parent.id, project.name)
            check_depth(view, parent)
            check_projects(view, parent)

        await self._database.read(check, after=requested())
        id_ = self._ids.new_id()
        user_id = current_caller().id
        if project.HasField("git"):
            linked = await self._links.install_git(id_, user_id=user_id, git=project.git)
            record.git.CopyFrom(project.git)
            record.git.password = ""
        else:
            linked = await self._links.install(
                id_,
                user_id=user_id,
                remote_source=project.remote_source_id,
                repository_path=project.repository_path,
            )
        record.remote_source_id, record.repository_path = linked.remote_source_id, linked.repository_path
        record.repository_id, record.deploy_key = linked.repository_id, linked.deploy_key
        try:
            made = await self._create(request, project, record, id_=id_, more=linked.actions)
        except SluicewayError:
            await self._links.abandon(id_)
            raise
        if made.value != id_:
            await self._links.abandon(id_)  # the same request was faster
        return made

    async def _get(self, kind: type[Resource], reference: str) -> Resource:
        caller, types = current_caller(), _types_of(kind)

        def read(view: View) -> Resource:
            return _resource(kind, view, require_right(view, caller, reference, types), self._kept)

        # The interceptor has found it at the same position or an earlier one.
        answer = await self._database.read(read, after=requested())
        set_response_position(str(self._database.position))
        return answer

    async def _shown(self, kind: type[Resource], written: Committed[str]) -> Resource:
        """Return what the caller has just written."""
        types = _types_of(kind)

        def read(view: View) -> Resource:
            return _resource(kind, view, require(view, written.value, types), self._kept)

        return await self._database.read(read, after=written.position)

    async def _list(
        self, kind: type[Resource], request: pb.ListProjectsRequest | pb.ListProjectGroupsRequest
    ) -> tuple[list[Resource], str]:
        caller, types, where = current_caller(), _types_of(kind), {}
        if request.parent_id:
            parent = await self._database.read(
                lambda view: require_right(view, caller, request.parent_id, PARENTS), after=requested()
            )
            where["parent_id"] = parent.id

        def visible(view: View, id_: str) -> Resource | None:
            node = find(view, id_, types)
            return (
                _resource(kind, view, node, self._kept) if node and has_right(view, caller, node, Right.READ) else None
            )

        return await page_of_visible(
            self._database, PROJECT if types is _PROJECTS else PROJECT_GROUP, where, request, visible
        )

    async def _linked_again(self, project: pb.Project) -> LinkedRepository:
        if self._links is None:
            raise FailedPrecondition("this server has no git providers", reason="PUBLIC_URL_MISSING")
        found = await self._database.read(lambda view: require(view, project.id, _PROJECTS), after=requested())
        return await self._links.change_git(found.id, git=project.git)

    async def _update(
        self,
        method: str,
        resource: pb.Project | pb.ProjectGroup,
        fields: frozenset[str],
        linked: LinkedRepository | None = None,
    ) -> Committed[str]:
        """Change the fields of a node; `linked`: what its repository is from now on, if that changes."""
        caller, types = current_caller(), _types_of(type(resource))

        def update(view: View, now: datetime) -> Change[str]:
            node = require(view, resource.id, types)
            check_etag(view, node.record_type, node.id, resource.etag)
            before = cast(Record, node.record)
            after = _copy(before)
            for name in fields - {"parent_id", "git", "retention"}:
                setattr(after, name, getattr(resource, name))
            if "retention" in fields and isinstance(after, records.Project) and isinstance(resource, pb.Project):
                put_retention(after, resource.retention, self._kept, is_operator=caller.kind is CallerKind.OPERATOR)
            if linked is not None and isinstance(after, records.Project) and isinstance(resource, pb.Project):
                after.git.CopyFrom(resource.git)
                after.git.password = ""
                after.deploy_key = linked.deploy_key
            if "visibility" in fields and not resource.visibility:
                raise InvalidInput([Violation("visibility", "must be public or private")])
            if "parent_id" in fields:
                after.parent_id = _new_parent(view, caller, node, resource.parent_id)
            if after.visibility != before.visibility:
                check_right(view, caller, node, Right.MANAGE)
            if after.name != before.name:
                check_name_is_free(view, after.parent_id, after.name, except_id=node.id)
            details = _details(before, after) or (["git: credentials"] if linked is not None else [])
            if not details:
                return Change(node.id)
            subject = Subject(node.record_type.name, node.id, path_of(view, node), details)
            more = linked.actions if linked is not None else ()
            return Change(node.id, subject, [Put(node.record_type, node.id, after), *more])

        return await self._changes.commit(method, update)

    async def _delete(self, method: str, reference: str, types: Collection[NodeType], etag: str) -> None:
        def delete(view: View, now: datetime) -> Change[None]:
            node = require(view, reference, types)
            check_etag(view, node.record_type, node.id, etag)
            subject = Subject(node.record_type.name, node.id, path_of(view, node))
            return Change(None, subject, delete_subtree(node.record_type, node.id, now=now))

        await self._changes.commit(method, delete)


def _types_of(kind: type[pb.Project | pb.ProjectGroup]) -> Collection[NodeType]:
    return _PROJECTS if kind is pb.Project else GROUPS


def _new_parent(view: View, caller: Caller, node: Node, reference: str) -> str:
    parent = require_right(view, caller, reference, PARENTS)
    if parent.id != node.parent_id:
        check_right(view, caller, node, Right.MANAGE)
        check_right(view, caller, parent, Right.CONFIGURE)
        check_move(view, node, parent)
        check_projects(view, parent, moved=node)
    return parent.id


def _visibility_below(view: View, parent: Node) -> visibility_pb2.Visibility:
    """Return the visibility of what does not say its own: that of the parent; below a user, private."""
    is_public = parent.type is not NodeType.USER and not is_private(view, parent)
    return visibility_pb2.VISIBILITY_PUBLIC if is_public else visibility_pb2.VISIBILITY_PRIVATE


def _remote_faults(project: pb.Project) -> list[Violation]:
    """Return what is wrong with the repository of a new project: it has both fields, or neither."""
    missing = [name for name in _REMOTE if not getattr(project, name)]
    if project.HasField("git") and len(missing) < len(_REMOTE):
        return [Violation("project.git", "must not be given together with a repository of a remote source")]
    if len(missing) != 1:
        return []
    return [Violation(f"project.{missing[0]}", "must be given too: a repository has a remote source and a path")]


def _is_linked(project: pb.Project) -> bool:
    return bool(project.remote_source_id) or project.HasField("git")


def _fixed_remote_faults(project: pb.Project) -> list[Violation]:
    given = [name for name in _REMOTE if getattr(project, name)]
    return [Violation(f"project.{name}", "cannot be changed; create another project") for name in given]


def _copy(record: Record) -> Record:
    copied: Record = type(record)()
    copied.MergeFrom(cast(Any, record))
    return copied


def _details(before: Record, after: Record) -> list[str]:
    """Describe what an update changed, field by field."""
    names = [field.name for field in before.DESCRIPTOR.fields if not field.name.startswith("encrypted_")]
    return [
        f"{name}: {_said(name, getattr(after, name))}"
        for name in names
        if name not in {"create_time", "lengthened_retention"} and getattr(before, name) != getattr(after, name)
    ]


def _said(name: str, value: object) -> str:
    if name == "visibility":
        return visibility_pb2.Visibility.Name(cast(int, value)).removeprefix("VISIBILITY_").lower()
    if isinstance(value, pb.Retention):
        spans = [f"{field.name} {span.ToJsonString()}" for field, span in value.ListFields()]
        return ", ".join(spans) or "as the installation"
    return value.url if isinstance(value, pb.GitRepository) else str(value)


def _is_operator() -> bool:
    return current_caller().kind is CallerKind.OPERATOR


def _resource(kind: type[Resource], view: View, node: Node, kept: Kept) -> Resource:
    record = cast(Record, node.record)
    resource = kind(
        id=node.id,
        name=record.name,
        etag=etag_of(view, node.record_type, node.id),
        create_time=record.create_time,
        parent_id=record.parent_id,
        visibility=visibility_pb2.VISIBILITY_PRIVATE if is_private(view, node) else visibility_pb2.VISIBILITY_PUBLIC,
        path=path_of(view, node),
    )
    if isinstance(resource, pb.Project):
        for name in (*_SETTINGS, *_REMOTE, "deploy_key"):
            setattr(resource, name, getattr(record, name))
        if isinstance(record, records.Project):
            if record.HasField("git"):
                resource.git.CopyFrom(record.git)
            if record.HasField("retention"):
                resource.retention.CopyFrom(record.retention)
            resource.effective_retention.CopyFrom(shown_retention(kept_by(record, kept)))
    return resource
