"""Reports how far an assignment is: the state of its plan becomes updates with what changed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway_common.foundation.clock import Clock
from sluiceway_executor import plan
from sluiceway_executor.drivers.port import ImageDigest, Usage

__all__ = ["SETUP", "Reporter"]

SETUP = -1

_STEP_PHASES = {
    plan.StepPhase.NOT_STARTED: run_pb2.STEP_PHASE_NOT_STARTED,
    plan.StepPhase.RUNNING: run_pb2.STEP_PHASE_RUNNING,
    plan.StepPhase.SUCCESS: run_pb2.STEP_PHASE_SUCCESS,
    plan.StepPhase.FAILED: run_pb2.STEP_PHASE_FAILED,
    plan.StepPhase.STOPPED: run_pb2.STEP_PHASE_STOPPED,
    plan.StepPhase.SKIPPED: run_pb2.STEP_PHASE_SKIPPED,
}

_FINAL_PHASES = {
    plan.Outcome.SUCCESS: pb.ASSIGNMENT_PHASE_SUCCESS,
    plan.Outcome.FAILED: pb.ASSIGNMENT_PHASE_FAILED,
    plan.Outcome.STOPPED: pb.ASSIGNMENT_PHASE_STOPPED,
    plan.Outcome.CANCELLED: pb.ASSIGNMENT_PHASE_CANCELLED,
    plan.Outcome.LOST: pb.ASSIGNMENT_PHASE_LOST,
}


class Reporter:
    """The updates of one assignment.

    Attributes:
        pod_start_time: when the pod started; None: not yet.
        is_silenced: set: nothing is reported any more.
    """

    def __init__(self, assign: pb.Assign, send: Callable[[pb.AssignmentUpdate], None], clock: Clock) -> None:
        self.pod_start_time: datetime | None = None
        self.is_silenced = False
        self._assign = assign
        self._send = send
        self._clock = clock
        self._task: plan.TaskState | None = None
        self._reported: dict[int, plan.StepState] = {}
        self._started: dict[int, datetime] = {}
        self._ended: dict[int, datetime] = {}
        self._logs: dict[int, tuple[int, str]] = {}
        self._archives: list[pb.Archive] = []
        self._usage: dict[int, tuple[float, int]] = {}
        self._images: list[run_pb2.ContainerImage] = []

    @property
    def saved(self) -> dict[str, Any]:
        """What the next process of the executor reports of what is over, as JSON."""
        return {
            "pod_start_time": None if self.pod_start_time is None else self.pod_start_time.isoformat(),
            "started": {str(step): time.isoformat() for step, time in self._started.items()},
            "ended": {str(step): time.isoformat() for step, time in self._ended.items()},
            "logs": {str(step): found for step, found in self._logs.items()},
            "usage": {str(step): found for step, found in self._usage.items()},
            "images": [[each.name, each.digest] for each in self._images],
            "archives": [base64.b64encode(each.SerializeToString()).decode() for each in self._archives],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Set what an earlier process has saved."""
        if saved["pod_start_time"] is not None:
            self.pod_start_time = datetime.fromisoformat(saved["pod_start_time"])
        self._started = {int(step): datetime.fromisoformat(time) for step, time in saved["started"].items()}
        self._ended = {int(step): datetime.fromisoformat(time) for step, time in saved["ended"].items()}
        self._logs = {int(step): (int(size), str(digest)) for step, (size, digest) in saved["logs"].items()}
        self._usage = {int(step): (float(cpu), int(peak)) for step, (cpu, peak) in saved.get("usage", {}).items()}
        self._images = [run_pb2.ContainerImage(name=name, digest=digest) for name, digest in saved.get("images", ())]
        self._archives = [pb.Archive.FromString(base64.b64decode(each)) for each in saved["archives"]]

    def pod_started(self, images: Sequence[ImageDigest] = ()) -> None:
        """Note the time at which the pod started, and the images of its containers."""
        self._images = [run_pb2.ContainerImage(name=each.name, digest=each.digest) for each in images]
        self.pod_start_time = self._clock.now()

    def step_started(self, step: int) -> None:
        """Note the time at which a step (`SETUP`: the setup) started, or was started again after a hold."""
        self._started[step] = self._clock.now()
        self._ended.pop(step, None)

    def step_held(self, step: int) -> None:
        """Note the time at which a step failed whose pod is held. Its log may continue."""
        self._ended[step] = self._clock.now()

    def step_ended(self, step: int, *, log_size: int, log_sha256: str) -> None:
        """Note the time at which a step ended, and its log. May be repeated."""
        if step not in self._logs:
            self._logs[step] = (log_size, log_sha256)
            self._ended.setdefault(step, self._clock.now())

    def step_used(self, step: int, usage: Usage | None) -> None:
        """Note what a step used; of one that was run again, what all of them used."""
        if usage is not None:
            cpu, peak = self._usage.get(step, (0.0, 0))
            self._usage[step] = (cpu + usage.cpu_seconds, max(peak, usage.peak_memory_bytes))

    def has_log(self, step: int) -> bool:
        """Return whether the end of the log of a step was noted."""
        return step in self._logs

    def archive_stored(self, archive: pb.Archive) -> None:
        """Add an archive to all reports that follow."""
        self._archives.append(archive)

    def report(self, task: plan.TaskState) -> None:
        """Report the steps that changed since the last report, if there are any."""
        self._task = task
        changed = [(step, state) for step, state in _steps(task) if self._reported.get(step) != state]
        # The server counts the timeout from the first report of `running`, and a setup may be long.
        is_accepted = self.pod_start_time is None
        phase = pb.ASSIGNMENT_PHASE_ACCEPTED if is_accepted else pb.ASSIGNMENT_PHASE_RUNNING
        if changed and not self.is_silenced:
            self._send(self._update(phase, changed))

    def report_again(self) -> None:
        """Report every step again: the server may have lost what it had acknowledged."""
        self._reported.clear()
        if self._task is not None:
            self.report(self._task)

    def report_end(self, task: plan.TaskState) -> None:
        """Report every step and the outcome."""
        self._task = task
        if self.is_silenced:
            return
        outcome = task.outcome
        phase = pb.ASSIGNMENT_PHASE_RUNNING if outcome is None else _FINAL_PHASES[outcome]
        update = self._update(phase, _steps(task))
        if task.ending is not None:
            update.reason.CopyFrom(run_pb2.Reason(code=task.ending.code, message=task.ending.message))
            update.timed_out = task.ending.timed_out
            if task.ending.outcome is plan.Outcome.FAILED:
                update.cause = _cause(task.ending)
        self._send(update)

    def _update(self, phase: pb.AssignmentPhase, steps: list[tuple[int, plan.StepState]]) -> pb.AssignmentUpdate:
        self._reported.update(steps)
        update = pb.AssignmentUpdate(
            assignment_id=self._assign.assignment_id,
            epoch=self._assign.epoch,
            phase=phase,
            steps=[self._step_update(step, state) for step, state in steps],
            archives=self._archives,
        )
        if self.pod_start_time is not None:
            update.pod_start_time.FromDatetime(self.pod_start_time)
        task = self._task
        if task is not None and task.held_step is not None:
            limit = self._assign.specification.hold_on_failure
            update.hold.CopyFrom(pb.Hold(number=task.hold, step=task.held_step, limit=limit))
        return update

    def _step_update(self, step: int, state: plan.StepState) -> pb.StepUpdate:
        update = pb.StepUpdate(step=step, phase=_STEP_PHASES[state.phase], reruns=state.reruns)
        if state.exit_status is not None:
            update.exit_status = state.exit_status
        if step in self._started:
            update.start_time.FromDatetime(self._started[step])
        if step in self._ended:
            update.end_time.FromDatetime(self._ended[step])
        if step in self._logs:
            update.log_size_bytes, update.log_sha256 = self._logs[step]
        if step in self._usage:
            cpu, update.peak_memory_bytes = self._usage[step]
            update.cpu_time.FromMicroseconds(round(cpu * 1e6))
        if step == SETUP and state.phase is not plan.StepPhase.RUNNING:
            update.images.extend(self._images)
        if state.code:
            update.reason.CopyFrom(run_pb2.Reason(code=state.code, message=state.message))
        return update


def _cause(ending: plan.Ending) -> definition_pb2.RetryCause:
    if ending.timed_out:
        return definition_pb2.RETRY_CAUSE_TIMEOUT
    return definition_pb2.RETRY_CAUSE_SETUP if ending.in_setup else definition_pb2.RETRY_CAUSE_FAILED


def _steps(task: plan.TaskState) -> list[tuple[int, plan.StepState]]:
    return [(SETUP, task.setup), *enumerate(task.steps)]
