"""The queues of one executor's stream, and the coroutines that need nothing but them.

`stream` runs the coroutines together, and cancels all of them when one fails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import Code, Exhausted, InvalidInput, SluicewayError, Unavailable
from sluiceway_common.foundation.rpc.requests import REQUEST_BYTES
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_server.datamanager.model import Position
from sluiceway_server.executors.commands import CommandBuffer
from sluiceway_server.executors.delivery import Deliverer, OnAssign, OnPodsGone
from sluiceway_server.executors.durability import DurableBarrier
from sluiceway_server.executors.presence import Presence
from sluiceway_server.runrecords import codec
from sluiceway_server.runrecords.executor_messages import check_message
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.executor_times import MISSED_HEARTBEATS, ExecutorTimes
from sluiceway_server.runs.ports import UpdateOutcome

log = structlog.get_logger(__name__)

_CONNECT = "/sluiceway.api.executor.v1.ExecutorService/Connect"
_MAX_QUEUED_UPDATES = 10_000
_MAX_QUEUED_MESSAGES = 20_000
_UPDATES_PER_TRANSACTION = 256
_NOTICEABLY_LONGER = 1.2
_RETRIED = frozenset({Code.UNAVAILABLE, Code.ABORTED, Code.DEADLINE_EXCEEDED})

Write = Callable[[pb.ConnectResponse], Awaitable[None]]
"""Writes one message into a stream; waits while the other end does not read."""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Limits and times of streams. Tests scale the times down together.

    Attributes:
        times: heartbeats and fences; both are sent to executors.
        hello_timeout: for the first message.
        again_after: a command is sent again after so long without its acknowledgement.
        siblings_pause: changes of a group are gathered for so long: when a thousand executors come back at once, none
            of them is sent a thousand lists.
        retry_pause: between two attempts to report updates to a database that is away.
        max_message_bytes: sent to executors.
        max_executors: of one group.
    """

    server_id: str
    times: ExecutorTimes = field(default_factory=ExecutorTimes)
    hello_timeout: timedelta = timedelta(seconds=10)
    again_after: timedelta = timedelta(seconds=15)
    siblings_pause: timedelta = timedelta(seconds=1)
    retry_pause: timedelta = timedelta(seconds=1)
    max_message_bytes: int = REQUEST_BYTES[_CONNECT]
    max_executors: int = 1_000


