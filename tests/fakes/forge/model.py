"""What the fake stores, and what it records."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from pathlib import Path


class Kind(StrEnum):
    """Which provider the fake is. `FORGEJO` differs from `GITEA` in its deliveries only."""

    GITEA = "gitea"
    FORGEJO = "forgejo"
    GITHUB = "github"
    GITLAB = "gitlab"

    @property
    def product(self) -> str:
        """Return the type of the remote source."""
        return "gitea" if self is Kind.FORGEJO else self.value


class Fault(Enum):
    """What one call of the API meets instead of its response."""

    HANG = auto()
    """No response until `FakeForge.release` is called."""
    SERVER_ERROR_HTML = auto()
    WRONG_CONTENT_TYPE = auto()
    """A page of HTML, with the status 200."""
    REDIRECT_PRIVATE = auto()
    """A redirect to an address of the metadata service of clouds."""
    HUGE = auto()
    """100 MB."""
    CUT = auto()
    """The connection ends in the body."""
    RATE_LIMIT = auto()
    """429 or 403, with the provider's headers."""
    RATE_LIMIT_BARE = auto()
    """429 without headers, as HTML."""


@dataclass
class User:
    id: int
    name: str
    token: str
    is_revoked: bool = False


@dataclass
class Hook:
    id: int
    url: str
    secret: str
    is_active: bool
    events: frozenset[str]
    signing_token: str = ""


@dataclass
class Key:
    id: int
    title: str
    key: str
    read_only: bool


@dataclass
class Status:
    id: int
    sha: str
    context: str
    state: str
    target_url: str
    description: str
    ref: str = ""


@dataclass
class PullRequest:
    id: int
    number: int
    title: str
    author: User
    head_repository: Repo | None
    head_branch: str
    base_branch: str
    head: str
    is_open: bool = True


@dataclass
class Repo:
    id: int
    path: str
    owner: User
    folder: Path
    is_private: bool = True
    default_branch: str = "main"
    admins: set[int] = field(default_factory=set)
    readers: set[int] = field(default_factory=set)
    hooks: list[Hook] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    pull_requests: list[PullRequest] = field(default_factory=list)
    former_paths: list[str] = field(default_factory=list)

    def last_status(self, sha: str, context: str) -> Status | None:
        """Return the status that counts."""
        found = [status for status in self.statuses if (status.sha, status.context) == (sha, context)]
        return found[-1] if found else None


@dataclass(frozen=True)
class Call:
    """A call of the API that the fake got, and the status that it returned (0: none)."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    status: int


@dataclass
class Delivery:
    """A delivery of a webhook.

    Attributes:
        status: of the receiver's response, 0 if there was none.
        began, ended: when it was sent, and when the response was there (`time.perf_counter`).
    """

    url: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    response: str = ""
    began: float = 0.0
    ended: float = 0.0


@dataclass
class Store:
    """Users and repositories. Ids are never reused."""

    users: list[User] = field(default_factory=list)
    repositories: list[Repo] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(101))

    def user_of(self, token: str) -> User | None:
        return next((user for user in self.users if user.token == token and not user.is_revoked), None)

    def repository(self, path: str) -> Repo | None:
        return next((repo for repo in self.repositories if repo.path == path), None)

    def moved(self, path: str) -> Repo | None:
        """Return the repository that had this path before."""
        return next((repo for repo in self.repositories if path in repo.former_paths), None)

    def repository_by_id(self, number: int) -> Repo | None:
        return next((repo for repo in self.repositories if repo.id == number), None)
