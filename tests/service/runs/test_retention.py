"""The retention, on a database and an object storage in memory: what goes, what stays, and what is said of it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.project.v1 import records_pb2 as project_pb
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound, Unavailable
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.datamanager.model import Delete, Put, Query, View
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.reader import LogReader
from sluiceway_server.logs.states import StoredLogStates
from sluiceway_server.projects.records import PROJECT
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, RUN_CONFIG, RUN_NUMBER, TASK
from sluiceway_server.runs.archive_retention import ArchiveRetention
from sluiceway_server.runs.config_objects import ConfigObjects
from sluiceway_server.runs.configs import RunConfigs
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.retention import Retention
from sluiceway_server.runs.retention_rules import RetentionSettings
from tests.fakes.clock import FakeClock
from tests.support.conditions import eventually
from tests.support.run_engine import World, definition, request

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MONTH = timedelta(days=30)
SETTINGS = RetentionSettings()
RUNS_TOO = replace(SETTINGS, runs=60 * DAY)


class RetainedRuns:
    def __init__(self, world: World, engine: Engine) -> None:
        self.world, self.engine = world, engine
        self.reader = LogReader(
            world.log_store, LogBuffers(world.log_store, world.clock), StoredLogStates(world.db), poll=timedelta(0)
        )
        self.sweeper = self.retention()

    def retention(self, settings: RetentionSettings = SETTINGS, *, clock: FakeClock | None = None) -> Retention:
        world = self.world
        configs = ConfigObjects(world.db, world.storage, prefix="")
        return Retention(
            world.db,
            world.log_store,
            configs,
            ArchiveRetention(world.db, world.archive_store, settings=settings),
            clock or world.clock,
            settings=settings,
            is_elected=lambda: True,
        )

    async def finished(self, *names: str, log: bytes = b"a line\n", group: str = "") -> str:
        """A run that ended now, each of whose tasks wrote a log."""
        names = names or ("build",)
        tasks = [definition(name) for name in names]
        group = group or f"/user/admin/{self.world.ids.new_id()}"
        made = (await self.engine.create_run(request(*tasks, group=group), created_by="a")).value.run
        for name in names:
            await self.world.finish(self.engine, made.id, name)
            await self.wrote(made.id, name, log)
        return made.id

    async def wrote(self, run_id: str, name: str, log: bytes) -> None:
        key = LogKey(run_id, await self.world.task_id(run_id, name), Epoch(1, 1), 0)
        await self.world.log_store.put_segment(key, 0, log)
        assert await self.world.log_store.end(key, len(log))

    async def pass_time(self, span: timedelta) -> None:
        """Time passes, with a sweep each hour, as with a server that is up."""
        while span > timedelta(0):
            step = min(span, HOUR)
            self.world.clock.advance(step)
            span -= step
            await self.swept(self.sweeper)

    @staticmethod
    async def swept(retention: Retention) -> None:
        while await retention.sweep():
            pass

    async def runs_with_logs(self) -> set[str]:
        return {info.key.split("/")[1] async for info in self.world.storage.list("logs/")}

    async def read(self, run_id: str, name: str = "build", *, task: str = "") -> bytes:
        task = task or await self.world.task_id(run_id, name)
        return b"".join([chunk.data async for chunk in self.reader.read(run_id, task, step=0)])


@pytest.fixture
async def retained() -> RetainedRuns:
    world = World()
    retained = RetainedRuns(world, await world.placing_engine(slots=10_000))
    await retained.swept(retained.sweeper)
    return retained


# --- logs -------------------------------------------------------------------------------------------------------------


async def test_short_times_of_a_project_are_found_behind_others(retained: RetainedRuns) -> None:
    """A sweep that ends at the first young run still finds those of a project that keeps things for less time."""
    project_id = retained.world.ids.new_id()
    project = project_pb.Project(name="short")
    project.retention.logs.FromTimedelta(HOUR)
    await retained.world.db.commit([Put(PROJECT, project_id, project)])
    retained.sweeper = retained.retention(replace(SETTINGS, at_once=1))
    first, short, last = (
        await retained.finished(),
        await retained.finished(group=f"/project/{project_id}/branch/main"),
        await retained.finished(),
    )
    await retained.pass_time(HOUR - timedelta(seconds=1))
    assert await retained.runs_with_logs() == {first, short, last}
    await retained.pass_time(HOUR)
    assert await retained.runs_with_logs() == {first, last}
    assert (await retained.world.db.get(RUN, short)).run.HasField("logs_delete_time")
    # Its runs go too when the project says so.
    project.retention.runs.FromTimedelta(HOUR)
    await retained.world.db.commit([Put(PROJECT, project_id, project)])
    await retained.pass_time(HOUR)
    with pytest.raises(NotFound):
        await retained.world.db.get(RUN, short)
    assert (await retained.world.db.get(RUN, first)).run.id == first


async def test_logs_are_deleted_a_month_after_the_end_of_their_run(retained: RetainedRuns) -> None:
    old = await retained.finished("build", "test")
    await retained.pass_time(10 * DAY)
    young = await retained.finished()
    await retained.pass_time(20 * DAY - HOUR)
    assert await retained.runs_with_logs() == {old, young}
    assert await retained.read(old) == b"a line\n"
    await retained.pass_time(HOUR)
    assert await retained.runs_with_logs() == {young}
    shown = (await retained.world.db.get(RUN, old)).run
    assert shown.logs_delete_time.ToDatetime() == retained.world.clock.now().replace(tzinfo=None)
    for name in ("build", "test"):
        with pytest.raises(NotFound, match="was deleted on 2026-01-31 00:00:00 UTC: it was older") as gone:
            await retained.read(old, name)
        assert gone.value.reason == "LOG_DELETED"
    assert await retained.read(young) == b"a line\n"
    before = len(retained.world.db.history)
    await retained.pass_time(HOUR)
    assert len(retained.world.db.history) == before + 1, "the time, and nothing else"


async def test_old_logs_of_an_unfinished_run_are_kept(retained: RetainedRuns) -> None:
    made = (await retained.engine.create_run(request(), created_by="a")).value.run
    await retained.world.report(retained.engine, await retained.world.assignment_of(made.id), "accepted", "running")
    await retained.wrote(made.id, "build", b"still at it\n")
    waits = (await retained.engine.create_run(request(), created_by="a")).value.run
    await retained.pass_time(100 * DAY)
    assert await retained.runs_with_logs() == {made.id}
    assert await retained.world.phase(waits.id) == "queued"
    await retained.world.report(retained.engine, await retained.world.assignment_of(made.id), "success")
    await retained.pass_time(29 * DAY)
    assert await retained.runs_with_logs() == {made.id}
    await retained.pass_time(DAY)
    assert await retained.runs_with_logs() == set()


async def test_a_sweep_that_failed_in_the_middle_continues(retained: RetainedRuns) -> None:
    run_id = await retained.finished("a", "b", "c")
    retained.world.clock.advance(31 * DAY)
    deletions = 0
    delete = retained.world.storage.delete

    async def once(key: str) -> None:
        nonlocal deletions
        deletions += 1
        if deletions > 2:
            raise Unavailable("away")
        await delete(key)

    late = replace(SETTINGS, interval=31 * DAY)
    retained.world.storage.delete = once  # type: ignore[method-assign]  # a storage that goes away
    with pytest.raises(Unavailable):
        await retained.retention(late).sweep()
    with pytest.raises(NotFound, match="was deleted"):
        await retained.read(run_id, "c")
    retained.world.storage.delete = delete  # type: ignore[method-assign]
    assert await retained.runs_with_logs() == {run_id}
    await retained.swept(retained.retention(late))
    assert await retained.runs_with_logs() == set()


async def test_reader_in_the_middle_of_a_deleted_log_gets_an_error(retained: RetainedRuns) -> None:
    run_id = await retained.finished(log=b"x" * 200_000)
    task = await retained.world.task_id(run_id, "build")
    reading = retained.reader.read(run_id, task, step=0, follow=True)
    first = await anext(reading)
    assert first.data
    await retained.world.deletion.delete(run_id, task, by="alice")
    with pytest.raises(NotFound, match="was deleted by alice") as gone:
        async for _ in reading:
            pass
    assert gone.value.reason == "LOG_DELETED"


async def test_many_logs_go_some_at_a_time(retained: RetainedRuns) -> None:
    for _ in range(5):
        await retained.finished()
    retained.world.clock.advance(31 * DAY)
    sweeper = retained.retention(replace(SETTINGS, at_once=2, interval=31 * DAY))
    left = []
    while await sweeper.sweep():
        left.append(len(await retained.runs_with_logs()))
    assert left[:2] == [3, 1]
    assert await retained.runs_with_logs() == set()


async def test_logs_without_a_run_are_deleted_and_other_objects_kept(retained: RetainedRuns) -> None:
    gone = retained.world.ids.new_id()
    await retained.world.storage.put(f"logs/{gone}/task/1.1/0/00000000000000000000", b"of a run that was given up")
    await retained.world.storage.put("logs/notes/README", b"mine")
    await retained.pass_time(DAY - HOUR)
    assert await retained.runs_with_logs() == {gone, "notes"}
    await retained.pass_time(DAY + HOUR)
    assert await retained.runs_with_logs() == {"notes"}


async def test_without_a_retention_logs_stay_and_those_of_no_run_go(retained: RetainedRuns) -> None:
    kept = await retained.finished()
    await retained.world.storage.put(f"logs/{retained.world.ids.new_id()}/task/1.1/0/00000000000000000000", b"")
    retained.sweeper = retained.retention(replace(SETTINGS, logs=None))
    await retained.pass_time(100 * DAY)
    assert await retained.runs_with_logs() == {kept}


# --- clocks -----------------------------------------------------------------------------------------------------------


async def test_server_whose_clock_is_ten_years_ahead_deletes_nothing(
    retained: RetainedRuns,
) -> None:
    run_id = await retained.finished()
    await retained.pass_time(DAY)
    wrong = FakeClock(retained.world.clock.now() + 3650 * DAY)
    sweeper = retained.retention(RUNS_TOO, clock=wrong)
    for _ in range(24):
        await retained.swept(sweeper)
        wrong.advance(HOUR)
    assert await retained.runs_with_logs() == {run_id}
    assert (await retained.world.db.get(RUN, run_id)).run.id == run_id
    # Somebody sets it right.
    retained.world.clock.advance(DAY)
    retained.sweeper = retained.retention()
    await retained.pass_time(27 * DAY)
    assert await retained.runs_with_logs() == {run_id}
    await retained.pass_time(2 * DAY)
    assert await retained.runs_with_logs() == set()


# --- runs -------------------------------------------------------------------------------------------------------------


async def records(world: World, run_id: str) -> dict[str, int]:
    def count(view: View) -> dict[str, int]:
        return {
            "run": int(view.get(RUN, run_id) is not None),
            "config": int(view.get(RUN_CONFIG, run_id) is not None),
            "tasks": sum(1 for _ in view.scan(TASK, f"{run_id}/")),
            "assignments": sum(1 for _, record in view.scan(ASSIGNMENT) if record.run_id == run_id),
        }

    return await world.db.read(count)


async def test_runs_are_deleted_with_their_data_after_the_retention(retained: RetainedRuns) -> None:
    old = await retained.finished("a", "b")
    task = await retained.world.task_id(old, "a")
    running = (await retained.engine.create_run(request(group="/user/admin/w/x"), created_by="a")).value.run
    kept_numbers = await retained.world.db.list(RUN_NUMBER, Query())
    retained.sweeper = retained.retention(RUNS_TOO)
    await retained.pass_time(59 * DAY)
    young = await retained.finished()
    assert (await records(retained.world, old))["run"] == 1
    await retained.pass_time(DAY)
    assert await records(retained.world, old) == {"run": 0, "config": 0, "tasks": 0, "assignments": 0}
    assert await records(retained.world, young) == {"run": 1, "config": 1, "tasks": 1, "assignments": 1}
    assert (await retained.world.db.list(RUN_NUMBER, Query())).records[0][1].last > kept_numbers.records[0][1].last
    assert await retained.world.phase(running.id) == "running"
    with pytest.raises(NotFound):
        await retained.read(old, task=task)


async def test_logs_that_are_kept_for_ever_go_with_their_run(retained: RetainedRuns) -> None:
    run_id = await retained.finished()
    retained.sweeper = retained.retention(replace(RUNS_TOO, logs=None))
    await retained.pass_time(59 * DAY)
    assert await retained.runs_with_logs() == {run_id}
    await retained.pass_time(2 * DAY)
    assert await retained.runs_with_logs() == set()
    assert (await records(retained.world, run_id))["run"] == 0


async def test_run_of_more_tasks_than_a_transaction_is_deleted_whole(retained: RetainedRuns) -> None:
    names = [f"t{number}" for number in range(450)]
    made = (await retained.engine.create_run(request(*map(definition, names)), created_by="a")).value.run
    for name in names:
        await retained.world.finish(retained.engine, made.id, name)
    assert await retained.world.phase(made.id) == "finished"
    retained.world.clock.advance(61 * DAY)
    await retained.swept(retained.retention(replace(RUNS_TOO, interval=61 * DAY)))
    assert await records(retained.world, made.id) == {"run": 0, "config": 0, "tasks": 0, "assignments": 0}


# --- large configurations -------------------------------------------------------------------------------------------


async def stored_configs(world: World) -> set[str]:
    return {info.key.removeprefix("run-config/") async for info in world.storage.list("run-config/")}


async def large(world: World, name: str) -> tuple[RunConfigs, bytes, str]:
    config = pb.RunConfig(cache_group=name).SerializeToString()
    configs = RunConfigs(world.db, world.storage, world.clock, inline_bytes=0)
    return configs, config, hashlib.sha256(config).hexdigest()


async def test_configuration_is_deleted_a_day_after_its_last_run(retained: RetainedRuns) -> None:
    configs, config, digest = await large(retained.world, "shared")
    record = await configs.prepare(config, digest)
    for run_id in ("one", "two"):
        await retained.world.db.commit([Put(RUN_CONFIG, run_id, record)])
    await retained.pass_time(5 * DAY)
    await retained.world.db.commit([Delete(RUN_CONFIG, "one")])
    await retained.pass_time(5 * DAY)
    assert await stored_configs(retained.world) == {digest}
    await retained.world.db.commit([Delete(RUN_CONFIG, "two")])
    await retained.pass_time(2 * DAY)
    assert await stored_configs(retained.world) == set()


async def test_configuration_stored_for_a_new_run_is_kept(retained: RetainedRuns) -> None:
    configs, config, digest = await large(retained.world, "again")
    await configs.prepare(config, digest)
    retained.world.clock.advance(5 * DAY)
    await configs.prepare(config, digest)  # a run is about to be created with it
    retained.world.clock.advance(HOUR)
    objects = ConfigObjects(retained.world.db, retained.world.storage, prefix="")
    assert await objects.delete_unused(before=retained.world.clock.now() - DAY) == 0
    assert await stored_configs(retained.world) == {digest}


async def test_configuration_deleted_before_a_commit_is_stored_again(
    retained: RetainedRuns,
) -> None:
    configs, config, digest = await large(retained.world, "raced")
    record = await configs.prepare(config, digest)
    await retained.world.storage.delete(f"run-config/{digest}")
    await configs.confirm(config, record)
    assert await stored_configs(retained.world) == {digest}


async def test_configuration_of_a_run_created_meanwhile_is_restored(retained: RetainedRuns) -> None:
    configs, config, digest = await large(retained.world, "raced")
    record = await configs.prepare(config, digest)
    retained.world.clock.advance(5 * DAY)
    delete = retained.world.storage.delete

    async def and_a_run_comes(key: str) -> None:
        await delete(key)
        await retained.world.db.commit([Put(RUN_CONFIG, "new", record)])

    retained.world.storage.delete = and_a_run_comes  # type: ignore[method-assign]  # another server, at that moment
    objects = ConfigObjects(retained.world.db, retained.world.storage, prefix="")
    assert await objects.delete_unused(before=retained.world.clock.now() - DAY) == 0
    assert (await configs.of_run("new")).SerializeToString() == config


# --- what people delete -----------------------------------------------------------------------------------------------


async def test_somebody_deletes_the_logs_of_a_task_and_no_others(retained: RetainedRuns) -> None:
    run_id = await retained.finished("a", "b")
    task = await retained.world.task_id(run_id, "a")
    for by in ("alice", "bob"):
        await retained.world.deletion.delete(run_id, task, by=by)
    with pytest.raises(NotFound, match="was deleted by alice on 2026-01-01 00:00:00 UTC") as gone:
        await retained.read(run_id, "a")
    assert gone.value.reason == "LOG_DELETED"
    assert await retained.read(run_id, "b") == b"a line\n"
    with pytest.raises(NotFound, match="alice"):
        await retained.reader.describe(run_id, task, step=0)


async def test_deletion_that_failed_is_completed_by_the_next_call(retained: RetainedRuns) -> None:
    run_id = await retained.finished()
    task = await retained.world.task_id(run_id, "build")
    retained.world.storage.go_away()
    with pytest.raises(Unavailable):
        await retained.world.deletion.delete(run_id, task, by="alice")
    retained.world.storage.come_back()
    assert await retained.runs_with_logs() == {run_id}
    await retained.world.deletion.delete(run_id, task, by="alice")
    assert await retained.runs_with_logs() == set()


async def test_logs_of_unfinished_or_unknown_tasks_are_not_deleted(retained: RetainedRuns) -> None:
    made = (await retained.engine.create_run(request(), created_by="a")).value.run
    task = await retained.world.task_id(made.id, "build")
    with pytest.raises(FailedPrecondition, match="not finished"):
        await retained.world.deletion.delete(made.id, task, by="alice")
    await retained.world.report(retained.engine, await retained.world.assignment_of(made.id), "accepted", "running")
    await retained.engine.stop_run(made.id, by="a", force=True)
    shown = (await retained.world.tasks(made.id))["build"]
    if shown.status != api.TASK_STATUS_RUNNING:
        with pytest.raises(FailedPrecondition, match="reported"):
            await retained.world.deletion.delete(made.id, task, by="alice")
    for run_id, other in ((made.id, "nobody"), ("nobody", task)):
        with pytest.raises(NotFound):
            await retained.world.deletion.delete(run_id, other, by="alice")


async def test_only_the_elected_server_sweeps(retained: RetainedRuns) -> None:
    elected, asked = False, asyncio.Event()

    def is_elected() -> bool:
        asked.set()
        return elected

    run_id = await retained.finished()
    retained.world.clock.advance(31 * DAY)
    quick = replace(SETTINGS, first=timedelta(0), interval=timedelta(milliseconds=1))
    configs = ConfigObjects(retained.world.db, retained.world.storage, prefix="")
    before = len(retained.world.db.history)
    sweeper = Retention(
        retained.world.db,
        retained.world.log_store,
        configs,
        ArchiveRetention(retained.world.db, retained.world.archive_store, settings=quick),
        SystemClock(),
        settings=quick,
        is_elected=is_elected,
    )
    running = asyncio.create_task(sweeper.run())
    for _ in range(3):
        asked.clear()
        await asked.wait()
    assert len(retained.world.db.history) == before
    assert await retained.runs_with_logs() == {run_id}
    elected = True

    async def has_swept() -> bool:
        return len(retained.world.db.history) > before

    await eventually(has_swept)
    running.cancel()
    await asyncio.wait([running])
