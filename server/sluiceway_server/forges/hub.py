"""The part of the client that is the same for GitHub and for Gitea (Forgejo), whose API follows GitHub's."""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import ClassVar, Final, TypeVar

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.locations import ref_fault
from sluiceway_common.foundation.texts import shown
from sluiceway_server.forges import hub_shapes as shapes
from sluiceway_server.forges.api import Api, check_commit, check_file_path, check_id, escaped_path, on_repository
from sluiceway_server.forges.errors import BadForgeResponse, ForgeResponseTooLarge, NotAtForge
from sluiceway_server.forges.hub_shapes import pull_request_event
from sluiceway_server.forges.port import (
    MAX_FILE_BYTES,
    MAX_PULL_REQUESTS,
    CommitState,
    CommitStatus,
    EntryKind,
    Event,
    FolderEntry,
    ForgeUser,
    PullRequest,
    PullRequestAction,
    Repository,
    RepositoryPage,
)
from sluiceway_server.forges.responses import parsed

__all__ = ["HubForge"]

T = TypeVar("T")

_KINDS: Final = {
    "file": EntryKind.FILE,
    "dir": EntryKind.FOLDER,
    "symlink": EntryKind.LINK,
    "submodule": EntryKind.SUBMODULE,
}
_STATES: Final[Mapping[CommitState, str]] = {
    CommitState.PENDING: "pending",
    CommitState.RUNNING: "pending",
    CommitState.WAITING: "pending",
    CommitState.SUCCESS: "success",
    CommitState.FAILURE: "failure",
    CommitState.ERROR: "error",
    CommitState.CANCELLED: "error",
}
"""What the providers call the states of a commit status."""


