"""Makes a planned history happen: servers, clients and subscribers over the simulated network, and records it.

`World` puts together what a history is made of: `servers`, what `clients` ask of them, `faults`, `operators` with the
losses of etcd, the `witness` who sees what goes wrong at once, and the `ending`. They share a `scene`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.properties.clients import Clients
from tests.properties.ending import Ending
from tests.properties.faults import Faults
from tests.properties.history import Delivery, History
from tests.properties.operators import Operators
from tests.properties.plan import Plan, PlannedStep
from tests.properties.scene import Scene, where
from tests.properties.servers import Server
from tests.properties.simulation import Simulation, Stuck, simulated_crash_points
from tests.properties.witness import Witness

__all__ = ["happen"]


def happen(plan: Plan, folder: Path, reached: set[str] | None = None, **stores: Any) -> History:
    """Let a planned history happen.

    Args:
        plan: the history.
        folder: for the read databases; a fast one. Emptied at the end.
        reached: collects the crash points that any server came to.
        stores: `store` and `storage` of `Surroundings`.
    """
    history = History()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with simulated_crash_points(set() if reached is None else reached):
            Simulation(plan.seed).run(lambda: World(plan, folder, history, **stores).run())
    except Stuck as error:
        history.problems.append(f"stuck: {error}")
    except Exception as error:
        history.problems.append(f"the test itself failed: {error!r} {where(error)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return history


class World:
    """See the module."""

    def __init__(self, plan: Plan, folder: Path, history: History, **stores: Any) -> None:
        scene = self._scene = Scene(plan, folder, history, **stores)
        witness = Witness(scene)
        scene.servers += [Server(scene, f"s{number}", witness.server_failed) for number in range(plan.servers)]
        self._clients = clients = Clients(scene)
        faults = Faults(scene)
        operators = Operators(scene)
        self._ending = Ending(scene, clients, operators, witness)
        self._steps: dict[str, Callable[[PlannedStep], None]] = {
            "wait": lambda _step: None,
            "transact": clients.transact,
            "read": clients.read,
            "get": clients.get,
            "crash": faults.crash,
            "stop": faults.stop,
            "pause": faults.pause,
            "cut_off": faults.cut_off,
            "kv_away": faults.kv_away,
            "storage_away": faults.storage_away,
            "fates": faults.fates,
            "compact": faults.compact,
            "advance": faults.advance,
            "skew": faults.skew,
            "checkpoint": faults.checkpoint,
            "clean": faults.clean,
            "snapshot": operators.snapshot,
            "loss": operators.loss,
            "restore": operators.restore,
        }

    async def run(self) -> None:
        """Make it happen, then let everything heal, and look at what is there."""
        scene = self._scene
        for server in scene.servers:
            server.start()
        subscribers = []
        for number, topic in enumerate(("", "type:note", "topic/a")):
            delivery = Delivery(topic)
            scene.history.deliveries.append(delivery)
            subscribers.append(scene.begin(self._clients.subscribe(delivery, number)))
        for step in scene.plan.steps:
            await asyncio.sleep(step.after)
            self._steps[step.kind](step)
        await self._ending.come()
        for task in (*subscribers, *scene.clients, *scene.chores):
            task.cancel()
        scene.history.problems += scene.network.violations
