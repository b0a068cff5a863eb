"""The state machine of a task on its executor, as a pure function: an event comes, instructions follow.

There is one machine for the task, and a small one for each of its steps, which only that of the task moves.

The task: `accepted` -> `setup` (its pod is created) -> `steps` -> `over`. With the first bad end (a step failed, the
time is up, it was stopped, a limit was exceeded) it has an *ending*; from then on only steps with `always` are started,
within one time budget for all of them. The first ending stays, whatever follows: a stop during the clean-up after a
failure leaves the task failed, a step that fails while it is stopped leaves the task stopped. A task without an ending
succeeded.

A stop ends the step that runs, unless that is an `always` step: those continue within their budget, unless the stop is
*forced*. The end of a step that is being stopped is awaited (`StepEnded`); nothing else is started before. A task that
is stopped before its pod runs is *cancelled*. A limit of the machine ends all that runs in the pod, `always` steps too.
When the pod is gone, the task ends at once.

A task that *holds* becomes `held` when a failed step is its first bad end. Nothing is started until the hold ends: the
failed step is run again (the task can still succeed), the steps after it are run (the task stays failed), or the task
ends as it would have without the hold, by a release, at the limit of the hold, or with a stop. The timeout of the task
does not count while it is held.

Late and repeated events change nothing, and no instruction follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = [
    "BudgetExceeded",
    "CreatePod",
    "Ending",
    "Event",
    "Finish",
    "HoldAction",
    "HoldEnded",
    "HoldExpired",
    "Instruction",
    "LimitExceeded",
    "Outcome",
    "PodGone",
    "PodStarted",
    "ResumeStep",
    "SetupFailed",
    "StartBudget",
    "StartHold",
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
    "TaskState",
    "TimedOut",
    "advance",
    "begin",
    "resume",
]


class TaskPhase(StrEnum):
    """How far a task is on its executor."""

    ACCEPTED = "accepted"
    SETUP = "setup"
    STEPS = "steps"
    HELD = "held"
    OVER = "over"


class StepPhase(StrEnum):
    """How far a step is, and how it ended."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    STOPPED = "stopped"
    SKIPPED = "skipped"


class HoldAction(StrEnum):
    """How a hold ends on request."""

    RUN_FAILED_STEP = "run_failed_step"
    RUN_NEXT_STEP = "run_next_step"
    RELEASE = "release"


class Outcome(StrEnum):
    """How a task ended."""

    SUCCESS = "success"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a task did not succeed: `code` as in the protocol, `message` for a person."""

    outcome: Outcome
    code: str
    message: str
    timed_out: bool = False
    in_setup: bool = False


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The part of a step's definition that the plan needs."""

    name: str
    always: bool = False
    skip: bool = False


@dataclass(frozen=True, slots=True)
class StepState:
    """The state of a step. `exit_status` is set if its command ended by itself; `reruns`: after holds."""

    phase: StepPhase = StepPhase.NOT_STARTED
    exit_status: int | None = None
    code: str = ""
    message: str = ""
    reruns: int = 0


@dataclass(frozen=True, slots=True)
class TaskState:
    """The state of a task.

    Attributes:
        plans: the steps, in order.
        phase: how far it is.
        setup: the state of its setup, which creates the pod.
        steps: the state of each step.
        ending: the first bad end; None: there was none.
        forced: it was stopped by force, so that no `always` step is started.
        stopping: why the step that runs is being stopped; None: it is not.
        budget: the time budget of the `always` steps has started.
        holds: its pod is held when a step fails.
        hold: the number of the present or the last hold, from 1.
        held_step: the step that failed, while it is held.
        passed_over: why the first step failed after which it was continued with the next one.
    """

    plans: tuple[StepPlan, ...]
    phase: TaskPhase = TaskPhase.ACCEPTED
    setup: StepState = StepState()
    steps: tuple[StepState, ...] = ()
    ending: Ending | None = None
    forced: bool = False
    stopping: Ending | None = None
    budget: bool = False
    holds: bool = False
    hold: int = 0
    held_step: int | None = None
    passed_over: Ending | None = None

    @property
    def current(self) -> int | None:
        """The step that runs; None: none does."""
        for index, step in enumerate(self.steps):
            if step.phase is StepPhase.RUNNING:
                return index
        return None

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None: it has not."""
        if self.phase is not TaskPhase.OVER:
            return None
        return self.ending.outcome if self.ending else Outcome.SUCCESS


@dataclass(frozen=True, slots=True)
class PodStarted:
    """The pod runs."""


@dataclass(frozen=True, slots=True)
class SetupFailed:
    """The pod could not be created."""

    message: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step is over.

    Attributes:
        step: its index.
        exit_status: of its command; None: there is none.
        code: why it failed, if not by its exit status alone (`LIMIT_MEMORY`, `CLONE_FAILED`); else empty.
        message: the same for a person.
    """

    step: int
    exit_status: int | None = None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The task was stopped by a person or by the server."""

    force: bool = False
    code: str = "STOPPED"
    message: str = "stopped on request"


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The task took longer than its timeout."""

    message: str


