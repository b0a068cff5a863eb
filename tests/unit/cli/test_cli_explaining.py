"""What `sluice run explain` prints."""

from __future__ import annotations

import pytest

from sluiceway.api.run.v1 import run_pb2, run_service_pb2
from sluiceway.cli.run_explain import _say_run


def test_reason_of_run_and_explanation_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    reason = run_pb2.Reason(code="TIMED_OUT", message="run timed out after 3s")
    run = run_pb2.Run(number=5, name="long", phase=run_pb2.RUN_PHASE_RUNNING, reason=reason)
    _say_run(run, [], run_service_pb2.RunExplanation(reasons=[reason, run_pb2.Reason(message="1 task: 1 running")]))
    assert capsys.readouterr().out == "run 5 (long) is running\n  run timed out after 3s\n  1 task: 1 running\n"
