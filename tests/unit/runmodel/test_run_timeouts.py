"""Timeouts of tasks and runs: R16."""

from __future__ import annotations

import pytest

from sluiceway_common.runmodel import rules, stopping
from sluiceway_common.runmodel.model import AssignmentPhase, TaskStatus
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from tests.fakes.run_simulator import START, Simulator, span


def test_r16_task_that_timed_out_is_stopped_and_fails() -> None:
    run = Simulator("a @1h; b: a[on_failure]").does("wait 5m; a runs; wait 59m")
    assert run.live("a").stop_requested is None
    run.wait(span("60s"))
    assert run.live("a").timed_out
    assert run.live("a").stop_requested == run.now
    run.does("a is_stopped")
    assert (run.task("a").status, run.task("a").timed_out) == (TaskStatus.FAILED, True)
    assert run.task("a").reason == run.final["assignment-0001"].reason
    assert run.runnable_names == "b"


def test_r16_time_before_assignment_does_not_count_for_a_task() -> None:
    run = Simulator("a @1h").does("assign a; wait 2h")
    assert not run.live("a").timed_out


def test_r16_success_before_the_stop_arrives_is_kept() -> None:
    run = Simulator("a @1h").does("a runs; wait 1h; a succeeds")
    assert run.standing == "finished success"


def test_r16_forced_stop_skips_clean_ups_of_a_timeout() -> None:
    run = Simulator("a; b: a; c: a[always]", timeout=span("1h")).does("a runs; wait 1h; force stop")
    assert run.task("b").reason == Reason("run_timed_out", "run timed out after 1h, before this task started")
    assert run.task("c").reason == Reason("run_stopped", "run stopped by ann, before this task started")


def test_r16_run_that_timed_out_fails_and_runs_clean_ups() -> None:
    run = Simulator("a; b; c: a; d: a[always]", timeout=span("1h")).does("a runs; wait 1h")
    assert run.standing == "running failed"
    timed_out = Reason(ReasonCode.RUN_TIMED_OUT, "run timed out after 1h")
    assert run.state.run.reason == timed_out
    assert (run.live("a").stop_requested, run.live("a").stop_reason) == (run.now, timed_out)
    assert run.task("b").reason == Reason("run_timed_out", "run timed out after 1h, before this task started")
    assert run.statuses == "a running, b skipped, c skipped, d not_started"
    run.report("a", AssignmentPhase.STOPPED, reason=Reason(ReasonCode.STOPPED, "stopped on request"))
    assert (run.task("a").status, run.task("a").reason) == (TaskStatus.STOPPED, timed_out)
    run.does("assign d")
    assert run.live("d").stop_requested is None
    run.does("d succeeds")
    assert run.standing == "finished failed"


def test_r16_a_run_whose_result_is_set_still_ends_by_its_timeout() -> None:
    run = Simulator("a; b; c: b", timeout=span("1h")).does("assign b; a fails; wait 1h")
    assert run.state.run.timed_out
    assert run.state.run.reason is None
    assert run.live("b").stop_requested == run.now


def test_r16_waiting_only_for_approval_does_not_count() -> None:
    run = Simulator("a; b?: a", timeout=span("1h")).does("a runs; wait 30m; a succeeds; wait 2d; approve b; wait 29m")
    assert not run.state.run.timed_out
    assert run.state.run.approval_waited == span("2d")
    run.wait(span("1m"))
    assert run.state.run.timed_out


def test_r16_waiting_counts_while_something_could_run() -> None:
    run = Simulator("a; b?", timeout=span("1h")).does("wait 1h")
    assert run.state.run.timed_out


def test_r16_only_a_forced_stop_ends_clean_ups_after_a_timeout() -> None:
    run = Simulator("a; b: a[always]", timeout=span("1h")).does("a runs; wait 1h; a is_stopped; assign b; stop")
    assert run.live("b").stop_requested is None
    run.does("force stop")
    assert run.live("b").stop_requested == run.now


@pytest.mark.parametrize("names", ["a b", "b a"], ids=["later-deadline-first", "earlier-deadline-first"])
def test_r16_each_task_has_its_own_timeout(names: str) -> None:
    run = Simulator("a @2h; b @1h").does("; ".join(f"{name} runs" for name in names.split()) + "; wait 1h")
    assert (run.live("a").timed_out, run.live("b").timed_out) == (False, True)
    run.does("b is_stopped; wait 1h")
    assert run.live("a").timed_out


def test_r16_waiting_counts_while_something_runs() -> None:
    run = Simulator("a; b?", timeout=span("1h")).does("a runs; wait 1h")
    assert run.state.run.timed_out


@pytest.mark.parametrize(
    ("text", "timeout", "story", "after"),
    [
        pytest.param("a @2h", "5h", "a runs; wait 1h", "2h", id="of-a-task"),
        pytest.param("a @2h", "1h", "a runs", "1h", id="of-the-run"),
        pytest.param("a?60s", "10s", "", "60s", id="of-an-approval-while-the-run-stands"),
    ],
)
def test_r16_next_deadline_is_when_time_alone_changes_something(
    text: str, timeout: str, story: str, after: str
) -> None:
    run = Simulator(text, timeout=span(timeout)).does(story)
    deadline = stopping.next_deadline(run.state)
    assert deadline == START + span(after)
    assert rules.advance(run.state, deadline - span("1s")).state == run.state
    assert rules.advance(run.state, deadline).state != run.state


def test_r16_a_run_that_is_over_has_no_deadline() -> None:
    assert stopping.next_deadline(Simulator("a @1h").does("a succeeds").state) is None
