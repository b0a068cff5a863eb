"""Links of projects: linked accounts, webhooks and deploy keys, and how they are taken away."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from sluiceway.api.project.v1 import linked_account_service_pb2 as api
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, as_caller
from sluiceway_server.datamanager.model import Delete
from sluiceway_server.forges.errors import ForgeUnavailable, NotAtForge
from sluiceway_server.forges.port import ForgeUser
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.triggers.git_repositories import sealed_key_name
from sluiceway_server.triggers.links import RepositoryLinks
from sluiceway_server.triggers.records import LINK, LINKED_ACCOUNT
from sluiceway_server.triggers.settings import TriggerSettings, parse_public_url
from tests.service.triggers.conftest import EVE, OPERATOR, PROJECT_ID, Triggers

OTHER = "01a22c3c-2f37-7681-b7d7-000000000000"


async def link(triggers: Triggers, caller: Caller, *, user: str = "me", token: str = "") -> api.LinkedAccount:
    account = api.LinkedAccount(remote_source_id="gitea", access_token=token or triggers.forge.token)
    with as_caller(caller):
        request = api.CreateLinkedAccountRequest(user_id=user, linked_account=account)
        return (await triggers.accounts.CreateLinkedAccount(request, None)).linked_account


async def links(triggers: Triggers) -> list[str]:
    return await triggers.database.read(lambda view: [id_ for id_, _ in view.scan(LINK)])


# -- linked accounts


async def test_access_token_is_stored_encrypted_and_never_shown(triggers: Triggers) -> None:
    with as_caller(EVE):
        listed = await triggers.accounts.ListLinkedAccounts(api.ListLinkedAccountsRequest(user_id="me"), None)
    (account,) = listed.linked_accounts
    assert (account.remote_user_id, account.remote_name, account.access_token) == ("3", "eve", "")
    stored = await triggers.database.read(lambda view: [record for _, record in view.scan(LINKED_ACCOUNT)])
    assert all(triggers.forge.token.encode() not in record.SerializeToString() for record in stored)


async def test_token_that_the_provider_refuses_is_not_linked(triggers: Triggers) -> None:
    with pytest.raises(InvalidInput, match="the token is not known"):
        await link(triggers, EVE, token="another token")


async def test_second_token_of_an_account_replaces_the_first(triggers: Triggers) -> None:
    triggers.forge.token = "a newer token"
    await link(triggers, EVE)
    found = await triggers.links._providers.account(
        EVE.id, (await triggers.database.get(LINK, PROJECT_ID)).remote_source_id
    )
    assert found.token == "a newer token"


async def test_token_of_another_account_is_refused(triggers: Triggers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def another(token: str) -> ForgeUser:
        return ForgeUser(id="4", name="mallory")

    monkeypatch.setattr(triggers.forge, "user", another)
    with pytest.raises(AlreadyExists, match="the account eve is linked"):
        await link(triggers, EVE)


async def test_account_names_the_projects_that_work_with_it(triggers: Triggers) -> None:
    async def projects(caller: Caller, user_id: str = "me") -> tuple[list[str], int]:
        with as_caller(caller):
            request = api.ListLinkedAccountsRequest(user_id=user_id)
            (account,) = (await triggers.accounts.ListLinkedAccounts(request, None)).linked_accounts
        return list(account.project_paths), account.other_projects

    (path,), others = await projects(OPERATOR, EVE.id)
    assert (path.rpartition("/")[2], others) == ("app", 0)
    # One that the user may not see any more is counted.
    elsewhere = Caller(CallerKind.USER, EVE.id, frozenset("*"), organization=OTHER)
    assert await projects(elsewhere) == ([], 1)
    await triggers.database.commit([Delete(PROJECT, PROJECT_ID)])
    assert await projects(OPERATOR, EVE.id) == ([], 0)


async def test_accounts_of_others_are_for_operators_only(triggers: Triggers) -> None:
    mallory = Caller(CallerKind.USER, "mallory-id", frozenset("*"))
    for user in (EVE.id, "eve"):
        with pytest.raises(NotFound):
            await link(triggers, mallory, user=user)
        await link(triggers, OPERATOR, user=user)


async def test_removed_account_cannot_be_used(triggers: Triggers) -> None:
    account = await link(triggers, EVE)
    with as_caller(EVE):
        request = api.DeleteLinkedAccountRequest(user_id="me", linked_account_id=account.id)
        await triggers.accounts.DeleteLinkedAccount(request, None)
        with pytest.raises(NotFound):
            await triggers.accounts.DeleteLinkedAccount(request, None)
    with pytest.raises(FailedPrecondition, match="sluice linked-account create gitea"):
        await triggers.links.install(OTHER, user_id=EVE.id, remote_source="gitea", repository_path="eve/app")


@pytest.mark.parametrize("reference", ["remote_source_id", "gitea"], ids=["id of the source", "name of the source"])
async def test_account_is_removed_by_its_remote_source(triggers: Triggers, reference: str) -> None:
    account = await link(triggers, EVE)
    found = getattr(account, reference, reference)
    request = api.DeleteLinkedAccountRequest(user_id="me", linked_account_id=found)
    with as_caller(EVE):
        await triggers.accounts.DeleteLinkedAccount(request, None)
    assert await triggers.database.read(lambda view: list(view.scan(LINKED_ACCOUNT))) == []


# -- webhook and deploy key


async def test_project_gets_a_webhook_and_a_deploy_key(triggers: Triggers) -> None:
    record = await triggers.database.get(LINK, PROJECT_ID)
    assert triggers.forge.webhooks == {
        record.webhook_id: (f"https://ci.example.org/webhooks/{PROJECT_ID}", triggers.secret)
    }
    sealed = triggers.envelope.open_(sealed_key_name(PROJECT_ID), record.encrypted_deploy_key)
    public = load_ssh_private_key(sealed, None).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert triggers.forge.keys == {record.deploy_key_id: public.decode()}
    assert public.startswith(b"ssh-ed25519 ")
    assert triggers.secret.encode() not in record.SerializeToString()


async def test_deletion_of_a_project_takes_its_hook_and_key_away(triggers: Triggers) -> None:
    await triggers.cleaner.clean()
    assert triggers.forge.webhooks
    await triggers.database.commit([Delete(PROJECT, PROJECT_ID)])
    await triggers.cleaner.clean()
    assert (triggers.forge.webhooks, triggers.forge.keys, await links(triggers)) == ({}, {}, [])


async def test_deletion_is_repeated_while_the_provider_is_away(triggers: Triggers) -> None:
    await triggers.database.commit([Delete(PROJECT, PROJECT_ID)])
    triggers.forge.fault = ForgeUnavailable("away")
    await triggers.cleaner.clean()
    triggers.forge.fault = None
    calls = len(triggers.forge.calls)
    await triggers.cleaner.clean()
    assert len(triggers.forge.calls) == calls  # not yet
    triggers.clock.advance(timedelta(hours=1))
    await triggers.cleaner.clean()
    assert (triggers.forge.webhooks, await links(triggers)) == ({}, [])


async def test_link_is_dropped_with_its_repository(triggers: Triggers) -> None:
    await triggers.database.commit([Delete(PROJECT, PROJECT_ID)])
    triggers.forge.fault = NotAtForge("gone")
    await triggers.cleaner.clean()
    assert await links(triggers) == []


async def test_failed_creation_leaves_nothing_at_the_provider(
    triggers: Triggers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*args: object, **kwargs: object) -> str:
        raise ForgeUnavailable("the connection was cut")

    with monkeypatch.context() as patched:
        patched.setattr(triggers.forge, "create_deploy_key", refused)
        with pytest.raises(Unavailable):
            await triggers.links.install(OTHER, user_id=EVE.id, remote_source="gitea", repository_path="eve/app")
    assert len(triggers.forge.webhooks) == 2
    await triggers.cleaner.clean()
    assert [url.rsplit("/", 1)[1] for url, _ in triggers.forge.webhooks.values()] == [PROJECT_ID]
    assert len(triggers.forge.keys) == 1


async def test_link_of_a_project_that_is_being_created_is_left(triggers: Triggers) -> None:
    await triggers.links.install(OTHER, user_id=EVE.id, remote_source="gitea", repository_path="eve/app")
    await triggers.cleaner.clean()
    assert len(triggers.forge.webhooks) == 2
    triggers.clock.advance(triggers.settings.installing + timedelta(seconds=1))  # the server has died
    await triggers.cleaner.clean()
    assert len(triggers.forge.webhooks) == 1


async def test_repository_that_is_not_administrated_is_refused(triggers: Triggers) -> None:
    from dataclasses import replace

    triggers.forge.repository_ = replace(triggers.forge.repository_, may_administrate=False)
    with pytest.raises(PermissionDenied, match="may not administrate eve/app"):
        await triggers.links.install(OTHER, user_id=EVE.id, remote_source="gitea", repository_path="eve/app")
    assert await links(triggers) == [PROJECT_ID]


async def test_webhook_needs_a_public_url(triggers: Triggers) -> None:
    nowhere = RepositoryLinks(
        triggers.database, triggers.links._providers, triggers.envelope, triggers.clock, settings=TriggerSettings()
    )
    with pytest.raises(FailedPrecondition, match="--public-url"):
        await nowhere.install(OTHER, user_id=EVE.id, remote_source="gitea", repository_path="eve/app")


def test_public_url_is_checked() -> None:
    assert parse_public_url("https://ci.example.org/") == "https://ci.example.org"
    for text in ("ci.example.org", "https://user:secret@ci.example.org", "https://ci.example.org?x=1"):
        with pytest.raises(InvalidInput, match="--public-url"):
            parse_public_url(text)
