"""A real gateway in front of a real gRPC server whose services are scripted by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sluiceway.api.config.v1 import version_service_pb2 as version_pb2
from sluiceway.api.config.v1 import version_service_pb2_grpc as version_grpc
from sluiceway.api.project.v1 import login_service_pb2 as login_pb
from sluiceway.api.project.v1 import login_service_pb2_grpc as login_grpc
from sluiceway.api.project.v1 import user_service_pb2 as user_pb
from sluiceway.api.project.v1 import user_service_pb2_grpc as user_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import OutOfRange
from sluiceway_common.foundation.rpc.caller import (
    Caller,
    CallerKind,
    announce_stream,
    requested_position,
    set_response_position,
)
from sluiceway_common.foundation.rpc.fields import checks_fields_itself
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_server.gateway.serve import serve_gateway
from sluiceway_server.gateway.settings import GatewaySettings

POSITION = "00000001-0000000000000007.000000"


class Tokens:
    """Authenticates the tokens in `good`, at first one of that name."""

    def __init__(self) -> None:
        self.good = {"good"}

    async def authenticate(self, token: str) -> Caller | None:
        if token not in self.good:
            return None
        return Caller(CallerKind.OPERATOR, "admin", frozenset({"*"}), token_id=token)


class Users(user_grpc.UserServiceServicer):
    """Begins sessions."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.lifetime = timedelta(days=30)
        self._made = 0

    async def BeginSession(  # noqa: N802 - named by the proto
        self, request: user_pb.BeginSessionRequest, context: Any
    ) -> user_pb.BeginSessionResponse:
        self._made += 1
        response = user_pb.BeginSessionResponse(token=f"session-{self._made}")
        longest = datetime.now(UTC) + self.lifetime
        response.expire_time.FromDatetime(min(request.expire_time.ToDatetime(tzinfo=UTC), longest))
        self._tokens.good.add(response.token)
        return response


