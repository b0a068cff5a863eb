"""How updates move the steps of an attempt, and what its end makes of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_server.runrecords.steps import EncodedSteps
from tests.fakes.run_simulator import STEPS, phases, step

TIME = datetime(2026, 1, 1, tzinfo=UTC)
DONE = {"exit_status": 0, "start_time": TIME, "end_time": TIME, "log_size_bytes": 90, "log_sha256": "d"}


def first_of(steps: EncodedSteps) -> api.Step:
    return steps.decoded().steps[0]


def test_steps_go_forward_only_and_logs_only_grow() -> None:
    running = step("running", start_time=TIME, log_size_bytes=10)
    steps = STEPS.merged([running])
    assert steps != STEPS
    assert steps.merged([running]) == steps
    steps = steps.merged([step("success", **DONE)])
    assert first_of(steps) == api.Step(name="build", type="run", phase=api.STEP_PHASE_SUCCESS, **DONE)  # type: ignore[arg-type]
    for late in (running, step("failed", **(DONE | {"exit_status": 1})), step("success", log_size_bytes=5)):
        assert steps.merged([late]) == steps
    longer = first_of(steps.merged([step("success", log_size_bytes=95, log_sha256="e")]))
    assert (longer.log_size_bytes, longer.log_sha256, longer.exit_status) == (95, "e", 0)


def test_step_that_ends_keeps_when_it_started() -> None:
    steps = STEPS.merged([step("running", start_time=TIME)]).merged([step("stopped")])
    assert first_of(steps).start_time.ToDatetime(UTC) == TIME


@pytest.mark.parametrize("index", [2, 9, -2])
def test_update_of_a_step_that_the_task_does_not_have_is_ignored(index: int) -> None:
    assert STEPS.merged([step("running", step=index)]) == STEPS


def test_reason_of_a_step_is_kept_with_its_code_in_upper_case() -> None:
    why = api.Reason(code="limit_memory", message="it used more than 1Gi of memory")
    kept = first_of(STEPS.merged([step("failed", reason=why)])).reason
    assert (kept.code, kept.message) == ("LIMIT_MEMORY", why.message)


def test_end_of_an_attempt_stops_what_runs_and_skips_the_rest() -> None:
    updates = [step("success", step=-1), step("running", step=0)]
    steps = STEPS.merged(updates)
    assert phases(steps) == "success, running, not_started"
    assert phases(steps.ended()) == "success, stopped, skipped"
    assert steps.ended().ended() == steps.ended()


def test_blank_steps_are_those_of_a_new_task() -> None:
    assert STEPS.merged([step("success", **DONE), step("failed", step=-1)]).blank() == STEPS


def test_first_step_that_runs_or_failed_is_found_with_its_place() -> None:
    assert (STEPS.running(), STEPS.failed(), STEPS.setup_failed()) == (None, None, False)
    running = STEPS.merged([step("running", step=1, start_time=TIME)]).running()
    assert running is not None
    assert (running.index, running.count, running.name, running.start_time) == (1, 2, "test", TIME)
    failed = STEPS.merged([step("failed", step=1, exit_status=3), step("failed", step=-1)])
    assert failed.setup_failed()
    found = failed.failed()
    assert found is not None
    assert (found.index, found.exit_status) == (1, 3)


@pytest.mark.parametrize("code", [0, 99])
def test_unknown_phase_of_a_step_has_no_effect(code: int) -> None:
    update = executor_api.StepUpdate(phase=code)  # type: ignore[arg-type]
    for steps in (STEPS, STEPS.merged([step("running")]), STEPS.merged([step("success")])):
        assert steps.merged([update]) == steps
