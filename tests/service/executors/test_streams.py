from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeVar

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.executor.v1 import executor_service_pb2_grpc as pb_grpc
from sluiceway.api.run.v1 import run_pb2
from sluiceway.datamanager.model import Query
from sluiceway.foundation.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from sluiceway.foundation.rpc.channel import open_channel
from sluiceway.foundation.rpc.status import error_of
from sluiceway.records.run.v1 import records_pb2 as records
from sluiceway.runmodel.model import Epoch
from sluiceway.runservice.log_store import LogKey, LogStore
from sluiceway.runservice.records import ASSIGNMENT, EXECUTOR, RUN
from sluiceway.runservice.work import tasks_of
from tests.support.conditions import eventually
from tests.support.executor_side import House, ScriptedExecutor, Server, leaving, log_answer
from tests.support.run_engine import request

import grpc.aio  # isort: skip

T = TypeVar("T")


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def executor() -> AsyncIterator[ScriptedExecutor]:
    scripted = ScriptedExecutor()
    yield scripted
    await scripted.leave()


async def _create(server: Server) -> str:
    return (await server.engine.create_run(request(), created_by="admin")).value.run.id


async def _task(house: House, run_id: str) -> run_pb2.Task:
    page = await house.db.read(lambda view: tasks_of(view, run_id))
    return page[0]


async def _status(house: House, run_id: str) -> str:
    return run_pb2.TaskStatus.Name((await _task(house, run_id)).status).removeprefix("TASK_STATUS_")


async def _until_status(house: House, run_id: str, status: str) -> None:
    async def holds() -> bool:
        return await _status(house, run_id) == status

    await eventually(holds)


async def _record(house: House, executor_id: str = "e1") -> records.ExecutorRecord:
    return await house.db.get(EXECUTOR, executor_id)


async def _assigned(server: Server, executor: ScriptedExecutor) -> tuple[str, pb.Assign]:
    """A run whose only task is assigned to a connected executor, and acknowledged."""
    run_id = await _create(server)
    assign = (await executor.until("assign", lambda a: a.specification.run_id == run_id)).assign
    await executor.confirm(assign.number)
    return run_id, assign


# --- hello ------------------------------------------------------------------------------------------------------------


