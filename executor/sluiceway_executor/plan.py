"""The life of a task on its executor, as a pure function: what happened, and what to do next.

There is one machine, of the task, and one small one for each of its steps, which only the task's moves.

The task: `accepted` -> `setup` (its pod is made) -> `steps` -> `over`. From the first bad end on (a step failed, the
time is up, somebody stopped it, a limit was hit) it has an *ending*; then only steps with `always` are begun, within
one budget of time for all of them. The first ending stays, whatever follows: a stop during the clean-up after a failure
leaves the task failed, a step that fails while a stop is carried out leaves it stopped. A task without an ending
succeeded.

A stop ends the step that runs, unless that is an `always` step: the clean-up goes on, within its budget, unless the
stop is *forced*. The end of a step that is being stopped is awaited (`StepEnded`); nothing else is begun before. A task
that is stopped before its pod ran is *cancelled*. A limit of the machine ends all that runs in the pod, `always` steps
too.
A pod that is gone ends everything at once: there is nowhere to run a step.

Events may come late or twice: what does not fit any more changes nothing and asks for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = [
    "BudgetSpent",
    "Ending",
    "Event",
    "Finish",
    "Instruction",
    "Life",
    "LimitPassed",
    "MakePod",
    "Outcome",
    "PodGone",
    "PodStarted",
    "SetupFailed",
    "StartBudget",
    "StartStep",
    "StepEnded",
    "StepPhase",
    "StepPlan",
    "StepState",
    "StopPod",
    "StopRequested",
    "StopSetup",
    "StopStep",
    "TaskPhase",
    "TimeIsUp",
    "advance",
    "begin",
    "check",
]


class TaskPhase(StrEnum):
    """Where a task stands on its executor."""

    ACCEPTED = "accepted"
    SETUP = "setup"
    STEPS = "steps"
    OVER = "over"


class StepPhase(StrEnum):
    """Where a step stands."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    STOPPED = "stopped"
    SKIPPED = "skipped"


class Outcome(StrEnum):
    """How a task ended."""

    SUCCESS = "success"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a task ended otherwise than well: `code` as in the protocol, `message` for a person."""

    outcome: Outcome
    code: str
    message: str
    timed_out: bool = False
    in_setup: bool = False


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What the plan must know of a step."""

    name: str
    always: bool = False
    skip: bool = False


@dataclass(frozen=True, slots=True)
class StepState:
    """How far a step is. `exit_status` is given when its command ended by itself."""

    phase: StepPhase = StepPhase.NOT_STARTED
    exit_status: int | None = None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """A task's life so far.

    Attributes:
        plans: the steps, in order.
        phase: where it stands.
        setup: how the making of its pod went.
        steps: how far each step is.
        ending: the first bad end; None while all is well.
        forced: a stop that spares no `always` step came.
        stopping: why the step that runs was told to end; None: it was not.
        budget: the time for `always` steps runs.
    """

    plans: tuple[StepPlan, ...]
    phase: TaskPhase = TaskPhase.ACCEPTED
    setup: StepState = StepState()
    steps: tuple[StepState, ...] = ()
    ending: Ending | None = None
    forced: bool = False
    stopping: Ending | None = None
    budget: bool = False

    @property
    def current(self) -> int | None:
        """The step that runs, if one does."""
        for index, step in enumerate(self.steps):
            if step.phase is StepPhase.RUNNING:
                return index
        return None

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it has not."""
        if self.phase is not TaskPhase.OVER:
            return None
        return self.ending.outcome if self.ending else Outcome.SUCCESS


@dataclass(frozen=True, slots=True)
class PodStarted:
    """The pod runs."""


@dataclass(frozen=True, slots=True)
class SetupFailed:
    """The pod could not be made."""

    message: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step is over.

    Attributes:
        step: which.
        exit_status: of its command; None when it has none.
        code: why it failed without one, or beside it (`LIMIT_MEMORY`, `CLONE_FAILED`); empty otherwise.
        message: the same for a person.
    """

    step: int
    exit_status: int | None = None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Somebody wants it to end."""

    force: bool = False
    code: str = "STOPPED"
    message: str = "stopped on request"


@dataclass(frozen=True, slots=True)
class TimeIsUp:
    """It took longer than the task's timeout."""

    message: str


