"""The client of GitHub: `https://api.github.com`, or `URL/api/v3` of GitHub Enterprise Server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sluiceway_server.forges import hub_shapes as shapes
from sluiceway_server.forges.api import Api, Caller, check_commit, escaped_path
from sluiceway_server.forges.deliveries import check_form, event_header, header_map
from sluiceway_server.forges.errors import ForgeResponseTooLarge, NotAtForge, WebhookMalformed
from sluiceway_server.forges.hub import HubForge
from sluiceway_server.forges.hub_events import read_pull_request, read_push
from sluiceway_server.forges.port import Event, Ignored, Ping, PullRequestAction, Repository
from sluiceway_server.forges.signatures import verify_hex

__all__ = ["GitHubForge"]

_ACTIONS: Final = {
    "opened": PullRequestAction.OPENED,
    "synchronize": PullRequestAction.SYNCHRONIZED,
    "reopened": PullRequestAction.REOPENED,
}
_API_VERSION: Final = "2022-11-28"
_MAX_COMPARED_FILES: Final = 300


class GitHubForge(HubForge):
    """GitHub."""

    commit_path = "commits"
    max_description = 140
    last_updated_first = {"sort": "updated", "direction": "desc"}  # noqa: RUF012 - a ClassVar of the base class

    def __init__(self, api_url: str, http: Caller) -> None:
        super().__init__(
            Api(
                url=api_url.rstrip("/"),
                http=http,
                headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": _API_VERSION},
                authorization="Bearer",
                page_size=100,
                page_size_name="per_page",
            )
        )

    def webhook(self, url: str, secret: str) -> Mapping[str, object]:
        return {
            "name": "web",
            "active": True,
            "events": ["push", "pull_request"],
            "config": {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"},
        }

    async def changed_paths(self, token: str, repository: Repository, base: str, head: str) -> tuple[str, ...] | None:
        """Return the paths that GitHub lists, at most 299: with 300, the list may be incomplete.

        None if `base` is not an ancestor of `head`: what was undone is not listed then.
        """
        path = f"/repos/{escaped_path(repository.path)}/compare/{check_commit(base)}...{check_commit(head)}"
        try:
            # The files are on the first page, whatever its size; the size is that of the list of commits.
            found = await self._api.read(token, path, shapes.COMPARISON, {"per_page": "1", "page": "1"})
        except (NotAtForge, ForgeResponseTooLarge):
            return None
        if found.status not in ("ahead", "identical") or found.files is None:
            return None
        if len(found.files) >= _MAX_COMPARED_FILES:
            return None
        names = {file.filename for file in found.files}
        names |= {file.previous_filename for file in found.files if file.previous_filename}
        return tuple(sorted(names))

    def read_event(self, headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> Event:
        lower = header_map(headers)
        check_form(lower, body)
        verify_hex(lower.get("x-hub-signature-256"), body, secret, prefix="sha256=")
        delivery_id = event_header(lower, "x-github-delivery")
        match event_header(lower, "x-github-event"):
            case "push":
                return read_push(delivery_id, body)
            case "pull_request":
                return read_pull_request(delivery_id, body, _ACTIONS)
            case "ping":
                return Ping(delivery_id=delivery_id)
            case "":
                raise WebhookMalformed("the delivery has no header X-GitHub-Event")
            case other:
                return Ignored(delivery_id=delivery_id, reason=f"events of the kind {other} start no run")
