"""The stream of one executor, from its hello to its end.

    hello -> admitted in the log -> key in etcd -> welcome -> settled, and told what that asks for -> the work below

Then six hands, each with one concern, until one of them fails: one reads what the executor says, one takes its updates
to the engine, one heeds the log, one tells what that asks for, one tells of its siblings, one writes. Heartbeats are
answered by the hand that reads and wait for nothing else: not for the engine, and not for an object storage. Nor does
the one that heeds the log: the database cuts off who falls behind.

A stream that is in doubt ends itself. The executor comes back within a second, proves its session, and both sides
settle; its tasks do not notice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import (
    Exhausted,
    InvalidInput,
    OutOfRange,
    PermissionDenied,
    SluicewayError,
    Unavailable,
)
from sluiceway_common.foundation.tasks import one_error
from sluiceway_common.runmodel.model import AssignmentPhase, Epoch, Reason, ReasonCode
from sluiceway_server.datamanager.model import Decision, Emit, Position, Put, View
from sluiceway_server.datamanager.port import Database
from sluiceway_server.executors.commands import DurableBarrier, ExecutorEngine, Sent, assignments_of
from sluiceway_server.executors.connection import Connection, Say, StreamSettings
from sluiceway_server.executors.presence import GroupDirectory, GroupKeys, Presence, SessionTakenOver
from sluiceway_server.executors.sessions import (
    Continue,
    Held,
    Proof,
    Refuse,
    SessionFenced,
    StoredSession,
    Verdict,
    admit,
    secret_digest,
    settle,
    why_deleted,
)
from sluiceway_server.runrecords import codec, enums
from sluiceway_server.runrecords.executor_messages import check_hello
from sluiceway_server.runrecords.types import EXECUTOR, executor_topic

__all__ = ["ExecutorStreams", "StreamNotice", "stored_session"]

log = structlog.get_logger(__name__)


class StreamNotice:
    """Kinds of `Emit` to an executor's topic beside those of the engine."""

    CONNECTED = "executor_connected"
    """A stream said hello; the body is its id. Every other stream of the executor ends itself."""
    FENCED = "executor_fenced"
    """Its session is over; the body is the session's id."""


def stored_session(record: records.ExecutorRecord | None) -> StoredSession | None:
    """Read what the decisions about hellos need of a record."""
    if record is None:
        return None
    return StoredSession(
        group=record.group,
        session_id=record.session_id,
        secret_digest=record.secret_digest,
        journal_id=record.journal_id,
        is_fenced=record.vanished or record.deleted,
    )


@dataclass(frozen=True, slots=True)
class _Admitted:
    session_id: str
    secret: str
    same_journal: bool
    is_settled: bool
    use_is_stored: bool
    was_deleted: bool = False


