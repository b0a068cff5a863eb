"""A database that was recovered without its last moments: nothing starts twice, and nothing of before has an effect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway_common.foundation.errors import NotFound, Unavailable
from sluiceway_common.foundation.rpc.channel import open_channel
from sluiceway_common.foundation.rpc.status import error_of
from sluiceway_server.datamanager.model import Position, Put
from sluiceway_server.logs.owners import StoredLogOwners
from sluiceway_server.runrecords.types import ASSIGNMENT, EXECUTOR, PLACER, PLACER_ID
from sluiceway_server.runs.explainer import Explainer
from tests.support.conditions import eventually
from tests.support.executor_cluster import TIMES, Cluster, ScriptedExecutor, Server
from tests.support.executor_runs import (
    assigned,
    began_assigned,
    begin_run,
    delete_executor,
    executor_record,
    status_of,
    until_gone,
    until_status,
)

import grpc.aio  # isort: skip


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(times=replace(TIMES, lost_after=timedelta(minutes=15)))


@pytest.fixture
async def other() -> AsyncIterator[ScriptedExecutor]:
    scripted = ScriptedExecutor("e2", journal="journal-2")
    yield scripted
    await scripted.leave()


async def _assignments(cluster: Cluster, run_id: str) -> list[records.AssignmentRecord]:
    return await cluster.db.read(lambda view: [each for _, each in view.scan(ASSIGNMENT) if each.run_id == run_id])


async def _until_held(cluster: Cluster, *, open_: bool = False) -> None:
    async def holds() -> bool:
        record = await cluster.db.get(PLACER, PLACER_ID)
        return (record.open_epoch if open_ else record.held_epoch) == cluster.db.epoch

    await eventually(holds)


async def _explained(cluster: Cluster, server: Server, run_id: str) -> list[run_pb2.Reason]:
    explainer = Explainer(server.directory, cluster.clock, times=cluster.times)
    told = await cluster.db.read(lambda view: explainer.explain_run(view, run_id))
    assert isinstance(told, service_api.RunExplanation)
    return [reason for task in told.tasks for reason in task.reasons]


async def _known(server: Server, executor: ScriptedExecutor) -> None:
    """The database knows the executor, which has run something, and it is away."""
    await executor.welcomed(server)
    _, assign = await began_assigned(server, executor)
    await executor.reported(assign, "SUCCESS")
    await executor.until("release")
    await executor.leave()
    await until_gone(server, executor.id)


async def _waiting_run(cluster: Cluster, server: Server, executor: ScriptedExecutor) -> tuple[str, Position]:
    """A run that waits for an executor that is away; and the position up to which the storage has the log."""
    await _known(server, executor)
    run_id = await begin_run(server)
    await until_status(cluster, run_id, "NOT_STARTED")
    return run_id, cluster.db.position


async def _recover(cluster: Cluster, server: Server, executor: ScriptedExecutor, to: Position) -> None:
    """etcd is lost with all that came after a position."""
    await server.die()
    await executor.leave()
    cluster.db.recover(to)
    cluster.kv.wipe(cluster_id=2)


@asynccontextmanager
async def _recovered_before(
    cluster: Cluster, executor: ScriptedExecutor, *, reported: str = ""
) -> AsyncIterator[tuple[Server, str, pb.Assign]]:
    """A new server on a database that was recovered to just before a run was assigned; with the run, and what is void.

    Args:
        reported: the phase that the executor had reported of it, if any.
    """
    async with cluster.server() as first:
        run_id, kept = await _waiting_run(cluster, first, executor)
        await executor.welcomed(first)
        void = await assigned(executor)
        if reported:
            await executor.reported(void, reported)
        await _recover(cluster, first, executor, kept)
        async with cluster.server() as second:
            yield second, run_id, void


async def test_running_assignment_is_adopted_and_starts_once(
    cluster: Cluster, executor: ScriptedExecutor, other: ScriptedExecutor
) -> None:
    async with cluster.server() as first:
        run_id, kept = await _waiting_run(cluster, first, executor)
        assert (await executor.welcomed(first)).database_epoch == 1
        assign = await assigned(executor)
        await executor.reported(assign, "RUNNING")
        await _recover(cluster, first, executor, kept)
        assert await status_of(cluster, run_id) == "NOT_STARTED"
        async with cluster.server() as second:
            await other.welcomed(second)
            await _until_held(cluster)
            assert await status_of(cluster, run_id) == "NOT_STARTED"
            assert other.of("assign") == []
            executor.hold(assign, "RUNNING")
            assert (await executor.welcomed(second)).database_epoch == 2
            await until_status(cluster, run_id, "RUNNING")
            await _until_held(cluster, open_=True)
            assert not (await executor.reported(assign, "SUCCESS")).HasField("refused")
            assert await status_of(cluster, run_id) == "SUCCESS"
            (assignment,) = await _assignments(cluster, run_id)
            assert (assignment.id, assignment.epoch) == (assign.assignment_id, assign.epoch)
            assert (executor.of("assign"), executor.of("stop"), other.of("assign")) == ([], [], [])


async def test_assignment_that_ended_is_adopted_and_reported(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with _recovered_before(cluster, executor, reported="SUCCESS") as (second, run_id, assign):
        executor.hold(assign, "SUCCESS")
        await executor.welcomed(second)
        await until_status(cluster, run_id, "RUNNING")
        await executor.reported(assign, "SUCCESS")
        assert await status_of(cluster, run_id) == "SUCCESS"
        assert len(await _assignments(cluster, run_id)) == 1
        assert (await executor.until("release")).release.assignment_id == assign.assignment_id
        assert executor.of("assign") == []


async def test_acknowledged_end_that_was_lost_is_reported_again(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as first:
        await executor.welcomed(first)
        run_id = await begin_run(first)
        assign = await assigned(executor)
        await executor.reported(assign, "RUNNING")
        kept = cluster.db.position
        await executor.reported(assign, "FAILED")
        assert await status_of(cluster, run_id) == "FAILED"
        await _recover(cluster, first, executor, kept)
        assert await status_of(cluster, run_id) == "RUNNING"
        async with cluster.server() as second:
            executor.hold(assign, "FAILED")
            await executor.welcomed(second)
            assert not (await executor.reported(assign, "FAILED")).HasField("refused")
            assert await status_of(cluster, run_id) == "FAILED"


async def test_held_run_names_the_executors_it_waits_for(
    cluster: Cluster, executor: ScriptedExecutor, other: ScriptedExecutor
) -> None:
    async with cluster.server() as first:
        await _known(first, other)
        run_id, kept = await _waiting_run(cluster, first, executor)
        await _recover(cluster, first, executor, kept)
        async with cluster.server() as second:
            await other.welcomed(second)
            await _until_held(cluster)

            async def names_only_the_missing() -> bool:
                (reason,) = await _explained(cluster, second, run_id)
                return "Not heard of yet: e1;" in reason.message

            await eventually(names_only_the_missing)
            (reason,) = await _explained(cluster, second, run_id)
            assert reason.code == "WAITS_FOR_RECOVERY"
            record = await cluster.db.get(PLACER, PLACER_ID)
            wait = record.held_until.ToDatetime() - record.held_since.ToDatetime()
            assert abs(wait - cluster.times.lost_after) < timedelta(seconds=30)
            assert f"{record.held_until.ToDatetime():%Y-%m-%d %H:%M:%SZ}" in reason.message
            assert "sluice executor delete e1" in reason.message
            assert await status_of(cluster, run_id) == "NOT_STARTED"

            await executor.welcomed(second)
            await until_status(cluster, run_id, "RUNNING")
            assert await cluster.db.read(lambda view: view.get(PLACER, PLACER_ID)) is not None
            assert not (await cluster.db.get(PLACER, PLACER_ID)).HasField("held_until")


async def test_deleted_executor_is_not_waited_for_in_a_new_epoch(
    cluster: Cluster, executor: ScriptedExecutor, other: ScriptedExecutor
) -> None:
    async with cluster.server() as first:
        await _known(first, other)
        run_id, kept = await _waiting_run(cluster, first, executor)
        await _recover(cluster, first, executor, kept)
        async with cluster.server() as second:
            await other.welcomed(second)
            await _until_held(cluster)
            await delete_executor(cluster.db, "e1")
            await until_status(cluster, run_id, "RUNNING")
            assert (await assigned(other)).specification.run_id == run_id


async def test_missing_executor_is_waited_for_until_lost_after(
    executor: ScriptedExecutor, other: ScriptedExecutor
) -> None:
    cluster = Cluster(times=replace(TIMES, lost_after=timedelta(seconds=1)))
    async with cluster.server() as first:
        await _known(first, other)
        run_id, kept = await _waiting_run(cluster, first, executor)
        await executor.welcomed(first)
        assign = await assigned(executor)
        await _recover(cluster, first, executor, kept)
        async with cluster.server() as second:
            await other.welcomed(second)
            await _until_held(cluster)
            await until_status(cluster, run_id, "RUNNING")
            (assignment,) = await _assignments(cluster, run_id)
            assert (assignment.executor_id, assignment.epoch) == ("e2", pb.Epoch(database=2, attempt=1))
            # Its pods have ended by now, fed by nobody; what it still holds is not wanted.
            executor.hold(assign, "RUNNING")
            if (await cluster.db.get(EXECUTOR, "e1")).vanished:
                assert (await executor.refused(second)).reason == "SESSION_FENCED"
            else:
                await executor.welcomed(second)
                assert (await executor.until("stop")).stop.discard
            assert len(await _assignments(cluster, run_id)) == 1


async def test_assignment_replaced_by_another_attempt_is_discarded(
    cluster: Cluster, executor: ScriptedExecutor
) -> None:
    async with _recovered_before(cluster, executor) as (second, run_id, assign):
        # It comes back without what it held, is given the task again, and then remembers.
        await executor.welcomed(second)
        new = await assigned(executor)
        assert new.assignment_id != assign.assignment_id
        assert new.epoch == pb.Epoch(database=2, attempt=1)
        await executor.reported(new, "RUNNING")
        await executor.leave()
        executor.hold(assign, "RUNNING")
        executor.hold(new, "RUNNING")
        await executor.welcomed(second)
        stop = (await executor.until("stop")).stop
        assert (stop.assignment_id, stop.discard) == (assign.assignment_id, True)
        assert await status_of(cluster, run_id) == "RUNNING"
        (assignment,) = await _assignments(cluster, run_id)
        assert assignment.id == new.assignment_id


@pytest.mark.parametrize("phase", ["ACCEPTED", "RUNNING", "SUCCESS", "FAILED", "LOST"])
async def test_report_on_a_void_assignment_has_no_effect(
    phase: str, cluster: Cluster, executor: ScriptedExecutor
) -> None:
    async with _recovered_before(cluster, executor) as (second, run_id, void):
        await executor.welcomed(second)
        new = await assigned(executor)
        answer = await executor.reported(void, phase)
        assert answer.refused.code == "UNKNOWN_ASSIGNMENT"
        # Nor when it lies about which assignment it is of.
        mixed = pb.Assign(assignment_id=new.assignment_id, epoch=void.epoch)
        answer = await executor.reported(mixed, phase)
        assert not answer.HasField("refused") or answer.refused.code == "STALE_EPOCH"
        assert await status_of(cluster, run_id) == "RUNNING"
        (assignment,) = await _assignments(cluster, run_id)
        assert assignment.phase in (pb.ASSIGNMENT_PHASE_ASSIGNED, pb.ASSIGNMENT_PHASE_ACCEPTED)


async def test_specification_of_a_void_assignment_is_refused(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with _recovered_before(cluster, executor) as (second, _, void):
        await executor.welcomed(second)
        async with open_channel(f"127.0.0.1:{second.port}", token=executor.token) as channel:
            asked = pb.GetSpecificationRequest(
                executor_id=executor.id,
                session_id=executor.session_id,
                session_secret=executor.session_secret,
                assignment_id=void.assignment_id,
                epoch=void.epoch,
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pb_grpc.ExecutorServiceStub(channel).GetSpecification(asked)
        assert isinstance(error_of(caught.value), NotFound)


async def test_acknowledgement_of_an_earlier_command_has_no_effect(
    cluster: Cluster, executor: ScriptedExecutor
) -> None:
    async with cluster.server() as first:
        run_id, kept = await _waiting_run(cluster, first, executor)
        await executor.welcomed(first)
        void = (await executor.until("assign")).assign
        await _recover(cluster, first, executor, kept)
        async with cluster.server() as second:
            await executor.welcomed(second)
            new = (await executor.until("assign")).assign
            assert new.number > void.number
            # A refusal of the void one must not lose the new one.
            await executor.confirm(void.number, refused="NO_SLOT")
            await executor.confirm(new.number)
            assert not (await executor.reported(new, "RUNNING")).HasField("refused")
            assert await status_of(cluster, run_id) == "RUNNING"


async def test_session_that_the_database_lost_begins_and_settles(cluster: Cluster, executor: ScriptedExecutor) -> None:
    async with cluster.server() as first:
        run_id = await begin_run(first)
        kept = cluster.db.position
        old = await executor.welcomed(first)
        assign = await assigned(executor)
        await executor.reported(assign, "RUNNING")
        await _recover(cluster, first, executor, kept)
        assert await cluster.db.read(lambda view: view.get(EXECUTOR, "e1")) is None
        async with cluster.server() as second:
            executor.hold(assign, "RUNNING")
            new = await executor.welcomed(second)
            assert new.session_id != old.session_id
            # Nobody could be waited for whom the database did not know. That is why an executor is sent its first
            # assignment only when its record is in the object storage: this one could not have been given anything.
            await until_status(cluster, run_id, "RUNNING")


async def test_first_assignment_is_sent_after_its_record_is_durable(
    cluster: Cluster, executor: ScriptedExecutor
) -> None:
    async with cluster.server() as server:
        await executor.welcomed(server)
        assert (await executor_record(cluster)).use == records.EXECUTOR_USE_NONE
        cluster.db.storage_is_there.clear()
        run_id = await begin_run(server)
        await until_status(cluster, run_id, "RUNNING")
        assert (await executor_record(cluster)).use == records.EXECUTOR_USE_FIRST
        await executor.heartbeat(1)
        await executor.until("heartbeat_acknowledgement")
        assert executor.of("assign") == []

        # So it is when its stream broke meanwhile.
        await executor.leave()
        await until_gone(server)
        await executor.welcomed(server)
        await executor.heartbeat(1)
        await executor.until("heartbeat_acknowledgement")
        assert executor.of("assign") == []

        cluster.db.storage_is_there.set()
        assign = await assigned(executor, run_id)
        assert (await executor_record(cluster)).use == records.EXECUTOR_USE_UNSPECIFIED
        await executor.reported(assign, "SUCCESS")

        # Later ones need no storage, on another stream neither.
        cluster.db.storage_is_there.clear()
        _, second = await began_assigned(server, executor)
        await executor.reported(second, "SUCCESS")
        await executor.leave()
        await executor.welcomed(server)
        await began_assigned(server, executor)
        cluster.db.storage_is_there.set()


async def test_executors_without_any_assignment_are_not_waited_for(
    cluster: Cluster, executor: ScriptedExecutor
) -> None:
    invented = [ScriptedExecutor(f"invented-{n}", journal=f"journal-{n}", slots=0) for n in range(5)]
    async with cluster.server() as first:
        await _known(first, executor)
        for each in invented:
            await each.welcomed(first)
        for each in invented:
            await each.leave()
        run_id, kept = await begin_run(first), cluster.db.position
        await _recover(cluster, first, executor, kept)
        async with cluster.server() as second:
            await _until_held(cluster)
            assert await status_of(cluster, run_id) == "NOT_STARTED"
            await executor.welcomed(second)
            assert (await assigned(executor)).specification.run_id == run_id


async def test_log_is_not_refused_before_its_executor_settled(
    cluster: Cluster,
) -> None:
    owners = StoredLogOwners(cluster.db)

    def settled_in(epoch: int) -> records.ExecutorRecord:
        return records.ExecutorRecord(group="blue", session_id="s", settled_epoch=epoch)

    async def store(record: records.ExecutorRecord) -> None:
        await cluster.db.commit([Put(EXECUTOR, "e1", record)])

    await store(settled_in(1))
    cluster.db.recover(cluster.db.position)
    with pytest.raises(Unavailable) as early:
        await owners.key_of("e1", "s", "void", 0)
    assert early.value.reason == "NOT_SETTLED"
    await store(settled_in(2))
    with pytest.raises(NotFound):
        await owners.key_of("e1", "s", "void", 0)
