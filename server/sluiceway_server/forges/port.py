"""The port of git providers: what Sluiceway asks Gitea (Forgejo), GitHub and GitLab for, in the same words for all.

A `Forge` is the API at one URL, and has no user: each call has the token of whoever it is done for. Users and
repositories are identified by their numeric ids at the provider, as decimal digits; names change.

Raises (all methods that call the provider; see `errors`):
    ForgeUnavailable: the provider cannot be reached, or fails. Retry later; calls that may be repeated have been.
    ForgeRateLimited: too many calls. Retry after `retry_after`.
    TokenRefused: the token is unknown, expired or revoked.
    RightMissing: the token, or its user, may not do this.
    NotAtForge: not there, or not to be seen with this token: providers do not tell the two apart.
    ForgeRefused: the provider does not accept the call; its message is in the error.
    BadForgeResponse: the response is not what the API is documented to return, such as a page of HTML.
    AddressRefused: the URL, or one that it redirects to, has an address that calls must not reach.
    ForgeResponseTooLarge: the response is larger than its limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sluiceway_server.forges.events import Event, Ignored, Ping, PullRequest, PullRequestAction, Push
from sluiceway_server.forges.repository import Repository

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_PULL_REQUESTS",
    "CommitState",
    "CommitStatus",
    "EntryKind",
    "Event",
    "FolderEntry",
    "Forge",
    "ForgeUser",
    "Ignored",
    "Ping",
    "PullRequest",
    "PullRequestAction",
    "Push",
    "Repository",
    "RepositoryPage",
]

MAX_FILE_BYTES = 1 << 20
"""The largest file that `Forge.file` returns: as much as a configuration may have."""
MAX_PULL_REQUESTS = 200
"""How many open pull requests are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgeUser:
    """A user at the provider. `id`: decimal digits, the only identity. `name`: the login name, for people."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryPage:
    """A page of repositories. `next_page` is the `page` of the following call, None after the last page."""

    repositories: tuple[Repository, ...]
    next_page: int | None


class EntryKind(StrEnum):
    """What an entry of a folder is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SUBMODULE = "submodule"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderEntry:
    """An entry of a folder.

    Attributes:
        path: begins at the top of the repository.
        kind: what it is.
        object_id: of git, which is a digest of the content; empty: the provider does not return it.
    """

    path: str
    kind: EntryKind
    object_id: str = ""


class CommitState(StrEnum):
    """The state of a commit status. Each client translates it into what its provider has."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """For a person's approval. Providers have no such state; the description says it."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStatus:
    """A status of a commit. The newest one of each `context` counts.

    Attributes:
        context: the name under which the provider shows it.
        state: the state.
        target_url: the page that it links to.
        description: one line; cut to what the provider takes.
        ref: the branch or tag, without `refs/heads/` or `refs/tags/`, or empty if there is none, as for a pull request.
            Only GitLab uses it: without, the status may appear in another pipeline of the same commit.
    """

    context: str
    state: CommitState
    target_url: str
    description: str
    ref: str = ""


class Forge(Protocol):
    """One git provider, at one URL. What its methods raise is listed in the docstring of the module."""

    async def user(self, token: str) -> ForgeUser:
        """Return the user whose token it is. May be repeated."""
        ...

    async def repository(self, token: str, path: str) -> Repository:
        """Return the repository at `path`; redirects of renamed ones are followed. May be repeated."""
        ...

    async def repository_by_id(self, token: str, repository_id: str) -> Repository:
        """Return the repository with this numeric id, wherever it is now. May be repeated."""
        ...

    async def repositories(self, token: str, *, page: int = 1) -> RepositoryPage:
        """Return a page of the repositories that the user may see. May be repeated.

        The order is the provider's: a repository that is created meanwhile may move others to another page.
        """
        ...

    async def create_webhook(self, token: str, repository: Repository, *, url: str, secret: str) -> str:
        """Create an active webhook for pushes, tags and pull requests, and return its id.

        A webhook with the same URL that is there already is replaced, so the call may be repeated.
        """
        ...

    async def delete_webhook(self, token: str, repository: Repository, webhook_id: str) -> None:
        """Delete a webhook. Succeeds if it is gone already. May be repeated."""
        ...

    async def create_deploy_key(self, token: str, repository: Repository, *, title: str, public_key: str) -> str:
        """Create a deploy key with read access from a public key (`ssh-ed25519 AAAA...`), and return its id.

        If the repository has the key already, its id is returned, so the call may be repeated.
        """
        ...

    async def delete_deploy_key(self, token: str, repository: Repository, deploy_key_id: str) -> None:
        """Delete a deploy key. Succeeds if it is gone already. May be repeated."""
        ...

    async def file(self, token: str, repository: Repository, path: str, commit: str) -> bytes | None:
        """Return a file of a commit, or None if the commit has no file there. May be repeated.

        Raises:
            ForgeResponseTooLarge: the file has more than `MAX_FILE_BYTES`.
        """
        ...

    async def folder(
        self, token: str, repository: Repository, path: str, commit: str
    ) -> tuple[FolderEntry, ...] | None:
        """Return the entries of a folder of a commit, by path, or None if the commit has none there. May be repeated.

        An empty `path` is the top of the repository.
        """
        ...

    async def changed_paths(self, token: str, repository: Repository, base: str, head: str) -> tuple[str, ...] | None:
        """Return the paths that the commits after `base` up to `head` changed, sorted. May be repeated.

        A path that was renamed is there with both names. None: the provider does not list all; then any path may have
        changed.
        """
        ...

    async def refs(self, token: str, repository: Repository) -> Mapping[str, str]:
        """Return the commit of each branch and tag, by the full name of the ref. May be repeated.

        Not atomic: a ref that moves meanwhile may be missing.
        """
        ...

    async def pull_request(self, token: str, repository: Repository, number: str) -> PullRequest:
        """Return a pull request (GitLab: merge request) as it is now, open or not. May be repeated.

        As an event that opens it, without the id of a delivery; the sender is the author.

        Args:
            token: of a user who may see it.
            repository: the base repository.
            number: decimal digits, as people name it.
        """
        ...

    async def pull_request_heads(self, token: str, repository: Repository) -> Mapping[str, str]:
        """Return the head commit of each open pull request, by its `PullRequest.ref`. May be repeated.

        Those that were updated last, at most `MAX_PULL_REQUESTS`. Not atomic.
        """
        ...

    async def commit_message(self, token: str, repository: Repository, commit: str) -> str:
        """Return the message of a commit. May be repeated."""
        ...

    async def set_status(self, token: str, repository: Repository, commit: str, status: CommitStatus) -> None:
        """Set a status of a commit. Setting the present state again succeeds. May be repeated."""
        ...

    def read_event(self, headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> Event:
        """Verify the signature of a delivery for its exact body, and return its event. Pure, without I/O.

        The signature is compared in constant time, before the body is parsed.

        Args:
            headers: of the request. Names in any case.
            body: the bytes of the request, as received. 25 MiB, the largest that is read, take about 0.1 s.
            secret: the one that the webhook was created with.
            now: the wall time, for signatures that expire.

        Raises:
            WebhookRefused: there is no signature, or it is empty, wrong or expired.
            WebhookMalformed: the body is not JSON, or not an event of this provider.
        """
        ...
