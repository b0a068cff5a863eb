"""R13 and R15: what is taken in, what has no effect, and what is refused; and how an attempt is assigned or adopted."""

from __future__ import annotations

import pytest

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel import rules, updates
from sluiceway_common.runmodel.model import Archive, Assignment, AssignmentPhase, Epoch, RetryCause, TaskStatus
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.updates import ReportOutcome
from tests.fakes.run_simulator import START, Simulator, phases, span, step

P = AssignmentPhase
APPLIED, NO_EFFECT, REFUSED = ReportOutcome.APPLIED, ReportOutcome.NO_EFFECT, ReportOutcome.REFUSED

# id, phases reported before, phase reported now, what becomes of it, code of the refusal
LINE = [
    ("accepted-is-news", [], P.ACCEPTED, APPLIED, None),
    ("assigned-is-stored-already", [], P.ASSIGNED, NO_EFFECT, None),
    ("running-may-overtake-accepted", [], P.RUNNING, APPLIED, None),
    ("an-end-may-overtake-all", [], P.SUCCESS, APPLIED, None),
    ("accepted-twice", [P.ACCEPTED], P.ACCEPTED, NO_EFFECT, None),
    ("accepted-is-passed-by-running", [P.RUNNING], P.ACCEPTED, NO_EFFECT, None),
    ("running-is-passed-by-success", [P.RUNNING, P.SUCCESS], P.RUNNING, NO_EFFECT, None),
    ("running-is-passed-by-lost", [P.RUNNING, P.LOST], P.RUNNING, NO_EFFECT, None),
    ("success-twice", [P.SUCCESS], P.SUCCESS, NO_EFFECT, None),
    ("failed-twice", [P.FAILED], P.FAILED, NO_EFFECT, None),
    ("failed-after-success", [P.SUCCESS], P.FAILED, REFUSED, ReasonCode.ATTEMPT_ENDED_OTHERWISE),
    ("success-after-lost", [P.LOST], P.SUCCESS, REFUSED, ReasonCode.ATTEMPT_ENDED_OTHERWISE),
    ("stopped-after-failed", [P.FAILED], P.STOPPED, REFUSED, ReasonCode.ATTEMPT_ENDED_OTHERWISE),
    ("lost-by-its-own-word", [P.RUNNING], P.LOST, APPLIED, None),
    ("cancelled-before-its-pod-started", [P.ACCEPTED], P.CANCELLED, APPLIED, None),
]


@pytest.mark.parametrize(("before", "phase", "outcome", "code"), [pytest.param(*row[1:], id=row[0]) for row in LINE])
def test_an_attempt_moves_forward_along_one_line(
    before: list[AssignmentPhase], phase: AssignmentPhase, outcome: ReportOutcome, code: str | None
) -> None:
    run = Simulator("a; b")
    assignment = run.assign("a")
    for earlier in before:
        assert run.report("a", earlier, assignment=assignment).outcome is APPLIED
    events = len(run.events)
    reported = run.report("a", phase, assignment=assignment)
    assert reported.outcome is outcome
    assert (reported.reason.code if reported.reason else None) == code
    if outcome is not APPLIED:
        assert len(run.events) == events


STRANGERS = [
    ("older-epoch", {"epoch": Epoch(0, 1)}, ReasonCode.STALE_EPOCH),
    ("newer-database-epoch", {"epoch": Epoch(2, 1)}, ReasonCode.STALE_EPOCH),
    ("another-attempt", {"epoch": Epoch(1, 2)}, ReasonCode.STALE_EPOCH),
    ("another-session", {"session": "s0"}, ReasonCode.STALE_SESSION),
]


@pytest.mark.parametrize(("of", "code"), [pytest.param(*row[1:], id=row[0]) for row in STRANGERS])
@pytest.mark.parametrize("phase", [P.RUNNING, P.SUCCESS, P.LOST])
def test_news_of_a_stranger_is_refused_without_effect(of: dict[str, object], code: str, phase: AssignmentPhase) -> None:
    run = Simulator("a")
    run.assign("a")
    reported = run.report("a", phase, **of)  # type: ignore[arg-type]
    assert reported.reason is not None
    assert (reported.outcome, reported.reason.code) == (REFUSED, code)


