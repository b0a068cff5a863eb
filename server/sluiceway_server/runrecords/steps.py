"""The setup and the steps of an attempt: how updates of an executor move them, and what ends them.

The rules carry them without reading them (`runmodel.steps.Steps`), so they stay encoded: most transactions decode none.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableSequence
from dataclasses import dataclass
from datetime import UTC

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import definition_pb2 as definition_api
from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway_common.runmodel.steps import Steps, StepView
from sluiceway_server.runrecords.types import SETUP_STEP

STEP_PHASES = frozenset(api.StepPhase.values()) - {api.STEP_PHASE_UNSPECIFIED}

_OPEN = frozenset({api.STEP_PHASE_NOT_STARTED, api.STEP_PHASE_RUNNING})
_FINAL = STEP_PHASES - _OPEN
_WHEN_OVER = {api.STEP_PHASE_RUNNING: api.STEP_PHASE_STOPPED, api.STEP_PHASE_NOT_STARTED: api.STEP_PHASE_SKIPPED}


@dataclass(frozen=True, slots=True)
class EncodedSteps:
    """Implements `runmodel.steps.Steps`.

    Attributes:
        encoded: an `api.Attempt` with `setup_step` and `steps`, serialized.
    """

    encoded: bytes

    @classmethod
    def of_record(cls, setup: api.Step, steps: Iterable[api.Step]) -> EncodedSteps:
        """Take them from a record."""
        attempt = api.Attempt()
        attempt.setup_step.CopyFrom(setup)
        attempt.steps.extend(steps)
        return cls(attempt.SerializeToString())

    @classmethod
    def of_definitions(cls, definitions: Iterable[definition_api.StepDefinition]) -> EncodedSteps:
        """Make those of a new task: nothing has started."""
        steps = [(step.name, step.WhichOneof("kind") or "") for step in definitions]
        return cls.of_record(_blank("setup", "setup"), (_blank(name or type_, type_) for name, type_ in steps))

    def merged(self, updates: Iterable[executor_api.StepUpdate]) -> EncodedSteps:
        """Apply what an executor reports of some of them; equal to the present ones when nothing is new.

        A step never goes back, and its log never shrinks. Updates of steps that the task does not have are ignored.
        """
        attempt = self.decoded()
        for update in updates:
            if update.step == SETUP_STEP:
                _merge(attempt.setup_step, update)
            elif 0 <= update.step < len(attempt.steps):
                _merge(attempt.steps[update.step], update)
        return EncodedSteps(attempt.SerializeToString())

    def ended(self) -> EncodedSteps:
        """Return those of an attempt that is over: a running step was stopped, one that had not started is skipped."""
        attempt = self.decoded()
        for step in _all(attempt):
            step.phase = _WHEN_OVER.get(step.phase, step.phase)
        return EncodedSteps(attempt.SerializeToString())

    def blank(self) -> EncodedSteps:
        """Return those of the next attempt: nothing has started."""
        attempt = self.decoded()
        for step in _all(attempt):
            step.CopyFrom(_blank(step.name, step.type))
        return EncodedSteps(attempt.SerializeToString())

    def running(self) -> StepView | None:
        """Return the first step that runs; not the setup."""
        return self._first(lambda step: step.phase == api.STEP_PHASE_RUNNING)

    def failed(self) -> StepView | None:
        """Return the first step that failed; not the setup."""
        return self._first(lambda step: step.phase == api.STEP_PHASE_FAILED)

    def setup_failed(self) -> bool:
        """Return whether the setup failed."""
        return self.decoded().setup_step.phase == api.STEP_PHASE_FAILED

    def restore_workspace(self) -> bool:
        """Return whether one of them restores a workspace."""
        return self._first(lambda step: step.type == "restore_workspace") is not None

    def _first(self, wanted: Callable[[api.Step], bool]) -> StepView | None:
        steps = self.decoded().steps
        for index, step in enumerate(steps):
            if wanted(step):
                return StepView(
                    index=index,
                    count=len(steps),
                    name=step.name,
                    exit_status=step.exit_status if step.HasField("exit_status") else None,
                    start_time=step.start_time.ToDatetime(UTC) if step.HasField("start_time") else None,
                )
        return None

    def decoded(self) -> api.Attempt:
        """Return the attempt; nothing of it but `setup_step` and `steps` is set."""
        return api.Attempt.FromString(self.encoded)


def put_steps(steps: Steps, setup: api.Step, others: MutableSequence[api.Step]) -> None:
    """Store the setup and the steps in the fields of a record."""
    attempt = encoded(steps).decoded()
    setup.CopyFrom(attempt.setup_step)
    del others[:]
    others.extend(attempt.steps)


def encoded(steps: Steps) -> EncodedSteps:
    """Return the steps of a task as what they are in this server."""
    if not isinstance(steps, EncodedSteps):
        raise TypeError(f"steps are a {type(steps).__name__}")
    return steps


def _all(attempt: api.Attempt) -> Iterator[api.Step]:
    yield attempt.setup_step
    yield from attempt.steps


def _blank(name: str, type_: str) -> api.Step:
    return api.Step(name=name, type=type_, phase=api.STEP_PHASE_NOT_STARTED)


def _merge(stored: api.Step, update: executor_api.StepUpdate) -> None:
    if update.reruns < stored.reruns:
        return
    if update.reruns > stored.reruns:
        # It runs again in a held pod; its log continues.
        size, digest = stored.log_size_bytes, stored.log_sha256
        stored.CopyFrom(_blank(stored.name, stored.type))
        stored.reruns, stored.log_size_bytes, stored.log_sha256 = update.reruns, size, digest
    if update.log_sha256 and update.log_size_bytes >= stored.log_size_bytes:
        stored.log_sha256 = update.log_sha256
    stored.log_size_bytes = max(stored.log_size_bytes, update.log_size_bytes)
    ends = stored.phase in _OPEN and update.phase in _FINAL
    starts = stored.phase == api.STEP_PHASE_NOT_STARTED and update.phase == api.STEP_PHASE_RUNNING
    if not (ends or starts):
        return
    stored.phase = update.phase
    if update.HasField("start_time"):
        stored.start_time.CopyFrom(update.start_time)
    for name in ("exit_status", "end_time", "reason", "cpu_time", "peak_memory_bytes", "images"):
        stored.ClearField(name)
    if update.HasField("cpu_time"):
        stored.cpu_time.CopyFrom(update.cpu_time)
    stored.peak_memory_bytes = update.peak_memory_bytes
    stored.images.extend(update.images)
    if update.HasField("exit_status"):
        stored.exit_status = update.exit_status
    if update.HasField("end_time"):
        stored.end_time.CopyFrom(update.end_time)
    if update.HasField("reason"):
        stored.reason.CopyFrom(api.Reason(code=update.reason.code.upper(), message=update.reason.message))
