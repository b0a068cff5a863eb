"""What a configuration defines: the tasks from which a run is created."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sluiceway_common.runmodel.model import ANY_EXECUTOR, DEFAULT_RETRY, ApprovalNeed, Condition, Needs, Retry
from sluiceway_common.runmodel.steps import Steps


@dataclass(frozen=True, slots=True)
class DependsOn:
    """An edge as a person wrote it, by the parent's name."""

    task: str
    conditions: frozenset[Condition] = frozenset({Condition.ON_SUCCESS})


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """The part of a task's definition that rules and placement need.

    Attributes:
        skip: its `when` did not match; it is created as skipped (R12).
        priority: None: that of the run.
        timeout: the one of the task, else of the run, else of the configuration; None: none.
        wait_timeout: how long it may wait for an executor; None: without end.
        steps: its steps, none of which has started.
    """

    name: str
    steps: Steps
    depends: tuple[DependsOn, ...] = ()
    skip: bool = False
    ignore_failure: bool = False
    approval: ApprovalNeed | None = None
    lock: str = ""
    retry: Retry = DEFAULT_RETRY
    timeout: timedelta | None = None
    wait_timeout: timedelta | None = None
    priority: int | None = None
    needs: Needs = ANY_EXECUTOR
