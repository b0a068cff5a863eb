"""The client of GitLab. API: `URL/api/v4`. Projects are called by their numeric ids, which survive a rename."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.locations import ref_fault
from sluiceway_common.foundation.texts import shown
from sluiceway_server.forges import gitlab_shapes as shapes
from sluiceway_server.forges.api import Api, Caller, check_commit, check_file_path, check_id, escaped, escaped_path
from sluiceway_server.forges.deliveries import check_form, event_header, header_map
from sluiceway_server.forges.errors import (
    BadForgeResponse,
    ForgeRefused,
    ForgeResponseTooLarge,
    NotAtForge,
    WebhookMalformed,
)
from sluiceway_server.forges.gitlab_events import read_merge_request, read_push
from sluiceway_server.forges.port import (
    MAX_FILE_BYTES,
    MAX_PULL_REQUESTS,
    CommitState,
    CommitStatus,
    EntryKind,
    Event,
    FolderEntry,
    ForgeUser,
    Ignored,
    PullRequest,
    Repository,
    RepositoryPage,
)
from sluiceway_server.forges.responses import parsed
from sluiceway_server.forges.signatures import signing_token, verify_signing_token, verify_token

__all__ = ["GitLabForge"]

_STATES: Final = {
    CommitState.PENDING: "pending",
    CommitState.RUNNING: "running",
    CommitState.WAITING: "pending",
    CommitState.SUCCESS: "success",
    CommitState.FAILURE: "failed",
    CommitState.ERROR: "failed",
    CommitState.CANCELLED: "canceled",
}
_KINDS: Final = {"blob": EntryKind.FILE, "tree": EntryKind.FOLDER, "commit": EntryKind.SUBMODULE}
_LINK_MODE: Final = "120000"
_SAME_STATE: Final = "Cannot transition status"
_MAX_DESCRIPTION: Final = 255
_MAX_COMPARED_FILES: Final = 1000
"""How many files a comparison may list: the smallest `diff_max_files` of GitLab. Not verified."""


class GitLabForge:
    """GitLab."""

    def __init__(self, api_url: str, http: Caller) -> None:
        self._api = Api(
            url=api_url.rstrip("/"),
            http=http,
            headers={"Accept": "application/json"},
            authorization="Bearer",
            page_size=100,
            page_size_name="per_page",
        )

    async def user(self, token: str) -> ForgeUser:
        user = await self._api.read(token, "/user", shapes.USER)
        return ForgeUser(id=str(user.id), name=user.username)

    async def repository(self, token: str, path: str) -> Repository:
        escaped_path(path)
        found = await self._api.read(token, f"/projects/{escaped(path)}", shapes.PROJECT)
        return found.repository()

    async def repository_by_id(self, token: str, repository_id: str) -> Repository:
        number = check_id("repository_id", repository_id)
        found = await self._api.read(token, f"/projects/{number}", shapes.PROJECT)
        if str(found.id) != repository_id:
            raise BadForgeResponse(f"the provider returned project {found.id} instead of {repository_id}")
        return found.repository()

    async def repositories(self, token: str, *, page: int = 1) -> RepositoryPage:
        """Return a page of the projects that the user may administrate."""
        rights = {"membership": "true", "min_access_level": str(shapes.MAINTAINER)}
        found = await self._api.page(token, "/projects", page, rights)
        return RepositoryPage(
            repositories=tuple(shape.repository() for shape in parsed(found.response, shapes.PROJECTS)),
            next_page=page + 1 if found.has_next else None,
        )

    async def create_webhook(self, token: str, repository: Repository, *, url: str, secret: str) -> str:
        if not secret:
            raise InvalidInput([Violation("secret", "must not be empty: deliveries would not be authenticated")])
        hooks = f"{_root(repository)}/hooks"
        old = [hook.id async for hook in self._api.pages(token, hooks, shapes.HOOKS) if hook.url == url]
        for hook_id in old:
            await self._api.delete(token, f"{hooks}/{hook_id}")
        signing = signing_token(secret)
        body = {
            "url": url,
            "token": secret,
            # Ignored by versions that do not sign.
            "signing_token": signing,
            "push_events": True,
            "tag_push_events": True,
            "merge_requests_events": True,
            "enable_ssl_verification": True,
        }
        made = await self._api.post(token, hooks, body, secrets=(secret, signing))
        return str(parsed(made, shapes.CREATED).id)

    async def delete_webhook(self, token: str, repository: Repository, webhook_id: str) -> None:
        await self._api.delete(token, f"{_root(repository)}/hooks/{check_id('webhook_id', webhook_id)}")

    async def create_deploy_key(self, token: str, repository: Repository, *, title: str, public_key: str) -> str:
        keys = f"{_root(repository)}/deploy_keys"
        async for key in self._api.pages(token, keys, shapes.KEYS):
            if key.key.split()[:2] == public_key.split()[:2]:
                if not key.can_push:
                    return str(key.id)
                await self._api.delete(token, f"{keys}/{key.id}")
        made = await self._api.post(token, keys, {"title": title, "key": public_key, "can_push": False})
        return str(parsed(made, shapes.CREATED).id)

    async def delete_deploy_key(self, token: str, repository: Repository, deploy_key_id: str) -> None:
        await self._api.delete(token, f"{_root(repository)}/deploy_keys/{check_id('deploy_key_id', deploy_key_id)}")

    async def file(self, token: str, repository: Repository, path: str, commit: str) -> bytes | None:
        check_file_path(path)
        where = f"{_root(repository)}/repository/files/{escaped(path)}"
        try:
            found = await self._api.read(token, where, shapes.FILE, {"ref": check_commit(commit)})
        except NotAtForge:
            await self._require_commit(token, repository, commit)
            return None
        if found.size > MAX_FILE_BYTES:
            raise ForgeResponseTooLarge(f"{path} has more than {MAX_FILE_BYTES} bytes", subject=path)
        try:
            if found.encoding != "base64":
                raise ValueError(found.encoding)
            return base64.b64decode(found.content)
        except (binascii.Error, ValueError) as error:
            raise BadForgeResponse(f"the provider returned {path} in no base64") from error

    async def folder(
        self, token: str, repository: Repository, path: str, commit: str
    ) -> tuple[FolderEntry, ...] | None:
        check_file_path(path)
        where = f"{_root(repository)}/repository/tree"
        query = {"path": path, "ref": check_commit(commit)}
        try:
            entries = [entry async for entry in self._api.pages(token, where, shapes.TREE, query)]
        except NotAtForge:
            entries = []
        if not entries:
            # Versions differ in what they return for a folder that is not there.
            await self._require_commit(token, repository, commit)
            return () if not path else None
        return tuple(sorted((_entry(entry) for entry in entries), key=lambda entry: entry.path))

    async def changed_paths(self, token: str, repository: Repository, base: str, head: str) -> tuple[str, ...] | None:
        """Return the paths that differ between the two commits.

        None if GitLab has left out the content of any file, as it does from a tenth of the limits of a comparison on:
        beyond the limits, it leaves out files, and does not say so.
        https://docs.gitlab.com/administration/diff_limits
        """
        where = f"{_root(repository)}/repository/compare"
        query = {"from": check_commit(base), "to": check_commit(head), "straight": "true"}
        try:
            found = await self._api.read(token, where, shapes.COMPARISON, query)
        except (NotAtForge, ForgeResponseTooLarge):
            return None
        if found.compare_timeout or len(found.diffs) >= _MAX_COMPARED_FILES:
            return None
        if any(diff.is_left_out() for diff in found.diffs):
            return None
        return tuple(sorted({path for diff in found.diffs for path in (diff.old_path, diff.new_path)}))

    async def refs(self, token: str, repository: Repository) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for kind, prefix in (("branches", "refs/heads/"), ("tags", "refs/tags/")):
            path = f"{_root(repository)}/repository/{kind}"
            async for ref in self._api.pages(token, path, shapes.REFS, conditional=True):
                # A tag can name an object that is no commit.
                if ref.commit is not None and ref_fault(prefix + ref.name) is None:
                    found[prefix + ref.name] = ref.commit.id
        return found

    async def pull_request(self, token: str, repository: Repository, number: str) -> PullRequest:
        path = f"{_root(repository)}/merge_requests/{check_id('pull_request_id', number)}"
        found = await self._api.read(token, path, shapes.MERGE_REQUEST)
        if str(found.iid) != number or str(found.target_project_id) != repository.id:
            raise BadForgeResponse(f"the provider returned another merge request instead of {number}")
        return found.pull_request(repository)

    async def pull_request_heads(self, token: str, repository: Repository) -> Mapping[str, str]:
        found: dict[str, str] = {}
        query = {"state": "opened", "order_by": "updated_at", "sort": "desc"}
        path = f"{_root(repository)}/merge_requests"
        async for each in self._api.pages(token, path, shapes.MERGE_REQUEST_HEADS, query, conditional=True):
            # One that was just opened may have none yet.
            if each.sha is not None:
                found[f"refs/merge-requests/{each.iid}/head"] = each.sha
            if len(found) >= MAX_PULL_REQUESTS:
                break
        return found

    async def commit_message(self, token: str, repository: Repository, commit: str) -> str:
        path = f"{_root(repository)}/repository/commits/{check_commit(commit)}"
        return (await self._api.read(token, path, shapes.COMMIT)).message

    async def set_status(self, token: str, repository: Repository, commit: str, status: CommitStatus) -> None:
        body = {
            "state": _STATES[status.state],
            "name": status.context,
            "target_url": status.target_url,
            "description": shown(status.description, most=_MAX_DESCRIPTION),
        }
        if status.ref:
            body["ref"] = status.ref
        try:
            await self._api.post(token, f"{_root(repository)}/statuses/{check_commit(commit)}", body, may_repeat=True)
        except ForgeRefused as error:
            # The status is a state machine there, and has no transition to the state that it has.
            if _SAME_STATE not in str(error):
                raise

    def read_event(self, headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> Event:
        lower = header_map(headers)
        check_form(lower, body)
        verify_token(lower.get("x-gitlab-token"), secret)
        if "webhook-signature" in lower:
            verify_signing_token(lower, body, secret, now)
        # `X-Gitlab-Webhook-UUID` is another one for each attempt.
        delivery_id = event_header(lower, "idempotency-key", "webhook-id")
        match event_header(lower, "x-gitlab-event"):
            case "Push Hook" | "Tag Push Hook":
                return read_push(delivery_id, body)
            case "Merge Request Hook":
                return read_merge_request(delivery_id, body)
            case "":
                raise WebhookMalformed("the delivery has no header X-Gitlab-Event")
            case other:
                return Ignored(delivery_id=delivery_id, reason=f"events of the kind {other} start no run")

    async def _require_commit(self, token: str, repository: Repository, commit: str) -> None:
        """Raise `NotAtForge` if the repository cannot be seen, or does not have the commit."""
        await self._api.get(token, f"{_root(repository)}/repository/commits/{check_commit(commit)}")


def _root(repository: Repository) -> str:
    return f"/projects/{check_id('repository_id', repository.id)}"


def _entry(entry: shapes.TreeShape) -> FolderEntry:
    kind = EntryKind.LINK if entry.mode == _LINK_MODE else _KINDS.get(entry.type, EntryKind.FILE)
    return FolderEntry(path=entry.path, kind=kind, object_id=entry.id)
