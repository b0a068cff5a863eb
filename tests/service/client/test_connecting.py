"""How the SDK connects: wrong arguments, TLS, and tokens over plain text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway.client import InvalidInput, Unavailable, blocking, connect
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.server import RpcServer
from tests.support.certificates import self_signed_certificate


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return Caller(CallerKind.USER, "admin", frozenset({"*"})) if token == "good" else None


class Runs(pb_grpc.RunServiceServicer):
    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:  # noqa: N802 - named by the proto
        return pb.GetRunResponse(run={"id": request.run_id})


async def serving(tls: grpc.ServerCredentials | None) -> AsyncIterator[int]:
    server = RpcServer(Tokens(), tls=tls)
    server.add(pb_grpc.add_RunServiceServicer_to_server, Runs())  # type: ignore[abstract]  # the rest is not offered
    yield await server.start("127.0.0.1:0")
    await server.drain(timedelta(0))


@pytest.fixture
async def plain() -> AsyncIterator[int]:
    async for port in serving(None):
        yield port


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[int]:
    key, chain = self_signed_certificate()
    (tmp_path / "ca.pem").write_bytes(chain)
    async for port in serving(grpc.ssl_server_credentials([(key, chain)])):
        yield port


@pytest.mark.parametrize("server", ["https://localhost:{}", "localhost:{}", "127.0.0.1:{}", "dns:///localhost:{}"])
async def test_tls_server_is_called_with_its_authority(secure: int, tmp_path: Path, server: str) -> None:
    async with connect(server.format(secure), token="good", ca_file=tmp_path / "ca.pem") as client:
        assert (await client.runs.get("r1")).id == "r1"


async def test_server_of_an_untrusted_authority_is_unavailable(secure: int) -> None:
    async with connect(f"localhost:{secure}", token="good", tls=True, timeout=5) as client:
        with pytest.raises(Unavailable):
            await client.runs.get("r1")


async def test_plain_server_is_not_called_with_tls(plain: int) -> None:
    async with connect(f"https://localhost:{plain}", token="good", timeout=5) as client:
        with pytest.raises(Unavailable):
            await client.runs.get("r1")


@pytest.mark.parametrize("token", ["good\n", " good ", "\tgood\r\n"])
async def test_spaces_and_line_breaks_around_a_token_are_ignored(plain: int, token: str) -> None:
    async with connect(f"localhost:{plain}", token=token) as client:
        assert (await client.runs.get("r1")).id == "r1"


@pytest.mark.parametrize("timeout", [5, 5.0, timedelta(seconds=5)])
async def test_timeout_may_be_a_number_of_seconds(plain: int, timeout: Any) -> None:
    async with connect(f"localhost:{plain}", token="good", timeout=timeout, patience=0) as client:
        assert client.connection.timeout == timedelta(seconds=5)
        assert (await client.runs.get("r1")).id == "r1"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a token of two lines": ({"token": "go\nod"}, "token"),
    "a token of two words": ({"token": "Bearer good"}, "token"),
    "an empty token": ({"token": " "}, "token"),
    "a token that is not ASCII": ({"token": "gööd"}, "token"),
    "no time": ({"timeout": 0}, "timeout"),
    "less than no time": ({"timeout": -1}, "timeout"),
    "a time that is not a number": ({"timeout": float("nan")}, "timeout"),
    "a time without an end": ({"timeout": float("inf")}, "timeout"),
    "a time that is text": ({"timeout": "5s"}, "timeout"),
    "negative patience": ({"patience": -1}, "patience"),
    "an authority that is not there": ({"ca_file": "/no/such/file"}, "ca_file"),
    "an authority that is not one": ({"ca_file": __file__}, "ca_file"),
    "a server that is not one": ({"server": "nowhere"}, "server"),
}


@pytest.mark.parametrize(("arguments", "path"), WRONG.values(), ids=WRONG.keys())
async def test_wrong_argument_of_connect_is_named(arguments: dict[str, Any], path: str) -> None:
    given = {"server": "localhost:1", **arguments}
    with pytest.raises(InvalidInput) as caught:
        async with connect(**given):
            pass
    assert [violation.path for violation in caught.value.violations] == [path]
    assert "gööd" not in str(caught.value)


def test_blocking_client_refuses_the_same_arguments() -> None:
    with pytest.raises(InvalidInput), blocking.connect("localhost:1", timeout="5s"):  # type: ignore[arg-type]  # as above
        pass


@pytest.mark.parametrize("server", ["192.0.2.1:7070", "ci.example.org:443", "dns:///ci.example.org:7070"])
async def test_token_is_not_sent_in_clear_to_another_machine(server: str) -> None:
    with pytest.raises(InvalidInput, match="would be sent in clear") as caught:
        async with connect(server, token="good"):
            pass
    assert caught.value.reason == "TOKEN_IN_CLEAR"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"token": "good", "insecure": True}, id="it was asked for"),
        pytest.param({"token": "good", "tls": True}, id="there is TLS"),
        pytest.param({}, id="there is no token"),
    ],
)
async def test_client_connects_to_another_machine(arguments: dict[str, Any]) -> None:
    async with connect("192.0.2.1:7070", **arguments) as client:
        assert client.connection.position == ""
