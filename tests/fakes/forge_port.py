"""A `Forge` in memory: repositories are files by commit, and what was made there is to be looked at.

It stands for no provider in particular, and signs deliveries in a way of its own: the clients of real providers have
tests of theirs. A test sets `fault` to have all calls fail.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sluiceway_server.forges.errors import NotAtForge, TokenRefused, WebhookMalformed, WebhookRefused
from sluiceway_server.forges.port import (
    CommitStatus,
    EntryKind,
    Event,
    FolderEntry,
    ForgeUser,
    Ignored,
    Ping,
    PullRequest,
    PullRequestAction,
    Push,
    Repository,
    RepositoryPage,
)
from sluiceway_server.triggers.config_files import blob_id

__all__ = ["FakeForge", "signed"]

SIGNATURE = "x-fake-signature"


def signed(secret: str, event: Mapping[str, Any]) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a delivery."""
    body = json.dumps(event).encode()
    return {SIGNATURE: hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}, body


@dataclass
class FakeForge:
    """One repository, one user.

    Attributes:
        files: of each commit, by path.
        messages: of commits, where they matter.
        refs_: the commit of each branch and tag.
        pull_requests: by number, with at least the head `commit`.
        changed: the answer of `changed_paths`.
        fault: raised by each call.
        held: the folders of a commit are not listed before its event is set.
        webhooks: by id: URL and secret.
        keys: by id: the public key.
        statuses: as they were set, with their commit.
        calls: the names of the calls.
    """

    token: str = "token of eve"
    repository_: Repository = field(
        default_factory=lambda: Repository(
            id="7",
            path="eve/app",
            default_branch="main",
            web_url="https://git.example.org/eve/app",
            http_url="https://git.example.org/eve/app.git",
            ssh_url="ssh://git@git.example.org/eve/app.git",
            is_private=False,
            may_administrate=True,
        )
    )
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    refs_: dict[str, str] = field(default_factory=dict)
    pull_requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: tuple[str, ...] | None = None
    fault: Exception | None = None
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    webhooks: dict[str, tuple[str, str]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    statuses: list[tuple[str, CommitStatus]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def _commit(self, commit: str) -> dict[str, bytes]:
        if commit not in self.files:
            raise NotAtForge(f"there is no commit {commit}")
        return self.files[commit]

    def _check_path(self, repository: Repository) -> None:
        if repository.path != self.repository_.path:
            raise NotAtForge(f"there is no repository {repository.path}")

    def _call(self, name: str, token: str) -> None:
        self.calls.append(name)
        if self.fault is not None:
            raise self.fault
        if token != self.token:
            raise TokenRefused("the token is not known")

    async def user(self, token: str) -> ForgeUser:
        self._call("user", token)
        return ForgeUser(id="3", name="eve")

    async def repository(self, token: str, path: str) -> Repository:
        self._call("repository", token)
        if path != self.repository_.path:
            raise NotAtForge(f"there is no repository {path}")
        return self.repository_

    async def repository_by_id(self, token: str, repository_id: str) -> Repository:
        self._call("repository_by_id", token)
        if repository_id != self.repository_.id:
            raise NotAtForge(f"there is no repository {repository_id}")
        return self.repository_

    async def repositories(self, token: str, *, page: int = 1) -> RepositoryPage:
        self._call("repositories", token)
        return RepositoryPage(repositories=(self.repository_,), next_page=None)

    async def create_webhook(self, token: str, repository: Repository, *, url: str, secret: str) -> str:
        self._call("create_webhook", token)
        same = next((id_ for id_, (known, _) in self.webhooks.items() if known == url), None)
        id_ = same or str(100 + len(self.webhooks))
        self.webhooks[id_] = (url, secret)
        return id_

    async def delete_webhook(self, token: str, repository: Repository, webhook_id: str) -> None:
        self._call("delete_webhook", token)
        self.webhooks.pop(webhook_id, None)

    async def create_deploy_key(self, token: str, repository: Repository, *, title: str, public_key: str) -> str:
        self._call("create_deploy_key", token)
        same = next((id_ for id_, known in self.keys.items() if known == public_key), None)
        id_ = same or str(200 + len(self.keys))
        self.keys[id_] = public_key
        return id_

    async def delete_deploy_key(self, token: str, repository: Repository, deploy_key_id: str) -> None:
        self._call("delete_deploy_key", token)
        self.keys.pop(deploy_key_id, None)

    async def file(self, token: str, repository: Repository, path: str, commit: str) -> bytes | None:
        self._call("file", token)
        self._check_path(repository)
        return self._commit(commit).get(path)

    async def folder(
        self, token: str, repository: Repository, path: str, commit: str
    ) -> tuple[FolderEntry, ...] | None:
        self._call("folder", token)
        self._check_path(repository)
        if commit in self.held:
            await self.held[commit].wait()
        prefix = f"{path}/" if path else ""
        names: dict[str, EntryKind] = {}
        for each in self._commit(commit):
            if each.startswith(prefix):
                name, _, more = each.removeprefix(prefix).partition("/")
                names[prefix + name] = EntryKind.FOLDER if more else EntryKind.FILE
        contents = self._commit(commit)
        return (
            tuple(
                FolderEntry(path=name, kind=kind, object_id=blob_id(contents[name]) if name in contents else "")
                for name, kind in sorted(names.items())
            )
            or None
        )

    async def changed_paths(self, token: str, repository: Repository, base: str, head: str) -> tuple[str, ...] | None:
        self._call("changed_paths", token)
        return self.changed

    async def refs(self, token: str, repository: Repository) -> Mapping[str, str]:
        self._call("refs", token)
        return dict(self.refs_)

    async def pull_request(self, token: str, repository: Repository, number: str) -> PullRequest:
        self._call("pull_request", token)
        if number not in self.pull_requests:
            raise NotAtForge(f"there is no pull request {number}")
        return self._pull_request({"number": int(number), "action": "opened", **self.pull_requests[number]}, repository)

    async def pull_request_heads(self, token: str, repository: Repository) -> Mapping[str, str]:
        self._call("pull_request_heads", token)
        return {f"refs/pull/{number}/head": fields["commit"] for number, fields in self.pull_requests.items()}

    async def commit_message(self, token: str, repository: Repository, commit: str) -> str:
        self._call("commit_message", token)
        self._commit(commit)
        return self.messages.get(commit, "a commit")

    async def set_status(self, token: str, repository: Repository, commit: str, status: CommitStatus) -> None:
        self._call("set_status", token)
        self.statuses.append((commit, status))

    def read_event(self, headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> Event:
        """Read the fields of an event as `kind` names it; those of the repository are this one's."""
        expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(headers.get(SIGNATURE, ""), expected):
            raise WebhookRefused("the signature is not that of the body")
        try:
            said = json.loads(body)
            kind, id_ = said.pop("kind"), said.pop("id", "")
        except (ValueError, KeyError) as error:
            raise WebhookMalformed("this is no event") from error
        repository = Repository(
            id=said.pop("repository_id", self.repository_.id),
            path=self.repository_.path,
            default_branch="main",
            web_url=self.repository_.web_url,
            http_url=self.repository_.http_url,
            ssh_url=self.repository_.ssh_url,
            is_private=False,
        )
        if kind == "push":
            fields = {"before": None, "message": "a commit", "compare_url": "", "sender_id": "3", **said}
            fields.setdefault("commit", fields["after"])
            return Push(delivery_id=id_, repository=repository, **fields)
        if kind == "pull_request":
            return self._pull_request(said, repository, id_)
        return Ping(delivery_id=id_) if kind == "ping" else Ignored(delivery_id=id_, reason=f"{kind} starts no run")

    @staticmethod
    def _pull_request(said: Mapping[str, Any], repository: Repository, delivery_id: str = "") -> PullRequest:
        fields = {
            "sender_id": "3",
            "author_id": "3",
            "head_branch": "change",
            "base_branch": "main",
            "base_commit": None,
            "head_repository_id": repository.id,
            "is_draft": False,
            "title": "a change",
            "url": f"{repository.web_url}/pulls/{said['number']}",
            "ref": f"refs/pull/{said['number']}/head",
            **said,
        }
        fields["action"] = PullRequestAction(fields["action"])
        return PullRequest(delivery_id=delivery_id, repository=repository, **fields)
