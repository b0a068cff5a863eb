"""The messages that an executor sends on one stream: the hello, then heartbeats, acknowledgements and updates."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_executor.outbox import Outbox

__all__ = ["OutgoingMessages"]


class OutgoingMessages:
    """The queue of one stream.

    Updates wait a moment for others: those of a short step become one update, and one transaction of the server. Urgent
    messages do not wait, and updates that are queued go with them.
    """

    def __init__(self, hello: pb.Hello, outbox: Outbox, *, gather_seconds: float) -> None:
        self._hello = hello
        self._outbox = outbox
        self._gather_seconds = gather_seconds
        self._ready: list[pb.ConnectRequest] = []
        self._woken = outbox.waiting
        self._is_closed = False
        self._is_welcomed = False

    def send(self, message: pb.ConnectRequest) -> None:
        """Queue a message before all updates. Only after the welcome."""
        self._is_welcomed = True
        self._ready.append(message)
        self._woken.set()
        self._outbox.urgent.set()

    def close(self) -> None:
        """End `requests` when it is woken next."""
        self._is_closed = True

    async def requests(self) -> AsyncIterator[pb.ConnectRequest]:
        """Yield the messages in order, until the queue is closed."""
        yield pb.ConnectRequest(hello=self._hello)
        while True:
            await self._woken.wait()
            if self._is_welcomed and not self._ready:
                await self._gather()
            if self._is_closed:
                # grpc may still wait here for a stream that has ended: what is queued belongs to the next stream.
                return
            if not self._is_welcomed:
                # Nothing may follow a hello before the welcome; the first heartbeat comes right after that.
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
            async with time_limit(self._gather_seconds):
                await self._outbox.urgent.wait()
