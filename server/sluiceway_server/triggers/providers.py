"""Calls to git providers on behalf of a linked account, or of a project with the account that linked it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.forges.api import Caller
from sluiceway_server.forges.port import Forge, Repository
from sluiceway_server.triggers.grants import Grants
from sluiceway_server.triggers.records import LINKED_ACCOUNT, REMOTE_SOURCE, account_id

__all__ = ["Account", "AccountMissing", "ForgeOf", "LinkedRepository", "Providers"]

_MOST_REMEMBERED = 1000

GitOf = Callable[[pb.LinkRecord], Awaitable[Forge]]
"""Returns the client of a repository that is read with git alone."""


class ForgeOf(Protocol):
    """Makes clients of providers."""

    def __call__(self, kind: str, api_url: str, through: Callable[[Caller], Caller] | None = None, /) -> Forge:
        """Return the client of a provider for its type and the URL of its API.

        `through` puts something before what sends its requests.
        """
        ...


class AccountMissing(FailedPrecondition):
    """The user has no linked account at the remote source, or has removed it."""

    reason = "LINKED_ACCOUNT_MISSING"


@dataclass(frozen=True, slots=True)
class Account:
    """A linked account, ready to be used.

    Attributes:
        forge: the provider's API.
        token: the access token.
    """

    forge: Forge
    token: str

    def __repr__(self) -> str:
        return "Account(***)"


@dataclass(frozen=True, slots=True)
class LinkedRepository:
    """The repository of a project, and the account that may work on it.

    Attributes:
        account: of whoever linked the project.
        repository: as the provider has it, or had it.
        is_remembered: it may have moved, or be gone, meanwhile.
    """

    account: Account
    repository: Repository
    is_remembered: bool = False


class Providers:
    """The git providers of an installation."""

    def __init__(
        self,
        database: Database,
        forge_of: ForgeOf,
        grants: Grants,
        *,
        clock: Clock | None = None,
        git_of: GitOf | None = None,
    ) -> None:
        self._database = database
        self._forge_of = forge_of
        self._grants = grants
        self._git_of = git_of
        self._clock = clock or SystemClock()
        # By remote source, user, id, and URL of git: what one user may see says nothing about another.
        self._remembered: dict[tuple[str, str, str, str], tuple[float, Repository]] = {}

    def forge(self, source: pb.RemoteSourceRecord) -> Forge:
        """Return the API of a remote source."""
        return self._forge_of(source.source.type, source.source.api_url)

    async def account(self, user_id: str, source_id: str) -> Account:
        """Return the linked account of a user.

        Raises:
            AccountMissing: there is none, or no such remote source any more.
            GrantRevoked: the provider does not accept its authorization any more.
            FailedPrecondition: the master key is missing.
            SluicewayError: the access token has expired, and cannot be refreshed now.
        """

        def read(view: View) -> tuple[pb.RemoteSourceRecord | None, pb.LinkedAccountRecord | None]:
            return view.get(REMOTE_SOURCE, source_id), view.get(LINKED_ACCOUNT, account_id(user_id, source_id))

        source, account = await self._database.read(read)
        if source is None or account is None or not account.encrypted_access_token:
            await self._database.linearize()  # it may have been linked through another server
            source, account = await self._database.read(read)
        if source is None or account is None or not account.encrypted_access_token:
            name = source_id if source is None else source.source.name
            raise AccountMissing(
                f"user {user_id} has no linked account at {name}; link one with:"
                f" sluice linked-account create {name} --access-token-file FILE",
                subject=user_id,
            )
        token = await self._grants.token(user_id, source_id, account)
        linked = account

        def through(caller: Caller) -> Caller:
            return self._grants.through(linked, caller)

        return Account(self._forge_of(source.source.type, source.source.api_url, through), token)

    async def repository(self, link: pb.LinkRecord, *, age: timedelta = timedelta(0)) -> LinkedRepository:
        """Return the repository of a project as it is at the provider now.

        Args:
            link: of the project.
            age: as it was at most so long ago. For reading a commit by its id, which is the same wherever it is.

        Raises:
            AccountMissing: whoever linked the project has removed the account.
            SluicewayError: as `forges.port`.
        """
        account = await self._account_of(link)
        key = (link.remote_source_id, link.user_id, link.repository_id, link.git.url)
        known = self._remembered.get(key)
        if known is not None and self._clock.monotonic() - known[0] < age.total_seconds():
            return LinkedRepository(account, known[1], is_remembered=True)
        self._remembered.pop(key, None)
        repository = await account.forge.repository_by_id(account.token, link.repository_id)
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[key] = (self._clock.monotonic(), repository)
        return LinkedRepository(account, repository)

    async def _account_of(self, link: pb.LinkRecord) -> Account:
        if not link.HasField("git"):
            return await self.account(link.user_id, link.remote_source_id)
        if self._git_of is None:
            raise FailedPrecondition("this server reads no repositories with git alone", reason="PROVIDER_MISSING")
        return Account(await self._git_of(link), "")
