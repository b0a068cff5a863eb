"""What the server adds to every RPC, through a real server and a real channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import grpc
import grpc.aio
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sluiceway.api.access.v1 import access_service_pb2 as access_pb2
from sluiceway.api.access.v1 import access_service_pb2_grpc as access_grpc
from sluiceway.api.executor.v1 import executor_service_pb2 as executor_pb2
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as executor_grpc
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import (
    Code,
    FailedPrecondition,
    Internal,
    InvalidInput,
    NotFound,
    SluicewayError,
    Unavailable,
    Violation,
)
from sluiceway_common.foundation.rpc.caller import (
    Caller,
    CallerKind,
    current_caller,
    requested_position,
    set_response_position,
)
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_common.foundation.rpc.status import error_of

TOKENS = {
    "user": Caller(CallerKind.USER, "u1", frozenset({"runs:read"})),
    "admin": Caller(CallerKind.OPERATOR, "admin", frozenset({"*"})),
    "executor": Caller(CallerKind.EXECUTOR, "e1", group="blue"),
}


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return TOKENS.get(token)


class Runs(pb_grpc.RunServiceServicer):
    """A service that is scripted by the test."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None
        self.seen: list[Any] = []
        self.cleaned = asyncio.Event()
        self.entered = asyncio.Event()

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:  # noqa: N802 - named by the proto
        self.seen.append((current_caller(), requested_position()))
        set_response_position("00000001-0000000000000005.000000")
        set_response_position("00000001-0000000000000003.000000")
        if self.fault is not None:
            raise self.fault
        return pb.GetRunResponse(run={"id": request.run_id})

    async def StopRun(self, request: pb.StopRunRequest, context: Any) -> pb.StopRunResponse:  # noqa: N802 - named by the proto
        self.seen.append(request.request_id)
        if len(self.seen) < 3:
            raise Unavailable("not yet")
        return pb.StopRunResponse()

    async def CancelRun(self, request: pb.CancelRunRequest, context: Any) -> pb.CancelRunResponse:  # noqa: N802 - named by the proto
        self.entered.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            self.cleaned.set()
        return pb.CancelRunResponse()

    async def WatchRun(self, request: pb.WatchRunRequest, context: Any) -> AsyncIterator[pb.WatchRunResponse]:  # noqa: N802 - named by the proto
        try:
            yield pb.WatchRunResponse(position="1")
            if self.fault is not None:
                raise self.fault
            self.entered.set()
            await asyncio.sleep(3600)
        finally:
            self.cleaned.set()


class Executors(executor_grpc.ExecutorServiceServicer):
    async def GetSpecification(  # noqa: N802 - named by the proto
        self, request: executor_pb2.GetSpecificationRequest, context: Any
    ) -> executor_pb2.GetSpecificationResponse:
        return executor_pb2.GetSpecificationResponse()


class Endpoint:
    def __init__(self, server: RpcServer, runs: Runs, port: int) -> None:
        self.server, self.runs, self.port = server, runs, port

    @asynccontextmanager
    async def channel(self, token: str | None = "admin") -> AsyncIterator[grpc.aio.Channel]:
        channel = open_channel(f"127.0.0.1:{self.port}", token=token, deadline=timedelta(seconds=10))
        try:
            yield channel
        finally:
            await channel.close()

    @asynccontextmanager
    async def stub(self, token: str | None = "admin") -> AsyncIterator[pb_grpc.RunServiceAsyncStub]:
        async with self.channel(token) as channel:
            yield pb_grpc.RunServiceStub(channel)

    async def fault_of(self, raised: BaseException) -> tuple[grpc.aio.AioRpcError, SluicewayError]:
        self.runs.fault = raised
        async with self.stub() as stub:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetRun(pb.GetRunRequest(run_id="r"))
        return caught.value, error_of(caught.value)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    server, runs = RpcServer(Tokens()), Runs()  # type: ignore[abstract]  # the rest is not offered
    server.add(pb_grpc.add_RunServiceServicer_to_server, runs)
    server.add(executor_grpc.add_ExecutorServiceServicer_to_server, Executors())  # type: ignore[abstract]  # as above
    port = await server.start("127.0.0.1:0")
    yield Endpoint(server, runs, port)
    await server.drain(timedelta(0))


