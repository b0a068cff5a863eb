"""How far the tasks of this executor are, on disk, for its next process.

One small file for each task, replaced before the instructions that follow from a change are carried out. It is not
synced: after a crash of the machine there is no pod to continue either. It has no secret, since the specification is
requested again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_executor import plan
from sluiceway_executor.drivers.port import Pod

__all__ = ["Progress", "ProgressFiles", "Resumed", "seconds_now"]

_VERSION = 1


def seconds_now() -> float:
    """Return the seconds since the machine was started, which all processes of this executor count alike."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is.

    Attributes:
        task: its state, without the plans of its steps.
        report: what was reported, as `Reporter.saved` says.
        timeout_at: when the time limit of the task ends, by `seconds_now`; 0: it is paused.
        timeout_left: how many seconds of it are left then.
        budget_at: when the time limit of its `always` steps ends; 0: it has not started.
        hold_at: when its hold ends; 0: it is not held.
    """

    task: plan.TaskState
    report: Mapping[str, Any]
    timeout_at: float
    timeout_left: float = 0.0
    budget_at: float = 0.0
    hold_at: float = 0.0

    @property
    def needs_pod(self) -> bool:
        """Whether the task cannot continue without its pod."""
        return self.task.phase in {plan.TaskPhase.STEPS, plan.TaskPhase.HELD}

    def with_plans(self, plans: Sequence[plan.StepPlan]) -> plan.TaskState:
        """Return the state of the task, whose steps have these plans."""
        return replace(self.task, plans=tuple(plans))


@dataclass(frozen=True, slots=True)
class Resumed:
    """What another process of the executor left of an assignment.

    Attributes:
        progress: how far it was; None: no step had begun.
        pod: its pod, taken over; None: it needs none.
        specification: requests the specification again, until a server returns it.
    """

    progress: Progress | None
    pod: Pod | None
    specification: Callable[[], Awaitable[pb.Specification]]


class ProgressFiles:
    """The files of all tasks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def save(self, assignment_id: str, progress: Progress) -> None:
        """Write how far a task is. Raises OSError."""
        content = {
            "version": _VERSION,
            "assignment": assignment_id,
            "task": asdict(replace(progress.task, plans=())),
            "report": progress.report,
            "timeout_at": progress.timeout_at,
            "timeout_left": progress.timeout_left,
            "budget_at": progress.budget_at,
            "hold_at": progress.hold_at,
        }
        await asyncio.to_thread(self._write, self._path(assignment_id), json.dumps(content))

    async def load(self, assignment_id: str) -> Progress | None:
        """Read how far a task was; None: it had not begun its first step.

        Raises:
            ValueError: the file is damaged, or of a version that this one does not know.
        """
        try:
            content = json.loads(await asyncio.to_thread(self._path(assignment_id).read_text))
            if content["version"] != _VERSION:
                raise ValueError(f"the progress of a task has the version {content['version']}")
            times = (float(content[name]) for name in ("timeout_at", "timeout_left", "budget_at", "hold_at"))
            return Progress(_task_of(content["task"]), content["report"], *times)
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, OSError) as error:
            raise ValueError(f"the progress of a task cannot be read: {error}") from error

    async def remove(self, assignment_id: str) -> None:
        """Remove the file of a task. May be repeated."""
        await asyncio.to_thread(self._path(assignment_id).unlink, missing_ok=True)

    async def sweep(self, keep: Collection[str]) -> None:
        """Remove the files of all other tasks."""
        kept = {self._path(each) for each in keep}
        for path in await asyncio.to_thread(lambda: list(self._folder.glob("*"))):
            if path not in kept:
                await asyncio.to_thread(path.unlink, missing_ok=True)

    def _path(self, assignment_id: str) -> Path:
        return self._folder / f"{hashlib.sha256(assignment_id.encode()).hexdigest()[:32]}.json"

    @staticmethod
    def _write(path: Path, text: str) -> None:
        temporary = path.with_suffix(".new")
        try:
            temporary.write_text(text)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                path.parent.mkdir(parents=True, mode=0o700)
            temporary.write_text(text)
        temporary.replace(path)


def _task_of(content: Mapping[str, Any]) -> plan.TaskState:
    return plan.TaskState(
        plans=(),
        phase=plan.TaskPhase(content["phase"]),
        setup=_step_of(content["setup"]),
        steps=tuple(_step_of(each) for each in content["steps"]),
        ending=_ending_of(content["ending"]),
        forced=content["forced"],
        stopping=_ending_of(content["stopping"]),
        budget=content["budget"],
        holds=content["holds"],
        hold=content["hold"],
        held_step=content["held_step"],
        passed_over=_ending_of(content["passed_over"]),
    )


def _step_of(content: Mapping[str, Any]) -> plan.StepState:
    return plan.StepState(**{**content, "phase": plan.StepPhase(content["phase"])})


def _ending_of(content: Mapping[str, Any] | None) -> plan.Ending | None:
    return None if content is None else plan.Ending(**{**content, "outcome": plan.Outcome(content["outcome"])})
