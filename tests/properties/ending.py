"""The end of a history: all heals and comes to rest, and what is there then is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

from sluiceway_common.foundation.crashpoints import Crashed
from sluiceway_common.foundation.errors import DeadlineExceeded, Unavailable
from sluiceway_server.datamanager.admin.findings import Finding
from sluiceway_server.datamanager.admin.verify import Verifier
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import DatabaseLost
from tests.properties.clients import Clients
from tests.properties.history import Contents, Fact, Outcome, ReadRecord
from tests.properties.model import Model
from tests.properties.network import KvWire, StorageWire
from tests.properties.operators import Operators
from tests.properties.plan import PlannedStep
from tests.properties.scene import Scene
from tests.properties.servers import PREFIX, Server
from tests.properties.simulation import Process
from tests.properties.witness import Witness
from tests.properties.workload import COLOURS, GROUPS, TYPES, Look, Transaction, look, value_of

__all__ = ["Ending"]

_PATIENCE_SECONDS = 900.0
_ALL_LISTS = tuple(
    Look(kind, type_.name, "", colour, size)
    for type_ in TYPES
    for kind, size in (("list", 2), ("back", 3), ("count", 100))
    for colour in COLOURS
)


class Ending:
    """See the module."""

    def __init__(self, scene: Scene, clients: Clients, operators: Operators, witness: Witness) -> None:
        self._scene = scene
        self._clients = clients
        self._operators = operators
        self._witness = witness
        self._waiting_for = ""

    async def come(self) -> None:
        """Let it end. That it does not is a problem of the history."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._settle()
        except TimeoutError:
            self._scene.problem(f"it never came to rest after the faults had stopped: {self._waiting_for}")

    async def _settle(self) -> None:
        """Heal everything, wait until all is answered, and write down what each server has."""
        scene = self._scene
        scene.ending = True
        scene.network.heal()
        for process in scene.processes:
            process.disarm()
            process.resume()
        scene.all_that_is_due()
        for server in scene.servers:
            server.start()
        if scene.history.losses:
            scene.begin_chore(self._operators.recover())
        self._waiting_for = "chores"
        while scene.chores:
            await asyncio.wait(set(scene.chores))
        for server in self._wanted():
            self._waiting_for = f"{server.name}, to serve the newest epoch"
            await self._serves(server)
        self._waiting_for = "clients that were not answered"
        while scene.clients:
            await asyncio.wait(set(scene.clients))
        for server in self._wanted():
            self._waiting_for = f"the last words of {server.name}"
            await self._last_words(server)
        self._waiting_for = "sweepers"
        await self._is_quiet()
        scene.history.head = scene.head().digest
        self._waiting_for = "subscribers"
        await self._all_is_delivered()
        self._waiting_for = "flushes"
        await self._all_is_flushed()
        anew = Server(scene, "anew", self._witness.server_failed)
        scene.servers.append(anew)
        anew.start()
        for server in self._wanted():
            self._waiting_for = f"the contents of {server.name}"
            await self._note_contents(server)
        self._waiting_for = "verify"
        await self._verify()
        for server in scene.servers:
            self._waiting_for = f"the stop of {server.name}"
            await server.stop()
        self._check_segments()

    def _wanted(self) -> Iterator[Server]:
        return (server for server in self._scene.servers if server.wanted)

    async def _serves(self, server: Server) -> None:
        """Wait until a server has the epoch that etcd has; the operator looks again and again."""
        for turn in count(1):
            if turn % 5 == 0 and self._scene.history.losses:
                await self._operators.recover()
            with suppress(Unavailable, DeadlineExceeded, DatabaseLost, Crashed, TimeoutError):
                async with asyncio.timeout(3):
                    process, database = await server.opened()
                await process.call(database.linearize())
                if database.epoch == self._scene.head().sequence.epoch:
                    return
            await asyncio.sleep(0.1)

    async def _last_words(self, server: Server) -> None:
        """Each server can still write."""
        error, number = "", self._scene.servers.index(server)
        for _ in range(20):
            self._clients.transact(PlannedStep("transact", 0, number, {"transaction": Transaction((Look("scan"),))}))
            await asyncio.wait(set(self._scene.clients))
            attempt = self._scene.history.attempts[-1]
            if attempt.outcome is Outcome.DONE:
                return
            # What was late may have ended it once more.
            error = attempt.error
            await asyncio.sleep(0.5)
        self._scene.problem(f"{server.name} does not work after all faults have stopped: {error}")

    async def _is_quiet(self) -> None:
        """Wait until the log does not grow by itself any more: what was buried is swept."""
        while True:
            model = Model()
            for fact in self._history_of_the_head():
                model.apply(fact)
            if not any(type_ == "tombstone" for type_, _ in model.records):
                return
            await asyncio.sleep(0.3)

    def _history_of_the_head(self) -> list[Fact]:
        entries = list(self._scene.history.back_from(self._scene.head().digest))
        return [fact for entry in reversed(entries) for fact in entry.facts]

    async def _all_is_delivered(self) -> None:
        facts = {fact.position: fact for fact in self._history_of_the_head()}
        for delivery in self._scene.history.deliveries:
            wanted = [
                position
                for position, fact in facts.items()
                if not delivery.topic or delivery.topic in _topics(fact)
                if not delivery.starts or position > delivery.starts[-1][1]
            ]
            last = max(wanted, default=None)
            for _ in range(600):
                if last is None or (delivery.facts and delivery.facts[-1].position >= last):
                    break
                if delivery.starts and delivery.starts[-1][1] >= last:
                    break
                await asyncio.sleep(0.1)
            else:
                self._scene.problem(f"the subscriber of {delivery.topic or 'everything'} never got {last}")

    async def _all_is_flushed(self) -> None:
        for _ in range(600):
            statuses = [server.database.status() for server in self._scene.servers if server.database is not None]
            if all(status.flushed >= status.committed.sequence for status in statuses):
                return
            await asyncio.sleep(0.1)
        self._scene.problem("the log is not flushed a minute after all faults have stopped")

    async def _note_contents(self, server: Server) -> None:
        process, database = await server.opened()
        await process.call(database.linearize())

        def read(view: View) -> tuple[Contents, tuple[Any, ...]]:
            records = {}
            for type_ in TYPES:
                for id_, message in view.scan(type_):
                    revision = view.revision(type_, id_)
                    assert revision is not None
                    records[type_.name, id_] = (value_of(message), revision)
            groups = {name: revision for name in GROUPS if (revision := view.group(name)) is not None}
            contents = Contents(server.name, view.position, records, groups)
            return contents, tuple(look(view, what) for what in _ALL_LISTS)

        contents, seen = await process.call(database.read(read))
        self._scene.history.contents.append(contents)
        now = self._scene.history.now()
        self._scene.history.reads.append(ReadRecord(server.name, _ALL_LISTS, now, now, True, contents.position, seen))

    async def _verify(self) -> None:
        """What `sluice db verify` says of what is there."""
        process = Process("verify")
        scratch = self._scene.folder / "verify.sqlite"

        async def run() -> list[Finding]:
            verifier = Verifier(
                KvWire(self._scene.network, process),
                StorageWire(self._scene.network, process),
                prefix=PREFIX,
                types=TYPES,
                scratch=scratch,
                etcd_name="the simulated etcd",
                now=self._scene.clock.now,
                timeout=timedelta(seconds=5),
            )
            return [found async for found in verifier.run() if isinstance(found, Finding)]

        for found in await process.call(run()):
            if found.is_fault:
                self._scene.problem(f"verify finds: {found.object}: {found.message}")

    def _check_segments(self) -> None:
        """The object storage has every entry of the history, once all is flushed."""
        history = self._scene.history
        for entry in history.back_from(history.head):
            if entry.digest not in history.saved:
                self._scene.problem(f"entry {entry.sequence} is not in the object storage at the end")
                return


def _topics(fact: Fact) -> set[str]:
    found = {f"type:{step[1]}" for step in fact.steps if step[0] != "emit"}
    return found.union(*(step[2] for step in fact.steps if step[0] == "emit"))
