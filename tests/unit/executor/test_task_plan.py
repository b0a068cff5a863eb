"""A task's life on its executor: tables of stories, and properties of all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_executor.plan import (
    BudgetSpent,
    Event,
    Finish,
    Instruction,
    Life,
    LimitPassed,
    MakePod,
    Outcome,
    PodGone,
    PodStarted,
    SetupFailed,
    StartBudget,
    StartStep,
    StepEnded,
    StepPlan,
    StopPod,
    StopRequested,
    StopSetup,
    StopStep,
    TaskPhase,
    TimeIsUp,
    advance,
    begin,
    check,
)

A = StepPlan("a")
B = StepPlan("b")
CLEAN = StepPlan("clean", always=True)
SKIPPED = StepPlan("skipped", skip=True)
SPENT = "the `always` steps took longer than 5m"
FULL = LimitPassed("LIMIT_DISK", "the disk was nearly full")


def live(plans: list[StepPlan], events: list[Event]) -> tuple[Life, list[Instruction]]:
    life, first = begin(plans)
    told = list(first)
    check(life)
    for event in events:
        life, instructions = advance(life, event)
        check(life)
        told += instructions
    return life, told


def phases(life: Life) -> str:
    return " ".join(step.phase.value for step in life.steps)


@pytest.mark.parametrize(
    ("plans", "events", "outcome", "steps", "told"),
    [
        pytest.param(
            [A, B],
            [PodStarted(), StepEnded(0, 0), StepEnded(1, 0)],
            Outcome.SUCCESS,
            "success success",
            [MakePod(), StartStep(0), StartStep(1), Finish()],
            id="steps run in order",
        ),
        pytest.param(
            [], [PodStarted()], Outcome.SUCCESS, "", [MakePod(), Finish()], id="a task without steps succeeds"
        ),
        pytest.param(
            [A, SKIPPED, B],
            [PodStarted(), StepEnded(0, 0), StepEnded(2, 0)],
            Outcome.SUCCESS,
            "success skipped success",
            [MakePod(), StartStep(0), StartStep(2), Finish()],
            id="a step whose condition did not match is passed over",
        ),
        pytest.param(
            [A, B, CLEAN],
            [PodStarted(), StepEnded(0, 3), StepEnded(2, 0)],
            Outcome.FAILED,
            "failed skipped success",
            [MakePod(), StartStep(0), StartBudget(), StartStep(2), Finish()],
            id="after a failed step only always steps run",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StepEnded(0, 0), StepEnded(1, 4)],
            Outcome.FAILED,
            "success failed",
            [MakePod(), StartStep(0), StartStep(1), Finish()],
            id="an always step that fails fails the task",
        ),
        pytest.param(
            [A],
            [SetupFailed("no image")],
            Outcome.FAILED,
            "skipped",
            [MakePod(), Finish()],
            id="a setup that fails fails the task",
        ),
        pytest.param(
            [A, CLEAN],
            [StopRequested()],
            Outcome.CANCELLED,
            "skipped skipped",
            [MakePod(), StopSetup(), Finish()],
            id="a stop before the pod started cancels",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StopRequested(), StepEnded(0, 143), StepEnded(1, 0)],
            Outcome.STOPPED,
            "stopped success",
            [MakePod(), StartStep(0), StopStep(), StartBudget(), StartStep(1), Finish()],
            id="a stop ends the step and cleans up",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StopRequested(force=True), StepEnded(0, 137)],
            Outcome.STOPPED,
            "stopped skipped",
            [MakePod(), StartStep(0), StopStep(), Finish()],
            id="a forced stop does not clean up",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StepEnded(0, 1), StopRequested(), StepEnded(1, 0)],
            Outcome.FAILED,
            "failed success",
            [MakePod(), StartStep(0), StartBudget(), StartStep(1), Finish()],
            id="a stop during the clean-up lets it go on and the task stays failed",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StopRequested(), StepEnded(0, 143), StopRequested(force=True), StepEnded(1, 137)],
            Outcome.STOPPED,
            "stopped stopped",
            [MakePod(), StartStep(0), StopStep(), StartBudget(), StartStep(1), StopStep(), Finish()],
            id="a stop may be raised to a forced one",
        ),
        pytest.param(
            [CLEAN, A],
            [PodStarted(), StopRequested(), StepEnded(0, 0)],
            Outcome.STOPPED,
            "success skipped",
            [MakePod(), StartStep(0), StartBudget(), Finish()],
            id="a stop while an always step runs waits for it",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), TimeIsUp("took 1 s"), StepEnded(0, 137), StepEnded(1, 0)],
            Outcome.FAILED,
            "stopped success",
            [MakePod(), StartStep(0), StopStep(), StartBudget(), StartStep(1), Finish()],
            id="a timeout ends the step and cleans up",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StepEnded(0, 1), BudgetSpent(SPENT), StepEnded(1, 137)],
            Outcome.FAILED,
            "failed stopped",
            [MakePod(), StartStep(0), StartBudget(), StartStep(1), StopStep(), Finish()],
            id="a clean-up ends with its budget",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), PodGone("FENCED", "not fed")],
            Outcome.LOST,
            "stopped skipped",
            [MakePod(), StartStep(0), Finish()],
            id="a pod that is gone loses the task",
        ),
        pytest.param(
            [A],
            [PodStarted(), StepEnded(0, 137, "LIMIT_MEMORY", "used too much memory")],
            Outcome.FAILED,
            "failed",
            [MakePod(), StartStep(0), Finish()],
            id="a limit fails the step",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), FULL, StepEnded(0, 137), StepEnded(1, 0)],
            Outcome.FAILED,
            "stopped success",
            [MakePod(), StartStep(0), StopPod(), StartBudget(), StartStep(1), Finish()],
            id="a limit of the machine ends all of the pod and cleans up",
        ),
        pytest.param(
            [A, CLEAN, CLEAN],
            [PodStarted(), StepEnded(0, 1), FULL, StepEnded(1, 137), StepEnded(2, 0)],
            Outcome.FAILED,
            "failed stopped success",
            [MakePod(), StartStep(0), StartBudget(), StartStep(1), StopPod(), StartStep(2), Finish()],
            id="a limit of the machine ends also a clean-up step",
        ),
    ],
)
def test_story(
    plans: list[StepPlan], events: list[Event], outcome: Outcome, steps: str, told: list[Instruction]
) -> None:
    life, instructions = live(plans, events)
    assert life.outcome is outcome
    assert phases(life) == steps
    assert instructions == told


def test_a_timeout_is_told_apart_from_a_failure() -> None:
    life, _ = live([A], [PodStarted(), TimeIsUp("timed out after 5s"), StepEnded(0, 143)])
    assert life.ending is not None
    assert (life.ending.code, life.ending.timed_out) == ("TIMEOUT", True)
    assert life.steps[0].exit_status is None


def test_each_stopped_step_says_what_stopped_it() -> None:
    stopped: list[Event] = [PodStarted(), TimeIsUp("timed out after 5s"), StepEnded(0, 143)]
    life, _ = live([A, CLEAN], [*stopped, BudgetSpent(SPENT), StepEnded(1, 137)])
    assert [(step.code, step.message) for step in life.steps] == [("TIMEOUT", "timed out after 5s"), ("TIMEOUT", SPENT)]
    life, _ = live([A, CLEAN], [PodStarted(), StepEnded(0, 1), FULL, StepEnded(1, 137)])
    assert (life.steps[1].code, life.steps[1].message) == ("LIMIT_DISK", FULL.message)
    assert life.ending is not None
    assert life.ending.code == "STEP_FAILED"


def test_a_step_that_succeeds_in_spite_of_a_stop_has_succeeded() -> None:
    life, _ = live([A, B], [PodStarted(), StopRequested(), StepEnded(0, 0)])
    assert phases(life) == "success skipped"
    assert life.outcome is Outcome.STOPPED


plans_strategy = st.lists(st.builds(StepPlan, st.just("s"), st.booleans(), st.booleans()), max_size=4)
events_strategy = st.lists(
    st.one_of(
        st.just(PodStarted()),
        st.builds(SetupFailed, st.just("x")),
        st.builds(StepEnded, st.integers(0, 4), st.sampled_from([0, 1, 143, None])),
        st.builds(StopRequested, st.booleans()),
        st.just(TimeIsUp("t")),
        st.just(BudgetSpent("b")),
        st.just(LimitPassed("LIMIT_DISK", "d")),
        st.just(PodGone("FENCED", "f")),
    ),
    max_size=12,
)


@given(plans_strategy, events_strategy)
def test_an_over_task_stays_over_and_no_step_starts_twice(plans: list[StepPlan], events: list[Event]) -> None:
    life, told = live(plans, events)
    started = [instruction.step for instruction in told if isinstance(instruction, StartStep)]
    assert started == sorted(set(started))
    assert told.count(Finish()) == (life.phase is TaskPhase.OVER)
    if life.phase is TaskPhase.OVER:
        for event in events:
            assert advance(life, event) == (life, ())


@given(plans_strategy, events_strategy)
def test_a_forced_stop_always_ends(plans: list[StepPlan], events: list[Event]) -> None:
    life, _ = live(plans, events)
    life, _ = advance(life, StopRequested(force=True))
    check(life)
    if life.current is not None:
        assert life.stopping
        life, _ = advance(life, StepEnded(life.current, 137))
    assert life.phase is TaskPhase.OVER


@given(plans_strategy, events_strategy)
def test_the_first_ending_stays(plans: list[StepPlan], events: list[Event]) -> None:
    life, _ = begin(plans)
    first = None
    for event in events:
        life, _ = advance(life, event)
        first = first or life.ending
        assert life.ending == first
