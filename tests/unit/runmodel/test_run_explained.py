"""How a run and its tasks stand is explained in every state: where a task runs, and why it ended as it did."""

from __future__ import annotations

import pytest

from sluiceway_common.runmodel import explain
from sluiceway_common.runmodel.model import AssignmentPhase
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from tests.fakes.run_simulator import START, Simulator, span, step

P = AssignmentPhase


def task(run: Simulator, name: str) -> list[str]:
    return [reason.sentence for reason in explain.explain_task(run.state, run.task(name).id).reasons]


def standing(run: Simulator, **facts: Reason) -> list[str]:
    return [reason.sentence for reason in explain.explain_standing(run.state, **facts)]


# --- tasks that run -----------------------------------------------------------------------------------------------


def test_task_that_runs_says_where_since_when_and_in_which_step() -> None:
    run = Simulator("a *2; b").does("assign a")
    assert task(run, "a") == [
        "was given to executor e1 at 2026-01-01 12:00:00Z, which has not taken it yet, attempt 1 of 2"
    ]
    run.does("wait 5s; a is_accepted; wait 1s")
    assert task(run, "a") == ["executor e1 prepares its pod since 2026-01-01 12:00:05Z, attempt 1 of 2"]
    run.does("a runs; wait 3s")
    assert task(run, "a") == ["runs on executor e1 since 2026-01-01 12:00:06Z, attempt 1 of 2"]
    running = step("running", start_time=START + span("8s"))
    run.report("a", P.RUNNING, steps={0: step("success"), 1: running})
    assert task(run, "a") == [
        'runs on executor e1 since 2026-01-01 12:00:06Z, in step 2 of 2 ("test") since 2026-01-01 12:00:08Z,'
        " attempt 1 of 2"
    ]
    assert task(run, "b")[0].startswith("it can run")


def test_task_that_is_asked_to_stop_says_why() -> None:
    run = Simulator("a @1h; b").does("a runs; b runs; wait 1h; stop")
    assert task(run, "a")[1:] == ["was told to stop at 2026-01-01 13:00:00Z: timed out after 1h"]
    assert task(run, "b")[1:] == ["was told to stop at 2026-01-01 13:00:00Z: run stopped by ann"]


# --- tasks that are over ------------------------------------------------------------------------------------------


def test_failed_task_names_step_exit_status_and_executor() -> None:
    run = Simulator("a *2; b").does("a runs; wait 90s")
    failed = step("failed", exit_status=3)
    run.report("a", P.FAILED, steps={0: step("success"), 1: failed})
    run.does("a runs; wait 90s")
    run.report("a", P.FAILED, steps={1: failed})
    assert task(run, "a") == [
        'step "test" failed with exit status 3',
        'failed in step 2 of 2 ("test") with exit status 3 on executor e1 at 2026-01-01 12:03:00Z, after 1m30s,'
        " attempt 2 of 2",
    ]


def test_ended_task_states_how_it_ended() -> None:
    run = Simulator("a; b; c; d").does("assign a; b runs; wait 2s; b succeeds; c runs")
    run.report("a", P.FAILED, steps={-1: step("failed")}, reason=Reason("setup_failed", "no such image"))
    assert task(run, "a") == ["no such image", "failed in its setup on executor e1 at 2026-01-01 12:00:02Z"]
    assert task(run, "b") == ["succeeded on executor e1 at 2026-01-01 12:00:02Z, after 2s"]
    run.lose("c")
    assert task(run, "c")[-1] == "was lost on executor e1 at 2026-01-01 12:00:02Z, after 0s"


# --- runs ---------------------------------------------------------------------------------------------------------


def test_run_that_runs_says_how_far_it_is_and_what_it_waits_for() -> None:
    run = Simulator("a; b; c: a b; d~").does("a runs; wait 1s; a succeeds; b runs")
    assert standing(run) == ["4 tasks: 1 not started, 1 skipped, 1 running, 1 succeeded"]
    waiting = Reason(ReasonCode.WAITS_FOR_EXECUTOR, "no executor can take one now")
    assert standing(run, waiting=waiting)[0] == waiting.sentence


def test_run_that_failed_names_the_tasks_that_failed_and_why() -> None:
    run = Simulator("a; b!; c: a").does("b fails; a fails")
    assert run.standing == "finished failed"
    assert standing(run) == ['task "a" failed: it failed', "3 tasks: 1 skipped, 2 failed"]


def test_of_many_tasks_that_failed_the_first_few_are_named() -> None:
    names = [f"t{n}" for n in range(8)]
    run = Simulator("; ".join(names)).does("; ".join(f"assign {name}" for name in names))
    run.does("; ".join(f"{name} fails" for name in names))
    told = standing(run)
    assert [sentence.split(":")[0] for sentence in told[:5]] == [f'task "{name}" failed' for name in names[:5]]
    assert told[5:] == ["and 3 more tasks did not succeed", "8 tasks: 8 failed"]


def test_run_that_was_stopped_says_by_whom_and_when() -> None:
    run = Simulator("a; b: a").does("a runs; wait 5s; stop; wait 5s; force stop; a is_stopped")
    assert run.standing == "finished stopped"
    assert standing(run) == [
        "run stopped by ann at 2026-01-01 12:00:05Z, by force at 2026-01-01 12:00:10Z",
        "2 tasks: 1 skipped, 1 stopped",
    ]


def test_run_that_timed_out_says_so() -> None:
    run = Simulator("a; b: a", timeout=span("1h")).does("a runs; wait 1h; a is_stopped")
    assert standing(run) == ["run timed out after 1h", "2 tasks: 1 skipped, 1 stopped"]


def test_successful_run_counts_tasks_and_expired_approvals() -> None:
    run = Simulator("a?60s; b").does("b runs; b succeeds; wait 60s")
    assert run.standing == "finished success"
    assert standing(run) == ["2 tasks: 1 skipped, 1 succeeded", 'approval of "a" expired']


def test_cancelled_run_says_by_whom() -> None:
    run = Simulator("a", start=False)
    run.does("cancel")
    assert standing(run) == ["the run was cancelled by ann before it started"]


@pytest.mark.parametrize("story", ["", "a runs", "a fails", "a succeeds; stop", "stop", "a runs; stop; a is_stopped"])
def test_no_run_and_no_task_is_without_a_word(story: str) -> None:
    run = Simulator("a; b: a; c?").does(story)
    assert standing(run)
    assert all(explained.reasons for explained in explain.explain_run(run.state))