@dataclass(frozen=True, slots=True)
class LimitPassed:
    """The task used more than the machine can give: `code` as in the protocol (`LIMIT_DISK`)."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """The `always` steps took longer than their budget."""

    message: str


@dataclass(frozen=True, slots=True)
class PodGone:
    """The pod ended by itself."""

    code: str
    message: str


Event = PodStarted | SetupFailed | StepEnded | StopRequested | TimeIsUp | LimitPassed | BudgetSpent | PodGone


@dataclass(frozen=True, slots=True)
class MakePod:
    """Make the pod; answer with `PodStarted` or `SetupFailed`."""


@dataclass(frozen=True, slots=True)
class StartStep:
    """Run a step; answer with `StepEnded`."""

    step: int


@dataclass(frozen=True, slots=True)
class StopSetup:
    """End the making of the pod; no answer is expected."""


@dataclass(frozen=True, slots=True)
class StopStep:
    """End the step that runs; it still answers with `StepEnded`. What earlier steps left behind goes on."""


@dataclass(frozen=True, slots=True)
class StopPod:
    """End all that runs in the pod; a step that runs still answers with `StepEnded`."""


@dataclass(frozen=True, slots=True)
class StartBudget:
    """From now on, `always` steps have their budget; when it is spent, say `BudgetSpent`."""


@dataclass(frozen=True, slots=True)
class Finish:
    """All is over: store the logs, remove the pod, report the outcome."""


Instruction = MakePod | StartStep | StopSetup | StopStep | StopPod | StartBudget | Finish


def begin(plans: Sequence[StepPlan]) -> tuple[Life, tuple[Instruction, ...]]:
    """Begin a task's life: its pod is to be made."""
    steps = tuple(StepState(StepPhase.SKIPPED if plan.skip else StepPhase.NOT_STARTED) for plan in plans)
    life = Life(tuple(plans), TaskPhase.SETUP, StepState(StepPhase.RUNNING), steps)
    return life, (MakePod(),)


def advance(life: Life, event: Event) -> tuple[Life, tuple[Instruction, ...]]:
    """Take note of an event; say what to do now. Pure; an event that does not fit any more changes nothing."""
    if life.phase is TaskPhase.OVER:
        return life, ()
    match event:
        case PodStarted():
            return _pod_started(life)
        case SetupFailed(message=message):
            return _setup_failed(life, message)
        case StepEnded():
            return _step_ended(life, event)
        case StopRequested():
            return _stop_requested(life, event)
        case TimeIsUp(message=message):
            return _interrupt(life, Ending(Outcome.FAILED, "TIMEOUT", message, timed_out=True))
        case LimitPassed(code=code, message=message):
            return _limit_passed(life, Ending(Outcome.FAILED, code, message))
        case BudgetSpent(message=message):
            if not life.budget:
                return life, ()
            return _force(life, Ending(Outcome.FAILED, "TIMEOUT", message))
        case PodGone(code=code, message=message):
            return _pod_gone(life, Ending(Outcome.LOST, code, message))


def check(life: Life) -> None:
    """State what always holds of a life.

    Raises:
        AssertionError: it does not.
    """
    running = [step for step in life.steps if step.phase is StepPhase.RUNNING]
    assert len(running) <= 1, "two steps run"  # noqa: S101 - this is what the function is for
    assert len(life.steps) == len(life.plans), "a step has no state"  # noqa: S101
    if life.phase is not TaskPhase.STEPS:
        assert not running, "a step runs without a pod"  # noqa: S101
    if life.phase is TaskPhase.OVER:
        open_steps = [step for step in life.steps if step.phase is StepPhase.NOT_STARTED]
        assert not open_steps, "the task is over and a step waits"  # noqa: S101
        assert life.setup.phase is not StepPhase.RUNNING, "the task is over and its setup runs"  # noqa: S101
    if life.phase is TaskPhase.STEPS:
        assert running, "nothing runs and the task is not over"  # noqa: S101


def _pod_started(life: Life) -> tuple[Life, tuple[Instruction, ...]]:
    if life.phase is not TaskPhase.SETUP:
        return life, ()
    return _next(replace(life, phase=TaskPhase.STEPS, setup=StepState(StepPhase.SUCCESS)))


def _setup_failed(life: Life, message: str) -> tuple[Life, tuple[Instruction, ...]]:
    if life.phase is not TaskPhase.SETUP:
        return life, ()
    ending = life.ending or Ending(Outcome.FAILED, "SETUP_FAILED", message, in_setup=True)
    setup = StepState(StepPhase.FAILED, code=ending.code, message=message)
    return _finish(replace(life, setup=setup, ending=ending))


