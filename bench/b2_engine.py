"""B2, the part of the engine: one-task runs from creation to the end, over a real etcd, without streams and processes.

    python -m bench.b2_engine [--runs N] [--creators N] [--slots N] [--quick]

One server, one executor that ends every attempt at once: it hears of assignments through the log, as a session does,
and reports `accepted`, `running` and the end in as many batches as an executor of one stream would. Prints runs per
second and how many log entries each run took. It is B2 without streams and processes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from datetime import timedelta
from typing import cast

import structlog
import uvloop

from bench.databases import fresh_database
from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock, UuidSource
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.app.server_keys import ServerKeys
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import Emit, Put, Query
from sluiceway_server.logs.peers import Peer
from sluiceway_server.projects.envelope import Envelope
from sluiceway_server.projects.project_values import ProjectValues
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, executor_topic, outcomes
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.ports import AssignmentNotice, EngineSettings
from tests.fakes.executor_directory import FakeExecutorDirectory, executor
from tests.support.run_engine import definition, request

GOAL = 250.0
PHASES = ("ACCEPTED", "RUNNING", "SUCCESS")


async def execute(database: DataManager, engine: Engine) -> None:
    """Run an executor that ends every attempt at once; waiting reports go in one batch, as on a stream."""
    waiting: asyncio.Queue[tuple[pb.AssignmentRecord, int]] = asyncio.Queue()

    async def hear() -> None:
        async for applied in database.subscribe(after=database.position, topics=[executor_topic("e1")]):
            notices = [a for a in applied.actions if isinstance(a, Emit)]
            assigned = {notice.body.decode() for notice in notices if notice.kind == AssignmentNotice.ASSIGNED}
            for action in applied.actions:
                if isinstance(action, Put) and action.type.name == ASSIGNMENT.name and action.id in assigned:
                    waiting.put_nowait((cast("pb.AssignmentRecord", action.message), 0))

    async def tell() -> None:
        number = 0
        while True:
            batch = [await waiting.get()]
            while not waiting.empty() and len(batch) < 64:
                batch.append(waiting.get_nowait())
            updates = []
            for assignment, step in batch:
                number += 1
                updates.append(
                    executor_api.AssignmentUpdate(
                        number=number,
                        assignment_id=assignment.id,
                        epoch=assignment.epoch,
                        phase=f"ASSIGNMENT_PHASE_{PHASES[step]}",
                        steps=[{"step": 0, "phase": api.STEP_PHASE_SUCCESS}] if step == 2 else [],
                    )
                )
            results = await engine.report("e1", "session-of-e1", updates)
            assert all(outcome.refused is None for outcome in results), results
            for assignment, step in batch:
                if step < 2:
                    waiting.put_nowait((assignment, step + 1))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hear())
        tasks.create_task(tell())


async def measure(runs: int, creators: int, slots: int) -> tuple[float, float]:
    """Return runs per second and log entries per run."""
    async with fresh_database(RECORD_TYPES) as (store, storage, database):
        directory = FakeExecutorDirectory(database)
        engine = Engine(
            database,
            SystemClock(),
            ids=UuidSource(),
            settings=EngineSettings(server_id="bench"),
            executors=directory,
            servers=ServerKeys(store, prefix="bench", server_id="bench", lease=timedelta(seconds=6), own=Peer("", "")),
            bodies=storage,
            values=ProjectValues(database, Envelope(None)),
        )
        await engine.scheduler.election.stand()
        await directory.connect(executor("e1", slots=slots))
        work = [asyncio.create_task(engine.run()), asyncio.create_task(execute(database, engine))]
        await asyncio.sleep(0.1)
        left = iter(range(runs))

        async def create(creator: int) -> None:
            for number in left:
                await engine.create_run(request(definition(), group=f"/user/u{creator}/r{number}"), created_by="b")

        before = database.position.sequence.counter
        begun = time.perf_counter()
        await asyncio.gather(*(create(creator) for creator in range(creators)))
        created = time.perf_counter() - begun
        where = {"outcome": outcomes(phases=(api.RUN_PHASE_RUNNING,))}
        while (await database.list(RUN, Query(where=where, order=("created",), size=1))).records:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.01)
        took = time.perf_counter() - begun
        entries = database.position.sequence.counter - before
        print(f"  created in {created:.2f} s, ended in {took:.2f} s", flush=True)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        return runs / took, entries / runs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--creators", type=int, default=32)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--quick", action="store_true", help="300 runs")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    runs = 300 if options.quick else options.runs
    rate, entries = uvloop.run(measure(runs, options.creators, options.slots))
    met = rate >= GOAL
    print(f"{runs} runs of one task, {options.creators} creators, {options.slots} slots: {rate:.0f} runs/s, ", end="")
    print(f"{entries:.2f} log entries a run; goal {GOAL:.0f}: {'met' if met else 'NOT met'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
