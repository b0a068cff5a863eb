"""Executes a plan: starts its servers and subscribers, takes its steps, and returns what was recorded."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tests.properties.clients import Clients
from tests.properties.cluster import HONEST, Cluster, Server, Stores, where
from tests.properties.faults import Faults
from tests.properties.final_checks import FinalChecks
from tests.properties.history import Delivery, History
from tests.properties.operators import Operators
from tests.properties.plan import Plan
from tests.properties.recorder import Recorder
from tests.properties.simulation import Simulation, Stuck, simulated_crash_points

__all__ = ["execute"]


def execute(plan: Plan, folder: Path, reached: set[str] | None = None, stores: Stores = HONEST) -> History:
    """Execute a plan.

    Args:
        plan: the history.
        folder: for the read databases; a fast one. It is removed at the end.
        reached: collects the crash points that any server reached.
        stores: what the servers get as their stores.
    """
    history = History()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with simulated_crash_points(set() if reached is None else reached):
            Simulation(plan.seed).run(lambda: _execute(Cluster(plan, folder, history, stores)))
    except Stuck as error:
        history.problems.append(f"stuck: {error}")
    except Exception as error:
        history.problems.append(f"the test itself failed: {error!r} {where(error)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return history


async def _execute(cluster: Cluster) -> None:
    recorder = Recorder(cluster)
    names = [f"s{number}" for number in range(cluster.plan.servers)]
    cluster.servers += [Server(cluster, name, recorder.server_failed) for name in names]
    clients, faults, operators = Clients(cluster), Faults(cluster), Operators(cluster)
    for server in cluster.servers:
        server.start()
    subscribers = []
    for number, topic in enumerate(("", "type:note", "topic/a")):
        delivery = Delivery(topic)
        cluster.history.deliveries.append(delivery)
        subscribers.append(cluster.begin(clients.subscribe(delivery, number)))
    for step in cluster.plan.steps:
        await asyncio.sleep(step.after)
        if step.kind != "wait":
            actor = next(each for each in (clients, faults, operators) if hasattr(each, step.kind))
            getattr(actor, step.kind)(step)
    await FinalChecks(cluster, clients, operators, recorder).run()
    for task in (*subscribers, *cluster.clients, *cluster.operations):
        task.cancel()
    cluster.history.problems += cluster.network.violations