@pytest.mark.parametrize(("of", "code"), [pytest.param(*row[1:], id=row[0]) for row in STRANGERS])
def test_no_news_is_acknowledged_whoever_says_it(of: dict[str, object], code: str) -> None:
    run = Simulator("a").does("a runs")
    assert run.report("a", P.ACCEPTED, **of).outcome is NO_EFFECT  # type: ignore[arg-type]


def test_other_end_of_a_retried_attempt_is_refused() -> None:
    run = Simulator("a *2 %lost")
    first = run.assign("a")
    run.lose("a")
    second = run.assign("a", executor="e2", session="s2")
    assert second.epoch == Epoch(1, 2)
    assert run.report("a", P.SUCCESS, assignment=first).outcome is REFUSED
    assert run.report("a", P.LOST, assignment=first).outcome is NO_EFFECT
    assert run.task("a").status is TaskStatus.RUNNING


def test_an_assignment_that_is_not_known_is_refused() -> None:
    run = Simulator("a")
    said = updates.Report("nothing", Epoch(1, 1), "s1", P.RUNNING)
    reported = updates.report(run.state, None, said, run.now)
    assert reported.reason is not None
    assert (reported.outcome, reported.reason.code) == (REFUSED, ReasonCode.UNKNOWN_ASSIGNMENT)


STATUS = [
    ("success", P.SUCCESS, None, TaskStatus.SUCCESS, False, None),
    ("failed", P.FAILED, None, TaskStatus.FAILED, False, "it failed"),
    ("timeout", P.FAILED, RetryCause.TIMEOUT, TaskStatus.FAILED, True, "timed out after 1h"),
    ("setup", P.FAILED, RetryCause.SETUP, TaskStatus.FAILED, False, "its setup failed; the setup log says why"),
    ("stopped", P.STOPPED, None, TaskStatus.STOPPED, False, "it was stopped"),
    ("cancelled", P.CANCELLED, None, TaskStatus.STOPPED, False, "it was stopped before its pod started"),
    ("lost", P.LOST, None, TaskStatus.LOST, False, "its executor lost it"),
]


@pytest.mark.parametrize(
    ("phase", "cause", "status", "timed_out", "sentence"), [pytest.param(*row[1:], id=row[0]) for row in STATUS]
)
def test_the_end_of_the_last_attempt_gives_the_task_its_status(
    phase: AssignmentPhase, cause: RetryCause | None, status: TaskStatus, timed_out: bool, sentence: str | None
) -> None:
    run = Simulator("a @1h; b")
    run.assign("a")
    run.report("a", phase, cause)
    task = run.task("a")
    assert (task.status, task.timed_out, task.end_time) == (status, timed_out, run.now)
    assert (task.reason.sentence if task.reason else None) == sentence
    assert run.final[task.assignment].phase is phase


def test_the_reason_that_the_executor_gives_is_kept() -> None:
    run = Simulator("a *2 %lost; b")
    run.assign("a")
    run.report("a", P.FAILED, reason=Reason(ReasonCode.ARCHIVE, "the archive of step 2 could not be stored"))
    # `archive` is `failed` to retry.on
    assert run.final["assignment-0001"].cause is RetryCause.FAILED
    run.assign("a")
    run.report("a", P.LOST, reason=Reason(ReasonCode.DRAINED, "the executor was drained"))
    assert run.task("a").reason == Reason("drained", "the executor was drained")


def test_report_of_steps_has_an_effect_once() -> None:
    run = Simulator("a").does("a runs")
    assert run.report("a", P.RUNNING, steps={-1: step("success"), 0: step("running")}).outcome is APPLIED
    assert run.report("a", P.RUNNING, steps={0: step("running")}).outcome is NO_EFFECT
    assert phases(run.task("a").steps) == "success, running, not_started"


