"""What all parts of a history share while it happens: servers, what goes on, what is recorded, what is still due."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.log.etcd_log import HeadMark
from sluiceway_server.datamanager.model import Position
from tests.fakes.kv import FakeKeyValueStore
from tests.fakes.objectstorage import FakeObjectStorage
from tests.properties.history import History
from tests.properties.network import Network
from tests.properties.plan import Plan
from tests.properties.servers import PREFIX, Server, Surroundings
from tests.properties.simulation import SimulatedClock

__all__ = ["Scene", "where"]


class Scene(Surroundings):
    """See the module.

    Attributes:
        clients: what clients ask for, and is not answered yet.
        chores: what operators do, and what is done to servers, and has not ended yet.
        due: what happens later (the end of a fault, a server that comes back), by its timer.
        newest: the highest position that a client was told.
        ending: all that was planned has happened.
        aged: the clock was moved so far that something may be cleaned.
        storage_trouble: something may have kept a server from storing what it wanted to.
    """

    def __init__(self, plan: Plan, folder: Path, history: History, **stores: Any) -> None:
        clock = SimulatedClock()
        store, storage = FakeKeyValueStore(clock), FakeObjectStorage(clock)
        network = Network(store, storage, random.Random(plan.seed + 2), plan.chances)
        super().__init__(plan, folder, clock, network, **stores)
        self.history = history
        self.servers: list[Server] = []
        self.clients: set[asyncio.Task[None]] = set()
        self.chores: set[asyncio.Task[None]] = set()
        self.due: dict[asyncio.TimerHandle, Callable[[], None]] = {}
        self.newest: Position | None = None
        self.ending = False
        self.aged = False
        chances = plan.chances
        self.storage_trouble = bool(
            chances.storage_failed
            or chances.storage_failed_applied
            or chances.storage_failed_late
            or chances.storage_slow
        )

    def problem(self, what: str) -> None:
        """Something is wrong, and seen at once."""
        self.history.problems.append(what)

    def begin(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let something go on beside the rest. What it raises is a fault of the test."""
        task = asyncio.get_running_loop().create_task(coro)
        task.add_done_callback(self._ended)
        return task

    def begin_client(self, coro: Coroutine[Any, Any, None]) -> None:
        """Let a client ask for something."""
        self.clients.add(self.begin(coro))

    def begin_chore(self, coro: Coroutine[Any, Any, None]) -> None:
        """Let somebody do something that must have ended before the history does."""
        self.chores.add(self.begin(coro))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.clients.discard(task)
        self.chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.problem(f"the test itself failed: {error!r} {where(error)}")

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something after a while, or when the history ends, if that is before."""

        def due() -> None:
            del self.due[handle]
            what()

        handle: asyncio.TimerHandle = asyncio.get_running_loop().call_later(seconds, due)
        self.due[handle] = what

    def all_that_is_due(self) -> None:
        """Do it now."""
        for handle, what in list(self.due.items()):
            handle.cancel()
            what()
        self.due.clear()

    def head(self) -> HeadMark:
        """What etcd has as the head, whoever may reach it. Raises `Unavailable` while there is none."""
        raw = self.network.store.peek(f"{PREFIX}/db/head")
        if raw is None:
            raise Unavailable("there is no head")
        return HeadMark.parse(raw)


def where(error: BaseException) -> str:
    """Name the last places of its way, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))
