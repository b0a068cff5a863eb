"""Which tasks a restart runs again, and which it keeps."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_common.runmodel import requests, rules
from sluiceway_common.runmodel.creation import Created
from sluiceway_common.runmodel.invariants import check
from sluiceway_common.runmodel.model import Archive, AssignmentPhase, RestartKind, RestartOf, TaskStatus
from sluiceway_common.runmodel.restart import RestartPlan, RunCannotBeRestarted, WorkspaceExpired, plan_restart, restart
from sluiceway_common.runmodel.state import RunState
from sluiceway_server.runrecords.steps import EncodedSteps
from tests.fakes.run_simulator import START, Simulator, graph

START_, FAILED, TASKS = RestartKind.FROM_START, RestartKind.FROM_FAILED, RestartKind.FROM_TASKS


def again(run: Simulator, kind: RestartKind, chosen: str = "") -> str:
    plan = plan_restart(run.state, kind, chosen=[run.task(name).id for name in chosen.split()])
    assert sorted((*plan.again, *plan.kept)) == sorted(run.state.tasks)
    return " ".join(run.names(plan.again))


def made(run: Simulator, plan: RestartPlan) -> Created:
    ids = {key: f"new/{run.state.tasks[key].name}" for key in plan.again}
    return restart(run.state, plan, run_id="run-2", number=2, new_ids=ids, created_by="ann", now=START)


# id, graph, what happened, kind, chosen, what runs again
CASES = [
    ("all-from-start", "a; b: a; c~", "a succeeds; b succeeds", START_, "", "a c b"),
    ("failed-and-below", "a; b; c: b; d: c", "a succeeds; b succeeds; c fails", FAILED, "", "c d"),
    ("ignored-failures-too", "a!; b; c: b", "a fails; b succeeds; c fails", FAILED, "", "a c"),
    ("lost", "a; b", "assign b; lose a; b succeeds", FAILED, "", "a"),
    ("stopped", "a; b: a", "assign a; stop; a is_stopped", FAILED, "", "a b"),
    ("cancelled-roots", "a; b; c: b", "a fails", FAILED, "", "a b c"),
    ("skipped-by-an-expired-approval", "a; b?60s; c", "assign a c; c succeeds; wait 60s; a fails", FAILED, "", "a b"),
    ("skipped-by-a-rejected-approval", "a; b?; c", "assign a c; c succeeds; reject b; a fails", FAILED, "", "a b"),
    ("given-up-waiting", "a; b +10m; c: b", "a succeeds; wait 10m", FAILED, "", "b c"),
    ("skipped-by-when-is-kept", "a~; b: a[on_skipped]; c", "assign b c; b succeeds; c fails", FAILED, "", "c"),
    ("skipped-by-an-edge-is-kept", "a; b: a[on_failure]; c: a", "a succeeds; c fails", FAILED, "", "c"),
    ("a-success-below-a-failure-runs-again", "a!; b: a[always]; c: b", "a fails; b succeeds; c fails", FAILED, "",
     "a b c"),
    ("chosen-and-below", "a; b: a; c: a; d: b", "a succeeds; b succeeds; c succeeds; d succeeds", TASKS, "b", "b d"),
    ("chosen-and-failed", "a; b; c: b", "assign a b; a succeeds; b succeeds; c fails", TASKS, "a", "a c"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "story", "kind", "chosen", "names"), [pytest.param(*row[1:], id=row[0]) for row in CASES]
)
def test_runs_again(text: str, story: str, kind: RestartKind, chosen: str, names: str) -> None:
    run = Simulator(text).does(story)
    assert run.state.run.phase.is_terminal
    assert again(run, kind, chosen) == names


REFUSED = [
    ("running", "a", "", START_, "while it is running"),
    ("from-failed-of-a-success", "a", "a succeeds", FAILED, "it is a success"),
]


@pytest.mark.parametrize(("text", "story", "kind", "why"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_is_refused_with_the_reason(text: str, story: str, kind: RestartKind, why: str) -> None:
    with pytest.raises(RunCannotBeRestarted, match=why):
        plan_restart(Simulator(text).does(story).state, kind)


def test_restart_of_a_queued_or_cancelled_run() -> None:
    run = Simulator("a; b: a", start=False)
    with pytest.raises(RunCannotBeRestarted, match="while it is queued"):
        plan_restart(run.state, START_)
    run.does("cancel")
    assert again(run, START_) == "a b"
    for kind, chosen in ((FAILED, []), (TASKS, ["run-1/a"])):
        with pytest.raises(RunCannotBeRestarted, match="it was cancelled"):
            plan_restart(run.state, kind, chosen=chosen)


def test_a_run_with_setup_errors_cannot_be_restarted() -> None:
    run = Simulator("a: a", start=False)
    for kind in (START_, FAILED):
        with pytest.raises(RunCannotBeRestarted, match="setup errors"):
            plan_restart(run.state, kind)


@pytest.mark.parametrize(
    ("kind", "chosen", "fault"),
    [
        pytest.param(TASKS, [], "at least one", id="none-chosen"),
        pytest.param(TASKS, ["nothing"], "has no task", id="unknown"),
        pytest.param(TASKS, ["run-1/b"], '"when" does not match', id="when"),
        pytest.param(FAILED, ["run-1/a"], "restart from tasks only", id="chosen-for-another-kind"),
    ],
)
def test_a_choice_that_cannot_work_is_refused(kind: RestartKind, chosen: list[str], fault: str) -> None:
    run = Simulator("a; b~").does("a fails")
    with pytest.raises(InvalidInput, match=fault):
        plan_restart(run.state, kind, chosen=chosen)


def test_task_skipped_by_when_stays_skipped_in_a_restart() -> None:
    run = Simulator("a; b~: a; c: b[on_skipped]").does("assign a; c succeeds; a fails")
    new = made(run, plan_restart(run.state, FAILED))
    assert [(t.id, t.status) for t in new.tasks] == [
        ("new/a", "not_started"),
        ("new/b", "skipped"),
        ("new/c", "not_started"),
    ]


def test_restart_keeps_finished_tasks_and_resets_the_rest() -> None:
    run = Simulator("a; b? *2: a; c: b", priority=3).does("a succeeds; approve b; b fails; b fails")
    plan = plan_restart(run.state, FAILED)
    new = made(run, plan)
    assert (new.run.phase, new.run.number, new.run.group, new.run.priority) == ("queued", 2, run.state.run.group, 3)
    assert new.run.restart_of == RestartOf("run-1", FAILED)
    by_name = {task.name: task for task in new.tasks}
    assert by_name["a"] == replace(run.task("a"), kept_from="run-1")
    b = by_name["b"]
    assert (b.id, b.attempt, b.approved, b.assignment, b.previous) == ("new/b", 1, None, "", None)
    assert [edge.parent for edge in b.depends] == ["run-1/a"]
    assert [edge.parent for edge in by_name["c"].depends] == ["new/b"]
    assert [(e.task_id, e.new) for e in new.events] == [("", "queued"), ("run-1/a", "success")]
    state = RunState.of(new.run, new.tasks)
    check(state)
    after = rules.settle(requests.start_run(state, START), START)
    check(after.state, before=state)
    assert after.state.tasks["new/b"].waiting_since == START


def test_a_task_that_is_kept_again_remembers_where_it_ran() -> None:
    run = Simulator("a; b: a").does("a succeeds; b fails")
    first = made(run, plan_restart(run.state, FAILED))
    kept = next(task for task in first.tasks if task.name == "a")
    run.state = RunState.of(replace(run.state.run, id="run-3"), [kept, run.task("b")])
    second = made(run, plan_restart(run.state, FAILED))
    assert next(task for task in second.tasks if task.name == "a").kept_from == "run-1"


RESTORES = EncodedSteps.of_definitions(
    [definition_api.StepDefinition(name="r", restore_workspace=definition_api.RestoreWorkspaceStep())]
)


def with_restore(text: str, *names: str) -> Simulator:
    return Simulator(tuple(replace(task, steps=RESTORES) if task.name in names else task for task in graph(text)))


def test_an_archive_that_is_needed_and_has_expired_is_said() -> None:
    run = with_restore("a; x; b: a; c: b; d: x", "c").does("assign a x")
    run.report("a", AssignmentPhase.SUCCESS, archives=(Archive(0, "of-a", 1),))
    run.report("x", AssignmentPhase.SUCCESS, archives=(Archive(0, "of-x", 1),))
    run.does("b succeeds; d succeeds; c fails")
    # `a` is an ancestor of `c` through `b`; nobody who runs again restores what `x` saved.
    assert plan_restart(run.state, FAILED, expired=["of-x"]).needed_archives == {"of-a"}
    with pytest.raises(WorkspaceExpired, match='workspace of "a" has expired'):
        plan_restart(run.state, FAILED, expired=["of-a"])
    assert plan_restart(run.state, START_, expired=["of-a"]).needed_archives == frozenset()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_a_restart_of_any_run_is_a_sound_run_that_can_end(seed: int) -> None:
    rng = random.Random(seed)
    conditions = ("on_success", "on_failure", "on_skipped", "on_stopped", "always")
    text = "; ".join(
        f"t{n}{'!' * (rng.random() < 0.2)}{'~' * (rng.random() < 0.1)}: "
        + " ".join(f"t{p}[{rng.choice(conditions)}]" for p in rng.sample(range(n), min(n, rng.randrange(3))))
        for n in range(rng.randrange(1, 9))
    )
    names = [part.name for part in graph(text)]
    outcomes = {name: rng.choice(("succeeds", "fails", "is_stopped")) for name in names}
    run = Simulator(text).finish(outcomes)
    for kind in (START_, FAILED):
        if kind is FAILED and run.state.run.result == "success":
            continue
        new = made(run, plan_restart(run.state, kind))
        second = Simulator("a", start=False)
        second.state = RunState.of(new.run, new.tasks)
        second.last_assignment = run.last_assignment  # ids never return
        check(second.state)
        second.start()
        second.finish()
        assert second.state.run.result == "success"
        assert all(task.status is not TaskStatus.LOST for task in second.state.tasks.values())