class Connection:
    """The queues of one stream.

    Attributes:
        hello: the position of its hello in the log.
        start: runs work beside the coroutines; set it before any of them runs.
    """

    def __init__(
        self,
        engine: Engine,
        presence: Presence,
        *,
        settings: StreamSettings,
        clock: Clock,
        barrier: DurableBarrier,
        hello: Position,
        record_use: Callable[[], Awaitable[None]] | None,
        on_assign: OnAssign | None = None,
        on_pods_gone: OnPodsGone | None = None,
        interval: Callable[[], timedelta] | None = None,
    ) -> None:
        self.presence = presence
        self.hello = hello
        self.start: Callable[[Awaitable[None]], object] = _not_started
        self._engine = engine
        self._settings = settings
        self._outgoing: deque[pb.ConnectResponse] = deque()
        self._has_outgoing = asyncio.Event()
        self._heartbeat = 0
        self._updates: deque[pb.AssignmentUpdate] = deque()
        self._has_updates = asyncio.Event()
        self._gone = 0
        self._wanted_interval = interval or (lambda: settings.times.heartbeat_interval)
        # What the executor was told last. Within a stream it only grows: the next heartbeat may be on its way.
        self._interval = self._wanted_interval()
        self._has_new_interval = False
        self._commands = CommandBuffer(self.put, clock, hello=hello, again_after=settings.again_after)
        self.deliverer = Deliverer(
            presence.id,
            presence.session,
            engine,
            self._commands,
            barrier,
            lambda work: _ignore(self.start(work)),
            record_use=record_use,
            on_assign=on_assign,
            on_pods_gone=on_pods_gone,
        )
        self._on_pods_gone = on_pods_gone

    def welcome(self, secret: str, *, database_epoch: int) -> None:
        """Queue the response to the hello."""
        welcome = pb.Welcome(
            session_id=self.presence.session,
            session_secret=secret,
            max_message_bytes=self._settings.max_message_bytes,
            group=self.presence.group,
            database_epoch=database_epoch,
        )
        times = self._settings.times
        welcome.heartbeat_interval.FromTimedelta(self._interval)
        welcome.fence_after.FromTimedelta(times.dynamic_fence_after if self.presence.dynamic else times.fence_after)
        self.put(pb.ConnectResponse(welcome=welcome))

    def put(self, message: pb.ConnectResponse) -> None:
        """Queue a message. Raises `Exhausted` when the executor does not read."""
        if len(self._outgoing) >= _MAX_QUEUED_MESSAGES:
            raise Exhausted("the executor does not read its messages")
        self._outgoing.append(message)
        self._has_outgoing.set()

    async def write(self, write: Write) -> None:
        """Write queued messages, in order."""
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing.clear()
            while self._outgoing or self._heartbeat:
                # Before all other messages, and only the last one: it confirms those before it.
                if self._heartbeat and not self._welcome_is_next():
                    acknowledgement = pb.HeartbeatAcknowledgement(number=self._heartbeat)
                    self._heartbeat = 0
                    if self._has_new_interval:
                        acknowledgement.heartbeat_interval.FromTimedelta(self._interval)
                        self._has_new_interval = False
                    await write(pb.ConnectResponse(heartbeat_acknowledgement=acknowledgement))
                if self._outgoing:
                    await write(self._outgoing.popleft())

    def _welcome_is_next(self) -> bool:
        return bool(self._outgoing) and self._outgoing[0].HasField("welcome")

    async def read(self, messages: AsyncIterator[pb.ConnectRequest], may_confirm: Callable[[], bool]) -> None:
        """Read messages until the executor ends the stream; confirm its heartbeats while `may_confirm`.

        Raises:
            Unavailable: the executor was silent for too long.
            InvalidInput: a message is not allowed here, or is out of bounds.
            Exhausted: the executor sends updates faster than they are committed.
        """
        while True:
            silence = self._interval.total_seconds() * MISSED_HEARTBEATS
            try:
                async with time_limit(silence):
                    message = await anext(messages, None)
            except TimeoutError as cause:
                raise Unavailable(
                    f"the executor {self.presence.id} was silent for {silence:g} s", reason="HEARTBEATS_MISSED"
                ) from cause
            if message is None:
                return
            check_message(message)
            match message.WhichOneof("message"):
                case "heartbeat":
                    # Pods are kept alive only while heartbeats are confirmed, so a server whose lease is in doubt must
                    # not confirm any.
                    if may_confirm():
                        self._heartbeat = message.heartbeat.number
                        wanted = self._wanted_interval()
                        if wanted >= self._interval * _NOTICEABLY_LONGER:
                            self._interval, self._has_new_interval = wanted, True
                        self._has_outgoing.set()
                case "updates":
                    if len(self._updates) + len(message.updates.updates) > _MAX_QUEUED_UPDATES:
                        raise Exhausted(f"more than {_MAX_QUEUED_UPDATES} updates wait; connect again")
                    self._updates.extend(message.updates.updates)
                    self._has_updates.set()
                case "acknowledgement":
                    if message.acknowledgement.HasField("refused"):
                        self.start(self.deliverer.acknowledge(message.acknowledgement))
                    else:
                        self._commands.acknowledge(message.acknowledgement.number)
                case "hello":
                    raise InvalidInput("a stream has one hello")
                case "pods_gone":
                    if self._gone >= _MAX_QUEUED_UPDATES:
                        raise Exhausted(f"more than {_MAX_QUEUED_UPDATES} reports of pods wait; connect again")
                    self._gone += 1
                    self.start(self._report_gone(message.pods_gone))
                case _:  # messages of later versions
                    log.debug("message_ignored", kind=message.WhichOneof("message"))

    async def _report_gone(self, gone: pb.PodsGone) -> None:
        if self._on_pods_gone is not None:
            await self._on_pods_gone(self.presence.id, gone.session_id)
        self._gone -= 1
        self.put(pb.ConnectResponse(update_acknowledgement=pb.UpdateAcknowledgement(number=gone.number)))

    async def report_updates(self) -> None:
        """Report queued updates to the engine, many in one transaction, and acknowledge them."""
        while True:
            await self._has_updates.wait()
            self._has_updates.clear()
            while self._updates:
                count = min(len(self._updates), _UPDATES_PER_TRANSACTION)
                batch = [self._updates.popleft() for _ in range(count)]
                for outcome in await self._report(batch):
                    acknowledgement = pb.UpdateAcknowledgement(number=outcome.number)
                    if outcome.refused is not None:
                        acknowledgement.refused.CopyFrom(codec.encode_reason(outcome.refused))
                    self.put(pb.ConnectResponse(update_acknowledgement=acknowledgement))

    async def _report(self, batch: list[pb.AssignmentUpdate]) -> tuple[UpdateOutcome, ...]:
        while True:
            try:
                return await self._engine.report(self.presence.id, self.presence.session, batch)
            except SluicewayError as error:
                if error.code not in _RETRIED:
                    raise
                # The executor would only send the same updates again.
                log.warning("updates_not_stored", count=len(batch), error=str(error))
                await asyncio.sleep(self._settings.retry_pause.total_seconds())

    async def send_again(self) -> None:
        """Send commands again whose acknowledgement is overdue."""
        while True:
            await asyncio.sleep(self._settings.again_after.total_seconds() / 3)
            self._commands.send_again()


def _not_started(_: Awaitable[None]) -> object:
    raise RuntimeError("the stream has no task group yet")


def _ignore(_: object) -> None:
    return None
