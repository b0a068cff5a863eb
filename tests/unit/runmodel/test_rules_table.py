"""The rules R0-R18, case by case, by hand. A row reads: this graph, then this happens, then it stands like this."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.runmodel import invariants, rules, updates
from sluiceway_common.runmodel.model import ApprovalGiven, AssignmentPhase, Source, TaskStatus
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.state import Change, EventKind, InvariantBroken, RunState
from tests.fakes.run_simulator import START, Simulator, phases, span, step

# id, graph, what happens, standing, statuses, runnable
CASES = [
    ("r1-a-failed-task-fails-the-run", "a; b", "assign b; a fails", "running failed", "a failed, b running", ""),
    ("r1-a-lost-task-fails-the-run", "a; b", "assign b; lose a", "running failed", "a lost, b running", ""),
    (
        "r1-stopped-unasked-fails-the-run",
        "a; b",
        "assign b; a is_stopped",
        "running failed",
        "a stopped, b running",
        "",
    ),
    ("r1-ignored-failure-does-not", "a!; b", "a fails", "running unset", "a failed, b not_started", "b"),
    ("r1-ignored-loss-does-not", "a!; b", "lose a", "running unset", "a lost, b not_started", "b"),
    ("r1-ignored-stop-does-not", "a!; b", "a is_stopped", "running unset", "a stopped, b not_started", "b"),
    ("r2-all-succeeded", "a; b: a", "a succeeds; b succeeds", "finished success", "a success, b success", ""),
    ("r2-all-skipped-is-a-success", "a~; b: a", "", "finished success", "a skipped, b skipped", ""),
    ("r2-ignored-failures-are-a-success", "a!", "a fails", "finished success", "a failed", ""),
    ("r3-stop-of-an-idle-run-ends-it", "a; b: a", "stop", "finished stopped", "a skipped, b skipped", ""),
    ("r3-stop-sets-the-result-at-once", "a; b", "assign a; stop", "running stopped", "a running, b skipped", ""),
    ("r3-stopped-as-asked", "a", "assign a; stop; a is_stopped", "finished stopped", "a stopped", ""),
    ("r3-failure-after-the-stop-stays-stopped", "a", "assign a; stop; a fails", "finished stopped", "a failed", ""),
    ("r4-waits-for-the-last-assignment", "a; b", "assign b; a fails", "running failed", "a failed, b running", ""),
    (
        "r4-ends-with-the-last-assignment",
        "a; b",
        "assign b; a fails; b succeeds",
        "finished failed",
        "a failed, b success",
        "",
    ),
    (
        "r5-on-failure-goes-on",
        "a; b: a[on_failure]; c: a",
        "a fails",
        "running failed",
        "a failed, b not_started, c skipped",
        "b",
    ),
    (
        "r5-other-branches-go-on",
        "a; b; c: b",
        "assign b; a fails; b succeeds",
        "running failed",
        "a failed, b success, c not_started",
        "c",
    ),
    (
        "r6-roots-never-attempted-are-cancelled",
        "a; b; c: b",
        "a fails",
        "finished failed",
        "a failed, b cancelled, c skipped",
        "",
    ),
    (
        "r6-on-stopped-matches-a-cancelled-parent",
        "a; b; c: b[on_stopped]",
        "a fails",
        "running failed",
        "a failed, b cancelled, c not_started",
        "c",
    ),
    (
        "r6-a-root-that-waits-for-its-retry-goes-on",
        "a; b *2",
        "assign a; b fails; a fails",
        "running failed",
        "a failed, b not_started",
        "b",
    ),
    (
        "r6-a-root-that-waits-for-approval-is-cancelled",
        "a; b?",
        "a fails",
        "finished failed",
        "a failed, b cancelled",
        "",
    ),
    (
        "r7-children-are-skipped",
        "a; b: a[on_success]",
        "assign a; stop; a succeeds",
        "finished stopped",
        "a success, b skipped",
        "",
    ),
    (
        "r7-clean-up-with-always-goes-on",
        "a; b: a[always]",
        "assign a; stop; a is_stopped",
        "running stopped",
        "a stopped, b not_started",
        "b",
    ),
    (
        "r7-clean-up-with-on-stopped-goes-on",
        "a; b: a[on_stopped,on_failure]",
        "assign a; stop; a is_stopped",
        "running stopped",
        "a stopped, b not_started",
        "b",
    ),
    (
        "r7-on-stopped-of-a-success-is-skipped",
        "a; b: a[on_stopped]",
        "assign a; stop; a succeeds",
        "finished stopped",
        "a success, b skipped",
        "",
    ),
    (
        "r7-a-mixed-task-is-no-clean-up",
        "a; x; b: a[always] x",
        "assign a x; x succeeds; stop; a is_stopped",
        "finished stopped",
        "a stopped, x success, b skipped",
        "",
    ),
    (
        "r7-one-that-needs-approval-is-no-clean-up",
        "a; b?: a[always]",
        "assign a; stop; a is_stopped",
        "finished stopped",
        "a stopped, b skipped",
        "",
    ),
    (
        "r7-clean-up-after-skipped-roots-with-always",
        "a; b: a[always]",
        "stop",
        "running stopped",
        "a skipped, b not_started",
        "b",
    ),
    (
        "r7-forced-stop-drops-clean-ups",
        "a; b: a[always]",
        "assign a; force stop; a is_stopped",
        "finished stopped",
        "a stopped, b skipped",
        "",
    ),
    (
        "r7-later-forced-stop-drops-clean-ups",
        "a; b: a[always]",
        "assign a; stop; a is_stopped; force stop",
        "finished stopped",
        "a stopped, b skipped",
        "",
    ),
    ("r7-waiting-approvals-are-cleared", "a?; b", "assign b; stop", "running stopped", "a skipped, b running", ""),
    (
        "r8-a-chain-of-skipped-takes-one-pass",
        "a~; b: a; c: b; d: c; e: d",
        "",
        "finished success",
        "a skipped, b skipped, c skipped, d skipped, e skipped",
        "",
    ),
    (
        "r8-waits-for-all-parents",
        "a; b; c: a b",
        "assign a b; a succeeds",
        "running unset",
        "a success, b running, c not_started",
        "",
    ),
    (
        "r8-every-edge-must-match",
        "a!; b; c: a b",
        "assign b; a fails; b succeeds",
        "finished success",
        "a failed, b success, c skipped",
        "",
    ),
    (
        "r8-conditions-of-one-edge-are-alternatives",
        "a!; b: a[on_success,on_failure]",
        "a fails",
        "running unset",
        "a failed, b not_started",
        "b",
    ),
    ("r8-on-skipped-matches", "a~; b: a[on_skipped]", "", "running unset", "a skipped, b not_started", "b"),
    ("r8-always-matches-a-skipped-parent", "a~; b: a[always]", "", "running unset", "a skipped, b not_started", "b"),
    ("r8-on-failure-matches-lost", "a!; b: a[on_failure]", "lose a", "running unset", "a lost, b not_started", "b"),
    (
        "r8-on-failure-of-a-success-is-skipped",
        "a; b: a[on_failure]",
        "a succeeds",
        "finished success",
        "a success, b skipped",
        "",
    ),
    ("r9-waits-for-approval", "a; b?: a", "a succeeds", "running unset", "a success, b not_started", ""),
    ("r9-approval-is-asked-of-a-root", "a?", "", "running unset", "a not_started", ""),
    ("r9-not-before-its-parents", "a; b?: a", "assign a", "running unset", "a running, b not_started", ""),
    ("r9-one-tick-before-the-timeout", "a?60s", "wait 59s", "running unset", "a not_started", ""),
    ("r9-expires", "a?60s", "wait 60s", "finished success", "a skipped", ""),
    (
        "r9-on-skipped-does-not-match-an-expired-approval",
        "a?60s; b: a[on_skipped]",
        "wait 60s",
        "finished success",
        "a skipped, b skipped",
        "",
    ),
    (
        "r9-always-matches-an-expired-approval",
        "a?60s; b: a[always]",
        "wait 60s",
        "running unset",
        "a skipped, b not_started",
        "b",
    ),
    ("r9-default-timeout-is-seven-days", "a?", "wait 6d; wait 23h", "running unset", "a not_started", ""),
    ("r9-never-asked-of-a-skipped-task", "a~; b?: a", "", "finished success", "a skipped, b skipped", ""),
    ("r10-roots-are-runnable", "b; a; c: a", "", "running unset", "a not_started, b not_started, c not_started", "a b"),
    ("r10-approved-is-runnable", "a?", "approve a", "running unset", "a not_started", "a"),
    (
        "r11-on-success-of-an-ignored-failure-is-skipped",
        "a!; b: a; c: a[on_failure]",
        "a fails",
        "running unset",
        "a failed, b skipped, c not_started",
        "c",
    ),
    ("r12-when-did-not-match", "a~; b", "", "running unset", "a skipped, b not_started", "b"),
    ("r14-retry-is-due", "a *2; b: a", "a fails", "running unset", "a not_started, b not_started", "a"),
    ("r14-last-attempt-fails", "a *2; b: a", "a fails; a fails", "finished failed", "a failed, b skipped", ""),
    ("r14-second-attempt-succeeds", "a *2", "a fails; a succeeds", "finished success", "a success", ""),
    ("r14-lost-is-not-retried-by-default", "a *2", "lose a", "finished failed", "a lost", ""),
    ("r14-lost-is-retried-when-named", "a *2 %lost", "lose a", "running unset", "a not_started", "a"),
    ("r14-timeout-is-retried", "a *2", "a times_out", "running unset", "a not_started", "a"),
    ("r14-setup-is-retried", "a *3", "a fails_in_setup; a fails_in_setup", "running unset", "a not_started", "a"),
    ("r14-a-stop-unasked-is-not-retried", "a *3", "a is_stopped", "finished failed", "a stopped", ""),
    ("r14-no-retry-after-a-stop", "a *3", "assign a; stop; a fails", "finished stopped", "a failed", ""),
    (
        "r14-stop-ends-a-waiting-retry-with-its-last-outcome",
        "a *3; b",
        "assign b; a fails; stop",
        "running stopped",
        "a failed, b running",
        "",
    ),
    ("r14-an-approval-holds-for-all-attempts", "a? *2", "approve a; a fails", "running unset", "a not_started", "a"),
]


@pytest.mark.parametrize(
    ("text", "story", "standing", "statuses", "runnable"),
    [pytest.param(*row[1:], id=row[0]) for row in CASES],
)
def test_run_stands_as_the_rules_say(text: str, story: str, standing: str, statuses: str, runnable: str) -> None:
    run = Simulator(text).does(story)
    assert (run.standing, run.statuses, run.runnable_names) == (standing, statuses, runnable)


def test_r0_start_sets_phase_and_time_and_then_the_pass_runs() -> None:
    run = Simulator("a~; b: a[on_skipped]", start=False)
    assert (run.standing, run.runnable) == ("queued unset", ())
    run.start()
    assert (run.standing, run.runnable_names) == ("running unset", "b")
    assert run.state.run.start_time == START


def test_r0_a_run_that_is_not_queued_cannot_be_started() -> None:
    run = Simulator("a")
    with pytest.raises(rules.RunNotQueued, match="running, not queued"):
        run.start()


def test_rules_do_not_touch_a_queued_run() -> None:
    run = Simulator("a~; b: a", start=False)
    after = rules.advance(run.state, run.now)
    assert after.state == run.state
    assert after.runnable == ()


def test_r2_wins_over_r3_in_one_transaction() -> None:
    run = Simulator("a").does("assign a")
    stopped = rules.request_stop(run.state, by="ann", now=run.now)
    done = success_of_a(run, stopped.state)
    after = rules.settle(stopped.then(done), run.now)
    assert (after.run.phase, after.run.result) == ("finished", "success")


def success_of_a(run: Simulator, state: RunState) -> Change:
    live = run.live("a")
    told = updates.Report(live.id, live.epoch, live.session, AssignmentPhase.SUCCESS)
    return updates.report(state, live, told, run.now).change


def test_r4_tells_that_the_group_is_free_once() -> None:
    run = Simulator("a").does("assign a")
    after = run.settle(success_of_a(run, run.state))
    assert after.frees_group
    assert after.run.end_time == run.now
    assert not rules.advance(after.state, run.now).frees_group


def test_r4_run_that_starts_and_ends_at_once_frees_its_group() -> None:
    run = Simulator("a~; b: a", start=False)
    after = run.settle(rules.start_run(run.state, run.now))
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
    assert reason.sentence == 'depends on "y" on_success, which failed'


def test_r9_expiry_is_told_by_task_run_and_events() -> None:
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


def test_r14_failed_is_never_told_while_a_retry_is_due() -> None:
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
    deadline = rules.next_deadline(run.state)
    assert deadline == START + span(after)
    assert rules.advance(run.state, deadline - span("1s")).state == run.state
    assert rules.advance(run.state, deadline).state != run.state


def test_r16_a_run_that_is_over_has_no_deadline() -> None:
    assert rules.next_deadline(Simulator("a @1h").does("a succeeds").state) is None


def test_r17_cancel_ends_a_queued_run_and_its_unfinished_tasks() -> None:
    run = Simulator("a; b~; c: a", start=False).does("cancel")
    assert (run.standing, run.statuses) == ("cancelled unset", "a cancelled, b skipped, c cancelled")
    assert run.state.run.end_time == run.now


@pytest.mark.parametrize(
    ("story", "asked", "phase"),
    [
        pytest.param("start", "cancel", "running", id="cancel-a-running-run"),
        pytest.param("start; a succeeds", "cancel", "finished", id="cancel-a-finished-run"),
        pytest.param("cancel", "cancel", "cancelled", id="cancel-twice"),
        pytest.param("", "stop", "queued", id="stop-a-queued-run"),
        pytest.param("start; a succeeds", "stop", "finished", id="stop-a-finished-run"),
        pytest.param("cancel", "force stop", "cancelled", id="force-a-cancelled-run"),
    ],
)
def test_r17_refuses_with_the_phase_in_the_message(story: str, asked: str, phase: str) -> None:
    run = Simulator("a", start=False).does(story)
    with pytest.raises(FailedPrecondition, match=f"its phase is {phase}, not") as caught:
        run.does(asked)
    assert caught.value.metadata == {"phase": phase}


def test_r17_a_second_stop_changes_nothing() -> None:
    run = Simulator("a; b: a[always]").does("assign a; stop")
    before = run.state
    run.does("wait 1m; stop")
    assert run.state == before


def test_r18_keeps_who_when_and_for_what() -> None:
    run = Simulator("a?", source=Source(commit_sha="c0ffee"), config_digest="d1")
    run.approve("a")
    assert run.task("a").approved == ApprovalGiven("ann", run.now, "c0ffee", "d1")


@pytest.mark.parametrize(
    ("text", "story", "why"),
    [
        pytest.param("a?", "approve a", "approved already, by ann", id="a-second-time"),
        pytest.param("a", "", "needs no approval", id="none-needed"),
        pytest.param("b; a?: b", "", "its parents come first", id="not-asked-yet"),
        pytest.param("a?60s", "wait 60s", "its run is finished", id="run-is-over"),
        pytest.param("a?60s; b", "wait 60s", "it was skipped", id="expired"),
    ],
)
def test_r18_refuses_an_approval_that_finds_nothing_waiting(text: str, story: str, why: str) -> None:
    run = Simulator(text).does(story)
    with pytest.raises(rules.TaskNotWaiting, match=why):
        run.approve("a")


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(ApprovalGiven("ann", START, commit_sha="other"), id="another-commit"),
        pytest.param(ApprovalGiven("ann", START, config_digest="other"), id="another-configuration"),
    ],
)
def test_r18_refuses_an_approval_of_something_else(given: ApprovalGiven) -> None:
    run = Simulator("a?", source=Source(commit_sha="c0ffee"), config_digest="d1")
    with pytest.raises(rules.ApprovalOutdated):
        rules.approve(run.state, run.task("a").id, given)


def test_r18_an_unknown_task_is_not_found() -> None:
    with pytest.raises(NotFound):
        rules.approve(Simulator("a?").state, "nothing", ApprovalGiven("ann", START))


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
