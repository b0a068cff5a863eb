"""The retention, on a database and an object storage in memory: what goes, what stays, and what is said of it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound, Unavailable
from sluiceway_common.runmodel.model import Epoch
from sluiceway_server.datamanager.model import Delete, Put, Query, View
from sluiceway_server.logs.buffer import LogBuffers
from sluiceway_server.logs.layout import LogKey
from sluiceway_server.logs.reader import LogReader
from sluiceway_server.logs.states import StoredLogStates
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, RUN_CONFIG, RUN_NUMBER, TASK
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


class House:
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
            world.db, world.log_store, configs, clock or world.clock, settings=settings, is_elected=lambda: True
        )

    async def finished(self, *names: str, log: bytes = b"a line\n") -> str:
        """A run that ended now, each of whose tasks wrote a log."""
        names = names or ("build",)
        tasks = [definition(name) for name in names]
        group = f"/user/admin/{self.world.ids.new_id()}"
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
async def house() -> House:
    world = World()
    house = House(world, await world.placing_engine(slots=10_000))
    await house.swept(house.sweeper)
    return house


# --- logs -------------------------------------------------------------------------------------------------------------


async def test_logs_go_a_month_after_the_end_of_their_run_and_are_said_to_be_deleted(house: House) -> None:
    old = await house.finished("build", "test")
    await house.pass_time(10 * DAY)
    young = await house.finished()
    await house.pass_time(20 * DAY - HOUR)
    assert await house.runs_with_logs() == {old, young}
    assert await house.read(old) == b"a line\n"
    await house.pass_time(HOUR)
    assert await house.runs_with_logs() == {young}
    shown = (await house.world.db.get(RUN, old)).run
    assert shown.logs_delete_time.ToDatetime() == house.world.clock.now().replace(tzinfo=None)
    for name in ("build", "test"):
        with pytest.raises(NotFound, match="was deleted on 2026-01-31 00:00:00 UTC: it was older") as gone:
            await house.read(old, name)
        assert gone.value.reason == "LOG_DELETED"
    assert await house.read(young) == b"a line\n"
    before = len(house.world.db.history)
    await house.pass_time(HOUR)
    assert len(house.world.db.history) == before + 1, "the time, and nothing else"


async def test_logs_of_a_run_that_is_not_over_stay_however_old_they_are(house: House) -> None:
    made = (await house.engine.create_run(request(), created_by="a")).value.run
    await house.world.report(house.engine, await house.world.assignment_of(made.id), "accepted", "running")
    await house.wrote(made.id, "build", b"still at it\n")
    waits = (await house.engine.create_run(request(), created_by="a")).value.run
    await house.pass_time(100 * DAY)
    assert await house.runs_with_logs() == {made.id}
    assert await house.world.phase(waits.id) == "queued"
    await house.world.report(house.engine, await house.world.assignment_of(made.id), "success")
    await house.pass_time(29 * DAY)
    assert await house.runs_with_logs() == {made.id}
    await house.pass_time(DAY)
    assert await house.runs_with_logs() == set()


async def test_a_sweep_that_failed_in_the_middle_goes_on(house: House) -> None:
    run_id = await house.finished("a", "b", "c")
    house.world.clock.advance(31 * DAY)
    deletions = 0
    delete = house.world.storage.delete

    async def once(key: str) -> None:
        nonlocal deletions
        deletions += 1
        if deletions > 2:
            raise Unavailable("away")
        await delete(key)

    late = replace(SETTINGS, interval=31 * DAY)
    house.world.storage.delete = once  # type: ignore[method-assign]  # a storage that goes away
    with pytest.raises(Unavailable):
        await house.retention(late).sweep()
    with pytest.raises(NotFound, match="was deleted"):
        await house.read(run_id, "c")
    house.world.storage.delete = delete  # type: ignore[method-assign]
    assert await house.runs_with_logs() == {run_id}
    await house.swept(house.retention(late))
    assert await house.runs_with_logs() == set()


async def test_a_reader_in_the_middle_of_a_log_hears_that_it_was_deleted(house: House) -> None:
    run_id = await house.finished(log=b"x" * 200_000)
    task = await house.world.task_id(run_id, "build")
    reading = house.reader.read(run_id, task, step=0, follow=True)
    first = await anext(reading)
    assert first.data
    await house.world.deletion.delete(run_id, task, by="alice")
    with pytest.raises(NotFound, match="was deleted by alice") as gone:
        async for _ in reading:
            pass
    assert gone.value.reason == "LOG_DELETED"


async def test_many_logs_go_some_at_a_time(house: House) -> None:
    for _ in range(5):
        await house.finished()
    house.world.clock.advance(31 * DAY)
    sweeper = house.retention(replace(SETTINGS, at_once=2, interval=31 * DAY))
    left = []
    while await sweeper.sweep():
        left.append(len(await house.runs_with_logs()))
    assert left[:2] == [3, 1]
    assert await house.runs_with_logs() == set()


async def test_logs_of_no_run_go_after_a_day_and_what_is_not_ours_stays(house: House) -> None:
    gone = house.world.ids.new_id()
    await house.world.storage.put(f"logs/{gone}/task/1.1/0/00000000000000000000", b"of a run that was given up")
    await house.world.storage.put("logs/notes/README", b"mine")
    await house.pass_time(DAY - HOUR)
    assert await house.runs_with_logs() == {gone, "notes"}
    await house.pass_time(DAY + HOUR)
    assert await house.runs_with_logs() == {"notes"}


async def test_without_a_retention_logs_stay_and_those_of_no_run_go(house: House) -> None:
    kept = await house.finished()
    await house.world.storage.put(f"logs/{house.world.ids.new_id()}/task/1.1/0/00000000000000000000", b"")
    house.sweeper = house.retention(replace(SETTINGS, logs=None))
    await house.pass_time(100 * DAY)
    assert await house.runs_with_logs() == {kept}


# --- clocks -----------------------------------------------------------------------------------------------------------


async def test_a_server_that_starts_with_a_clock_of_ten_years_later_deletes_nothing_that_is_young(house: House) -> None:
    run_id = await house.finished()
    await house.pass_time(DAY)
    wrong = FakeClock(house.world.clock.now() + 3650 * DAY)
    sweeper = house.retention(RUNS_TOO, clock=wrong)
    for _ in range(24):
        await house.swept(sweeper)
        wrong.advance(HOUR)
    assert await house.runs_with_logs() == {run_id}
    assert (await house.world.db.get(RUN, run_id)).run.id == run_id
    # Somebody sets it right.
    house.world.clock.advance(DAY)
    house.sweeper = house.retention()
    await house.pass_time(27 * DAY)
    assert await house.runs_with_logs() == {run_id}
    await house.pass_time(2 * DAY)
    assert await house.runs_with_logs() == set()


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


async def test_runs_go_with_all_that_is_theirs_when_they_have_a_retention(house: House) -> None:
    old = await house.finished("a", "b")
    task = await house.world.task_id(old, "a")
    running = (await house.engine.create_run(request(group="/user/admin/w/x"), created_by="a")).value.run
    kept_numbers = await house.world.db.list(RUN_NUMBER, Query())
    house.sweeper = house.retention(RUNS_TOO)
    await house.pass_time(59 * DAY)
    young = await house.finished()
    assert (await records(house.world, old))["run"] == 1
    await house.pass_time(DAY)
    assert await records(house.world, old) == {"run": 0, "config": 0, "tasks": 0, "assignments": 0}
    assert await records(house.world, young) == {"run": 1, "config": 1, "tasks": 1, "assignments": 1}
    assert (await house.world.db.list(RUN_NUMBER, Query())).records[0][1].last > kept_numbers.records[0][1].last
    assert await house.world.phase(running.id) == "running"
    with pytest.raises(NotFound):
        await house.read(old, task=task)


async def test_logs_that_are_kept_for_ever_go_with_their_run(house: House) -> None:
    run_id = await house.finished()
    house.sweeper = house.retention(replace(RUNS_TOO, logs=None))
    await house.pass_time(59 * DAY)
    assert await house.runs_with_logs() == {run_id}
    await house.pass_time(2 * DAY)
    assert await house.runs_with_logs() == set()
    assert (await records(house.world, run_id))["run"] == 0


async def test_a_run_with_more_tasks_than_one_transaction_deletes_goes_whole(house: House) -> None:
    names = [f"t{number}" for number in range(450)]
    made = (await house.engine.create_run(request(*map(definition, names)), created_by="a")).value.run
    for name in names:
        await house.world.finish(house.engine, made.id, name)
    assert await house.world.phase(made.id) == "finished"
    house.world.clock.advance(61 * DAY)
    await house.swept(house.retention(replace(RUNS_TOO, interval=61 * DAY)))
    assert await records(house.world, made.id) == {"run": 0, "config": 0, "tasks": 0, "assignments": 0}


# --- large configurations -------------------------------------------------------------------------------------------


async def stored_configs(world: World) -> set[str]:
    return {info.key.removeprefix("run-config/") async for info in world.storage.list("run-config/")}


async def large(world: World, name: str) -> tuple[RunConfigs, bytes, str]:
    config = pb.RunConfig(cache_group=name).SerializeToString()
    configs = RunConfigs(world.db, world.storage, world.clock, inline_bytes=0)
    return configs, config, hashlib.sha256(config).hexdigest()


async def test_a_configuration_goes_a_day_after_the_last_run_that_has_it(house: House) -> None:
    configs, config, digest = await large(house.world, "shared")
    record = await configs.prepare(config, digest)
    for run_id in ("one", "two"):
        await house.world.db.commit([Put(RUN_CONFIG, run_id, record)])
    await house.pass_time(5 * DAY)
    await house.world.db.commit([Delete(RUN_CONFIG, "one")])
    await house.pass_time(5 * DAY)
    assert await stored_configs(house.world) == {digest}
    await house.world.db.commit([Delete(RUN_CONFIG, "two")])
    await house.pass_time(2 * DAY)
    assert await stored_configs(house.world) == set()


async def test_a_configuration_that_is_stored_for_a_run_to_come_is_young_again(house: House) -> None:
    configs, config, digest = await large(house.world, "again")
    await configs.prepare(config, digest)
    house.world.clock.advance(5 * DAY)
    await configs.prepare(config, digest)  # a run is about to be created with it
    house.world.clock.advance(HOUR)
    objects = ConfigObjects(house.world.db, house.world.storage, prefix="")
    assert await objects.delete_unused(before=house.world.clock.now() - DAY) == 0
    assert await stored_configs(house.world) == {digest}


async def test_a_configuration_that_was_deleted_before_its_run_was_committed_is_stored_again(house: House) -> None:
    configs, config, digest = await large(house.world, "raced")
    record = await configs.prepare(config, digest)
    await house.world.storage.delete(f"run-config/{digest}")
    await configs.confirm(config, record)
    assert await stored_configs(house.world) == {digest}


async def test_a_configuration_whose_run_was_committed_while_it_was_deleted_is_put_back(house: House) -> None:
    configs, config, digest = await large(house.world, "raced")
    record = await configs.prepare(config, digest)
    house.world.clock.advance(5 * DAY)
    delete = house.world.storage.delete

    async def and_a_run_comes(key: str) -> None:
        await delete(key)
        await house.world.db.commit([Put(RUN_CONFIG, "new", record)])

    house.world.storage.delete = and_a_run_comes  # type: ignore[method-assign]  # another server, at that moment
    objects = ConfigObjects(house.world.db, house.world.storage, prefix="")
    assert await objects.delete_unused(before=house.world.clock.now() - DAY) == 0
    assert (await configs.of_run("new")).SerializeToString() == config


# --- what people delete -----------------------------------------------------------------------------------------------


async def test_somebody_deletes_the_logs_of_a_task_and_no_others(house: House) -> None:
    run_id = await house.finished("a", "b")
    task = await house.world.task_id(run_id, "a")
    for by in ("alice", "bob"):
        await house.world.deletion.delete(run_id, task, by=by)
    with pytest.raises(NotFound, match="was deleted by alice on 2026-01-01 00:00:00 UTC") as gone:
        await house.read(run_id, "a")
    assert gone.value.reason == "LOG_DELETED"
    assert await house.read(run_id, "b") == b"a line\n"
    with pytest.raises(NotFound, match="alice"):
        await house.reader.describe(run_id, task, step=0)


async def test_a_deletion_that_failed_in_the_middle_is_done_by_the_next_call(house: House) -> None:
    run_id = await house.finished()
    task = await house.world.task_id(run_id, "build")
    house.world.storage.go_away()
    with pytest.raises(Unavailable):
        await house.world.deletion.delete(run_id, task, by="alice")
    house.world.storage.come_back()
    assert await house.runs_with_logs() == {run_id}
    await house.world.deletion.delete(run_id, task, by="alice")
    assert await house.runs_with_logs() == set()


async def test_logs_of_a_task_that_is_not_finished_or_not_there_are_not_deleted(house: House) -> None:
    made = (await house.engine.create_run(request(), created_by="a")).value.run
    task = await house.world.task_id(made.id, "build")
    with pytest.raises(FailedPrecondition, match="not finished"):
        await house.world.deletion.delete(made.id, task, by="alice")
    await house.world.report(house.engine, await house.world.assignment_of(made.id), "accepted", "running")
    await house.engine.stop_run(made.id, by="a", force=True)
    shown = (await house.world.tasks(made.id))["build"]
    if shown.status != api.TASK_STATUS_RUNNING:
        with pytest.raises(FailedPrecondition, match="reported"):
            await house.world.deletion.delete(made.id, task, by="alice")
    for run_id, other in ((made.id, "nobody"), ("nobody", task)):
        with pytest.raises(NotFound):
            await house.world.deletion.delete(run_id, other, by="alice")


async def test_only_the_elected_server_sweeps(house: House) -> None:
    elected, asked = False, asyncio.Event()

    def is_elected() -> bool:
        asked.set()
        return elected

    run_id = await house.finished()
    house.world.clock.advance(31 * DAY)
    quick = replace(SETTINGS, first=timedelta(0), interval=timedelta(milliseconds=1))
    configs = ConfigObjects(house.world.db, house.world.storage, prefix="")
    before = len(house.world.db.history)
    sweeper = Retention(
        house.world.db, house.world.log_store, configs, SystemClock(), settings=quick, is_elected=is_elected
    )
    running = asyncio.create_task(sweeper.run())
    for _ in range(3):
        asked.clear()
        await asked.wait()
    assert len(house.world.db.history) == before
    assert await house.runs_with_logs() == {run_id}
    elected = True

    async def has_swept() -> bool:
        return len(house.world.db.history) > before

    await eventually(has_swept)
    running.cancel()
    await asyncio.wait([running])
