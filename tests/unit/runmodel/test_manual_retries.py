"""R24: a person asks for another attempt of a task that failed, while its run continues."""

from __future__ import annotations

import re

import pytest

from sluiceway_common.runmodel import explain, history
from sluiceway_common.runmodel.retrying import TaskCannotBeRetried
from tests.fakes.run_simulator import Simulator, span

# A graph, what happens, then the statuses and the run: after the retry of a, which is asked for last.
TABLE = [
    ("other-tasks-run", "a; b", "b runs; a fails; retry a", "a not_started, b running", "running unset"),
    ("it-is-lost", "a; b", "b runs; lose a; retry a", "a not_started, b running", "running unset"),
    ("its-attempts-were-used-up", "a *2; b", "b runs; a fails; a fails; retry a",
     "a not_started, b running", "running unset"),
    ("ignored-failure", "a!; b; c: a", "b runs; a fails; retry a",
     "a not_started, b running, c not_started", "running unset"),
    ("skipped-descendants-wait-again", "a; b; c: a; d: c", "b runs; a fails; retry a",
     "a not_started, b running, c not_started, d not_started", "running unset"),
    ("cancelled-tasks-wait-again", "a; b; c; d: c", "b runs; a fails; retry a",
     "a not_started, b running, c not_started, d not_started", "running unset"),
    ("of-two-failures-one-stays", "a; b; c; d: a", "c runs; b runs; a fails; b fails; retry a",
     "a not_started, b failed, c running, d not_started", "running failed"),
    ("a-child-that-waits-for-approval", "a; b; c?: a[on_failure]", "b runs; a fails; retry a",
     "a not_started, b running, c not_started", "running unset"),
    ("a-child-that-was-rejected-stays", "a; b; c?: a[on_failure]", "b runs; a fails; reject c; retry a",
     "a not_started, b running, c skipped", "running unset"),
    ("a-cancelled-task-whose-clean-up-began-stays", "a; b; c; d: c[on_stopped]", "b runs; a fails; d runs; retry a",
     "a not_started, b running, c cancelled, d running", "running unset"),
    ("nobody-took-it", "a +5m; b", "b runs; wait 5m; retry a", "a not_started, b running", "running unset"),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "story", "statuses", "standing"), [pytest.param(*r[1:], id=r[0]) for r in TABLE])
def test_r24_retry_undoes_what_followed_by_rules(graph: str, story: str, statuses: str, standing: str) -> None:
    run = Simulator(graph).does(story)
    assert sorted(run.statuses.split(", ")) == sorted(statuses.split(", "))
    assert run.standing == standing
    assert "a" in run.runnable_names.split()
    assert not any(task.approved for task in run.state.tasks.values())


REFUSED = [
    ("it-runs", "a; b", "a runs", "it is running"),
    ("it-succeeded", "a; b", "b runs; a succeeds", "it succeeded"),
    ("its-run-is-over", "a", "a fails", "its run is finished; restart the run from it instead"),
    ("its-run-stops", "a; b", "b runs; a fails; stop", "its run is being stopped, or timed out"),
    ("a-child-has-started", "a; b; c: a[on_failure]", "b runs; a fails; c runs",
     '"c", which depends on it, has started'),
    ("a-child-of-a-skipped-one-has-started", "a; b; c: a; d: c[always]", "b runs; a fails; d runs",
     '"d", which depends on it, has started'),
    ("ten-attempts", "a *10; b", "b runs; " + "a fails; " * 10, "it had 10 attempts"),
    ("it-waits-again", "a; b", "b runs; a fails; retry a", "only a task that failed or is lost can be"),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "story", "why"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_r24_retry_is_refused(graph: str, story: str, why: str) -> None:
    run = Simulator(graph).does(story)
    before = run.state
    with pytest.raises(TaskCannotBeRetried, match=re.escape(why)):
        run.does("retry a")
    assert run.state == before


def test_r24_success_of_the_retry_is_a_success_of_the_run() -> None:
    run = Simulator("a; b; c: a").does("b runs; a fails; wait 1m; retry a; a succeeds; b succeeds; c succeeds")
    assert run.standing == "finished success"
    assert (run.task("a").attempt, len(run.task("a").retries)) == (2, 1)


def test_r24_stop_gives_the_last_attempt_back() -> None:
    run = Simulator("a; b").does("b runs; a fails; retry a; stop; b is_stopped")
    assert run.statuses == "a failed, b stopped"
    assert (run.standing, run.task("a").attempt) == ("finished stopped", 1)


def test_r24_history_and_explanation_name_who_asked() -> None:
    run = Simulator("a; b").does("b runs; a fails; wait 1m; retry a; wait 1m; a succeeds; b succeeds")
    attempts = {task.id: [a for a in run.final.values() if a.task_id == task.id] for task in run.state.tasks.values()}
    entries = history.story(run.state.run, run.state.tasks, attempts)
    told = [entry.sentence for entry in entries if entry.task_id == run.task("a").id]
    assert told == [
        "assigned to e1",
        "failed: it failed",
        "another attempt was asked for by ann",
        "waits for an executor",
        "attempt 2 assigned to e1 after 1m",
        "succeeded",
    ]
    failed_then = history.moment(run.state.run, run.state.tasks, entries, run.now - span("90s"))
    assert failed_then.tasks[run.task("a").id][0] == "failed"
    assert explain.explain_task(run.state, run.task("a").id).reasons
