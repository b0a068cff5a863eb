"""Id tokens of tasks: real processes for pods, against a scripted server."""

from __future__ import annotations

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.errors import FailedPrecondition
from tests.fakes.executor_server import FakeExecutorServer
from tests.support.executor_process import Start, script

pytestmark = pytest.mark.system


def with_tokens(*steps: str) -> pb.Specification:
    specification = script(*steps)
    specification.id_tokens.extend(["ONE", "TWO"])
    return specification


async def ended(server: FakeExecutorServer) -> pb.AssignmentUpdate:
    await server.until(lambda: server.final_of("a1"))
    await server.until(lambda: all(log.complete for log in server.logs.values()))
    final = server.final_of("a1")
    assert final is not None
    return final


async def test_each_step_gets_tokens_of_its_own(server: FakeExecutorServer, start: Start) -> None:
    await start()
    sums = 'printf %s "$ONE" | cksum; cksum < "$ONE_FILE"; printf %s "$TWO" | cksum'
    server.assign("a1", with_tokens(sums, sums))
    assert (await ended(server)).phase == pb.ASSIGNMENT_PHASE_SUCCESS
    first, second = (server.log_of("a1", step).splitlines() for step in (0, 1))
    assert (first[0], second[0]) == (first[1], second[1])
    assert len({first[0], first[2], second[0], second[2]}) == 4
    assert [request.name for request in server.id_token_requests] == ["ONE", "TWO", "ONE", "TWO"]
    asked = server.id_token_requests[0]
    assert (asked.executor_id, asked.session_id, asked.session_secret) == ("e1", "session-1", "secret-1")
    assert (asked.assignment_id, asked.epoch) == ("a1", pb.Epoch(database=1, attempt=1))


async def test_file_is_replaced_while_a_step_runs(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.refresh_seconds = 0.2
    waits = """
echo "$ONE"; echo "before ${ONE##*.}"
until [ "$(cat "$ONE_FILE")" != "$ONE" ]; do sleep 0.05; done
cat "$ONE_FILE"; echo; stat -c %a "$ONE_FILE"
"""
    server.assign("a1", with_tokens(waits))
    assert (await ended(server)).phase == pb.ASSIGNMENT_PHASE_SUCCESS
    assert server.log_of("a1", 0) == b"***\nbefore ***\n***\n600\n"
    assert len(server.id_tokens) >= 3


async def test_refused_token_fails_the_step(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.id_token_refusal = FailedPrecondition("there is no public URL", reason="PUBLIC_URL_MISSING")
    server.assign("a1", with_tokens("echo never"))
    final = await ended(server)
    assert final.reason.code == "PUBLIC_URL_MISSING"
    assert server.log_of("a1", 0) == b"[sluice] there is no public URL\n"


async def test_stop_ends_the_wait_for_a_token(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.issues_id_tokens.clear()
    server.assign("a1", with_tokens("echo never"))
    await server.until(lambda: server.id_token_requests)
    server.command(stop=pb.Stop(assignment_id="a1", epoch=pb.Epoch(database=1, attempt=1)))
    final = await ended(server)
    assert final.phase == pb.ASSIGNMENT_PHASE_STOPPED
    assert {step.step: step.phase for step in final.steps}[0] == run_pb2.STEP_PHASE_STOPPED
    server.issues_id_tokens.set()


async def test_withheld_tokens_are_named_in_the_setup(server: FakeExecutorServer, start: Start) -> None:
    await start()
    specification = script('echo "[${ONE-unset}]"')
    specification.id_tokens_withheld = "this is a run of a fork"
    server.assign("a1", specification)
    assert (await ended(server)).phase == pb.ASSIGNMENT_PHASE_SUCCESS
    assert server.log_of("a1", 0) == b"[unset]\n"
    assert b"[sluice] no id tokens: this is a run of a fork\n" in server.log_of("a1", -1)
    assert not server.id_token_requests
