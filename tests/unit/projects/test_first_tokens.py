"""The first tokens of a database: made once, by whichever server is first."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from sluiceway.records.project.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_server.datamanager.model import Put, Query
from sluiceway_server.projects.first_tokens import (
    FIRST_OPERATOR_ID,
    FirstTokens,
    ensure_first_tokens,
    restore_first_operator,
)
from sluiceway_server.projects.records import RECORD_TYPES, TOKEN, USER
from sluiceway_server.projects.tokens import TokenAuthenticator, is_good, revoke_token, token_id
from tests.fakes.database import FakeDatabase

CLOCK = SystemClock()


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase(RECORD_TYPES)


async def start(database: FakeDatabase, folder: Path, **more: Any) -> FirstTokens:
    folder.mkdir(exist_ok=True)
    return await ensure_first_tokens(database, folder, clock=CLOCK, **more)


async def valid(database: FakeDatabase) -> list[str]:
    page = await database.list(TOKEN, Query(order=("kind", "name")))
    return [token.name for _, token in page.records if is_good(token, CLOCK.now())]


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in folder.iterdir()}


async def test_first_start_makes_two_tokens_that_later_starts_keep(database: FakeDatabase, tmp_path: Path) -> None:
    first = await start(database, tmp_path, group="blue")
    again = await start(database, tmp_path, group="blue")
    assert (first.admin_is_new, again.admin_is_new) == (True, False)
    assert (first.admin, first.executor) == (again.admin, again.executor)
    assert first.admin is not None
    assert first.executor is not None
    authenticator = TokenAuthenticator(database)
    admin, executor = await authenticator.authenticate(first.admin), await authenticator.authenticate(first.executor)
    assert admin is not None
    assert admin.kind is CallerKind.OPERATOR
    assert admin.has_scope("database:write")
    assert executor is not None
    assert (executor.kind, executor.group) == (CallerKind.EXECUTOR, "blue")
    assert files(tmp_path) == {"admin.token": first.admin, "executor.token": first.executor}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


async def test_second_server_says_where_the_first_tokens_are(database: FakeDatabase, tmp_path: Path) -> None:
    await start(database, tmp_path / "one")
    second = await start(database, tmp_path / "two")
    assert (second.admin, second.executor, second.admin_is_new) == (None, None, False)
    assert second.place.endswith(f":{tmp_path / 'one'}")
    assert files(tmp_path / "two") == {}
    assert await valid(database) == ["executors of group default", "first operator"]


async def test_one_of_racing_servers_makes_the_first_tokens(database: FakeDatabase, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(5)]
    started = await asyncio.gather(*(start(database, folder) for folder in folders))
    assert [tokens.admin_is_new for tokens in started].count(True) == 1
    assert sorted(len(files(folder)) for folder in folders) == [0, 0, 0, 0, 2]
    assert await valid(database) == ["executors of group default", "first operator"]


async def test_token_files_written_before_a_crash_are_used(database: FakeDatabase, tmp_path: Path) -> None:
    database.fail_with = Unavailable("away")
    with pytest.raises(Unavailable):
        await start(database, tmp_path)
    database.fail_with = None
    crashed = FakeDatabase(RECORD_TYPES)
    first = await start(crashed, tmp_path)  # what it committed is lost
    again = await start(database, tmp_path)
    assert (again.admin, again.executor, again.admin_is_new) == (first.admin, first.executor, False)
    assert again.admin is not None
    assert await TokenAuthenticator(database).authenticate(again.admin)


async def test_token_of_another_installation_is_not_registered(database: FakeDatabase, tmp_path: Path) -> None:
    foreign = await start(FakeDatabase(RECORD_TYPES), tmp_path / "foreign")
    await start(database, tmp_path / "own")
    tokens = await start(database, tmp_path / "foreign")
    assert (tokens.admin, tokens.executor) == (None, None)
    assert foreign.admin is not None
    assert await TokenAuthenticator(database).authenticate(foreign.admin) is None


async def test_revoked_token_is_replaced_only_by_the_database_owner(database: FakeDatabase, tmp_path: Path) -> None:
    first = await start(database, tmp_path)
    assert first.admin is not None
    await revoke_token(database, token_id(first.admin))
    (tmp_path / "executor.token").write_text("slu")
    refused = await start(database, tmp_path)
    assert (refused.admin, refused.executor) == (None, None)
    replaced = await start(database, tmp_path, replace=True)
    assert replaced.admin_is_new
    assert replaced.admin not in {None, first.admin}
    assert replaced.executor not in {None, first.executor}
    assert files(tmp_path) == {"admin.token": replaced.admin, "executor.token": replaced.executor}
    again = await start(database, tmp_path, replace=True)
    assert (again.admin, again.executor) == (replaced.admin, replaced.executor)
    # What was lost is still in the list, to be revoked.
    names = await valid(database)
    assert names[0] == "executors of group default"
    assert len(names) == 3


async def test_first_user_is_an_operator_again_after_a_reset(database: FakeDatabase, tmp_path: Path) -> None:
    tokens = await start(database, tmp_path)
    assert tokens.admin is not None
    authenticator = TokenAuthenticator(database)

    async def kind() -> CallerKind | None:
        caller = await authenticator.authenticate(str(tokens.admin))
        return caller.kind if caller else None

    assert await kind() is CallerKind.OPERATOR
    user = await database.get(USER, FIRST_OPERATOR_ID)
    assert user.operator
    await database.commit([Put(USER, FIRST_OPERATOR_ID, pb.User(name="renamed"))])
    assert await kind() is CallerKind.USER
    for _ in range(2):
        await restore_first_operator(database)
        assert await kind() is CallerKind.OPERATOR
    assert (await database.get(USER, FIRST_OPERATOR_ID)).name == "renamed"
