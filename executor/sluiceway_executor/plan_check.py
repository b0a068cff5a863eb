"""The invariants of the state machine of a task on its executor, for tests."""

from __future__ import annotations

from sluiceway_executor.plan import StepPhase, TaskPhase, TaskState

__all__ = ["check"]


def check(task: TaskState) -> None:
    """Check the invariants of a state.

    Raises:
        AssertionError: one does not hold.
    """
    running = [step for step in task.steps if step.phase is StepPhase.RUNNING]
    assert len(running) <= 1, "two steps run"  # noqa: S101 - the function checks invariants
    assert len(task.steps) == len(task.plans), "a step has no state"  # noqa: S101 - as above
    if task.phase is not TaskPhase.STEPS:
        assert not running, "a step runs without a pod"  # noqa: S101 - as above
    if task.phase is TaskPhase.OVER:
        open_steps = [step for step in task.steps if step.phase is StepPhase.NOT_STARTED]
        assert not open_steps, "the task is over and a step waits"  # noqa: S101 - as above
        assert task.setup.phase is not StepPhase.RUNNING, "the task is over and its setup runs"  # noqa: S101 - as above
    if task.phase is TaskPhase.STEPS:
        assert running, "nothing runs and the task is not over"  # noqa: S101 - as above
    held = task.phase is TaskPhase.HELD
    assert held is (task.held_step is not None), "a step is held and the task is not"  # noqa: S101 - as above
    if task.held_step is not None:
        failed = task.steps[task.held_step].phase is StepPhase.FAILED
        assert failed and task.ending is not None, "it is held without a failure"  # noqa: S101, PT018 - as above
