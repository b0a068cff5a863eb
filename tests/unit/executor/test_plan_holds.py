"""A task whose pod is held after a failed step: tables of stories, and properties of all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_executor.plan import (
    CreatePod,
    Event,
    Finish,
    HoldAction,
    HoldEnded,
    HoldExpired,
    Instruction,
    LimitExceeded,
    Outcome,
    PodGone,
    PodStarted,
    StartBudget,
    StartHold,
    StartStep,
    StepEnded,
    StepPlan,
    StopPod,
    StopRequested,
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
AGAIN, NEXT, RELEASE = HoldAction.RUN_FAILED_STEP, HoldAction.RUN_NEXT_STEP, HoldAction.RELEASE


def live(plans: list[StepPlan], events: list[Event]) -> tuple[TaskState, list[Instruction]]:
    task, first = begin(plans, holds=True)
    told = list(first)
    check(task)
    for event in events:
        task, instructions = advance(task, event)
        check(task)
        told += instructions
    return task, told


@pytest.mark.parametrize(
    ("plans", "events", "outcome", "steps", "told"),
    [
        pytest.param(
            [A, B],
            [StepEnded(0, 1), HoldEnded(1, AGAIN), StepEnded(0, 0), StepEnded(1, 0)],
            Outcome.SUCCESS,
            "success success",
            [StartStep(0), StartHold(1), StartStep(0), StartStep(1), Finish()],
            id="a failed step that succeeds when it is run again",
        ),
        pytest.param(
            [A, B],
            [StepEnded(0, 1), HoldEnded(1, AGAIN), StepEnded(0, 2), HoldEnded(2, AGAIN), StepEnded(0, 0)],
            None,
            "success running",
            [StartStep(0), StartHold(1), StartStep(0), StartHold(2), StartStep(0), StartStep(1)],
            id="a step that fails again is held again",
        ),
        pytest.param(
            [A, B],
            [StepEnded(0, 1), HoldEnded(1, NEXT), StepEnded(1, 0)],
            Outcome.FAILED,
            "failed success",
            [StartStep(0), StartHold(1), StartStep(1), Finish()],
            id="after the next step the task stays failed",
        ),
        pytest.param(
            [A, CLEAN],
            [StepEnded(0, 1), HoldEnded(1, RELEASE), StepEnded(1, 0)],
            Outcome.FAILED,
            "failed success",
            [StartStep(0), StartHold(1), StartBudget(), StartStep(1), Finish()],
            id="a release cleans up",
        ),
        pytest.param(
            [A, CLEAN],
            [StepEnded(0, 1), HoldExpired(1), StepEnded(1, 0)],
            Outcome.FAILED,
            "failed success",
            [StartStep(0), StartHold(1), StartBudget(), StartStep(1), Finish()],
            id="the limit of the hold ends it",
        ),
        pytest.param(
            [A, CLEAN],
            [StepEnded(0, 1), StopRequested(), StepEnded(1, 0)],
            Outcome.FAILED,
            "failed success",
            [StartStep(0), StartHold(1), StartBudget(), StartStep(1), Finish()],
            id="a stop ends the hold and the task stays failed",
        ),
        pytest.param(
            [A, CLEAN],
            [StepEnded(0, 1), StopRequested(force=True)],
            Outcome.FAILED,
            "failed skipped",
            [StartStep(0), StartHold(1), Finish()],
            id="a forced stop does not clean up",
        ),
        pytest.param(
            [A, B],
            [StepEnded(0, 1), TimedOut("late"), HoldEnded(2, AGAIN)],
            None,
            "failed not_started",
            [StartStep(0), StartHold(1)],
            id="neither a timeout nor the number of another hold ends it",
        ),
        pytest.param(
            [A, B],
            [StepEnded(0, 1), LimitExceeded("LIMIT_DISK", "full")],
            Outcome.FAILED,
            "failed skipped",
            [StartStep(0), StartHold(1), StopPod(), Finish()],
            id="a limit of the machine ends the hold",
        ),
        pytest.param(
            [A, B],
            [StepEnded(0, 1), PodGone("FENCED", "not fed")],
            Outcome.FAILED,
            "failed skipped",
            [StartStep(0), StartHold(1), Finish()],
            id="a pod that is gone ends the hold",
        ),
        pytest.param(
            [A, B],
            [StopRequested(), StepEnded(0, 143)],
            Outcome.STOPPED,
            "stopped skipped",
            [StartStep(0), StopStep(), Finish()],
            id="a stopped step is not held",
        ),
        pytest.param(
            [A, CLEAN],
            [StepEnded(0, 1), HoldEnded(1, RELEASE), StepEnded(1, 1)],
            Outcome.FAILED,
            "failed failed",
            [StartStep(0), StartHold(1), StartBudget(), StartStep(1), Finish()],
            id="a clean-up that fails is not held",
        ),
        pytest.param(
            [A, B],
            [StepEnded(0, 1), HoldEnded(1, AGAIN), StopRequested(), StepEnded(0, 143)],
            Outcome.STOPPED,
            "stopped skipped",
            [StartStep(0), StartHold(1), StartStep(0), StopStep(), Finish()],
            id="a stop of the step that is run again",
        ),
    ],
)
def test_hold_leads_to_instructions(
    plans: list[StepPlan], events: list[Event], outcome: Outcome | None, steps: str, told: list[Instruction]
) -> None:
    task, instructions = live(plans, [PodStarted(), *events])
    assert task.outcome is outcome
    assert " ".join(step.phase.value for step in task.steps) == steps
    assert instructions == [CreatePod(), *told]


def test_ending_is_that_of_the_step_that_was_passed_over() -> None:
    failures: list[Event] = [StepEnded(0, 1), HoldEnded(1, NEXT), StepEnded(1, 7), HoldEnded(2, RELEASE)]
    task, _ = live([A, B], [PodStarted(), *failures])
    assert task.ending is not None
    assert task.ending.message == '"a" exited with 1'
    assert [step.reruns for step in task.steps] == [0, 0]


def test_reruns_of_a_step_are_counted() -> None:
    again: list[Event] = [StepEnded(0, 1), HoldEnded(1, AGAIN), StepEnded(0, 1), HoldEnded(2, AGAIN), StepEnded(0, 0)]
    task, _ = live([A], [PodStarted(), *again])
    assert task.steps[0].reruns == 2
    assert task.outcome is Outcome.SUCCESS


plans_strategy = st.lists(st.builds(StepPlan, st.just("s"), st.booleans(), st.booleans()), max_size=4)
events_strategy = st.lists(
    st.one_of(
        st.builds(StepEnded, st.integers(0, 4), st.sampled_from([0, 1, 143, None])),
        st.builds(StopRequested, st.booleans()),
        st.builds(HoldEnded, st.integers(1, 3), st.sampled_from(HoldAction)),
        st.builds(HoldExpired, st.integers(1, 3)),
        st.just(TimedOut("t")),
        st.just(LimitExceeded("LIMIT_DISK", "d")),
        st.just(PodGone("FENCED", "f")),
    ),
    max_size=16,
)


@given(plans_strategy, events_strategy)
def test_stop_always_ends_a_hold(plans: list[StepPlan], events: list[Event]) -> None:
    task, told = live(plans, [PodStarted(), *events])
    assert told.count(Finish()) == (task.phase is TaskPhase.OVER)
    task, _ = advance(task, StopRequested(force=True))
    check(task)
    if task.current is not None:
        task, _ = advance(task, StepEnded(task.current, 137))
    assert task.phase is TaskPhase.OVER


@given(plans_strategy, events_strategy)
def test_task_succeeds_only_if_its_steps_did(plans: list[StepPlan], events: list[Event]) -> None:
    task, _ = live(plans, [PodStarted(), *events])
    if task.outcome is Outcome.SUCCESS:
        assert all(step.phase.value in {"success", "skipped"} for step in task.steps)
