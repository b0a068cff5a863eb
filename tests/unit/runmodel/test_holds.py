"""H1-H6: a held task counts as running, its timeout stands still, and a hold has one end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.foundation.errors import NotFound
from sluiceway_common.runmodel import history, holds, invariants, rules, stopping, updates
from sluiceway_common.runmodel.model import AssignmentPhase, HoldAction, HoldOrder, TaskStatus
from sluiceway_common.runmodel.updates import ReportOutcome
from tests.fakes.run_simulator import START, Simulator, span, step

AGAIN, NEXT, RELEASE = HoldAction.RUN_FAILED_STEP, HoldAction.RUN_NEXT_STEP, HoldAction.RELEASE


def report_hold(run: Simulator, number: int | None, limit: str = "30m") -> ReportOutcome:
    """Report that task `a` runs, and that its pod is held (None: that it is not)."""
    live = run.live("a")
    hold = None if number is None else holds.ReportedHold(number, 0, span(limit))
    phase = "failed" if number is not None else "running"
    steps = run.task("a").steps.merged([step(phase, step=0, exit_status=1, reruns=0 if number else 1)])  # type: ignore[attr-defined]
    said = updates.Report(live.id, live.epoch, live.session, AssignmentPhase.RUNNING, steps=steps, hold=hold)
    reported = updates.report(run.state, live, said, run.now)
    if reported.outcome is ReportOutcome.APPLIED:
        run.state = rules.settle(reported.change, run.now).state
    return reported.outcome


def held(graph: str = "a @1h; b: a") -> Simulator:
    run = Simulator(graph).does("a runs; wait 20m")
    report_hold(run, 1)
    return run


def order(run: Simulator, action: HoldAction, hold: int = 0) -> None:
    change = holds.order(run.state, run.task("a").id, action, by="ada", now=run.now, hold=hold)
    run.state = rules.settle(change, run.now).state
    invariants.check(run.state)


def test_h1_held_task_is_running_for_its_run() -> None:
    run = held()
    assert run.standing == "running unset"
    assert run.statuses == "a running, b not_started"
    reason = run.task("a").reason
    assert reason is not None
    assert reason.sentence == 'failed, held until 2026-01-01 12:50:00Z: step "build" failed with exit status 1'


def test_h2_repeated_report_of_a_hold_is_no_news() -> None:
    run = held()
    first = run.task("a").hold
    run.wait(span("5m"))
    assert report_hold(run, 1) is ReportOutcome.NO_EFFECT
    assert run.task("a").hold == first


def test_h3_timeout_of_the_task_stands_still_while_it_is_held() -> None:
    run = held()
    assert stopping.next_deadline(run.state.forget()) is None
    run.wait(span("2h"))
    assert not run.live("a").timed_out
    report_hold(run, None)
    assert (run.task("a").hold, run.task("a").held, run.task("a").reason) == (None, span("2h"), None)
    run.wait(span("39m"))
    assert not run.live("a").timed_out
    run.wait(span("60s"))
    assert run.live("a").timed_out


def test_h3_timeout_of_the_run_ends_a_hold() -> None:
    run = Simulator("a; b: a", timeout=span("1h")).does("a runs; wait 20m")
    report_hold(run, 1)
    run.wait(span("40m"))
    assert run.live("a").stop_requested == run.now


@pytest.mark.parametrize("action", HoldAction)
def test_h4_order_is_for_the_present_hold_and_kept(action: HoldAction) -> None:
    run = held()
    order(run, action)
    told = run.live("a").hold_order
    assert told is not None
    assert (told.hold, told.action, told.by) == (1, action, "ada")
    assert run.task("a").continuations == (told,)
    order(run, action)
    assert run.task("a").continuations == (told,)


# id, what happens before, the order, the hold that is meant, what is raised, a part of the sentence
REFUSED = [
    ("another-end", "again", RELEASE, 0, holds.HoldEnds, "ada asked for another end of the hold: to run the failed"),
    ("an-earlier-hold", "", AGAIN, 7, holds.TaskNotHeld, "its present one is number 1"),
    ("not-held-any-more", "continued", AGAIN, 0, holds.TaskNotHeld, "is running; its pod is not held"),
    ("over", "over", AGAIN, 0, holds.TaskNotHeld, 'the pod of task "a" is not held: it failed'),
    ("stopping", "stop", AGAIN, 0, holds.HoldEnds, "is being stopped"),
]


@pytest.mark.parametrize(
    ("before", "action", "hold", "error", "sentence"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED]
)
def test_h4_other_orders_are_refused(
    before: str, action: HoldAction, hold: int, error: type[Exception], sentence: str
) -> None:
    run = held()
    if before == "again":
        order(run, AGAIN)
    elif before == "continued":
        report_hold(run, None)
    elif before == "over":
        run.does("a fails")
    elif before == "stop":
        run.does("stop")
    with pytest.raises(error, match=sentence):
        order(run, action, hold)


def test_h4_second_hold_has_its_own_order() -> None:
    run = held()
    order(run, AGAIN)
    report_hold(run, None)
    report_hold(run, 2)
    order(run, NEXT)
    assert [(each.hold, each.action) for each in run.task("a").continuations] == [(1, AGAIN), (2, NEXT)]


def test_h4_task_is_not_continued_without_end() -> None:
    run = held()
    task = run.task("a")
    many = tuple(HoldOrder(1, AGAIN, "ada", run.now) for _ in range(holds.MAX_CONTINUATIONS))
    run.state = run.state.with_task(replace(task, continuations=many))
    with pytest.raises(holds.HoldEnds, match="continued 100 times"):
        order(run, AGAIN)
    order(run, RELEASE)


def test_h4_order_for_a_task_that_is_not_there() -> None:
    with pytest.raises(NotFound):
        holds.order(held().state, "none", AGAIN, by="ada", now=held().now)


@pytest.mark.parametrize("end", ["a fails", "a succeeds", "lose a"])
def test_h5_end_of_the_attempt_ends_its_hold(end: str) -> None:
    run = held().does(end)
    assert run.task("a").hold is None
    assert run.task("a").status is not TaskStatus.RUNNING


def test_next_attempt_begins_without_holds() -> None:
    run = held("a @1h *2")
    order(run, RELEASE)
    run.does("wait 10m; a fails")
    task = run.task("a")
    assert (task.status, task.held, task.continuations) == (TaskStatus.NOT_STARTED, timedelta(), ())


def test_history_tells_of_holds_and_of_who_ended_them() -> None:
    run = held()
    order(run, AGAIN)
    report_hold(run, None)
    run.does("wait 1m")
    report_hold(run, 2)
    told = history.story(run.state.run, run.state.tasks, {run.task("a").id: [run.live("a")]})
    assert [(entry.time - START, entry.sentence) for entry in told][-2:] == [
        (span("20m"), "ada asked to run the failed step again"),
        (span("21m"), "failed, held until 2026-01-01 12:51:00Z: a step failed"),
    ]


def test_limit_of_a_hold_is_at_most_a_day() -> None:
    run = Simulator("a").does("a runs")
    report_hold(run, 1, "9d")
    hold = run.task("a").hold
    assert hold is not None
    assert hold.expire_time - hold.start_time == timedelta(days=1)


@given(st.lists(st.sampled_from(["hold", "continue", "order", "wait 7m"]), max_size=12))
def test_time_held_is_that_between_its_reports(sentences: list[str]) -> None:
    run = Simulator("a @1h").does("a runs")
    number, expected, since = 0, timedelta(), None
    for sentence in sentences:
        if sentence == "hold" and since is None:
            number += 1
            report_hold(run, number)
            since = run.now
        elif sentence == "continue" and since is not None:
            report_hold(run, None)
            expected, since = expected + (run.now - since), None
        elif sentence == "order" and since is not None:
            order(run, AGAIN)
        elif sentence.startswith("wait"):
            run.does(sentence)
        invariants.check(run.state)
    assert run.task("a").held == expected
    assert (run.task("a").hold is not None) == (since is not None)
