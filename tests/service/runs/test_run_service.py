"""`RunService` through a real server and a real channel, with the engine on a database in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.api.run.v1 import run_service_pb2 as pb
from sluiceway.api.run.v1 import run_service_pb2_grpc as pb_grpc
from sluiceway_common.foundation.clock import UuidSource
from sluiceway_common.foundation.errors import Code, InvalidInput, SluicewayError
from sluiceway_common.foundation.rpc.caller import STREAM_KEY, STREAM_OPEN, Caller, CallerKind
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.server import RpcServer
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_server.logs.chunks import LogChunk
from sluiceway_server.logs.reader import LogDescription, LogLines
from sluiceway_server.runs.engine import Engine
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.explainer import Explainer
from sluiceway_server.runs.service import RunServicer
from tests.fakes.executor_directory import executor
from tests.support.run_engine import World, definition, everything_is_allowed, request

ADMIN = Caller(CallerKind.USER, "admin", frozenset({"*"}))


class Tokens:
    async def authenticate(self, token: str) -> Caller | None:
        return ADMIN if token == "good" else None


class TwoChunks:
    """Logs that say what was asked for. Those of the latest attempt, which is the third one, have a hundred bytes."""

    async def describe(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogDescription:
        return LogDescription(attempt or 3, 100, "tag")

    async def lines(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogLines:
        return LogLines(attempt or 3, 100, True, "", 0, (), ())

    async def read(
        self,
        run_id: str,
        task: str,
        *,
        step: int,
        attempt: int = 0,
        offset: int = 0,
        follow: bool = False,
        timestamps: bool = False,
    ) -> AsyncGenerator[LogChunk]:
        yield LogChunk(offset + 2, b"hi", None)
        yield LogChunk(offset + 10, f"step{step}at{attempt}".encode(), None)

    async def newlines_before(self, run_id: str, task: str, *, step: int, attempt: int, offset: int) -> int | None:
        return None


@dataclass
class Served:
    world: World
    engine: Engine
    stub: pb_grpc.RunServiceAsyncStub


@asynccontextmanager
async def serving(world: World | None = None, *, slots: int = 4) -> AsyncIterator[Served]:
    world = world or World()
    engine = await world.placing_engine(slots=slots)
    server = RpcServer(authenticator=Tokens(), ids=UuidSource())
    explainer = Explainer(world.executors, world.clock, times=ExecutorTimes())
    server.add(
        pb_grpc.add_RunServiceServicer_to_server,
        RunServicer(
            world.db,
            engine,
            explainer=explainer,
            logs=TwoChunks(),
            deletion=world.deletion,
            artifacts=world.artifacts,
            tests=world.tests,
            right_on_scope=everything_is_allowed,
            ids=UuidSource(),
        ),
    )
    port = await server.start("127.0.0.1:0")
    channel = open_channel(f"127.0.0.1:{port}", token="good")
    try:
        yield Served(world, engine, pb_grpc.RunServiceStub(channel))
    finally:
        await channel.close()
        await server.drain()


async def refusal(call: object) -> SluicewayError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]  # a call of any answer
    return error_of(caught.value)


async def test_run_is_created_shown_and_listed() -> None:
    async with serving() as at:
        made = (await at.stub.CreateRun(request())).run
        shown = (await at.stub.GetRun(pb.GetRunRequest(run_id=made.id))).run
        assert shown == made
        assert made.created_by == "admin"
        other = (await at.stub.CreateRun(request(group="/user/eve/x"))).run
        listed = await at.stub.ListRuns(pb.ListRunsRequest())
        assert [run.id for run in listed.runs] == [other.id, made.id]
        listed = await at.stub.ListRuns(pb.ListRunsRequest(group="/user/eve/x", phase=api.RUN_PHASE_RUNNING))
        assert [run.id for run in listed.runs] == [other.id]
        listed = await at.stub.ListRuns(pb.ListRunsRequest(result=api.RUN_RESULT_FAILED))
        assert not listed.runs


async def test_pages_of_runs_join_without_gap_or_repeat() -> None:
    async with serving() as at:
        made = [(await at.stub.CreateRun(request())).run.id for _ in range(7)]
        seen, token = [], ""
        while True:
            page = await at.stub.ListRuns(pb.ListRunsRequest(page_size=3, page_token=token))
            seen += [run.id for run in page.runs]
            token = page.next_page_token
            if not token:
                break
        assert seen == made[::-1]


async def test_tasks_are_listed_by_level_and_name() -> None:
    async with serving() as at:
        run = (await at.stub.CreateRun(request(definition("z"), definition("b", "z"), definition("a", "z")))).run
        listed = await at.stub.ListTasks(pb.ListTasksRequest(run_id=run.id))
        assert [(task.name, task.level) for task in listed.tasks] == [("z", 0), ("a", 1), ("b", 1)]
        first = await at.stub.ListTasks(pb.ListTasksRequest(run_id=run.id, page_size=2))
        rest = await at.stub.ListTasks(pb.ListTasksRequest(run_id=run.id, page_token=first.next_page_token))
        assert [task.name for task in (*first.tasks, *rest.tasks)] == ["z", "a", "b"]
        one = await at.stub.GetTask(pb.GetTaskRequest(run_id=run.id, task_id=listed.tasks[1].id))
        assert one.task.name == "a"


async def test_faults_come_with_code_reason_and_all_paths() -> None:
    async with serving() as at:
        error = await refusal(at.stub.CreateRun(request(definition("a"), definition("a"), group="")))
        assert isinstance(error, InvalidInput)
        assert [violation.path for violation in error.violations] == ["run.group", "tasks[1].name"]
        assert (await refusal(at.stub.GetRun(pb.GetRunRequest(run_id="nobody")))).code is Code.NOT_FOUND
        assert (await refusal(at.stub.ListRuns(pb.ListRunsRequest(page_size=1001)))).code is Code.INVALID_ARGUMENT
        assert (await refusal(at.stub.ListRuns(pb.ListRunsRequest(page_token="x")))).code is Code.INVALID_ARGUMENT
        run = (await at.stub.CreateRun(request())).run
        error = await refusal(at.stub.CancelRun(pb.CancelRunRequest(run_id=run.id)))
        assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "RUN_NOT_QUEUED")
        error = await refusal(at.stub.GetTask(pb.GetTaskRequest(run_id=run.id, task_id="nobody")))
        assert error.code is Code.NOT_FOUND
        error = await refusal(at.stub.RestartRun(pb.RestartRunRequest(run_id=run.id, from_start=True)))
        assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "RUN_CANNOT_BE_RESTARTED")


async def test_stop_and_approve_move_the_run() -> None:
    async with serving() as at:
        gate = definition("gate", approval=definition_api.Approval())
        run = (await at.stub.CreateRun(request(gate))).run
        task_id = await at.world.task_id(run.id, "gate")
        await at.stub.ApproveTask(pb.ApproveTaskRequest(run_id=run.id, task_id=task_id))
        await at.stub.StopRun(pb.StopRunRequest(run_id=run.id))
        await at.world.finish(at.engine, run.id, "gate", "stopped")
        assert (await at.stub.GetRun(pb.GetRunRequest(run_id=run.id))).run.result == api.RUN_RESULT_STOPPED


async def test_rejected_task_is_skipped_and_says_why() -> None:
    async with serving() as at:
        gate = definition("gate", approval=definition_api.Approval())
        run = (await at.stub.CreateRun(request(gate))).run
        task_id = await at.world.task_id(run.id, "gate")
        broken = pb.RejectTaskRequest(run_id=run.id, task_id=task_id, comment="two\nlines")
        assert (await refusal(at.stub.RejectTask(broken))).code is Code.INVALID_ARGUMENT
        rejecting = pb.RejectTaskRequest(run_id=run.id, task_id=task_id, comment="not today", request_id="once")
        await at.stub.RejectTask(rejecting)
        await at.stub.RejectTask(rejecting)
        again = pb.RejectTaskRequest(run_id=run.id, task_id=task_id)
        assert (await refusal(at.stub.RejectTask(again))).reason == "TASK_NOT_WAITING_FOR_APPROVAL"
        task = (await at.stub.GetTask(pb.GetTaskRequest(run_id=run.id, task_id=task_id))).task
        assert (task.status, task.reason.code) == (api.TASK_STATUS_SKIPPED, "APPROVAL_REJECTED")
        assert task.reason.message.endswith(": not today")
        ended = (await at.stub.GetRun(pb.GetRunRequest(run_id=run.id))).run
        assert (ended.result, list(ended.warnings)) == (api.RUN_RESULT_SUCCESS, ['approval of "gate" rejected'])


async def test_history_tells_a_run_until_a_time() -> None:
    async with serving() as at:
        run = (await at.stub.CreateRun(request(definition("build"), definition("test", "build")))).run
        at.world.later(seconds=90)
        await at.world.finish(at.engine, run.id, "build", "failed")
        history = (await at.stub.GetRunHistory(pb.GetRunHistoryRequest(run_id=run.id))).history
        said = [(entry.task_name, entry.message.split(":")[0]) for entry in history.entries]
        assert said[-3:] == [("build", "failed"), ("test", "was skipped"), ("", "ended")]
        assert history.entries[-1].phase == api.RUN_PHASE_FINISHED
        assert not history.HasField("moment")
        asked = pb.GetRunHistoryRequest(run_id=run.id, at=run.create_time)
        asked.at.seconds += 60
        history = (await at.stub.GetRunHistory(asked)).history
        assert history.moment.phase == api.RUN_PHASE_RUNNING
        assert [(task.task_name, task.status) for task in history.moment.tasks] == [
            ("build", api.TASK_STATUS_RUNNING),
            ("test", api.TASK_STATUS_NOT_STARTED),
        ]
        assert history.moment.tasks[1].message == 'waits for "build"'
        assert all(entry.task_name != "test" for entry in history.entries)
        assert (await refusal(at.stub.GetRunHistory(pb.GetRunHistoryRequest(run_id="none")))).code is Code.NOT_FOUND
        asked.at.seconds = 1 << 60
        assert (await refusal(at.stub.GetRunHistory(asked))).code is Code.INVALID_ARGUMENT


async def test_action_with_a_request_id_may_be_sent_again() -> None:
    async with serving() as at:
        await at.stub.CreateRun(request())
        queued = (await at.stub.CreateRun(request())).run
        cancel = pb.CancelRunRequest(run_id=queued.id, request_id="once")
        await at.stub.CancelRun(cancel)
        await at.stub.CancelRun(cancel)
        error = await refusal(at.stub.CancelRun(pb.CancelRunRequest(run_id=queued.id, request_id="again")))
        assert error.reason == "RUN_NOT_QUEUED"


async def test_watch_sends_a_snapshot_then_changes_until_the_run_ends() -> None:
    async with serving() as at:
        run = (await at.stub.CreateRun(request())).run
        watch = at.stub.WatchRun(pb.WatchRunRequest(run_id=run.id))
        snapshot = await watch.read()
        assert isinstance(snapshot, pb.WatchRunResponse)
        assert (snapshot.run.id, [task.name for task in snapshot.tasks], len(snapshot.events)) == (run.id, ["build"], 0)
        assignment = await at.world.assignment_of(run.id)
        step = {"step": 0, "phase": api.STEP_PHASE_RUNNING}
        await at.world.report(at.engine, assignment, "running", steps=[step])
        changed = await watch.read()
        assert isinstance(changed, pb.WatchRunResponse)
        assert [task.steps[0].phase for task in changed.tasks] == [api.STEP_PHASE_RUNNING]
        await at.world.finish(at.engine, run.id)
        last = [message async for message in watch]
        assert len(last) == 1
        assert last[0].run.phase == api.RUN_PHASE_FINISHED
        assert [event.new_value for event in last[0].events] == [
            "TASK_STATUS_SUCCESS",
            "RUN_RESULT_SUCCESS",
            "RUN_PHASE_FINISHED",
        ]
        resumed = [m async for m in at.stub.WatchRun(pb.WatchRunRequest(run_id=run.id, after=changed.position))]
        assert resumed == last
        for position in (last[0].position, last[0].events[0].position):
            nothing = [m async for m in at.stub.WatchRun(pb.WatchRunRequest(run_id=run.id, after=position))]
            assert nothing == []


async def test_watch_from_a_forgotten_position_is_out_of_range() -> None:
    async with serving() as at:
        run = (await at.stub.CreateRun(request())).run
        old = str(at.world.db.position)
        await at.stub.CreateRun(request(group="/user/eve/x"))
        at.world.db.forget_history()
        watch = at.stub.WatchRun(pb.WatchRunRequest(run_id=run.id, after=old))
        assert (await refusal(watch.read())).code is Code.OUT_OF_RANGE


@pytest.mark.parametrize("what", ["a run", "all runs", "a log"])
async def test_stream_that_has_no_message_yet_says_that_it_is_accepted(what: str) -> None:
    async with serving() as at, asyncio.timeout(30):
        run = (await at.stub.CreateRun(request())).run
        task_id = await at.world.task_id(run.id, "build")
        after = str(at.world.db.position)
        calls: dict[str, Any] = {
            "a run": lambda: at.stub.WatchRun(pb.WatchRunRequest(run_id=run.id, after=after)),
            "all runs": lambda: at.stub.WatchRuns(pb.WatchRunsRequest(after=after)),
            "a log": lambda: at.stub.ReadLogs(pb.ReadLogsRequest(run_id=run.id, task_id=task_id, follow=True)),
        }
        call = calls[what]()
        metadata = await call.initial_metadata()
        assert (STREAM_KEY, STREAM_OPEN) in tuple(metadata or ())
        call.cancel()


async def test_watch_that_is_refused_is_not_accepted_first() -> None:
    async with serving() as at, asyncio.timeout(30):
        run = (await at.stub.CreateRun(request())).run
        after = str(at.world.db.position)
        at.world.db.forget_history()
        await at.stub.CreateRun(request())
        at.world.db.forget_history()
        call = at.stub.WatchRun(pb.WatchRunRequest(run_id=run.id, after=after))
        assert (await refusal(call.read())).code is Code.OUT_OF_RANGE
        assert (STREAM_KEY, STREAM_OPEN) not in tuple(await call.initial_metadata() or ())


async def test_watch_of_all_runs_can_be_limited_to_one_group() -> None:
    async with serving() as at:
        watch = at.stub.WatchRuns(pb.WatchRunsRequest(group="/user/eve/x"))
        first = await watch.read()
        assert isinstance(first, pb.WatchRunsResponse)
        assert (bool(first.position), len(first.events)) == (True, 0)
        await at.stub.CreateRun(request())
        mine = (await at.stub.CreateRun(request(group="/user/eve/x"))).run
        async with asyncio.timeout(30):
            told = await watch.read()
        assert isinstance(told, pb.WatchRunsResponse)
        assert {event.run_id for event in told.events} == {mine.id}
        watch.cancel()


async def test_every_wait_is_explained() -> None:
    async with serving(slots=1) as at:
        await at.world.executors.connect(executor("arm", slots=0, archs=frozenset({"arm64"})))
        gate = definition("gate", approval=definition_api.Approval())
        wants = definition("wants", labels={"gpu": "yes"})
        run = (
            await at.stub.CreateRun(request(definition("a"), definition("b"), definition("c", "a"), gate, wants))
        ).run
        behind = (await at.stub.CreateRun(request())).run
        told = (await at.stub.ExplainRun(pb.ExplainRunRequest(run_id=run.id))).explanation
        why = {task.task_name: [reason.code for reason in task.reasons] for task in told.tasks}
        assert why == {
            "a": ["RUNS_ON_EXECUTOR"],
            "b": ["WAITS_FOR_EXECUTOR"],
            "c": ["WAITS_FOR_PARENTS"],
            "gate": ["WAITS_FOR_APPROVAL"],
            "wants": ["WAITS_FOR_EXECUTOR", "WHAT_TO_DO"],
        }
        sentences = {task.task_name: task.reasons[0].message for task in told.tasks}
        assert sentences["wants"] == "2 executors (arm and e1): label gpu=yes wanted, have none"
        assert sentences["b"] == "1 full, 0 of 0: arm; 1 full, 1 of 1: e1"
        told = (await at.stub.ExplainRun(pb.ExplainRunRequest(run_id=behind.id))).explanation
        assert [r.code for r in told.reasons] == ["QUEUE_GROUP_HELD", "QUEUE_HOLDER_WAITS_FOR_APPROVAL", "WHAT_TO_DO"]
        task_id = await at.world.task_id(run.id, "wants")
        one = await at.stub.ExplainTask(pb.ExplainTaskRequest(run_id=run.id, task_id=task_id))
        assert one.explanation.reasons[0].code == "WAITS_FOR_EXECUTOR"


async def test_failed_task_is_retried_while_its_run_continues() -> None:
    async with serving() as at:
        run = (await at.stub.CreateRun(request(definition("a"), definition("b"), definition("c", "a")))).run
        await at.world.finish(at.engine, run.id, "a", "failed")
        assert (await at.world.statuses(run.id), await at.world.result(run.id)) == (
            {"a": "failed", "b": "running", "c": "skipped"},
            "failed",
        )
        retry = pb.RetryTaskRequest(run_id=run.id, task_id=await at.world.task_id(run.id, "a"), request_id="once")
        await at.stub.RetryTask(retry)
        await at.stub.RetryTask(retry)
        assert (await at.world.statuses(run.id), await at.world.result(run.id)) == (
            {"a": "running", "b": "running", "c": "not_started"},
            "unspecified",
        )
        (asked,) = (await at.world.tasks(run.id))["a"].manual_retries
        assert (asked.attempt, asked.by) == (1, "admin")
        retry.request_id = "another"
        assert (await refusal(at.stub.RetryTask(retry))).reason == "TASK_CANNOT_BE_RETRIED"
        for name in "abc":
            await at.world.finish(at.engine, run.id, name)
        assert await at.world.result(run.id) == "success"
        told = [line for line in at.world.told(run.id) if line.startswith("run: ")]
        assert [line for line in told if "FAILED" in line or "SUCCESS" in line] == [
            "run: UNSPECIFIED>FAILED",
            "run: FAILED>UNSPECIFIED",
            "run: UNSPECIFIED>SUCCESS",
        ]
        history = await at.stub.GetRunHistory(pb.GetRunHistoryRequest(run_id=run.id))
        assert "another attempt was asked for by" in str(history)


async def test_running_task_whose_executor_is_away_is_explained() -> None:
    async with serving(slots=1) as at:
        run = (await at.stub.CreateRun(request())).run
        explain = pb.ExplainRunRequest(run_id=run.id)
        at.world.executors.disconnect("e1")
        (told,) = (await at.stub.ExplainRun(explain)).explanation.tasks
        codes = [reason.code for reason in told.reasons]
        assert (told.task_name, codes) == ("build", ["RUNS_ON_EXECUTOR", "EXECUTOR_OFFLINE", "WHAT_TO_DO"])
        assert "executor e1 is offline" in told.reasons[1].message
        assert told.reasons[1].message.endswith("is lost when it stays away for 15m")
        one = await at.stub.ExplainTask(pb.ExplainTaskRequest(run_id=run.id, task_id=told.task_id))
        assert one.explanation == told


async def test_logs_are_read_from_the_offset_that_was_asked_for() -> None:
    async with serving() as at:
        run = (await at.stub.CreateRun(request())).run
        task_id = await at.world.task_id(run.id, "build")
        read = pb.ReadLogsRequest(run_id=run.id, task_id=task_id, setup=True, attempt=1, offset=5)
        chunks = [chunk async for chunk in at.stub.ReadLogs(read)]
        assert [(chunk.next_offset, chunk.data) for chunk in chunks] == [(7, b"hi"), (15, b"step-1at1")]
        error = await refusal(at.stub.ReadLogs(pb.ReadLogsRequest(run_id=run.id, task_id="nobody")).read())
        assert error.code is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("fields", "first", "size"),
    [
        pytest.param({}, 0, 100, id="all"),
        pytest.param({"offset": 7}, 7, 100, id="from an offset"),
        pytest.param({"tail": 10}, 90, 100, id="the end"),
        pytest.param({"tail": 10, "offset": 7}, 90, 100, id="the end, and not from an offset"),
        pytest.param({"tail": 1000}, 0, 100, id="an end that is longer than the log"),
        pytest.param({"tail": 10, "follow": True}, 90, None, id="the end and what follows"),
    ],
)
async def test_log_is_described_before_it_is_read(fields: dict[str, Any], first: int, size: int | None) -> None:
    async with serving() as at:
        run = (await at.stub.CreateRun(request())).run
        task_id = await at.world.task_id(run.id, "build")
        read = pb.ReadLogsRequest(run_id=run.id, task_id=task_id, describe=True, **fields)
        described, *chunks = [chunk async for chunk in at.stub.ReadLogs(read)]
        assert described == pb.ReadLogsResponse(next_offset=first, size=size, etag="tag")
        # The latest attempt was settled when the log was described.
        expected = [(first + 2, b"hi"), (first + 10, b"step0at3")]
        assert [(chunk.next_offset, chunk.data) for chunk in chunks] == expected
        read.describe = False
        assert [chunk async for chunk in at.stub.ReadLogs(read)][-1].next_offset == first + 10


async def test_only_logs_of_a_finished_task_are_deleted() -> None:
    async with serving() as at:
        made = (await at.stub.CreateRun(request())).run
        task = await at.world.task_id(made.id, "build")
        asked = pb.DeleteLogsRequest(run_id=made.id, task_id=task)
        error = await refusal(at.stub.DeleteLogs(asked))
        assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "TASK_NOT_FINISHED")
        await at.world.finish(at.engine, made.id)
        for _ in range(2):
            await at.stub.DeleteLogs(asked)
        shown = (await at.stub.GetTask(pb.GetTaskRequest(run_id=made.id, task_id=task))).task
        assert (shown.logs_deleted_by, shown.HasField("logs_delete_time")) == ("admin", True)
        for run_id, task_id in ((made.id, "nobody"), ("nobody", task)):
            error = await refusal(at.stub.DeleteLogs(pb.DeleteLogsRequest(run_id=run_id, task_id=task_id)))
            assert error.code is Code.NOT_FOUND
