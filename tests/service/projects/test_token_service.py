"""`TokenService` through a real port, and the commands of `sluice token`."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from sluiceway.api.config.v1 import version_service_pb2_grpc
from sluiceway.api.project.v1 import token_service_pb2 as pb
from sluiceway.api.project.v1 import token_service_pb2_grpc
from sluiceway.client import Client, connect
from sluiceway.records.project.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from sluiceway_common.foundation.rpc.caller import CallerKind
from sluiceway_common.foundation.rpc.offer import ServiceSet
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.app.config_service import VersionServicer
from sluiceway_server.datamanager.model import Put
from sluiceway_server.projects.records import AUDIT_RECORD, RECORD_TYPES, TOKEN
from sluiceway_server.projects.records import USER as USER_RECORD
from sluiceway_server.projects.token_service import TokenServicer
from sluiceway_server.projects.tokens import TokenAuthenticator, TokenSpec, make_token, token_id
from tests.fakes.database import FakeDatabase
from tests.support.installation import SLUICE

OPERATOR, EXECUTOR, USER = pb.TOKEN_KIND_OPERATOR, pb.TOKEN_KIND_EXECUTOR, pb.TOKEN_KIND_USER


@dataclass
class ServedTokens:
    database: FakeDatabase
    address: str
    token: str
    client: Client

    async def sluice(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*SLUICE, *arguments, "--server", self.address, "--token", self.token]
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )

    async def make(self, kind: CallerKind, *scopes: str, name: str = "other", group: str = "") -> str:
        spec = TokenSpec(kind, name, user_id="" if group else "u", group=group, scopes=frozenset(scopes))
        return await make_token(self.database, spec)


@pytest.fixture
async def served() -> AsyncIterator[ServedTokens]:
    database, clock = FakeDatabase(RECORD_TYPES), SystemClock()
    spec = TokenSpec(CallerKind.OPERATOR, "first operator", user_id="admin", scopes=frozenset({"*"}))
    token = await make_token(database, spec)
    offer = ServiceSet(TokenAuthenticator(database))
    servicer = TokenServicer(database, clock=clock, ids=UuidSource(), scopes=lambda: offer.scopes | {"runs:read"})
    offer.add(token_service_pb2_grpc.add_TokenServiceServicer_to_server, servicer)
    offer.add(version_service_pb2_grpc.add_VersionServiceServicer_to_server, VersionServicer())
    rpc = RpcServer()
    await rpc.serve(offer)
    address = f"127.0.0.1:{await rpc.start('127.0.0.1:0')}"
    async with connect(address, token=token) as client:
        yield ServedTokens(database, address, token, client)
    await rpc.drain(timedelta(0))


async def test_token_is_created_used_listed_and_revoked(served: ServedTokens) -> None:
    made, text = await served.client.tokens.create("laptop", OPERATOR)
    assert (made.kind, made.name, made.user_id, list(made.scopes)) == (OPERATOR, "laptop", "admin", ["*"])
    assert made.id == token_id(text)[:16]
    stored = await served.database.get(TOKEN, token_id(text))
    assert text.encode() not in stored.SerializeToString()
    async with connect(served.address, token=text) as other:
        listed = await other.tokens.list()
        assert [(token.name, token.HasField("revoke_time")) for token in listed] == [
            ("first operator", False),
            ("laptop", False),
        ]
        assert [token.name for token in await other.tokens.list(kind=USER)] == []
        for _ in range(2):
            await served.client.tokens.revoke(made.id[:10])
        with pytest.raises(Unauthenticated):
            await other.tokens.list()
    assert [token.HasField("revoke_time") for token in await served.client.tokens.list()] == [False, True]


async def test_list_of_tokens_has_pages(served: ServedTokens) -> None:
    for number in range(7):
        await served.make(CallerKind.USER, "runs:read", name=f"t{number}")
    stub = token_service_pb2_grpc.TokenServiceStub(served.client.connection.channel)
    names: list[str] = []
    page_token = ""
    while True:
        request = pb.ListTokensRequest(page_size=3, page_token=page_token, kind=USER)
        page = await served.client.connection.call(stub.ListTokens, request)
        assert len(page.tokens) <= 3
        names += [token.name for token in page.tokens]
        page_token = page.next_page_token
        if not page_token:
            break
    assert names == [f"t{number}" for number in range(7)]


@pytest.mark.parametrize(
    ("token", "path"),
    [
        pytest.param(pb.Token(name="x"), "token.kind", id="no kind"),
        pytest.param(pb.Token(kind=USER), "token.name", id="no name"),
        pytest.param(pb.Token(kind=USER, name="x" * 101), "token.name", id="a long name"),
        pytest.param(pb.Token(kind=USER, name="a\x1b[31m"), "token.name", id="a control character"),
        pytest.param(pb.Token(kind=USER, name=" x"), "token.name", id="a blank"),
        pytest.param(pb.Token(kind=EXECUTOR, name="x"), "token.group", id="executors without a group"),
        pytest.param(pb.Token(kind=USER, name="x", group="g"), "token.group", id="a user with a group"),
        pytest.param(pb.Token(kind=EXECUTOR, name="x", group="g", scopes=["*"]), "token", id="executors with scopes"),
        pytest.param(pb.Token(kind=USER, name="x", user_id="../x"), "token.user_id", id="no user id"),
        pytest.param(pb.Token(kind=USER, name="x", scopes=["runs:raed"]), "token.scopes[0]", id="a mistyped scope"),
        pytest.param(pb.Token(kind=USER, name="x", expire_time={"seconds": 1}), "token.expire_time", id="in the past"),
    ],
)
async def test_invalid_token_request_is_refused_by_field(served: ServedTokens, token: pb.Token, path: str) -> None:
    stub = token_service_pb2_grpc.TokenServiceStub(served.client.connection.channel)
    with pytest.raises(InvalidInput) as refused:
        await served.client.connection.call(stub.CreateToken, pb.CreateTokenRequest(token=token))
    assert path in [violation.path for violation in refused.value.violations]
    assert len(await served.client.tokens.list()) == 1


async def test_duplicate_name_and_unknown_token_are_errors(served: ServedTokens) -> None:
    with pytest.raises(AlreadyExists, match="first operator"):
        await served.client.tokens.create("first operator", OPERATOR)
    with pytest.raises(NotFound, match="no token"):
        await served.client.tokens.revoke("abc")
    (only,) = await served.client.tokens.list()
    with pytest.raises(FailedPrecondition, match="last valid token"):
        await served.client.tokens.revoke(only.id)


async def test_token_service_is_for_operators_within_their_scopes(served: ServedTokens) -> None:
    user = await served.make(CallerKind.USER, "*", name="user")
    executor = await served.make(CallerKind.EXECUTOR, name="executor", group="g")
    reader = await served.make(CallerKind.OPERATOR, "tokens:read", name="reader")
    maker = await served.make(CallerKind.OPERATOR, "tokens:write", "runs:read", name="maker")
    for text in (user, executor):
        async with connect(served.address, token=text) as client:
            for call in (client.tokens.list(), client.tokens.create("x", USER), client.tokens.revoke("a")):
                with pytest.raises(PermissionDenied):
                    await call
    async with connect(served.address, token=reader) as client:
        assert len(await client.tokens.list()) == 5
        with pytest.raises(PermissionDenied, match="tokens:write"):
            await client.tokens.create("x", USER)
    async with connect(served.address, token=maker) as client:
        with pytest.raises(PermissionDenied, match=r"lacks .*\*"):
            await client.tokens.create("x", OPERATOR)
        made, _ = await client.tokens.create("x", USER, scopes=["runs:read"])
        assert list(made.scopes) == ["runs:read"]


async def test_token_commands_create_list_and_revoke(served: ServedTokens) -> None:
    made = await served.sluice("token", "create", "blue", "--executor-group", "blue", "--expires-in", "30d")
    assert made.returncode == 0, made.stderr
    text = made.stdout.strip()
    caller = await TokenAuthenticator(served.database).authenticate(text)
    assert caller is not None
    assert (caller.kind, caller.group) == (CallerKind.EXECUTOR, "blue")
    stored = await served.database.get(TOKEN, token_id(text))
    left = stored.expire_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    listed = (await served.sluice("token", "list")).stdout.splitlines()
    shown = [line.split()[:2] for line in listed[1:]]
    assert [name for _, name in shown] == ["blue", "first"]
    assert all(token_id(of).startswith(short) for of, (short, _) in zip((text, served.token), shown, strict=True))
    assert (await served.sluice("token", "revoke", token_id(text)[:16])).returncode == 0
    assert text not in (await served.sluice("token", "list", "--all")).stdout
    assert len(json.loads((await served.sluice("token", "list", "-o", "json")).stdout)) == 1
    assert len(json.loads((await served.sluice("token", "list", "--all", "-o", "json")).stdout)) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--operator", "--executor-group", "g"), "exclude", id="two kinds"),
        pytest.param(("--executor-group", "g", "--scope", "runs:read"), "not for executors", id="scopes of executors"),
        pytest.param(("--expires-in", "soon"), "duration", id="no duration"),
    ],
)
async def test_wrong_token_command_line_exits_with_2(
    served: ServedTokens, arguments: tuple[str, ...], said: str
) -> None:
    done = await served.sluice("token", "create", "x", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


async def test_token_is_of_the_user_that_is_named(served: ServedTokens) -> None:
    await served.database.commit([Put(USER_RECORD, "01a22c3c-2f37-7681-b7d7-000000000001", records.User(name="Alice"))])
    made, _ = await served.client.tokens.create("laptop", USER, user_id="alice")
    assert made.user_id == "01a22c3c-2f37-7681-b7d7-000000000001"
    again, _ = await served.client.tokens.create("desktop", USER, user_id=made.user_id)
    assert again.user_id == made.user_id
    free, _ = await served.client.tokens.create("laptop", USER, user_id="bob")
    assert free.user_id == "bob"
    await served.client.tokens.revoke(made.id)
    found = await served.database.read(lambda view: [record for _, record in view.scan(AUDIT_RECORD)])
    assert [(each.caller_id, each.method, each.resource_id) for each in found] == [
        ("admin", "CreateToken", made.id),
        ("admin", "CreateToken", again.id),
        ("admin", "CreateToken", free.id),
        ("admin", "RevokeToken", made.id),
    ]
