"""A log that is pushed to one server is followed at another one, over the real `PeerService` of the first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from sluiceway.api.peer.v1 import peer_service_pb2 as pb
from sluiceway.api.peer.v1 import peer_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_common.foundation.errors import NotFound, OutOfRange, PermissionDenied, Unauthenticated
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_common.foundation.rpc.status import errors_of_call
from sluiceway_server.logs.peer_service import PeerServicer
from sluiceway_server.logs.peers import GrpcLogPeers, Peer, PeerAuthenticator
from tests.fakes.objectstorage import FakeObjectStorage
from tests.support.conditions import eventually
from tests.support.log_server import KEY, NEVER, LogServer, log_server

DATA = bytes(range(256)) * 2000


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return Caller(CallerKind.OPERATOR, "admin", frozenset({"*"})) if token == "operator" else None


@dataclass
class TwoServers:
    """`pushed` has the log; `other` has not. Nothing is stored before the log ends."""

    pushed: LogServer
    other: LogServer
    peers: dict[str, Peer]


@asynccontextmanager
async def two_servers() -> AsyncIterator[TwoServers]:
    storage = FakeObjectStorage(SystemClock())
    pushed, other = log_server(storage, NEVER), log_server(storage, NEVER)
    peer = Peer.new("")
    server = RpcServer(authenticator=PeerAuthenticator(peer.token, Tokens()), ids=UuidSource())
    server.add(pb_grpc.add_PeerServiceServicer_to_server, PeerServicer(pushed.live))
    port = await server.start("127.0.0.1:0")
    peers = {"pushed": replace(peer, address=f"127.0.0.1:{port}")}

    async def list_peers() -> Mapping[str, Peer]:
        return peers

    client = GrpcLogPeers(list_peers, tls=None)
    other.peers = client
    try:
        async with pushed.live, other.live:
            yield TwoServers(pushed, other, peers)
    finally:
        await client.close()
        await server.drain(timedelta(0))


async def test_live_log_is_followed_at_another_server() -> None:
    async with two_servers() as at, asyncio.TaskGroup() as tasks:
        push = at.pushed.push(tasks)
        push.send(0, b"one\n")
        await eventually(lambda: at.pushed.is_described_as(1, 4))
        chunks = at.other.reader().read("run", "task", step=0, follow=True)
        assert (await anext(chunks)).data == b"one\n"
        # Nothing of it is stored: it comes from the server that it is pushed to.
        assert (await at.other.store.cover(KEY)).length == 0
        push.send(4, b"two\n")
        assert (await anext(chunks)).data == b"two\n"
        push.send(8, b"end", end=True)
        assert b"".join([chunk.data async for chunk in chunks]) == b"end"
        push.finish()


async def test_reader_that_changes_servers_sees_each_byte_once() -> None:
    async with two_servers() as at, asyncio.TaskGroup() as tasks:
        push = at.pushed.push(tasks)
        read = bytearray()
        for number, begin in enumerate(range(0, len(DATA), 50_000)):
            piece = DATA[begin : begin + 50_000]
            push.send(begin, piece, end=begin + len(piece) == len(DATA))
            server = (at.pushed, at.other)[number % 2]
            chunks = server.reader().read("run", "task", step=0, offset=len(read), follow=True)
            # It dies in the middle of what is there.
            while len(read) < begin + len(piece) - 7:
                chunk = await anext(chunks)
                assert chunk.next_offset == len(read) + len(chunk.data)
                read += chunk.data
            await chunks.aclose()
        assert bytes(read) + await at.other.read(offset=len(read), follow=True) == DATA
        push.finish()


async def test_log_is_read_at_another_server_without_following() -> None:
    async with two_servers() as at, asyncio.TaskGroup() as tasks:
        push = at.pushed.push(tasks)
        began = datetime(2026, 11, 30, 8, tzinfo=UTC)
        push.send(0, b"one\n", time=began)
        push.send(4, b"two\n", time=began + timedelta(seconds=1))
        await eventually(lambda: at.pushed.is_described_as(1, 8))
        assert await at.other.read() == b"one\ntwo\n"
        timed = [(c.data, c.time) async for c in at.other.reader().read("run", "task", step=0, timestamps=True)]
        assert timed == [(b"one\n", began), (b"two\n", began + timedelta(seconds=1))]
        push.finish()


async def test_peer_that_does_not_answer_costs_only_time() -> None:
    async with two_servers() as at, asyncio.TaskGroup() as tasks:
        at.peers["gone"] = Peer("127.0.0.1:1", "token")
        at.peers["wrong"] = replace(at.peers["pushed"], token="of another start")
        push = at.pushed.push(tasks)
        push.send(0, b"one\n", end=True)
        assert await at.other.read(follow=True) == b"one\n"
        del at.peers["pushed"]
        at.other.states.is_over = True
        await push.until_response(complete=True)
        assert await at.other.read(follow=True) == b"one\n"
        push.finish()


async def test_bytes_that_are_only_stored_are_not_waited_for() -> None:
    async with two_servers() as at, asyncio.TaskGroup() as tasks:
        push = at.pushed.push(tasks)
        written = b"x" * (3 << 20)
        for begin in range(0, len(written), 65536):
            push.send(begin, written[begin : begin + 65536])
        await push.until_response(stored_offset=len(written))
        peer = at.peers["pushed"]
        async with open_channel(peer.address, token=peer.token) as channel:
            request = pb.TailLogRequest(run_id="run", task_id="task", database_epoch=1, attempt=1, follow=True)
            call = pb_grpc.PeerServiceStub(channel).TailLog(request)
            with pytest.raises(OutOfRange), errors_of_call("it"):
                async for _ in call:
                    pass
        assert await at.other.read() == written
        push.finish()


@pytest.mark.parametrize(
    ("token", "error"),
    [
        pytest.param("operator", PermissionDenied, id="an operator"),
        pytest.param("wrong", Unauthenticated, id="a wrong token"),
        pytest.param(None, Unauthenticated, id="nobody"),
        pytest.param("peer", NotFound, id="a server"),
    ],
)
async def test_only_servers_may_read_live_ends(token: str | None, error: type[Exception]) -> None:
    async with two_servers() as at:
        peer = at.peers["pushed"]
        channel = open_channel(peer.address, token=peer.token if token == "peer" else token)
        try:
            request = pb.TailLogRequest(run_id="run", task_id="task", database_epoch=1, attempt=1)
            with pytest.raises(error), errors_of_call("it"):
                await pb_grpc.PeerServiceStub(channel).TailLog(request).read()
        finally:
            await channel.close()


def test_peers_without_an_address_are_not_called() -> None:
    assert Peer.decode(Peer("", "token").encode()) is None
    assert Peer.decode(Peer("a:1", "token").encode()) == Peer("a:1", "token")
    for value in (b"", b"{}", b"[]", b"\xff"):
        assert Peer.decode(value) is None
