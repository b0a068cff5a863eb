"""Logins on a database in memory, with a fake git provider behind the real client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sluiceway.api.project.v1 import linked_account_service_pb2 as account_api
from sluiceway.api.project.v1 import login_service_pb2 as api
from sluiceway.api.project.v1 import remote_source_service_pb2 as source_api
from sluiceway.records.project.v1 import records_pb2 as project_records
from sluiceway.records.trigger.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import UuidSource
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, as_caller
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.model import Put
from sluiceway_server.forges.addresses import AddressPolicy, parse_networks
from sluiceway_server.forges.http import ForgeHttp, HttpLimits
from sluiceway_server.forges.kinds import forge_at
from sluiceway_server.logins.service import LoginServicer
from sluiceway_server.projects.envelope import KEY_BYTES, Envelope, MasterKeys
from sluiceway_server.projects.records import USER
from sluiceway_server.projects.tokens import TokenAuthenticator
from sluiceway_server.triggers.grants import Grants
from sluiceway_server.triggers.linked_accounts import LinkedAccountServicer
from sluiceway_server.triggers.providers import Providers
from sluiceway_server.triggers.records import LINKED_ACCOUNT
from sluiceway_server.triggers.remote_sources import RemoteSourceServicer
from tests.fakes.clock import FakeClock
from tests.fakes.database import FakeDatabase
from tests.fakes.forge import FakeForge, Kind, fake_forge
from tests.fakes.forge.model import User
from tests.support.provider_browser import answer_at_provider, query_of

PUBLIC_URL = "https://ci.example.org"
CALLBACK = f"{PUBLIC_URL}/oauth2/callback"
OPERATOR = Caller(CallerKind.OPERATOR, "admin", frozenset("*"))
EVE = Caller(CallerKind.USER, "eve-id", frozenset("*"))


@dataclass
class Server:
    """One server of an installation. Several may have the same database."""

    database: FakeDatabase
    clock: FakeClock
    envelope: Envelope
    http: ForgeHttp
    grants: Grants
    providers: Providers
    logins: LoginServicer
    accounts: LinkedAccountServicer
    sources: RemoteSourceServicer


@dataclass
class Logins:
    """An installation with one server, and a provider with the user ann.

    Attributes:
        source_id: of the remote source `forge`.
    """

    server: Server
    forge: FakeForge
    ann: User
    source_id: str = ""
    others: list[Server] = field(default_factory=list)

    @property
    def clock(self) -> FakeClock:
        return self.server.clock

    async def update(self, **fields: Any) -> None:
        """Change the remote source."""
        request = source_api.UpdateRemoteSourceRequest(
            remote_source=source_api.RemoteSource(id=self.source_id, **fields)
        )
        request.update_mask.paths.extend(fields)
        with as_caller(OPERATOR):
            await self.server.sources.UpdateRemoteSource(request, None)

    async def begin(self, *, link_for: Caller | None = None) -> api.Authorization:
        """Begin a login, or to link an account to a caller."""
        if link_for is None:
            login = await self.server.logins.BeginLogin(api.BeginLoginRequest(remote_source_id="forge"), None)
            return login.authorization
        with as_caller(link_for):
            link = await self.server.logins.BeginLink(api.BeginLinkRequest(remote_source_id="forge"), None)
        return link.authorization

    async def answered(
        self, authorization: api.Authorization, *, name: str = "ann", answer: str = "allow", **others: str
    ) -> api.CompleteAuthorizationRequest:
        """Have a person answer at the provider; return what completes the authorization."""
        back = await answer_at_provider(authorization.url, name, answer)
        assert back.startswith(f"{CALLBACK}?")
        fields = {"flow": authorization.flow, **query_of(back), **others}
        return api.CompleteAuthorizationRequest(**fields)  # type: ignore[arg-type]  # texts only

    async def complete(self, request: api.CompleteAuthorizationRequest) -> api.CompleteAuthorizationResponse:
        return await self.server.logins.CompleteAuthorization(request, None)

    async def log_in(self, name: str = "ann") -> api.CompleteAuthorizationResponse:
        return await self.complete(await self.answered(await self.begin(), name=name))

    async def link(self, caller: Caller = EVE, name: str = "ann") -> api.CompleteAuthorizationResponse:
        return await self.complete(await self.answered(await self.begin(link_for=caller), name=name))

    async def link_with_token(self, caller: Caller, token: str) -> account_api.LinkedAccount:
        """Link an account with an access token that was made by hand."""
        account = account_api.LinkedAccount(remote_source_id="forge", access_token=token)
        request = account_api.CreateLinkedAccountRequest(user_id="me", linked_account=account)
        with as_caller(caller):
            return (await self.server.accounts.CreateLinkedAccount(request, None)).linked_account

    async def account(self, caller: Caller = EVE) -> account_api.LinkedAccount:
        """Return the only linked account of a caller."""
        with as_caller(caller):
            response = await self.server.accounts.ListLinkedAccounts(
                account_api.ListLinkedAccountsRequest(user_id="me"), None
            )
        (found,) = response.linked_accounts
        return found

    async def record(self, caller: Caller = EVE) -> records.LinkedAccountRecord:
        return await self.server.database.get(LINKED_ACCOUNT, f"{caller.id}/{self.source_id}")

    async def add_user(self, id_: str, name: str) -> None:
        await self.server.database.commit([Put(USER, id_, project_records.User(name=name))])

    async def users(self) -> dict[str, str]:
        """Return the names of all users by id."""
        return await self.server.database.read(lambda view: {id_: user.name for id_, user in view.scan(USER)})

    async def caller_of(self, token: str) -> Caller | None:
        return await TokenAuthenticator(self.server.database, clock=self.clock).authenticate(token)


def server_on(database: FakeDatabase, clock: FakeClock, envelope: Envelope) -> Server:
    """Make a server on a database."""
    ids = UuidSource(clock)
    limits = HttpLimits(connect_seconds=20, attempt_seconds=40, call_seconds=60, attempts=1)
    http = ForgeHttp(AddressPolicy(parse_networks(["127.0.0.0/8"])), limits=limits, clock=clock)
    grants = Grants(database, envelope, http, clock, ids=ids)
    providers = Providers(
        database,
        lambda kind, api_url, through=None: forge_at(kind, api_url, http if through is None else through(http)),
        grants,
    )
    return Server(
        database,
        clock,
        envelope,
        http,
        grants,
        providers,
        LoginServicer(database, providers, grants, envelope, clock, ids=ids, public_url=PUBLIC_URL),
        LinkedAccountServicer(database, providers, envelope, clock, ids=ids),
        RemoteSourceServicer(database, envelope, clock, ids=ids),
    )


@asynccontextmanager
async def _logins_at(kind: Kind, folder: Path) -> AsyncIterator[Logins]:
    clock = FakeClock()
    database = FakeDatabase(RECORD_TYPES, clock=clock)
    server = server_on(database, clock, Envelope(MasterKeys([bytes(KEY_BYTES)])))
    async with fake_forge(kind, folder) as forge:
        logins = Logins(server, forge, forge.add_user("ann"))
        application = forge.oauth2.register(CALLBACK)
        source = source_api.RemoteSource(
            name="forge",
            type=kind.product,
            api_url=forge.api_url,
            oauth2_client_id=application.client_id,
            oauth2_client_secret=application.client_secret,
            login_allowed=True,
        )
        with as_caller(OPERATOR):
            made = await server.sources.CreateRemoteSource(
                source_api.CreateRemoteSourceRequest(remote_source=source), None
            )
        logins.source_id = made.remote_source.id
        await logins.add_user(EVE.id, "eve")
        try:
            yield logins
        finally:
            for each in (server, *logins.others):
                await each.grants.close()
                await each.http.close()


LoginsAt = Callable[[Kind], AbstractAsyncContextManager[Logins]]


@pytest.fixture
def logins_at(tmp_path: Path) -> LoginsAt:
    """Return what makes an installation with a provider of a kind."""
    return lambda kind: _logins_at(kind, tmp_path)


@pytest.fixture
async def logins(logins_at: LoginsAt) -> AsyncIterator[Logins]:
    """An installation with a Gitea."""
    async with logins_at(Kind.GITEA) as made:
        yield made


@pytest.fixture(params=list(Kind), ids=lambda kind: kind.value)
async def logins_of_each(request: pytest.FixtureRequest, logins_at: LoginsAt) -> AsyncIterator[Logins]:
    """An installation with each provider."""
    async with logins_at(request.param) as made:
        yield made
