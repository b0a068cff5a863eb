"""Generate any number of finished runs, as the engine leaves them.

One run of one task goes through the real engine, from its creation to its end. What it leaves is the pattern; every
other run is that with its own ids, group, number, times, result and digests of logs. Records of a type come sorted by
id, as an export has them, and are made one after the other: nothing here grows with the number of runs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_server.datamanager.admin.export_file import ExportEncoder
from sluiceway_server.datamanager.model import LogSequence, Position
from sluiceway_server.datamanager.tables.block import StoredRecord
from sluiceway_server.datamanager.tables.change_set import CHANGE_GROUP
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, RUN_CONFIG, RUN_NUMBER, TASK, run_group, task_id
from tests.support.run_engine import World, definition, request

__all__ = ["FinishedRuns", "write_export"]

GROUPS = 100
PROJECTS = 20
SPAN = timedelta(days=365)
END = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = 2
FAILED_OF_A_HUNDRED = 15
_REVISION = Position(LogSequence(1, 0), 0)
_BLOCK = 200


class _Run:
    """The fields that differ between runs. Built again for each record, so it must be fast."""

    __slots__ = ("_noise", "_ran", "assignment", "created_ms", "group", "id", "number", "scope", "task")

    def __init__(self, place: int, created_ms: int, group: str) -> None:
        noise = self._noise = hashlib.blake2b(place.to_bytes(8, "big")).hexdigest()
        self.created_ms = created_ms
        self.group = group
        self.scope = group.partition("/branch/")[0]
        self.number = place // PROJECTS + 1
        self.id = _uuid7(created_ms, noise[:18])
        self.task = _uuid7(created_ms, noise[18:36])
        self.assignment = _uuid7(created_ms + 60, noise[36:54])

    @property
    def ended_ms(self) -> int:
        return self.created_ms + 20_000 + int(self._noise[54:60], 16) % 600_000

    @property
    def failed(self) -> bool:
        return int(self._noise[60:62], 16) * 100 // 256 < FAILED_OF_A_HUNDRED

    def digests(self) -> tuple[str, ...]:
        """Return the digests of the logs of its steps."""
        noise = hashlib.sha512(self._noise.encode()).hexdigest()
        return tuple(noise[step * 64 : step * 64 + 64] for step in range(STEPS))


class FinishedRuns:
    """Generates the records of `count` finished runs. The same count gives the same runs."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pattern = asyncio.run(_pattern())
        self._first_ms = int((END - SPAN).timestamp() * 1000)
        self._spacing_ms = max(int(SPAN.total_seconds() * 1000) // count, 200)

    def run_id(self, number: int) -> str:
        """Return the id of a run by its index."""
        return self._run(number).id

    @staticmethod
    def group(number: int) -> str:
        """Return the group of a run by its index."""
        group = number * 7919 % GROUPS  # neighbours are of different groups
        return f"{FinishedRuns.scope(group)}/branch/feature-{group:02}"

    @staticmethod
    def scope(group: int) -> str:
        return f"/project/team-{group % PROJECTS:02}"

    def _run(self, number: int) -> _Run:
        return _Run(number, self._first_ms + number * self._spacing_ms, self.group(number))

    def types(self) -> Iterator[tuple[str, Iterator[StoredRecord]]]:
        """Return the records by type, sorted, as an export has them."""
        runs = self._runs
        made: dict[str, Callable[[], Iterator[StoredRecord]]] = {
            ASSIGNMENT.name: lambda: (_record(run.assignment, self._assignment(run)) for run in runs()),
            CHANGE_GROUP: lambda: (StoredRecord(run_group(run.id), _REVISION, b"") for run in runs()),
            RUN.name: lambda: (_record(run.id, self._run_record(run)) for run in runs()),
            RUN_CONFIG.name: lambda: (_record(run.id, self._config(run)) for run in runs()),
            RUN_NUMBER.name: self._numbers,
            TASK.name: lambda: (_record(task_id(run.id, run.task), self._task(run)) for run in runs()),
        }
        for name in sorted(made):
            yield name, made[name]()

    def _runs(self) -> Iterator[_Run]:
        return map(self._run, range(self.count))

    def _run_record(self, run: _Run) -> pb.RunRecord:
        made: pb.RunRecord = self._pattern[RUN.name]
        made.run.id, made.run.group, made.run.number, made.scope = run.id, run.group, run.number, run.scope
        made.run.result = api.RUN_RESULT_FAILED if run.failed else api.RUN_RESULT_SUCCESS
        made.run.source.commit_sha = run.digests()[0][:40]
        _stamp(made.run.create_time, run.created_ms)
        _stamp(made.run.enqueue_time, run.created_ms)
        _stamp(made.run.start_time, run.created_ms + 40)
        _stamp(made.run.end_time, run.ended_ms)
        return made

    def _config(self, run: _Run) -> pb.RunConfigRecord:
        made: pb.RunConfigRecord = self._pattern[RUN_CONFIG.name]
        made.config.source.commit_sha = run.digests()[0][:40]
        made.config.cache_group = run.scope
        return made

    def _task(self, run: _Run) -> pb.TaskRecord:
        made: pb.TaskRecord = self._pattern[TASK.name]
        task = made.task
        task.id, task.run_id, task.assignment_id, made.scope = run.task, run.id, run.assignment, run.scope
        task.status = api.TASK_STATUS_FAILED if run.failed else api.TASK_STATUS_SUCCESS
        _stamp(task.start_time, run.created_ms + 90)
        _stamp(task.end_time, run.ended_ms)
        _steps(task.steps, run)
        return made

    def _assignment(self, run: _Run) -> pb.AssignmentRecord:
        made: pb.AssignmentRecord = self._pattern[ASSIGNMENT.name]
        made.id, made.run_id, made.task_id, made.scope = run.assignment, run.id, run.task, run.scope
        made.phase = executor_api.ASSIGNMENT_PHASE_FAILED if run.failed else executor_api.ASSIGNMENT_PHASE_SUCCESS
        made.executor_id = f"executor-{run.number % 20:02}"
        made.session_id = f"session-{run.number // 500:06}"
        for stamp, after in ((made.assign_time, 60), (made.accept_time, 80), (made.start_time, 90)):
            _stamp(stamp, run.created_ms + after)
        _stamp(made.end_time, run.ended_ms)
        _steps(made.steps, run)
        return made

    def _numbers(self) -> Iterator[StoredRecord]:
        for scope in sorted({self.scope(group) for group in range(GROUPS)}):
            yield _record(scope, pb.RunNumberRecord(last=self.count))


def write_export(runs: FinishedRuns, path: Path) -> None:
    """Write the records as a file for `sluice db import`."""
    encoder = ExportEncoder()
    with path.open("wb") as file:
        now = datetime.now(UTC)
        file.write(
            encoder.header(
                database_id="bench",
                sequence=LogSequence(1, 1),
                time_us=int(END.timestamp() * 1_000_000),
                made=now,
                version="bench",
            )
        )
        for name, records in runs.types():
            block: list[StoredRecord] = []
            for record in records:
                block.append(record)
                if len(block) == _BLOCK:
                    file.write(encoder.block(name, block))
                    block = []
            if block:
                file.write(encoder.block(name, block))
        file.write(encoder.trailer())


async def _pattern() -> dict[str, Any]:
    """Run one run through the engine; return the records that it left, by type."""
    world = World()
    engine = await world.placing_engine()
    task = definition()
    for number in range(1, STEPS):
        task.steps.add(name=f"step-{number}").run.command = "make -C src test && echo done"
    asked = request(task)
    asked.source.repository = "https://git.example/team/project.git"
    asked.source.ref_type, asked.source.ref, asked.source.branch = "branch", "refs/heads/main", "main"
    asked.source.message = "Let the parser say where it stopped, and test that it does"
    created = await engine.create_run(asked, created_by="admin")
    run_id = created.value.run.id
    assignment = await world.assignment_of(run_id)
    await world.report(engine, assignment, "accepted")
    steps = []
    for number in range(STEPS):
        step = executor_api.StepUpdate(step=number, phase=api.STEP_PHASE_SUCCESS, exit_status=0, log_sha256="0" * 64)
        step.start_time.GetCurrentTime()
        step.end_time.GetCurrentTime()
        steps.append(step)
    await world.report(engine, assignment, "running", pod_start_time=steps[0].start_time)
    await world.report(engine, assignment, "success", steps=steps)
    if await world.phase(run_id) != "finished":
        raise RuntimeError(f"the pattern is not finished but {await world.phase(run_id)}")
    found: dict[str, Any] = {}
    for type_ in (RUN, TASK, RUN_CONFIG, ASSIGNMENT):
        (found[type_.name],) = [
            type_.message.FromString(stored.body) for stored in world.db._records[type_.name].values()
        ]
    return found


def _uuid7(milliseconds: int, noise: str) -> str:
    time = f"{milliseconds:012x}"
    return f"{time[:8]}-{time[8:]}-7{noise[:3]}-a{noise[3:6]}-{noise[6:18]}"


def _record(id_: str, message: Message) -> StoredRecord:
    return StoredRecord(id_, _REVISION, message.SerializeToString())


def _stamp(stamp: Timestamp, milliseconds: int) -> None:
    stamp.seconds, rest = divmod(milliseconds, 1000)
    stamp.nanos = rest * 1_000_000


def _steps(steps: Any, run: _Run) -> None:
    began, each = run.created_ms + 100, (run.ended_ms - run.created_ms - 200) // STEPS
    for number, (step, digest) in enumerate(zip(steps, run.digests(), strict=True)):
        step.log_sha256 = digest
        _stamp(step.start_time, began + each * number)
        _stamp(step.end_time, began + each * (number + 1))
        failed = run.failed and number == STEPS - 1
        step.phase = api.STEP_PHASE_FAILED if failed else api.STEP_PHASE_SUCCESS
        step.exit_status = 2 if failed else 0
