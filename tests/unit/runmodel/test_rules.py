"""The rules of runs where a row of `test_rules_table` cannot say it, and the properties of a pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluiceway_common.runmodel import invariants, requests, rules, updates
from sluiceway_common.runmodel.model import AssignmentPhase, TaskStatus
from sluiceway_common.runmodel.reasons import ReasonCode
from sluiceway_common.runmodel.state import Change, EventKind, InvariantBroken, RunState
from tests.fakes.run_simulator import Simulator, phases, span, step


def test_rules_do_not_touch_a_queued_run() -> None:
    run = Simulator("a~; b: a", start=False)
    after = rules.advance(run.state, run.now)
    assert after.state == run.state
    assert after.runnable == ()


def test_r2_wins_over_r3_in_one_transaction() -> None:
    run = Simulator("a").does("assign a")
    stopped = requests.request_stop(run.state, by="ann", now=run.now)
    done = success_of_a(run, stopped.state)
    after = rules.settle(stopped.then(done), run.now)
    assert (after.run.phase, after.run.result) == ("finished", "success")


def success_of_a(run: Simulator, state: RunState) -> Change:
    live = run.live("a")
    told = updates.Report(live.id, live.epoch, live.session, AssignmentPhase.SUCCESS)
    return updates.report(state, live, told, run.now).change


def test_r4_reports_that_the_group_is_free_once() -> None:
    run = Simulator("a").does("assign a")
    after = run.settle(success_of_a(run, run.state))
    assert after.frees_group
    assert after.run.end_time == run.now
    assert not rules.advance(after.state, run.now).frees_group


def test_r4_run_that_starts_and_ends_at_once_frees_its_group() -> None:
    run = Simulator("a~; b: a", start=False)
    after = run.settle(requests.start_run(run.state, run.now))
    assert after.frees_group
    assert [(e.old, e.new) for e in after.events if e.kind is EventKind.PHASE] == [("queued", "finished")]


def test_r7_live_assignments_stop_and_clean_ups_do_not() -> None:
    run = Simulator("a; b: a[always]").does("assign a; stop")
    assert run.live("a").stop_requested == run.now
    run.does("a is_stopped; assign b; stop")
    assert run.live("b").stop_requested is None
    run.does("b succeeds")
    assert run.standing == "finished stopped"


def test_r7_a_later_forced_stop_stops_clean_ups_too() -> None:
    run = Simulator("a; b: a[always]").does("assign a; stop; a is_stopped; assign b; force stop")
    assert run.live("b").stop_requested == run.now
    assert run.live("b").stop_forced
    stop = run.state.run.stop
    assert stop is not None
    assert (stop.forced, stop.forced_by) == (True, "ann")


def test_r8_names_the_edge_that_did_not_match_the_first_by_name() -> None:
    run = Simulator("z!; y!; c: z y").does("assign z y; z fails; y fails")
    reason = run.task("c").reason
    assert reason is not None
    assert reason.code == ReasonCode.EDGE_NOT_MATCHED
    assert reason.sentence == 'it runs only if "y" succeeds, and "y" failed'


def test_r9_expiry_is_reported_by_task_run_and_events() -> None:
    run = Simulator("deploy?60s; b").does("b succeeds; wait 60s")
    reason = run.task("deploy").reason
    assert reason is not None
    assert reason.code == ReasonCode.APPROVAL_EXPIRED
    assert [note.sentence for note in run.state.run.notes] == ['approval of "deploy" expired']
    last = run.events[-1]
    assert (last.kind, last.new) == (EventKind.PHASE, "finished")
    assert last.reason == run.state.run.notes[0]
    told = [(e.old, e.new) for e in run.events if e.kind is EventKind.APPROVAL]
    assert told == [("not_asked", "waiting"), ("waiting", "expired")]


def test_r14_retry_keeps_the_end_of_the_last_attempt() -> None:
    run = Simulator("a *2").does("assign a")
    first = run.live("a")
    run.report("a", AssignmentPhase.FAILED, steps={0: step("failed", exit_status=2)})
    task = run.task("a")
    assert (task.attempt, task.assignment, task.executor) == (2, "", "")
    assert phases(task.steps) == "not_started, not_started, not_started"
    assert phases(run.final[first.id].steps) == "skipped, failed, skipped"
    assert task.previous is not None
    assert task.previous.reason is not None
    assert task.previous.reason.sentence == 'step "build" failed with exit status 2'


def test_r14_failed_is_never_reported_while_a_retry_is_due() -> None:
    run = Simulator("a *2").does("a fails; a succeeds")
    told = [e.new for e in run.events if e.kind is EventKind.TASK_STATUS]
    assert told == ["running", "not_started", "running", "success"]


def test_r14_a_stop_gives_the_last_attempt_back() -> None:
    run = Simulator("a *2; b").does("assign b; a times_out; stop")
    task = run.task("a")
    assert task.previous is None
    assert (task.status, task.attempt, task.timed_out, task.assignment) == (
        TaskStatus.FAILED,
        1,
        True,
        "assignment-0002",
    )


LONGEST = [
    ("run-timeout", "wait 1h", "on_stopped"),
    ("stop", "stop", "on_stopped"),
    ("failure", "assign x; x fails", "on_success"),
]


@pytest.mark.parametrize(("story", "condition"), [pytest.param(*row[1:], id=row[0]) for row in LONGEST])
@pytest.mark.parametrize("levels", [1, 2, 30])
def test_r19_longest_chains_take_at_most_levels_plus_3_rounds(story: str, condition: str, levels: int) -> None:
    chain = "; ".join(f"t{n:02}: t{n - 1:02}[{condition}]" for n in range(1, levels))
    run = Simulator(f"x; t00; {chain}", timeout=span("1h")).does(story)
    assert run.state.run.phase == "finished"


def test_second_pass_reports_changes_since_the_stored_state() -> None:
    run = Simulator("a; b: a").does("assign a")
    stored = run.state
    after = rules.settle(success_of_a(run, stored), run.now)
    assigned = updates.assign(
        after.state, "run-1/b", assignment_id="n", executor="e2", session="s2", database_epoch=1, now=run.now
    )
    last = rules.settle(after.then(assigned), run.now)
    assert last.before is stored
    assert [(a.id, a.phase) for a in last.assignments] == [("assignment-0001", "success"), ("n", "assigned")]
    assert [(e.task_id, e.kind, e.new) for e in last.events] == [
        ("run-1/a", EventKind.TASK_STATUS, "success"),
        ("run-1/b", EventKind.EXECUTOR, "e2"),
        ("run-1/b", EventKind.TASK_STATUS, "running"),
    ]


def test_broken_invariant_says_what_its_task_has_been_through() -> None:
    run = Simulator("a *2; b").does("a fails; a runs")
    task = run.task("a")
    broken = replace(run.state, tasks={**run.state.tasks, task.id: replace(task, timed_out=True)})
    with pytest.raises(InvariantBroken) as caught:
        invariants.check(broken)
    assert str(caught.value).splitlines() == [
        'run run-1: task "a" timed out, but is running',
        'task "a": attempt 1 failed on e1 at 2026-01-01 12:00:00Z;'
        " attempt 2 running by assignment assignment-0002 on e1, running since 2026-01-01 12:00:00Z",
    ]
