"""Logins of programs that a person confirms in a browser, and the end of logins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluiceway.api.project.v1 import login_service_pb2 as api
from sluiceway.records.project.v1 import records_pb2 as project_records
from sluiceway_common.foundation.errors import (
    Exhausted,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
)
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, as_caller
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.records import DEVICE_LOGIN, TOKEN
from sluiceway_server.projects.tokens import TokenSpec, make_token, new_text
from tests.service.logins.conftest import EVE, OPERATOR, PUBLIC_URL, Logins


class Program:
    """A program that logs in."""

    def __init__(self, logins: Logins, begun: api.BeginDeviceLoginResponse) -> None:
        self.logins = logins
        self.begun = begun

    async def redeem(self) -> api.RedeemDeviceLoginResponse:
        request = api.RedeemDeviceLoginRequest(device_code=self.begun.device_code)
        return await self.logins.server.logins.RedeemDeviceLogin(request, None)

    async def answer(self, caller: Caller = EVE, *, confirmed: bool = True, code: str = "") -> None:
        request = api.AnswerDeviceLoginRequest(user_code=code or self.begun.user_code, confirmed=confirmed)
        with as_caller(caller):
            await self.logins.server.logins.AnswerDeviceLogin(request, None)


async def begin(logins: Logins, name: str = "sluice on laptop") -> Program:
    request = api.BeginDeviceLoginRequest(client_name=name)
    return Program(logins, await logins.server.logins.BeginDeviceLogin(request, None))


async def log_out(logins: Logins, token: str) -> None:
    await logins.server.logins.LogOut(api.LogOutRequest(token=token), None)


async def test_program_gets_a_token_of_who_confirmed_it_once(logins: Logins) -> None:
    program = await begin(logins)
    assert program.begun.verification_uri == f"{PUBLIC_URL}/device"
    assert program.begun.verification_uri_complete == f"{PUBLIC_URL}/device?code={program.begun.user_code}"
    assert (await program.redeem()).token == ""
    await program.answer()
    answer = await program.redeem()
    assert (answer.user.id, answer.user.name) == (EVE.id, "eve")
    assert await logins.caller_of(answer.token) == EVE
    with pytest.raises(NotFound):
        await program.redeem()


async def test_person_sees_what_asks(logins: Logins) -> None:
    program = await begin(logins, "sluice on \u202elaptop\n")
    with as_caller(EVE):
        request = api.GetDeviceLoginRequest(user_code=program.begun.user_code.lower().replace("-", " "))
        shown = (await logins.server.logins.GetDeviceLogin(request, None)).device_login
    assert shown.user_code == program.begun.user_code
    assert shown.client_name.isprintable()
    assert "laptop" in shown.client_name


async def test_denied_login_says_so(logins: Logins) -> None:
    program = await begin(logins)
    await program.answer(confirmed=False)
    with pytest.raises(PermissionDenied) as caught:
        await program.redeem()
    assert caught.value.reason == "DEVICE_LOGIN_DENIED"
    with pytest.raises(NotFound):
        await program.answer()


async def test_login_is_answered_once(logins: Logins) -> None:
    program = await begin(logins)
    await program.answer()
    for confirmed in (True, False):
        with pytest.raises(NotFound):
            await program.answer(OPERATOR, confirmed=confirmed)
    assert (await program.redeem()).user.id == EVE.id


async def test_login_expires_after_ten_minutes(logins: Logins) -> None:
    late, confirmed = await begin(logins), await begin(logins)
    await confirmed.answer()
    logins.clock.advance(timedelta(minutes=10) - timedelta(seconds=1))
    assert (await late.redeem()).token == ""
    logins.clock.advance(timedelta(seconds=1))
    for work in (late.redeem(), late.answer(), confirmed.redeem()):
        with pytest.raises(NotFound):
            await work


@pytest.mark.parametrize("code", ["BBBB-BBBB", "", "é", "A" * 20])
async def test_unknown_code_is_not_found(logins: Logins, code: str) -> None:
    program = await begin(logins)
    with pytest.raises(NotFound):
        await program.answer(code=code or "-")
    program.begun.device_code = code
    with pytest.raises(NotFound):
        await program.redeem()


async def test_token_may_not_do_more_than_who_confirmed_it(logins: Logins) -> None:
    program = await begin(logins)
    scopes = frozenset({"users:write", "runs:read"})
    await program.answer(Caller(CallerKind.USER, EVE.id, scopes, organization="acme-id"))
    caller = await logins.caller_of((await program.redeem()).token)
    assert caller == Caller(CallerKind.USER, EVE.id, scopes, organization="acme-id")


async def test_device_code_is_stored_as_a_digest(logins: Logins) -> None:
    program = await begin(logins)
    stored = await logins.server.database.read(lambda view: list(view.scan(DEVICE_LOGIN)))
    ((id_, record),) = stored
    assert program.begun.device_code not in id_
    assert program.begun.device_code.encode() not in record.SerializeToString()


async def test_logins_that_wait_are_bounded(logins: Logins) -> None:
    old = project_records.DeviceLogin(user_code="X")
    old.time.FromDatetime(logins.clock.now())
    await logins.server.database.commit([Put(DEVICE_LOGIN, str(number), old) for number in range(1000)])
    with pytest.raises(Exhausted):
        await begin(logins)
    logins.clock.advance(timedelta(minutes=11))
    await begin(logins)
    left = await logins.server.database.read(lambda view: len(list(view.scan(DEVICE_LOGIN))))
    assert left == 1


async def test_expiry_of_a_redeemed_token_is_bounded(logins: Logins) -> None:
    program = await begin(logins)
    await program.answer()
    request = api.RedeemDeviceLoginRequest(device_code=program.begun.device_code)
    request.expire_time.FromDatetime(logins.clock.now() + timedelta(days=31))
    with pytest.raises(InvalidInput):
        await logins.server.logins.RedeemDeviceLogin(request, None)
    assert (await program.redeem()).token


async def test_logout_revokes_the_token_and_may_be_repeated(logins: Logins) -> None:
    program = await begin(logins)
    await program.answer()
    token = (await program.redeem()).token
    for _ in range(2):
        await log_out(logins, token)
        assert await logins.caller_of(token) is None
    await log_out(logins, new_text())
    await log_out(logins, "no token")


async def test_logout_keeps_the_last_token_of_an_operator(logins: Logins) -> None:
    spec = TokenSpec(CallerKind.OPERATOR, "first", user_id="admin", scopes=frozenset("*"))
    token = await make_token(logins.server.database, spec, clock=logins.clock)
    with pytest.raises(FailedPrecondition) as caught:
        await log_out(logins, token)
    assert caught.value.reason == "LAST_OPERATOR_TOKEN"
    assert await logins.caller_of(token) is not None


async def test_session_of_the_only_operator_can_log_out(logins: Logins) -> None:
    spec = TokenSpec(CallerKind.OPERATOR, "login", user_id="admin", scopes=frozenset("*"), is_session=True)
    token = await make_token(logins.server.database, spec, clock=logins.clock)
    await log_out(logins, token)
    assert await logins.caller_of(token) is None


async def test_token_of_executors_is_not_revoked_by_who_has_it(logins: Logins) -> None:
    token = await make_token(
        logins.server.database, TokenSpec(CallerKind.EXECUTOR, "e", group="default"), clock=logins.clock
    )
    await log_out(logins, token)
    records = await logins.server.database.read(lambda view: [record for _, record in view.scan(TOKEN)])
    assert not records[0].HasField("revoke_time")
