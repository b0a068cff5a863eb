"""What tokens promise."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from sluiceway.datamanager.model import Position, View
from sluiceway.foundation.errors import NotFound, Unavailable
from sluiceway.foundation.rpc.caller import Authenticator, Caller, CallerKind
from sluiceway.projects.records import RECORD_TYPES, TOKEN
from sluiceway.projects.tokens import (
    TokenAuthenticator,
    TokenSpec,
    ensure_first_tokens,
    ensure_token,
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


async def test_a_token_tells_whose_it_is_and_its_text_is_kept_nowhere(database: CountingDatabase) -> None:
    text = await make_token(database, USER)
    authenticator: Authenticator = TokenAuthenticator(database)
    caller = await authenticator.authenticate(text)
    assert caller == Caller(CallerKind.USER, "u1", frozenset({"runs:read"}), organization="acme")
    stored = await database.get(TOKEN, token_id(text))
    assert text.encode() not in stored.SerializeToString()


@pytest.mark.parametrize("text", ["", "x", "sluice_", "sluice_" + "a" * 42, "sluice_" + "a" * 44, "sluice_" + "ä" * 43])
async def test_what_is_no_token_is_refused_without_a_look_into_the_database(
    database: CountingDatabase, text: str
) -> None:
    assert await TokenAuthenticator(database).authenticate(text) is None
    assert database.reads == 0


async def test_an_unknown_token_is_refused_only_after_a_linearizable_read(database: CountingDatabase) -> None:
    assert await TokenAuthenticator(database).authenticate("sluice_" + "a" * 43) is None
    assert database.rounds == 1


async def test_a_flood_of_unknown_tokens_shares_the_linearizable_reads(database: CountingDatabase) -> None:
    authenticator = TokenAuthenticator(database)
    texts = [f"sluice_{number:043}" for number in range(100)]
    assert set(await asyncio.gather(*map(authenticator.authenticate, texts))) == {None}
    assert database.rounds <= 3


async def test_a_known_token_is_read_once_until_the_database_moves(database: CountingDatabase) -> None:
    text = await make_token(database, USER)
    authenticator = TokenAuthenticator(database)
    for _ in range(5):
        assert await authenticator.authenticate(text)
    assert database.reads == 1
    await make_token(database, USER)
    assert await authenticator.authenticate(text)
    assert database.reads == 2


async def test_a_revoked_token_is_refused_by_the_next_call(database: CountingDatabase) -> None:
    text = await make_token(database, USER)
    authenticator = TokenAuthenticator(database)
    assert await authenticator.authenticate(text)
    for _ in range(2):
        await revoke_token(database, token_id(text))
    assert await authenticator.authenticate(text) is None
    assert not await ensure_token(database, text, USER)
    with pytest.raises(NotFound):
        await revoke_token(database, "no such")


@pytest.mark.parametrize(
    ("late", "good"), [pytest.param(-1, True, id="one tick before"), pytest.param(0, False, id="at its expiry")]
)
async def test_a_token_is_refused_from_its_expiry_on(database: CountingDatabase, late: int, good: bool) -> None:
    clock = Clock()
    expire = clock.time + timedelta(hours=1)
    text = await make_token(database, TokenSpec(CallerKind.USER, "short", user_id="u", expire=expire), clock=clock)
    clock.time = expire + timedelta(microseconds=late)
    assert bool(await TokenAuthenticator(database, clock=clock).authenticate(text)) is good


async def test_the_first_start_makes_two_tokens_and_the_next_ones_keep_them(
    database: CountingDatabase, tmp_path: Path
) -> None:
    first = await ensure_first_tokens(database, tmp_path, group="blue")
    again = await ensure_first_tokens(database, tmp_path, group="blue")
    assert first.admin_is_new
    assert not again.admin_is_new
    assert (first.admin, first.executor) == (again.admin, again.executor)
    authenticator = TokenAuthenticator(database)
    admin, executor = await authenticator.authenticate(first.admin), await authenticator.authenticate(first.executor)
    assert admin is not None
    assert admin.kind is CallerKind.OPERATOR
    assert admin.has_scope("database:write")
    assert executor is not None
    assert (executor.kind, executor.group) == (CallerKind.EXECUTOR, "blue")
    for name, text in (("admin.token", first.admin), ("executor.token", first.executor)):
        assert (tmp_path / name).read_text() == text + "\n"
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_a_token_file_is_made_known_to_a_database_that_was_lost(
    database: CountingDatabase, tmp_path: Path
) -> None:
    first = await ensure_first_tokens(database, tmp_path)
    other = FakeDatabase(RECORD_TYPES)
    assert (await ensure_first_tokens(other, tmp_path)).admin == first.admin
    assert await TokenAuthenticator(other).authenticate(first.admin)


async def test_a_revoked_token_of_the_first_start_is_replaced_and_a_torn_file_too(
    database: CountingDatabase, tmp_path: Path
) -> None:
    first = await ensure_first_tokens(database, tmp_path)
    await revoke_token(database, token_id(first.admin))
    (tmp_path / "executor.token").write_text("slu")
    second = await ensure_first_tokens(database, tmp_path)
    assert second.admin_is_new
    assert second.admin != first.admin
    assert second.executor != first.executor
    assert await TokenAuthenticator(database).authenticate(second.executor)


async def test_a_database_that_is_away_is_not_a_wrong_token(database: CountingDatabase, tmp_path: Path) -> None:
    database.fail_with = Unavailable("away")
    with pytest.raises(Unavailable):
        await ensure_first_tokens(database, tmp_path)
    database.fail_with = None
    assert not (await ensure_first_tokens(database, tmp_path)).admin_is_new
