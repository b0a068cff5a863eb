"""The client of Gitea and Forgejo. API: `URL/api/v1`, documented at `URL/api/swagger`."""

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
from sluiceway_server.forges.port import Event, Ignored, PullRequestAction, Repository
from sluiceway_server.forges.signatures import verify_hex

__all__ = ["GiteaForge"]

_ACTIONS: Final = {
    "opened": PullRequestAction.OPENED,
    "synchronized": PullRequestAction.SYNCHRONIZED,
    "reopened": PullRequestAction.REOPENED,
}


class GiteaForge(HubForge):
    """Gitea or Forgejo."""

    commit_path = "git/commits"
    max_description = 255
    last_updated_first = {"sort": "recentupdate"}  # noqa: RUF012 - a ClassVar of the base class

    def __init__(self, api_url: str, http: Caller) -> None:
        super().__init__(
            Api(
                url=api_url.rstrip("/"),
                http=http,
                headers={"Accept": "application/json"},
                authorization="token",
                # Gitea returns at most 50 (MAX_RESPONSE_ITEMS) by default.
                page_size=50,
                page_size_name="limit",
            )
        )

    def webhook(self, url: str, secret: str) -> Mapping[str, object]:
        return {
            "type": "gitea",
            # False by default.
            "active": True,
            "events": ["push", "pull_request", "pull_request_sync"],
            "config": {"url": url, "content_type": "json", "secret": secret},
        }

    async def changed_paths(self, token: str, repository: Repository, base: str, head: str) -> tuple[str, ...] | None:
        """Return the union of what each commit changed: Gitea does not compare the trees.

        None if `base` is not an ancestor of `head`: what was undone is not listed then. A path that became a link
        instead of a file, or the reverse, is not listed by Gitea.
        """
        root = f"/repos/{escaped_path(repository.path)}/compare"
        base, head = check_commit(base), check_commit(head)
        # Signatures are not used, and take time to verify.
        query = {"verification": "false"}
        try:
            undone = await self._api.read(token, f"{root}/{head}...{base}", shapes.COMPARISON, query)
            done = await self._api.read(token, f"{root}/{base}...{head}", shapes.COMPARISON, query)
        except (NotAtForge, ForgeResponseTooLarge):
            return None
        commits = done.commits or []
        if undone.total_commits or len(commits) != done.total_commits:
            return None
        paths: set[str] = set()
        for commit in commits:
            if commit.files is None:
                return None
            paths.update(file.filename for file in commit.files)
        return tuple(sorted(paths))

    def read_event(self, headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> Event:
        lower = header_map(headers)
        check_form(lower, body)
        verify_hex(lower.get("x-gitea-signature", lower.get("x-forgejo-signature")), body, secret)
        delivery_id = event_header(lower, "x-gitea-delivery", "x-forgejo-delivery")
        match event_header(lower, "x-gitea-event", "x-forgejo-event"):
            case "push":
                return read_push(delivery_id, body)
            case "pull_request":
                return read_pull_request(delivery_id, body, _ACTIONS)
            case "":
                raise WebhookMalformed("the delivery has no header X-Gitea-Event")
            case other:
                return Ignored(delivery_id=delivery_id, reason=f"events of the kind {other} start no run")
