"""The session of an executor over real gRPC: hello, proof, heartbeats, and who is there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    FailedPrecondition,
    InvalidInput,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from sluiceway_server.datamanager.model import Query
from sluiceway_server.runrecords.types import EXECUTOR
from sluiceway_server.runs.executor_times import ExecutorTimes
from tests.support.conditions import eventually
from tests.support.executor_cluster import TIMES, Cluster, ScriptedExecutor, Server, leaving
from tests.support.executor_runs import (
    began_assigned,
    executor_record,
    until_gone,
    until_live,
)


async def test_hello_is_welcomed_and_heartbeats_are_confirmed(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        welcome = await executor.welcomed(server)
        assert welcome.group == "blue"
        assert welcome.session_secret
        assert welcome.heartbeat_interval.ToTimedelta() == cluster.times.heartbeat_interval
        await executor.heartbeat(7)
        await executor.until("heartbeat_acknowledgement", lambda a: a.number == 7)
        record = await executor_record(cluster)
        assert record.session_id == welcome.session_id
        assert welcome.session_secret.encode() not in record.SerializeToString()
        await until_live(server)
        await executor.leave()
        await until_gone(server)


async def test_first_message_must_be_a_valid_hello(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        error = await executor.refused(server, executor_id="../x", slots=-1, drivers=[], journal_id="")
        assert isinstance(error, InvalidInput)
        assert [v.path for v in error.violations] == ["executor_id", "journal_id", "slots", "drivers"]


async def test_stream_without_a_good_token_is_refused(cluster: Cluster) -> None:
    executor = ScriptedExecutor(token="nobody's")
    async with cluster.server() as server:
        assert isinstance(await executor.refused(server), Unauthenticated)


async def test_hello_without_proof_is_refused_while_session_is_used(
    cluster: Cluster, executor: ScriptedExecutor
) -> None:
    impostor = ScriptedExecutor()
    async with cluster.server() as server:
        await executor.welcomed(server)
        error = await impostor.refused(server)
        assert isinstance(error, AlreadyExists)
        assert error.reason == "SESSION_LIVES"
        # And the first one is not disturbed.
        await executor.heartbeat(1)
        await executor.until("heartbeat_acknowledgement")
        await executor.leave()
        await until_gone(server)
        assert (await impostor.welcomed(server)).session_id != executor.session_id
        # The fenced one comes back, and hears so.
        again = await executor.refused(server)
        assert isinstance(again, FailedPrecondition)
        assert again.reason == "SESSION_FENCED"
        await impostor.leave()


async def test_id_of_another_group_is_refused(cluster: Cluster, executor: ScriptedExecutor) -> None:
    stranger = ScriptedExecutor(token="green")
    async with cluster.server() as server:
        await executor.welcomed(server)
        assert isinstance(await stranger.refused(server), PermissionDenied)


async def test_executor_that_expects_another_group_is_refused(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        error = await executor.refused(server, expected_group="green")
        assert isinstance(error, PermissionDenied)
        assert error.reason == "ANOTHER_GROUP"
        assert error.message == 'the token is of the group "blue", not of "green"'
        assert (await cluster.db.list(EXECUTOR, Query())).records == ()
        assert (await executor.welcomed(server, expected_group="blue")).group == "blue"


async def test_proved_hello_takes_over_and_closes_the_older_stream(
    cluster: Cluster, executor: ScriptedExecutor
) -> None:
    async with cluster.server() as first, cluster.server(scheduler=False) as second:
        welcome = await executor.welcomed(first)
        successor = ScriptedExecutor(session_id=welcome.session_id, session_secret=welcome.session_secret)
        async with leaving(successor):
            assert (await successor.welcomed(second)).session_id == welcome.session_id
            error = await executor.end()
            assert isinstance(error, Conflict)
            assert error.reason == "SESSION_TAKEN_OVER"
            await successor.heartbeat(1)
            await successor.until("heartbeat_acknowledgement")
            presence = second.directory.find("blue", "e1")
            assert presence is not None
            assert presence.server == second.id


async def test_silent_executor_is_disconnected_and_its_key_deleted() -> None:
    cluster = Cluster(times=replace(TIMES, heartbeat_interval=timedelta(milliseconds=50)))
    executor = ScriptedExecutor()
    async with cluster.server() as server:
        await executor.welcomed(server)
        error = await executor.end()
        assert isinstance(error, Unavailable)
        assert error.reason == "HEARTBEATS_MISSED"
        await until_gone(server)


async def test_heartbeats_are_not_confirmed_without_a_valid_lease(executor: ScriptedExecutor) -> None:
    cluster = Cluster(times=replace(TIMES, lease=timedelta(seconds=2)))
    async with cluster.server() as server:
        await executor.welcomed(server)
        _, assign = await began_assigned(server, executor)
        cluster.kv.go_away()

        await executor.heartbeat(1)
        number = 1
        await executor.until("heartbeat_acknowledgement")
        async with asyncio.timeout(30):
            while server.keys.is_valid("blue"):
                number += 1
                await executor.heartbeat(number)
                await asyncio.sleep(0.1)
        last = len(executor.of("heartbeat_acknowledgement"))
        await executor.heartbeat(1000)
        await executor.reported(assign, "RUNNING")  # the server has read both
        cluster.kv.come_back()
        await eventually(lambda: _lease_is_well(server))
        await executor.heartbeat(2000)
        await executor.until("heartbeat_acknowledgement", lambda a: a.number == 2000)
        assert 1000 not in [a.number for a in executor.of("heartbeat_acknowledgement")][last:]


async def _lease_is_well(server: Server) -> bool:
    return server.keys.is_valid("blue")


async def test_siblings_are_sent_when_the_group_changes(cluster: Cluster, executor: ScriptedExecutor) -> None:
    other, stranger = ScriptedExecutor("e2"), ScriptedExecutor("e3", token="green")
    async with cluster.server() as server, leaving(other, stranger):
        await executor.welcomed(server)
        await executor.until("siblings", lambda s: list(s.executor_ids) == [])
        await stranger.welcomed(server)
        await other.welcomed(server)
        await executor.until("siblings", lambda s: list(s.executor_ids) == ["e2"])
        await other.until("siblings", lambda s: list(s.executor_ids) == ["e1"])
        after = len(executor.heard)
        await other.leave()
        await executor.until("siblings", lambda s: list(s.executor_ids) == [], after=after)
        assert not any("e3" in s.executor_ids for s in executor.of("siblings"))


async def test_full_group_accepts_only_executors_it_has(executor: ScriptedExecutor) -> None:
    cluster = Cluster(max_executors=3)
    members = [ScriptedExecutor(f"x{number}") for number in range(2)]
    of_another_group = ScriptedExecutor("other", token="green")
    async with cluster.server() as server, leaving(*members, of_another_group):
        for member in members:
            await member.welcomed(server)
        await executor.welcomed(server)

        late = ScriptedExecutor("late")
        error = await late.refused(server)
        assert (type(error), error.reason) == (Exhausted, "GROUP_FULL")
        assert "sluice executor delete" in error.message
        # One that is known has its place, and another group its own.
        await executor.welcomed(server)
        await of_another_group.welcomed(server)


async def test_vanished_executor_without_assignments_is_removed(
    executor: ScriptedExecutor,
) -> None:
    cluster = Cluster(times=replace(TIMES, vanish_after=timedelta(seconds=1), lost_after=timedelta(seconds=1)))
    used = ScriptedExecutor("used", journal="journal-2")
    async with cluster.server() as server:
        await used.welcomed(server)
        _, assign = await began_assigned(server, used)
        await used.reported(assign, "SUCCESS")
        await executor.welcomed(server)
        for each in (used, executor):
            await each.leave()

        async def is_forgotten() -> bool:
            return await cluster.db.read(lambda view: view.get(EXECUTOR, "e1")) is None

        await eventually(is_forgotten)
        assert await executor_record(cluster, "used") is not None
        # It may come back as a new one.
        executor.session_id = executor.session_secret = ""
        await executor.welcomed(server)


async def test_update_out_of_bounds_is_refused_alone(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        _, assign = await began_assigned(server, executor)
        late = Timestamp(seconds=1 << 60)
        bad = pb.AssignmentUpdate(
            number=501,
            assignment_id=assign.assignment_id,
            epoch=assign.epoch,
            phase=pb.ASSIGNMENT_PHASE_RUNNING,
            steps=[pb.StepUpdate(step=0, phase=run_pb2.STEP_PHASE_RUNNING, start_time=late)],
        )
        good = pb.AssignmentUpdate(number=502, assignment_id=assign.assignment_id, epoch=assign.epoch, phase=bad.phase)
        await executor._say(pb.ConnectRequest(updates=pb.Updates(updates=[bad, good])))

        await executor.until("update_acknowledgement", lambda a: a.number == 502)
        answers = {answer.number: answer for answer in executor.of("update_acknowledgement")}
        assert answers[501].refused.code == "INVALID_UPDATE"
        assert answers[501].refused.message.startswith("steps[0].start_time: ")
        assert not answers[502].HasField("refused")


async def test_message_out_of_bounds_ends_the_stream(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        await executor._say(pb.ConnectRequest(heartbeat=pb.Heartbeat(number=-1)))
        error = await executor.end()
        assert isinstance(error, InvalidInput)
        assert [violation.path for violation in error.violations] == ["heartbeat.number"]


async def test_interval_of_heartbeats_grows_with_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    first, second = ScriptedExecutor("e1"), ScriptedExecutor("e2")
    async with cluster.server() as server, leaving(first, second):
        monkeypatch.setattr(
            ExecutorTimes, "interval_for", lambda times, streams: times.heartbeat_interval * max(1, streams)
        )
        await first.welcomed(server)
        await second.welcomed(server)
        await first.heartbeat(1)
        told = (await first.until("heartbeat_acknowledgement")).heartbeat_acknowledgement
        assert told.heartbeat_interval.ToTimedelta() == cluster.times.heartbeat_interval * 2
        await first.heartbeat(2)
        again = await first.until("heartbeat_acknowledgement", lambda each: each.number == 2)
        assert not again.heartbeat_acknowledgement.HasField("heartbeat_interval")