@dataclass(frozen=True, slots=True)
class LimitExceeded:
    """The task exceeded a limit of the machine: `code` as in the protocol (`LIMIT_DISK`)."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class BudgetExceeded:
    """The `always` steps took longer than their budget."""

    message: str


@dataclass(frozen=True, slots=True)
class PodGone:
    """The pod ended by itself."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class HoldEnded:
    """A person ended the hold with this number."""

    hold: int
    action: HoldAction


@dataclass(frozen=True, slots=True)
class HoldExpired:
    """The hold with this number reached its limit."""

    hold: int


Event = (
    PodStarted
    | SetupFailed
    | StepEnded
    | StopRequested
    | TimedOut
    | LimitExceeded
    | BudgetExceeded
    | PodGone
    | HoldEnded
    | HoldExpired
)


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create the pod; `PodStarted` or `SetupFailed` follows."""


@dataclass(frozen=True, slots=True)
class StartStep:
    """Run a step; `StepEnded` follows."""

    step: int


@dataclass(frozen=True, slots=True)
class ResumeStep:
    """Continue a step that an earlier process of the executor began, or was about to; `StepEnded` follows."""

    step: int


@dataclass(frozen=True, slots=True)
class StopSetup:
    """Cancel the creation of the pod; no event follows."""


@dataclass(frozen=True, slots=True)
class StopStep:
    """Stop the step that runs; `StepEnded` follows. Background processes of earlier steps continue."""


@dataclass(frozen=True, slots=True)
class StopPod:
    """Stop all that runs in the pod; if a step does, `StepEnded` follows."""


@dataclass(frozen=True, slots=True)
class StartBudget:
    """Start the time budget of the `always` steps; `BudgetExceeded` follows at its end."""


@dataclass(frozen=True, slots=True)
class StartHold:
    """Keep the pod, and start the time limit of the hold; `HoldExpired` follows at its end."""

    hold: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The task is over: remove the pod, store the logs, report the outcome."""


Instruction = CreatePod | StartStep | ResumeStep | StopSetup | StopStep | StopPod | StartBudget | StartHold | Finish


def begin(plans: Sequence[StepPlan], *, holds: bool = False) -> tuple[TaskState, tuple[Instruction, ...]]:
    """Return the first state of a task, and the instruction to create its pod. `holds`: after a step has failed."""
    steps = tuple(StepState(StepPhase.SKIPPED if plan.skip else StepPhase.NOT_STARTED) for plan in plans)
    task = TaskState(tuple(plans), TaskPhase.SETUP, StepState(StepPhase.RUNNING), steps, holds=holds)
    return task, (CreatePod(),)


