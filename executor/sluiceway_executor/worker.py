"""Runs one assignment: carries out the instructions of the plan with a driver, and reports to it what happened.

How far it is, is written before the instructions are carried out, so that the next process of the executor can
continue it. The output of a step is kept by its pod until it is in the log on disk, and its exit status until its end
is written.

At the end the order matters: the logs are on disk, the pod is removed, the logs are stored, then the end is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import FailedPrecondition, SluicewayError
from sluiceway_common.foundation.time_limit import time_limit
from sluiceway_common.runmodel.wording import duration
from sluiceway_executor import plan
from sluiceway_executor.archives.steps import ARCHIVE_STEPS, ArchiveSteps
from sluiceway_executor.drivers.port import Driver, Limits, Pod, PodRequest, Process
from sluiceway_executor.id_tokens import IdTokenSource, TaskIdTokens
from sluiceway_executor.output import StepLog, copy_output, forget_when_kept
from sluiceway_executor.progress import Progress, ProgressFiles, Resumed, seconds_now
from sluiceway_executor.reporter import SETUP, Reporter
from sluiceway_executor.specification import pod_request, seconds_of, shell_command, step_command, step_plans
from sluiceway_executor.spool import LogName, Spools

__all__ = ["Worker", "WorkerSettings"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

_LIMIT_WORDS = {"memory": "used more memory than it may", "processes": "started more processes than it may"}


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The settings of all workers of an executor.

    Attributes:
        limits: of pods whose task sets none.
        local_repositories: the folder below which repositories of this machine may be cloned; None: no such clones.
        setup_seconds: the time limit for the start of a pod.
        always_seconds: the time limit for all `always` steps of a task that did not succeed.
        store_logs_seconds: how long the report of the end waits for the logs to be stored.
        default_grace_seconds: between TERM and KILL, if the specification has none.
        default_timeout_seconds: of a task, if the specification has none.
    """

    limits: Limits
    local_repositories: Path | None = None
    setup_seconds: float = 600.0
    always_seconds: float = 300.0
    store_logs_seconds: float = 60.0
    default_grace_seconds: float = 30.0
    default_timeout_seconds: float = 3600.0


