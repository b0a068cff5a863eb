"""Finished runs, and runs that ended elsewhere, leave nothing behind in memory beyond a limit."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.runmodel.creation import create
from sluiceway_common.runmodel.model import RunPhase, RunResult
from sluiceway_common.runmodel.state import RunState
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.runrecords.types import RECORD_TYPES
from sluiceway_server.runs import configs
from sluiceway_server.runs.cache import KEPT_BYTES, RunCache, weight_of_state
from sluiceway_server.runs.configs import RunConfigs
from tests.fakes.database import FakeDatabase
from tests.fakes.objectstorage import FakeObjectStorage
from tests.fakes.run_simulator import creation_request, graph


def picture(run_id: str, text: str = "a; b: a") -> RunState:
    made = create(creation_request(graph(text), run_id=run_id))
    return RunState.of(made.run, made.tasks)


def at(counter: int) -> Position:
    return Position(LogSequence(1, counter), 0)


def test_snapshots_of_runs_ended_elsewhere_are_evicted_at_limit() -> None:
    cache = RunCache()
    state = picture("run")
    count = 2 * KEPT_BYTES // weight_of_state(state)
    for number in range(count):
        cache.put(f"run-{number}", at(number), state)
        assert cache.weight <= KEPT_BYTES
    assert cache.weight > KEPT_BYTES * 9 // 10
    assert cache.get("run-0", at(0)) is None
    assert cache.get(f"run-{count - 1}", at(count - 1)) is state


def test_the_picture_of_a_run_that_is_over_weighs_nothing() -> None:
    cache = RunCache()
    state = picture("run-1")
    cache.put("run-1", at(1), state)
    assert cache.weight == weight_of_state(state)
    over = replace(state.run, phase=RunPhase.CANCELLED, result=RunResult.UNSET)
    cache.put("run-1", at(2), RunState.of(over, state.tasks.values()))
    assert cache.weight == 0
    assert cache.get("run-1", at(2)) is None


async def test_configurations_are_cached_up_to_the_limit() -> None:
    bodies = FakeObjectStorage()
    kept = RunConfigs(FakeDatabase(RECORD_TYPES), bodies, SystemClock(), inline_bytes=1000)
    records = []
    for number in range(8):
        config = pb.RunConfig(cache_group=f"{number}" + "x" * 500_000).SerializeToString()
        record = await kept.prepare(config, hashlib.sha256(config).hexdigest())
        assert record.stored_apart
        records.append(record)
    for number, record in enumerate(records):
        assert (await kept.of_run(f"run-{number}", record)).cache_group.startswith(str(number))
        assert kept.kept_weight <= configs.KEPT_BYTES
    assert kept.kept_weight > configs.KEPT_BYTES // 2
    assert (await kept.of_run("run-0", records[0])).cache_group.startswith("0")
    assert kept.kept_weight <= configs.KEPT_BYTES
