"""Tokens: creation, authentication, expiry and revocation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from sluiceway_common.foundation.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from sluiceway_common.foundation.rpc.caller import Authenticator, Caller, CallerKind
from sluiceway_server.datamanager.model import Decision, Emit, Position, View
from sluiceway_server.projects.records import RECORD_TYPES, TOKEN
from sluiceway_server.projects.tokens import (
    TokenAuthenticator,
    TokenSpec,
    find_token,
    make_token,
    revoke_token,
    token_id,
)
from tests.fakes.database import FakeDatabase

T = TypeVar("T")
USER = TokenSpec(CallerKind.USER, "laptop", user_id="u1", scopes=frozenset({"runs:read"}), organization="acme")


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0


class CountingDatabase(FakeDatabase):
    reads = 0
    rounds = 0

    async def read(self, function: Callable[[View], T], *, after: Position | None = None) -> T:
        self.reads += 1
        return await super().read(function, after=after)

    async def linearize(self) -> Position:
        self.rounds += 1
        return await super().linearize()


@pytest.fixture
def database() -> CountingDatabase:
    return CountingDatabase(RECORD_TYPES)


async def test_token_identifies_its_caller_and_is_stored_as_a_hash(database: CountingDatabase) -> None:
    text = await make_token(database, USER)
    authenticator: Authenticator = TokenAuthenticator(database)
    caller = await authenticator.authenticate(text)
    assert caller == Caller(CallerKind.USER, "u1", frozenset({"runs:read"}), organization="acme")
    stored = await database.get(TOKEN, token_id(text))
    assert text.encode() not in stored.SerializeToString()


@pytest.mark.parametrize("text", ["", "x", "sluice_", "sluice_" + "a" * 42, "sluice_" + "a" * 44, "sluice_" + "ä" * 43])
async def test_malformed_token_is_refused_without_a_database_read(database: CountingDatabase, text: str) -> None:
    assert await TokenAuthenticator(database).authenticate(text) is None
    assert database.reads == 0


async def test_unknown_token_is_refused_after_a_linearizable_read(database: CountingDatabase) -> None:
    assert await TokenAuthenticator(database).authenticate("sluice_" + "a" * 43) is None
    assert database.rounds == 1


async def test_concurrent_unknown_tokens_share_linearizable_reads(database: CountingDatabase) -> None:
    authenticator = TokenAuthenticator(database)
    texts = [f"sluice_{number:043}" for number in range(100)]
    assert set(await asyncio.gather(*map(authenticator.authenticate, texts))) == {None}
    assert database.rounds <= 3


async def test_known_token_is_cached_until_the_revision_changes(database: CountingDatabase) -> None:
    text = await make_token(database, USER)
    authenticator = TokenAuthenticator(database)
    for _ in range(5):
        assert await authenticator.authenticate(text)
    assert database.reads == 1
    await make_token(database, TokenSpec(CallerKind.USER, "other", user_id="u2"))
    assert await authenticator.authenticate(text)
    assert database.reads == 2


async def test_revoked_token_is_refused_by_the_next_call(database: CountingDatabase) -> None:
    text = await make_token(database, USER)
    authenticator = TokenAuthenticator(database)
    assert await authenticator.authenticate(text)
    for _ in range(2):
        await revoke_token(database, token_id(text))
    assert await authenticator.authenticate(text) is None
    with pytest.raises(NotFound):
        await revoke_token(database, "no such")


async def test_watched_token_is_read_again_only_after_a_change(database: CountingDatabase) -> None:
    text = await make_token(database, USER)
    authenticator = TokenAuthenticator(database)
    following = asyncio.create_task(authenticator.follow())
    await asyncio.wait([following], timeout=0)
    assert await authenticator.authenticate(text)
    assert database.reads == 1
    await database.transact(lambda view: Decision(None, [Emit("other", ("topic",), b"")]))
    assert await authenticator.authenticate(text)
    assert database.reads == 1
    await make_token(database, TokenSpec(CallerKind.USER, "other", user_id="u2"))
    await asyncio.wait([following], timeout=0)
    assert await authenticator.authenticate(text)
    assert database.reads == 2
    await revoke_token(database, token_id(text))
    await asyncio.wait([following], timeout=0)
    assert await authenticator.authenticate(text) is None
    following.cancel()
    await asyncio.wait([following])
    assert await authenticator.authenticate(text) is None


@pytest.mark.parametrize(
    ("late", "good"), [pytest.param(-1, True, id="one tick before"), pytest.param(0, False, id="at its expiry")]
)
async def test_token_is_refused_from_its_expiry_on(database: CountingDatabase, late: int, good: bool) -> None:
    clock = Clock()
    expire = clock.time + timedelta(hours=1)
    text = await make_token(database, TokenSpec(CallerKind.USER, "short", user_id="u", expire=expire), clock=clock)
    clock.time = expire + timedelta(microseconds=late)
    assert bool(await TokenAuthenticator(database, clock=clock).authenticate(text)) is good


async def test_name_is_unique_among_the_valid_tokens_of_its_kind(database: CountingDatabase) -> None:
    clock = Clock()
    expire = clock.time + timedelta(hours=1)
    short = TokenSpec(CallerKind.USER, "laptop", user_id="u", expire=expire)
    text = await make_token(database, short, clock=clock)
    with pytest.raises(AlreadyExists, match="laptop"):
        await make_token(database, short, clock=clock)
    await make_token(database, TokenSpec(CallerKind.OPERATOR, "laptop", user_id="u"), clock=clock)
    clock.time = expire
    again = await make_token(database, TokenSpec(CallerKind.USER, "laptop", user_id="u"), clock=clock)
    await revoke_token(database, token_id(again), clock=clock)
    await make_token(database, USER, clock=clock)
    assert await TokenAuthenticator(database, clock=clock).authenticate(text) is None


async def test_token_is_found_by_an_id_prefix(database: CountingDatabase) -> None:
    ids = [token_id(await make_token(database, TokenSpec(CallerKind.USER, f"t{n}", user_id="u"))) for n in range(30)]
    assert await find_token(database, ids[0]) == await find_token(database, ids[0][:16]) == ids[0]
    with pytest.raises(InvalidInput):  # of thirty hexadecimal digits two are equal
        await find_token(database, next(i[0] for i in ids if sum(j[0] == i[0] for j in ids) > 1))
    for none in ("", "no such"):
        with pytest.raises(NotFound):
            await find_token(database, none)


async def test_last_token_that_can_create_tokens_is_not_revoked(database: CountingDatabase) -> None:
    clock = Clock()
    everything = frozenset({"*"})
    only = token_id(await make_token(database, TokenSpec(CallerKind.OPERATOR, "a", user_id="u", scopes=everything)))
    # None of these could make another one.
    reader = token_id(
        await make_token(database, TokenSpec(CallerKind.OPERATOR, "b", user_id="u", scopes=frozenset({"runs:read"})))
    )
    soon = TokenSpec(CallerKind.OPERATOR, "c", user_id="u", scopes=everything, expire=clock.time + timedelta(1))
    expired = token_id(await make_token(database, soon, clock=clock))
    clock.time += timedelta(2)
    await make_token(database, USER)
    with pytest.raises(FailedPrecondition) as refused:
        await revoke_token(database, only, clock=clock, keep_an_operator=True)
    assert refused.value.reason == "LAST_OPERATOR_TOKEN"
    for id_ in (reader, expired):
        await revoke_token(database, id_, clock=clock, keep_an_operator=True)
    writer = frozenset({"tokens:write"})
    await make_token(database, TokenSpec(CallerKind.OPERATOR, "d", user_id="u", scopes=writer), clock=clock)
    await revoke_token(database, only, clock=clock, keep_an_operator=True)