class Logins(login_grpc.LoginServiceServicer):
    """Ends sessions."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.fault: BaseException | None = None

    async def LogOut(self, request: login_pb.LogOutRequest, context: Any) -> login_pb.LogOutResponse:  # noqa: N802 - as above
        if self.fault is not None:
            raise self.fault
        self._tokens.good.discard(request.token)
        return login_pb.LogOutResponse()


class Runs(pb_grpc.RunServiceServicer):
    """Returns the request, or raises what the test set; streams what the test puts into `feed`."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None
        self.requests: list[Any] = []
        self.remaining: list[float] = []
        self.positions: list[str | None] = []
        self.feed: asyncio.Queue[Any] = asyncio.Queue()
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.announces = False  # its streams, before they have a message
        self.log: bytes | None = None
        self.growth = b""  # what it gets after it was described
        self.shrinks = False  # after it was described
        self.chunk_bytes = 64 * 1024
        self.attempt = 1

    async def _note(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.remaining.append(context.time_remaining() or 0.0)
        self.positions.append(requested_position())
        set_response_position(POSITION)
        self.entered.set()
        if self.fault is not None:
            raise self.fault
        if self.hold is not None:
            try:
                await self.hold.wait()
            finally:
                self.left.set()

    @checks_fields_itself  # and takes everything
    async def CreateRun(self, request: Any, context: Any) -> pb.CreateRunResponse:  # noqa: N802 - named by the proto
        await self._note(request, context)
        return pb.CreateRunResponse(run={"id": "run/1", "number": 7, "name": request.run.name})

    async def GetRun(self, request: Any, context: Any) -> pb.GetRunResponse:  # noqa: N802 - as above
        await self._note(request, context)
        return pb.GetRunResponse(run={"id": request.run_id, "number": 7})

    async def ListRuns(self, request: Any, context: Any) -> pb.ListRunsResponse:  # noqa: N802 - as above
        await self._note(request, context)
        return pb.ListRunsResponse(
            runs=[{"id": f"r{number}", "name": "n" * 100} for number in range(request.page_size or 100)]
        )

    async def StopRun(self, request: Any, context: Any) -> pb.StopRunResponse:  # noqa: N802 - as above
        await self._note(request, context)
        return pb.StopRunResponse()

    async def DeleteLogs(self, request: Any, context: Any) -> pb.DeleteLogsResponse:  # noqa: N802 - as above
        await self._note(request, context)
        return pb.DeleteLogsResponse()

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[pb.WatchRunResponse]:  # noqa: N802 - as above
        async for message in self._stream(request, context):
            yield message

    async def ReadLogs(self, request: Any, context: Any) -> AsyncIterator[pb.ReadLogsResponse]:  # noqa: N802 - as above
        """Read `log` if there is one, as a real server does; stream what is fed otherwise."""
        if self.log is None:
            async for message in self._stream(request, context):
                yield message
            return
        await self._note(request, context)
        log, offset = self.log, request.offset
        if request.tail:
            offset = max(0, len(log) - request.tail)
        if request.describe:
            yield pb.ReadLogsResponse(
                next_offset=offset, size=None if request.follow else len(log), etag=f"{self.attempt}.{len(log)}"
            )
        if offset > len(log):
            raise OutOfRange(f"the log has {len(log)} bytes")
        log = log[:-1] if self.shrinks else log + self.growth
        for begin in range(offset, len(log), self.chunk_bytes):
            data = log[begin : begin + self.chunk_bytes]
            yield pb.ReadLogsResponse(data=data, next_offset=begin + len(data))

    async def _stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._note(request, context)
        if self.announces:
            await announce_stream()
        try:
            while (message := await self.feed.get()) is not None:
                if isinstance(message, BaseException):
                    raise message
                yield message
        finally:
            self.left.set()


class RunsWithoutDeleteLogs(Runs):
    """A service that lacks that method."""

    DeleteLogs = pb_grpc.RunServiceServicer.DeleteLogs  # type: ignore[assignment]  # the generated one, not offered


class Versions(version_grpc.VersionServiceServicer):
    async def GetVersion(  # noqa: N802 - named by the proto
        self, request: version_pb2.GetVersionRequest, context: Any
    ) -> version_pb2.GetVersionResponse:
        return version_pb2.GetVersionResponse(version="1.2.3")


class Installation:
    """A server and a gateway, each of which can be stopped and started again."""

    def __init__(self, runs: Runs, more: Mapping[Callable[..., None], object]) -> None:
        self.runs = runs
        self._more = more
        self.tokens = Tokens()
        self.users = Users(self.tokens)  # type: ignore[abstract]  # the rest is not offered
        self.logins = Logins(self.tokens)  # type: ignore[abstract]  # likewise
        self.server_port = 0
        self.port = 0
        self._server: RpcServer | None = None
        self._gateways: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    async def start_server(self) -> None:
        self._server = RpcServer(self.tokens)
        self._server.add(pb_grpc.add_RunServiceServicer_to_server, self.runs)
        self._server.add(user_grpc.add_UserServiceServicer_to_server, self.users)
        self._server.add(login_grpc.add_LoginServiceServicer_to_server, self.logins)
        self._server.add(version_grpc.add_VersionServiceServicer_to_server, Versions())
        for add, servicer in self._more.items():
            self._server.add(add, servicer)
        self.server_port = await self._server.start(f"127.0.0.1:{self.server_port}")

    async def stop_server(self) -> None:
        if self._server is not None:
            await self._server.drain(timedelta(0))

    async def start_gateway(self, settings: GatewaySettings, session_key: bytes | None = None) -> None:
        """Start a gateway; `port` is that of the last one."""
        listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        gateway = asyncio.create_task(
            serve_gateway(
                "127.0.0.1:0",
                f"127.0.0.1:{self.server_port}",
                self._stop,
                settings=settings,
                session_key=session_key,
                on_listening=listening.set_result,
                grace=timedelta(seconds=1),
            )
        )
        gateway.add_done_callback(lambda _: listening.cancel())
        self._gateways.append(gateway)
        self.port = await listening

    async def stop_gateway(self) -> None:
        self._stop.set()
        for gateway in self._gateways:
            await gateway

    @asynccontextmanager
    async def client(self, token: str | None = "good") -> AsyncIterator[httpx.AsyncClient]:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=20, trust_env=False, verify=False
        ) as client:
            yield client

    @staticmethod
    def snapshot(tasks: list[dict[str, Any]]) -> pb.WatchRunResponse:
        """Make the first message of a watch of a run with these tasks."""
        return pb.WatchRunResponse(position="p1", tasks=[run_pb2.Task(**task) for task in tasks])

    async def raw(self, data: bytes) -> bytes:
        """Send bytes, and read all that comes back until the gateway closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()


@pytest.fixture
def without_delete_logs() -> Runs:
    """Return a service that lacks `DeleteLogs`."""
    return RunsWithoutDeleteLogs()  # type: ignore[abstract]  # as the rest


@pytest.fixture
async def start_installation() -> AsyncIterator[Callable[..., Awaitable[Installation]]]:
    installations: list[Installation] = []

    async def start(
        runs: Runs | None = None, *, more: Mapping[Callable[..., None], object] | None = None, **settings: Any
    ) -> Installation:
        installation = Installation(runs or Runs(), more or {})  # type: ignore[abstract]  # the rest is not offered
        installations.append(installation)
        await installation.start_server()
        await installation.start_gateway(GatewaySettings(**settings))
        return installation

    yield start
    for installation in installations:
        await installation.stop_gateway()
        await installation.stop_server()


@pytest.fixture
async def installation(start_installation: Callable[..., Awaitable[Installation]]) -> Installation:
    return await start_installation()
