"""Objects of the APIs of GitHub and of Gitea (Forgejo), as far as they are used and the same. Pure."""

from __future__ import annotations

from pydantic import AliasChoices, Field, TypeAdapter

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
    OrEmpty,
    RepositoryPath,
    Shape,
    Title,
    UserId,
)

__all__ = [
    "COMMIT",
    "COMPARISON",
    "CONTENTS",
    "CREATED",
    "HOOKS",
    "KEYS",
    "PULL_REQUEST",
    "PULL_REQUEST_HEADS",
    "REFS",
    "REPOSITORIES",
    "REPOSITORY",
    "USER",
    "ContentShape",
    "PullRequestShape",
    "RepositoryShape",
    "pull_request_event",
]


class _Permissions(Shape):
    admin: bool = False


class RepositoryShape(Shape):
    """A repository, in responses and in events."""

    id: Id
    full_name: RepositoryPath
    default_branch: BranchOrEmpty = ""
    html_url: Link = ""
    clone_url: CloneUrl = ""
    ssh_url: CloneUrl = ""
    private: bool
    permissions: _Permissions | None = None

    def repository(self) -> Repository:
        """Return it in our words."""
        return Repository(
            id=str(self.id),
            path=self.full_name,
            default_branch=self.default_branch,
            web_url=self.html_url,
            http_url=self.clone_url,
            ssh_url=self.ssh_url,
            is_private=self.private,
            may_administrate=self.permissions is not None and self.permissions.admin,
        )


class _User(Shape):
    id: Id
    login: Title


class _Created(Shape):
    id: Id


class _HookConfig(Shape):
    url: OrEmpty = ""


class _Hook(Shape):
    id: Id
    config: _HookConfig = _HookConfig()


class _Key(Shape):
    id: Id
    key: str
    read_only: bool = False


class ContentShape(Shape):
    """An entry of a folder, or a file. `content`: base64 with line breaks, for a file that is not too large."""

    type: str
    path: str
    sha: str = ""
    size: int = 0
    encoding: str | None = None
    content: str | None = None
    submodule_git_url: str | None = None


class _RefCommit(Shape):
    id: CommitId = Field(validation_alias=AliasChoices("sha", "id"))


class _Ref(Shape):
    name: str
    commit: _RefCommit


class _CommitText(Shape):
    message: Message = ""


class _Commit(Shape):
    commit: _CommitText


class _File(Shape):
    filename: str
    previous_filename: str | None = None


class _ComparedCommit(Shape):
    files: list[_File] | None = None


class _Comparison(Shape):
    """`files` and `status` are GitHub's, `commits` with their files Gitea's."""

    status: str = ""
    files: list[_File] | None = None
    total_commits: int
    commits: list[_ComparedCommit] | None = None


class _Author(Shape):
    id: UserId


class _RepositoryId(Shape):
    id: Id


class _Side(Shape):
    ref: Branch
    sha: CommitId
    repo: _RepositoryId | None = None


class PullRequestShape(Shape):
    """A pull request, in responses and in events."""

    state: str
    draft: bool = False
    title: Title
    html_url: Link = ""
    user: _Author
    head: _Side
    base: _Side


class _NumberedPullRequest(PullRequestShape):
    number: Id


class _Head(Shape):
    sha: CommitId


class _PullRequestHead(Shape):
    number: Id
    head: _Head


def pull_request_event(
    request: PullRequestShape,
    repository: Repository,
    *,
    number: int,
    action: PullRequestAction,
    delivery_id: str = "",
    sender_id: str = "",
) -> PullRequest:
    """Return a pull request of a repository in our words. Empty `sender_id`: its author."""
    author_id = str(request.user.id)
    return PullRequest(
        delivery_id=delivery_id,
        repository=repository,
        sender_id=sender_id or author_id,
        author_id=author_id,
        action=action,
        number=number,
        ref=f"refs/pull/{number}/head",
        commit=request.head.sha,
        head_branch=request.head.ref,
        base_branch=request.base.ref,
        base_commit=request.base.sha,
        head_repository_id=str(request.head.repo.id) if request.head.repo else None,
        is_draft=request.draft,
        title=request.title,
        url=request.html_url,
    )


USER = TypeAdapter(_User)
REPOSITORY = TypeAdapter(RepositoryShape)
REPOSITORIES = TypeAdapter(list[RepositoryShape])
CREATED = TypeAdapter(_Created)
HOOKS = TypeAdapter(list[_Hook])
KEYS = TypeAdapter(list[_Key])
CONTENTS: TypeAdapter[ContentShape | list[ContentShape]] = TypeAdapter(ContentShape | list[ContentShape])
REFS = TypeAdapter(list[_Ref])
COMMIT = TypeAdapter(_Commit)
COMPARISON = TypeAdapter(_Comparison)
PULL_REQUEST = TypeAdapter(_NumberedPullRequest)
PULL_REQUEST_HEADS = TypeAdapter(list[_PullRequestHead])
