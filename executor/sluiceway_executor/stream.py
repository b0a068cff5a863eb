"""One stream of an executor with a server, from its welcome to its end.

Three coroutines run in a task group until one of them ends: one reads, one sends heartbeats and waits for nothing else,
and one executes the commands, one after another. Pods are kept alive only while the server acknowledges heartbeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.foundation.tasks import errors_in
from sluiceway_executor.assignments import Assignments
from sluiceway_executor.outbox import Outbox
from sluiceway_executor.outgoing import OutgoingMessages

__all__ = ["ExecutorStream"]

log = structlog.get_logger(__name__)

Command = pb.Assign | pb.Stop | pb.Release | pb.Clean | pb.EndHold

_MAX_QUEUED_COMMANDS = 1_000


class ExecutorStream:
    """A stream that was welcomed."""

    def __init__(
        self,
        outgoing: OutgoingMessages,
        assignments: Assignments,
        outbox: Outbox,
        *,
        slots: int,
        work_dir: Path,
        heartbeat_seconds: float,
        missed_heartbeats: float,
        fence_seconds: float,
        clock: Clock,
        on_shell: Callable[[pb.OpenShell], None],
    ) -> None:
        self._outgoing = outgoing
        self._assignments = assignments
        self._outbox = outbox
        self._slots = slots
        self._work_dir = work_dir
        self._heartbeat_seconds = heartbeat_seconds
        self._missed_heartbeats = missed_heartbeats
        self._fence_seconds = fence_seconds
        self._clock = clock
        self._on_shell = on_shell
        self._acknowledged_at = clock.monotonic()
        self._commands: asyncio.Queue[Command] = asyncio.Queue(_MAX_QUEUED_COMMANDS)

    async def run(self, responses: AsyncIterator[pb.ConnectResponse], *, ended_by: asyncio.Event | None) -> None:
        """Run the stream until the server ends it, or `ended_by` is set.

        Raises:
            Unavailable: no heartbeat was acknowledged for too long, or `ended_by` was set.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                others = [
                    tasks.create_task(self._send_heartbeats(), name="executor heartbeats"),
                    tasks.create_task(self._execute_commands(), name="executor commands"),
                ]
                if ended_by is not None:
                    others.append(tasks.create_task(_raise_after(ended_by), name="executor withdraws"))
                await self._read(responses)
                for task in others:
                    task.cancel()
        except BaseExceptionGroup as errors:
            # A stream has one end: the first error.
            raise errors_in(errors)[0] from errors

    async def _read(self, responses: AsyncIterator[pb.ConnectResponse]) -> None:
        async for response in responses:
            match response.WhichOneof("message"):
                case "heartbeat_acknowledgement":
                    self._acknowledged_at = self._clock.monotonic()
                    if response.heartbeat_acknowledgement.HasField("heartbeat_interval"):
                        interval = response.heartbeat_acknowledgement.heartbeat_interval
                        self._heartbeat_seconds = max(self._heartbeat_seconds, interval.ToTimedelta().total_seconds())
                    self._assignments.feed(self._fence_seconds)
                case "update_acknowledgement":
                    acknowledgement = response.update_acknowledgement
                    if acknowledgement.HasField("refused"):
                        log.warning("update_refused", reason=acknowledgement.refused.code)
                    self._outbox.acknowledge(acknowledgement.number)
                case "assign" | "stop" | "release" | "clean" | "end_hold" as kind:
                    await self._commands.put(getattr(response, kind))
                case "open_shell":
                    self._on_shell(response.open_shell)
                case "siblings":
                    pass  # no driver needs them yet
                case other:
                    log.warning("message_ignored", message=other)

    async def _send_heartbeats(self) -> None:
        number = 0
        while True:
            number += 1
            running = list(self._assignments.running())
            free = await asyncio.to_thread(_free_bytes, self._work_dir)
            heartbeat = pb.Heartbeat(
                number=number,
                load=_load(len(running), self._slots),
                free_disk_bytes=free,
                running_assignment_ids=running,
            )
            self._outgoing.send(pb.ConnectRequest(heartbeat=heartbeat))
            await asyncio.sleep(self._heartbeat_seconds)
            silent = self._clock.monotonic() - self._acknowledged_at
            if silent > self._heartbeat_seconds * self._missed_heartbeats:
                raise Unavailable(f"no heartbeat was acknowledged for {silent:.1f} s")

    async def _execute_commands(self) -> None:
        while True:
            command = await self._commands.get()
            # A command that was started is completed, even if its stream breaks meanwhile.
            work = asyncio.create_task(self._execute(command))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                with contextlib.suppress(Exception):
                    await work
                raise

    async def _execute(self, command: Command) -> None:
        refused: run_pb2.Reason | None = None
        after: Callable[[], None] | None = None
        match command:
            case pb.Assign():
                refused, after = await self._assignments.assign(command)
            case pb.Stop():
                await self._assignments.stop(command)
            case pb.Release():
                await self._assignments.release(command)
            case pb.Clean():
                refused = await self._assignments.clean(command)
            case pb.EndHold():
                await self._assignments.end_hold(command)
        self._outgoing.send(
            pb.ConnectRequest(acknowledgement=pb.CommandAcknowledgement(number=command.number, refused=refused))
        )
        if after is not None:
            after()


async def _raise_after(event: asyncio.Event) -> None:
    await event.wait()
    raise Unavailable("the executor connects again, with no slots")


def _free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _load(running: int, slots: int) -> float:
    machine = os.getloadavg()[0] / (os.cpu_count() or 1)
    return max(machine, running / max(1, slots))
