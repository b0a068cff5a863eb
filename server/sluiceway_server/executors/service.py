"""The servicer of ExecutorService, which executors call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import (
    InvalidInput,
    Unauthenticated,
)
from sluiceway_common.foundation.rpc.caller import current_caller
from sluiceway_common.runmodel.executor_state import Proof, SessionFenced
from sluiceway_server.archives.service import ExecutorArchives
from sluiceway_server.datamanager.port import Database
from sluiceway_server.executors.holding import held_assignment
from sluiceway_server.executors.id_tokens import IdTokens
from sluiceway_server.executors.shells import Shells
from sluiceway_server.executors.stream import ExecutorStreams
from sluiceway_server.logs.receiver import LogReceiver
from sluiceway_server.runrecords.executor_record import read_state
from sluiceway_server.runrecords.types import EXECUTOR
from sluiceway_server.runs.engine import Engine

# grpc.aio's contexts are generic in stubs only.
Context = grpc.aio.ServicerContext[Any, Any]


class ExecutorServicer(pb_grpc.ExecutorServiceServicer):
    """Serves executors. The calls beside the stream prove the session again."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        *,
        streams: ExecutorStreams,
        logs: LogReceiver,
        archives: ExecutorArchives,
        shells: Shells,
        id_tokens: IdTokens,
    ) -> None:
        self._database = database
        self._engine = engine
        self._streams = streams
        self._logs = logs
        self._archives = archives
        self._shells = shells
        self._id_tokens = id_tokens

    async def Connect(  # type: ignore[override]  # writes to its context; the stubs know generators only
        self, request_iterator: AsyncIterator[pb.ConnectRequest], context: Context
    ) -> None:
        await self._streams.serve(_group(), request_iterator, context.write)

    async def PushLogs(  # type: ignore[override]  # as above
        self, request_iterator: AsyncIterator[pb.PushLogsRequest], context: Context
    ) -> None:
        first = await anext(request_iterator, None)
        if first is None:
            raise InvalidInput("the first message must prove the session")
        await self._prove(first.executor_id, Proof(first.session_id, first.session_secret))

        async def requests() -> AsyncIterator[pb.PushLogsRequest]:
            yield first
            async for request in request_iterator:
                yield request

        await self._logs.receive(first.executor_id, first.session_id, requests(), context.write)

    async def ServeShell(  # type: ignore[override]  # as above
        self, request_iterator: AsyncIterator[pb.ServeShellRequest], context: Context
    ) -> None:
        first = await anext(request_iterator, None)
        if first is None:
            raise InvalidInput("the first message must name the shell")
        await self._prove(first.executor_id, Proof(first.session_id, first.session_secret))
        await self._shells.serve(first, request_iterator, context.write)

    async def PutArchive(
        self, request_iterator: AsyncIterator[pb.PutArchiveRequest], context: Context
    ) -> pb.PutArchiveResponse:
        first = await anext(request_iterator, None)
        if first is None:
            raise InvalidInput("the first message must describe the archive")
        await self._prove(first.executor_id, Proof(first.session_id, first.session_secret))
        stored = await self._archives.put(first, (request.data async for request in request_iterator))
        return pb.PutArchiveResponse(stored=stored)

    async def FindArchives(self, request: pb.FindArchivesRequest, context: Context) -> pb.FindArchivesResponse:
        await self._prove(request.executor_id, Proof(request.session_id, request.session_secret))
        return await self._archives.find(request)

    async def GetArchive(  # type: ignore[override]  # as above
        self, request: pb.GetArchiveRequest, context: Context
    ) -> None:
        await self._prove(request.executor_id, Proof(request.session_id, request.session_secret))
        async for data in self._archives.get(request):
            await context.write(pb.GetArchiveResponse(data=data))

    async def GetSpecification(
        self, request: pb.GetSpecificationRequest, context: Context
    ) -> pb.GetSpecificationResponse:
        await self._prove(request.executor_id, Proof(request.session_id, request.session_secret))
        assignment = await self._engine.assignment(request.assignment_id)
        held_assignment(assignment, request)
        return pb.GetSpecificationResponse(specification=await self._engine.specifications.build(assignment.id))

    async def IssueIdToken(self, request: pb.IssueIdTokenRequest, context: Context) -> pb.IssueIdTokenResponse:
        await self._prove(request.executor_id, Proof(request.session_id, request.session_secret))
        return await self._id_tokens.issue(request, _group())

    async def _prove(self, executor_id: str, proof: Proof) -> None:
        group = _group()
        if await self._is_proved(executor_id, group, proof):
            return
        # This server may not have applied yet what another one committed.
        await self._database.linearize()
        if not await self._is_proved(executor_id, group, proof):
            raise SessionFenced(f"this is not the present session of the executor {executor_id}", subject=executor_id)

    async def _is_proved(self, executor_id: str, group: str, proof: Proof) -> bool:
        record = await self._database.read(lambda view: view.get(EXECUTOR, executor_id))
        if record is None:
            return False
        state = read_state(record)
        return state.group == group and state.is_proved_by(proof) and not state.is_fenced


def _group() -> str:
    group = current_caller().group
    if not group:
        raise Unauthenticated("this needs the token of an executor group", reason="NO_GROUP")
    return group
