"""The stream of one executor, from its hello to its end.

    hello -> session opened in the log -> key in etcd -> welcome -> both sides settled -> the coroutines below

Then several coroutines run in one task group until one of them ends: `Connection.read`, `Connection.write`,
`Connection.report_updates`, `Connection.send_again`, `Deliverer.run`, and here one that follows the log and one that
sends the list of siblings. `read` confirms heartbeats and waits for nothing else, neither for the engine nor for the
object storage. Nor does the one that follows the log: the database cuts off a subscriber that is slow.

A stream in doubt ends itself. The executor connects again within a second and proves its session, and both sides
settle; its tasks are not affected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import Exhausted, InvalidInput, OutOfRange, PermissionDenied, Unavailable
from sluiceway_common.foundation.tasks import one_error
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runmodel.executor_state import SessionFenced
from sluiceway_server.datamanager.model import Emit
from sluiceway_server.datamanager.port import Database
from sluiceway_server.executors.connection import Connection, StreamSettings, Write
from sluiceway_server.executors.delivery import OnAssign, OnPodsGone
from sluiceway_server.executors.durability import DurableBarrier
from sluiceway_server.executors.presence import GroupDirectory, GroupKeys, Presence, SessionTakenOver
from sluiceway_server.executors.reconciliation import read_assignments, reconcile
from sluiceway_server.executors.sessions import KIND_CONNECTED, OpenedSession, SessionStore
from sluiceway_server.runrecords.executor_messages import check_hello
from sluiceway_server.runrecords.executor_record import KIND_CLEAN, KIND_FENCED, vanished_sessions
from sluiceway_server.runrecords.types import executor_topic
from sluiceway_server.runs.engine import Engine

log = structlog.get_logger(__name__)


class ExecutorStreams:
    """Serves the streams of all executors that are connected to this server."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        *,
        keys: GroupKeys,
        directory: GroupDirectory,
        barrier: DurableBarrier,
        clock: Clock,
        ids: IdSource,
        settings: StreamSettings,
        on_assign: OnAssign | None = None,
        on_pods_gone: OnPodsGone | None = None,
    ) -> None:
        self._database = database
        self._engine = engine
        self._keys = keys
        self._directory = directory
        self._barrier = barrier
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._on_assign = on_assign
        self._on_pods_gone = on_pods_gone
        self._streams = 0
        self._sessions = SessionStore(database, clock=clock, ids=ids, max_executors=settings.max_executors)

    async def serve(self, group: str, messages: AsyncIterator[pb.ConnectRequest], write: Write) -> None:
        """Serve one stream. Returns when the executor ends it.

        Args:
            group: of the executor's token.
            messages: from the executor.
            write: sends one message to it; called by one coroutine at a time.

        Raises:
            InvalidInput: the first message is no hello, or a message is out of bounds.
            PermissionDenied: the executor expects another group.
            Exhausted: the group has too many executors.
            SessionLives: another executor is connected with this id, and this one proved nothing.
            SessionTakenOver: a newer stream has the session.
            SessionFenced: the executor was declared vanished, or deleted.
            Unavailable: something that is needed is away, or the executor was silent for too long.
        """
        hello = await self._read_hello(messages)
        check_hello(hello)
        if hello.expected_group and hello.expected_group != group:
            raise PermissionDenied(
                f'the token is of the group "{group}", not of "{hello.expected_group}"', reason="ANOTHER_GROUP"
            )
        stream_id = self._ids.new_id()
        with structlog.contextvars.bound_contextvars(executor=hello.executor_id, stream=stream_id):
            holder = await self._keys.holder(group, hello.executor_id)
            session = await self._sessions.open(group, hello, stream_id=stream_id, holder=holder)
            presence = _presence(group, hello, session, stream_id=stream_id, server_id=self._settings.server_id)
            # The commit of the hello makes this read linearizable: all that precedes it in the log is seen from its
            # position on. Read before the key exists: nothing is assigned to a new session before that.
            stored = await read_assignments(self._engine, hello, session.position)
            await self._keys.announce(presence)
            log.info("executor_connected", group=group, session=session.id, held=len(hello.held))
            connection = Connection(
                self._engine,
                presence,
                settings=self._settings,
                clock=self._clock,
                barrier=self._barrier,
                hello=session.position,
                record_use=None if session.use_is_recorded else lambda: self._sessions.record_use(hello.executor_id),
                on_assign=self._on_assign,
                on_pods_gone=self._on_pods_gone,
                interval=lambda: self._settings.times.interval_for(self._streams),
            )
            connection.welcome(session.secret, database_epoch=session.position.sequence.epoch)

            async def settle() -> None:
                await reconcile(self._engine, connection.deliverer, hello, session, stored)
                if not session.is_settled:
                    await self._sessions.record_settled(presence.id, session.id)
                owed = await self._database.read(lambda view: vanished_sessions(view, presence.id))
                for command in owed:
                    connection.deliverer.clean(command)

            self._streams += 1
            try:
                await self._run(connection, messages, write, settle)
            except SessionTakenOver:
                await self._keys.withdraw(presence)
                raise
            except BaseException:
                await self._depart(presence)
                raise
            else:
                await self._depart(presence)
            finally:
                self._streams -= 1

    async def _read_hello(self, messages: AsyncIterator[pb.ConnectRequest]) -> pb.Hello:
        try:
            async with time_limit(self._settings.hello_timeout.total_seconds()):
                first = await anext(messages, None)
        except TimeoutError as cause:
            raise InvalidInput("no hello came") from cause
        if first is None or not first.HasField("hello"):
            raise InvalidInput("the first message must be a hello")
        return first.hello

    async def _run(
        self,
        connection: Connection,
        messages: AsyncIterator[pb.ConnectRequest],
        write: Write,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        async def settle_and_follow(tasks: asyncio.TaskGroup) -> None:
            await settle()
            tasks.create_task(connection.report_updates(), name="report updates")
            tasks.create_task(connection.send_again(), name="send commands again")
            tasks.create_task(self._send_siblings(connection), name="send siblings")
            tasks.create_task(connection.deliverer.run(), name="deliver")
            await self._follow_log(connection)

        with one_error():
            try:
                async with asyncio.TaskGroup() as tasks:
                    connection.start = lambda work: tasks.create_task(_awaited(work))
                    tasks.create_task(connection.write(write), name="write")
                    # Heartbeats are confirmed from the first moment, however long settling takes.
                    tasks.create_task(settle_and_follow(tasks), name="follow the log")
                    await connection.read(messages, lambda: self._keys.is_valid(connection.presence.group))
                    raise _StreamEnded  # cancels the other coroutines
            except* _StreamEnded:
                pass

    async def _follow_log(self, connection: Connection) -> None:
        presence = connection.presence
        topic = executor_topic(presence.id)
        try:
            async for applied in self._database.subscribe(after=connection.hello, topics=(topic,)):
                for action in applied.actions:
                    if not isinstance(action, Emit) or topic not in action.topics:
                        continue
                    if action.kind == KIND_CONNECTED and action.body.decode() != presence.stream:
                        raise SessionTakenOver(f"a newer stream of the executor {presence.id} took over")
                    if action.kind == KIND_FENCED and action.body.decode() == presence.session:
                        raise SessionFenced(f"the executor {presence.id} was declared vanished", subject=presence.id)
                    if action.kind == KIND_CLEAN:
                        connection.deliverer.clean(pb.Clean.FromString(action.body))
                    connection.deliverer.accept(action, applied)
        except (OutOfRange, Exhausted) as error:
            raise Unavailable("this server could not keep up; connect again") from error

    async def _send_siblings(self, connection: Connection) -> None:
        sent: tuple[str, ...] | None = None
        while True:
            changed = self._directory.watch()
            siblings = self._directory.siblings(connection.presence.group, connection.presence.id)
            if siblings != sent:
                sent = siblings
                connection.put(pb.ConnectResponse(siblings=pb.Siblings(executor_ids=siblings)))
            await changed.wait()
            await asyncio.sleep(self._settings.siblings_pause.total_seconds())

    async def _depart(self, presence: Presence) -> None:
        log.info("executor_disconnected", session=presence.session)
        await self._keys.withdraw(presence)
        await self._sessions.record_departed(presence.id, presence.session)


class _StreamEnded(Exception):
    """The executor ended its stream."""


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _presence(group: str, hello: pb.Hello, session: OpenedSession, *, stream_id: str, server_id: str) -> Presence:
    return Presence(
        group=group,
        id=hello.executor_id,
        session=session.id,
        stream=stream_id,
        since=str(session.position),
        server=server_id,
        slots=hello.slots,
        archs=tuple(hello.archs),
        labels=tuple(sorted(hello.labels.items())),
        privileged_allowed=hello.privileged_allowed,
        drivers=tuple(hello.drivers),
        dynamic=hello.dynamic,
    )
