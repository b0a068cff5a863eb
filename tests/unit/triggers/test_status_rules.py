"""What a commit status says, within the limits of providers."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.trigger.v1 import records_pb2 as pb
from sluiceway_server.forges.port import CommitState
from sluiceway_server.triggers.status_rules import MAX_DESCRIPTION, sentence_of, state_of, status_of

FAILED = api.Run(number=7, phase=api.RUN_PHASE_FINISHED, result=api.RUN_RESULT_FAILED)


def step(name: str, code: int | None = None, **more: Any) -> api.Step:
    made = api.Step(name=name, phase=api.STEP_PHASE_SUCCESS if code == 0 else api.STEP_PHASE_FAILED, **more)
    if code is not None:
        made.exit_status = code
    return made


def task(name: str, *steps: api.Step, end: int = 1, **more: Any) -> api.Task:
    fields = {"status": api.TASK_STATUS_FAILED, **more}
    made = api.Task(name=name, steps=steps, **fields)
    made.end_time.seconds = end
    return made


def reason(message: str) -> api.Reason:
    return api.Reason(code="X", message=message)


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        pytest.param(
            [task("test", step("clone", 0), step("make test", 2))],
            "failed: task test: step `make test` exit code 2",
            id="exit code",
        ),
        pytest.param(
            [task("late", step("x", 1), end=9), task("early", step("y", 3), end=2)],
            "failed: task early: step `y` exit code 3",
            id="first of several",
        ),
        pytest.param(
            [task("lint", step("x", 1), ignore_failure=True), task("test", step("y", 3), end=5)],
            "failed: task test: step `y` exit code 3",
            id="ignored failure",
        ),
        pytest.param(
            [task("test", step("x", reason=reason("it was killed\nby signal 9")))],
            "failed: task test: step `x` it was killed by signal 9",
            id="signal",
        ),
        pytest.param(
            [task("test", reason=reason("the image cannot be pulled"))],
            "failed: task test: the image cannot be pulled",
            id="setup of the pod",
        ),
        pytest.param(
            [task("test", step("x", 1), timed_out=True, reason=reason("it ran longer than 1h"))],
            "failed: task test: it ran longer than 1h",
            id="timeout",
        ),
        pytest.param(
            [task("test", status=api.TASK_STATUS_LOST, reason=reason("executor e1 is gone"))],
            "failed: task test: executor e1 is gone",
            id="lost",
        ),
        pytest.param([], "failed: it has no result", id="no task"),
    ],
)
def test_failure_has_its_reason(tasks: list[api.Task], sentence: str) -> None:
    assert sentence_of(FAILED, tasks) == sentence


def test_reason_of_the_run_comes_first() -> None:
    run = api.Run()
    run.CopyFrom(FAILED)
    run.reason.message = "the run took longer than 1h"
    assert sentence_of(run, [task("test", step("x", 1))]) == "failed: the run took longer than 1h"


def test_description_fits_and_keeps_the_exit_code() -> None:
    long = [task("t" * 100, *[step(f"{n}" * 100, 0) for n in range(9)], step("make\n" * 50, 255))]
    status = status_of(pb.CommitStatusRecord(context="sluiceway/x"), FAILED, long, public_url="https://ci.example.org")
    assert len(status.description) <= MAX_DESCRIPTION == 140
    assert status.description.endswith("exit code 255")
    assert "\n" not in status.description
    run = api.Run(number=1, phase=api.RUN_PHASE_SETUP_ERROR, setup_errors=["e" * 5000])
    assert len(status_of(pb.CommitStatusRecord(), run, [], public_url="").description) <= MAX_DESCRIPTION


def test_approval_is_only_a_state_while_nothing_else_runs() -> None:
    run = api.Run(phase=api.RUN_PHASE_RUNNING)
    assert state_of(run) is CommitState.RUNNING
    run.approval_wait_since.seconds = 1
    assert state_of(run) is CommitState.WAITING
    assert sentence_of(run, []) == "waits for approval"
