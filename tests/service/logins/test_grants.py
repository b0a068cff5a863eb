"""Access tokens of linked accounts: refreshed once, whoever needs them, and given up when the provider refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest

from sluiceway_common.foundation.errors import Conflict, FailedPrecondition, SluicewayError, Unavailable
from sluiceway_server.datamanager.model import Decision
from sluiceway_server.forges.port import Repository
from sluiceway_server.triggers.grants import GrantRevoked
from sluiceway_server.triggers.providers import Account
from tests.fakes.forge import Kind
from tests.service.logins.conftest import EVE, Logins, LoginsAt, Server, server_on
from tests.support.conditions import eventually

HOUR = timedelta(hours=1)


async def account(logins: Logins, server: Server | None = None) -> Account:
    return await (server or logins.server).providers.account(EVE.id, logins.source_id)


async def repository(found: Account) -> Repository:
    return await found.forge.repository(found.token, "acme/app")


@pytest.fixture
async def linked(logins: Logins) -> Logins:
    """An installation whose user eve has linked an account with a repository."""
    await logins.link()
    await logins.forge.add_repository(logins.ann, "acme/app")
    return logins


def refreshes(logins: Logins) -> int:
    return sum(form["grant_type"] == "refresh_token" for form in logins.forge.oauth2.asked)


async def refreshing(logins: Logins) -> None:
    """Wait until the provider was asked to refresh."""

    async def is_asked() -> bool:
        return refreshes(logins) > 0

    await eventually(is_asked)


async def test_token_is_refreshed_a_minute_before_it_expires(linked: Logins) -> None:
    first = (await account(linked)).token
    linked.clock.advance(HOUR - timedelta(seconds=61))
    assert (await account(linked)).token == first
    linked.clock.advance(timedelta(seconds=1))
    second = await account(linked)
    assert second.token != first
    assert refreshes(linked) == 1
    await repository(second)
    # The new refresh token was stored as well.
    linked.clock.advance(HOUR)
    await repository(await account(linked))
    assert refreshes(linked) == 2


@pytest.mark.parametrize("kind", [Kind.GITEA, Kind.FORGEJO, Kind.GITLAB])
async def test_two_servers_that_refresh_at_once_keep_the_account(logins_at: LoginsAt, kind: Kind) -> None:
    """The refresh token is for one use: whoever uses the old one as the second loses the grant."""
    async with logins_at(kind) as logins:
        logins.forge.oauth2.invalidates_refresh_tokens = True
        await logins.link()
        await logins.forge.add_repository(logins.ann, "acme/app")
        other = server_on(logins.server.database, logins.clock, logins.server.envelope)
        logins.others.append(other)
        for round_ in range(1, 4):
            logins.forge.oauth2.expire()
            logins.clock.advance(3 * HOUR)
            found = await asyncio.gather(
                *(account(logins, server) for server in (logins.server, other) for _ in range(5))
            )
            assert len({each.token for each in found}) == 1
            assert refreshes(logins) == round_
            for each in found:
                await repository(each)
        assert (await logins.account()).problem == ""


async def test_server_waits_for_the_refresh_of_another_one(linked: Logins) -> None:
    other = server_on(linked.server.database, linked.clock, linked.server.envelope)
    linked.others.append(other)
    linked.clock.advance(HOUR)
    linked.forge.oauth2.faults.append("hang")
    first = asyncio.create_task(account(linked))
    await refreshing(linked)
    second = asyncio.create_task(account(linked, other))
    await linked.server.database.linearize()
    linked.forge.release()  # with 503
    with pytest.raises(Unavailable):
        await first
    await repository(await second)
    assert refreshes(linked) == 2


async def test_token_that_expires_meanwhile_is_refreshed_in_the_call(linked: Logins) -> None:
    """Such as in the middle of the creation of a project: between two of its calls."""
    found = await account(linked)
    repo = await repository(found)
    linked.forge.oauth2.expire()
    hook = await found.forge.create_webhook(found.token, repo, url="https://ci.example.org/webhooks/1", secret="s")
    key = await found.forge.create_deploy_key(found.token, repo, title="sluiceway", public_key="ssh-ed25519 AAAA")
    assert hook
    assert key
    assert refreshes(linked) == 1
    (stored,) = linked.forge.store.repositories
    assert (len(stored.hooks), len(stored.keys)) == (1, 1)
    assert (await linked.account()).problem == ""


async def test_revoked_grant_is_said_until_it_is_linked_again(logins_of_each: Logins) -> None:
    logins = logins_of_each
    await logins.link()
    await logins.forge.add_repository(logins.ann, "acme/app")
    logins.forge.oauth2.revoke(logins.ann)
    found = await account(logins)
    with pytest.raises(GrantRevoked) as caught:
        await repository(found)
    assert caught.value.reason == "PROVIDER_TOKEN_REFUSED"
    problem = (await logins.account()).problem
    assert problem == caught.value.message
    assert "forge does not accept the authorization of the account ann" in problem
    assert "link it again" in problem
    calls = len(logins.forge.calls)
    with pytest.raises(GrantRevoked):
        await account(logins)
    assert len(logins.forge.calls) == calls
    await logins.link()
    assert (await logins.account()).problem == ""
    await repository(await account(logins))


async def test_revoked_access_token_is_said_until_it_works(logins: Logins) -> None:
    await logins.link_with_token(EVE, logins.ann.token)
    await logins.forge.add_repository(logins.ann, "acme/app")
    logins.ann.is_revoked = True
    with pytest.raises(GrantRevoked):
        await repository(await account(logins))
    assert "make another one there" in (await logins.account()).problem
    # The provider had it wrong: it is tried again.
    logins.ann.is_revoked = False
    await repository(await account(logins))
    assert (await logins.account()).problem == ""


@pytest.mark.parametrize("fault", [500, 503, 200])
async def test_refresh_that_fails_leaves_the_account_as_it_is(linked: Logins, fault: int) -> None:
    linked.clock.advance(HOUR)
    linked.forge.oauth2.faults.append(fault)
    with pytest.raises(SluicewayError):
        await account(linked)
    assert (await linked.account()).problem == ""
    await repository(await account(linked))


async def test_wrong_client_secret_does_not_revoke_the_account(linked: Logins) -> None:
    (application,) = linked.forge.oauth2.applications.values()
    await linked.update(oauth2_client_secret="wrong")
    linked.clock.advance(HOUR)
    with pytest.raises(FailedPrecondition, match="client secret"):
        await account(linked)
    assert (await linked.account()).problem == ""
    await linked.update(oauth2_client_secret=application.client_secret)
    await repository(await account(linked))


async def test_refresh_is_stored_though_its_caller_went_away(linked: Logins) -> None:
    linked.forge.oauth2.invalidates_refresh_tokens = True
    linked.forge.oauth2.faults.append("wait")
    linked.clock.advance(HOUR)
    caller = asyncio.create_task(account(linked))
    await refreshing(linked)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    linked.forge.release()
    await linked.server.grants.close()
    await repository(await account(linked))
    assert refreshes(linked) == 1


@pytest.mark.parametrize("error", [Unavailable("etcd is away"), Conflict("nobody knows", reason="OUTCOME_UNKNOWN")])
@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "applied"])
async def test_refresh_is_stored_though_the_database_fails(
    linked: Logins, monkeypatch: pytest.MonkeyPatch, error: SluicewayError, applied: bool
) -> None:
    """A refresh token for one use, and a database that is away for two commits when the new one is there."""
    linked.forge.oauth2.invalidates_refresh_tokens = True
    linked.clock.advance(HOUR)
    database, failures = linked.server.database, [error, error]
    transact = database.transact

    async def failing(function: Any, *arguments: Any, **more: Any) -> Any:
        if refreshes(linked) and failures:
            if applied:
                await transact(function, *arguments, **more)
            raise failures.pop()
        return await transact(function, *arguments, **more)

    monkeypatch.setattr(database, "transact", failing)
    await repository(await account(linked))
    assert failures == []
    await repository(await account(linked))
    assert refreshes(linked) == 1
    assert (await linked.record()).refresh_id == ""


async def test_claim_of_a_server_that_died_ends(linked: Logins) -> None:
    other = server_on(linked.server.database, linked.clock, linked.server.envelope)
    linked.others.append(other)
    linked.clock.advance(HOUR)
    record = await linked.record()
    assert await other.grants._claim(record, "of a server that dies")
    waiting = asyncio.create_task(account(linked))
    await _pass(linked)
    assert not waiting.done()
    linked.clock.advance(timedelta(minutes=3))
    await repository(await waiting)
    assert refreshes(linked) == 1


async def test_link_during_a_refresh_is_kept(linked: Logins) -> None:
    linked.clock.advance(HOUR)
    record = await linked.record()
    assert await linked.server.grants._claim(record, "slow")
    await linked.link()
    newest = linked.forge.oauth2.granted[-1].access_token

    async def late() -> None:
        await linked.server.grants._refresh(record, "slow")

    await late()
    assert (await account(linked)).token == newest


async def _pass(logins: Logins) -> None:
    """Let the other tasks run until they wait."""

    def nothing(view: object) -> Decision[None]:
        return Decision(None)

    for _ in range(10):
        await _after(logins.server.database.transact(nothing))


async def _after(work: Awaitable[object]) -> None:
    await work
    await asyncio.sleep(0)
