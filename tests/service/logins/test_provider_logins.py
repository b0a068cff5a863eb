"""Logins and links by the authorization code flow, with each provider, and what may go wrong with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sluiceway.api.project.v1 import login_service_pb2 as api
from sluiceway.records.project.v1 import records_pb2 as project_records
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    SluicewayError,
    Unauthenticated,
)
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_server.datamanager.model import Delete, Put
from sluiceway_server.projects.records import AUDIT_RECORD, TOKEN, USER
from sluiceway_server.projects.tokens import token_id
from tests.fakes.forge import Fault
from tests.service.logins.conftest import EVE, Logins

BOB = Caller(CallerKind.USER, "bob-id", frozenset("*"))


async def refused(work: Awaitable[object], kind: type[SluicewayError] = FailedPrecondition) -> SluicewayError:
    with pytest.raises(kind) as caught:
        await work
    return caught.value


async def test_login_finds_the_user_who_linked_the_account(logins_of_each: Logins) -> None:
    logins = logins_of_each
    linked = await logins.link()
    assert (linked.token, linked.user.name, linked.linked_account.authorized) == ("", "eve", True)
    logged_in = await logins.log_in()
    assert (logged_in.user.id, logged_in.registered) == (EVE.id, False)
    caller = await logins.caller_of(logged_in.token)
    assert caller is not None
    assert (caller.kind, caller.id) == (CallerKind.USER, EVE.id)
    assert (await logins.account()).problem == ""


async def test_login_is_a_session_and_none_for_a_disabled_user(logins: Logins) -> None:
    await logins.link()
    text = (await logins.log_in()).token
    stored = await logins.server.database.get(TOKEN, token_id(text))
    assert (stored.is_session, stored.HasField("expire_time")) == (True, True)
    user = project_records.User()
    user.CopyFrom(await logins.server.database.get(USER, EVE.id))
    user.disabled = True
    await logins.server.database.commit([Put(USER, EVE.id, user)])
    assert await logins.caller_of(text) is None
    assert (await refused(logins.log_in(), Unauthenticated)).reason == "USER_DISABLED"


async def test_first_login_registers_where_it_is_allowed(logins_of_each: Logins) -> None:
    logins = logins_of_each
    error = await refused(logins.log_in(), PermissionDenied)
    assert error.reason == "LOGIN_ACCOUNT_UNKNOWN"
    assert set(await logins.users()) == {EVE.id}
    await logins.update(registration_allowed=True)
    first = await logins.log_in()
    assert (first.registered, first.user.name, first.user.operator) == (True, "ann", False)
    again = await logins.log_in()
    assert (again.registered, again.user.id) == (False, first.user.id)
    assert again.token != first.token


async def test_account_of_a_login_works_or_says_why_not(logins_of_each: Logins) -> None:
    logins = logins_of_each
    await logins.update(registration_allowed=True)
    user = Caller(CallerKind.USER, (await logins.log_in()).user.id, frozenset("*"))
    if logins.forge.kind.product != "gitea":
        assert "for logins only" in (await logins.account(user)).problem
        await refused(logins.server.providers.account(user.id, logins.source_id))
        await logins.link(user)
    account = await logins.server.providers.account(user.id, logins.source_id)
    await logins.forge.add_repository(logins.ann, "acme/app")
    assert (await account.forge.repository(account.token, "acme/app")).may_administrate
    assert (await logins.account(user)).problem == ""
    # A later login has a token that can do less, or makes the one before invalid.
    await logins.log_in()
    account = await logins.server.providers.account(user.id, logins.source_id)
    assert (await account.forge.repository(account.token, "acme/app")).may_administrate
    logins.forge.oauth2.expire()
    logins.clock.advance(timedelta(hours=3))
    if logins.forge.oauth2.access_seconds is not None:
        account = await logins.server.providers.account(user.id, logins.source_id)
        assert (await account.forge.repository(account.token, "acme/app")).may_administrate


async def test_authorization_url_has_pkce_state_and_redirect_uri(logins: Logins) -> None:
    first, second = await logins.begin(), await logins.begin()
    query = {name: values[0] for name, values in parse_qs(urlsplit(first.url).query).items()}
    assert first.url.startswith(f"{logins.forge.url}/login/oauth/authorize?")
    assert query["response_type"] == "code"
    assert query["redirect_uri"] == "https://ci.example.org/oauth2/callback"
    assert (query["state"], query["code_challenge_method"]) == (first.state, "S256")
    assert len(query["code_challenge"]) == 43
    assert first.state != second.state
    for secret in (first.state, query["code_challenge"], EVE.id):
        assert secret not in first.flow


# The state, and the browser.

Change = Callable[[Logins, api.CompleteAuthorizationRequest], Awaitable[None]]


async def _forged_state(logins: Logins, request: api.CompleteAuthorizationRequest) -> None:
    request.state = request.state[:-1] + ("A" if request.state[-1] != "A" else "B")


async def _other_browser(logins: Logins, request: api.CompleteAuthorizationRequest) -> None:
    request.flow = (await logins.begin()).flow


async def _forged_flow(logins: Logins, request: api.CompleteAuthorizationRequest) -> None:
    middle = len(request.flow) // 2
    request.flow = request.flow[:middle] + "AAAAAAAA" + request.flow[middle + 8 :]


async def _no_flow(logins: Logins, request: api.CompleteAuthorizationRequest) -> None:
    request.flow = "é{}"


async def _expired(logins: Logins, request: api.CompleteAuthorizationRequest) -> None:
    logins.clock.advance(timedelta(minutes=10))


async def _used(logins: Logins, request: api.CompleteAuthorizationRequest) -> None:
    await logins.complete(request)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_forged_state, id="forged state"),
        pytest.param(_other_browser, id="flow of another browser"),
        pytest.param(_forged_flow, id="forged flow"),
        pytest.param(_no_flow, id="no flow"),
        pytest.param(_expired, id="expired by a tick"),
        pytest.param(_used, id="used before"),
    ],
)
async def test_authorization_of_another_state_is_refused(logins: Logins, change: Change) -> None:
    await logins.link()
    request = await logins.answered(await logins.begin())
    await change(logins, request)
    asked = len(logins.forge.oauth2.asked)
    error = await refused(logins.complete(request))
    assert error.reason == "OAUTH2_STATE_INVALID"
    assert len(logins.forge.oauth2.asked) == asked  # the code was not even sent


async def test_authorization_is_good_until_its_last_tick(logins: Logins) -> None:
    await logins.link()
    request = await logins.answered(await logins.begin())
    logins.clock.advance(timedelta(minutes=10) - timedelta(seconds=1))
    assert (await logins.complete(request)).user.id == EVE.id


async def test_code_of_another_authorization_is_refused_by_pkce(logins_of_each: Logins) -> None:
    """An attacker who has got a code cannot use it: its challenge is that of another verifier."""
    logins = logins_of_each
    await logins.link()
    stolen = await logins.answered(await logins.begin())
    own = await logins.answered(await logins.begin())
    own.code = stolen.code
    assert (await refused(logins.complete(own))).reason == "OAUTH2_REFUSED"


async def test_code_is_refused_the_second_time(logins_of_each: Logins) -> None:
    logins = logins_of_each
    await logins.link()
    first = await logins.answered(await logins.begin())
    await logins.complete(first)
    second = await logins.answered(await logins.begin())
    second.code = first.code
    assert (await refused(logins.complete(second))).reason == "OAUTH2_REFUSED"


# What the provider responds.


async def test_denial_is_reported_as_one(logins_of_each: Logins) -> None:
    request = await logins_of_each.answered(await logins_of_each.begin(), answer="deny")
    assert request.error == "access_denied"
    assert (await refused(logins_of_each.complete(request), PermissionDenied)).reason == "OAUTH2_DENIED"


async def test_grant_with_another_scope_is_explained(logins: Logins) -> None:
    """Gitea has one grant for a user and an application, perhaps of an older version that asked for less."""
    (application,) = logins.forge.oauth2.applications.values()
    logins.forge.oauth2.grants[application.client_id, logins.ann.id] = "read:user"
    error = await refused(logins.complete(await logins.answered(await logins.begin())))
    assert error.reason == "OAUTH2_REFUSED"
    assert "a grant exists with different scope" in error.message


async def test_neither_code_nor_error_is_refused(logins: Logins) -> None:
    request = await logins.answered(await logins.begin())
    request.code = ""
    assert (await refused(logins.complete(request))).reason == "OAUTH2_REFUSED"


async def test_wrong_client_secret_is_explained(logins_of_each: Logins) -> None:
    await logins_of_each.update(oauth2_client_secret="wrong")
    request = await logins_of_each.answered(await logins_of_each.begin())
    error = await refused(logins_of_each.complete(request))
    assert error.reason == "OAUTH2_REFUSED"
    assert "client secret" in error.message
    assert "wrong" not in error.message
    assert request.code not in error.message


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        pytest.param(500, "PROVIDER_UNAVAILABLE", id="500"),
        pytest.param(502, "PROVIDER_UNAVAILABLE", id="502 as HTML"),
        pytest.param(200, "PROVIDER_RESPONSE_INVALID", id="200 as HTML"),
        pytest.param(400, "PROVIDER_RESPONSE_INVALID", id="400 as HTML"),
        pytest.param(302, "PROVIDER_RESPONSE_INVALID", id="redirect without a target"),
        pytest.param(404, "PROVIDER_NOT_FOUND", id="404"),
    ],
)
async def test_fault_of_the_token_endpoint_is_reported(logins_of_each: Logins, status: int, reason: str) -> None:
    logins = logins_of_each
    await logins.link()
    request = await logins.answered(await logins.begin())
    logins.forge.oauth2.faults.append(status)
    assert (await refused(logins.complete(request), SluicewayError)).reason == reason
    # It has no effect, so that the same browser may come again with a new code.
    assert (await logins.log_in()).user.id == EVE.id


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR_HTML, Fault.WRONG_CONTENT_TYPE, Fault.REDIRECT_PRIVATE])
async def test_fault_of_the_api_registers_nobody(logins_of_each: Logins, fault: Fault) -> None:
    await logins_of_each.update(registration_allowed=True)
    request = await logins_of_each.answered(await logins_of_each.begin())
    logins_of_each.forge.faults.append(fault)
    await refused(logins_of_each.complete(request), SluicewayError)
    assert set(await logins_of_each.users()) == {EVE.id}


# Who is who.


async def test_same_name_with_another_id_is_another_user(logins_of_each: Logins) -> None:
    logins = logins_of_each
    await logins.link()
    logins.ann.name = "ann-old"
    logins.forge.add_user("ann")
    assert (await refused(logins.log_in("ann"), PermissionDenied)).reason == "LOGIN_ACCOUNT_UNKNOWN"
    await logins.update(registration_allowed=True)
    other = await logins.log_in("ann")
    assert (other.registered, other.user.name) == (True, "ann")
    assert (await logins.log_in("ann-old")).user.id == EVE.id


async def test_name_of_a_local_user_gives_no_access_to_it(logins: Logins) -> None:
    await logins.update(registration_allowed=True)
    await logins.add_user("local-ann", "Ann")
    registered = (await logins.log_in()).user
    assert (registered.name, registered.id != "local-ann") == ("ann-2", True)


async def test_registration_never_adopts_tokens_made_for_a_name(logins: Logins) -> None:
    """Operators may have made tokens for a name without a user; `CreateUser` of an operator adopts them."""
    await logins.update(registration_allowed=True)
    token = project_records.Token(kind=project_records.TOKEN_KIND_USER, name="old", user_id="ann")
    await logins.server.database.commit([Put(TOKEN, "f" * 64, token)])
    registered = (await logins.log_in()).user
    assert (registered.name, registered.id != "ann") == ("ann-2", True)


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("ann", "ann"),
        ("Ann.Lee_7", "Ann-Lee-7"),
        ("--x--", "x"),
        ("7up", "user-7up"),
        ("me", "me-2"),
        ("名前", "user"),
        ("a" * 60, "a" * 40),
        ("01a22c3c-2f37-7681-b7d7-e57c899c707e", "user-01a22c3c-2f37-7681-b7d7-e57c899c707"),
    ],
)
async def test_name_of_a_new_user_is_made_of_the_account(logins: Logins, remote: str, name: str) -> None:
    await logins.update(registration_allowed=True)
    logins.ann.name = remote
    back = await logins.answered(await logins.begin(), name=remote) if remote.isascii() else None
    if back is None:
        logins.ann.name = "x"
        back = await logins.answered(await logins.begin(), name="x")
        logins.ann.name = remote
    assert (await logins.complete(back)).user.name == name


async def test_account_of_another_user_cannot_be_linked(logins: Logins) -> None:
    await logins.link()
    await logins.add_user(BOB.id, "bob")
    assert (await refused(logins.link(BOB), AlreadyExists)).reason == "LINKED_ACCOUNT_TAKEN"


async def test_second_account_of_a_source_cannot_be_linked(logins: Logins) -> None:
    await logins.link()
    logins.forge.add_user("zoe")
    error = await refused(logins.link(name="zoe"), AlreadyExists)
    assert "remove that one first" in error.message
    assert (await logins.account()).remote_user_id == str(logins.ann.id)


async def test_access_token_of_several_users_identifies_none(logins: Logins) -> None:
    await logins.add_user(BOB.id, "bob")
    await logins.link_with_token(EVE, logins.ann.token)
    assert (await logins.log_in()).user.id == EVE.id
    # Gitea's login stored nothing in place of the token that was made by hand.
    assert not (await logins.account()).authorized
    await logins.link_with_token(BOB, logins.ann.token)
    assert (await refused(logins.log_in())).reason == "LOGIN_AMBIGUOUS"
    await logins.link(BOB)
    assert (await logins.log_in()).user.id == BOB.id


async def test_operator_logs_in_as_an_operator(logins: Logins) -> None:
    await logins.link()
    await logins.server.database.commit([Put(USER, EVE.id, project_records.User(name="eve", operator=True))])
    caller = await logins.caller_of((await logins.log_in()).token)
    assert caller is not None
    assert caller.kind is CallerKind.OPERATOR


async def test_deleted_user_is_not_linked(logins: Logins) -> None:
    request = await logins.answered(await logins.begin(link_for=EVE))
    await logins.server.database.commit([Delete(USER, EVE.id)])
    await refused(logins.complete(request), NotFound)


# Settings.


async def test_source_without_logins_is_refused_and_not_listed(logins: Logins) -> None:
    async def names() -> list[str]:
        response = await logins.server.logins.ListLoginSources(api.ListLoginSourcesRequest(), None)
        return [each.name for each in response.login_sources]

    assert await names() == ["forge"]
    request = await logins.answered(await logins.begin())
    await logins.update(login_allowed=False)
    assert await names() == []
    assert (await refused(logins.begin())).reason == "LOGIN_NOT_ALLOWED"
    assert (await refused(logins.complete(request))).reason == "LOGIN_NOT_ALLOWED"
    await logins.link()  # repositories may still be linked


async def test_login_page_knows_whether_there_are_passwords(logins: Logins) -> None:
    async def has_passwords() -> bool:
        return (await logins.server.logins.ListLoginSources(api.ListLoginSourcesRequest(), None)).has_passwords

    async def store(**fields: Any) -> None:
        await logins.server.database.commit([Put(USER, EVE.id, project_records.User(name="eve", **fields))])

    await store()
    assert not await has_passwords()
    await store(password_hash="$argon2id$...")
    assert await has_passwords()
    await store(password_hash="$argon2id$...", disabled=True)
    assert not await has_passwords()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"oauth2_client_id": ""}, "remote_source.login_allowed"),
        ({"login_allowed": False, "registration_allowed": True}, "remote_source.registration_allowed"),
    ],
)
async def test_settings_that_do_not_fit_are_refused(logins: Logins, fields: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await logins.update(**fields)
    assert [violation.path for violation in caught.value.violations] == [path]


async def test_client_that_is_missing_is_named(logins: Logins) -> None:
    await logins.update(login_allowed=False, oauth2_client_id="")
    assert (await refused(logins.begin(link_for=EVE))).reason == "OAUTH2_CLIENT_MISSING"


async def test_unknown_remote_source_is_not_found(logins: Logins) -> None:
    await refused(logins.server.logins.BeginLogin(api.BeginLoginRequest(remote_source_id="other"), None), NotFound)


async def test_expiry_of_the_token_is_bounded(logins: Logins) -> None:
    await logins.link()
    request = await logins.answered(await logins.begin())
    request.expire_time.FromDatetime(logins.clock.now() + timedelta(days=31))
    await refused(logins.complete(request), InvalidInput)


async def test_login_and_link_are_recorded_without_secrets(logins: Logins) -> None:
    await logins.link()
    await logins.log_in()
    audits = await logins.server.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    assert [(audit.method, audit.caller_id) for audit in audits] == [
        ("CompleteAuthorization", EVE.id),
        ("LogIn", EVE.id),
    ]
    secrets = [each.access_token for each in logins.forge.oauth2.granted]
    secrets += [each.refresh_token for each in logins.forge.oauth2.granted]
    stored = (await logins.record()).SerializeToString() + b"".join(audit.SerializeToString() for audit in audits)
    assert not [secret for secret in secrets if secret.encode() in stored]
