"""Objects of GitLab's API, as far as they are used. Pure."""

from __future__ import annotations

from typing import Final

from pydantic import TypeAdapter

from sluiceway_server.forges.events import PullRequest, PullRequestAction
from sluiceway_server.forges.repository import Repository
from sluiceway_server.forges.shapes import (
    Branch,
    BranchOrEmpty,
    CloneUrl,
    CommitId,
    Id,
    Link,
    Message,
    RepositoryPath,
    Shape,
    Title,
    UserId,
)

__all__ = [
    "COMMIT",
    "COMPARISON",
    "CREATED",
    "FILE",
    "HOOKS",
    "KEYS",
    "MERGE_REQUEST",
    "MERGE_REQUEST_HEADS",
    "PROJECT",
    "PROJECTS",
    "REFS",
    "TREE",
    "USER",
    "TreeShape",
]

MAINTAINER: Final = 40
"""The access level from which webhooks and deploy keys may be created."""


class _User(Shape):
    id: Id
    username: Title


class _Access(Shape):
    access_level: int = 0


class _Permissions(Shape):
    project_access: _Access | None = None
    group_access: _Access | None = None


class ProjectShape(Shape):
    """A project, in responses."""

    id: Id
    path_with_namespace: RepositoryPath
    default_branch: BranchOrEmpty = ""
    web_url: Link = ""
    http_url_to_repo: CloneUrl = ""
    ssh_url_to_repo: CloneUrl = ""
    visibility: str
    permissions: _Permissions | None = None

    def repository(self) -> Repository:
        """Return it in our words."""
        granted = self.permissions or _Permissions()
        levels = [access.access_level for access in (granted.project_access, granted.group_access) if access]
        return Repository(
            id=str(self.id),
            path=self.path_with_namespace,
            default_branch=self.default_branch,
            web_url=self.web_url,
            http_url=self.http_url_to_repo,
            ssh_url=self.ssh_url_to_repo,
            is_private=self.visibility != "public",
            may_administrate=max(levels, default=0) >= MAINTAINER,
        )


class _Created(Shape):
    id: Id


class _Hook(Shape):
    id: Id
    url: str


class _Key(Shape):
    id: Id
    key: str
    can_push: bool = True


class _File(Shape):
    size: int
    encoding: str
    content: str


class TreeShape(Shape):
    """An entry of a folder."""

    id: str = ""
    path: str
    type: str
    mode: str = ""


class _RefCommit(Shape):
    id: CommitId


class _Ref(Shape):
    name: str
    commit: _RefCommit | None = None


class _Commit(Shape):
    message: Message = ""


class _Diff(Shape):
    old_path: str
    new_path: str
    diff: str = ""
    collapsed: bool | None = None
    too_large: bool | None = None

    def is_left_out(self) -> bool:
        """Return whether the content is not there. Older versions do not say it, and return an empty text."""
        if self.collapsed is None or self.too_large is None:
            return not self.diff
        return self.collapsed or self.too_large


class _Comparison(Shape):
    diffs: list[_Diff]
    compare_timeout: bool = False


class _Author(Shape):
    id: UserId


class _DiffRefs(Shape):
    base_sha: CommitId | None = None


class _MergeRequestHead(Shape):
    iid: Id
    sha: CommitId | None = None


class _MergeRequest(Shape):
    """A merge request. `sha` is the head commit."""

    iid: Id
    source_branch: Branch
    target_branch: Branch
    source_project_id: Id | None = None
    target_project_id: Id
    sha: CommitId
    author: _Author
    title: Title
    web_url: Link = ""
    draft: bool = False
    diff_refs: _DiffRefs | None = None

    def pull_request(self, repository: Repository) -> PullRequest:
        """Return it in our words, as an event that opens it."""
        return PullRequest(
            delivery_id="",
            repository=repository,
            sender_id=str(self.author.id),
            author_id=str(self.author.id),
            action=PullRequestAction.OPENED,
            number=self.iid,
            ref=f"refs/merge-requests/{self.iid}/head",
            commit=self.sha,
            head_branch=self.source_branch,
            base_branch=self.target_branch,
            base_commit=None if self.diff_refs is None else self.diff_refs.base_sha,
            head_repository_id=None if self.source_project_id is None else str(self.source_project_id),
            is_draft=self.draft,
            title=self.title,
            url=self.web_url,
        )


USER = TypeAdapter(_User)
PROJECT = TypeAdapter(ProjectShape)
PROJECTS = TypeAdapter(list[ProjectShape])
CREATED = TypeAdapter(_Created)
HOOKS = TypeAdapter(list[_Hook])
KEYS = TypeAdapter(list[_Key])
FILE = TypeAdapter(_File)
TREE = TypeAdapter(list[TreeShape])
REFS = TypeAdapter(list[_Ref])
COMMIT = TypeAdapter(_Commit)
COMPARISON = TypeAdapter(_Comparison)
MERGE_REQUEST = TypeAdapter(_MergeRequest)
MERGE_REQUEST_HEADS = TypeAdapter(list[_MergeRequestHead])
