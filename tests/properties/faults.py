"""Faults of servers, network, stores and clocks; and checkpoints and cleans at odd moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from sluiceway_common.foundation.crashpoints import Crashed
from sluiceway_common.foundation.errors import Conflict, DeadlineExceeded, SluicewayError, Unavailable
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.tables.garbage_collector import GarbageCollector
from tests.properties.cluster import Cluster, where
from tests.properties.plan import PlannedStep
from tests.properties.simulation import Process

__all__ = ["Faults"]


class Faults:
    """Takes the steps that are faults. Each fault ends after a while, or with the history."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._network = cluster.network

    def crash(self, step: PlannedStep) -> None:
        server = self._cluster.servers[step.server]
        if server.process is None or server.process.dead:
            return
        if not step.arguments["point"]:
            server.kill()
            self._cluster.later(step.arguments["again_after"], lambda: server.start(folder=step.arguments["folder"]))
            return
        process = server.process
        process.crash_at(step.arguments["point"], step.arguments["times"])
        kept = process.on_kill

        def on_kill() -> None:
            kept()
            server.died()
            self._cluster.later(step.arguments["again_after"], lambda: server.start(folder=step.arguments["folder"]))

        process.on_kill = on_kill

    def stop(self, step: PlannedStep) -> None:
        server = self._cluster.servers[step.server]

        async def chore() -> None:
            if not server.wanted:
                return
            await server.stop()
            self._cluster.later(
                0.0 if self._cluster.is_ending else step.arguments["again_after"],
                lambda: server.start(folder=step.arguments["folder"]),
            )

        self._cluster.begin_operation(chore())

    def pause(self, step: PlannedStep) -> None:
        self._cluster.had_storage_trouble = True
        process = self._cluster.servers[step.server].process
        if process is not None:
            process.pause()
            self._cluster.later(step.arguments["seconds"], process.resume)

    def cut_off(self, step: PlannedStep) -> None:
        self._cluster.had_storage_trouble = True
        name = self._cluster.servers[step.server].name
        self._network.cut_off.add(name)
        self._cluster.later(step.arguments["seconds"], lambda: self._network.cut_off.discard(name))

    def kv_away(self, step: PlannedStep) -> None:
        self._network.kv_away = True
        self._network.store.break_watches()

        def back() -> None:
            self._network.kv_away = False

        self._cluster.later(step.arguments["seconds"], back)

    def storage_away(self, step: PlannedStep) -> None:
        self._cluster.had_storage_trouble = True

        def switch(value: bool) -> None:
            if step.arguments["full"]:
                self._network.storage_full = value
            else:
                self._network.storage_away = value

        switch(True)
        self._cluster.later(step.arguments["seconds"], lambda: switch(False))

    def fates(self, step: PlannedStep) -> None:
        self._network.plans.setdefault(self._cluster.servers[step.server].name, []).extend(step.arguments["fates"])

    def compact(self, step: PlannedStep) -> None:
        async def chore() -> None:
            store = self._network.store
            await store.compact(store.revision, timeout=timedelta(seconds=1))
            if step.arguments["breaks"]:
                store.break_watches()

        self._cluster.begin_operation(chore())

    def advance(self, step: PlannedStep) -> None:
        self._cluster.clock.offset += timedelta(hours=step.arguments["hours"])
        self._cluster.is_aged = self._cluster.is_aged or step.arguments["hours"] > 1

    def skew(self, step: PlannedStep) -> None:
        self._cluster.servers[step.server].clock.offset = timedelta(seconds=step.arguments["seconds"])

    def checkpoint(self, step: PlannedStep) -> None:
        async def work(process: Process, database: DataManager) -> None:
            await process.call(database.checkpoint())

        self._at_server(step.server, work)

    def clean(self, step: PlannedStep) -> None:
        self._cluster.clock.offset += timedelta(hours=step.arguments["hours"])
        self._cluster.is_aged = self._cluster.is_aged or step.arguments["hours"] > 1

        async def work(process: Process, database: DataManager) -> None:
            tip = database.engine.tip
            await process.call(GarbageCollector(tip.stores, tip.lineage, tip.settings, tip.clock).run())

        self._at_server(step.server, work)

    def _at_server(self, number: int, work: Callable[[Process, DataManager], Coroutine[Any, Any, None]]) -> None:
        async def chore() -> None:
            server = self._cluster.servers[number]
            try:
                async with asyncio.timeout(60):
                    await work(*await server.opened())
            except (Unavailable, DeadlineExceeded, Conflict, TimeoutError, asyncio.CancelledError, Crashed):
                pass
            except SluicewayError as error:
                if not self._cluster.history.losses:
                    self._cluster.problem(f"a duty of {server.name} failed: {error!r} {where(error)}")

        self._cluster.begin_operation(chore())
