"""Events of GitLab. Pure."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import TypeAdapter

from sluiceway_server.forges.deliveries import ignored_ref, parse
from sluiceway_server.forges.errors import WebhookMalformed
from sluiceway_server.forges.events import Event, Ignored, PullRequest, PullRequestAction, Push
from sluiceway_server.forges.repository import Repository
from sluiceway_server.forges.shapes import (
    Branch,
    BranchOrEmpty,
    CloneUrl,
    CommitId,
    CommitIdOrZero,
    Id,
    Link,
    Message,
    RefName,
    RepositoryPath,
    Shape,
    Title,
    UserId,
)

__all__ = ["read_merge_request", "read_push"]

_PUBLIC: Final = 20


class _Project(Shape):
    id: Id
    path_with_namespace: RepositoryPath
    default_branch: BranchOrEmpty = ""
    web_url: Link = ""
    git_http_url: CloneUrl = ""
    git_ssh_url: CloneUrl = ""
    visibility_level: int = 0

    def repository(self) -> Repository:
        return Repository(
            id=str(self.id),
            path=self.path_with_namespace,
            default_branch=self.default_branch,
            web_url=self.web_url,
            http_url=self.git_http_url,
            ssh_url=self.git_ssh_url,
            is_private=self.visibility_level != _PUBLIC,
        )


class _Commit(Shape):
    id: CommitId
    message: Message = ""


class _Push(Shape):
    object_kind: Literal["push", "tag_push"]
    ref: RefName
    before: CommitIdOrZero
    after: CommitIdOrZero
    checkout_sha: CommitId | None = None
    message: Message = ""
    commits: tuple[_Commit, ...] = ()
    user_id: UserId
    project_id: Id
    project: _Project


class _User(Shape):
    id: UserId


class _Attributes(Shape):
    iid: Id
    state: str
    source_branch: Branch
    target_branch: Branch
    source_project_id: Id | None = None
    target_project_id: Id
    last_commit: _Commit
    author_id: UserId
    title: Title
    url: Link = ""
    draft: bool = False


class _MergeRequest(Shape):
    object_kind: Literal["merge_request"]
    user: _User
    project: _Project
    object_attributes: _Attributes


class _ActionAttributes(Shape):
    action: str = ""
    oldrev: str | None = None


class _Action(Shape):
    object_attributes: _ActionAttributes


_PUSH = TypeAdapter(_Push)
_ACTION = TypeAdapter(_Action)
_MERGE_REQUEST = TypeAdapter(_MergeRequest)


def read_push(delivery_id: str, body: bytes) -> Event:
    """Return the event of a push of a branch or a tag."""
    push = parse(_PUSH, body)
    if push.project.id != push.project_id:
        raise WebhookMalformed("the event names two projects")
    ignored = ignored_ref(delivery_id, push.ref)
    if ignored is not None:
        return ignored
    if push.before == push.after:
        return Ignored(delivery_id=delivery_id, reason=f"{push.ref} did not move")
    # `after` of an annotated tag is the tag object.
    commit = push.checkout_sha if push.after is not None else None
    message = next((found.message for found in push.commits if found.id == commit), push.message)
    return Push(
        delivery_id=delivery_id,
        repository=push.project.repository(),
        sender_id=str(push.user_id),
        ref=push.ref,
        before=push.before,
        after=push.after,
        commit=commit,
        message=message if commit is not None else "",
        compare_url="",
    )


def read_merge_request(delivery_id: str, body: bytes) -> Event:
    """Return the event of a merge request."""
    attributes = parse(_ACTION, body).object_attributes
    match attributes.action:
        case "open":
            action = PullRequestAction.OPENED
        case "reopen":
            action = PullRequestAction.REOPENED
        case "update" if attributes.oldrev:
            # Without `oldrev`, the commits are the same, and a title or a label has changed.
            action = PullRequestAction.SYNCHRONIZED
        case _:
            return Ignored(delivery_id=delivery_id, reason="this change of a merge request starts no run")
    event = parse(_MERGE_REQUEST, body)
    request = event.object_attributes
    if request.target_project_id != event.project.id:
        raise WebhookMalformed("the event names two projects")
    if request.state != "opened":
        return Ignored(delivery_id=delivery_id, reason="the merge request is not open")
    return PullRequest(
        delivery_id=delivery_id,
        repository=event.project.repository(),
        sender_id=str(event.user.id),
        author_id=str(request.author_id),
        action=action,
        number=request.iid,
        ref=f"refs/merge-requests/{request.iid}/head",
        commit=request.last_commit.id,
        head_branch=request.source_branch,
        base_branch=request.target_branch,
        base_commit=None,
        head_repository_id=None if request.source_project_id is None else str(request.source_project_id),
        is_draft=request.draft,
        title=request.title,
        url=request.url,
    )