class HubForge(ABC):
    """A provider with GitHub's API, or one that follows it."""

    commit_path: ClassVar[str]
    """Where a commit is, below the repository."""
    max_description: ClassVar[int]
    # How a list of pull requests is asked for in this order.
    last_updated_first: ClassVar[Mapping[str, str]]
    """Characters of the description of a commit status."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def user(self, token: str) -> ForgeUser:
        user = await self._api.read(token, "/user", shapes.USER)
        return ForgeUser(id=str(user.id), name=user.login)

    async def repository(self, token: str, path: str) -> Repository:
        found = await self._api.read(token, f"/repos/{escaped_path(path)}", shapes.REPOSITORY)
        return found.repository()

    async def repository_by_id(self, token: str, repository_id: str) -> Repository:
        number = check_id("repository_id", repository_id)
        found = await self._api.read(token, f"/repositories/{number}", shapes.REPOSITORY)
        if str(found.id) != repository_id:
            raise BadForgeResponse(f"the provider returned repository {found.id} instead of {repository_id}")
        return found.repository()

    async def repositories(self, token: str, *, page: int = 1) -> RepositoryPage:
        found = await self._api.page(token, "/user/repos", page)
        return RepositoryPage(
            repositories=tuple(shape.repository() for shape in parsed(found.response, shapes.REPOSITORIES)),
            next_page=page + 1 if found.has_next else None,
        )

    async def create_webhook(self, token: str, repository: Repository, *, url: str, secret: str) -> str:
        if not secret:
            raise InvalidInput([Violation("secret", "must not be empty: deliveries would not be signed")])

        async def create(where: Repository) -> str:
            hooks = f"{_root(where)}/hooks"
            old = [hook.id async for hook in self._api.pages(token, hooks, shapes.HOOKS) if hook.config.url == url]
            for hook_id in old:
                await self._api.delete(token, f"{hooks}/{hook_id}")
            made = await self._api.post(token, hooks, self.webhook(url, secret), secrets=(secret,))
            return str(parsed(made, shapes.CREATED).id)

        return await self._at(token, repository, create)

    async def delete_webhook(self, token: str, repository: Repository, webhook_id: str) -> None:
        async def delete(where: Repository) -> None:
            await self._api.delete(token, f"{_root(where)}/hooks/{check_id('webhook_id', webhook_id)}")

        await self._at(token, repository, delete)

    async def create_deploy_key(self, token: str, repository: Repository, *, title: str, public_key: str) -> str:
        async def create(where: Repository) -> str:
            keys = f"{_root(where)}/keys"
            async for key in self._api.pages(token, keys, shapes.KEYS):
                if key.key.split()[:2] == public_key.split()[:2]:
                    if key.read_only:
                        return str(key.id)
                    await self._api.delete(token, f"{keys}/{key.id}")
            made = await self._api.post(token, keys, {"title": title, "key": public_key, "read_only": True})
            return str(parsed(made, shapes.CREATED).id)

        return await self._at(token, repository, create)

    async def delete_deploy_key(self, token: str, repository: Repository, deploy_key_id: str) -> None:
        async def delete(where: Repository) -> None:
            await self._api.delete(token, f"{_root(where)}/keys/{check_id('deploy_key_id', deploy_key_id)}")

        await self._at(token, repository, delete)

    async def file(self, token: str, repository: Repository, path: str, commit: str) -> bytes | None:
        found = await self._contents(token, repository, path, commit)
        if found is None or isinstance(found, list) or found.type != "file":
            return None
        if found.size > MAX_FILE_BYTES or found.encoding != "base64" or found.content is None:
            raise ForgeResponseTooLarge(f"{path} has more than {MAX_FILE_BYTES} bytes", subject=path)
        try:
            content = base64.b64decode(found.content)
        except (binascii.Error, ValueError) as error:
            raise BadForgeResponse(f"the provider returned {path} in no base64") from error
        return content

    async def folder(
        self, token: str, repository: Repository, path: str, commit: str
    ) -> tuple[FolderEntry, ...] | None:
        found = await self._contents(token, repository, path, commit)
        if not isinstance(found, list):
            return None
        if len(found) >= self.max_entries:
            raise ForgeResponseTooLarge(f"the folder {path} has {self.max_entries} entries or more", subject=path)
        return tuple(sorted((_entry(content) for content in found), key=lambda entry: entry.path))

    @property
    def max_entries(self) -> int:
        """Return with how many entries a list of a folder may be incomplete."""
        return 1000

    @abstractmethod
    async def changed_paths(
        self, token: str, repository: Repository, base: str, head: str
    ) -> tuple[str, ...] | None: ...

    async def refs(self, token: str, repository: Repository) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for kind, prefix in (("branches", "refs/heads/"), ("tags", "refs/tags/")):
            async for ref in self._api.pages(token, f"{_root(repository)}/{kind}", shapes.REFS, conditional=True):
                if ref_fault(prefix + ref.name) is None:
                    found[prefix + ref.name] = ref.commit.id
        return found

    async def pull_request(self, token: str, repository: Repository, number: str) -> PullRequest:
        path = f"{_root(repository)}/pulls/{check_id('pull_request_id', number)}"
        found = await self._api.read(token, path, shapes.PULL_REQUEST)
        if str(found.number) != number or found.base.repo is None or str(found.base.repo.id) != repository.id:
            raise BadForgeResponse(f"the provider returned another pull request instead of {number}")
        return pull_request_event(found, repository, number=found.number, action=PullRequestAction.OPENED)

    async def pull_request_heads(self, token: str, repository: Repository) -> Mapping[str, str]:
        found: dict[str, str] = {}
        query = {"state": "open", **self.last_updated_first}
        path = f"{_root(repository)}/pulls"
        async for each in self._api.pages(token, path, shapes.PULL_REQUEST_HEADS, query, conditional=True):
            found[f"refs/pull/{each.number}/head"] = each.head.sha
            if len(found) >= MAX_PULL_REQUESTS:
                break
        return found

    async def commit_message(self, token: str, repository: Repository, commit: str) -> str:
        path = f"{_root(repository)}/{self.commit_path}/{check_commit(commit)}"
        return (await self._api.read(token, path, shapes.COMMIT)).commit.message

    async def set_status(self, token: str, repository: Repository, commit: str, status: CommitStatus) -> None:
        body = {
            "state": _STATES[status.state],
            "target_url": status.target_url,
            "description": shown(status.description, most=self.max_description),
            "context": status.context,
        }

        async def post(where: Repository) -> None:
            path = f"{_root(where)}/statuses/{check_commit(commit)}"
            await self._api.post(token, path, body, may_repeat=True)

        await self._at(token, repository, post)

    @abstractmethod
    def read_event(self, headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> Event: ...

    @abstractmethod
    def webhook(self, url: str, secret: str) -> Mapping[str, object]:
        """Return the body of the call that creates a webhook."""

    async def _contents(
        self, token: str, repository: Repository, path: str, commit: str
    ) -> shapes.ContentShape | list[shapes.ContentShape] | None:
        where = f"{_root(repository)}/contents/{check_file_path(path)}".rstrip("/")
        try:
            return await self._api.read(token, where, shapes.CONTENTS, {"ref": check_commit(commit)})
        except NotAtForge:
            # A 404 also means that the repository cannot be seen, or that it does not have the commit.
            await self._api.get(token, f"{_root(repository)}/{self.commit_path}/{commit}")
            return None

    async def _at(self, token: str, repository: Repository, call: Callable[[Repository], Awaitable[T]]) -> T:
        return await on_repository(repository, lambda: self.repository_by_id(token, repository.id), call)


def _root(repository: Repository) -> str:
    return f"/repos/{escaped_path(repository.path)}"


def _entry(content: shapes.ContentShape) -> FolderEntry:
    # GitHub lists a submodule as a file with a URL.
    kind = EntryKind.SUBMODULE if content.submodule_git_url else _KINDS.get(content.type, EntryKind.FILE)
    return FolderEntry(path=content.path, kind=kind, object_id=content.sha)
