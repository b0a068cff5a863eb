"""A server whose services change behind the same ports, as its callers see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import SluicewayError, Unavailable
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.offer import ServiceSet
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_common.foundation.rpc.status import error_of

EMPTY = Unavailable("etcd at X is empty", reason="ETCD_EMPTY")
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Tokens:
    def __init__(self, known: str) -> None:
        self._known = known

    async def authenticate(self, token: str) -> Caller | None:
        return Caller(CallerKind.OPERATOR, "admin", frozenset({"*"})) if token == self._known else None


class Runs(pb_grpc.RunServiceServicer):
    def __init__(self, name: str) -> None:
        self.name = name
        self.entered = asyncio.Event()
        self.cleaned = asyncio.Event()

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:  # noqa: N802 - named by the proto
        return pb.GetRunResponse(run={"id": self.name})

    async def CancelRun(self, request: pb.CancelRunRequest, context: Any) -> pb.CancelRunResponse:  # noqa: N802 - named by the proto
        await self._stand()
        return pb.CancelRunResponse()

    async def WatchRun(self, request: pb.WatchRunRequest, context: Any) -> AsyncIterator[pb.WatchRunResponse]:  # noqa: N802 - named by the proto
        yield pb.WatchRunResponse(position="1")
        await self._stand()

    async def _stand(self) -> None:
        self.entered.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.02)
            self.cleaned.set()


def make_runs(name: str) -> Runs:
    return Runs(name)  # type: ignore[abstract]  # the rest is not offered


def offer(runs: Runs, token: str) -> ServiceSet:
    made = ServiceSet(Tokens(token))
    made.add(pb_grpc.add_RunServiceServicer_to_server, runs)
    return made


class Endpoint:
    def __init__(self, server: RpcServer, port: int, channel: grpc.aio.Channel) -> None:
        self.server, self.port = server, port
        self.runs: pb_grpc.RunServiceAsyncStub = pb_grpc.RunServiceStub(channel)
        self.health_stub: Any = health_pb2_grpc.HealthStub(channel)

    async def health(self, service: str = "") -> int:
        answer = await self.health_stub.Check(health_pb2.HealthCheckRequest(service=service))
        return int(answer.status)

    async def refusal(self, call: Any) -> SluicewayError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return error_of(caught.value)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    server = RpcServer()
    port = await server.start("127.0.0.1:0")
    # The channel repeats what is UNAVAILABLE until its deadline; here the first response counts.
    channel = open_channel(f"127.0.0.1:{port}", token="one", deadline=timedelta(seconds=10))
    yield Endpoint(server, port, channel)
    await channel.close()
    await server.drain(timedelta(0))


async def test_server_without_services_is_not_ready_and_says_why(endpoint: Endpoint) -> None:
    await endpoint.server.refuse(EMPTY)
    assert await endpoint.health() == _NOT_SERVING
    error = await endpoint.refusal(endpoint.runs.GetRun(pb.GetRunRequest(run_id="r")))
    assert (type(error), error.reason, error.message) == (Unavailable, "ETCD_EMPTY", "etcd at X is empty")
    await endpoint.server.refuse(Unavailable("etcd at X is away", reason="ETCD_AWAY"))
    assert (await endpoint.refusal(endpoint.runs.GetRun(pb.GetRunRequest(run_id="r")))).reason == "ETCD_AWAY"


async def test_services_and_tokens_change_behind_the_same_port(endpoint: Endpoint) -> None:
    first, second = make_runs("first"), make_runs("second")
    await endpoint.server.serve(offer(first, "one"))
    assert await endpoint.health() == _SERVING
    assert await endpoint.health("sluiceway.api.run.v1.RunService") == _SERVING
    assert (await endpoint.runs.GetRun(pb.GetRunRequest(run_id="r"))).run.id == "first"
    await endpoint.server.refuse(EMPTY)
    assert await endpoint.health("sluiceway.api.run.v1.RunService") == _NOT_SERVING
    assert (await endpoint.refusal(endpoint.runs.GetRun(pb.GetRunRequest(run_id="r")))).reason == "ETCD_EMPTY"
    await endpoint.server.serve(offer(second, "one"))
    assert await endpoint.health() == _SERVING
    assert (await endpoint.runs.GetRun(pb.GetRunRequest(run_id="r"))).run.id == "second"
    await endpoint.server.refuse(EMPTY)
    await endpoint.server.serve(offer(first, "another"))
    assert (await endpoint.refusal(endpoint.runs.GetRun(pb.GetRunRequest(run_id="r")))).reason == "CREDENTIALS_INVALID"


async def test_calls_of_withdrawn_services_end_with_the_reason(endpoint: Endpoint) -> None:
    watched, waited = make_runs("a"), make_runs("b")
    for runs, call in (
        (watched, lambda: endpoint.runs.WatchRun(pb.WatchRunRequest(run_id="r"))),
        (waited, lambda: endpoint.runs.CancelRun(pb.CancelRunRequest(run_id="r"))),
    ):
        await endpoint.server.serve(offer(runs, "one"))

        async def finish(call: Any = call) -> None:
            answer = call()
            if hasattr(answer, "__aiter__"):
                async for _ in answer:
                    pass
            else:
                await answer

        standing = asyncio.create_task(finish())
        await runs.entered.wait()
        await endpoint.server.refuse(EMPTY)
        assert runs.cleaned.is_set()
        assert (await endpoint.refusal(standing)).reason == "ETCD_EMPTY"


async def test_health_watch_follows_services_that_come_and_go(endpoint: Endpoint) -> None:
    await endpoint.server.serve(offer(make_runs("a"), "one"))
    watch = endpoint.health_stub.Watch(health_pb2.HealthCheckRequest())
    seen = [(await watch.read()).status]
    await endpoint.server.refuse(EMPTY)
    seen.append((await watch.read()).status)
    await endpoint.server.serve(offer(make_runs("b"), "one"))
    seen.append((await watch.read()).status)
    assert seen == [_SERVING, _NOT_SERVING, _SERVING]
    watch.cancel()
