from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, cast

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_server.datamanager.model import Applied, Emit, LogSequence, Position, Put
from sluiceway_server.executors.commands import CommandBuffer
from sluiceway_server.executors.delivery import Deliverer
from sluiceway_server.executors.durability import DurableBarrier
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, RUN_CONFIG, TASK
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.ports import AssignmentNotice, Specified


def assigned(assignment_id: str) -> records.AssignmentRecord:
    return records.AssignmentRecord(
        id=assignment_id, executor_id="e", session_id="s", phase=pb.ASSIGNMENT_PHASE_ASSIGNED
    )


class SlowEngine:
    """Returns nothing before the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.specified: list[Specified | None] = []

    async def assignment(self, assignment_id: str, *, after: Position | None = None) -> records.AssignmentRecord:
        await self.gate.wait()
        return assigned(assignment_id)

    @property
    def specifications(self) -> SlowEngine:
        return self

    async def build(
        self, assignment_id: str, *, after: Position | None = None, specified: Specified | None = None
    ) -> pb.Specification:
        self.specified.append(specified)
        await self.gate.wait()
        return pb.Specification(task_id=assignment_id)


def _never(_: Awaitable[None]) -> None:
    raise AssertionError("no background work is expected")


async def test_notices_become_commands_in_the_order_of_the_log() -> None:
    engine = SlowEngine()
    sent: list[pb.ConnectResponse] = []
    everything = asyncio.Event()

    def send(message: pb.ConnectResponse) -> None:
        sent.append(message)
        if len(sent) == 4:
            everything.set()

    at = Position(LogSequence(1, 1), 0)
    commands = CommandBuffer(send, SystemClock(), hello=at)
    barrier = DurableBarrier(cast(Any, None))
    deliverer = Deliverer("e", "s", cast(Engine, engine), commands, barrier, _never)
    delivering = asyncio.create_task(deliverer.run())
    notices = (
        (AssignmentNotice.ASSIGNED, "one"),
        (AssignmentNotice.ASSIGNED, "two"),
        (AssignmentNotice.STOP, "one"),
        (AssignmentNotice.ASSIGNED, "three"),
    )
    for kind, assignment_id in notices:
        notice = Emit(kind, ("topic",), assignment_id.encode())
        stored = Put(ASSIGNMENT, assignment_id, assigned(assignment_id))
        deliverer.accept(notice, Applied(at, datetime.now(UTC), (stored, notice), ()))
        await asyncio.sleep(0)
    assert not sent
    engine.gate.set()
    async with asyncio.timeout(60):
        await everything.wait()
    delivering.cancel()
    await asyncio.wait([delivering])
    found = [(m.WhichOneof("message"), (m.assign if m.HasField("assign") else m.stop).assignment_id) for m in sent]
    assert found == [("assign", "one"), ("assign", "two"), ("stop", "one"), ("assign", "three")]


async def test_specification_of_a_new_run_is_built_of_its_transaction() -> None:
    engine = SlowEngine()
    engine.gate.set()
    at = Position(LogSequence(1, 1), 0)
    sent: asyncio.Queue[pb.ConnectResponse] = asyncio.Queue()
    commands = CommandBuffer(sent.put_nowait, SystemClock(), hello=at)
    deliverer = Deliverer("e", "s", cast(Engine, engine), commands, DurableBarrier(cast(Any, None)), _never)
    stored = assigned("one")
    stored.run_id, stored.task_id = "run", "task"
    run, task, config = records.RunRecord(), records.TaskRecord(), records.RunConfigRecord(digest="d")
    task.task.id = "task"
    other = records.TaskRecord()
    other.task.id = "another"
    puts = [Put(TASK, "run/task", task), Put(TASK, "run/another", other), Put(ASSIGNMENT, "one", stored)]
    notice = Emit(AssignmentNotice.ASSIGNED, ("topic",), b"one")
    delivering = asyncio.create_task(deliverer.run())
    for known in ([Put(RUN, "run", run), Put(RUN_CONFIG, "run", config)], [Put(RUN, "run", run)]):
        deliverer.accept(notice, Applied(at, datetime.now(UTC), (*known, *puts, notice), ()))
        async with asyncio.timeout(60):
            await sent.get()
    delivering.cancel()
    await asyncio.wait([delivering])
    assert engine.specified == [(run, task, config), None]
