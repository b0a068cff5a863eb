"""Keeps an executor connected: one stream after another, each of which continues the session.

When a stream ends, the session waits for a random time and says hello again, proving itself; what was not acknowledged
is sent again. `stream` runs a stream after its welcome; this module has what outlives a stream: the hello, the welcome,
refusals and pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import random as _random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import (
    InvalidInput,
    PermissionDenied,
    SluicewayError,
    Unauthenticated,
    Unavailable,
)
from sluiceway_common.foundation.rpc.status import errors_of_call
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.assignments import Assignments
from sluiceway_executor.journal import Journal
from sluiceway_executor.outbox import Outbox
from sluiceway_executor.outgoing import OutgoingMessages
from sluiceway_executor.shells import Shells
from sluiceway_executor.stream import ExecutorStream

__all__ = ["Identity", "Session", "SessionTimes"]

log = structlog.get_logger(__name__)

_DEFAULT_HEARTBEAT_SECONDS = 5.0
# Errors that a retry cannot fix.
_PERMANENT = (Unauthenticated, PermissionDenied, InvalidInput)
_DEFAULT_FENCE_SECONDS = 720.0


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """When a stream is given up, and the pauses between streams.

    Attributes:
        welcome_seconds: the time limit for the welcome.
        missed_heartbeats: so many intervals without an acknowledgement end the stream.
        first_backoff_seconds: the maximum of the first pause; it doubles.
        max_backoff_seconds: the maximum of any pause. With less, executors are back sooner after a restart of a server,
            and all at once.
        gather_seconds: how long an update waits for others, which the server stores in the same transaction. The end of
            an attempt does not wait.
    """

    welcome_seconds: float = 20.0
    missed_heartbeats: float = 4.0
    first_backoff_seconds: float = 0.2
    max_backoff_seconds: float = 10.0
    gather_seconds: float = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """The executor's description of itself in every hello."""

    version: str
    slots: int
    work_dir: Path
    archs: Sequence[str] = ()
    drivers: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    privileged_allowed: bool = False
    dynamic: bool = False
    expected_group: str | None = None
    """The group that the token must be of; None: any."""


