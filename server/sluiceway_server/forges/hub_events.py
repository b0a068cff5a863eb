"""Events of GitHub and of Gitea (Forgejo), whose bodies have the same fields. Pure.

A Gitea delivery also has GitHub's headers. Which provider it is, the caller decides by the remote source, never by
headers.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter

from sluiceway_server.forges.deliveries import ignored_ref, parse
from sluiceway_server.forges.events import Event, Ignored, PullRequestAction, Push
from sluiceway_server.forges.hub_shapes import PullRequestShape, RepositoryShape, pull_request_event
from sluiceway_server.forges.shapes import (
    CommitId,
    CommitIdOrZero,
    Id,
    Link,
    Message,
    RefName,
    Shape,
    UserId,
)

__all__ = ["read_pull_request", "read_push"]


class _User(Shape):
    id: UserId


class _Commit(Shape):
    id: CommitId
    message: Message = ""


class _Push(Shape):
    ref: RefName
    before: CommitIdOrZero
    after: CommitIdOrZero
    head_commit: _Commit | None = None
    compare: Link = ""
    compare_url: Link = ""
    repository: RepositoryShape
    sender: _User


class _Action(Shape):
    action: str


class _PullRequestEvent(Shape):
    number: Id
    pull_request: PullRequestShape
    repository: RepositoryShape
    sender: _User


_PUSH = TypeAdapter(_Push)
_ACTION = TypeAdapter(_Action)
_PULL_REQUEST = TypeAdapter(_PullRequestEvent)


def read_push(delivery_id: str, body: bytes) -> Event:
    """Return the event of a `push`, of a branch or a tag."""
    push = parse(_PUSH, body)
    ignored = ignored_ref(delivery_id, push.ref)
    if ignored is not None:
        return ignored
    if push.before == push.after:
        return Ignored(delivery_id=delivery_id, reason=f"{push.ref} did not move")
    head = push.head_commit if push.after is not None else None
    is_branch = push.ref.startswith("refs/heads/")
    return Push(
        delivery_id=delivery_id,
        repository=push.repository.repository(),
        sender_id=str(push.sender.id),
        ref=push.ref,
        before=push.before,
        after=push.after,
        # `after` of an annotated tag can be the tag object.
        commit=push.after if is_branch else (head.id if head else None),
        message=head.message if head else "",
        compare_url=push.compare or push.compare_url,
    )


def read_pull_request(delivery_id: str, body: bytes, actions: Mapping[str, PullRequestAction]) -> Event:
    """Return the event of a `pull_request`.

    Args:
        delivery_id: of the delivery.
        body: of the delivery.
        actions: what the provider calls the actions that start runs.
    """
    name = parse(_ACTION, body).action
    action = actions.get(name)
    if action is None:
        return Ignored(delivery_id=delivery_id, reason="this change of a pull request starts no run")
    event = parse(_PULL_REQUEST, body)
    request = event.pull_request
    if request.state != "open":
        return Ignored(delivery_id=delivery_id, reason="the pull request is not open")
    return pull_request_event(
        request,
        event.repository.repository(),
        number=event.number,
        action=action,
        delivery_id=delivery_id,
        sender_id=str(event.sender.id),
    )
