"""The SDK against a real server: a scripted `RunService`, and the real one over a fake database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from sluiceway.api.run.v1 import definition_pb2
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.client import Client, RunPhase, connect
from sluiceway_common.foundation.clock import UuidSource
from sluiceway_common.foundation.errors import (
    FailedPrecondition,
    InvalidInput,
    NotFound,
    OutOfRange,
    SluicewayError,
    Unauthenticated,
    Unavailable,
    Violation,
)
from sluiceway_server.logs.reader import LogDescription, LogLines
from sluiceway_server.runs.executor_times import ExecutorTimes
from sluiceway_server.runs.explainer import Explainer
from sluiceway_server.runs.service import RunServicer
from tests.support.run_engine import World, definition, everything_is_allowed, request
from tests.support.scripted_runs import Scripted, change, chunk, scripted, serving


class NoLogs:
    """A reader of logs that has none."""

    async def describe(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogDescription:
        raise NotFound("no log")

    async def lines(self, run_id: str, task: str, *, step: int, attempt: int = 0) -> LogLines:
        raise NotFound("no log")

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
    ) -> AsyncGenerator[Any]:
        raise NotFound("no log")
        yield  # type: ignore[unreachable]  # what makes it a generator

    async def newlines_before(self, run_id: str, task: str, *, step: int, attempt: int, offset: int) -> int | None:
        return None


@asynccontextmanager
async def real() -> AsyncIterator[tuple[World, Client]]:
    world = World()
    engine = await world.placing_engine()
    explainer = Explainer(world.executors, world.clock, times=ExecutorTimes())
    servicer = RunServicer(
        world.db,
        engine,
        explainer=explainer,
        logs=NoLogs(),
        deletion=world.deletion,
        artifacts=world.artifacts,
        tests=world.tests,
        right_on_scope=everything_is_allowed,
        ids=UuidSource(),
    )
    async with serving(servicer) as address, connect(address, token="good") as client:
        yield world, client


# --- positions --------------------------------------------------------------------------------------------------


async def test_client_sends_the_highest_position_seen() -> None:
    async with scripted() as (server, client):
        for answer in ("1-5", "1-9", "1-7", ""):
            server.answer = answer
            await client.runs.get("r1")
        assert server.positions == [None, "1-5", "1-9", "1-9"]
        assert client.connection.position == "1-9"


async def test_client_keeps_the_position_of_an_error() -> None:
    async with scripted() as (server, client):
        server.answer, server.fault = "1-5", FailedPrecondition("not now")
        with pytest.raises(FailedPrecondition):
            await client.runs.get("r1")
        server.fault = None
        await client.runs.get("r1")
        assert server.positions == [None, "1-5"]


async def test_client_keeps_the_position_of_a_watch() -> None:
    async with scripted() as (server, client):
        server.scripts = [[change("1-8")]]
        assert [m.position async for m in client.runs.watch("r1")] == ["1-8"]
        await client.runs.get("r1")
        assert server.positions[-1] == "1-8"


# --- streams resume -----------------------------------------------------------------------------------------------


async def test_watch_resumes_after_its_position_without_repeats() -> None:
    breaks: list[SluicewayError] = []
    async with scripted() as (server, client):
        server.scripts = [
            [change("1"), change("2"), Unavailable("it restarts")],
            [Unavailable("it still restarts")],
            [change("3"), change("4", api.RUN_PHASE_FINISHED)],
        ]
        seen = [m.position async for m in client.runs.watch("r1", on_break=breaks.append)]
        assert seen == ["1", "2", "3", "4"]
        # Retried by the SDK or by gRPC (a stream without a message): it is the same request.
        assert [asked.after for asked in server.asked] == ["", "2", "2"]
    assert [error.message for error in breaks] == ["it restarts"]


async def test_watch_restarts_when_its_position_is_out_of_range() -> None:
    async with scripted() as (server, client):
        server.scripts = [
            [change("1"), Unavailable("it restarts")],
            [OutOfRange("that is too long ago")],
            [change("9", api.RUN_PHASE_FINISHED)],
        ]
        assert [m.position async for m in client.runs.watch("r1")] == ["1", "9"]
        assert [asked.after for asked in server.asked] == ["", "1", ""]


async def test_watch_out_of_range_at_its_start_is_not_retried() -> None:
    async with scripted() as (server, client):
        server.scripts = [[OutOfRange("never")]]
        with pytest.raises(OutOfRange):
            await anext(client.runs.watch("r1"))
        assert len(server.asked) == 1


async def test_stream_that_cannot_resume_raises_its_error() -> None:
    async with scripted(patience=timedelta(0)) as (server, client):
        server.scripts = [[change("1"), Unavailable("gone for good")]]
        messages = client.runs.watch("r1")
        assert (await anext(messages)).position == "1"
        with pytest.raises(Unavailable, match="gone for good"):
            await anext(messages)


async def test_refused_watch_ends_at_once() -> None:
    async with scripted() as (server, client):
        server.scripts = [[NotFound("there is no such run")]]
        with pytest.raises(NotFound):
            await anext(client.runs.watch("r1"))
        assert len(server.asked) == 1


async def test_log_resumes_at_the_byte_where_it_broke() -> None:
    async with scripted() as (server, client):
        server.scripts = [
            [chunk(13, b"abc"), Unavailable("it restarts")],
            [chunk(13, b""), chunk(15, b"de")],
        ]
        got = [data async for data in client.runs.logs("r1", "t1", step=2, attempt=3, offset=10)]
        assert got == [b"abc", b"de"]
        assert [(asked.offset, asked.step, asked.attempt) for asked in server.asked] == [(10, 2, 3), (13, 2, 3)]


async def test_stream_left_early_is_cancelled_at_the_server() -> None:
    async with scripted() as (server, client):
        server.scripts = [[change("1")]]
        async with aclosing(client.runs.watch("endless")) as messages:
            assert (await anext(messages)).position == "1"
            assert not server.left.is_set()
        async with asyncio.timeout(30):
            await server.left.wait()


# --- errors -------------------------------------------------------------------------------------------------------


FAULTS = {
    "violations": InvalidInput([Violation("tasks[1].name", "twice"), Violation("run.group", "empty")]),
    "reason": FailedPrecondition("not now", reason="RUN_NOT_QUEUED", metadata={"phase": "running"}),
    "resource": NotFound("there is none", resource_type="run", resource_name="r1"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_client_raises_the_error_of_the_server(fault: SluicewayError) -> None:
    async with scripted() as (server, client):
        server.fault = fault
        with pytest.raises(type(fault)) as caught:
            await client.runs.get("r1")
        got = caught.value
        assert (got.message, got.reason, got.metadata) == (fault.message, fault.reason, fault.metadata)
        if isinstance(fault, InvalidInput) and isinstance(got, InvalidInput):
            assert got.violations == fault.violations


async def test_unknown_token_is_unauthenticated() -> None:
    async with serving(Scripted()) as address, connect(address, token="bad") as client:  # type: ignore[abstract]
        with pytest.raises(Unauthenticated):
            await client.runs.get("r1")


async def test_server_that_is_away_is_unavailable() -> None:
    async with serving(Scripted()) as address:  # type: ignore[abstract]  # the rest is not offered
        pass
    async with connect(address, token="good") as client:
        with pytest.raises(Unavailable):
            await client.runs.get("r1")


async def test_call_and_stream_fail_after_the_connection_was_closed() -> None:
    async with scripted() as (_, client):
        await client.runs.get("r1")
    for work in (client.runs.get("r1"), anext(client.runs.watch("r1"))):
        with pytest.raises(FailedPrecondition) as caught:
            await work
        assert caught.value.reason == "CONNECTION_CLOSED"


async def test_call_in_progress_fails_when_the_client_is_closed() -> None:
    async with scripted() as (server, client):
        server.scripts = [[change("1")]]
        messages = client.runs.watch("endless")
        await anext(messages)
        waiting = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(0)
    with pytest.raises(FailedPrecondition) as caught:
        await waiting
    assert caught.value.reason == "CONNECTION_CLOSED"


# --- the real service ---------------------------------------------------------------------------------------------


async def test_list_iterates_over_all_pages() -> None:
    async with real() as (_, client):
        made = [(await client.runs.create(request(name=f"n{number}"))).id for number in range(5)]
        assert [run.id for run in await client.runs.list(limit=3)] == made[:1:-1]
        assert [run.id for run in await client.runs.list()] == made[::-1]
        for phase in (RunPhase.QUEUED, "queued", "QUEUED", "RUN_PHASE_QUEUED", api.RUN_PHASE_QUEUED):
            assert [run.id for run in await client.runs.list(phase=phase)] == made[:0:-1]
        with pytest.raises(InvalidInput, match="'done' is not one of: setup_error, queued"):
            await client.runs.list(phase="done")


async def test_value_that_does_not_fit_its_field_is_invalid() -> None:
    async with scripted() as (server, client):
        with pytest.raises(InvalidInput):
            await anext(client.runs.logs("r1", "t1", offset=2**64))
        with pytest.raises(InvalidInput):
            await client.runs.get(5)  # type: ignore[arg-type]  # what a program without types does
        assert server.asked == []


async def test_run_is_found_by_any_reference() -> None:
    async with real() as (_, client):
        first = await client.runs.create(request())
        last = await client.runs.create(request())
        for reference in (str(first.number), f"/user/admin#{first.number}", first.id):
            assert (await client.runs.resolve(reference)).id == first.id
        assert (await client.runs.resolve("@last")).id == last.id
        with pytest.raises(NotFound):
            await client.runs.resolve("99")


async def test_list_is_filtered_by_group_path_and_times() -> None:
    async with real() as (world, client):
        older = await client.runs.create(request(group="/user/me/app/main"))
        world.clock.advance(timedelta(hours=1))
        newer = await client.runs.create(request(group="/user/me/app/topic"))
        other = await client.runs.create(request(group="/user/me/other/main"))

        async def ids(**filters: Any) -> list[str]:
            return [run.id for run in await client.runs.list(**filters)]

        assert await ids(group_prefix="/user/me/app") == [newer.id, older.id]
        assert await ids(group="/user/me/app") == []
        between = world.clock.now() - timedelta(minutes=30)
        assert await ids(since=between) == [other.id, newer.id]
        assert await ids(until=between) == [older.id]


async def test_watch_yields_events_of_all_runs_below_a_path() -> None:
    async with real() as (_, client), asyncio.timeout(30):
        async with aclosing(client.runs.watch_all(group_prefix="/user/me/app")) as messages:
            assert not (await anext(messages)).events
            await client.runs.create(request(group="/user/me/other/main"))
            run = await client.runs.create(request(group="/user/me/app/main"))
            event = (await anext(messages)).events[0]
        assert (event.run_id, event.new_value) == (run.id, "RUN_PHASE_QUEUED")


async def test_create_run_is_idempotent_by_request_id() -> None:
    async with real() as (_, client):
        first = await client.runs.create(request(request_id="once"))
        again = await client.runs.create(request(request_id="once"))
        assert again.id == first.id
        assert (await client.runs.create(request())).id != first.id


async def test_run_is_followed_explained_approved_and_stopped() -> None:
    async with real() as (_, client):
        run = await client.runs.create(request(definition("gate", approval=definition_pb2.Approval())))
        task = (await client.runs.tasks(run.id))[0]
        assert (await client.runs.task(run.id, task.id)).name == "gate"
        assert [t.task_name for t in (await client.runs.explain(run.id)).tasks] == ["gate"]
        assert (await client.runs.explain_task(run.id, task.id)).reasons[0].code == "WAITS_FOR_APPROVAL"
        async with asyncio.timeout(30), aclosing(client.runs.watch(run.id)) as messages:
            assert (await anext(messages)).run.id == run.id
            await client.runs.stop(run.id)
            phases = [m.run.phase async for m in messages if m.HasField("run")]
        assert phases[-1] == api.RUN_PHASE_FINISHED
        with pytest.raises(FailedPrecondition) as caught:
            await client.runs.cancel(run.id)
        assert caught.value.reason == "RUN_NOT_QUEUED"
