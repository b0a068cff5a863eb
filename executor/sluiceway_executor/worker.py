"""Runs one assignment: joins the plan, a driver and the logs. The plan decides; this does, and says what happened.

The order at the end matters: the pod is removed, the logs are stored, then the end is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import definition_pb2, run_pb2
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import FailedPrecondition, SluicewayError
from sluiceway_common.runconfig.capabilities import unsupported_parts
from sluiceway_common.runmodel.wording import duration
from sluiceway_executor import plan
from sluiceway_executor.drivers.port import (
    Command,
    Driver,
    Limits,
    Network,
    Pod,
    PodRequest,
    Process,
    Repository,
    TmpfsMount,
)
from sluiceway_executor.local_repository import is_local, local_repository
from sluiceway_executor.output import StepLog
from sluiceway_executor.spool import LogName, Spools
from sluiceway_executor.steps import CloneOf, Source, clone_command, run_command

__all__ = ["SETUP", "Worker", "WorkerSettings", "unsupported_by"]

log = structlog.get_logger(__name__)

SETUP = -1
_LIMIT_WORDS = {"memory": "used more memory than it may", "processes": "started more processes than it may"}


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What holds for every assignment of this executor.

    Attributes:
        limits: of pods that name none.
        local_repositories: where repositories of this machine may be cloned from; None: nowhere.
        setup_seconds: for a pod to start.
        always_seconds: for all `always` steps after a bad end.
        store_logs_seconds: how long the report of the end waits for its logs to be stored.
        default_grace_seconds: between TERM and KILL, when nobody says.
        default_timeout_seconds: of a task, when nobody says.
    """

    limits: Limits
    local_repositories: Path | None = None
    setup_seconds: float = 600.0
    always_seconds: float = 300.0
    store_logs_seconds: float = 60.0
    default_grace_seconds: float = 30.0
    default_timeout_seconds: float = 3600.0


def unsupported_by(driver: Driver, specification: pb.Specification) -> str:
    """Say what of a task a driver cannot carry out; empty when it can do all."""
    kinds = [step.definition.WhichOneof("kind") or "" for step in specification.steps]
    parts = unsupported_parts(specification.runtime, specification.user, kinds, (driver.capabilities,))
    return "; ".join(message for _, message in parts)