async def test_response_has_the_position_and_the_request_id(endpoint: Endpoint) -> None:
    async with endpoint.stub() as stub:
        call = stub.GetRun(pb.GetRunRequest(run_id="r"), metadata=(("sluice-position", "p1"), ("x-request-id", "abc")))
        assert (await call).run.id == "r"
        trailers = dict(await call.trailing_metadata())
    assert trailers["sluice-position"] == "00000001-0000000000000005.000000"
    assert trailers["x-request-id"] == "abc"
    assert endpoint.runs.seen == [(TOKENS["admin"], "p1")]


async def test_sluiceway_error_arrives_whole(endpoint: Endpoint) -> None:
    raised = InvalidInput([Violation("tasks[2].name", "is empty")], reason="TASK_WRONG", metadata={"task": "2"})
    _, arrived = await endpoint.fault_of(raised)
    assert isinstance(arrived, InvalidInput)
    assert (arrived.violations, arrived.reason, arrived.metadata, str(arrived)) == (
        raised.violations,
        raised.reason,
        raised.metadata,
        str(raised),
    )


async def test_request_fields_are_checked_after_the_caller(endpoint: Endpoint) -> None:
    async with endpoint.stub() as stub, endpoint.stub(None) as stranger:
        for caller, reason in ((stub, "INVALID_INPUT"), (stranger, "CREDENTIALS_MISSING")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await caller.StopRun(pb.StopRunRequest(request_id="x" * 101))
            arrived = error_of(caught.value)
            assert arrived.reason == reason
            if isinstance(arrived, InvalidInput):
                assert [violation.path for violation in arrived.violations] == ["run_id", "request_id"]
    assert endpoint.runs.seen == []


async def test_error_with_2000_faults_fits_into_the_trailers(endpoint: Endpoint) -> None:
    raised = InvalidInput([Violation(f"tasks[{n}].name", "ä" * 100) for n in range(2000)])
    _, arrived = await endpoint.fault_of(raised)
    assert isinstance(arrived, InvalidInput)
    assert arrived.violations[0] == raised.violations[0]
    assert arrived.violations[-1].message.startswith("and ")


async def test_unexpected_exception_is_internal_without_its_text(endpoint: Endpoint) -> None:
    plain, arrived = await endpoint.fault_of(ValueError("a secret"))
    assert plain.code() is grpc.StatusCode.INTERNAL
    assert isinstance(arrived, Internal)
    assert arrived.incident
    assert arrived.incident in str(arrived)
    assert "secret" not in str(plain)


async def test_handler_that_raises_cancelled_error_fails_at_once(endpoint: Endpoint) -> None:
    async with asyncio.timeout(30):
        plain, _ = await endpoint.fault_of(asyncio.CancelledError())
    assert plain.code() is grpc.StatusCode.INTERNAL


async def test_failed_stream_has_its_error(endpoint: Endpoint) -> None:
    endpoint.runs.fault = NotFound("gone", resource_type="run", resource_name="r")
    async with endpoint.stub() as stub:
        messages = aiter(stub.WatchRun(pb.WatchRunRequest(run_id="r")))
        assert (await anext(messages)).position == "1"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(messages)
    arrived = error_of(caught.value)
    assert isinstance(arrived, NotFound)
    assert arrived.resource_name == "r"


async def test_stream_is_cleaned_up_when_its_reader_disconnects(endpoint: Endpoint) -> None:
    async with endpoint.stub() as stub:
        call = stub.WatchRun(pb.WatchRunRequest(run_id="r"))
        await anext(aiter(call))
        await endpoint.runs.entered.wait()
        call.cancel()
        async with asyncio.timeout(30):
            await endpoint.runs.cleaned.wait()


RUNS = "/sluiceway.api.run.v1.RunService"


@pytest.mark.parametrize(
    ("token", "method", "reason"),
    [
        pytest.param("user", f"{RUNS}/GetRun", None, id="a token with the scope"),
        pytest.param("admin", f"{RUNS}/StopRun", None, id="an operator"),
        pytest.param(None, "/sluiceway.api.access.v1.AccessService/CheckAccess", None, id="what is public"),
        pytest.param(None, f"{RUNS}/GetRun", "CREDENTIALS_MISSING", id="no token"),
        pytest.param("wrong", f"{RUNS}/GetRun", "CREDENTIALS_INVALID", id="a token that nobody knows"),
        pytest.param("user", f"{RUNS}/StopRun", "SCOPE_MISSING", id="a token without the scope"),
        pytest.param("executor", f"{RUNS}/GetRun", "WRONG_CALLER", id="an executor"),
        pytest.param("admin", f"{RUNS}/RestartRun", "METHOD_NOT_OFFERED", id="a method without a handler"),
        pytest.param("admin", f"{RUNS}/NoSuch", "METHOD_NOT_OFFERED", id="no method"),
        pytest.param("admin", "", "INVALID_INPUT", id="nothing"),
    ],
)
async def test_access_is_checked_without_a_call(
    endpoint: Endpoint, token: str | None, method: str, reason: str | None
) -> None:
    async with endpoint.channel(token) as channel:
        call = access_grpc.AccessServiceStub(channel).CheckAccess(access_pb2.CheckAccessRequest(method=method))
        if reason is None:
            await call
        else:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert error_of(caught.value).reason == reason
    assert endpoint.runs.seen == []


async def test_method_without_a_handler_is_unimplemented(endpoint: Endpoint) -> None:
    async with endpoint.channel() as channel:
        for call in (
            pb_grpc.RunServiceStub(channel).RestartRun(pb.RestartRunRequest(run_id="r")),
            cast("Any", channel).unary_unary("/no.Such/Method")(b""),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert error_of(caught.value).code is Code.UNIMPLEMENTED
            assert error_of(caught.value).reason == "METHOD_NOT_OFFERED"


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        pytest.param(None, Code.UNAUTHENTICATED, "CREDENTIALS_MISSING", id="no token"),
        pytest.param("wrong", Code.UNAUTHENTICATED, "CREDENTIALS_INVALID", id="a token that nobody knows"),
        pytest.param("user", Code.PERMISSION_DENIED, "SCOPE_MISSING", id="a token without the scope"),
        pytest.param("executor", Code.PERMISSION_DENIED, "WRONG_CALLER", id="an executor"),
    ],
)
async def test_caller_without_permission_is_denied(
    endpoint: Endpoint, token: str | None, code: Code, reason: str
) -> None:
    async with endpoint.stub(token) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.StopRun(pb.StopRunRequest(run_id="r"))
    assert (error_of(caught.value).code, error_of(caught.value).reason) == (code, reason)
    assert endpoint.runs.seen == []


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param(("admin", "wrong"), id="the first one is good"),
        pytest.param(("wrong", "admin"), id="the last one is good"),
        pytest.param(("admin", "user"), id="two that are good"),
        pytest.param(("admin", "admin"), id="one twice"),
    ],
)
async def test_call_with_two_tokens_is_unauthenticated(endpoint: Endpoint, tokens: tuple[str, str]) -> None:
    metadata = tuple(("authorization", f"Bearer {token}") for token in tokens)
    async with endpoint.channel(None) as channel:
        stopped = pb_grpc.RunServiceStub(channel).StopRun(pb.StopRunRequest(run_id="r"), metadata=metadata)
        checked = access_grpc.AccessServiceStub(channel).CheckAccess(
            access_pb2.CheckAccessRequest(method="/sluiceway.api.run.v1.RunService/StopRun"), metadata=metadata
        )
        for call in (stopped, checked):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert error_of(caught.value).code is Code.UNAUTHENTICATED
            assert error_of(caught.value).reason == "CREDENTIALS_AMBIGUOUS"
        answer = await cast("Any", health_pb2_grpc.HealthStub(channel)).Check(
            health_pb2.HealthCheckRequest(), metadata=metadata
        )
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert endpoint.runs.seen == []


