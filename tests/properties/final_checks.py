"""After the last step: ends all faults, waits until nothing happens any more, and records what each server holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

from sluiceway_common.foundation.crashpoints import Crashed
from sluiceway_common.foundation.errors import DeadlineExceeded, Unavailable
from sluiceway_server.datamanager.admin.verify import Verifier
from sluiceway_server.datamanager.admin.verify_context import Finding
from sluiceway_server.datamanager.model import View
from sluiceway_server.datamanager.port import DatabaseLost
from sluiceway_server.datamanager.tables.stores import Stores
from tests.properties.clients import Clients
from tests.properties.cluster import PREFIX, Cluster, Server
from tests.properties.history import Contents, Fact, Outcome, ReadRecord
from tests.properties.model import Model
from tests.properties.network import KvWire, StorageWire
from tests.properties.operators import Operators
from tests.properties.plan import PlannedStep
from tests.properties.recorder import Recorder
from tests.properties.simulation import Process
from tests.properties.workload import COLOURS, GROUPS, TYPES, Look, Transaction, look, value_of

__all__ = ["FinalChecks"]

_PATIENCE_SECONDS = 900.0
_ALL_LISTS = tuple(
    Look(kind, type_.name, "", colour, size)
    for type_ in TYPES
    for kind, size in (("list", 2), ("back", 3), ("count", 100))
    for colour in COLOURS
)


class FinalChecks:
    """Ends a history."""

    def __init__(self, cluster: Cluster, clients: Clients, operators: Operators, recorder: Recorder) -> None:
        self._cluster = cluster
        self._clients = clients
        self._operators = operators
        self._recorder = recorder
        self._waiting_for = ""

    async def run(self) -> None:
        """End it. That it does not come to rest is a problem of the history."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._settle()
        except TimeoutError:
            self._cluster.problem(f"it never came to rest after the faults had stopped: {self._waiting_for}")

    async def _settle(self) -> None:
        """End all faults, wait until all calls have returned, and record what each server holds."""
        cluster = self._cluster
        cluster.is_ending = True
        cluster.network.heal()
        for process in cluster.processes:
            process.disarm()
            process.resume()
        cluster.run_due()
        for server in cluster.servers:
            server.start()
        if cluster.history.losses:
            cluster.begin_operation(self._operators.recover())
        self._waiting_for = "operations"
        while cluster.operations:
            await asyncio.wait(set(cluster.operations))
        for server in self._wanted():
            self._waiting_for = f"{server.name}, to serve the newest epoch"
            await self._serves(server)
        self._waiting_for = "clients that were not answered"
        while cluster.clients:
            await asyncio.wait(set(cluster.clients))
        for server in self._wanted():
            self._waiting_for = f"{server.name}, to write"
            await self._check_that_it_writes(server)
        self._waiting_for = "sweepers"
        await self._is_quiet()
        cluster.history.head = cluster.head().digest
        self._waiting_for = "subscribers"
        await self._all_is_delivered()
        self._waiting_for = "flushes"
        await self._all_is_flushed()
        new = Server(cluster, "new", self._recorder.server_failed)
        cluster.servers.append(new)
        new.start()
        for server in self._wanted():
            self._waiting_for = f"the contents of {server.name}"
            await self._note_contents(server)
        self._waiting_for = "verify"
        await self._verify()
        for server in cluster.servers:
            self._waiting_for = f"the stop of {server.name}"
            await server.stop()
        self._check_segments()

    def _wanted(self) -> Iterator[Server]:
        return (server for server in self._cluster.servers if server.wanted)

    async def _serves(self, server: Server) -> None:
        """Wait until a server is in the epoch of etcd; an operator recovers the database if it has to."""
        for turn in count(1):
            if turn % 5 == 0 and self._cluster.history.losses:
                await self._operators.recover()
            with suppress(Unavailable, DeadlineExceeded, DatabaseLost, Crashed, TimeoutError):
                async with asyncio.timeout(3):
                    process, database = await server.opened()
                await process.call(database.linearize())
                if database.epoch == self._cluster.head().sequence.epoch:
                    return
            await asyncio.sleep(0.1)

    async def _check_that_it_writes(self, server: Server) -> None:
        """Check that a server can still write."""
        error, number = "", self._cluster.servers.index(server)
        for _ in range(20):
            self._clients.transact(PlannedStep("transact", 0, number, {"transaction": Transaction((Look("scan"),))}))
            await asyncio.wait(set(self._cluster.clients))
            attempt = self._cluster.history.attempts[-1]
            if attempt.outcome is Outcome.DONE:
                return
            # What was late may have ended it once more.
            error = attempt.error
            await asyncio.sleep(0.5)
        self._cluster.problem(f"{server.name} does not work after all faults have stopped: {error}")

    async def _is_quiet(self) -> None:
        """Wait until the log does not grow by itself: all tombstones are swept."""
        while True:
            model = Model()
            for fact in self._history_of_the_head():
                model.apply(fact)
            if not any(type_ == "tombstone" for type_, _ in model.records):
                return
            await asyncio.sleep(0.3)

    def _history_of_the_head(self) -> list[Fact]:
        entries = list(self._cluster.history.back_from(self._cluster.head().digest))
        return [fact for entry in reversed(entries) for fact in entry.facts]

    async def _all_is_delivered(self) -> None:
        facts = {fact.position: fact for fact in self._history_of_the_head()}
        for delivery in self._cluster.history.deliveries:
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
                self._cluster.problem(f"the subscriber of {delivery.topic or 'everything'} never got {last}")

    async def _all_is_flushed(self) -> None:
        for _ in range(600):
            tips = [server.database.engine.tip for server in self._cluster.servers if server.database is not None]
            if all(tip.flushed.sequence >= tip.newest.position.sequence for tip in tips):
                return
            await asyncio.sleep(0.1)
        self._cluster.problem("the log is not flushed a minute after all faults have stopped")

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
        self._cluster.history.contents.append(contents)
        now = self._cluster.history.now()
        self._cluster.history.reads.append(ReadRecord(server.name, _ALL_LISTS, now, now, True, contents.position, seen))

    async def _verify(self) -> None:
        """Check that `sluice db verify` finds no fault."""
        process = Process("verify")
        scratch = self._cluster.folder / "verify.sqlite"

        async def run() -> list[Finding]:
            verifier = Verifier(
                Stores(
                    KvWire(self._cluster.network, process),
                    StorageWire(self._cluster.network, process),
                    prefix=PREFIX,
                    etcd_timeout=timedelta(seconds=5),
                ),
                types=TYPES,
                scratch=scratch,
                now=self._cluster.clock.now,
            )
            return [found async for found in verifier.run() if isinstance(found, Finding)]

        for found in await process.call(run()):
            if found.is_fault:
                self._cluster.problem(f"verify finds: {found.object}: {found.message}")

    def _check_segments(self) -> None:
        """Check that the object storage has every entry of the history."""
        history = self._cluster.history
        for entry in history.back_from(history.head):
            if entry.digest not in history.saved:
                self._cluster.problem(f"entry {entry.sequence} is not in the object storage at the end")
                return


def _topics(fact: Fact) -> set[str]:
    found = {f"type:{step[1]}" for step in fact.steps if step[0] != "emit"}
    return found.union(*(step[2] for step in fact.steps if step[0] == "emit"))
