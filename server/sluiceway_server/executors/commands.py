"""The commands to one executor that are not acknowledged yet: numbered, and sent again until they are.

A command's number begins with the log's position of the hello. So numbers increase through one session, whichever
servers its streams were on, and no counter is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import Exhausted
from sluiceway_server.datamanager.model import Position

_MAX_PENDING = 20_000

Command = pb.Assign | pb.Stop | pb.Release | pb.Clean | pb.EndHold


def first_number(hello: Position) -> int:
    """Return the number before the first command of a stream, from the position of its hello.

    10 bits of epoch, 43 of counter, 10 for the commands between: a command follows from an entry of the log, so the
    number of a later hello is always higher.
    """
    return ((hello.sequence.epoch & 0x3FF) << 53) | ((hello.sequence.counter & ((1 << 43) - 1)) << 10)


class CommandBuffer:
    """The pending commands of one stream. `send` puts a message in the stream, without waiting."""

    def __init__(
        self,
        send: Callable[[pb.ConnectResponse], None],
        clock: Clock,
        *,
        hello: Position,
        again_after: timedelta = timedelta(seconds=15),
    ) -> None:
        self._send = send
        self._clock = clock
        self._number = first_number(hello)
        self._again_after = again_after.total_seconds()
        self._pending: dict[int, tuple[pb.ConnectResponse, float]] = {}

    def issue(self, command: Command) -> None:
        """Number a command, send it, and keep it until it is acknowledged.

        Raises:
            Exhausted: the executor acknowledges nothing.
        """
        if len(self._pending) >= _MAX_PENDING:
            raise Exhausted(f"{_MAX_PENDING} commands are not acknowledged; connect again")
        self._number += 1
        command.number = self._number
        match command:
            case pb.Assign():
                message = pb.ConnectResponse(assign=command)
            case pb.Stop():
                message = pb.ConnectResponse(stop=command)
            case pb.Clean():
                message = pb.ConnectResponse(clean=command)
            case pb.EndHold():
                message = pb.ConnectResponse(end_hold=command)
            case _:
                message = pb.ConnectResponse(release=command)
        self._pending[self._number] = (message, self._clock.monotonic())
        self._send(message)

    def pass_on(self, message: pb.ConnectResponse) -> None:
        """Send a message once that is not acknowledged."""
        self._send(message)

    def acknowledge(self, number: int) -> pb.ConnectResponse | None:
        """Remove a command that the executor has, and return it; None when it was acknowledged before."""
        pending = self._pending.pop(number, None)
        return None if pending is None else pending[0]

    def send_again(self) -> None:
        """Send every command again whose acknowledgement is overdue."""
        now = self._clock.monotonic()
        for number, (message, sent) in self._pending.items():
            if now - sent >= self._again_after:
                self._pending[number] = (message, now)
                self._send(message)