async def test_write_is_retried_with_one_request_id_when_unavailable(endpoint: Endpoint) -> None:
    async with endpoint.stub() as stub:
        await stub.StopRun(pb.StopRunRequest(run_id="r"))
    assert len(endpoint.runs.seen) == 3
    assert len(set(endpoint.runs.seen)) == 1
    assert endpoint.runs.seen[0]


async def test_port_for_executors_serves_executors_only(endpoint: Endpoint) -> None:
    port = await endpoint.server.start("127.0.0.1:0", offered_to={CallerKind.EXECUTOR})
    channel = open_channel(f"127.0.0.1:{port}", token="executor")
    wanted = executor_pb2.GetSpecificationRequest(
        executor_id="e", session_id="s", session_secret="x", assignment_id="a", epoch={"database": 1, "attempt": 1}
    )
    await executor_grpc.ExecutorServiceStub(channel).GetSpecification(wanted)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pb_grpc.RunServiceStub(channel).GetRun(pb.GetRunRequest(run_id="r"))
    assert error_of(caught.value).reason == "WRONG_PORT"
    await channel.close()


async def test_port_in_use_is_an_error(endpoint: Endpoint) -> None:
    with pytest.raises(FailedPrecondition, match=f"cannot listen on 127.0.0.1:{endpoint.port}") as caught:
        await RpcServer(Tokens()).start(f"127.0.0.1:{endpoint.port}")
    assert caught.value.reason == "ADDRESS_IN_USE"


