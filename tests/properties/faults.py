"""What befalls servers, wires, stores and clocks; and duties that are done at odd moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from sluiceway_common.foundation.crashpoints import Crashed
from sluiceway_common.foundation.errors import Conflict, DeadlineExceeded, SluicewayError, Unavailable
from sluiceway_server.datamanager.database import DataManager
from tests.properties.plan import PlannedStep
from tests.properties.scene import Scene, where
from tests.properties.simulation import Process

__all__ = ["Faults"]


class Faults:
    """See the module. Each ends after a while, or with the history."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._network = scene.network

    def crash(self, step: PlannedStep) -> None:
        server = self._scene.servers[step.server]
        if server.process is None or server.process.dead:
            return
        if not step.what["point"]:
            server.kill()
            self._scene.later(step.what["again_after"], lambda: server.start(folder=step.what["folder"]))
            return
        process = server.process
        process.crash_at(step.what["point"], step.what["times"])
        kept = process.on_kill

        def on_kill() -> None:
            kept()
            server.died()
            self._scene.later(step.what["again_after"], lambda: server.start(folder=step.what["folder"]))

        process.on_kill = on_kill

    def stop(self, step: PlannedStep) -> None:
        server = self._scene.servers[step.server]

        async def chore() -> None:
            if not server.wanted:
                return
            await server.stop()
            self._scene.later(
                0.0 if self._scene.ending else step.what["again_after"],
                lambda: server.start(folder=step.what["folder"]),
            )

        self._scene.begin_chore(chore())

    def pause(self, step: PlannedStep) -> None:
        self._scene.storage_trouble = True
        process = self._scene.servers[step.server].process
        if process is not None:
            process.pause()
            self._scene.later(step.what["seconds"], process.resume)

    def cut_off(self, step: PlannedStep) -> None:
        self._scene.storage_trouble = True
        name = self._scene.servers[step.server].name
        self._network.cut_off.add(name)
        self._scene.later(step.what["seconds"], lambda: self._network.cut_off.discard(name))

    def kv_away(self, step: PlannedStep) -> None:
        self._network.kv_away = True
        self._network.store.break_watches()

        def back() -> None:
            self._network.kv_away = False

        self._scene.later(step.what["seconds"], back)

    def storage_away(self, step: PlannedStep) -> None:
        self._scene.storage_trouble = True

        def switch(value: bool) -> None:
            if step.what["full"]:
                self._network.storage_full = value
            else:
                self._network.storage_away = value

        switch(True)
        self._scene.later(step.what["seconds"], lambda: switch(False))

    def fates(self, step: PlannedStep) -> None:
        self._network.plans.setdefault(self._scene.servers[step.server].name, []).extend(step.what["fates"])

    def compact(self, step: PlannedStep) -> None:
        async def chore() -> None:
            store = self._network.store
            await store.compact(store.revision, timeout=timedelta(seconds=1))
            if step.what["breaks"]:
                store.break_watches()

        self._scene.begin_chore(chore())

    def advance(self, step: PlannedStep) -> None:
        self._scene.clock.offset += timedelta(hours=step.what["hours"])
        self._scene.aged = self._scene.aged or step.what["hours"] > 1

    def skew(self, step: PlannedStep) -> None:
        self._scene.servers[step.server].clock.offset = timedelta(seconds=step.what["seconds"])

    def checkpoint(self, step: PlannedStep) -> None:
        async def work(process: Process, database: DataManager) -> None:
            await process.call(database.checkpoint())

        self._at_server(step.server, work)

    def clean(self, step: PlannedStep) -> None:
        self._scene.clock.offset += timedelta(hours=step.what["hours"])
        self._scene.aged = self._scene.aged or step.what["hours"] > 1

        async def work(process: Process, database: DataManager) -> None:
            duties = database._duties
            await process.call(duties._cleaner.run(duties._core.lineage))

        self._at_server(step.server, work)

    def _at_server(self, number: int, work: Callable[[Process, DataManager], Coroutine[Any, Any, None]]) -> None:
        async def chore() -> None:
            server = self._scene.servers[number]
            try:
                async with asyncio.timeout(60):
                    await work(*await server.opened())
            except (Unavailable, DeadlineExceeded, Conflict, TimeoutError, asyncio.CancelledError, Crashed):
                pass
            except SluicewayError as error:
                if not self._scene.history.losses:
                    self._scene.problem(f"a duty of {server.name} failed: {error!r} {where(error)}")

        self._scene.begin_chore(chore())