class Session:
    """The session of one executor, which lasts as long as its process.

    Attributes:
        connected: set while a server acknowledges this executor.
    """

    def __init__(
        self,
        open_channel: Callable[[], grpc.aio.Channel],
        assignments: Assignments,
        *,
        identity: Identity,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
        shells: Shells | None = None,
        times: SessionTimes | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._open_channel = open_channel
        self._assignments = assignments
        self._identity = identity
        self._journal = journal
        self._outbox = outbox
        self._shells = shells or Shells(assignments, journal, open_channel=open_channel)
        self._clock = clock
        self._times = times or SessionTimes()
        self._random = random
        self._failures = 0
        self._was_accepted = False
        self._fence_seconds = _DEFAULT_FENCE_SECONDS
        # As this process knows it: all that an earlier process left is reported in any case.
        self._database_epoch: int | None = None
        self._withdrawing = asyncio.Event()
        self._withdrawn = asyncio.Event()
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until cancelled. Never returns.

        Raises:
            SluicewayError: the first server that responded refused the executor: a wrong token, another group, an
                invalid hello. After a first welcome such a refusal is retried, because tokens are replaced.
        """
        while True:
            try:
                await self._connect()
                log.info("executor_stream_ended")
            except SluicewayError as error:
                if not self._was_accepted and isinstance(error, _PERMANENT):
                    raise
                await self._handle_refusal(error)
            except Exception:
                log.exception("executor_stream_failed")
            finally:
                self.connected.clear()
            if self._withdrawing.is_set() and not self._withdrawn.is_set() and self._failures == 0:
                self._failures += 1
                continue
            self._failures += 1
            pause = backoff_seconds(
                self._failures,
                first=self._times.first_backoff_seconds,
                limit=self._times.max_backoff_seconds,
                random=self._random,
            )
            await asyncio.sleep(pause)

    async def withdraw(self, seconds: float) -> None:
        """Connect again with no slots, so that nothing is assigned any more; what runs continues.

        Returns after the welcome, or after `seconds`: a server that cannot be reached assigns nothing either.
        """
        self._withdrawing.set()
        with contextlib.suppress(TimeoutError):
            async with time_limit(seconds):
                await self._withdrawn.wait()

    async def _handle_refusal(self, error: SluicewayError) -> None:
        if error.reason == "SESSION_FENCED":
            log.warning("executor_session_fenced", session=self._journal.session_id)
            await self._assignments.fenced()
        elif error.reason == "SESSION_TAKEN_OVER":
            log.warning("executor_session_taken_over", executor=self._journal.executor_id)
        elif error.reason == "SESSION_LIVES":
            log.warning("executor_id_in_use", executor=self._journal.executor_id)
        elif isinstance(error, Unavailable):
            log.info("executor_server_away", error=str(error), failures=self._failures)
        else:
            log.warning("executor_refused", code=error.code.value, reason=error.reason, error=str(error))

    async def _connect(self) -> None:
        """Send the hello, and run the stream to its end.

        Raises:
            SluicewayError: the stream ended with this error.
        """
        await self._journal.reserve_numbers()
        channel = self._open_channel()
        withdraws = self._withdrawing.is_set()
        hello = self._hello(slots=0 if withdraws else self._identity.slots)
        outgoing = OutgoingMessages(hello, self._outbox, gather_seconds=self._times.gather_seconds)
        try:
            with errors_of_call("the stream"):
                call = pb_grpc.ExecutorServiceStub(channel).Connect(outgoing.requests())
                try:
                    await self._serve(outgoing, call, channel, withdraws=withdraws)
                finally:
                    call.cancel()
        finally:
            outgoing.close()
            await channel.close()

    async def _serve(
        self,
        outgoing: OutgoingMessages,
        call: grpc.aio.StreamStreamCall[pb.ConnectRequest, pb.ConnectResponse],
        channel: grpc.aio.Channel,
        *,
        withdraws: bool,
    ) -> None:
        responses = call.__aiter__()
        try:
            async with time_limit(self._times.welcome_seconds):
                first = await anext(responses)
        except TimeoutError as error:
            raise Unavailable("the server did not respond to the hello in time") from error
        except StopAsyncIteration:
            raise Unavailable("the server ended the stream without a welcome") from None
        if not first.HasField("welcome"):
            raise Unavailable("the server's first message was no welcome")
        await self._handle_welcome(first.welcome)
        interval = first.welcome.heartbeat_interval.ToTimedelta().total_seconds() or _DEFAULT_HEARTBEAT_SECONDS
        if withdraws:
            self._withdrawn.set()
        stream = ExecutorStream(
            outgoing,
            self._assignments,
            self._outbox,
            slots=self._identity.slots,
            work_dir=self._identity.work_dir,
            heartbeat_seconds=interval,
            missed_heartbeats=self._times.missed_heartbeats,
            fence_seconds=self._fence_seconds,
            clock=self._clock,
            on_shell=lambda command: self._shells.open(command, channel),
        )
        await stream.run(responses, ended_by=None if withdraws else self._withdrawing)

    async def _handle_welcome(self, welcome: pb.Welcome) -> None:
        self._was_accepted = True
        same = welcome.session_id == self._journal.session_id
        await self._journal.set_session(welcome.session_id, welcome.session_secret)
        if welcome.HasField("fence_after"):
            self._fence_seconds = welcome.fence_after.ToTimedelta().total_seconds()
        self._outbox.begin_stream(same_session=same)
        await self._assignments.welcomed(fence_seconds=self._fence_seconds)
        known, self._database_epoch = self._database_epoch, welcome.database_epoch
        if known is not None and welcome.database_epoch > known:
            log.warning("database_was_recovered", epoch=welcome.database_epoch)
            self._assignments.report_again()
        self._assignments.feed(self._fence_seconds)
        self._failures = 0
        self.connected.set()
        log.info("executor_connected", group=welcome.group, session=welcome.session_id, same_session=same)

    def _hello(self, *, slots: int) -> pb.Hello:
        identity, journal = self._identity, self._journal
        return pb.Hello(
            executor_id=journal.executor_id,
            session_id=journal.session_id,
            session_secret=journal.session_secret,
            journal_id=journal.journal_id,
            version=identity.version,
            archs=identity.archs,
            labels=identity.labels,
            slots=slots,
            privileged_allowed=identity.privileged_allowed,
            drivers=identity.drivers,
            expected_group=identity.expected_group or "",
            dynamic=identity.dynamic,
            held=self._assignments.held(),
        )
