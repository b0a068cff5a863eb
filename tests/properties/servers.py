"""Servers of a history, and what every process of it meets."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.engine.opening import RecoverAlways, RecoverManually, RecoverPolicy
from sluiceway_server.kv.port import KeyValueStore
from sluiceway_server.objectstorage.port import ObjectStorage
from tests.properties.network import KvWire, Network, StorageWire
from tests.properties.plan import Plan
from tests.properties.simulation import Process, SimulatedClock
from tests.properties.workload import TYPES

__all__ = ["PREFIX", "Server", "Surroundings"]

PREFIX = "p"
"""Of the database, in etcd and in the object storage."""


@dataclass
class Surroundings:
    """What every process of a history meets.

    Attributes:
        folder: for read databases.
        processes: all that there were.
        store: makes the key-value store of a process out of the honest one; for mutations.
        storage: the same of the object storage.
    """

    plan: Plan
    folder: Path
    clock: SimulatedClock
    network: Network
    processes: list[Process] = field(default_factory=list)
    store: Callable[[KeyValueStore], KeyValueStore] = lambda honest: honest
    storage: Callable[[ObjectStorage], ObjectStorage] = lambda honest: honest


class Server:
    """A server through its lives: each is a process with a folder."""

    def __init__(self, around: Surroundings, name: str, failed: Callable[[Server, BaseException], None]) -> None:
        self._around = around
        self._failed = failed
        self.name = name
        self.clock = SimulatedClock(around.clock)
        self.process: Process | None = None
        self.database: DataManager | None = None
        self.folder = around.folder / name / "0"
        self.lives = 0
        self.wanted = False
        self.policy: RecoverPolicy = RecoverAlways() if around.plan.own_etcd else RecoverManually()
        self._backup: Path | None = None
        self._opened = asyncio.Event()
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    # -- life and death

    def start(self, *, folder: str = "same") -> None:
        """Begin a life, with what the last one left in the folder, with nothing, or with what an earlier one left."""
        if self.wanted:
            return
        self.wanted = True
        self._stop = asyncio.Event()
        live = self._live(self._running, folder, self._stop)
        self._running = asyncio.get_running_loop().create_task(live)

    def _renew_folder(self, how: str) -> None:
        self.lives += 1
        before, self.folder = self.folder, self._around.folder / self.name / str(self.lives)
        source = before
        if how == "older" and self._backup is not None:
            source = self._backup
        if how != "deleted" and source.exists():
            shutil.copytree(source, self.folder, ignore=shutil.ignore_patterns("*-shm"))
            self._backup = before

    async def _live(self, before: asyncio.Task[None] | None, folder: str, stop: asyncio.Event) -> None:
        """Keep a process running, as a supervisor does, until it is told to stop or is killed."""
        if before is not None:
            await asyncio.wait({before})
        self._renew_folder(folder)
        while not stop.is_set():
            process = self.process = Process(self.name)
            process.on_kill = self._keep_files
            self._around.processes.append(process)
            task = process.start(self._run(process, stop))
            await asyncio.wait({task})
            if process.dead:
                return
            self.database = None
            self._opened.clear()
            error = task.exception() if not task.cancelled() else asyncio.CancelledError()
            process.on_kill = _nothing
            process.kill()
            if error is not None:
                self._failed(self, error)
                await asyncio.sleep(0.2)

    async def _run(self, process: Process, stop: asyncio.Event) -> None:
        around = self._around
        async with DataManager.open(
            kv=around.store(KvWire(around.network, process)),
            storage=around.storage(StorageWire(around.network, process)),
            prefix=PREFIX,
            path=self.folder,
            types=TYPES,
            clock=self.clock,
            settings=replace(around.plan.settings, server_id=self.name),
            recover=self.policy,
        ) as database:
            self.policy = RecoverAlways() if around.plan.own_etcd else RecoverManually()
            self.database = database
            self._opened.set()
            await stop.wait()

    def _keep_files(self) -> None:
        # What is in the files at this moment is what the next life finds; the dying one may write on in its own.
        after = self._around.folder / self.name / f"{self.lives}-dead-{len(self._around.processes)}"
        if self.folder.exists():
            shutil.copytree(self.folder, after, ignore=shutil.ignore_patterns("*-shm"))
            self.folder = after

    def kill(self) -> None:
        """End it as SIGKILL does."""
        if self.process is not None:
            self.process.kill()
        self.died()

    def died(self) -> None:
        """It was killed, by whatever."""
        self.wanted = False
        self.database = None
        self._opened.clear()
        self._running = None

    async def stop(self) -> None:
        """End it in order."""
        self.wanted = False
        self._stop.set()
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


def _nothing() -> None:
    pass
