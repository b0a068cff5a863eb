"""Which client is for which type of remote source."""

from __future__ import annotations

from enum import StrEnum

from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_server.forges.api import Caller
from sluiceway_server.forges.gitea import GiteaForge
from sluiceway_server.forges.github import GitHubForge
from sluiceway_server.forges.gitlab import GitLabForge
from sluiceway_server.forges.port import Forge

__all__ = ["ForgeKind", "forge_at"]


class ForgeKind(StrEnum):
    """The types of remote sources. Forgejo is `gitea`."""

    GITEA = "gitea"
    GITHUB = "github"
    GITLAB = "gitlab"


def forge_at(kind: str, api_url: str, http: Caller) -> Forge:
    """Return the client of the provider at a URL.

    Args:
        kind: the `type` of the remote source.
        api_url: such as `https://git.example.org/api/v1`, `https://api.github.com`, `https://gitlab.com/api/v4`.
        http: sends the requests.

    Raises:
        InvalidInput: there is no such type.
    """
    match kind:
        case ForgeKind.GITEA:
            return GiteaForge(api_url, http)
        case ForgeKind.GITHUB:
            return GitHubForge(api_url, http)
        case ForgeKind.GITLAB:
            return GitLabForge(api_url, http)
        case _:
            raise InvalidInput([Violation("type", f"must be one of {', '.join(ForgeKind)}")])