def test_archives_of_a_report_are_kept() -> None:
    run = Simulator("a").does("a runs")
    run.report("a", P.RUNNING, archives=(Archive(1, "digest", 7),))
    assert run.task("a").archives == (Archive(1, "digest", 7),)


def test_archives_belong_to_one_attempt() -> None:
    run = Simulator("a *2; b").does("assign a b")
    run.report("a", P.FAILED, archives=(Archive(1, "digest", 7),))
    assert run.task("a").archives == ()
    run.stop()
    assert run.task("a").archives == (Archive(1, "digest", 7),)


def test_end_by_timeout_may_be_repeated_but_not_changed() -> None:
    run = Simulator("a @1h; b").does("a runs; wait 1h")
    live = run.live("a")
    assert run.report("a", P.STOPPED, assignment=live).outcome is APPLIED
    assert run.final[live.id].phase is P.FAILED
    assert run.report("a", P.STOPPED, assignment=live).outcome is NO_EFFECT
    assert run.report("a", P.SUCCESS, assignment=live).outcome is REFUSED


def test_timed_out_task_has_the_timeout_as_its_reason() -> None:
    run = Simulator("a @1h; b").does("a runs; wait 1h")
    timed_out = Reason(ReasonCode.TIMEOUT, "timed out after 1h")
    assert run.live("a").stop_reason == timed_out
    run.report("a", P.STOPPED, reason=Reason(ReasonCode.STOPPED, "stopped on request"))
    assert run.task("a").reason == timed_out


@pytest.mark.parametrize("end", [P.STOPPED, P.CANCELLED])
def test_stopped_task_has_the_stop_as_its_reason(end: AssignmentPhase) -> None:
    run = Simulator("a; b").does("a runs; stop; force stop")
    stopped = Reason(ReasonCode.RUN_STOPPED, "run stopped by ann")
    assert run.live("a").stop_reason == stopped
    run.report("a", end, reason=Reason(ReasonCode.STOPPED, "stopped on request"))
    assert (run.task("a").status, run.task("a").reason) == (TaskStatus.STOPPED, stopped)


def test_task_that_succeeded_before_its_stop_has_no_reason() -> None:
    run = Simulator("a; b").does("a runs; stop; a succeeds")
    assert (run.task("a").status, run.task("a").reason) == (TaskStatus.SUCCESS, None)


def test_steps_of_an_attempt_that_is_over_do_not_run() -> None:
    run = Simulator("a").does("a runs")
    run.report("a", P.RUNNING, steps={0: step("running")})
    run.lose("a")
    assert phases(run.task("a").steps) == "skipped, stopped, skipped"


def test_times_are_those_of_the_transaction() -> None:
    run = Simulator("a").does("assign a; wait 1m; a is_accepted; wait 1m; a runs; wait 1m; a succeeds")
    done = run.final["assignment-0001"]
    assert (done.assign_time, done.accept_time, done.start_time, done.end_time) == (
        START,
        START + span("1m"),
        START + span("2m"),
        START + span("3m"),
    )
    assert (run.task("a").start_time, run.task("a").end_time) == (START + span("2m"), START + span("3m"))


def test_mark_lost_ignores_ended_attempts_and_is_idempotent() -> None:
    run = Simulator("a; b; c").does("assign a b; c succeeds")
    ids = [run.task(name).assignment for name in "abc"]
    reason = Reason(ReasonCode.EXECUTOR_VANISHED, "e1 vanished")
    change = updates.mark_lost(run.state, [*ids, "nothing"], reason=reason, now=run.now)
    assert [a.id for a in change.assignments] == ids[:2]
    run.settle(change)
    assert run.statuses == "a lost, b lost, c success"
    assert run.task("a").reason == reason
    assert updates.mark_lost(run.state, ids, reason=reason, now=run.now).state == run.state