async def test_hello_is_welcomed_and_heartbeats_are_confirmed(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        welcome = await executor.welcomed(server)
        assert welcome.group == "blue"
        assert welcome.session_secret
        assert welcome.heartbeat_interval.ToTimedelta() == house.heartbeat
        await executor.heartbeat(7)
        await executor.until("heartbeat_acknowledgement", lambda a: a.number == 7)
        record = await _record(house)
        assert record.session_id == welcome.session_id
        assert welcome.session_secret.encode() not in record.SerializeToString()
        await eventually(lambda: _is_live(server, "e1"))
        await executor.leave()
        await eventually(lambda: _is_gone(server, "e1"))


async def _is_live(server: Server, executor_id: str) -> bool:
    return executor_id in server.directory.members("blue")


async def _is_gone(server: Server, executor_id: str) -> bool:
    return executor_id not in server.directory.members("blue")


async def test_first_message_must_be_a_possible_hello(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        error = await executor.refused(server, executor_id="../x", slots=-1, drivers=[], journal_id="")
        assert isinstance(error, InvalidInput)
        assert [v.path for v in error.violations] == ["executor_id", "journal_id", "slots", "drivers"]


async def test_stream_without_a_good_token_is_refused(house: House) -> None:
    executor = ScriptedExecutor(token="nobody's")
    async with house.server() as server:
        assert isinstance(await executor.refused(server), Unauthenticated)


async def test_second_hello_without_proof_is_refused_while_the_session_lives(
    house: House, executor: ScriptedExecutor
) -> None:
    impostor = ScriptedExecutor()
    async with house.server() as server:
        await executor.welcomed(server)
        error = await impostor.refused(server)
        assert isinstance(error, AlreadyExists)
        assert error.reason == "SESSION_LIVES"
        # And the first one is not disturbed.
        await executor.heartbeat(1)
        await executor.until("heartbeat_acknowledgement")
        await executor.leave()
        await eventually(lambda: _is_gone(server, "e1"))
        assert (await impostor.welcomed(server)).session_id != executor.session_id
        # The fenced one comes back, and hears so.
        again = await executor.refused(server)
        assert isinstance(again, FailedPrecondition)
        assert again.reason == "SESSION_FENCED"
        await impostor.leave()


async def test_id_of_another_group_is_refused(house: House, executor: ScriptedExecutor) -> None:
    stranger = ScriptedExecutor(token="green")
    async with house.server() as server:
        await executor.welcomed(server)
        assert isinstance(await stranger.refused(server), PermissionDenied)


async def test_an_executor_that_expects_another_group_is_refused_before_it_is_known(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as server:
        error = await executor.refused(server, expected_group="green")
        assert isinstance(error, PermissionDenied)
        assert error.reason == "ANOTHER_GROUP"
        assert error.message == 'the token is of the group "blue", not of "green"'
        assert (await house.db.list(EXECUTOR, Query())).records == ()
        assert (await executor.welcomed(server, expected_group="blue")).group == "blue"


async def test_proof_takes_over_at_once_and_the_older_stream_is_closed(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as first, house.server(placer=False) as second:
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


async def test_silent_executor_is_cut_and_its_key_goes() -> None:
    house = House(heartbeat=timedelta(milliseconds=50))
    executor = ScriptedExecutor()
    async with house.server() as server:
        await executor.welcomed(server)
        error = await executor.end()
        assert isinstance(error, Unavailable)
        assert error.reason == "HEARTBEATS_MISSED"
        await eventually(lambda: _is_gone(server, "e1"))


async def test_heartbeats_are_not_confirmed_while_the_lease_is_in_doubt(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        house.kv.go_away()

        async def is_in_doubt() -> bool:
            return not server.keys.is_well("blue")

        await executor.heartbeat(1)
        number = 1
        await executor.until("heartbeat_acknowledgement")
        async with asyncio.timeout(10):
            while server.keys.is_well("blue"):
                number += 1
                await executor.heartbeat(number)
                await asyncio.sleep(0.1)
        last = len(executor.of("heartbeat_acknowledgement"))
        await executor.heartbeat(1000)
        house.kv.come_back()
        await eventually(lambda: _lease_is_well(server))
        await executor.heartbeat(2000)
        await executor.until("heartbeat_acknowledgement", lambda a: a.number == 2000)
        assert 1000 not in [a.number for a in executor.of("heartbeat_acknowledgement")][last:]


async def _lease_is_well(server: Server) -> bool:
    return server.keys.is_well("blue")


async def test_siblings_are_told_when_the_group_changes(house: House, executor: ScriptedExecutor) -> None:
    other, stranger = ScriptedExecutor("e2"), ScriptedExecutor("e3", token="green")
    async with house.server() as server, leaving(other, stranger):
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


# --- assignments ------------------------------------------------------------------------------------------------------


async def test_task_is_assigned_run_and_released(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        run_id, assign = await _assigned(server, executor)
        assert assign.specification.task_name == "build"
        for phase in ("ACCEPTED", "RUNNING", "SUCCESS"):
            assert not (await executor.reported(assign, phase)).HasField("refused")
        assert await _status(house, run_id) == "SUCCESS"
        assert (await house.db.get(RUN, run_id)).run.result == run_pb2.RUN_RESULT_SUCCESS
        release = (await executor.until("release")).release
        assert release.assignment_id == assign.assignment_id
        assert release.number > assign.number


async def test_assign_is_sent_again_until_it_is_acknowledged(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        await _create(server)
        first = (await executor.until("assign")).assign
        again = (await executor.until("assign", after=len(executor.heard))).assign
        assert again == first
        await executor.confirm(first.number)
        await executor.heartbeat(1)
        await executor.until("heartbeat_acknowledgement")
        count = len(executor.of("assign"))
        await asyncio.sleep(house.again_after.total_seconds() * 3)
        assert len(executor.of("assign")) == count


async def test_assign_that_never_arrived_is_sent_again_after_a_reconnection_with_a_higher_number(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        run_id = await _create(server)
        first = (await executor.until("assign")).assign
        await executor.leave()
        await executor.welcomed(server)
        again = (await executor.until("assign")).assign
        assert (again.assignment_id, again.epoch) == (first.assignment_id, first.epoch)
        assert again.number > first.number
        assert await _status(house, run_id) == "RUNNING"


async def test_assign_that_the_executor_refuses_is_lost(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        run_id = await _create(server)
        assign = (await executor.until("assign")).assign
        await executor.confirm(assign.number, refused="NO_SLOT")
        await _until_status(house, run_id, "LOST")
        assert (await _task(house, run_id)).reason.message == "it cannot be done"


async def test_update_that_comes_twice_is_acknowledged_without_effect(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        run_id, assign = await _assigned(server, executor)
        await executor.reported(assign, "RUNNING", number=1)
        await executor.reported(assign, "SUCCESS", number=2)
        position = house.db.position
        for number, phase in ((1, "RUNNING"), (2, "SUCCESS")):
            answer = await executor.reported(assign, phase, number=number)
            assert not answer.HasField("refused")
        assert house.db.position == position
        assert await _status(house, run_id) == "SUCCESS"


async def test_update_of_an_old_epoch_is_refused_in_its_acknowledgement(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        run_id, assign = await _assigned(server, executor)
        answer = await executor.reported(assign, "FAILED", attempt=7)
        assert answer.refused.code == "STALE_EPOCH"
        assert await _status(house, run_id) == "RUNNING"
        # The stream goes on.
        assert not (await executor.reported(assign, "SUCCESS")).HasField("refused")


async def test_update_of_an_assignment_of_another_is_refused(house: House, executor: ScriptedExecutor) -> None:
    other = ScriptedExecutor("e2", slots=1)
    async with house.server() as server, leaving(other):
        await executor.welcomed(server)
        run_id, assign = await _assigned(server, executor)
        await other.welcomed(server)
        answer = await other.reported(assign, "SUCCESS")
        assert answer.refused.code == "UNKNOWN_ASSIGNMENT"
        assert await _status(house, run_id) == "RUNNING"


async def test_stop_of_a_run_reaches_the_executor(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        run_id, assign = await _assigned(server, executor)
        await server.engine.stop_run(run_id, by="admin")
        stop = (await executor.until("stop")).stop
        assert (stop.assignment_id, stop.epoch, stop.discard) == (assign.assignment_id, assign.epoch, False)
        # It is told again at the next hello.
        await executor.confirm(stop.number)
        executor.hold(assign, "RUNNING")
        await executor.leave()
        await executor.welcomed(server)
        assert (await executor.until("stop")).stop.assignment_id == assign.assignment_id
        await executor.reported(assign, "STOPPED")
        assert await _status(house, run_id) == "STOPPED"


async def test_assignment_that_the_server_gave_up_is_to_be_discarded(house: House, executor: ScriptedExecutor) -> None:
    from sluiceway.runmodel.model import Reason

    async with house.server() as server:
        await executor.welcomed(server)
        run_id, assign = await _assigned(server, executor)
        await server.engine.mark_lost([assign.assignment_id], Reason("operator", "because"))
        stop = (await executor.until("stop")).stop
        assert stop.discard
        assert await _status(house, run_id) == "LOST"


async def test_restarted_server_goes_on_with_running_tasks_and_loses_nothing(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as first:
        await executor.welcomed(first)
        run_id, assign = await _assigned(first, executor)
        await executor.reported(assign, "RUNNING")
        await first.die()
        await executor.leave()
        executor.hold(assign, "RUNNING")
        async with house.server() as second:
            # The key of the dead server still is there; the proof takes it over.
            await executor.welcomed(second)
            assert await _status(house, run_id) == "RUNNING"
            assert executor.of("stop") == []
            assert not (await executor.reported(assign, "SUCCESS")).HasField("refused")
            assert await _status(house, run_id) == "SUCCESS"


async def test_assignment_that_a_restarted_executor_no_longer_has_is_lost(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        run_id, assign = await _assigned(server, executor)
        await executor.reported(assign, "RUNNING")
        await executor.leave()
        await executor.welcomed(server)
        await _until_status(house, run_id, "LOST")


async def test_assignment_that_nobody_knows_is_discarded(house: House, executor: ScriptedExecutor) -> None:
    executor.held.append(
        pb.HeldAssignment(
            assignment_id="unknown", epoch=pb.Epoch(database=1, attempt=1), phase=pb.ASSIGNMENT_PHASE_RUNNING
        )
    )
    async with house.server() as server:
        await executor.welcomed(server)
        stop = (await executor.until("stop")).stop
        assert (stop.assignment_id, stop.discard) == ("unknown", True)


async def test_ended_assignment_that_was_not_released_is_released_at_the_next_hello(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        _, assign = await _assigned(server, executor)
        await executor.reported(assign, "SUCCESS")
        await executor.leave()
        executor.hold(assign, "SUCCESS")
        await executor.welcomed(server)
        assert (await executor.until("release")).release.assignment_id == assign.assignment_id


async def test_executor_that_stays_away_loses_its_assignments_and_is_fenced(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        run_id, assign = await _assigned(server, executor)
        await executor.reported(assign, "RUNNING")
        executor.hold(assign, "RUNNING")
        await executor.leave()
        await _until_status(house, run_id, "LOST")
        assert (await _record(house)).vanished
        error = await executor.refused(server)
        assert error.reason == "SESSION_FENCED"
        executor.session_id = executor.session_secret = ""
        executor.held.clear()
        await executor.welcomed(server)
        assert not (await _record(house)).vanished


async def test_executor_that_comes_back_in_time_loses_nothing(executor: ScriptedExecutor) -> None:
    house = House(lost_after=timedelta(minutes=15))
    async with house.server() as server:
        await executor.welcomed(server)
        run_id, assign = await _assigned(server, executor)
        await executor.reported(assign, "RUNNING")
        await executor.leave()
        await eventually(lambda: _is_gone(server, "e1"))
        await server.lost.look()
        executor.hold(assign, "RUNNING")
        await executor.welcomed(server)
        await executor.reported(assign, "SUCCESS")
        assert await _status(house, run_id) == "SUCCESS"


async def test_dynamic_executor_that_vanished_leaves_the_list(house: House) -> None:
    executor = ScriptedExecutor(dynamic=True)
    async with house.server() as server:
        await executor.welcomed(server)
        await executor.leave()

        async def is_forgotten() -> bool:
            try:
                await _record(house)
            except NotFound:
                return True
            return False

        await eventually(is_forgotten)


async def test_specification_is_built_again_for_its_holder_only(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        _, assign = await _assigned(server, executor)
        async with open_channel(f"127.0.0.1:{server.port}", token="blue") as channel:
            stub = pb_grpc.ExecutorServiceStub(channel)
            asked = pb.GetSpecificationRequest(
                executor_id="e1",
                session_id=executor.session_id,
                session_secret=executor.session_secret,
                assignment_id=assign.assignment_id,
                epoch=assign.epoch,
            )
            answer = await stub.GetSpecification(asked)
            assert answer.specification == assign.specification
            for change, reason in (
                ({"session_secret": "guess"}, "SESSION_FENCED"),
                ({"epoch": pb.Epoch(database=1, attempt=2)}, "STALE_EPOCH"),
                ({"assignment_id": "other"}, "NOT_FOUND"),
            ):
                wrong = pb.GetSpecificationRequest()
                wrong.CopyFrom(asked)
                wrong.MergeFrom(pb.GetSpecificationRequest(**change))
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.GetSpecification(wrong)
                assert error_of(caught.value).reason == reason
            await executor.reported(assign, "SUCCESS")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetSpecification(asked)
            assert error_of(caught.value).reason == "ASSIGNMENT_FINAL"


# --- logs -------------------------------------------------------------------------------------------------------------


async def test_logs_of_an_assignment_are_followed_and_survive_a_killed_server(
    house: House, executor: ScriptedExecutor
) -> None:
    async with house.server() as first, house.server(placer=False) as second:
        await executor.welcomed(first)
        run_id, assign = await _assigned(first, executor)
        await executor.reported(assign, "RUNNING")
        task_id = assign.specification.task_id
        log = pb.LogReference(assignment_id=assign.assignment_id, step=0)

        def chunk(offset: int, data: bytes, *, end: bool = False) -> pb.PushLogsRequest:
            return pb.PushLogsRequest(
                executor_id="e1",
                session_id=executor.session_id,
                session_secret=executor.session_secret,
                log=log,
                offset=offset,
                data=data,
                end=end,
            )

        async def follow() -> bytes:
            return b"".join([c.data async for c in second.logs.read(run_id, task_id, step=0, follow=True)])

        following = asyncio.create_task(follow())
        async with open_channel(f"127.0.0.1:{first.port}", token="blue") as channel:
            push = pb_grpc.ExecutorServiceStub(channel).PushLogs()
            await push.write(chunk(0, b"stored "))
            answer = await log_answer(push)
            while answer.stored_offset < 7:
                answer = await log_answer(push)
            house.storage.hold()
            await push.write(chunk(7, b"only in memory "))
            seen = [c async for c in _take(first.logs.read(run_id, task_id, step=0, offset=7, follow=True), 1)]
            assert seen[0].data == b"only in memory "
            await first.die()
            house.storage.release()
        async with open_channel(f"127.0.0.1:{second.port}", token="blue") as channel:
            push = pb_grpc.ExecutorServiceStub(channel).PushLogs()
            await push.write(chunk(22, b"and the end"))
            answer = await log_answer(push)
            assert answer.stored_offset == 7
            while not answer.rewind:
                answer = await log_answer(push)
            await push.write(chunk(7, b"only in memory "))
            await push.write(chunk(22, b"and the end", end=True))
            while not answer.complete:
                answer = await log_answer(push)
            await push.done_writing()
            assert await push.read() is grpc.aio.EOF
        async with asyncio.timeout(10):
            assert await following == b"stored only in memory and the end"
        index = await LogStore(house.storage, house.clock).compose(LogKey(task_id, Epoch(1, 1), 0))
        assert index.size == 33


async def _take(chunks: AsyncIterator[T], count: int) -> AsyncIterator[T]:
    async for chunk in chunks:
        yield chunk
        count -= 1
        if not count:
            return


async def test_logs_without_the_session_are_refused(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        async with open_channel(f"127.0.0.1:{server.port}", token="blue") as channel:
            push = pb_grpc.ExecutorServiceStub(channel).PushLogs()
            await push.write(
                pb.PushLogsRequest(executor_id="e1", session_id=executor.session_id, session_secret="guess")
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await push.read()
            assert error_of(caught.value).reason == "SESSION_FENCED"


async def test_storage_that_hangs_does_not_delay_heartbeats(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        _, assign = await _assigned(server, executor)
        house.storage.hold()
        async with open_channel(f"127.0.0.1:{server.port}", token="blue") as channel:
            push = pb_grpc.ExecutorServiceStub(channel).PushLogs()
            await push.write(
                pb.PushLogsRequest(
                    executor_id="e1",
                    session_id=executor.session_id,
                    session_secret=executor.session_secret,
                    log=pb.LogReference(assignment_id=assign.assignment_id, step=0),
                    data=b"waits",
                )
            )
            for number in range(1, 6):
                await executor.heartbeat(number)
                await executor.until("heartbeat_acknowledgement", lambda a, n=number: a.number == n)  # type: ignore[misc]
            house.storage.release()
            answer = await log_answer(push)
            while answer.stored_offset < 5:
                answer = await log_answer(push)


async def test_no_assignment_is_left_live(house: House, executor: ScriptedExecutor) -> None:
    async with house.server() as server:
        await executor.welcomed(server)
        for _ in range(3):
            _, assign = await _assigned(server, executor)
            await executor.reported(assign, "SUCCESS")
        page = await house.db.list(ASSIGNMENT, Query(where={"live": 1}))
        assert page.records == ()
