"""An engine of runs on a database in memory, with short constructors for requests and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import UuidSource
from sluiceway_common.foundation.rpc.access import Right
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.app.server_keys import ServerKeys
from sluiceway_server.archives.artifacts import Artifacts
from sluiceway_server.archives.store import ArchiveStore
from sluiceway_server.archives.tests import Tests
from sluiceway_server.datamanager.model import Emit, RecordType
from sluiceway_server.logs.peers import Peer
from sluiceway_server.logs.store import LogStore
from sluiceway_server.projects.envelope import KEY_BYTES, Envelope, MasterKeys
from sluiceway_server.projects.project_values import ProjectValues
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.log_deletion import LogDeletion
from sluiceway_server.runs.ports import (
    EngineSettings,
    ObjectBodies,
    ScopeSettings,
    UpdateOutcome,
    WithNewRun,
    nothing_more,
)
from sluiceway_server.runs.transaction import KIND_EVENT, tasks_of
from tests.fakes.clock import FakeClock
from tests.fakes.database import FakeDatabase
from tests.fakes.executor_directory import FakeExecutorDirectory, executor
from tests.fakes.kv import FakeKeyValueStore
from tests.fakes.objectstorage import FakeObjectStorage

__all__ = ["World", "definition", "request"]

GROUP = "/user/admin/repo/main"


def definition(name: str = "build", *depends: str, **more: object) -> definition_api.TaskDefinition:
    """Define a task that runs `true`. `depends`: "a", or "a:on_failure"."""
    task = definition_api.TaskDefinition(name=name)
    task.runtime.containers.add(image="host")
    task.steps.add(name="true", run=definition_api.RunStep(command="true"))
    for depend in depends:
        parent, _, condition = depend.partition(":")
        task.depends.add(task=parent, conditions=[f"DEPEND_CONDITION_{condition.upper()}"] if condition else [])
    task.MergeFrom(definition_api.TaskDefinition(**more))  # type: ignore[arg-type]  # what a test adds
    return task


def request(
    *tasks: definition_api.TaskDefinition, group: str = GROUP, name: str = "ci", **more: object
) -> service_api.CreateRunRequest:
    return service_api.CreateRunRequest(
        run=api.Run(name=name, group=group),
        tasks=tasks or (definition(),),
        **more,  # type: ignore[arg-type]  # what a test adds
    )


def everything_is_allowed(view: object, caller: object, scope: str) -> Right:
    """Allow every caller to do everything with the runs of every scope (`ScopeRights`)."""
    return Right.MANAGE


@dataclass
class World:
    """One database and one list of executors, with any number of engines."""

    clock: Any = field(default_factory=FakeClock)
    scopes: ScopeSettings | None = None
    bodies: ObjectBodies | None = None
    epoch: int = 1
    types: Sequence[RecordType[Any]] = RECORD_TYPES
    with_new_run: WithNewRun = nothing_more

    def __post_init__(self) -> None:
        self.db = FakeDatabase(self.types, clock=self.clock, epoch=self.epoch)
        self.executors = FakeExecutorDirectory(self.db)
        self.kv = FakeKeyValueStore(self.clock)
        self.storage = FakeObjectStorage(self.clock)
        self.log_store = LogStore(self.storage, self.clock)
        self.archive_store = ArchiveStore(self.storage, prefix="")
        self.ids = UuidSource(self.clock)
        self.envelope = Envelope(MasterKeys([bytes(KEY_BYTES)]))
        self._numbers = 0

    def engine(self, server_id: str = "s1", **more: Any) -> Engine:
        settings = EngineSettings(server_id, api_url="http://sluice", **{"sweep_patience": timedelta(0), **more})
        return Engine(
            self.db,
            self.clock,
            ids=self.ids,
            settings=settings,
            executors=self.executors,
            servers=ServerKeys(self.kv, prefix="p", server_id=server_id, lease=settings.server_lease, own=Peer("", "")),
            scopes=self.scopes,
            bodies=self.bodies,
            values=ProjectValues(self.db, self.envelope),
            with_new_run=self.with_new_run,
        )

    @property
    def deletion(self) -> LogDeletion:
        return LogDeletion(self.db, self.log_store, self.clock)

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.db, self.archive_store)

    @property
    def tests(self) -> Tests:
        return Tests(self.db, self.archive_store)

    async def placing_engine(self, server_id: str = "s1", *, slots: int = 4) -> Engine:
        """Return an engine that is the scheduler, with one executor, `e1`."""
        engine = self.engine(server_id)
        await engine.scheduler.election.stand()
        if slots:
            await self.executors.connect(executor(slots=slots))
            await engine.scheduler.place_now()
        return engine

    async def run(self, run_id: str) -> api.Run:
        return (await self.db.get(RUN, run_id)).run

    async def tasks(self, run_id: str) -> dict[str, api.Task]:
        page = await self.db.read(lambda view: tasks_of(view, run_id))
        return {task.name: task for task in page}

    async def task_id(self, run_id: str, name: str) -> str:
        return (await self.tasks(run_id))[name].id

    async def statuses(self, run_id: str) -> dict[str, str]:
        return {
            name: api.TaskStatus.Name(task.status).removeprefix("TASK_STATUS_").lower()
            for name, task in (await self.tasks(run_id)).items()
        }

    async def phase(self, run_id: str) -> str:
        return api.RunPhase.Name((await self.run(run_id)).phase).removeprefix("RUN_PHASE_").lower()

    async def result(self, run_id: str) -> str:
        return api.RunResult.Name((await self.run(run_id)).result).removeprefix("RUN_RESULT_").lower()

    async def assignment_of(self, run_id: str, name: str = "build") -> pb.AssignmentRecord:
        return await self.db.get(ASSIGNMENT, (await self.tasks(run_id))[name].assignment_id)

    def update(self, assignment: pb.AssignmentRecord, phase: str, **more: object) -> executor_api.AssignmentUpdate:
        self._numbers += 1
        return executor_api.AssignmentUpdate(
            number=self._numbers,
            assignment_id=assignment.id,
            epoch=assignment.epoch,
            phase=f"ASSIGNMENT_PHASE_{phase.upper()}",
            **more,  # type: ignore[arg-type]  # what a test adds
        )

    async def report(
        self, engine: Engine, assignment: pb.AssignmentRecord, *phases: str, **more: object
    ) -> Sequence[UpdateOutcome]:
        updates = [self.update(assignment, phase, **more) for phase in phases]
        return await engine.report(assignment.executor_id, assignment.session_id, updates)

    async def finish(self, engine: Engine, run_id: str, name: str = "build", phase: str = "success") -> None:
        assignment = await self.assignment_of(run_id, name)
        outcomes = await self.report(engine, assignment, "accepted", "running", phase)
        assert all(outcome.refused is None for outcome in outcomes), outcomes

    def events(self, run_id: str = "") -> list[api.RunEvent]:
        found = [
            api.RunEvent.FromString(action.body)
            for applied, _, _ in self.db.history
            for action in applied.actions
            if isinstance(action, Emit) and action.kind == KIND_EVENT
        ]
        return [event for event in found if not run_id or event.run_id == run_id]

    def told(self, run_id: str = "") -> list[str]:
        """Return the events in short form, such as `build: NOT_STARTED>RUNNING`."""
        return [
            f"{event.task_name or 'run'}: {_short(event.old_value)}>{_short(event.new_value)}"
            for event in self.events(run_id)
        ]

    def later(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))


def _short(value: str) -> str:
    return value.removeprefix("RUN_PHASE_").removeprefix("RUN_RESULT_").removeprefix("TASK_STATUS_")