class Worker:
    """Runs one assignment. Call `run` once, and `stop` at any time.

    `report` is called with every change as an update without a number; the last one has a final phase. One that is
    `resumed` has no specification at first: what its pod runs continues meanwhile, and nothing else is started.
    """

    def __init__(
        self,
        assign: pb.Assign,
        driver: Driver,
        spools: Spools,
        archives: ArchiveSteps,
        *,
        report: Callable[[pb.AssignmentUpdate], None],
        session_id: str,
        fence_seconds: float,
        settings: WorkerSettings,
        clock: Clock,
        files: ProgressFiles,
        id_tokens: IdTokenSource,
        resumed: Resumed | None = None,
    ) -> None:
        self.assignment_id = assign.assignment_id
        self._assign = assign
        self._specification = assign.specification
        self._driver = driver
        self._spools = spools
        self._archives = archives
        self._reporter = Reporter(assign, report, clock)
        self._session_id = session_id
        self._fence_seconds = fence_seconds
        self._settings = settings
        self._clock = clock
        self._events: asyncio.Queue[plan.Event] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._setup: asyncio.Task[None] | None = None
        self._files = files
        self._id_tokens = TaskIdTokens(assign, id_tokens, self._mask)
        self._refreshing: asyncio.Task[None] | None = None
        self._resumed = resumed
        self._discarded = asyncio.Event()
        self._timeout_at = self._budget_at = 0.0
        self._pod: Pod | None = resumed.pod if resumed is not None else None
        self._process: Process | _Work | None = None
        self._stopping = False
        self._shortest_grace: float | None = None
        self._logs: dict[int, StepLog] = {}
        self._task: plan.TaskState | None = None
        self._timeout: asyncio.Task[None] | None = None
        # When the timeout ends, or, while it is paused, how long it continues; and when the hold ends.
        self._timeout_left = self._hold_at = 0.0
        self._ended_by = ""

    def feed(self, seconds: float) -> None:
        """Keep its pod alive for so many seconds from now."""
        self._fence_seconds = seconds
        if self._pod is not None:
            self._pod.feed(seconds)

    def stop(self, *, force: bool, grace_seconds: float | None = None, code: str = "", message: str = "") -> None:
        """Request its end. May be repeated: a force or a shorter grace period counts from then on.

        Args:
            force: also end an `always` step that runs, and start no other one.
            grace_seconds: between TERM and KILL; None: that of the specification.
            code: the reason's code in the protocol; empty: on request.
            message: the reason for a person.
        """
        if grace_seconds is not None:
            self._shorten_grace(grace_seconds)
        self._events.put_nowait(plan.StopRequested(force, code or "STOPPED", message or "stopped on request"))

    def exceed_limit(self, code: str, message: str) -> None:
        """End it as failed, because it exceeds a limit of the machine."""
        self._shorten_grace(0.0)
        self._events.put_nowait(plan.LimitExceeded(code, message))

    def discard(self) -> None:
        """End it at once, and report nothing any more. `run` returns soon after."""
        self._reporter.is_silenced = True
        self._shorten_grace(0.0)
        self._discarded.set()
        self._events.put_nowait(plan.StopRequested(force=True, code="DISCARDED", message="its outcome is not used"))

    def end_hold(self, hold: int, action: plan.HoldAction, by: str) -> None:
        """End the hold with this number. A hold with another number continues."""
        task = self._task
        if task is not None and task.held_step is not None and task.hold == hold:
            self._ended_by = by
            self._events.put_nowait(plan.HoldEnded(hold, action))

    async def exec_shell(self, *, rows: int, columns: int, term: str) -> tuple[Process, str]:
        """Start a shell in the pod, and return it and the name of the step whose environment it has.

        Raises:
            FailedPrecondition: there is no pod now, or it cannot run a shell.
        """
        task, pod = self._task, self._pod
        if task is None or pod is None:
            raise FailedPrecondition("the task has no pod now", reason="TASK_HAS_NO_POD")
        step = task.held_step if task.held_step is not None else task.current
        command = shell_command(self._specification, step)
        command = replace(command, environment={**command.environment, "TERM": term}, size=(rows, columns))
        return await pod.exec(command), "" if step is None else task.plans[step].name

    def report_again(self) -> None:
        """Report every step again: the server may have lost what it had acknowledged."""
        self._reporter.report_again()

    async def run(self) -> None:
        """Run it to its end. When cancelled, the pod is removed and nothing more is reported."""
        try:
            if self._resumed is not None:
                await self._get_specification(self._resumed)
                if self._discarded.is_set():
                    return
            task, instructions = await self._begin()
            self._task = task
            self._reporter.report(task)
            while True:
                for instruction in instructions:
                    self._perform(instruction)
                if task.phase is plan.TaskPhase.OVER:
                    break
                task, instructions = plan.advance(task, await self._events.get())
                self._task = task
                self._prepare(instructions)
                if task.held_step is None:
                    self._hold_at = 0.0
                if task.phase is not plan.TaskPhase.SETUP:
                    await self._save(task)
                if task.phase is not plan.TaskPhase.OVER:
                    self._reporter.report(task)
            await self._finish(task)
        finally:
            await self._clean_up()

    async def _begin(self) -> tuple[plan.TaskState, tuple[plan.Instruction, ...]]:
        plans = step_plans(self._specification)
        progress = self._resumed.progress if self._resumed is not None else None
        self._timeout_left = self._timeout_seconds
        if progress is None:
            return plan.begin(plans, holds=self._hold_seconds > 0)
        self._reporter.restore(progress.report)
        self._timeout_at, self._timeout_left = progress.timeout_at, progress.timeout_left
        self._budget_at, self._hold_at = progress.budget_at, progress.hold_at
        task, instructions = plan.resume(progress.with_plans(plans))
        if task.phase is plan.TaskPhase.STEPS:
            self._start_timeout()
        self._task = task
        if task.phase is not plan.TaskPhase.SETUP:
            await self._complete_logs(task)
        return task, instructions

    def _prepare(self, instructions: tuple[plan.Instruction, ...]) -> None:
        """Note the times at which instructions are carried out, before they are saved."""
        for instruction in instructions:
            match instruction:
                case plan.StartStep(step=step):
                    self._reporter.step_started(step)
                    self._start_timeout()
                case plan.StartHold():
                    self._hold_at = seconds_now() + self._hold_seconds
                    self._pause_timeout()
                case _:
                    pass

    async def _get_specification(self, resumed: Resumed) -> None:
        asked = asyncio.ensure_future(resumed.specification())
        discarded = asyncio.create_task(self._discarded.wait())
        try:
            await asyncio.wait({asked, discarded}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            discarded.cancel()
            await asyncio.wait({asked, discarded})
        if self._discarded.is_set():
            return
        self._assign.specification.CopyFrom(asked.result())
        if self._pod is not None:
            self._pod.resume(await self._pod_request(clones_here=False))
            await self._id_tokens.resume(self._pod)

    async def _save(self, task: plan.TaskState) -> None:
        progress = Progress(
            task, self._reporter.saved, self._timeout_at, self._timeout_left, self._budget_at, self._hold_at
        )
        try:
            await self._files.save(self.assignment_id, progress)
        except OSError as error:
            # It continues; a restart of the executor would lose it.
            log.warning("progress_not_written", assignment=self.assignment_id, error=str(error))

    @property
    def _grace_seconds(self) -> float:
        grace = seconds_of(self._specification, "grace", self._settings.default_grace_seconds)
        return grace if self._shortest_grace is None else min(grace, self._shortest_grace)

    def _shorten_grace(self, seconds: float) -> None:
        self._shortest_grace = seconds if self._shortest_grace is None else min(seconds, self._shortest_grace)

    # -- instructions of the plan ---------------------------------------------------------------------------------

    def _perform(self, instruction: plan.Instruction) -> None:
        match instruction:
            case plan.CreatePod():
                self._setup = self._spawn(self._create_pod(), "setup")
            case plan.StartStep(step=step):
                self._process, self._stopping = None, False
                self._spawn(self._run_step(step), f"step {step}")
            case plan.ResumeStep(step=step):
                self._spawn(self._run_step(step), f"step {step}")
            case plan.StopSetup():
                if self._setup is not None:
                    self._setup.cancel()
            case plan.StopStep():
                self._stop_step()
            case plan.StopPod():
                self._stop_step()
                if self._pod is not None:
                    self._spawn(self._pod.stop(self._grace_seconds), "stop of the pod")
            case plan.StartBudget():
                seconds = self._settings.always_seconds
                self._budget_at = self._budget_at or seconds_now() + seconds
                exceeded = plan.BudgetExceeded(f"the `always` steps took longer than {_words(seconds)}")
                self._spawn(self._at(self._budget_at, exceeded), "budget")
            case plan.StartHold(hold=hold):
                self._spawn(self._at(self._hold_at, plan.HoldExpired(hold)), f"hold {hold}")
            case plan.Finish():
                pass

    def _start_timeout(self) -> None:
        """Start the timeout of the task, or continue it after a hold, which does not count."""
        if self._timeout is None:
            self._timeout_at = self._timeout_at or seconds_now() + self._timeout_left
            exceeded = plan.TimedOut(f"timed out after {_words(self._timeout_seconds)}")
            self._timeout = self._spawn(self._at(self._timeout_at, exceeded), "timeout")

    def _pause_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
            self._timeout_left, self._timeout_at = max(0.0, self._timeout_at - seconds_now()), 0.0

    def _stop_step(self) -> None:
        # A step whose process has not started yet stops it when it has.
        self._stopping = True
        if self._process is not None:
            self._spawn(self._process.stop(self._grace_seconds), "stop")

    async def _create_pod(self) -> None:
        self._reporter.step_started(SETUP)
        setup_log = await self._open_log(SETUP)
        if self._resumed is not None:
            await setup_log.note("the executor was restarted; the setup begins again")
        event: plan.Event
        try:
            try:
                async with time_limit(self._settings.setup_seconds):
                    request = await self._pod_request()
                    await setup_log.note(f"driver {self._driver.name}, image {request.image}")
                    if self._specification.id_tokens_withheld:
                        await setup_log.note(f"no id tokens: {self._specification.id_tokens_withheld}")
                    pod = await self._driver.create_pod(request, setup_log.note)
            except TimeoutError as error:
                raise FailedPrecondition(f"the pod did not start within {self._settings.setup_seconds:g} s") from error
            self._pod = pod
            if self._fence_seconds != request.fence_after:
                # It changed while the pod was created.
                pod.feed(self._fence_seconds)
            self._reporter.pod_started(pod.images)
            self._start_timeout()
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
        await self._keep_logs()
        self._setup = None
        self._events.put_nowait(event)

    async def _pod_request(self, *, clones_here: bool = True) -> PodRequest:
        return await pod_request(
            self._assign,
            self._driver,
            session_id=self._session_id,
            fence_seconds=self._fence_seconds,
            default_limits=self._settings.limits,
            local_repositories=self._settings.local_repositories,
            clones_here=clones_here,
        )

    @property
    def _timeout_seconds(self) -> float:
        return seconds_of(self._specification, "timeout", self._settings.default_timeout_seconds)

    @property
    def _hold_seconds(self) -> float:
        return seconds_of(self._specification, "hold_on_failure", 0.0)

    async def _complete_logs(self, task: plan.TaskState) -> None:
        """Complete the logs of what is over, of which the pod may still have output that was not on disk."""
        for step in range(SETUP, len(task.steps)):
            state = task.setup if step == SETUP else task.steps[step]
            if state.phase in {plan.StepPhase.NOT_STARTED, plan.StepPhase.RUNNING, plan.StepPhase.SKIPPED}:
                continue
            # The log of a step after which the task was held ends with the task.
            stays_open = not self._reporter.has_log(step)
            step_log = await self._open_log(step)
            found = None if self._pod is None or step == SETUP else await self._find(step, self._pod)
            if found is not None:
                await copy_output(found, step_log)
                self._spawn(forget_when_kept(found, step_log), "output")
            if not stays_open:
                await step_log.finish()
                del self._logs[step]

    async def _run_step(self, step: int) -> None:
        step_log = self._logs.get(step)
        if step_log is None:
            step_log = await self._open_log(step)
        else:
            await step_log.note(f"run again, as asked for by {self._ended_by}")
            await step_log.begin_output()
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
        if self._task is not None and plan.advance(self._task, event)[0].held_step is not None:
            # If it is run again, its log continues.
            await step_log.note(f"the step failed; its pod is held for {_words(self._hold_seconds)}")
            self._reporter.step_held(step)
        else:
            await self._close_log(step)
        self._events.put_nowait(event)

    async def _execute(self, step: int, step_log: StepLog) -> plan.Event:
        pod = self._pod
        if pod is None:
            return plan.PodGone("POD_GONE", "the pod is gone")
        if self._specification.steps[step].definition.WhichOneof("kind") in ARCHIVE_STEPS:
            return await self._execute_archive_step(step, pod, step_log)
        try:
            process = await self._find(step, pod)
            if process is None:
                command = step_command(self._specification, step, mounted_repository=pod.repository)
                if self._specification.steps[step].definition.WhichOneof("kind") == "run":
                    tokens = await self._stoppable(self._id_tokens.begin(pod))
                    if tokens is None:
                        return plan.StepEnded(step, None, "STOPPED", "it was stopped")
                    command = replace(command, environment={**command.environment, **tokens})
                process = await pod.exec(replace(command, key=self._key(step)))
        except SluicewayError as error:
            await step_log.note(str(error))
            return plan.StepEnded(step, None, error.reason, f"did not start: {error}")
        self._process = process
        if self._stopping:
            self._stop_step()
        if self._refreshing is None and self._id_tokens.names:
            self._refreshing = self._spawn(self._id_tokens.refresh(pod), "id tokens")
        await copy_output(process, step_log)
        status = await process.wait()
        self._reporter.step_used(step, status.usage)
        self._spawn(forget_when_kept(process, step_log), "output")
        if status.pod_ended:
            if status.pod_ended == "fenced":
                message = "no server acknowledged the executor for too long, so the pod ended itself"
                return plan.PodGone("FENCED", message)
            return plan.PodGone("POD_GONE", status.error or "the pod ended by itself")
        if status.limit:
            message = f"{_LIMIT_WORDS.get(status.limit, 'exceeded a limit')}, and was ended"
            await step_log.note(message)
            return plan.StepEnded(step, status.code, f"LIMIT_{status.limit.upper()}", message)
        if status.output_open:
            await step_log.note(
                "a background process still has the output of this step open; what it writes is not kept"
            )
        if status.error:
            return plan.StepEnded(step, status.code, "STEP_INVALID", f"did not start: {status.error}")
        return plan.StepEnded(step, status.code)

    async def _find(self, step: int, pod: Pod) -> Process | None:
        """Find the command of a step that an earlier process began."""
        if self._resumed is None or self._resumed.pod is None:
            return None
        spool = self._spools.get(LogName(self.assignment_id, step))
        mark = None if spool is None else spool.written_mark
        return await pod.find(self._key(step), 0 if mark is None else mark.output)

    def _key(self, step: int) -> str:
        """Return the name of the command of a step in its pod, another one when it is run again."""
        reruns = 0 if self._task is None else self._task.steps[step].reruns
        return f"{step}.{reruns}"

    async def _execute_archive_step(self, step: int, pod: Pod, step_log: StepLog) -> plan.Event:
        if self._resumed is not None and step_log.size:
            await step_log.note("the executor was restarted; this step begins again")
        stored = await self._stoppable(self._archive(step, pod, step_log))
        return plan.StepEnded(step, 0) if stored else plan.StepEnded(step, None, "STOPPED", "it was stopped")

    async def _archive(self, step: int, pod: Pod, step_log: StepLog) -> bool:
        archive = await self._archives.run(self._assign, step, pod, step_log.note)
        if archive is not None:
            self._reporter.archive_stored(archive)
        return True

    async def _stoppable(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do a part of the step that runs, without a process; return None if the step is stopped meanwhile."""
        doing = asyncio.ensure_future(work)
        self._process = _Work(doing)
        if self._stopping:
            self._stop_step()
        try:
            await asyncio.wait({doing})
        finally:
            doing.cancel()
            await asyncio.wait({doing})
        self._process = None
        return None if doing.cancelled() else doing.result()

    # -- the end ------------------------------------------------------------------------------------------------

    async def _finish(self, task: plan.TaskState) -> None:
        await self._cancel_tasks()
        for step in list(self._logs):
            await self._close_log(step)
        if not self._reporter.is_silenced:
            await self._keep_logs()
            await self._save(task)
        await self._clean_up()
        for spool in self._spools:
            if spool.name.assignment_id == self.assignment_id:
                await self._spools.end(spool)
        if self._reporter.is_silenced:
            return
        self._reporter.report(task)
        try:
            async with time_limit(self._settings.store_logs_seconds):
                await self._spools.wait_complete(self.assignment_id)
        except TimeoutError:
            log.warning("logs_not_stored_yet", assignment=self.assignment_id)
        self._reporter.report_end(task)

    async def _clean_up(self) -> None:
        await self._cancel_tasks()
        pod, self._pod = self._pod, None
        if pod is not None:
            await pod.remove()
        else:
            # It may have been created when the setup was cancelled.
            await self._driver.remove_pod(self._session_id, self.assignment_id)

    async def _cancel_tasks(self) -> None:
        current = asyncio.current_task()
        tasks = [each for each in self._tasks if each is not current]
        for each in tasks:
            each.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        spawned = asyncio.create_task(work, name=f"{what} of {self.assignment_id}")
        self._tasks.add(spawned)
        spawned.add_done_callback(self._tasks.discard)
        return spawned

    async def _at(self, seconds: float, event: plan.Event) -> None:
        await asyncio.sleep(max(0.0, seconds - seconds_now()))
        self._events.put_nowait(event)

    # -- logs ---------------------------------------------------------------------------------------

    async def _open_log(self, step: int) -> StepLog:
        name = LogName(self.assignment_id, step)
        spool = await (self._spools.create(name) if self._resumed is None else self._spools.reopen(name))
        step_log = StepLog(
            self._spools,
            spool,
            masks=[*self._specification.masks, *self._id_tokens.masks],
            clock=self._clock,
            limit_bytes=self._specification.log_limit_bytes,
        )
        self._logs[step] = step_log
        return step_log

    def _mask(self, secrets: tuple[bytes, ...]) -> None:
        for step_log in self._logs.values():
            step_log.mask(secrets)

    async def _keep_logs(self) -> None:
        for spool in self._spools:
            if spool.name.assignment_id == self.assignment_id and not spool.complete:
                try:
                    await self._spools.write(spool)
                except OSError as error:
                    log.warning("log_not_written", assignment=self.assignment_id, error=str(error))

    async def _close_log(self, step: int) -> None:
        step_log = self._logs[step]
        await step_log.finish()
        self._reporter.step_ended(step, log_size=step_log.size, log_sha256=step_log.sha256)


class _Work:
    """A part of a step without a process of its own: it has no grace period, since it has nothing to finish."""

    def __init__(self, work: asyncio.Future[Any]) -> None:
        self._work = work

    async def stop(self, grace: float) -> None:
        """Cancel it. Returns when it is over."""
        del grace
        self._work.cancel()
        await asyncio.wait({self._work})


def _words(seconds: float) -> str:
    return duration(timedelta(seconds=seconds))
