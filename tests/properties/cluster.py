"""The servers of a history, and what the other parts share: the network, the clock, and what is still going on.

A `Server` has many lives. Each is a simulated process with a folder for its read database: that of the life before, an
empty one, or an older one. A process that ends by itself is started again, as by a supervisor.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.engine.opening import RecoverAlways, RecoverManually, RecoverPolicy
from sluiceway_server.datamanager.log.etcd_log import HeadMark
from sluiceway_server.datamanager.model import Position
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.fakes.kv import FakeKeyValueStore
from tests.fakes.objectstorage import FakeObjectStorage
from tests.properties.history import History
from tests.properties.network import KvWire, Network, StorageWire
from tests.properties.plan import Plan
from tests.properties.simulation import Process, SimulatedClock
from tests.properties.workload import TYPES

__all__ = ["HONEST", "PREFIX", "Cluster", "Server", "Stores", "where"]

PREFIX = "p"
"""Of the database, in etcd and in the object storage."""


@dataclass(frozen=True)
class Stores:
    """The stores as the servers get them: each function wraps the honest one. For mutations."""

    kv: Callable[[KeyValueStore], KeyValueStore] = lambda honest: honest
    objects: Callable[[ObjectStorage], ObjectStorage] = lambda honest: honest


HONEST = Stores()


class Cluster:
    """What all parts of a history share.

    Attributes:
        folder: for read databases.
        servers: all of them, running or not.
        processes: all that ever ran.
        clients: the calls of clients that have not returned.
        operations: the work of operators, and of duties, that has not ended.
        due: what happens later, such as the end of a fault, by its timer.
        newest: the highest position that a client was told.
        is_ending: all planned steps have been taken.
        is_aged: the clock was moved so far that something may be cleaned.
        had_storage_trouble: something may have kept a server from storing an object.
    """

    def __init__(self, plan: Plan, folder: Path, history: History, stores: Stores) -> None:
        self.plan = plan
        self.folder = folder
        self.history = history
        self.stores = stores
        self.clock = SimulatedClock()
        store, storage = FakeKeyValueStore(self.clock), FakeObjectStorage(self.clock)
        self.network = Network(store, storage, random.Random(plan.seed + 2), plan.chances)
        self.servers: list[Server] = []
        self.processes: list[Process] = []
        self.clients: set[asyncio.Task[None]] = set()
        self.operations: set[asyncio.Task[None]] = set()
        self.due: dict[asyncio.TimerHandle, Callable[[], None]] = {}
        self.newest: Position | None = None
        self.is_ending = False
        self.is_aged = False
        chances = plan.chances
        self.had_storage_trouble = bool(
            chances.storage_failed
            or chances.storage_failed_applied
            or chances.storage_failed_late
            or chances.storage_slow
        )

    def problem(self, message: str) -> None:
        """Record something wrong that is seen at once."""
        self.history.problems.append(message)

    def begin(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task of the test. An exception in it is a fault of the test."""
        task = asyncio.get_running_loop().create_task(coro)
        task.add_done_callback(self._ended)
        return task

    def begin_client(self, coro: Coroutine[Any, Any, None]) -> None:
        """Start a call of a client."""
        self.clients.add(self.begin(coro))

    def begin_operation(self, coro: Coroutine[Any, Any, None]) -> None:
        """Start work that must end before the history does."""
        self.operations.add(self.begin(coro))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.clients.discard(task)
        self.operations.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.problem(f"the test itself failed: {error!r} {where(error)}")

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` after some seconds, or when the history ends, if that is before."""

        def due() -> None:
            del self.due[handle]
            action()

        handle: asyncio.TimerHandle = asyncio.get_running_loop().call_later(seconds, due)
        self.due[handle] = action

    def run_due(self) -> None:
        """Call now what was to be called later."""
        for handle, action in list(self.due.items()):
            handle.cancel()
            action()
        self.due.clear()

    def head(self) -> HeadMark:
        """Return the head in etcd, whether a server can reach it or not. Raise `Unavailable` if there is none."""
        raw = self.network.store.peek(f"{PREFIX}/db/head")
        if raw is None:
            raise Unavailable("there is no head")
        return HeadMark.parse(raw)


class Server:
    """A server through all its lives.

    Args:
        cluster: what it is part of.
        name: also its server id.
        failed: called with the error when it ends by itself.
    """

    def __init__(self, cluster: Cluster, name: str, failed: Callable[[Server, BaseException], None]) -> None:
        self._cluster = cluster
        self._failed = failed
        self.name = name
        self.clock = SimulatedClock(cluster.clock)
        self.process: Process | None = None
        self.database: DataManager | None = None
        self.folder = cluster.folder / name / "0"
        self.lives = 0
        self.wanted = False
        self.policy: RecoverPolicy = self._first_policy
        self._backup: Path | None = None
        self._opened = asyncio.Event()
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def _first_policy(self) -> RecoverPolicy:
        return RecoverAlways() if self._cluster.plan.own_etcd else RecoverManually()

    def start(self, *, folder: str = "same") -> None:
        """Begin a life, unless it has one. `folder`: `same` as before, `deleted` (empty), or `older`."""
        if self.wanted:
            return
        self.wanted = True
        self._stop = asyncio.Event()
        live = self._live(self._running, folder, self._stop)
        self._running = asyncio.get_running_loop().create_task(live)

    def _renew_folder(self, how: str) -> None:
        self.lives += 1
        before, self.folder = self.folder, self._cluster.folder / self.name / str(self.lives)
        source = before
        if how == "older" and self._backup is not None:
            source = self._backup
        if how != "deleted" and source.exists():
            shutil.copytree(source, self.folder, ignore=shutil.ignore_patterns("*-shm"))
            self._backup = before

    async def _live(self, before: asyncio.Task[None] | None, folder: str, stop: asyncio.Event) -> None:
        """Keep a process running until it is asked to stop, or is killed."""
        if before is not None:
            await asyncio.wait({before})
        self._renew_folder(folder)
        while not stop.is_set():
            process = self.process = Process(self.name)
            process.on_kill = self._keep_files
            self._cluster.processes.append(process)
            task = process.start(self._run(process, stop))
            await asyncio.wait({task})
            if process.dead:
                return
            self.database = None
            self._opened.clear()
            error = task.exception() if not task.cancelled() else asyncio.CancelledError()
            process.on_kill = lambda: None
            process.kill()
            if error is not None:
                self._failed(self, error)
                await asyncio.sleep(0.2)

    async def _run(self, process: Process, stop: asyncio.Event) -> None:
        cluster = self._cluster
        async with DataManager.open(
            kv=cluster.stores.kv(KvWire(cluster.network, process)),
            storage=cluster.stores.objects(StorageWire(cluster.network, process)),
            prefix=PREFIX,
            path=self.folder,
            types=TYPES,
            clock=self.clock,
            settings=replace(cluster.plan.settings, server_id=self.name),
            recover=self.policy,
        ) as database:
            self.policy = self._first_policy
            self.database = database
            self._opened.set()
            await stop.wait()

    def _keep_files(self) -> None:
        # What is in the files at this moment is what the next life finds; the dying one may still write to its own.
        after = self._cluster.folder / self.name / f"{self.lives}-dead-{len(self._cluster.processes)}"
        if self.folder.exists():
            shutil.copytree(self.folder, after, ignore=shutil.ignore_patterns("*-shm"))
            self.folder = after

    def kill(self) -> None:
        """Kill it as SIGKILL does."""
        if self.process is not None:
            self.process.kill()
        self.died()

    def died(self) -> None:
        """Note that it was killed."""
        self.wanted = False
        self.database = None
        self._opened.clear()
        self._running = None

    async def stop(self) -> None:
        """Stop it in order."""
        self.give_up()
        running = self._running
        if running is not None:
            await asyncio.wait({running})

    def give_up(self) -> None:
        """Do not start it again."""
        self._stop.set()
        self.wanted = False

    async def opened(self) -> tuple[Process, DataManager]:
        """Wait until it serves."""
        await self._opened.wait()
        assert self.process is not None
        assert self.database is not None
        return self.process, self.database


def where(error: BaseException) -> str:
    """Name the innermost places of a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))