async def test_health_lists_the_offered_services(endpoint: Endpoint) -> None:
    async with endpoint.channel(None) as channel:
        answer = await cast("Any", health_pb2_grpc.HealthStub(channel)).Check(
            health_pb2.HealthCheckRequest(service="sluiceway.api.run.v1.RunService")
        )
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_drain_ends_streams_and_waits_for_calls_and_cleanup(endpoint: Endpoint) -> None:
    async with endpoint.stub() as stub:
        watch = stub.WatchRun(pb.WatchRunRequest(run_id="r"))
        await anext(aiter(watch))
        await endpoint.runs.entered.wait()
        endpoint.runs.entered.clear()
        slow = stub.CancelRun(pb.CancelRunRequest(run_id="r"))
        pending = asyncio.ensure_future(slow)
        await endpoint.runs.entered.wait()
        endpoint.runs.cleaned.clear()
        drain = asyncio.create_task(endpoint.server.drain(timedelta(milliseconds=300)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(watch))
        assert error_of(caught.value).reason == "SERVER_DRAINING"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pending
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await drain
        assert endpoint.runs.cleaned.is_set()


async def test_malformed_request_is_refused_after_authentication(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    for token, reason in ((None, "CREDENTIALS_MISSING"), ("admin", "MALFORMED_REQUEST")):
        async with endpoint.channel(token) as channel:
            call: Any = channel.unary_unary("/sluiceway.api.run.v1.RunService/GetRun", request_serializer=bytes)
            with structlog.testing.capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"\x0a\xff\xff\xff\x0f")
        assert error_of(caught.value).reason == reason
        assert [entry["event"] for entry in logs] == ["rpc_refused"]
        assert "Error" not in error_of(caught.value).message
    assert caplog.records == [], "gRPC logs what it cannot deserialize, with a traceback"
    assert endpoint.runs.seen == []


async def test_malformed_message_ends_its_stream(endpoint: Endpoint) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield b"\x0a\xff\xff\xff\x0f"

    async with endpoint.channel() as channel:
        path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        call: Any = channel.stream_stream(path, request_serializer=bytes)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call(requests()):
                pass
    assert error_of(caught.value).reason == "MALFORMED_REQUEST"


async def test_stream_ends_when_its_token_is_revoked(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOKENS, "temporary", Caller(CallerKind.USER, "u2", frozenset({"runs:read"})))
    in_flight = endpoint.server._state.in_flight
    async with endpoint.stub("temporary") as stub, endpoint.stub("user") as other:
        calls = [each.WatchRun(pb.WatchRunRequest(run_id="r")) for each in (stub, other)]
        for call in calls:
            assert await call.read() == pb.WatchRunResponse(position="1")
        await in_flight.recheck()
        assert len(in_flight.methods()) == 1
        monkeypatch.delitem(TOKENS, "temporary")
        await in_flight.recheck()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls[0].read()
        assert error_of(caught.value).reason == "CREDENTIALS_INVALID"
        await asyncio.wait_for(endpoint.runs.cleaned.wait(), 10)
        # The other one continues.
        assert not calls[1].done()


async def test_check_that_cannot_be_made_ends_no_stream(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    async with endpoint.stub() as stub:
        call = stub.WatchRun(pb.WatchRunRequest(run_id="r"))
        assert await call.read() == pb.WatchRunResponse(position="1")

        async def away(self: Tokens, token: str) -> Caller | None:
            raise Unavailable("the database is away")

        monkeypatch.setattr(Tokens, "authenticate", away)
        await endpoint.server._state.in_flight.recheck()
        await asyncio.sleep(0)
        assert not call.done()
