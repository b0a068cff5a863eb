"""Logs of real pods as a scripted server gets them over real gRPC."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.errors import FailedPrecondition
from tests.fakes.executor_server import FakeExecutorServer
from tests.support.executor_process import Start, script, until

pytestmark = pytest.mark.system


async def test_secrets_do_not_leave_the_executor(server: FakeExecutorServer, start: Start) -> None:
    secret = b"correct horse battery"
    command = f"printf 'correct ho'; sleep 0.1; echo 'rse battery'; echo {base64.b64encode(secret).decode()}"
    await start()
    server.assign("a1", script(command, masks=(secret,)))
    await server.until(lambda: server.final_of("a1"))
    assert server.log_of("a1", 0).split() == [b"***", b"***"]


async def test_log_has_the_output_byte_for_byte(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.assign("a1", script(r"printf '\000\377\376a\r\n\033[1m'; head -c 300000 /dev/zero"))
    await server.until(lambda: server.final_of("a1"))
    assert server.log_of("a1", 0) == b"\x00\xff\xfea\r\n\x1b[1m" + bytes(300000)


async def test_restarted_server_loses_no_byte_and_ends_no_task(
    server: FakeExecutorServer, start: Start, tmp_path: Path
) -> None:
    await start()
    server.store_logs = False
    gate = tmp_path / "gate"
    server.assign("a1", script(f"seq 1 20000; while [ ! -e {gate} ]; do sleep 0.02; done; seq 20001 30000"))
    expected = b"".join(b"%d\n" % n for n in range(1, 30001))
    half = expected.index(b"20001\n")
    await server.until(lambda: ("a1", 0) in server.logs and len(server.logs["a1", 0].received) == half)
    await server.stop()
    server.store_logs = True
    await server.start()
    await server.until(lambda: len(server.streams) == 2)
    assert server.stream.hello.session_id == "session-1"
    assert server.stream.hello.session_secret == "secret-1"
    assert [held.assignment_id for held in server.stream.hello.held] == ["a1"]
    assert server.stream.hello.held[0].phase == pb.ASSIGNMENT_PHASE_RUNNING
    gate.touch()
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_SUCCESS
    assert server.log_of("a1", 0) == expected


async def test_refused_log_does_not_delay_the_end(server: FakeExecutorServer, start: Start) -> None:
    server.refused_logs.add(("a1", 0))
    await start()
    server.assign("a1", script("echo hi"))
    await server.until(lambda: server.final_of("a1"), seconds=60)


async def test_logs_are_pushed_in_the_session_of_their_assignment(server: FakeExecutorServer, start: Start) -> None:
    await start()
    server.assign("a1", script("echo one"))
    await server.until(lambda: server.final_of("a1"))
    server.refusals.append(FailedPrecondition("vanished", reason="SESSION_FENCED"))
    server.session_id, server.session_secret = "session-2", "secret-2"
    server.break_streams()
    await server.until(lambda: len(server.streams) == 2)
    # The stream of logs is that of the session before.
    server.assign("a2", script("echo two"))
    await server.until(lambda: server.final_of("a2"))
    assert server.log_of("a2", 0) == b"two\n"


async def test_log_ends_at_its_limit_and_the_task_continues(server: FakeExecutorServer, start: Start) -> None:
    await start()
    specification = script("seq 1 100000; echo done >&2", "true")
    specification.log_limit_bytes = 1000
    server.assign("a1", specification)
    await server.until(lambda: server.final_of("a1"))
    final = server.final_of("a1")
    assert final is not None
    assert final.phase == pb.ASSIGNMENT_PHASE_SUCCESS
    log = server.log_of("a1", 0)
    assert log.startswith(b"1\n2\n3\n")
    assert log.endswith(b"[sluice] the log reached its limit of 1000 bytes; what follows is not kept\n")


async def test_log_of_an_earlier_process_replaces_nothing_stored(server: FakeExecutorServer, start: Start) -> None:
    executor = await start()
    server.store_logs = False
    server.assign("a1", script("echo begun; sleep 60"))
    await server.until(lambda: ("a1", 0) in server.logs)
    parts = executor.settings.work_dir / "spool"
    await until(lambda: any(part.read_bytes() == b"begun\n" for part in parts.glob("*/0/*.part")))
    await executor.kill()
    server.store_logs = True
    sent = server.logs["a1", 0].chunks
    before = len(sent)
    await start()
    await server.until(lambda: server.logs["a1", 0].complete)
    assert sent[before:] == [(0, 6), (6, 0)], "bytes and end in one message are all that was ever sent"