class Worker:
    """One assignment's life. `run` it once; `stop` it any time.

    `report` gets every change as an update without number; the last one has a final phase.
    """

    def __init__(
        self,
        assign: pb.Assign,
        driver: Driver,
        spools: Spools,
        *,
        report: Callable[[pb.AssignmentUpdate], None],
        session_id: str,
        fence_seconds: float,
        settings: WorkerSettings,
        clock: Clock,
    ) -> None:
        self.assignment_id = assign.assignment_id
        self._assign = assign
        self._specification = assign.specification
        self._driver = driver
        self._spools = spools
        self._report = report
        self._session_id = session_id
        self._fence_seconds = fence_seconds
        self._settings = settings
        self._clock = clock
        self._events: asyncio.Queue[plan.Event] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._making: asyncio.Task[None] | None = None
        self._pod: Pod | None = None
        self._process: Process | None = None
        self._stopping = False
        self._pod_started: datetime | None = None
        self._grace_seconds = self._duration_or(self._specification, "grace", settings.default_grace_seconds)
        self._logs: dict[int, StepLog] = {}
        self._times: dict[int, tuple[datetime | None, datetime | None]] = {}
        self._log_facts: dict[int, tuple[int, str]] = {}
        self._reported: dict[int, plan.StepState] = {}
        self._discarded = False
        self._life: plan.Life | None = None

    def feed(self, seconds: float) -> None:
        """Let its pod live for so long from now."""
        self._fence_seconds = seconds
        if self._pod is not None:
            self._pod.feed(seconds)

    def stop(self, *, force: bool, grace_seconds: float | None = None, code: str = "", message: str = "") -> None:
        """Ask for its end. May be repeated; a force or a shorter grace counts from then on.

        Args:
            force: also end an `always` step that runs, and start no other one.
            grace_seconds: between TERM and KILL; None: the specification's.
            code: why, as in the protocol; empty: on request.
            message: the same for a person.
        """
        if grace_seconds is not None:
            self._grace_seconds = min(grace_seconds, self._grace_seconds)
        self._events.put_nowait(plan.StopRequested(force, code or "STOPPED", message or "stopped on request"))

    def pass_limit(self, code: str, message: str) -> None:
        """End it as failed: it uses more than the machine can give."""
        self._grace_seconds = 0.0
        self._events.put_nowait(plan.LimitPassed(code, message))

    def discard(self) -> None:
        """End it at once, and report nothing any more. `run` ends soon after."""
        self._discarded = True
        self._grace_seconds = 0.0
        self._events.put_nowait(plan.StopRequested(force=True, code="DISCARDED", message="nobody wants its outcome"))

    def report_again(self) -> None:
        """Report anew how far it is, every step: the server may have lost what it had acknowledged."""
        self._reported.clear()
        if self._life is not None:
            self._report_changes(self._life)

    async def run(self) -> None:
        """Run it to its end. When cancelled, the pod is removed and nothing more is reported."""
        life, instructions = plan.begin(tuple(_plan_of(step.definition) for step in self._specification.steps))
        try:
            self._report_changes(life)
            while True:
                for instruction in instructions:
                    self._perform(instruction)
                if life.phase is plan.TaskPhase.OVER:
                    break
                life, instructions = plan.advance(life, await self._events.get())
                if life.phase is not plan.TaskPhase.OVER:
                    self._report_changes(life)
            await self._finish(life)
        finally:
            await self._let_go()

    # -- what the plan asks for ---------------------------------------------------------------------------------

    def _perform(self, instruction: plan.Instruction) -> None:
        match instruction:
            case plan.MakePod():
                self._making = self._spawn(self._make_pod(), "setup")
            case plan.StartStep(step=step):
                self._times[step] = (self._clock.now(), None)
                self._process, self._stopping = None, False
                self._spawn(self._run_step(step), f"step {step}")
            case plan.StopSetup():
                if self._making is not None:
                    self._making.cancel()
            case plan.StopStep():
                self._stop_step()
            case plan.StopPod():
                self._stop_step()
                if self._pod is not None:
                    self._spawn(self._pod.stop(self._grace_seconds), "stop of the pod")
            case plan.StartBudget():
                seconds = self._settings.always_seconds
                spent = plan.BudgetSpent(f"the `always` steps took longer than {_words(seconds)}")
                self._spawn(self._later(seconds, spent), "budget")
            case plan.Finish():
                pass

    def _stop_step(self) -> None:
        # A step whose process has not started yet stops it when it has.
        self._stopping = True
        if self._process is not None:
            self._spawn(self._process.stop(self._grace_seconds), "stop")

    async def _make_pod(self) -> None:
        self._times[SETUP] = (self._clock.now(), None)
        setup_log = await self._open_log(SETUP)
        event: plan.Event
        try:
            try:
                async with asyncio.timeout(self._settings.setup_seconds):
                    request = await self._pod_request()
                    await setup_log.note(f"driver {self._driver.name}, image {request.image}")
                    pod = await self._driver.create_pod(request)
            except TimeoutError as error:
                raise FailedPrecondition(f"the pod did not start within {self._settings.setup_seconds:g} s") from error
            self._pod = pod
            if self._fence_seconds != request.fence_after:
                # It changed while the pod was made.
                pod.feed(self._fence_seconds)
            self._pod_started = self._clock.now()
            seconds = self._duration_or(self._specification, "timeout", self._settings.default_timeout_seconds)
            self._spawn(self._later(seconds, plan.TimeIsUp(f"timed out after {_words(seconds)}")), "timeout")
            await setup_log.note("the pod runs")
            event = plan.PodStarted()
        except SluicewayError as error:
            await setup_log.note(f"setup failed: {error}")
            event = plan.SetupFailed(str(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("setup_failed", assignment=self.assignment_id)
            await setup_log.note(f"setup failed: {type(error).__name__}")
            event = plan.SetupFailed(f"the executor failed: {type(error).__name__}")
        await self._close_log(SETUP)
        self._making = None
        self._events.put_nowait(event)

    async def _run_step(self, step: int) -> None:
        step_log = await self._open_log(step)
        event: plan.Event
        try:
            event = await self._execute(step, step_log)
        except SluicewayError as error:
            await step_log.note(str(error))
            event = plan.StepEnded(step, None, error.reason, str(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("step_failed", assignment=self.assignment_id, step=step)
            event = plan.StepEnded(step, None, "EXECUTOR", f"the executor failed: {type(error).__name__}")
        await self._close_log(step)
        self._events.put_nowait(event)

    async def _execute(self, step: int, step_log: StepLog) -> plan.Event:
        pod = self._pod
        if pod is None:
            return plan.PodGone("POD_GONE", "the pod is gone")
        try:
            process = await pod.exec(self._command(step, pod))
        except SluicewayError as error:
            await step_log.note(str(error))
            return plan.StepEnded(step, None, error.reason, f"did not start: {error}")
        self._process = process
        if self._stopping:
            self._stop_step()
        while data := await process.read():
            await step_log.write(data)
        status = await process.wait()
        if status.pod_ended:
            if status.pod_ended == "fenced":
                message = "the executor had no word from a server for too long, so the pod ended itself"
                return plan.PodGone("FENCED", message)
            return plan.PodGone("POD_GONE", "the pod ended by itself")
        if status.limit:
            message = f"{_LIMIT_WORDS.get(status.limit, 'passed a limit')}, and was ended"
            await step_log.note(message)
            return plan.StepEnded(step, status.code, f"LIMIT_{status.limit.upper()}", message)
        if status.output_open:
            await step_log.note(
                "a background process still has the output of this step open; what it writes is not kept"
            )
        if status.error:
            return plan.StepEnded(step, status.code, "STEP_INVALID", f"did not start: {status.error}")
        return plan.StepEnded(step, status.code)

    def _command(self, step: int, pod: Pod) -> Command:
        """Make the command of a step.

        Raises:
            FailedPrecondition: this executor has no such steps, or the step cannot be run.
        """
        specification = self._specification
        definition = specification.steps[step].definition
        kind = definition.WhichOneof("kind")
        if kind == "run":
            run = definition.run
            return run_command(
                run.command,
                shell=run.shell or specification.shell,
                environment={**specification.environment, **_values(run.environment)},
                cwd=_join(specification.working_dir, run.working_dir),
                user=specification.user,
                tty=run.tty,
            )
        if kind == "clone":
            source = specification.source
            clone = CloneOf(
                Source(source.repository, source.ref, source.commit_sha, source.branch),
                mounted=pod.repository,
                depth=definition.clone.depth,
                submodules=definition.clone.recurse_submodules,
            )
            return clone_command(
                clone,
                environment={
                    **_values(specification.runtime.containers[0].environment),
                    **specification.environment,
                },
                cwd=specification.working_dir,
                user=specification.user,
            )
        raise FailedPrecondition(f"this executor has no steps of the kind {kind}", reason="STEP_UNSUPPORTED")

    async def _pod_request(self) -> PodRequest:
        specification = self._specification
        containers = specification.runtime.containers
        if not containers:
            raise FailedPrecondition("the task has no container")
        main = containers[0]
        refusal = unsupported_by(self._driver, specification)
        if refusal:
            raise FailedPrecondition(refusal)
        clones = [
            step.definition.clone
            for step in specification.steps
            if step.definition.WhichOneof("kind") == "clone" and not step.definition.skip
        ]
        repository: Repository | None = None
        if clones and is_local(specification.source.repository):
            repository = await asyncio.to_thread(
                local_repository,
                specification.source.repository,
                self._settings.local_repositories,
                whole=any(clone.depth <= 0 for clone in clones),
            )
        return PodRequest(
            assignment_id=self.assignment_id,
            session_id=self._session_id,
            image=main.image,
            arch=specification.runtime.arch,
            user=specification.user or main.user,
            privileged=any(container.privileged for container in containers),
            network=Network(specification.runtime.network or Network.ISOLATED),
            services=len(containers) - 1,
            tmpfs=tuple(TmpfsMount(volume.path, volume.tmpfs.size_bytes) for volume in main.volumes),
            environment=_values(main.environment),
            repository=repository,
            limits=_limits(self._settings.limits, specification.resources, main.resources),
            fence_after=self._fence_seconds,
        )

    # -- the end ------------------------------------------------------------------------------------------------

    async def _finish(self, life: plan.Life) -> None:
        await self._let_go()
        for step in list(self._logs):
            await self._close_log(step)
        if self._discarded:
            return
        self._report_changes(life, final=False)
        try:
            async with asyncio.timeout(self._settings.store_logs_seconds):
                await self._spools.wait_complete(self.assignment_id)
        except TimeoutError:
            log.warning("logs_not_stored_yet", assignment=self.assignment_id)
        if not self._discarded:
            self._report_changes(life, final=True)

    async def _let_go(self) -> None:
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        pod, self._pod = self._pod, None
        if pod is not None:
            await pod.remove()
        else:
            # One that was being made when it was cancelled.
            await self._driver.remove_pod(self._session_id, self.assignment_id)

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{what} of {self.assignment_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _later(self, seconds: float, event: plan.Event) -> None:
        await asyncio.sleep(seconds)
        self._events.put_nowait(event)

    # -- logs and reports ---------------------------------------------------------------------------------------

    async def _open_log(self, step: int) -> StepLog:
        spool = await self._spools.create(LogName(self.assignment_id, step))
        step_log = StepLog(
            self._spools,
            spool,
            masks=self._specification.masks,
            clock=self._clock,
            limit_bytes=self._specification.log_limit_bytes,
        )
        self._logs[step] = step_log
        return step_log

    async def _close_log(self, step: int) -> None:
        step_log = self._logs[step]
        await step_log.finish()
        if step not in self._log_facts:
            self._log_facts[step] = (step_log.size, step_log.sha256)
            self._times[step] = (self._times[step][0], self._clock.now())

    def _report_changes(self, life: plan.Life, *, final: bool = False) -> None:
        self._life = life
        if self._discarded:
            return
        update = pb.AssignmentUpdate(
            assignment_id=self.assignment_id,
            epoch=self._assign.epoch,
            phase=_phase(life) if final else self._live_phase,
        )
        if self._pod_started is not None:
            update.pod_start_time.FromDatetime(self._pod_started)
        for step, state in ((SETUP, life.setup), *enumerate(life.steps)):
            if final or self._reported.get(step) != state:
                self._reported[step] = state
                update.steps.append(self._step_update(step, state))
        if final and life.ending is not None:
            update.reason.CopyFrom(run_pb2.Reason(code=life.ending.code, message=life.ending.message))
            update.timed_out = life.ending.timed_out
            if life.ending.outcome is plan.Outcome.FAILED:
                update.cause = _cause(life.ending)
        if update.steps or final:
            self._report(update)

    @property
    def _live_phase(self) -> pb.AssignmentPhase:
        # The server counts the timeout from the first report of `running`, and a setup may be long.
        return pb.ASSIGNMENT_PHASE_ACCEPTED if self._pod_started is None else pb.ASSIGNMENT_PHASE_RUNNING

    def _step_update(self, step: int, state: plan.StepState) -> pb.StepUpdate:
        update = pb.StepUpdate(step=step, phase=_STEP_PHASES[state.phase])
        if state.exit_status is not None:
            update.exit_status = state.exit_status
        start, end = self._times.get(step, (None, None))
        if start is not None:
            update.start_time.FromDatetime(start)
        if end is not None:
            update.end_time.FromDatetime(end)
        if step in self._log_facts:
            update.log_size_bytes, update.log_sha256 = self._log_facts[step]
        if state.code:
            update.reason.CopyFrom(run_pb2.Reason(code=state.code, message=state.message))
        return update

    @staticmethod
    def _duration_or(specification: pb.Specification, name: str, default: float) -> float:
        if not specification.HasField(name):
            return default
        seconds: float = getattr(specification, name).ToTimedelta().total_seconds()
        return seconds if seconds > 0 else default


_STEP_PHASES = {
    plan.StepPhase.NOT_STARTED: run_pb2.STEP_PHASE_NOT_STARTED,
    plan.StepPhase.RUNNING: run_pb2.STEP_PHASE_RUNNING,
    plan.StepPhase.SUCCESS: run_pb2.STEP_PHASE_SUCCESS,
    plan.StepPhase.FAILED: run_pb2.STEP_PHASE_FAILED,
    plan.StepPhase.STOPPED: run_pb2.STEP_PHASE_STOPPED,
    plan.StepPhase.SKIPPED: run_pb2.STEP_PHASE_SKIPPED,
}

_OUTCOMES = {
    plan.Outcome.SUCCESS: pb.ASSIGNMENT_PHASE_SUCCESS,
    plan.Outcome.FAILED: pb.ASSIGNMENT_PHASE_FAILED,
    plan.Outcome.STOPPED: pb.ASSIGNMENT_PHASE_STOPPED,
    plan.Outcome.CANCELLED: pb.ASSIGNMENT_PHASE_CANCELLED,
    plan.Outcome.LOST: pb.ASSIGNMENT_PHASE_LOST,
}


def _cause(ending: plan.Ending) -> definition_pb2.RetryCause:
    if ending.timed_out:
        return definition_pb2.RETRY_CAUSE_TIMEOUT
    return definition_pb2.RETRY_CAUSE_SETUP if ending.in_setup else definition_pb2.RETRY_CAUSE_FAILED


def _phase(life: plan.Life) -> pb.AssignmentPhase:
    outcome = life.outcome
    return _OUTCOMES[outcome] if outcome is not None else pb.ASSIGNMENT_PHASE_RUNNING


def _plan_of(definition: definition_pb2.StepDefinition) -> plan.StepPlan:
    return plan.StepPlan(definition.name or definition.WhichOneof("kind") or "", definition.always, definition.skip)


def _values(environment: Mapping[str, definition_pb2.EnvironmentValue]) -> dict[str, str]:
    return {name: value.value for name, value in environment.items()}


def _limits(default: Limits, of_task: definition_pb2.Resources, of_container: definition_pb2.Resources) -> Limits:
    memory = of_task.memory_bytes or of_container.memory_bytes or default.memory_bytes
    return Limits(default.processes, memory, default.open_files, default.file_bytes)


def _words(seconds: float) -> str:
    return duration(timedelta(seconds=seconds))


def _join(base: str, path: str) -> str:
    if not path:
        return base
    if path.startswith(("/", "~")):
        return path
    return f"{base}/{path}"