def _step_ended(life: Life, event: StepEnded) -> tuple[Life, tuple[Instruction, ...]]:
    if life.current != event.step:
        return life, ()
    good = event.exit_status == 0 and not event.code
    if life.stopping is not None and not good:
        state = StepState(StepPhase.STOPPED, code=life.stopping.code, message=life.stopping.message)
    elif good:
        state = StepState(StepPhase.SUCCESS, event.exit_status)
    else:
        message = event.message or f"exited with {event.exit_status}"
        state = StepState(StepPhase.FAILED, event.exit_status, event.code or "STEP_FAILED", message)
    life = _with_step(replace(life, stopping=None), event.step, state)
    if state.phase is StepPhase.FAILED and life.ending is None:
        name = life.plans[event.step].name or f"step {event.step + 1}"
        ending = Ending(Outcome.FAILED, event.code or "STEP_FAILED", f'"{name}" {state.message}')
        life = replace(life, ending=ending)
    return _next(life)


def _stop_requested(life: Life, event: StopRequested) -> tuple[Life, tuple[Instruction, ...]]:
    if life.phase is TaskPhase.SETUP:
        return _stop_setup(life, Ending(Outcome.CANCELLED, event.code, event.message))
    ending = Ending(Outcome.STOPPED, event.code, event.message)
    if event.force:
        return _force(replace(life, ending=life.ending or ending), ending)
    return _interrupt(life, ending)


def _interrupt(life: Life, ending: Ending) -> tuple[Life, tuple[Instruction, ...]]:
    """Give it an ending; what runs is ended unless it cleans up."""
    if life.phase is TaskPhase.SETUP:
        return _stop_setup(life, ending)
    known = life.ending is not None
    life = replace(life, ending=life.ending or ending)
    current = life.current
    if current is None or life.stopping is not None or known:
        # With an ending from before, only a clean-up step can be running.
        return life, ()
    if life.plans[current].always:
        return replace(life, budget=True), (StartBudget(),)
    return replace(life, stopping=ending), (StopStep(),)


def _limit_passed(life: Life, ending: Ending) -> tuple[Life, tuple[Instruction, ...]]:
    """End what runs, and what earlier steps left behind: either may be what uses too much."""
    if life.phase is TaskPhase.SETUP:
        return _stop_setup(life, ending)
    return replace(life, ending=life.ending or ending, stopping=life.stopping or ending), (StopPod(),)


def _force(life: Life, why: Ending) -> tuple[Life, tuple[Instruction, ...]]:
    if life.forced:
        return life, ()
    life = replace(life, forced=True)
    if life.current is None or life.stopping is not None:
        return life, ()
    return replace(life, stopping=why), (StopStep(),)


def _stop_setup(life: Life, ending: Ending) -> tuple[Life, tuple[Instruction, ...]]:
    setup = StepState(StepPhase.STOPPED, code=ending.code, message=ending.message)
    life, instructions = _finish(replace(life, setup=setup, ending=life.ending or ending))
    return life, (StopSetup(), *instructions)


def _pod_gone(life: Life, ending: Ending) -> tuple[Life, tuple[Instruction, ...]]:
    current = life.current
    if current is not None:
        state = StepState(StepPhase.STOPPED, code=ending.code, message=ending.message)
        life = _with_step(life, current, state)
    if life.setup.phase is StepPhase.RUNNING:
        life = replace(life, setup=StepState(StepPhase.FAILED, code=ending.code, message=ending.message))
    return _finish(replace(life, ending=life.ending or ending))


def _next(life: Life) -> tuple[Life, tuple[Instruction, ...]]:
    """Begin the next step that may run; finish when there is none."""
    for index, (plan, state) in enumerate(zip(life.plans, life.steps, strict=True)):
        if state.phase is not StepPhase.NOT_STARTED:
            continue
        if life.ending is None or (plan.always and not life.forced):
            budget: tuple[Instruction, ...] = ()
            if life.ending is not None and not life.budget:
                life, budget = replace(life, budget=True), (StartBudget(),)
            return _with_step(life, index, StepState(StepPhase.RUNNING)), (*budget, StartStep(index))
    return _finish(life)


def _finish(life: Life) -> tuple[Life, tuple[Instruction, ...]]:
    steps = tuple(StepState(StepPhase.SKIPPED) if step.phase is StepPhase.NOT_STARTED else step for step in life.steps)
    return replace(life, phase=TaskPhase.OVER, steps=steps, stopping=None), (Finish(),)


def _with_step(life: Life, index: int, state: StepState) -> Life:
    return replace(life, steps=(*life.steps[:index], state, *life.steps[index + 1 :]))
