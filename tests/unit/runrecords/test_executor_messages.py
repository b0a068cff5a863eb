"""The bounds of what an executor may say: one row for each field."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_server.runrecords.executor_messages import (
    MAX_STEPS,
    check_hello,
    check_message,
    check_push,
    update_fault,
)

ID = "01a22bda-899d-7ea3-94c1-cb38d0955f7b"
ESCAPE, BIDI = "\x1b[2J", "\u202e"
HELLO: dict[str, Any] = {
    "executor_id": "e1",
    "session_id": ID,
    "session_secret": "s3cr3t_-",
    "journal_id": "0123456789abcdef",
    "version": "0.1.0 (Debian)",
    "archs": ["amd64", "arm64"],
    "labels": {"zone": "b", "kubernetes.io/os": "linux", "empty": "", "name": "Prüfstand 7"},
    "slots": 4,
    "drivers": ["sandbox"],
    "expected_group": "blue/builds",
    "held": [pb.HeldAssignment(assignment_id=ID, run_id=ID, task_id=ID, epoch=pb.Epoch(database=1, attempt=1))],
}


def test_valid_hello_is_accepted() -> None:
    check_hello(pb.Hello(**HELLO))
    check_hello(pb.Hello(**{**HELLO, "session_id": "", "session_secret": "", "version": "", "held": []}))


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("executor_id", "", "executor_id"),
        ("executor_id", "e" * 101, "executor_id"),
        ("executor_id", "../x", "executor_id"),
        ("session_id", "x" * 65, "session_id"),
        ("session_id", ESCAPE, "session_id"),
        ("session_secret", "x" * 101, "session_secret"),
        ("session_secret", "a b", "session_secret"),
        ("journal_id", "", "journal_id"),
        ("journal_id", "j" * 3_000_000, "journal_id"),
        ("journal_id", f"j{ESCAPE}", "journal_id"),
        ("version", "1" * 101, "version"),
        ("version", f"1{ESCAPE}", "version"),
        ("version", f"1{BIDI}", "version"),
        ("version", "1\n2", "version"),
        ("archs", ["amd64"] * 17, "archs"),
        ("archs", ["amd64"] * 100_000, "archs"),
        ("archs", ["amd64", ""], "archs[1]"),
        ("archs", ["a" * 33], "archs[0]"),
        ("archs", [f"amd64{ESCAPE}"], "archs[0]"),
        ("labels", {f"k{n}": "v" for n in range(101)}, "labels"),
        ("labels", {"": "v"}, 'labels[""]'),
        ("labels", {"k" * 101: "v"}, f'labels["{"k" * 99}…"]'),
        ("labels", {f"k{ESCAPE}": "v"}, 'labels["k\ufffd[2J"]'),
        ("labels", {"k": "v" * 201}, 'labels["k"]'),
        ("labels", {"k": f"v{BIDI}"}, 'labels["k"]'),
        ("slots", -1, "slots"),
        ("slots", 10_001, "slots"),
        ("drivers", [], "drivers"),
        ("drivers", ["sandbox"] * 17, "drivers"),
        ("drivers", ["Sand box"], "drivers[0]"),
        ("expected_group", f"g{ESCAPE}", "expected_group"),
        ("expected_group", "g" * 1_025, "expected_group"),
        ("held", [pb.HeldAssignment(assignment_id=ID)] * 10_001, "held"),
        ("held", [pb.HeldAssignment()], "held[0].assignment_id"),
        ("held", [pb.HeldAssignment(assignment_id="../x")], "held[0].assignment_id"),
        ("held", [pb.HeldAssignment(assignment_id=ID, run_id=f"r{ESCAPE}")], "held[0].run_id"),
        ("held", [pb.HeldAssignment(assignment_id=ID, task_id="t" * 65)], "held[0].task_id"),
        ("held", [pb.HeldAssignment(assignment_id=ID, epoch=pb.Epoch(database=-1))], "held[0].epoch.database"),
        ("held", [pb.HeldAssignment(assignment_id=ID, epoch=pb.Epoch(attempt=-1))], "held[0].epoch.attempt"),
    ],
)
def test_hello_out_of_bounds_is_refused_by_its_field(field: str, value: object, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_hello(pb.Hello(**{**HELLO, field: value}))

    assert [violation.path for violation in caught.value.violations] == [path]
    assert ESCAPE not in str(caught.value)


def test_every_violation_of_a_hello_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_hello(pb.Hello(executor_id="../x", slots=-1))

    assert [violation.path for violation in caught.value.violations] == [
        "executor_id",
        "journal_id",
        "slots",
        "drivers",
    ]


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (pb.ConnectRequest(heartbeat=pb.Heartbeat(number=-1)), "heartbeat.number"),
        (pb.ConnectRequest(heartbeat=pb.Heartbeat(load=float("nan"))), "heartbeat.load"),
        (pb.ConnectRequest(heartbeat=pb.Heartbeat(load=float("inf"))), "heartbeat.load"),
        (pb.ConnectRequest(heartbeat=pb.Heartbeat(load=-0.1)), "heartbeat.load"),
        (pb.ConnectRequest(heartbeat=pb.Heartbeat(free_disk_bytes=-1)), "heartbeat.free_disk_bytes"),
        (
            pb.ConnectRequest(heartbeat=pb.Heartbeat(running_assignment_ids=[ID] * 10_001)),
            "heartbeat.running_assignment_ids",
        ),
        (
            pb.ConnectRequest(heartbeat=pb.Heartbeat(running_assignment_ids=[ID, ESCAPE])),
            "heartbeat.running_assignment_ids[1]",
        ),
        (pb.ConnectRequest(updates=pb.Updates(updates=[pb.AssignmentUpdate()] * 1_001)), "updates.updates"),
        (pb.ConnectRequest(pods_gone=pb.PodsGone()), "pods_gone.session_id"),
        (pb.ConnectRequest(pods_gone=pb.PodsGone(session_id=ID, number=-1)), "pods_gone.number"),
        (
            pb.ConnectRequest(acknowledgement=pb.CommandAcknowledgement(number=-1)),
            "acknowledgement.number",
        ),
        (
            pb.ConnectRequest(acknowledgement=pb.CommandAcknowledgement(refused=run_pb2.Reason(code=ESCAPE))),
            "acknowledgement.refused.code",
        ),
    ],
)
def test_message_out_of_bounds_is_refused_by_its_field(message: pb.ConnectRequest, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_message(message)

    assert [violation.path for violation in caught.value.violations] == [path]


@pytest.mark.parametrize(
    "message",
    [
        pb.ConnectRequest(),
        pb.ConnectRequest(
            heartbeat=pb.Heartbeat(number=7, load=0.5, free_disk_bytes=1 << 40, running_assignment_ids=[ID])
        ),
        pb.ConnectRequest(updates=pb.Updates()),
        pb.ConnectRequest(updates=pb.Updates(updates=[pb.AssignmentUpdate(assignment_id="out of bounds, but alone")])),
        pb.ConnectRequest(acknowledgement=pb.CommandAcknowledgement(number=1 << 62)),
    ],
)
def test_valid_message_is_accepted(message: pb.ConnectRequest) -> None:
    check_message(message)


def test_control_characters_are_removed_from_sentences() -> None:
    said = run_pb2.Reason(code="SETUP_FAILED", message=f"git: {ESCAPE}{BIDI}no\tsuch\nref\0" + "x" * 5_000)
    message = pb.ConnectRequest(
        updates=pb.Updates(updates=[pb.AssignmentUpdate(reason=said, steps=[pb.StepUpdate(reason=said)])])
    )
    refusal = pb.ConnectRequest(acknowledgement=pb.CommandAcknowledgement(refused=said))

    check_message(message)
    check_message(refusal)

    (update,) = message.updates.updates
    for reason in (update.reason, update.steps[0].reason, refusal.acknowledgement.refused):
        assert reason.message.startswith("git: \ufffd[2J\ufffdno\tsuch\nref\ufffdxxx")
        assert len(reason.message) == 4_096
        assert reason.message.endswith("x…")
    untouched = pb.ConnectRequest(updates=pb.Updates(updates=[pb.AssignmentUpdate()]))
    check_message(untouched)
    assert not untouched.updates.updates[0].HasField("reason")


UPDATE: dict[str, Any] = {
    "number": 1,
    "assignment_id": ID,
    "epoch": pb.Epoch(database=1, attempt=1),
    "steps": [pb.StepUpdate(step=-1), pb.StepUpdate(step=MAX_STEPS - 1, log_sha256="a" * 64, exit_status=-9)],
    "reason": run_pb2.Reason(code="SETUP_FAILED"),
    "pod_start_time": Timestamp(seconds=1),
}


def test_valid_update_is_accepted() -> None:
    assert update_fault(pb.AssignmentUpdate(**UPDATE)) is None


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("number", -1, "number"),
        ("assignment_id", "", "assignment_id"),
        ("assignment_id", "a/b", "assignment_id"),
        ("epoch", pb.Epoch(database=-1), "epoch.database"),
        ("epoch", pb.Epoch(attempt=-1), "epoch.attempt"),
        ("reason", run_pb2.Reason(code="A" * 65), "reason.code"),
        ("pod_start_time", Timestamp(seconds=1 << 60), "pod_start_time"),
        ("steps", [pb.StepUpdate()] * (MAX_STEPS + 2), "steps"),
        ("steps", [pb.StepUpdate(step=-2)], "steps[0].step"),
        ("steps", [pb.StepUpdate(), pb.StepUpdate(step=MAX_STEPS)], "steps[1].step"),
        ("steps", [pb.StepUpdate(start_time=Timestamp(seconds=253_402_300_800))], "steps[0].start_time"),
        ("steps", [pb.StepUpdate(end_time=Timestamp(nanos=-1))], "steps[0].end_time"),
        ("steps", [pb.StepUpdate(end_time=Timestamp(nanos=1_000_000_000))], "steps[0].end_time"),
        ("steps", [pb.StepUpdate(log_size_bytes=-1)], "steps[0].log_size_bytes"),
        ("steps", [pb.StepUpdate(log_sha256="A" * 64)], "steps[0].log_sha256"),
        ("steps", [pb.StepUpdate(reason=run_pb2.Reason(code=ESCAPE))], "steps[0].reason.code"),
    ],
)
def test_update_out_of_bounds_is_refused_by_its_field(field: str, value: object, path: str) -> None:
    fault = update_fault(pb.AssignmentUpdate(**{**UPDATE, field: value}))

    assert fault is not None
    assert fault.partition(": ")[0] == path


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (pb.PushLogsRequest(log=pb.LogReference(assignment_id=ID), data=b"x" * 11), "data"),
        (pb.PushLogsRequest(log=pb.LogReference(assignment_id=ID), offset=-1), "offset"),
        (pb.PushLogsRequest(log=pb.LogReference(assignment_id="../x")), "log.assignment_id"),
        (pb.PushLogsRequest(log=pb.LogReference(assignment_id=ID, step=-2)), "log.step"),
        (pb.PushLogsRequest(log=pb.LogReference(assignment_id=ID, step=1 << 30)), "log.step"),
    ],
)
def test_push_out_of_bounds_is_refused_by_its_field(request_: pb.PushLogsRequest, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_push(request_, most_bytes=10)

    assert [violation.path for violation in caught.value.violations] == [path]
