"""Servers with the real executor services over gRPC and fake stores behind, and a scripted executor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc.aio

from sluiceway.api.executor.v1 import executor_admin_service_pb2_grpc, executor_service_pb2_grpc
from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.clock import Clock, SystemClock, UuidSource
from sluiceway_common.foundation.errors import SluicewayError, Unavailable
from sluiceway_common.foundation.rpc.caller import Caller, CallerKind
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.app.server_keys import ServerKeys
from sluiceway_server.archives.service import ExecutorArchives
from sluiceway_server.archives.store import ArchiveStore
from sluiceway_server.executors.admin_service import ExecutorAdminServicer
from sluiceway_server.executors.connection import StreamSettings
from sluiceway_server.executors.durability import DurableBarrier
from sluiceway_server.executors.failure_detector import FailureDetector
from sluiceway_server.executors.id_tokens import IdTokens
from sluiceway_server.executors.presence import GroupDirectory, GroupKeys, GroupSettings
from sluiceway_server.executors.service import ExecutorServicer
from sluiceway_server.executors.shells import Shells
from sluiceway_server.executors.stream import ExecutorStreams
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.owners import StoredLogOwners
from sluiceway_server.logs.peers import Peer
from sluiceway_server.logs.reader import LogReader
from sluiceway_server.logs.receiver import LogReceiver
from sluiceway_server.logs.settings import LogBufferSettings
from sluiceway_server.logs.states import StoredLogStates
from sluiceway_server.logs.store import LogStore
from sluiceway_server.projects.envelope import KEY_BYTES, Envelope, MasterKeys
from sluiceway_server.projects.identity_keys import IdentityKeys
from sluiceway_server.projects.project_values import ProjectValues
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.ports import EngineSettings
from sluiceway_server.runs.project_settings import ProjectSettings
from tests.fakes.database import FakeDatabase
from tests.fakes.kv import FakeKeyValueStore
from tests.fakes.objectstorage import FakeObjectStorage

__all__ = ["TIMES", "Cluster", "ScriptedExecutor", "Server", "log_answer"]

# So long that no test sees them pass on a slow machine: a scripted executor sends no heartbeats of its own. A test of
# what happens when one of them has passed shortens that one.
TIMES = ExecutorTimes(
    heartbeat_interval=timedelta(seconds=20),
    lease=timedelta(seconds=60),
    vanish_after=timedelta(seconds=60),
    lost_after=timedelta(seconds=60),
)

_TOKENS = {
    "blue": Caller(CallerKind.EXECUTOR, "t1", group="blue"),
    "green": Caller(CallerKind.EXECUTOR, "t2", group="green"),
    "stranger": Caller(CallerKind.USER, "stranger", frozenset({"*"})),
    "admin": Caller(CallerKind.OPERATOR, "admin", frozenset({"*"})),
}


class _Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return _TOKENS.get(token)


@dataclass
class Server:
    """The part of one server process that executors use."""

    id: str
    port: int
    engine: Engine
    directory: GroupDirectory
    keys: GroupKeys
    logs: LogReader
    detector: FailureDetector
    live_logs: LogBuffers
    rpc: RpcServer
    _tasks: list[asyncio.Task[Any]]

    async def die(self) -> None:
        """End as by SIGKILL: nothing is withdrawn, nothing in memory is stored."""
        for task in self._tasks:
            task.cancel()
        for task in self.live_logs._tasks:
            task.cancel()
        self.keys._kv = _Dead()  # a dead process writes no more
        await self.rpc.drain(timedelta(0))


class _Dead:
    def __getattr__(self, name: str) -> Any:
        async def never(*_: object, **__: object) -> None:
            raise Unavailable("this server is dead")

        return never


@dataclass
class Cluster:
    """The database, etcd and object storage that servers share."""

    clock: Clock = field(default_factory=SystemClock)
    times: ExecutorTimes = TIMES
    again_after: timedelta = timedelta(milliseconds=300)
    look_interval: timedelta = timedelta(milliseconds=50)
    max_executors: int = 1_000
    public_url: str = "https://ci.example.org"

    def __post_init__(self) -> None:
        self.db = FakeDatabase(RECORD_TYPES, clock=self.clock)
        self.kv = FakeKeyValueStore(self.clock)
        self.storage = FakeObjectStorage(self.clock)
        self.ids = UuidSource(self.clock)
        self.envelope = Envelope(MasterKeys([bytes(KEY_BYTES)]))
        self._number = 0

    @asynccontextmanager
    async def server(self, *, scheduler: bool = True) -> AsyncIterator[Server]:
        self._number += 1
        name = f"s{self._number}"
        groups = GroupSettings("p", name, lease=self.times.lease, renew=timedelta(milliseconds=100))
        keys = GroupKeys(self.kv, self.clock, settings=groups)
        directory = GroupDirectory(self.kv, self.clock, settings=groups)
        engine = Engine(
            self.db,
            self.clock,
            ids=self.ids,
            settings=EngineSettings(
                server_id=name,
                scheduler_interval=timedelta(milliseconds=100),
                lost_after=self.times.lost_after,
            ),
            executors=directory,
            servers=ServerKeys(self.kv, prefix="p", server_id=name, lease=self.times.lease, own=Peer("", "")),
            scopes=ProjectSettings(),
            values=ProjectValues(self.db, self.envelope),
        )
        barrier = DurableBarrier(self.db)
        store = LogStore(self.storage, self.clock, timeout=timedelta(seconds=60))
        cut = timedelta(milliseconds=30)
        live = LogBuffers(store, self.clock, settings=LogBufferSettings(cut_after=cut, first_cut_after=cut))
        owners = StoredLogOwners(self.db)
        detector = FailureDetector(
            self.db,
            engine,
            directory=directory,
            clock=self.clock,
            times=self.times,
            interval=self.look_interval,
        )
        streams = ExecutorStreams(
            self.db,
            engine,
            keys=keys,
            directory=directory,
            barrier=barrier,
            clock=self.clock,
            ids=self.ids,
            settings=StreamSettings(
                server_id=name,
                times=self.times,
                again_after=self.again_after,
                siblings_pause=timedelta(milliseconds=10),
                max_executors=self.max_executors,
            ),
            on_assign=owners.on_assign,
            on_pods_gone=detector.pods_gone,
        )
        receiver = LogReceiver(live, owners)
        rpc = RpcServer(_Tokens(), ids=self.ids)
        rpc.add(
            executor_service_pb2_grpc.add_ExecutorServiceServicer_to_server,
            ExecutorServicer(
                self.db,
                engine,
                streams=streams,
                logs=receiver,
                archives=ExecutorArchives(
                    self.db,
                    ArchiveStore(self.storage, prefix=""),
                    self.clock,
                    ids=self.ids,
                    config_of=engine.config_of,
                ),
                shells=Shells(self.ids),
                id_tokens=IdTokens(
                    self.db,
                    IdentityKeys(self.db, self.envelope, self.clock),
                    self.clock,
                    ids=self.ids,
                    config_of=engine.config_of,
                    public_url=self.public_url,
                ),
            ),
        )
        rpc.add(
            executor_admin_service_pb2_grpc.add_ExecutorAdminServiceServicer_to_server,
            ExecutorAdminServicer(self.db, directory, detector=detector, clock=self.clock),
        )
        works = [keys.run(), directory.run(), barrier.run(), detector.run(), *([engine.run()] if scheduler else [])]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            async with asyncio.timeout(60):
                await directory.ready()
            port = await rpc.start("127.0.0.1:0")
            reader = LogReader(store, live, StoredLogStates(self.db), poll=timedelta(milliseconds=20))
            async with live:
                try:
                    yield Server(name, port, engine, directory, keys, reader, detector, live, rpc, tasks)
                finally:
                    await rpc.drain(timedelta(0))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@dataclass
class ScriptedExecutor:
    """An executor that does what a test says and records the messages it receives."""

    id: str = "e1"
    token: str = "blue"
    journal: str = "journal-1"
    slots: int = 4
    dynamic: bool = False
    session_id: str = ""
    session_secret: str = ""
    held: list[pb.HeldAssignment] = field(default_factory=list)
    heard: list[pb.ConnectResponse] = field(default_factory=list)
    ended: SluicewayError | None = None
    is_ended: bool = False

    def __post_init__(self) -> None:
        self.changed = asyncio.Condition()
        self._call: Any = None
        self._channel: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._number = 0

    async def connect(self, server: Server, **more: Any) -> None:
        """Open a stream and send the hello. `more` overrides fields of it."""
        await self.leave()
        self.heard, self.ended, self.is_ended = [], None, False
        self._channel = open_channel(f"127.0.0.1:{server.port}", token=self.token)
        self._call = executor_service_pb2_grpc.ExecutorServiceStub(self._channel).Connect()
        said: dict[str, Any] = {
            "executor_id": self.id,
            "session_id": self.session_id,
            "session_secret": self.session_secret,
            "journal_id": self.journal,
            "version": "1",
            "archs": ["amd64"],
            "slots": self.slots,
            "drivers": ["sandbox"],
            "dynamic": self.dynamic,
            "held": self.held,
        }
        hello = pb.Hello(**{**said, **more})
        self._reading = asyncio.create_task(self._read())
        await self._say(pb.ConnectRequest(hello=hello))

    async def welcomed(self, server: Server, **more: Any) -> pb.Welcome:
        await self.connect(server, **more)
        welcome = (await self.until("welcome")).welcome
        self.session_id, self.session_secret = welcome.session_id, welcome.session_secret
        return welcome

    async def refused(self, server: Server, **more: Any) -> SluicewayError:
        await self.connect(server, **more)
        return await self.end()

    async def end(self) -> SluicewayError:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: self.is_ended)
        await self.leave()
        assert self.ended is not None
        return self.ended

    async def until(
        self, kind: str, holds: Callable[[Any], bool] = lambda _: True, *, after: int = 0
    ) -> pb.ConnectResponse:
        """Wait for the first message of a kind, after the first `after` messages, for which `holds` is true."""

        def found() -> pb.ConnectResponse | None:
            for message in self.heard[after:]:
                if message.WhichOneof("message") == kind and holds(getattr(message, kind)):
                    return message
            if self.is_ended:
                raise AssertionError(f"the stream ended: {self.ended!r}")
            return None

        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: found() is not None)
        message = found()
        assert message is not None
        return message

    def of(self, kind: str) -> list[Any]:
        return [getattr(message, kind) for message in self.heard if message.WhichOneof("message") == kind]

    async def heartbeat(self, number: int) -> None:
        await self._say(pb.ConnectRequest(heartbeat=pb.Heartbeat(number=number)))

    async def confirm(self, number: int, *, refused: str = "") -> None:
        acknowledgement = pb.CommandAcknowledgement(number=number)
        if refused:
            acknowledgement.refused.code = refused
            acknowledgement.refused.message = "it cannot be done"
        await self._say(pb.ConnectRequest(acknowledgement=acknowledgement))

    async def report(
        self,
        assign: pb.Assign,
        phase: str,
        *,
        number: int = 0,
        attempt: int = 0,
        steps: Sequence[pb.StepUpdate] = (),
    ) -> int:
        """Send an update; return its number."""
        if not number:
            self._number += 1
        update = pb.AssignmentUpdate(
            number=number or self._number,
            assignment_id=assign.assignment_id,
            epoch=pb.Epoch(database=assign.epoch.database, attempt=attempt or assign.epoch.attempt),
            phase=f"ASSIGNMENT_PHASE_{phase}",
            steps=steps,
        )
        await self._say(pb.ConnectRequest(updates=pb.Updates(updates=[update])))
        return update.number

    async def reported(
        self, assign: pb.Assign, phase: str, *, number: int = 0, attempt: int = 0
    ) -> pb.UpdateAcknowledgement:
        """Send an update and wait for its acknowledgement."""
        after = len(self.heard)
        said = await self.report(assign, phase, number=number, attempt=attempt)
        answer = await self.until("update_acknowledgement", lambda a: a.number == said, after=after)
        return answer.update_acknowledgement

    def log_request(self, assign: pb.Assign, data: bytes, *, offset: int = 0, end: bool = False) -> pb.PushLogsRequest:
        """Return a request that pushes bytes of the first step."""
        return pb.PushLogsRequest(
            executor_id=self.id,
            session_id=self.session_id,
            session_secret=self.session_secret,
            log=pb.LogReference(assignment_id=assign.assignment_id, step=0),
            offset=offset,
            data=data,
            end=end,
        )

    def hold(self, assign: pb.Assign, phase: str) -> None:
        self.held.append(
            pb.HeldAssignment(
                assignment_id=assign.assignment_id,
                epoch=assign.epoch,
                phase=f"ASSIGNMENT_PHASE_{phase}",
                run_id=assign.specification.run_id,
                task_id=assign.specification.task_id,
            )
        )

    async def leave(self) -> None:
        """Break the stream."""
        if self._call is not None:
            self._call.cancel()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._channel is not None:
            await self._channel.close()
        self._call = self._reading = self._channel = None

    async def _say(self, message: pb.ConnectRequest) -> None:
        await self._call.write(message)

    async def _read(self) -> None:
        try:
            while True:
                message = await self._call.read()
                if message is grpc.aio.EOF:
                    break
                async with self.changed:
                    self.heard.append(message)
                    self.changed.notify_all()
            await self._call.code()
            self.ended = None if await self._call.code() == grpc.StatusCode.OK else await self._fault()
        except grpc.aio.AioRpcError as error:
            self.ended = error_of(error)
        finally:
            self.is_ended = True
            with suppress(RuntimeError):
                async with self.changed:
                    self.changed.notify_all()

    async def _fault(self) -> SluicewayError:
        return error_of(
            grpc.aio.AioRpcError(
                await self._call.code(),
                await self._call.initial_metadata(),
                await self._call.trailing_metadata(),
                await self._call.details(),
            )
        )


@asynccontextmanager
async def leaving(*executors: ScriptedExecutor) -> AsyncIterator[None]:
    """Close the streams of executors at the end of the block."""
    async with AsyncExitStack() as stack:
        for executor in executors:
            stack.push_async_callback(executor.leave)
        yield


async def log_answer(push: grpc.aio.StreamStreamCall[pb.PushLogsRequest, pb.PushLogsResponse]) -> pb.PushLogsResponse:
    """Return the next response of an open stream of logs."""
    answer = await push.read()
    assert isinstance(answer, pb.PushLogsResponse), "the stream ended"
    return answer