def advance(task: TaskState, event: Event) -> tuple[TaskState, tuple[Instruction, ...]]:
    """Return the state after an event, and the instructions that follow. Late and repeated events change nothing."""
    if task.phase is TaskPhase.OVER:
        return task, ()
    match event:
        case PodStarted():
            return _pod_started(task)
        case SetupFailed(message=message):
            return _setup_failed(task, message)
        case StepEnded():
            return _step_ended(task, event)
        case StopRequested():
            return _stop_requested(task, event)
        case TimedOut(message=message):
            return _interrupt(task, Ending(Outcome.FAILED, "TIMEOUT", message, timed_out=True))
        case LimitExceeded(code=code, message=message):
            return _limit_exceeded(task, Ending(Outcome.FAILED, code, message))
        case BudgetExceeded(message=message):
            if not task.budget:
                return task, ()
            return _force(task, Ending(Outcome.FAILED, "TIMEOUT", message))
        case PodGone(code=code, message=message):
            return _pod_gone(task, Ending(Outcome.LOST, code, message))
        case HoldEnded(hold=hold, action=action):
            return _hold_ended(task, hold, action)
        case HoldExpired(hold=hold):
            return _hold_ended(task, hold, HoldAction.RELEASE)


def resume(task: TaskState) -> tuple[TaskState, tuple[Instruction, ...]]:
    """Return the state, and the instructions with which another process of the executor continues it."""
    if task.phase is TaskPhase.OVER:
        return task, (Finish(),)
    if task.phase is TaskPhase.HELD:
        return task, (StartHold(task.hold),)
    current = task.current
    if task.phase is not TaskPhase.STEPS or current is None:
        return begin(task.plans, holds=task.holds)
    instructions: list[Instruction] = [ResumeStep(current)]
    if task.budget:
        instructions.append(StartBudget())
    if task.stopping is not None:
        instructions.append(StopStep())
    return task, tuple(instructions)


def _pod_started(task: TaskState) -> tuple[TaskState, tuple[Instruction, ...]]:
    if task.phase is not TaskPhase.SETUP:
        return task, ()
    return _next(replace(task, phase=TaskPhase.STEPS, setup=StepState(StepPhase.SUCCESS)))


def _setup_failed(task: TaskState, message: str) -> tuple[TaskState, tuple[Instruction, ...]]:
    if task.phase is not TaskPhase.SETUP:
        return task, ()
    ending = task.ending or Ending(Outcome.FAILED, "SETUP_FAILED", message, in_setup=True)
    setup = StepState(StepPhase.FAILED, code=ending.code, message=message)
    return _finish(replace(task, setup=setup, ending=ending))


def _step_ended(task: TaskState, event: StepEnded) -> tuple[TaskState, tuple[Instruction, ...]]:
    if task.current != event.step:
        return task, ()
    good = event.exit_status == 0 and not event.code
    if task.stopping is not None and not good:
        state = StepState(StepPhase.STOPPED, code=task.stopping.code, message=task.stopping.message)
    elif good:
        state = StepState(StepPhase.SUCCESS, event.exit_status)
    else:
        message = event.message or f"exited with {event.exit_status}"
        state = StepState(StepPhase.FAILED, event.exit_status, event.code or "STEP_FAILED", message)
    state = replace(state, reruns=task.steps[event.step].reruns)
    task = _with_step(replace(task, stopping=None), event.step, state)
    if state.phase is StepPhase.FAILED and task.ending is None:
        name = task.plans[event.step].name or f"step {event.step + 1}"
        ending = Ending(Outcome.FAILED, event.code or "STEP_FAILED", f'"{name}" {state.message}')
        task = replace(task, ending=ending)
        if task.holds:
            hold = task.hold + 1
            return replace(task, phase=TaskPhase.HELD, hold=hold, held_step=event.step), (StartHold(hold),)
    return _next(task)


def _hold_ended(task: TaskState, hold: int, action: HoldAction) -> tuple[TaskState, tuple[Instruction, ...]]:
    step = task.held_step
    if step is None or hold != task.hold:
        return task, ()
    ending = task.ending
    task = replace(task, phase=TaskPhase.STEPS, held_step=None)
    match action:
        case HoldAction.RUN_FAILED_STEP:
            again = StepState(StepPhase.RUNNING, reruns=task.steps[step].reruns + 1)
            return _with_step(replace(task, ending=None), step, again), (StartStep(step),)
        case HoldAction.RUN_NEXT_STEP:
            return _next(replace(task, ending=None, passed_over=task.passed_over or ending))
        case HoldAction.RELEASE:
            return _next(task)


