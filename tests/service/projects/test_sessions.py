"""Sessions and tokens of users through a real port: what a token may make, and what ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluiceway.api.project.v1 import user_service_pb2 as pb
from sluiceway.client import Client, connect
from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_common.foundation.errors import (
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_server.logins.devices import DeviceLogins
from sluiceway_server.projects.records import TOKEN
from sluiceway_server.projects.token_uses import PRECISION, TokenUses
from sluiceway_server.projects.tokens import TokenAuthenticator, TokenSpec, make_token, token_id
from tests.fakes.clock import FakeClock
from tests.support.project_services import IDS, ServedProjects, served_projects

PASSWORD = "correct horse battery"


@pytest.fixture
async def served() -> AsyncIterator[ServedProjects]:
    async with served_projects() as running:
        yield running


async def _is_good(served: ServedProjects, token: str) -> bool:
    async with connect(served.address, token=token) as client:
        try:
            await client.organizations.list()
        except Unauthenticated:
            return False
        return True


async def _with(served: ServedProjects, token: str, method: str, *arguments: Any, **fields: Any) -> Any:
    async with connect(served.address, token=token) as client:
        return await getattr(client.users, method)(*arguments, **fields)


async def _log_out(served: ServedProjects, token: str) -> None:
    await DeviceLogins(served.database, SystemClock(), ids=UuidSource()).log_out(token)


def _in(**time: float) -> datetime:
    return datetime.now(UTC) + timedelta(**time)


# -- what ends them


async def test_session_ends_at_its_logout_and_the_token_stays(served: ServedProjects) -> None:
    text, expire = await served.clients["owner"].users.begin_session()
    assert timedelta(hours=23) < expire - datetime.now(UTC) <= timedelta(days=1)
    assert await _is_good(served, text)
    for _ in range(2):
        await _log_out(served, text)
        assert not await _is_good(served, text)
    assert await _is_good(served, served.tokens["owner"])


async def test_sessions_of_a_revoked_token_end(served: ServedProjects) -> None:
    owner = served.clients["owner"]
    text = await owner.users.create_token("owner", "laptop")
    session, _ = await _with(served, text, "begin_session")
    second, _ = await _with(served, session, "begin_session")
    _, other = await _password_session(served)
    await owner.users.revoke_token("owner", "laptop")
    assert [await _is_good(served, each) for each in (text, session, second, other)] == [False, False, False, True]


async def test_session_has_the_rights_of_its_token(served: ServedProjects) -> None:
    narrow = await served.clients["owner"].users.create_token(
        "owner", "narrow", scopes=["users:read"], expire=_in(hours=1)
    )
    session, expire = await _with(served, narrow, "begin_session")
    assert expire < _in(hours=1, minutes=1)
    with pytest.raises(PermissionDenied):
        await _with(served, session, "create_token", "owner", "more")
    with pytest.raises(InvalidInput):
        await _with(served, narrow, "begin_session", expire=_in(days=31))


async def test_executors_begin_no_session(served: ServedProjects) -> None:
    with pytest.raises(PermissionDenied):
        await served.clients["executor"].users.begin_session()
    with pytest.raises(Unauthenticated):
        await served.clients["nobody"].users.begin_session()


async def _password_session(served: ServedProjects, user: str = "owner") -> tuple[pb.User, str]:
    await served.clients["operator"].users.set_password(user, PASSWORD)
    return await served.clients["nobody"].users.log_in(user, PASSWORD)


@pytest.mark.parametrize("keep_tokens", [False, True])
async def test_new_password_ends_sessions_and_tokens(served: ServedProjects, keep_tokens: bool) -> None:
    _, session = await _password_session(served)
    _, other = await served.clients["nobody"].users.log_in("owner", PASSWORD)
    laptop = served.tokens["owner"]
    await _with(served, session, "set_password", "owner", "another password", current=PASSWORD, keep_tokens=keep_tokens)
    # That of the call stays, and so do those of others.
    assert await _is_good(served, session)
    assert not await _is_good(served, other)
    assert await _is_good(served, laptop) == keep_tokens
    assert await _is_good(served, served.tokens["member"])
    with pytest.raises(Unauthenticated):
        await served.clients["nobody"].users.log_in("owner", PASSWORD)


async def test_first_password_ends_nothing(served: ServedProjects) -> None:
    owner = served.clients["owner"]
    session, _ = await owner.users.begin_session()
    await owner.users.set_password("owner", PASSWORD)
    assert await _is_good(served, session)


async def test_disabled_user_is_refused_everywhere(served: ServedProjects) -> None:
    operator = served.clients["operator"]
    _, session = await _password_session(served)
    with pytest.raises(PermissionDenied):
        await served.clients["owner"].users.update("owner", disabled=True)
    await operator.users.update("owner", disabled=True)
    assert (await operator.users.get("owner")).disabled
    assert [await _is_good(served, each) for each in (session, served.tokens["owner"])] == [False, False]
    with pytest.raises(Unauthenticated) as refused:
        await served.clients["nobody"].users.log_in("owner", PASSWORD)
    assert refused.value.reason == "USER_DISABLED"
    with pytest.raises(Unauthenticated) as refused:
        await served.clients["nobody"].users.log_in("owner", "another password")
    assert refused.value.reason == "PASSWORD_WRONG"
    with pytest.raises(FailedPrecondition):
        await operator.users.create_token("owner", "new")
    # A token that is stored nevertheless is refused too.
    spec = TokenSpec(CallerKind.USER, "stored", user_id=IDS["owner"], scopes=frozenset({"*"}))
    stored = await make_token(served.database, spec)
    assert not await _is_good(served, stored)
    await operator.users.update("owner", disabled=False)
    assert await _is_good(served, stored)
    assert not await _is_good(served, session)


async def test_last_operator_is_not_disabled(served: ServedProjects) -> None:
    operator = served.clients["operator"]
    await operator.users.create("admin", operator=True)
    with pytest.raises(FailedPrecondition) as refused:
        await operator.users.update("admin", disabled=True)
    assert refused.value.reason == "LAST_OPERATOR_TOKEN"


async def test_session_of_the_last_operator_is_none_to_rely_on(served: ServedProjects) -> None:
    operator = served.clients["operator"]
    session, _ = await operator.users.begin_session()
    async with connect(served.address, token=session) as client:
        with pytest.raises(FailedPrecondition) as refused:
            await client.tokens.revoke(token_id(served.tokens["operator"])[:16])
    assert refused.value.reason == "LAST_OPERATOR_TOKEN"


# -- what they may make


@pytest.mark.parametrize(
    ("wanted", "granted"), [(None, timedelta(hours=2)), (timedelta(hours=1), timedelta(hours=1)), ("later", None)]
)
async def test_token_makes_none_that_is_valid_longer(served: ServedProjects, wanted: Any, granted: Any) -> None:
    short = await served.clients["owner"].users.create_token("owner", "short", expire=_in(hours=2))
    expire = _in(hours=3) if wanted == "later" else None if wanted is None else datetime.now(UTC) + wanted
    session, _ = await _with(served, short, "begin_session")
    for number, maker in enumerate((short, session)):
        if granted is None:
            with pytest.raises(PermissionDenied) as refused:
                await _with(served, maker, "create_token", "owner", f"made {number}", expire=expire)
            assert refused.value.reason == "EXPIRY_TOO_LATE"
            continue
        await _with(served, maker, "create_token", "owner", f"made {number}", expire=expire)
        (made,) = [each for each in await _tokens(served, "owner") if each.name == f"made {number}"]
        lasts = made.expire_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
        assert granted - timedelta(minutes=5) < lasts <= granted


async def test_operator_makes_none_that_is_valid_longer(served: ServedProjects) -> None:
    short = await served.clients["operator"].tokens.create("short", "operator", user_id="admin", expire=_in(hours=2))
    async with connect(served.address, token=short[1]) as client:
        with pytest.raises(PermissionDenied) as refused:
            await client.tokens.create("long", "executor", group="g", expire=_in(days=1))
        assert refused.value.reason == "EXPIRY_TOO_LATE"
        made, _ = await client.tokens.create("as long", "executor", group="g")
    assert made.expire_time == short[0].expire_time


async def test_login_with_a_password_makes_any_token(served: ServedProjects) -> None:
    _, session = await _password_session(served)
    text = await _with(served, session, "create_token", "owner", "laptop")
    await _log_out(served, session)
    assert await _is_good(served, text)


async def test_confined_operator_does_nothing_with_tokens(served: ServedProjects) -> None:
    spec = TokenSpec(CallerKind.OPERATOR, "x", user_id="admin", scopes=frozenset({"*"}), organization=IDS["acme"])
    async with connect(served.address, token=await make_token(served.database, spec)) as client:
        for call in (
            client.tokens.list(),
            client.tokens.create("more", "user"),
            client.tokens.revoke(token_id(served.tokens["owner"])[:16]),
        ):
            with pytest.raises(PermissionDenied) as refused:
                await call
            assert refused.value.reason == "TOKEN_CONFINED"
        session, _ = await client.users.begin_session()
    stored = await served.database.get(TOKEN, token_id(session))
    assert stored.organization_id == IDS["acme"]


# -- what is listed


async def _tokens(served: ServedProjects, user: str, caller: str = "owner") -> list[pb.UserToken]:
    return list(await served.clients[caller].users.tokens(user))


async def test_users_list_their_valid_tokens(served: ServedProjects) -> None:
    owner: Client = served.clients["owner"]
    await owner.users.create_token("owner", "laptop", scopes=["projects:read"], expire=_in(days=1))
    await owner.users.create_token("owner", "revoked")
    await owner.users.revoke_token("owner", "revoked")
    session, _ = await owner.users.begin_session()
    found = await _tokens(served, "owner")
    names = [each.name for each in found]
    assert names[0] == "laptop"
    assert names[1].startswith("login ")
    assert names[2:] == ["owner"]
    assert (list(found[0].scopes), found[0].session, found[0].operator) == (["projects:read"], False, False)
    assert (found[1].session, found[1].id) == (True, token_id(session)[:16])
    assert [each.id for each in await _tokens(served, "owner", "operator")] == [each.id for each in found]
    assert not any(session in str(each) for each in found)
    with pytest.raises(PermissionDenied):
        await _tokens(served, "owner", "member")
    with pytest.raises(NotFound):
        await _tokens(served, "someone")


async def test_use_of_a_token_is_stored_once_an_hour(served: ServedProjects) -> None:
    clock, database = FakeClock(), served.database
    uses = TokenUses(database, clock)
    authenticator = TokenAuthenticator(database, clock=clock, on_use=uses.note)
    text = await make_token(database, TokenSpec(CallerKind.USER, "x", user_id=IDS["owner"]), clock=clock)

    async def use() -> tuple[datetime | None, int]:
        await authenticator.authenticate(text)
        before = len(database.history)
        await uses.store()
        stored = await database.get(TOKEN, token_id(text))
        time = stored.last_use_time.ToDatetime(tzinfo=UTC) if stored.HasField("last_use_time") else None
        return time, len(database.history) - before

    first = clock.now()
    assert await use() == (first, 1)
    clock.advance(PRECISION - timedelta(seconds=1))
    assert await use() == (first, 0)
    clock.advance(timedelta(seconds=1))
    assert await use() == (clock.now(), 1)
    # One that is refused is not used.
    await authenticator.authenticate("sluice_" + "a" * 43)
    await uses.store()
    assert SystemClock().now() > first
