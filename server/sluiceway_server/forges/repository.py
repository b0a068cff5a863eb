"""A repository at a git provider, as its API and its events describe it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Repository"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository as it was when the provider was asked.

    Attributes:
        id: decimal digits, never reused by the provider. The only identity: everything else changes.
        path: `owner/name`; at GitLab with any number of groups before the name.
        default_branch: without `refs/heads/`; empty for a repository without commits.
        web_url: its page.
        http_url: for `git clone` over HTTP, without credentials; empty if the provider has none.
        ssh_url: for `git clone` over SSH: `ssh://...`, or `user@host:path`; empty if the provider has none.
        is_private: not everybody may read it. A GitLab repository with the visibility `internal` is private.
        may_administrate: the user whose token was used may create webhooks and deploy keys.
    """

    id: str
    path: str
    default_branch: str
    web_url: str
    http_url: str
    ssh_url: str
    is_private: bool
    may_administrate: bool = False

    @property
    def git_url(self) -> str:
        """Return the URL that runs fetch from.

        A private repository is fetched over SSH, with its deploy key; any other over HTTP, without credentials. If the
        provider does not have that URL, it is the other one, and empty without either.
        """
        first, second = (self.ssh_url, self.http_url) if self.is_private else (self.http_url, self.ssh_url)
        return first or second
