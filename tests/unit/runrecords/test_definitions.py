"""What updates of executors decode to: of this version, of an earlier one and of a later one."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.runmodel.model import RetryCause
from sluiceway_common.runmodel.updates import Report
from sluiceway_server.runrecords.definitions import decode_report
from tests.fakes.run_simulator import STEPS, step

FAILED = executor_api.ASSIGNMENT_PHASE_FAILED
SETUP_FAILED = api.Reason(code="SETUP_FAILED")


def report(**fields: Any) -> Report | None:
    return decode_report(executor_api.AssignmentUpdate(**fields), session="s1", steps=STEPS)


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        pytest.param({"cause": definition_api.RETRY_CAUSE_FAILED}, RetryCause.FAILED, id="a step failed"),
        pytest.param({"cause": definition_api.RETRY_CAUSE_SETUP}, RetryCause.SETUP, id="the setup failed"),
        pytest.param({"cause": definition_api.RETRY_CAUSE_TIMEOUT}, RetryCause.TIMEOUT, id="it timed out"),
        pytest.param(
            {"cause": definition_api.RETRY_CAUSE_FAILED, "reason": SETUP_FAILED},
            RetryCause.FAILED,
            id="the cause decides over the reason",
        ),
        pytest.param({"reason": SETUP_FAILED}, RetryCause.SETUP, id="earlier version: the setup failed"),
        pytest.param({"timed_out": True}, RetryCause.TIMEOUT, id="earlier version: it timed out"),
        pytest.param(
            {"reason": api.Reason(code="STEP_FAILED")}, RetryCause.FAILED, id="earlier version: a step failed"
        ),
        pytest.param({"cause": 99, "timed_out": True}, RetryCause.TIMEOUT, id="later version: an unknown cause"),
    ],
)
def test_cause_of_a_failure_is_decoded(fields: dict[str, Any], cause: RetryCause) -> None:
    decoded = report(phase=FAILED, **fields)
    assert decoded is not None
    assert decoded.cause is cause


def test_attempt_that_did_not_fail_has_no_cause() -> None:
    decoded = report(phase=executor_api.ASSIGNMENT_PHASE_STOPPED, cause=definition_api.RETRY_CAUSE_SETUP)
    assert decoded is not None
    assert decoded.cause is None


def test_update_with_an_unknown_phase_is_not_decoded() -> None:
    assert report(phase=99) is None
    assert report(phase=FAILED, steps=[executor_api.StepUpdate(phase=99)]) is None  # type: ignore[arg-type]
    assert report(phase=FAILED, steps=[step("failed")]) is not None
