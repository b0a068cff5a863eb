"""Waits that end without an executor (R22), rejected approvals (R23), and what people read of both."""

from __future__ import annotations

import pytest

from sluiceway_common.runmodel import stopping
from sluiceway_common.runmodel.model import ApprovalState
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.requests import TaskNotWaiting
from sluiceway_common.runmodel.state import EventKind
from tests.fakes.run_simulator import START, Simulator, span


def test_r22_says_how_long_nobody_took_the_task() -> None:
    run = Simulator("a +10m").does("wait 10m")
    assert run.task("a").reason == Reason("wait_timed_out", "no executor took it within 10m")
    assert (run.task("a").attempt, run.task("a").assignment) == (1, "")
    assert run.task("a").end_time == run.now


def test_r22_keeps_what_the_last_attempt_said() -> None:
    run = Simulator("a *3 +10m").does("a exits 2; wait 10m")
    sentence = 'no executor took attempt 2 within 10m; attempt 1: step "build" failed with exit status 2'
    assert run.task("a").reason == Reason("wait_timed_out", sentence)
    assert (run.task("a").attempt, run.task("a").assignment) == (1, "assignment-0001")


def test_r22_may_end_a_run_of_which_nothing_ran() -> None:
    # The longest pass: a fails by time, the result is set, b is cancelled, what depends on b follows, the run ends.
    run = Simulator("a +10m; b; c: b; d: c").does("wait 10m")
    assert run.statuses == "a failed, b cancelled, c skipped, d skipped"
    assert run.standing == "finished failed"


def test_r22_is_a_deadline_of_the_run() -> None:
    run = Simulator("a +10m; b +5m: a")
    assert stopping.next_deadline(run.state) == START + span("10m")
    assert stopping.next_deadline(run.state.forget()) == START + span("10m")
    run.does("assign a")
    assert stopping.next_deadline(run.state) is None
    run.does("wait 1m; a succeeds")
    assert stopping.next_deadline(run.state) == START + span("6m")


def test_r23_names_who_rejected_and_why() -> None:
    run = Simulator("deploy?; b: deploy")
    run.reject("deploy", "not on a Friday")
    assert run.task("deploy").reason == Reason("approval_rejected", "rejected by ann: not on a Friday")
    assert run.task("deploy").approval_state is ApprovalState.REJECTED
    reason = run.task("b").reason
    assert reason is not None
    assert (
        reason.sentence
        == 'it runs only if "deploy" succeeds, and "deploy" was skipped because its approval was rejected'
    )
    assert run.state.run.notes == (Reason(ReasonCode.APPROVAL_REJECTED, 'approval of "deploy" rejected'),)
    told = [(e.old, e.new) for e in run.events if e.kind is EventKind.APPROVAL]
    assert told == [("not_asked", "waiting"), ("waiting", "rejected")]


@pytest.mark.parametrize(
    ("story", "message"),
    [
        ("approve a", 'task "a" was approved already, by ann'),
        ("reject a", 'task "a" cannot be rejected: it was skipped'),
        ("wait 8d", 'task "a" cannot be rejected: it was skipped'),
        ("stop", 'task "a" cannot be rejected'),
    ],
)
def test_r23_only_a_task_that_waits_is_rejected(story: str, message: str) -> None:
    run = Simulator("a?; b").does(story)
    with pytest.raises(TaskNotWaiting, match=message):
        run.reject("a")
