"""A scripted `RunService` behind a real server, for tests of the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway.client import Client, connect
from sluiceway_common.foundation.clock import UuidSource
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind, requested_position, set_response_position
from sluiceway_common.foundation.rpc.server import RpcServer

ADMIN = Caller(CallerKind.USER, "admin", frozenset({"*"}))


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return ADMIN if token == "good" else None


class Scripted(pb_grpc.RunServiceServicer):
    """Plays the next script for each stream; records the requests."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.positions: list[str | None] = []
        self.answer = ""
        self.fault: SluicewayError | None = None
        self.scripts: list[Iterable[Any]] = []
        self.left = asyncio.Event()

    def _note(self, request: Any) -> None:
        self.asked.append(request)
        self.positions.append(requested_position())
        if self.answer:
            set_response_position(self.answer)
        if self.fault is not None:
            raise self.fault

    async def GetRun(self, request: Any, context: Any) -> pb.GetRunResponse:  # noqa: N802 - named by the proto
        self._note(request)
        return pb.GetRunResponse(run={"id": request.run_id})

    async def CreateRun(self, request: Any, context: Any) -> pb.CreateRunResponse:  # noqa: N802 - as above
        self._note(request)
        return pb.CreateRunResponse(run={"id": "r1"})

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[pb.WatchRunResponse]:  # noqa: N802 - as above
        async for message in self._play(request):
            yield message

    async def ReadLogs(self, request: Any, context: Any) -> AsyncIterator[pb.ReadLogsResponse]:  # noqa: N802 - as above
        async for message in self._play(request):
            yield message

    async def _play(self, request: Any) -> AsyncIterator[Any]:
        self._note(request)
        try:
            for message in self.scripts.pop(0):
                if isinstance(message, SluicewayError):
                    raise message
                yield message
            if not self.scripts and request.run_id == "endless":
                await asyncio.Event().wait()
        finally:
            self.left.set()


@asynccontextmanager
async def serving(servicer: pb_grpc.RunServiceServicer) -> AsyncIterator[str]:
    server = RpcServer(authenticator=Tokens(), ids=UuidSource())
    server.add(pb_grpc.add_RunServiceServicer_to_server, servicer)
    port = await server.start("127.0.0.1:0")
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.drain(timedelta(0))


@asynccontextmanager
async def scripted(*, patience: timedelta = timedelta(seconds=30)) -> AsyncIterator[tuple[Scripted, Client]]:
    servicer = Scripted()  # type: ignore[abstract]  # the rest is not offered
    async with serving(servicer) as address, connect(address, token="good", patience=patience) as client:
        yield servicer, client


def change(position: str, phase: api.RunPhase = api.RUN_PHASE_RUNNING) -> pb.WatchRunResponse:
    return pb.WatchRunResponse(position=position, run=api.Run(id="r1", phase=phase))


def chunk(next_offset: int, data: bytes) -> pb.ReadLogsResponse:
    return pb.ReadLogsResponse(next_offset=next_offset, data=data)