def test_two_attempts_lost_at_once_are_both_retried() -> None:
    run = Simulator("a *2 %lost; b *2 %lost").does("assign a b")
    ids = [run.task(name).assignment for name in "ab"]
    run.settle(updates.mark_lost(run.state, ids, reason=Reason("x", "y"), now=run.now))
    assert run.runnable_names == "a b"


def test_an_assignment_carries_epoch_session_and_lock() -> None:
    run = Simulator("a =deploy")
    assignment = run.assign("a", executor="e7", session="s7")
    assert assignment == Assignment(
        id="assignment-0001",
        run_id="run-1",
        task_id="run-1/a",
        epoch=Epoch(1, 1),
        executor="e7",
        session="s7",
        assign_time=START,
        lock=("/project/p1", "deploy"),
    )
    assert run.task("a").executor == "e7"


@pytest.mark.parametrize(
    ("text", "story"),
    [
        pytest.param("b; a: b", "", id="its-parent-is-not-finished"),
        pytest.param("a?", "", id="its-approval-is-not-given"),
        pytest.param("a; b", "a succeeds", id="it-is-over"),
        pytest.param("a", "assign a", id="it-is-assigned"),
        pytest.param("a~; b", "", id="it-was-skipped"),
        pytest.param("a", "stop", id="its-run-is-over"),
    ],
)
def test_only_a_runnable_task_is_assigned(text: str, story: str) -> None:
    run = Simulator(text).does(story)
    with pytest.raises(updates.TaskNotRunnable):
        run.assign("a")


def test_only_a_task_of_the_run_is_assigned() -> None:
    run = Simulator("a")
    with pytest.raises(NotFound):
        updates.assign(run.state, "x", assignment_id="i", executor="e", session="s", database_epoch=1, now=run.now)


def held(attempt: int = 1, phase: AssignmentPhase = P.RUNNING) -> Assignment:
    return Assignment("x", "run-1", "run-1/a", Epoch(1, attempt), "e1", "s1", START, phase=phase, start_time=START)


def test_an_attempt_that_the_log_lost_is_adopted_as_it_is() -> None:
    run = Simulator("a *3; b: a")
    run.settle(updates.adopt(run.state, held(2), run.now))
    task = run.task("a")
    assert (task.status, task.attempt, task.executor) == (TaskStatus.RUNNING, 2, "e1")
    assert run.live("a") == held(2)
    assert run.report("a", P.SUCCESS).outcome is APPLIED
    assert run.runnable_names == "b"


def test_adopted_attempt_of_an_ending_run_is_stopped() -> None:
    run = Simulator("x; a: x[always]").does("assign x; stop")
    adopted = updates.adopt(run.state, held(), run.now)
    assert adopted.assignments[0].stop_requested == run.now


@pytest.mark.parametrize(
    ("story", "assignment"),
    [
        pytest.param("assign a", held(), id="the-task-runs"),
        pytest.param("a fails", held(1), id="the-task-is-at-a-later-attempt"),
        pytest.param("", held(1, P.SUCCESS), id="the-attempt-is-over"),
        pytest.param("stop", held(), id="the-run-is-over"),
    ],
)
def test_adoption_is_refused_otherwise(story: str, assignment: Assignment) -> None:
    run = Simulator("a *3").does(story)
    with pytest.raises(updates.TaskNotRunnable):
        updates.adopt(run.state, assignment, run.now)


def test_later_of_two_merged_changes_of_an_assignment_wins() -> None:
    run = Simulator("a").does("assign a")
    live = run.live("a")
    first = updates.report(run.state, live, updates.Report(live.id, live.epoch, "s1", P.RUNNING), run.now).change
    now_live = first.state.assignments[live.id]
    second = updates.report(first.state, now_live, updates.Report(live.id, live.epoch, "s1", P.SUCCESS), run.now).change
    both = first.then(second)
    assert [a.phase for a in both.assignments] == [P.SUCCESS]
    assert rules.settle(both, run.now).run.result == "success"
