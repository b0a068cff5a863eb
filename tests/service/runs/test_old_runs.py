"""Runs whose bodies are in the object storage are shown, listed, explained and found as they were before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.records.run.v1 import records_pb2
from sluiceway_common.foundation.clock import SystemClock
from sluiceway_common.foundation.errors import Code
from sluiceway_server.app.record_types import RECORD_TYPES
from sluiceway_server.datamanager.database import DataManager
from sluiceway_server.datamanager.model import Query
from sluiceway_server.kv.etcd import EtcdStore
from sluiceway_server.logs.states import StoredLogStates
from sluiceway_server.objectstorage.posix import PosixStorage
from sluiceway_server.runrecords import types
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, RUN_CONFIG, TASK, outcomes
from sluiceway_server.runs.configs import RunConfigs
from tests.fakes.executor_directory import FakeExecutorDirectory
from tests.service.runs.test_run_service import Served, refusal, serving
from tests.support.remote_bodies import DatabaseStores, ReadRecorder, wait_until_remote
from tests.support.run_engine import World, definition, request

GROUPS = ("/user/admin/repo/main", "/user/admin/repo/other")


@pytest.fixture
async def stores(etcd_endpoint: str, tmp_path: Path, etcd_prefix: str) -> AsyncIterator[DatabaseStores]:
    kv, storage = EtcdStore([etcd_endpoint]), PosixStorage(tmp_path / "objects")
    yield DatabaseStores(kv, storage, tmp_path, etcd_prefix.strip("/"))
    await storage.close()
    await kv.close()


@asynccontextmanager
async def served(
    stores: DatabaseStores, server_id: str = "one", **more: Any
) -> AsyncIterator[tuple[DataManager, Served]]:
    async with stores.server(server_id, types=RECORD_TYPES, **more) as database:
        world = World()
        world.db = database  # type: ignore[assignment]  # a real one
        world.executors = FakeExecutorDirectory(database)
        async with serving(world) as at:
            yield database, at


async def finished_runs(at: Served) -> list[str]:
    """Three runs that ended well, badly after a retry, and by a cancellation; and one that still runs."""
    retry = {"retry": definition_api.Retry(max_attempts=2)}
    asked = request(definition("build", **retry), definition("then", "build"), group=GROUPS[0])
    asked.run.annotations["why"] = "because"
    asked.source.repository, asked.source.commit_sha = "https://git.example/a.git", "a" * 40
    asked.source.message = "The subject\n\nand a body\n"
    asked.warnings.append("be careful")
    ids = [(await at.stub.CreateRun(asked)).run.id]
    for name in ("build", "then"):
        await at.world.finish(at.engine, ids[0], name)
    ids.append((await at.stub.CreateRun(asked)).run.id)
    for _ in range(2):
        await at.world.finish(at.engine, ids[1], "build", "failed")
    ids.append((await at.stub.CreateRun(request(group=GROUPS[1]))).run.id)
    queued = (await at.stub.CreateRun(request(group=GROUPS[1]))).run.id
    await at.stub.CancelRun(pb.CancelRunRequest(run_id=queued))
    return [*ids, queued]


async def answers(at: Served, runs: list[str]) -> dict[str, Message]:
    """What people may ask of them."""
    found: dict[str, Message] = {}
    for number, run_id in enumerate(runs):
        found[f"run {number}"] = await at.stub.GetRun(pb.GetRunRequest(run_id=run_id))
        tasks = await at.stub.ListTasks(pb.ListTasksRequest(run_id=run_id))
        found[f"tasks {number}"] = tasks
        first = await at.stub.ListTasks(pb.ListTasksRequest(run_id=run_id, page_size=1))
        found[f"first page {number}"] = first
        for task in tasks.tasks:
            found[f"task {task.id}"] = await at.stub.GetTask(pb.GetTaskRequest(run_id=run_id, task_id=task.id))
        found[f"explained {number}"] = await at.stub.ExplainRun(pb.ExplainRunRequest(run_id=run_id))
    for group in ("", *GROUPS):
        for phase, _ in api.RunPhase.items():
            for result, _ in api.RunResult.items():
                asked = pb.ListRunsRequest(group=group, phase=phase, result=result)
                found[f"list {group} {phase} {result}"] = await at.stub.ListRuns(asked)
    for number, run_id in enumerate(runs[:3]):
        watch = at.stub.WatchRun(pb.WatchRunRequest(run_id=run_id))
        snapshot = await watch.read()
        assert isinstance(snapshot, pb.WatchRunResponse)
        snapshot.position = ""
        found[f"watch {number}"] = snapshot
        watch.cancel()
    return found


async def logs(database: DataManager, runs: list[str], at: Served) -> list[object]:
    states = StoredLogStates(database)
    found: list[object] = []
    for run_id in runs:
        for task in (await at.world.tasks(run_id)).values():
            found += [
                await states.find(run_id, task.id, attempt=attempt, step=0) for attempt in range(task.attempt + 1)
            ]
    return found


def configs_of(database: DataManager) -> RunConfigs:
    return RunConfigs(database, None, SystemClock(), inline_bytes=1 << 20)


async def test_old_runs_are_what_they_were(stores: DatabaseStores) -> None:
    async with served(stores) as (database, at):
        runs = await finished_runs(at)
        assert (await at.world.tasks(runs[1]))["build"].attempt == 2
        expected, expected_logs = await answers(at, runs), await logs(database, runs, at)
        configs = [await configs_of(database).of_run(run_id) for run_id in runs]
        await stores.settle(database, types=RECORD_TYPES)
        # All that is not of the run that still runs; and its configuration, which is at rest from the beginning.
        for type_, number in ((RUN, 3), (RUN_CONFIG, 4), (TASK, 5), (ASSIGNMENT, 4)):
            await wait_until_remote(database, number, of=type_)
        assert await answers(at, runs) == expected
    async with served(stores, "new") as (database, at):
        assert await answers(at, runs) == expected
        assert await logs(database, runs, at) == expected_logs
        assert [await configs_of(database).of_run(run_id) for run_id in runs] == configs
        # What a transaction function reads of them.
        error = await refusal(at.stub.CancelRun(pb.CancelRunRequest(run_id=runs[0])))
        assert error.code is Code.FAILED_PRECONDITION
        await at.stub.StopRun(pb.StopRunRequest(run_id=runs[2]))
        assert (await at.world.run(runs[2])).HasField("stop_request")


async def test_a_run_continues_at_a_server_that_never_had_its_bodies(stores: DatabaseStores) -> None:
    async with served(stores) as (database, at):
        run_id = (await at.stub.CreateRun(request(definition("a"), definition("b", "a")))).run.id
        await at.world.finish(at.engine, run_id, "a")
        await stores.settle(database, types=RECORD_TYPES)
    async with served(stores, "new") as (database, at):
        assignment = await at.world.assignment_of(run_id, "b")
        specification = await at.engine.specifications.build(assignment.id)
        assert specification.task_name == "b"
        await at.world.finish(at.engine, run_id, "b")
        assert (await at.world.phase(run_id), await at.world.result(run_id)) == ("finished", "success")


async def test_a_list_of_old_runs_reads_no_object(stores: DatabaseStores) -> None:
    async with served(stores) as (database, at):
        runs = await finished_runs(at)
        expected = await at.stub.ListRuns(pb.ListRunsRequest())
        await stores.settle(database, types=RECORD_TYPES)
    reads = ReadRecorder(stores.storage)
    async with served(stores, "new", storage=reads) as (database, at):
        reads.reads.clear()
        listed = await at.stub.ListRuns(pb.ListRunsRequest())
        assert listed == expected
        assert reads.reads == []
        (first,) = [run for run in listed.runs if run.id == runs[0]]
        whole = (await at.stub.GetRun(pb.GetRunRequest(run_id=runs[0]))).run
        assert (dict(first.annotations), list(first.warnings), first.source.message) == ({}, [], "The subject")
        assert (dict(whole.annotations), list(whole.warnings)) == ({"why": "because"}, ["be careful"])
        for name in ("annotations", "warnings", "source"):
            first.ClearField(name)
            whole.ClearField(name)
        assert first == whole


async def test_a_token_of_another_list_of_tasks_is_refused(stores: DatabaseStores) -> None:
    async with serving() as at:
        one, two = [(await at.stub.CreateRun(request(definition("a"), definition("b")))).run.id for _ in range(2)]
        token = (await at.stub.ListTasks(pb.ListTasksRequest(run_id=one, page_size=1))).next_page_token
        for run_id, wrong in ((two, token), (one, "garbage"), (one, token[:-3])):
            error = await refusal(at.stub.ListTasks(pb.ListTasksRequest(run_id=run_id, page_token=wrong)))
            assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


def test_a_summary_has_all_of_a_run_but_what_it_names() -> None:
    record = records_pb2.RunRecord()
    for field in api.Run.DESCRIPTOR.fields:
        _fill(record.run, field)
    record.run.source.message = "x" * 200
    run = types.run_of_row("the-id", {"summary": types.summary_of(record), "group": record.run.group})
    left_out = {"annotations", "setup_errors", "warnings"}
    for field in api.Run.DESCRIPTOR.fields:
        if field.name == "id":
            assert run.id == "the-id"
        elif field.name == "source":
            assert run.source.message == "x" * 100
            assert run.source.commit_sha == record.run.source.commit_sha
        elif field.name in left_out:
            assert not getattr(run, field.name)
        else:
            assert getattr(run, field.name) == getattr(record.run, field.name), field.name


def _fill(message: Any, field: Any) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(message, field.name)["key"] = "value"
    elif field.is_repeated and field.message_type is not None:
        inner = getattr(message, field.name).add()
        for each in field.message_type.fields:
            _fill(inner, each)
    elif field.is_repeated:
        getattr(message, field.name).append("text")
    elif field.message_type is not None:
        for inner in field.message_type.fields:
            _fill(getattr(message, field.name), inner)
    else:
        kind = type(getattr(message, field.name))
        setattr(message, field.name, {int: 2, str: f"text of {field.name}", bool: True}[kind])


def test_every_choice_of_phase_and_result_is_one_list() -> None:
    every = outcomes()
    assert len(set(every)) == len(every) == len(api.RunPhase.values()) * len(api.RunResult.values())
    for phase in api.RunPhase.values():
        assert set(outcomes(phases=(phase,))) == {each for each in every if each // 100 == phase}
    for result in api.RunResult.values()[1:]:
        assert set(outcomes(result=result)) == {each for each in every if each % 100 == result}
    assert Query({"outcome": every}).where
