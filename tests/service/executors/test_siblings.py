"""Siblings clean up after an executor that vanished, before its tasks are lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_server.runrecords.types import EXECUTOR
from tests.support.conditions import eventually
from tests.support.executor_cluster import TIMES, Cluster, ScriptedExecutor, Server, leaving
from tests.support.executor_runs import began_assigned, executor_record, status_of, until_status

# The sibling decides when the tasks are lost.
VANISHING = replace(
    TIMES,
    vanish_after=timedelta(seconds=0.3),
    lost_after=timedelta(minutes=15),
    clean_within=timedelta(hours=1),
)


async def _are_live(server: Server, number: int) -> bool:
    return len(server.directory.presences()) == number


@asynccontextmanager
async def _with_vanished(
    cluster: Cluster, sibling: ScriptedExecutor, *, drivers: tuple[str, ...] = ("sandbox",)
) -> AsyncIterator[tuple[Server, str]]:
    """Yield a server, and the run of a task whose dynamic executor went missing beside a sibling."""
    gone = ScriptedExecutor("gone", dynamic=True)
    async with cluster.server() as server, leaving(gone, sibling):
        await gone.welcomed(server)
        run_id, assign = await began_assigned(server, gone)
        await gone.reported(assign, "RUNNING")
        await sibling.welcomed(server, drivers=drivers)
        await eventually(lambda: _are_live(server, 2))
        await gone.leave()
        yield server, run_id


async def _report_gone(sibling: ScriptedExecutor, session_id: str, number: int = 1) -> None:
    await sibling._say(pb.ConnectRequest(pods_gone=pb.PodsGone(session_id=session_id, number=number)))
    await sibling.until("update_acknowledgement", lambda a: a.number == number)


async def _until_removed(cluster: Cluster) -> None:
    async def is_removed() -> bool:
        return await cluster.db.read(lambda view: view.get(EXECUTOR, "gone") is None)

    await eventually(is_removed)


async def test_tasks_are_lost_when_the_sibling_has_removed_the_pods() -> None:
    cluster, sibling = Cluster(times=VANISHING), ScriptedExecutor("sibling", dynamic=True)
    async with _with_vanished(cluster, sibling) as (server, run_id):
        clean = (await sibling.until("clean")).clean
        record = await executor_record(cluster, "gone")
        assert (clean.executor_id, clean.session_id) == ("gone", record.session_id)
        assert (record.vanished, list(record.cleaners)) == (True, ["sibling"])
        await server.detector.check()
        assert await status_of(cluster, run_id) == "RUNNING"
        await sibling.confirm(clean.number)
        await _report_gone(sibling, clean.session_id)
        await until_status(cluster, run_id, "LOST")
        await _until_removed(cluster)


async def test_clean_is_sent_again_on_the_next_stream() -> None:
    cluster, sibling = Cluster(times=VANISHING), ScriptedExecutor("sibling")
    async with _with_vanished(cluster, sibling) as (server, run_id):
        first = (await sibling.until("clean")).clean
        await sibling.welcomed(server)
        again = (await sibling.until("clean")).clean
        assert (again.session_id, again.number > first.number) == (first.session_id, True)
        await _report_gone(sibling, again.session_id)
        await until_status(cluster, run_id, "LOST")


async def test_sibling_that_cannot_clean_up_is_not_waited_for() -> None:
    cluster, sibling = Cluster(times=VANISHING), ScriptedExecutor("sibling")
    async with _with_vanished(cluster, sibling) as (_, run_id):
        clean = (await sibling.until("clean")).clean
        await sibling.confirm(clean.number, refused="PODS_NOT_REMOVED")
        await until_status(cluster, run_id, "LOST")


async def test_silent_sibling_is_waited_for_until_its_time_is_over() -> None:
    cluster = Cluster(times=replace(VANISHING, clean_within=timedelta(milliseconds=200)))
    sibling = ScriptedExecutor("sibling")
    async with _with_vanished(cluster, sibling) as (_, run_id):
        await sibling.until("clean")
        await until_status(cluster, run_id, "LOST")
        await _until_removed(cluster)


@pytest.mark.parametrize(
    ("token", "drivers"), [("green", ("sandbox",)), ("blue", ("docker",))], ids=["another-group", "another-driver"]
)
async def test_executor_that_cannot_reach_the_pods_is_not_asked(token: str, drivers: tuple[str, ...]) -> None:
    cluster, other = Cluster(times=VANISHING), ScriptedExecutor("other", token=token)
    async with _with_vanished(cluster, other, drivers=drivers) as (_, run_id):
        await until_status(cluster, run_id, "LOST")
        assert other.of("clean") == []


async def test_report_of_one_that_was_not_asked_changes_nothing() -> None:
    cluster, sibling = Cluster(times=VANISHING), ScriptedExecutor("sibling")
    stranger = ScriptedExecutor("stranger", token="green")
    async with _with_vanished(cluster, sibling) as (server, run_id), leaving(stranger):
        clean = (await sibling.until("clean")).clean
        await stranger.welcomed(server)
        await _report_gone(stranger, clean.session_id)
        await _report_gone(sibling, stranger.session_id)
        assert list((await executor_record(cluster, "gone")).cleaners) == ["sibling"]
        assert await status_of(cluster, run_id) == "RUNNING"


async def test_executor_that_returns_during_the_clean_up_loses_tasks() -> None:
    cluster, sibling = Cluster(times=VANISHING), ScriptedExecutor("sibling")
    async with _with_vanished(cluster, sibling) as (server, run_id):
        clean = (await sibling.until("clean")).clean
        back = ScriptedExecutor("gone", dynamic=True, journal="another")
        async with leaving(back):
            await back.welcomed(server)
            await until_status(cluster, run_id, "LOST")
            await _report_gone(sibling, clean.session_id)
            assert not (await executor_record(cluster, "gone")).vanished
