"""A fake `ExecutorService` over real gRPC, for tests of the executor.

It keeps the contract: a hello is answered by a welcome, heartbeats and updates are acknowledged, logs are accepted by
offset and acknowledged when they are stored. A test can change this: refuse the next hello, hold back
acknowledgements, break streams, lose bytes that were not stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.errors import NotFound, SluicewayError, Unimplemented
from sluiceway_common.foundation.rpc.limits import SERVER_OPTIONS
from sluiceway_common.foundation.rpc.status import DETAILS_KEY, status_of

STREAM_END = object()


@dataclass
class FakeStream:
    """One Connect stream that an executor opened."""

    hello: pb.Hello
    heartbeats: list[pb.Heartbeat] = field(default_factory=list)
    updates: list[pb.AssignmentUpdate] = field(default_factory=list)
    pods_gone: list[pb.PodsGone] = field(default_factory=list)
    acknowledged: dict[int, pb.CommandAcknowledgement] = field(default_factory=dict)
    to_send: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    def send(self, **message: Any) -> None:
        self.to_send.put_nowait(pb.ConnectResponse(**message))


@dataclass
class FakeLog:
    """One log as a server stores it."""

    received: bytearray = field(default_factory=bytearray)
    stored: bytearray = field(default_factory=bytearray)
    complete: bool = False
    chunks: list[tuple[int, int]] = field(default_factory=list)


_NO_ARCHIVES = Unimplemented("this fake has no archives")


class FakeExecutorServer(pb_grpc.ExecutorServiceServicer):
    """A fake server with one port. A test reads what it received and changes how it responds."""

    def __init__(self) -> None:
        self.streams: list[FakeStream] = []
        self.refusals: list[SluicewayError] = []
        self.acknowledge_heartbeats = True
        self.acknowledge_updates = True
        self.store_logs = True
        self.session_id = "session-1"
        self.session_secret = "secret-1"
        self.heartbeat_seconds = 0.2
        self.fence_seconds = 30.0
        self.database_epoch = 1
        self.logs: dict[tuple[str, int], FakeLog] = {}
        self.log_streams = 0
        self.refused_logs: set[tuple[str, int]] = set()
        self.tokens: list[str] = []
        self.id_tokens: list[str] = []
        self.id_token_requests: list[pb.IssueIdTokenRequest] = []
        self.id_token_refusal: SluicewayError | None = None
        self.issues_id_tokens = asyncio.Event()
        self.issues_id_tokens.set()
        self.refresh_seconds = 300.0
        self._assigned: dict[str, pb.Specification] = {}
        self._number = 0
        self._server: grpc.aio.Server | None = None
        self._port = 0
        self._changed = asyncio.Condition()

    @property
    def target(self) -> str:
        return f"ipv4:127.0.0.1:{self._port}"

    @property
    def stream(self) -> FakeStream:
        return self.streams[-1]

    async def start(self) -> None:
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        pb_grpc.add_ExecutorServiceServicer_to_server(self, self._server)
        self._port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        await self._server.start()

    async def stop(self) -> None:
        """Break all streams; `start` listens again on the same port, as a new process would."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None
        for log in self.logs.values():
            # What was not stored was in this process only.
            del log.received[len(log.stored) :]

    async def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> None:
        """Wait until a condition on what was received holds."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(condition)

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def assign(self, assignment_id: str, specification: pb.Specification, attempt: int = 1) -> int:
        number = self.next_number()
        epoch = pb.Epoch(database=1, attempt=attempt)
        self._assigned[assignment_id] = specification
        assign = pb.Assign(number=number, assignment_id=assignment_id, epoch=epoch, specification=specification)
        self.stream.send(assign=assign)
        return number

    def command(self, **command: Any) -> int:
        number = self.next_number()
        for message in command.values():
            message.number = number
        self.stream.send(**command)
        return number

    def updates_of(self, assignment_id: str) -> list[pb.AssignmentUpdate]:
        return [u for s in self.streams for u in s.updates if u.assignment_id == assignment_id]

    def final_of(self, assignment_id: str) -> pb.AssignmentUpdate | None:
        for update in reversed(self.updates_of(assignment_id)):
            if update.phase >= pb.ASSIGNMENT_PHASE_SUCCESS:
                return update
        return None

    def log_of(self, assignment_id: str, step: int) -> bytes:
        log = self.logs.get((assignment_id, step))
        return bytes(log.stored) if log else b""

    def break_streams(self) -> None:
        for stream in self.streams:
            stream.to_send.put_nowait(STREAM_END)

    # -- the service --------------------------------------------------------------------------------------------

    async def Connect(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[pb.ConnectRequest], context: Any
    ) -> AsyncIterator[pb.ConnectResponse]:
        self.tokens += [str(value) for key, value in context.invocation_metadata() if key == "authorization"]
        first = await anext(request_iterator)
        if self.refusals:
            await _abort(context, self.refusals.pop(0))
        stream = FakeStream(first.hello)
        welcome = pb.Welcome(
            session_id=self.session_id,
            session_secret=self.session_secret,
            group="group",
            database_epoch=self.database_epoch,
        )
        welcome.heartbeat_interval.FromMilliseconds(int(self.heartbeat_seconds * 1000))
        welcome.fence_after.FromMilliseconds(int(self.fence_seconds * 1000))
        stream.send(welcome=welcome)
        self.streams.append(stream)
        await self._notify()
        reading = asyncio.create_task(self._read(stream, request_iterator))
        try:
            while (message := await stream.to_send.get()) is not STREAM_END:
                yield message
        finally:
            reading.cancel()

    async def _read(self, stream: FakeStream, requests: AsyncIterator[pb.ConnectRequest]) -> None:
        async for request in requests:
            match request.WhichOneof("message"):
                case "heartbeat":
                    stream.heartbeats.append(request.heartbeat)
                    if self.acknowledge_heartbeats:
                        stream.send(
                            heartbeat_acknowledgement=pb.HeartbeatAcknowledgement(number=request.heartbeat.number)
                        )
                case "updates":
                    for update in request.updates.updates:
                        stream.updates.append(update)
                        if self.acknowledge_updates:
                            stream.send(update_acknowledgement=pb.UpdateAcknowledgement(number=update.number))
                case "pods_gone":
                    stream.pods_gone.append(request.pods_gone)
                    stream.send(update_acknowledgement=pb.UpdateAcknowledgement(number=request.pods_gone.number))
                case "acknowledgement":
                    stream.acknowledged[request.acknowledgement.number] = request.acknowledgement
                case other:
                    raise AssertionError(f"an executor sends no second {other}")
            await self._notify()

    async def PushLogs(  # noqa: N802 - as above
        self, request_iterator: AsyncIterator[pb.PushLogsRequest], context: Any
    ) -> AsyncIterator[pb.PushLogsResponse]:
        self.log_streams += 1
        first = await anext(request_iterator)
        if (first.session_id, first.session_secret) != (self.session_id, self.session_secret):
            raise AssertionError("the log stream proves no session")
        answered: set[tuple[str, int]] = set()
        async for request in request_iterator:
            key = (request.log.assignment_id, request.log.step)
            # The assignments of a session are not those of the one after it.
            if key in self.refused_logs or first.session_id != self.session_id:
                response = pb.PushLogsResponse(log=request.log)
                response.refused.code = "STALE_SESSION"
                yield response
                continue
            log = self.logs.setdefault(key, FakeLog())
            log.chunks.append((request.offset, len(request.data)))
            if request.offset > len(log.received):
                yield pb.PushLogsResponse(log=request.log, stored_offset=len(log.stored), rewind=True)
                continue
            new = request.data[len(log.received) - request.offset :]
            log.received += new
            if self.store_logs:
                log.stored = bytearray(log.received)
                log.complete = log.complete or request.end
            if self.store_logs or key not in answered:
                answered.add(key)
                yield pb.PushLogsResponse(log=request.log, stored_offset=len(log.stored), complete=log.complete)
            await self._notify()

    async def GetSpecification(  # noqa: N802 - as above
        self, request: pb.GetSpecificationRequest, context: Any
    ) -> pb.GetSpecificationResponse:
        specification = self._assigned.get(request.assignment_id)
        if specification is None:
            await _abort(context, NotFound(f"there is no assignment {request.assignment_id!r}"))
        return pb.GetSpecificationResponse(specification=specification)

    async def ServeShell(  # noqa: N802 - as above
        self, request_iterator: AsyncIterator[pb.ServeShellRequest], context: Any
    ) -> AsyncIterator[pb.ServeShellResponse]:
        await _abort(context, NotFound("nobody opens shells here"))
        yield pb.ServeShellResponse()

    async def IssueIdToken(  # noqa: N802 - gRPC's name
        self, request: pb.IssueIdTokenRequest, context: Any
    ) -> pb.IssueIdTokenResponse:
        self.id_token_requests.append(request)
        await self._notify()
        await self.issues_id_tokens.wait()
        if self.id_token_refusal is not None:
            await _abort(context, self.id_token_refusal)
        number = len(self.id_tokens) + 1
        self.id_tokens.append(f"eyJhbGciOiJSUzI1NiJ9.{request.name}-claims-{number}.{request.name}-signature-{number}-")
        response = pb.IssueIdTokenResponse(token=self.id_tokens[-1])
        response.refresh_after.FromMilliseconds(int(self.refresh_seconds * 1000))
        return response

    async def PutArchive(  # noqa: N802 - as above
        self, request_iterator: AsyncIterator[pb.PutArchiveRequest], context: Any
    ) -> pb.PutArchiveResponse:
        await _abort(context, _NO_ARCHIVES)
        return pb.PutArchiveResponse()

    async def FindArchives(  # noqa: N802 - as above
        self, request: pb.FindArchivesRequest, context: Any
    ) -> pb.FindArchivesResponse:
        await _abort(context, _NO_ARCHIVES)
        return pb.FindArchivesResponse()

    async def GetArchive(  # noqa: N802 - as above
        self, request: pb.GetArchiveRequest, context: Any
    ) -> AsyncIterator[pb.GetArchiveResponse]:
        await _abort(context, _NO_ARCHIVES)
        yield pb.GetArchiveResponse()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _abort(context: Any, error: SluicewayError) -> None:
    status = status_of(error)
    context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    await context.abort(getattr(grpc.StatusCode, error.code.value), error.message)