class ExecutorStreams:
    """Serves the streams of all executors that are connected to this server."""

    def __init__(
        self,
        database: Database,
        engine: ExecutorEngine,
        *,
        keys: GroupKeys,
        directory: GroupDirectory,
        barrier: DurableBarrier,
        clock: Clock,
        ids: IdSource,
        settings: StreamSettings,
        sent: Sent | None = None,
    ) -> None:
        self._database = database
        self._engine = engine
        self._keys = keys
        self._directory = directory
        self._barrier = barrier
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._sent = sent

    async def serve(self, group: str, messages: AsyncIterator[pb.ConnectRequest], say: Say) -> None:
        """Serve one stream. Returns when the executor ends it.

        Args:
            group: of the executor's token.
            messages: what it says.
            say: writes one message; called by one hand at a time.

        Raises:
            InvalidInput: the first message is no hello, or says something impossible.
            PermissionDenied: the executor expects another group.
            Exhausted: the group has too many executors.
            SessionLives: another one with this id is connected, and this one proved nothing.
            SessionTakenOver: a newer stream has the session.
            SessionFenced: the executor was declared vanished.
            Unavailable: something that is needed is away, or the executor was silent for too long.
        """
        hello = await self._hello(messages)
        check_hello(hello)
        if hello.expected_group and hello.expected_group != group:
            raise PermissionDenied(
                f'the token is of the group "{group}", not of "{hello.expected_group}"', reason="ANOTHER_GROUP"
            )
        stream_id = self._ids.new_id()
        with structlog.contextvars.bound_contextvars(executor=hello.executor_id, stream=stream_id):
            admitted, position = await self._admit(group, hello, stream_id)
            presence = Presence(
                group=group,
                id=hello.executor_id,
                session=admitted.session_id,
                stream=stream_id,
                since=str(position),
                server=self._settings.server_id,
                slots=hello.slots,
                archs=tuple(hello.archs),
                labels=tuple(sorted(hello.labels.items())),
                privileged_allowed=hello.privileged_allowed,
                drivers=tuple(hello.drivers),
                dynamic=hello.dynamic,
            )
            # The hello's own commit is the linearizable read: whatever came before it in the log is seen from its
            # position on. Read before the key is there: nothing is assigned to a new session before that.
            held = [item.assignment_id for item in hello.held]
            stored = await assignments_of(self._engine, hello.executor_id, held, position)
            await self._keys.announce(presence)
            log.info("executor_connected", group=group, session=admitted.session_id, held=len(held))
            connection = Connection(
                self._engine,
                presence,
                settings=self._settings,
                clock=self._clock,
                barrier=self._barrier,
                hello=position,
                note_use=None if admitted.use_is_stored else lambda: self._note_use(hello.executor_id),
                sent=self._sent,
            )
            connection.welcome(admitted.secret, database_epoch=position.sequence.epoch)
            try:
                await self._work(connection, messages, say, lambda: self._settle(hello, admitted, connection, stored))
            except SessionTakenOver:
                await self._keys.withdraw(presence)
                raise
            except BaseException:
                await self._depart(presence)
                raise
            else:
                await self._depart(presence)

    async def _hello(self, messages: AsyncIterator[pb.ConnectRequest]) -> pb.Hello:
        try:
            async with asyncio.timeout(self._settings.hello_timeout.total_seconds()):
                first = await anext(messages, None)
        except TimeoutError as cause:
            raise InvalidInput("no hello came") from cause
        if first is None or not first.HasField("hello"):
            raise InvalidInput("the first message must be a hello")
        return first.hello

    async def _admit(self, group: str, hello: pb.Hello, stream_id: str) -> tuple[_Admitted, Position]:
        holder = await self._keys.holder(group, hello.executor_id)
        session_id = self._ids.new_id()
        secret = secrets.token_urlsafe(32)
        digest = secret_digest(secret)
        now = self._clock.now()
        proof = Proof(hello.session_id, hello.session_secret)

        def function(view: View) -> Decision[_Admitted]:
            stored = view.get(EXECUTOR, hello.executor_id)
            # The key is of the session that the records name, or of one that they fenced since.
            is_live = holder is not None and stored is not None and holder.session == stored.session_id
            decision = admit(
                hello.executor_id,
                group,
                stored_session(stored),
                proof,
                journal_id=hello.journal_id,
                is_live=is_live,
            )
            record = records.ExecutorRecord()
            if stored is not None:
                record.CopyFrom(stored)
            if isinstance(decision, Refuse):
                raise decision.error
            if isinstance(decision, Continue):
                is_settled = record.settled_epoch == view.position.sequence.epoch
                admitted = _Admitted(
                    decision.session_id,
                    hello.session_secret,
                    same_journal=decision.same_journal,
                    is_settled=is_settled,
                    use_is_stored=record.use == records.EXECUTOR_USE_UNSPECIFIED,
                )
            else:
                if stored is None:
                    self._check_room(view, group)
                    record.use = records.EXECUTOR_USE_NONE
                admitted = _Admitted(
                    session_id,
                    secret,
                    same_journal=False,
                    is_settled=False,
                    use_is_stored=record.use == records.EXECUTOR_USE_UNSPECIFIED,
                    was_deleted=record.deleted,
                )
                record.session_id = session_id
                record.secret_digest = digest
                codec.put_time(record.session_time, now)
                record.settled_epoch = 0
                # A drain lasts until an operator ends it, but one that was deleted is another executor now.
                record.draining = record.draining and not record.deleted
                record.vanished = record.deleted = record.pods_gone = False
            _describe(record, group, hello)
            codec.put_time(record.last_seen_time, now)
            record.ClearField("missing_since")
            notice = Emit(StreamNotice.CONNECTED, (executor_topic(hello.executor_id),), stream_id.encode())
            return Decision(admitted, [Put(EXECUTOR, hello.executor_id, record), notice])

        committed = await self._database.transact(function)
        return committed.value, committed.position

    def _check_room(self, view: View, group: str) -> None:
        most = self._settings.most_executors
        if view.count(EXECUTOR, {"group": group}, limit=most) >= most:
            raise Exhausted(
                f'the group "{group}" has {most} executors, and may not have more; delete those that are gone for good:'
                " sluice executor delete ID",
                reason="GROUP_FULL",
                subject=group,
            )

    async def _note_use(self, executor_id: str) -> None:
        """Note that the object storage knows that an executor may hold assignments."""

        def function(view: View) -> Decision[None]:
            stored = view.get(EXECUTOR, executor_id)
            if stored is None or stored.use == records.EXECUTOR_USE_UNSPECIFIED:
                return Decision(None)
            record = records.ExecutorRecord()
            record.CopyFrom(stored)
            record.use = records.EXECUTOR_USE_UNSPECIFIED
            return Decision(None, [Put(EXECUTOR, executor_id, record)])

        await self._database.transact(function)

    async def _work(
        self,
        connection: Connection,
        messages: AsyncIterator[pb.ConnectRequest],
        say: Say,
        settle_first: Callable[[], Awaitable[None]],
    ) -> None:
        presence = connection.presence

        async def tell(tasks: asyncio.TaskGroup) -> None:
            await settle_first()
            tasks.create_task(connection.take_updates(), name="updates")
            tasks.create_task(connection.send_again(), name="send again")
            tasks.create_task(self._tell_siblings(connection), name="siblings")
            tasks.create_task(connection.deliverer.deliver(), name="deliver")
            await self._heed(connection, Position.parse(presence.since))

        with one_error():
            try:
                async with asyncio.TaskGroup() as tasks:
                    connection.start = lambda work: tasks.create_task(_awaited(work))
                    tasks.create_task(connection.write(say), name="write")
                    # Heartbeats are confirmed from the first moment, however long settling takes.
                    tasks.create_task(tell(tasks), name="tell")
                    await connection.read(messages, lambda: self._keys.is_well(presence.group))
                    raise _Ended  # ends the other hands
            except* _Ended:
                pass

    async def _settle(
        self,
        hello: pb.Hello,
        admitted: _Admitted,
        connection: Connection,
        stored: tuple[records.AssignmentRecord, ...],
    ) -> None:
        held = {item.assignment_id: item for item in hello.held}
        position = Position.parse(connection.presence.since)
        verdicts = settle(
            [codec.decode_assignment(record) for record in stored],
            [
                Held(
                    item.assignment_id,
                    Epoch(item.epoch.database, item.epoch.attempt),
                    # An executor of another version may be in a phase that is unknown here: it holds the assignment.
                    enums.ASSIGNMENT_PHASE_OF.get(item.phase, AssignmentPhase.ACCEPTED),
                )
                for item in held.values()
            ],
            session_id=admitted.session_id,
            same_journal=admitted.same_journal,
            database_epoch=position.sequence.epoch,
        )
        records_by_id = {record.id: record for record in stored}
        lost: list[str] = []
        deliverer = connection.deliverer
        for row in verdicts:
            epoch = pb.Epoch(database=row.epoch.database, attempt=row.epoch.attempt)
            match row.verdict:
                case Verdict.GO_ON:
                    if records_by_id[row.assignment_id].HasField("stop_requested"):
                        deliverer.stop(records_by_id[row.assignment_id])
                case Verdict.REMOVE:
                    deliverer.discard(row.assignment_id, epoch)
                case Verdict.RELEASE:
                    deliverer.release(row.assignment_id)
                case Verdict.ADOPT:
                    item = held[row.assignment_id]
                    if not await self._engine.adopt(hello.executor_id, admitted.session_id, item):
                        deliverer.discard(row.assignment_id, epoch)
                case Verdict.SEND_AGAIN:
                    await deliverer.assign(records_by_id[row.assignment_id], position)
                case Verdict.LOSE:
                    lost.append(row.assignment_id)
                case Verdict.REMOVE_AND_LOSE:
                    deliverer.discard(row.assignment_id, epoch)
                    lost.append(row.assignment_id)
        if lost:
            log.warning("assignments_lost_by_executor", assignments=lost)
            reason = (
                why_deleted(hello.executor_id)
                if admitted.was_deleted
                else Reason(
                    ReasonCode.NOT_KNOWN_TO_EXECUTOR,
                    f"the executor {hello.executor_id} no longer has it: it was started anew, or its disk was",
                )
            )
            await self._engine.mark_lost(lost, reason)
        if not admitted.is_settled:
            await self._note_settled(hello.executor_id, admitted.session_id)

    async def _note_settled(self, executor_id: str, session_id: str) -> None:
        def function(view: View) -> Decision[None]:
            stored = view.get(EXECUTOR, executor_id)
            if stored is None or stored.session_id != session_id:
                return Decision(None)
            record = records.ExecutorRecord()
            record.CopyFrom(stored)
            record.settled_epoch = view.position.sequence.epoch
            return Decision(None, [Put(EXECUTOR, executor_id, record)])

        await self._database.transact(function)

    async def _heed(self, connection: Connection, position: Position) -> None:
        """Tell the executor what the log says from its hello on."""
        presence = connection.presence
        topic = executor_topic(presence.id)
        try:
            async for applied in self._database.subscribe(after=position, topics=(topic,)):
                for action in applied.actions:
                    if not isinstance(action, Emit) or topic not in action.topics:
                        continue
                    match action.kind:
                        case StreamNotice.CONNECTED if action.body.decode() != presence.stream:
                            raise SessionTakenOver(f"a newer stream of the executor {presence.id} took over")
                        case StreamNotice.FENCED if action.body.decode() == presence.session:
                            raise SessionFenced(
                                f"the executor {presence.id} was declared vanished", subject=presence.id
                            )
                        case _:
                            connection.deliverer.heed(action, applied)
        except (OutOfRange, Exhausted) as error:
            raise Unavailable("this server could not keep up; connect again") from error

    async def _tell_siblings(self, connection: Connection) -> None:
        told: tuple[str, ...] | None = None
        while True:
            changed = self._directory.watch()
            siblings = self._directory.siblings(connection.presence.group, connection.presence.id)
            if siblings != told:
                told = siblings
                connection.put(pb.ConnectResponse(siblings=pb.Siblings(executor_ids=siblings)))
            await changed.wait()
            await asyncio.sleep(self._settings.siblings_pause.total_seconds())

    async def _depart(self, presence: Presence) -> None:
        log.info("executor_disconnected", session=presence.session)
        await self._keys.withdraw(presence)
        now = self._clock.now()

        def function(view: View) -> Decision[None]:
            stored = view.get(EXECUTOR, presence.id)
            # Only the end of the present stream is news.
            if stored is None or stored.session_id != presence.session:
                return Decision(None)
            record = records.ExecutorRecord()
            record.CopyFrom(stored)
            codec.put_time(record.last_seen_time, now)
            return Decision(None, [Put(EXECUTOR, presence.id, record)])

        with suppress(SluicewayError, TimeoutError):
            async with asyncio.timeout(2):
                await self._database.transact(function)


class _Ended(Exception):
    """The executor ended its stream."""


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _describe(record: records.ExecutorRecord, group: str, hello: pb.Hello) -> None:
    record.group = group
    record.journal_id = hello.journal_id
    record.version = hello.version
    record.slots = hello.slots
    record.privileged_allowed = hello.privileged_allowed
    record.dynamic = hello.dynamic
    for name in ("archs", "labels", "drivers"):
        record.ClearField(name)
    record.archs.extend(hello.archs)
    record.labels.update(hello.labels)
    record.drivers.extend(hello.drivers)
