"""The executor's stream with a server: hello, heartbeats, updates out, commands in; for ever, over every break.

One `Session` lives as long as its executor. Whatever ends a stream, it stops to process that stream, waits a random
while and says hello anew, proving its session; what was not acknowledged is sent again. Heartbeats have a task of
their own and wait for nothing else; only while the server acknowledges them are the pods fed.

The session decides nothing about tasks: it hands commands to `Commands`, one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random as _random
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import grpc
import grpc.aio
import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.backoff import backoff_seconds
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import (
    InvalidInput,
    PermissionDenied,
    SluicewayError,
    Unauthenticated,
    Unavailable,
)
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_executor.journal import Journal
from sluiceway_executor.outbox import Outbox

__all__ = ["Commands", "Identity", "OutgoingMessages", "Session", "SessionTimes"]

log = structlog.get_logger(__name__)

Numbered = pb.Assign | pb.Stop | pb.Release | pb.Clean

_MOST_COMMANDS_WAITING = 1_000
_DEFAULT_HEARTBEAT_SECONDS = 5.0
# What no waiting mends.
_HOPELESS = (Unauthenticated, PermissionDenied, InvalidInput)
_DEFAULT_FENCE_SECONDS = 720.0


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """When to give up on a stream, and how long to wait for the next.

    Attributes:
        welcome_seconds: for the answer to a hello.
        missed_heartbeats: so many intervals without an acknowledgement end the stream.
        first_backoff_seconds: the ceiling of the first pause; it doubles.
        most_backoff_seconds: of any pause. Less: a server that comes back sees its executors sooner, and all at once.
        gather_seconds: how long an update waits for others to go with it, which the server stores in one transaction.
            The end of an attempt does not wait.
    """

    welcome_seconds: float = 20.0
    missed_heartbeats: float = 4.0
    first_backoff_seconds: float = 0.2
    most_backoff_seconds: float = 10.0
    gather_seconds: float = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """What the executor says of itself in every hello."""

    version: str
    slots: int
    work_dir: Path
    archs: Sequence[str] = ()
    drivers: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    privileged_allowed: bool = False
    dynamic: bool = False
    expected_group: str | None = None
    """What the token should be of; another group is refused. None: any."""


class Commands(Protocol):
    """Who carries out what the server says. Every method may be called again for the same thing."""

    async def assign(self, command: pb.Assign) -> tuple[run_pb2.Reason | None, Callable[[], None]]:
        """Take an assignment: in the journal when this returns. The second value starts it, once acknowledged."""
        ...

    async def stop(self, command: pb.Stop) -> None:
        """End an assignment; returns when that has begun."""
        ...

    async def release(self, command: pb.Release) -> None:
        """Let go of all that is kept of an assignment."""
        ...

    async def clean(self, command: pb.Clean) -> None:
        """Remove the pods of a vanished session, and then report them gone."""
        ...

    def held(self) -> Sequence[pb.HeldAssignment]:
        """List all that is held."""
        ...

    def running(self) -> Sequence[str]:
        """List the ids of what runs."""
        ...

    def feed(self, seconds: float) -> None:
        """Let all pods live for so long from now."""
        ...

    async def welcomed(self, *, fence_seconds: float) -> None:
        """A server took the executor; from now on pods live so long unfed."""
        ...

    def report_again(self) -> None:
        """Report anew where all that is held stands: what was acknowledged may have been lost."""
        ...

    async def fenced(self) -> None:
        """The session was declared vanished: end and remove everything of it."""
        ...


class Session:
    """See the module."""

    def __init__(
        self,
        open_channel: Callable[[], grpc.aio.Channel],
        commands: Commands,
        *,
        identity: Identity,
        journal: Journal,
        outbox: Outbox,
        clock: Clock,
        times: SessionTimes | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._open_channel = open_channel
        self._commands = commands
        self._identity = identity
        self._journal = journal
        self._outbox = outbox
        self._clock = clock
        self._times = times or SessionTimes()
        self._random = random
        self._failures = 0
        self._was_taken = False
        self._fence_seconds = _DEFAULT_FENCE_SECONDS
        # Of this process only: what an earlier one left is reported anew in any case.
        self._database_epoch: int | None = None
        self._withdrawing = asyncio.Event()
        self._withdrawn = asyncio.Event()
        self.connected = asyncio.Event()
        """Set while a server acknowledges this executor."""
        self.siblings: tuple[str, ...] = ()

    async def run(self) -> None:
        """Keep a stream up until cancelled. Never returns; fails only before a server has ever taken this executor.

        Raises:
            SluicewayError: the first server that answered will not have it: a wrong token, another group, an impossible
                hello. Once it was taken, such an answer is waited out, since a token may be replaced under our feet.
        """
        while True:
            try:
                await self._one_stream()
                log.info("executor_stream_ended")
            except SluicewayError as error:
                if not self._was_taken and isinstance(error, _HOPELESS):
                    raise
                await self._take_refusal(error)
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
                limit=self._times.most_backoff_seconds,
                random=self._random,
            )
            await asyncio.sleep(pause)

    async def withdraw(self, seconds: float) -> None:
        """Say hello anew, with no slots, so that a server assigns nothing any more; what runs goes on.

        Returns when a server knows it, or after `seconds`: a server that cannot be reached assigns nothing either.
        """
        self._withdrawing.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._withdrawn.wait()

    async def _take_refusal(self, error: SluicewayError) -> None:
        if error.reason == "SESSION_FENCED":
            log.warning("executor_session_fenced", session=self._journal.session_id)
            await self._commands.fenced()
        elif error.reason == "SESSION_TAKEN_OVER":
            log.warning("executor_session_taken_over", executor=self._journal.executor_id)
        elif error.reason == "SESSION_LIVES":
            log.warning("executor_id_in_use", executor=self._journal.executor_id)
        elif isinstance(error, Unavailable):
            log.info("executor_server_away", error=str(error), failures=self._failures)
        else:
            log.warning("executor_refused", code=error.code.value, reason=error.reason, error=str(error))

    async def _one_stream(self) -> None:
        """Say hello, then serve the stream to its end.

        Raises:
            SluicewayError: why the stream ended.
        """
        await self._journal.reserve_numbers()
        channel = self._open_channel()
        withdraws = self._withdrawing.is_set()
        hello = self._hello(slots=0 if withdraws else self._identity.slots)
        stream = OutgoingMessages(hello, self._outbox, gather_seconds=self._times.gather_seconds)
        try:
            call = pb_grpc.ExecutorServiceStub(channel).Connect(stream.requests())
            try:
                await self._serve(stream, call, withdraws=withdraws)
            finally:
                call.cancel()
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # grpc says so of a call that the other end reset.
            raise Unavailable("the stream was cancelled") from None
        finally:
            stream.is_over = True
            await channel.close()

    async def _serve(
        self,
        stream: OutgoingMessages,
        call: grpc.aio.StreamStreamCall[pb.ConnectRequest, pb.ConnectResponse],
        *,
        withdraws: bool,
    ) -> None:
        responses = call.__aiter__()
        try:
            async with asyncio.timeout(self._times.welcome_seconds):
                first = await anext(responses)
        except TimeoutError as error:
            raise Unavailable("the server did not answer the hello in time") from error
        except StopAsyncIteration:
            raise Unavailable("the server ended the stream without a welcome") from None
        if not first.HasField("welcome"):
            raise Unavailable("the server's first message was no welcome")
        await self._take_welcome(first.welcome)
        interval = first.welcome.heartbeat_interval.ToTimedelta().total_seconds() or _DEFAULT_HEARTBEAT_SECONDS
        stream.acknowledged_at = self._clock.monotonic()
        if withdraws:
            self._withdrawn.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                ending = [
                    *([] if withdraws else [tasks.create_task(self._end_to_withdraw(), name="executor withdraws")]),
                    tasks.create_task(self._heartbeats(stream, interval), name="executor heartbeats"),
                    tasks.create_task(self._obey(stream), name="executor commands"),
                ]
                await self._read(stream, responses)
                for task in ending:
                    task.cancel()
        except BaseExceptionGroup as errors:
            # One stream has one end: the first of what went wrong.
            raise _first(errors) from errors

    async def _take_welcome(self, welcome: pb.Welcome) -> None:
        self._was_taken = True
        same = welcome.session_id == self._journal.session_id
        await self._journal.set_session(welcome.session_id, welcome.session_secret)
        if welcome.HasField("fence_after"):
            self._fence_seconds = welcome.fence_after.ToTimedelta().total_seconds()
        self._outbox.begin_stream(same_session=same)
        await self._commands.welcomed(fence_seconds=self._fence_seconds)
        known, self._database_epoch = self._database_epoch, welcome.database_epoch
        if known is not None and welcome.database_epoch > known:
            log.warning("database_was_recovered", epoch=welcome.database_epoch)
            self._commands.report_again()
        self._commands.feed(self._fence_seconds)
        self._failures = 0
        self.connected.set()
        log.info("executor_connected", group=welcome.group, session=welcome.session_id, same_session=same)

    async def _read(self, stream: OutgoingMessages, responses: AsyncIterator[pb.ConnectResponse]) -> None:
        async for response in responses:
            match response.WhichOneof("message"):
                case "heartbeat_acknowledgement":
                    stream.acknowledged_at = self._clock.monotonic()
                    self._commands.feed(self._fence_seconds)
                case "update_acknowledgement":
                    acknowledgement = response.update_acknowledgement
                    if acknowledgement.HasField("refused"):
                        log.warning("update_had_no_effect", reason=acknowledgement.refused.code)
                    self._outbox.acknowledge(acknowledgement.number)
                case "siblings":
                    self.siblings = tuple(response.siblings.executor_ids)
                case "assign" | "stop" | "release" | "clean" as kind:
                    await stream.commands.put(getattr(response, kind))
                case other:
                    log.warning("server_says_nonsense", message=other)

    async def _end_to_withdraw(self) -> None:
        await self._withdrawing.wait()
        raise Unavailable("the executor says hello anew, with no slots")

    async def _heartbeats(self, stream: OutgoingMessages, interval: float) -> None:
        number = 0
        while True:
            number += 1
            running = list(self._commands.running())
            free = await asyncio.to_thread(_free_bytes, self._identity.work_dir)
            heartbeat = pb.Heartbeat(
                number=number,
                load=_load(len(running), self._identity.slots),
                free_disk_bytes=free,
                running_assignment_ids=running,
            )
            stream.send(pb.ConnectRequest(heartbeat=heartbeat))
            await asyncio.sleep(interval)
            silent = self._clock.monotonic() - stream.acknowledged_at
            if silent > interval * self._times.missed_heartbeats:
                raise Unavailable(f"no heartbeat was acknowledged for {silent:.1f} s")

    async def _obey(self, stream: OutgoingMessages) -> None:
        while True:
            command = await stream.commands.get()
            # A command that was begun is carried out, even when its stream breaks meanwhile.
            work = asyncio.create_task(self._obey_one(stream, command))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await work
                raise

    async def _obey_one(self, stream: OutgoingMessages, command: Numbered) -> None:
        refused: run_pb2.Reason | None = None
        then: Callable[[], None] = _nothing
        match command:
            case pb.Assign():
                refused, then = await self._commands.assign(command)
            case pb.Stop():
                await self._commands.stop(command)
            case pb.Release():
                await self._commands.release(command)
            case pb.Clean():
                await self._commands.clean(command)
        stream.send(
            pb.ConnectRequest(acknowledgement=pb.CommandAcknowledgement(number=command.number, refused=refused))
        )
        then()

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
            held=self._commands.held(),
        )


class OutgoingMessages:
    """What goes out on one stream: the hello, then whatever comes first.

    Updates wait a moment for others: those of a short step become one, and one transaction of the server. What is
    urgent takes along all that waits.
    """

    def __init__(self, hello: pb.Hello, outbox: Outbox, *, gather_seconds: float) -> None:
        self._hello = hello
        self._outbox = outbox
        self._gather_seconds = gather_seconds
        self._ready: list[pb.ConnectRequest] = []
        self._woken = outbox.waiting
        self.commands: asyncio.Queue[Numbered] = asyncio.Queue(_MOST_COMMANDS_WAITING)
        self.acknowledged_at = 0.0
        self.is_over = False
        self._welcomed = False

    def send(self, message: pb.ConnectRequest) -> None:
        """Put a message before all updates."""
        self._welcomed = True
        self._ready.append(message)
        self._woken.set()
        self._outbox.urgent.set()

    async def requests(self) -> AsyncIterator[pb.ConnectRequest]:
        """Yield the messages in order, until the stream is over."""
        yield pb.ConnectRequest(hello=self._hello)
        while True:
            await self._woken.wait()
            if self._welcomed and not self._ready:
                await self._gather()
            if self.is_over:
                # grpc may still wait here for a stream that has ended: what is to be sent belongs to the next one.
                return
            if not self._welcomed:
                # Nothing may follow a hello before its answer; the first heartbeat comes right after that.
                self._woken.clear()
                continue
            ready, self._ready = self._ready, []
            for message in ready:
                yield message
            for message in self._outbox.take():
                yield message
            if self._ready:
                self._woken.set()
                self._outbox.urgent.set()

    async def _gather(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._gather_seconds):
                await self._outbox.urgent.wait()


def _nothing() -> None:
    return


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _load(running: int, slots: int) -> float:
    machine = os.getloadavg()[0] / (os.cpu_count() or 1)
    return max(machine, running / max(1, slots))