def _stop_requested(task: TaskState, event: StopRequested) -> tuple[TaskState, tuple[Instruction, ...]]:
    if task.phase is TaskPhase.SETUP:
        return _stop_setup(task, Ending(Outcome.CANCELLED, event.code, event.message))
    if task.phase is TaskPhase.HELD:
        return _hold_ended(replace(task, forced=task.forced or event.force), task.hold, HoldAction.RELEASE)
    ending = Ending(Outcome.STOPPED, event.code, event.message)
    if event.force:
        return _force(replace(task, ending=task.ending or ending), ending)
    return _interrupt(task, ending)


def _interrupt(task: TaskState, ending: Ending) -> tuple[TaskState, tuple[Instruction, ...]]:
    """Set the ending, and stop the step that runs unless it is an `always` step."""
    if task.phase is TaskPhase.SETUP:
        return _stop_setup(task, ending)
    if task.phase is TaskPhase.HELD:
        return task, ()
    known = task.ending is not None
    task = replace(task, ending=task.ending or ending)
    current = task.current
    if current is None or task.stopping is not None or known:
        # With an earlier ending, only an `always` step can be running.
        return task, ()
    if task.plans[current].always:
        return replace(task, budget=True), (StartBudget(),)
    return replace(task, stopping=ending), (StopStep(),)


def _limit_exceeded(task: TaskState, ending: Ending) -> tuple[TaskState, tuple[Instruction, ...]]:
    """Stop all that runs in the pod, since background processes of earlier steps may have exceeded the limit."""
    if task.phase is TaskPhase.SETUP:
        return _stop_setup(task, ending)
    if task.phase is TaskPhase.HELD:
        task, instructions = _hold_ended(task, task.hold, HoldAction.RELEASE)
        return task, (StopPod(), *instructions)
    return replace(task, ending=task.ending or ending, stopping=task.stopping or ending), (StopPod(),)


def _force(task: TaskState, why: Ending) -> tuple[TaskState, tuple[Instruction, ...]]:
    if task.forced:
        return task, ()
    task = replace(task, forced=True)
    if task.current is None or task.stopping is not None:
        return task, ()
    return replace(task, stopping=why), (StopStep(),)


def _stop_setup(task: TaskState, ending: Ending) -> tuple[TaskState, tuple[Instruction, ...]]:
    setup = StepState(StepPhase.STOPPED, code=ending.code, message=ending.message)
    task, instructions = _finish(replace(task, setup=setup, ending=task.ending or ending))
    return task, (StopSetup(), *instructions)


def _pod_gone(task: TaskState, ending: Ending) -> tuple[TaskState, tuple[Instruction, ...]]:
    current = task.current
    if current is not None:
        state = StepState(StepPhase.STOPPED, code=ending.code, message=ending.message)
        task = _with_step(task, current, state)
    if task.setup.phase is StepPhase.RUNNING:
        task = replace(task, setup=StepState(StepPhase.FAILED, code=ending.code, message=ending.message))
    return _finish(replace(task, ending=task.ending or ending))


def _next(task: TaskState) -> tuple[TaskState, tuple[Instruction, ...]]:
    """Start the next step that may run; finish if there is none."""
    for index, (plan, state) in enumerate(zip(task.plans, task.steps, strict=True)):
        if state.phase is not StepPhase.NOT_STARTED:
            continue
        if task.ending is None or (plan.always and not task.forced):
            budget: tuple[Instruction, ...] = ()
            if task.ending is not None and not task.budget:
                task, budget = replace(task, budget=True), (StartBudget(),)
            return _with_step(task, index, StepState(StepPhase.RUNNING)), (*budget, StartStep(index))
    return _finish(task)


def _finish(task: TaskState) -> tuple[TaskState, tuple[Instruction, ...]]:
    steps = tuple(StepState(StepPhase.SKIPPED) if step.phase is StepPhase.NOT_STARTED else step for step in task.steps)
    ending = task.passed_over or task.ending
    over = replace(task, phase=TaskPhase.OVER, steps=steps, ending=ending, stopping=None, held_step=None)
    return over, (Finish(),)


def _with_step(task: TaskState, index: int, state: StepState) -> TaskState:
    return replace(task, steps=(*task.steps[:index], state, *task.steps[index + 1 :]))
