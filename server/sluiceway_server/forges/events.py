"""What a webhook reports, in the same words for all providers. Pure.

An event is what its signed body says; nothing in it is proven beyond that. Identity is the numeric id of a repository
or user at its provider: names, e-mail addresses and authors of commits are texts that anybody can choose. The receiver
compares `repository.id` with the repository that the webhook belongs to.

Delivery ids: at GitHub, several webhooks get the same id for one event; at Gitea, a delivery that a person repeats has
a new one. So the key of a delivery is (remote source, project, `delivery_id`), and the key of what happened is
(project, ref, after, kind of event).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sluiceway_server.forges.repository import Repository

__all__ = ["Event", "Ignored", "Ping", "PullRequest", "PullRequestAction", "Push"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A branch or tag was created, moved or deleted.

    Attributes:
        delivery_id: the provider's id of the delivery; empty if it has none.
        repository: as the event shows it; `may_administrate` is always False.
        sender_id: the numeric id of the user who pushed.
        ref: the full name, `refs/heads/...` or `refs/tags/...`.
        before, after: object ids; `before` is None for a ref that was created, `after` for one that was deleted. Of an
            annotated tag they may be the tag object.
        commit: the commit that `ref` points to now, which may be what an annotated tag names. None if the ref was
            deleted, or if the event does not say it: then `after` has to be resolved.
        message: of that commit; empty if the event does not have it.
        compare_url: the page that shows the changes; empty if the event does not have it.
    """

    delivery_id: str
    repository: Repository
    sender_id: str
    ref: str
    before: str | None
    after: str | None
    commit: str | None
    message: str
    compare_url: str

    @property
    def is_created(self) -> bool:
        """Return whether the ref is new."""
        return self.before is None

    @property
    def is_deleted(self) -> bool:
        """Return whether the ref is gone."""
        return self.after is None


class PullRequestAction(StrEnum):
    """What happened to a pull request, as far as it matters to runs."""

    OPENED = "opened"
    SYNCHRONIZED = "synchronized"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request (GitLab: merge request) was opened, reopened, or has other commits.

    Attributes:
        delivery_id: the provider's id of the delivery; empty if it has none.
        repository: the base repository, as the event shows it; `may_administrate` is always False.
        sender_id: the numeric id of the user who did it, who need not be the author.
        author_id: the numeric id of the user who opened the pull request.
        action: what happened.
        number: the number that people use, within the repository.
        ref: the ref of the base repository with the head commit: `refs/pull/7/head`, `refs/merge-requests/7/head`. It
            moves; fetch `commit`.
        commit: the head commit.
        head_branch, base_branch: names without `refs/heads/`. The head branch is in `head_repository_id`.
        base_commit: the commit of the base branch, or None if the event does not say it.
        head_repository_id: the numeric id of the repository with the head branch; None if it was deleted.
        is_draft: the author says that it is not ready.
        title: one line.
        url: the page of the pull request.
    """

    delivery_id: str
    repository: Repository
    sender_id: str
    author_id: str
    action: PullRequestAction
    number: int
    ref: str
    commit: str
    head_branch: str
    base_branch: str
    base_commit: str | None
    head_repository_id: str | None
    is_draft: bool
    title: str
    url: str

    @property
    def is_from_fork(self) -> bool:
        """Return whether the head is of another repository, or of one that is gone: its author may be anybody."""
        return self.head_repository_id != self.repository.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """The provider tests the webhook."""

    delivery_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A genuine event that starts no run. `reason` is a sentence for the response, which has the status 200.

    Any other status would count as a failure at the provider, and at GitLab pause the webhook.
    """

    delivery_id: str
    reason: str


Event = Push | PullRequest | Ping | Ignored
