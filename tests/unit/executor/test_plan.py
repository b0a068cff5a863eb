"""A task's task on its executor: tables of stories, and properties of all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_executor.plan import (
    BudgetExceeded,
    CreatePod,
    Event,
    Finish,
    Instruction,
    LimitExceeded,
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
    TaskState,
    TimedOut,
    advance,
    begin,
)
from sluiceway_executor.plan_check import check

A = StepPlan("a")
B = StepPlan("b")
CLEAN = StepPlan("clean", always=True)
SKIPPED = StepPlan("skipped", skip=True)
SPENT = "the `always` steps took longer than 5m"
FULL = LimitExceeded("LIMIT_DISK", "the disk was nearly full")


def live(plans: list[StepPlan], events: list[Event]) -> tuple[TaskState, list[Instruction]]:
    task, first = begin(plans)
    told = list(first)
    check(task)
    for event in events:
        task, instructions = advance(task, event)
        check(task)
        told += instructions
    return task, told


def phases(task: TaskState) -> str:
    return " ".join(step.phase.value for step in task.steps)


@pytest.mark.parametrize(
    ("plans", "events", "outcome", "steps", "told"),
    [
        pytest.param(
            [A, B],
            [PodStarted(), StepEnded(0, 0), StepEnded(1, 0)],
            Outcome.SUCCESS,
            "success success",
            [CreatePod(), StartStep(0), StartStep(1), Finish()],
            id="steps run in order",
        ),
        pytest.param(
            [], [PodStarted()], Outcome.SUCCESS, "", [CreatePod(), Finish()], id="a task without steps succeeds"
        ),
        pytest.param(
            [A, SKIPPED, B],
            [PodStarted(), StepEnded(0, 0), StepEnded(2, 0)],
            Outcome.SUCCESS,
            "success skipped success",
            [CreatePod(), StartStep(0), StartStep(2), Finish()],
            id="a step whose condition did not match is passed over",
        ),
        pytest.param(
            [A, B, CLEAN],
            [PodStarted(), StepEnded(0, 3), StepEnded(2, 0)],
            Outcome.FAILED,
            "failed skipped success",
            [CreatePod(), StartStep(0), StartBudget(), StartStep(2), Finish()],
            id="after a failed step only always steps run",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StepEnded(0, 0), StepEnded(1, 4)],
            Outcome.FAILED,
            "success failed",
            [CreatePod(), StartStep(0), StartStep(1), Finish()],
            id="an always step that fails fails the task",
        ),
        pytest.param(
            [A],
            [SetupFailed("no image")],
            Outcome.FAILED,
            "skipped",
            [CreatePod(), Finish()],
            id="a setup that fails fails the task",
        ),
        pytest.param(
            [A, CLEAN],
            [StopRequested()],
            Outcome.CANCELLED,
            "skipped skipped",
            [CreatePod(), StopSetup(), Finish()],
            id="a stop before the pod started cancels",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StopRequested(), StepEnded(0, 143), StepEnded(1, 0)],
            Outcome.STOPPED,
            "stopped success",
            [CreatePod(), StartStep(0), StopStep(), StartBudget(), StartStep(1), Finish()],
            id="a stop ends the step and cleans up",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StopRequested(force=True), StepEnded(0, 137)],
            Outcome.STOPPED,
            "stopped skipped",
            [CreatePod(), StartStep(0), StopStep(), Finish()],
            id="a forced stop does not clean up",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StepEnded(0, 1), StopRequested(), StepEnded(1, 0)],
            Outcome.FAILED,
            "failed success",
            [CreatePod(), StartStep(0), StartBudget(), StartStep(1), Finish()],
            id="a stop during the clean-up lets it go on and the task stays failed",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StopRequested(), StepEnded(0, 143), StopRequested(force=True), StepEnded(1, 137)],
            Outcome.STOPPED,
            "stopped stopped",
            [CreatePod(), StartStep(0), StopStep(), StartBudget(), StartStep(1), StopStep(), Finish()],
            id="a stop may be raised to a forced one",
        ),
        pytest.param(
            [CLEAN, A],
            [PodStarted(), StopRequested(), StepEnded(0, 0)],
            Outcome.STOPPED,
            "success skipped",
            [CreatePod(), StartStep(0), StartBudget(), Finish()],
            id="a stop while an always step runs waits for it",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), TimedOut("took 1 s"), StepEnded(0, 137), StepEnded(1, 0)],
            Outcome.FAILED,
            "stopped success",
            [CreatePod(), StartStep(0), StopStep(), StartBudget(), StartStep(1), Finish()],
            id="a timeout ends the step and cleans up",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), StepEnded(0, 1), BudgetExceeded(SPENT), StepEnded(1, 137)],
            Outcome.FAILED,
            "failed stopped",
            [CreatePod(), StartStep(0), StartBudget(), StartStep(1), StopStep(), Finish()],
            id="a clean-up ends with its budget",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), PodGone("FENCED", "not fed")],
            Outcome.LOST,
            "stopped skipped",
            [CreatePod(), StartStep(0), Finish()],
            id="a pod that is gone loses the task",
        ),
        pytest.param(
            [A],
            [PodStarted(), StepEnded(0, 137, "LIMIT_MEMORY", "used too much memory")],
            Outcome.FAILED,
            "failed",
            [CreatePod(), StartStep(0), Finish()],
            id="a limit fails the step",
        ),
        pytest.param(
            [A, CLEAN],
            [PodStarted(), FULL, StepEnded(0, 137), StepEnded(1, 0)],
            Outcome.FAILED,
            "stopped success",
            [CreatePod(), StartStep(0), StopPod(), StartBudget(), StartStep(1), Finish()],
            id="a limit of the machine ends all of the pod and cleans up",
        ),
        pytest.param(
            [A, CLEAN, CLEAN],
            [PodStarted(), StepEnded(0, 1), FULL, StepEnded(1, 137), StepEnded(2, 0)],
            Outcome.FAILED,
            "failed stopped success",
            [CreatePod(), StartStep(0), StartBudget(), StartStep(1), StopPod(), StartStep(2), Finish()],
            id="a limit of the machine ends also a clean-up step",
        ),
    ],
)
def test_events_lead_to_instructions(
    plans: list[StepPlan], events: list[Event], outcome: Outcome, steps: str, told: list[Instruction]
) -> None:
    task, instructions = live(plans, events)
    assert task.outcome is outcome
    assert phases(task) == steps
    assert instructions == told


def test_timeout_is_marked_in_the_ending() -> None:
    task, _ = live([A], [PodStarted(), TimedOut("timed out after 5s"), StepEnded(0, 143)])
    assert task.ending is not None
    assert (task.ending.code, task.ending.timed_out) == ("TIMEOUT", True)
    assert task.steps[0].exit_status is None


def test_stopped_step_has_the_reason_of_its_stop() -> None:
    stopped: list[Event] = [PodStarted(), TimedOut("timed out after 5s"), StepEnded(0, 143)]
    task, _ = live([A, CLEAN], [*stopped, BudgetExceeded(SPENT), StepEnded(1, 137)])
    assert [(step.code, step.message) for step in task.steps] == [("TIMEOUT", "timed out after 5s"), ("TIMEOUT", SPENT)]
    task, _ = live([A, CLEAN], [PodStarted(), StepEnded(0, 1), FULL, StepEnded(1, 137)])
    assert (task.steps[1].code, task.steps[1].message) == ("LIMIT_DISK", FULL.message)
    assert task.ending is not None
    assert task.ending.code == "STEP_FAILED"


def test_step_that_succeeds_while_it_is_stopped_succeeds() -> None:
    task, _ = live([A, B], [PodStarted(), StopRequested(), StepEnded(0, 0)])
    assert phases(task) == "success skipped"
    assert task.outcome is Outcome.STOPPED


plans_strategy = st.lists(st.builds(StepPlan, st.just("s"), st.booleans(), st.booleans()), max_size=4)
events_strategy = st.lists(
    st.one_of(
        st.just(PodStarted()),
        st.builds(SetupFailed, st.just("x")),
        st.builds(StepEnded, st.integers(0, 4), st.sampled_from([0, 1, 143, None])),
        st.builds(StopRequested, st.booleans()),
        st.just(TimedOut("t")),
        st.just(BudgetExceeded("b")),
        st.just(LimitExceeded("LIMIT_DISK", "d")),
        st.just(PodGone("FENCED", "f")),
    ),
    max_size=12,
)


@given(plans_strategy, events_strategy)
def test_task_that_is_over_stays_over(plans: list[StepPlan], events: list[Event]) -> None:
    task, told = live(plans, events)
    started = [instruction.step for instruction in told if isinstance(instruction, StartStep)]
    assert started == sorted(set(started))
    assert told.count(Finish()) == (task.phase is TaskPhase.OVER)
    if task.phase is TaskPhase.OVER:
        for event in events:
            assert advance(task, event) == (task, ())


@given(plans_strategy, events_strategy)
def test_forced_stop_always_ends_a_task(plans: list[StepPlan], events: list[Event]) -> None:
    task, _ = live(plans, events)
    task, _ = advance(task, StopRequested(force=True))
    check(task)
    if task.current is not None:
        assert task.stopping
        task, _ = advance(task, StepEnded(task.current, 137))
    assert task.phase is TaskPhase.OVER


@given(plans_strategy, events_strategy)
def test_first_ending_stays(plans: list[StepPlan], events: list[Event]) -> None:
    task, _ = begin(plans)
    first = None
    for event in events:
        task, _ = advance(task, event)
        first = first or task.ending
        assert task.ending == first
