"""Work that calls the hosts of repositories: a few pieces at a time for each host, so that none waits for another host.

A host that does not respond holds its own places until its calls time out, and those of nobody else.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_server.forges.git_urls import address_of

__all__ = ["HostPlaces", "HostWork"]

_GIT_HOSTS = 4
"""How many times the places of one host all hosts have that are read with git alone: users choose them, and each call
is a process."""


class HostPlaces:
    """The places of hosts, made when they are needed."""

    def __init__(self, of_host: int) -> None:
        self._of_host = of_host
        self._places: dict[str, asyncio.Semaphore] = {}
        self._holders: Counter[str] = Counter()

    @asynccontextmanager
    async def take(self, link: pb.LinkRecord, *more: tuple[str, int]) -> AsyncIterator[None]:
        """Hold a place of the host of a repository while the block runs.

        Args:
            link: of the project whose repository it is.
            more: names of further places that are held, and how many of each there are; taken first.
        """
        wanted = [*more, *self._of_link(link)]
        for name, _ in wanted:
            self._holders[name] += 1
        try:
            async with AsyncExitStack() as stack:
                for name, count in wanted:
                    await stack.enter_async_context(self._places.setdefault(name, asyncio.Semaphore(count)))
                yield
        finally:
            for name, _ in wanted:
                self._holders[name] -= 1
                if not self._holders[name]:
                    del self._holders[name]
                    self._places.pop(name, None)

    def _of_link(self, link: pb.LinkRecord) -> Iterable[tuple[str, int]]:
        if not link.HasField("git"):
            return ((f"source {link.remote_source_id}", self._of_host),)
        address = address_of(link.git.url)
        host = address.host.lower() if address is not None else ""
        return ((f"git {host}", self._of_host), ("git", _GIT_HOSTS * self._of_host))


class HostWork:
    """Pieces of work for hosts, each under a key: one at a time for each key.

    Attributes:
        keys: those that are worked on, or wait for a place.
    """

    def __init__(self, of_host: int) -> None:
        self._places = HostPlaces(of_host)
        self.keys: set[str] = set()

    def start(
        self,
        group: asyncio.TaskGroup,
        key: str,
        link: pb.LinkRecord,
        work: Callable[[], Awaitable[None]],
        *,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Start a piece of work in a group, unless there is one of its key. `on_end` is called when it has ended."""
        if key in self.keys:
            return
        self.keys.add(key)
        group.create_task(self._run(key, link, work, on_end), name="host work")

    async def _run(
        self, key: str, link: pb.LinkRecord, work: Callable[[], Awaitable[None]], on_end: Callable[[], None]
    ) -> None:
        try:
            async with self._places.take(link):
                await work()
        finally:
            self.keys.discard(key)
            on_end()
