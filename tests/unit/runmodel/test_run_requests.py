"""What people ask of a run: R0, R17, R18."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.runmodel import explain, requests
from sluiceway_common.runmodel.model import ApprovalGiven, ApprovalNeed, Source, TaskStatus
from tests.fakes.run_simulator import START, Simulator


def test_r0_start_sets_phase_and_time_and_then_the_pass_runs() -> None:
    run = Simulator("a~; b: a[on_skipped]", start=False)
    assert (run.standing, run.runnable) == ("queued unset", ())
    run.start()
    assert (run.standing, run.runnable_names) == ("running unset", "b")
    assert run.state.run.start_time == START


def test_r0_a_run_that_is_not_queued_cannot_be_started() -> None:
    run = Simulator("a")
    with pytest.raises(requests.RunNotQueued, match="running, not queued"):
        run.start()


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
    with pytest.raises(requests.TaskNotWaiting, match=why):
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
    with pytest.raises(requests.ApprovalOutdated):
        requests.approve(run.state, run.task("a").id, given, is_owner=False)


def test_r18_approval_for_owners_is_refused_to_others() -> None:
    run = Simulator("a?; b: a")
    state = run.state.with_task(replace(run.task("a"), approval=ApprovalNeed(owners_only=True)))
    task_id, given = run.task("a").id, ApprovalGiven("ann", START)
    with pytest.raises(requests.ApprovalNeedsOwner, match='"a" can be approved by owners of its project only'):
        requests.approve(state, task_id, given, is_owner=False)
    with pytest.raises(requests.ApprovalNeedsOwner, match="can be rejected by owners"):
        requests.reject(state, task_id, by="ann", is_owner=False, why="", now=START)
    assert requests.approve(state, task_id, given, is_owner=True).state.tasks[task_id].approved == given
    rejected = requests.reject(state, task_id, by="ann", is_owner=True, why="", now=START)
    assert rejected.state.tasks[task_id].status is TaskStatus.SKIPPED
    (reason,) = explain.explain_task(state, task_id).reasons
    assert "waits for approval by an owner of the project" in reason.sentence


def test_r18_an_unknown_task_is_not_found() -> None:
    with pytest.raises(NotFound):
        requests.approve(Simulator("a?").state, "nothing", ApprovalGiven("ann", START), is_owner=False)
