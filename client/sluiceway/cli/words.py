"""States of runs, tasks and steps in words."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum

from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway.cli.units import duration
from sluiceway.client.words import RunPhase, RunResult, StepPhase, TaskStatus

STEPS_THAT_ENDED = frozenset({run_pb2.STEP_PHASE_SUCCESS, run_pb2.STEP_PHASE_FAILED, run_pb2.STEP_PHASE_STOPPED})
"""The phases of a step that ran and is over; the size of its log is known."""


def phase_name(phase: int) -> str:
    """Return the name of a phase of a run as people write it."""
    return _lower(RunPhase(phase))


def result_name(result: int) -> str:
    """Return the name of a result as people write it; empty if there is no result yet."""
    return _lower(RunResult(result)) if result else ""


def status_name(status: int) -> str:
    """Return the name of a status of a task as people write it."""
    return _lower(TaskStatus(status))


def step_name(phase: int) -> str:
    """Return the name of a phase of a step as people write it."""
    return _lower(StepPhase(phase))


def _lower(word: IntEnum) -> str:
    return word.name.lower().replace("_", " ")


def run_status(run: run_pb2.Run) -> str:
    """Return one word for phase, result and what a run waits for; a result that is known early is in brackets."""
    if run.phase == run_pb2.RUN_PHASE_FINISHED:
        return result_name(run.result)
    if run.phase != run_pb2.RUN_PHASE_RUNNING:
        return phase_name(run.phase)
    word = "stopping" if run.HasField("stop_request") else "waiting" if run.HasField("waiting") else "running"
    early = result_name(run.result)
    return f"{word} ({early})" if early and word != "stopping" else word


def task_status(task: run_pb2.Task) -> str:
    """Return the status of a task, and whether its failure is ignored."""
    if task.HasField("hold"):
        return "held (failed)"
    word = status_name(task.status)
    bad = {run_pb2.TASK_STATUS_FAILED, run_pb2.TASK_STATUS_LOST}
    return f"{word} (ignored)" if task.ignore_failure and task.status in bad else word


def edge(depend: definition_pb2.Depend) -> str:
    """Return a parent's name, with the conditions if they are not the usual one."""
    names = [
        definition_pb2.DependCondition.Name(condition).removeprefix("DEPEND_CONDITION_").lower()
        for condition in depend.conditions
    ]
    return depend.task if names in ([], ["on_success"]) else f"{depend.task} ({' or '.join(names)})"


def run_took(run: run_pb2.Run, *, now: datetime | None = None) -> str:
    """Return how long a run took, from its first task on; empty while no executor has one."""
    start = run.work_start_time
    if not start.seconds and run.end_time.seconds:
        start = run.start_time
    return duration(start, run.end_time, running=run.phase == run_pb2.RUN_PHASE_RUNNING, now=now)
