"""The assignments of this executor: executes commands, runs workers, and keeps the journal up to date.

It guarantees this order: an assignment is in the journal before it is acknowledged, and acknowledged before it starts;
its end is in the journal before it is reported; its data is kept until it is released.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from sluiceway.api.executor.v1 import executor_service_pb2 as pb
from sluiceway.api.run.v1 import run_pb2
from sluiceway_common.foundation.clock import Clock
from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_executor.archives.steps import ArchiveSteps
from sluiceway_executor.drivers.port import Driver, Pod
from sluiceway_executor.id_tokens import IdTokenSource
from sluiceway_executor.journal import Journal, JournaledAssignment
from sluiceway_executor.outbox import FINAL_PHASES, Outbox
from sluiceway_executor.plan import HoldAction
from sluiceway_executor.progress import ProgressFiles, Resumed
from sluiceway_executor.specification import unsupported_by
from sluiceway_executor.specification_source import SpecificationSource
from sluiceway_executor.spool import Spools
from sluiceway_executor.worker import Worker, WorkerSettings

__all__ = ["Assignments"]

log = structlog.get_logger(__name__)

_HOLD_ACTIONS = {
    run_pb2.HOLD_ACTION_RUN_FAILED_STEP: HoldAction.RUN_FAILED_STEP,
    run_pb2.HOLD_ACTION_RUN_NEXT_STEP: HoldAction.RUN_NEXT_STEP,
    run_pb2.HOLD_ACTION_RELEASE: HoldAction.RELEASE,
}


class Assignments:
    """What this executor holds and runs. Every command may be repeated.

    Attributes:
        changed: notified when an assignment ends.
        draining: set: no assignment is accepted any more.
    """

    def __init__(
        self,
        drivers: Sequence[Driver],
        journal: Journal,
        *,
        outbox: Outbox,
        spools: Spools,
        slots: int,
        archives: ArchiveSteps,
        settings: WorkerSettings,
        files: ProgressFiles,
        specifications: SpecificationSource,
        id_tokens: IdTokenSource,
        clock: Clock,
        fence_seconds: float,
        fence_fixed: bool,
    ) -> None:
        self._drivers = drivers
        self._journal = journal
        self._outbox = outbox
        self._spools = spools
        self._slots = slots
        self._archives = archives
        self._settings = settings
        self._files = files
        self._specifications = specifications
        self._id_tokens = id_tokens
        self._clock = clock
        self._fence_seconds = fence_seconds
        self._fence_fixed = fence_fixed
        self._workers: dict[str, Worker] = {}
        self._active: set[str] = set()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Condition()
        self.draining = asyncio.Event()

    @property
    def workers(self) -> Mapping[str, Worker]:
        """The workers that run, by assignment."""
        return {name: worker for name, worker in self._workers.items() if name in self._active}

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._active

    async def recover(self, pods: Mapping[str, Pod]) -> None:
        """Continue what an earlier process of this executor held, and report what had ended as it ended.

        What ran and has no pod any more is lost. Call it before the session runs.

        Args:
            pods: those that were taken over, by assignment.
        """
        await self._journal.reserve_numbers()
        await self._files.sweep(self._journal.held)
        for held in list(self._journal.held.values()):
            if held.final:
                update = pb.AssignmentUpdate.FromString(base64.b64decode(held.final))
                self._outbox.update(update)
            elif not await self._resume(held, pods.get(held.assignment_id)):
                await self._lose(held)

    async def _resume(self, held: JournaledAssignment, pod: Pod | None) -> bool:
        """Continue an assignment; return whether that is possible. If it is not, its pod is removed."""
        driver = next((each for each in self._drivers if each.name == held.driver), None)
        try:
            progress = await self._files.load(held.assignment_id)
        except ValueError as error:
            log.warning("progress_not_read", assignment=held.assignment_id, error=str(error))
            driver = progress = None
        needs_pod = progress is not None and progress.needs_pod
        if pod is not None and (driver is None or progress is None):
            # No step of it has begun.
            await pod.remove()
            pod = None
        if driver is None or (needs_pod and pod is None):
            return False
        epoch = pb.Epoch(database=held.database_epoch, attempt=held.attempt)
        resumed = Resumed(progress, pod, partial(self._specifications.get, held.assignment_id, epoch))
        assign = pb.Assign(assignment_id=held.assignment_id, epoch=epoch)
        worker = self._new_worker(assign, driver, resumed)
        self._active.add(held.assignment_id)
        self._start(worker)
        log.info("task_resumed", assignment=held.assignment_id, has_pod=pod is not None)
        return True

    async def _lose(self, held: JournaledAssignment) -> None:
        log.warning("assignment_lost", assignment=held.assignment_id)
        for spool in self._spools:
            if spool.name.assignment_id == held.assignment_id:
                await self._spools.end(spool)
        reason = run_pb2.Reason(
            code="EXECUTOR_RESTARTED",
            message="the executor that ran it was restarted, and its pod could not be continued: it had ended"
            " meanwhile, or is of a version that this executor does not continue",
        )
        lost = pb.AssignmentUpdate(
            assignment_id=held.assignment_id,
            epoch=pb.Epoch(database=held.database_epoch, attempt=held.attempt),
            phase=pb.ASSIGNMENT_PHASE_LOST,
            reason=reason,
        )
        await self._end(lost)

    async def wait_idle(self) -> None:
        """Wait until nothing runs."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.is_idle)

    async def close(self) -> None:
        """Cancel all workers: pods are removed, nothing is reported, and the journal keeps the assignments."""
        tasks = [*self._running.values(), *self._background]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- commands -----------------------------------------------------------------------------------------------

    async def assign(self, command: pb.Assign) -> tuple[run_pb2.Reason | None, Callable[[], None] | None]:
        """Write an assignment to the journal. Return why it is refused, and what starts it once it is acknowledged."""
        known = self._journal.held.get(command.assignment_id)
        if known is not None:
            if (known.database_epoch, known.attempt) != (command.epoch.database, command.epoch.attempt):
                return run_pb2.Reason(code="OTHER_EPOCH", message="it is held under another epoch"), None
            return None, None
        if self.draining.is_set():
            return run_pb2.Reason(code="DRAINING", message="this executor takes no more tasks"), None
        if len(self._active) >= self._slots:
            return run_pb2.Reason(code="NO_SLOT", message=f"all {self._slots} slots are in use"), None
        self._active.add(command.assignment_id)
        driver = self._driver_for(command.specification)
        try:
            await self._journal.hold(
                JournaledAssignment(
                    assignment_id=command.assignment_id,
                    database_epoch=command.epoch.database,
                    attempt=command.epoch.attempt,
                    run_id=command.specification.run_id,
                    task_id=command.specification.task_id,
                    phase=pb.ASSIGNMENT_PHASE_ACCEPTED,
                    driver=driver.name,
                )
            )
        except BaseException:
            self._active.discard(command.assignment_id)
            self._journal.held.pop(command.assignment_id, None)
            raise
        worker = self._new_worker(command, driver)
        log.info("task_accepted", assignment=command.assignment_id, task=command.specification.task_name)
        return None, partial(self._start, worker)

    def _new_worker(self, assign: pb.Assign, driver: Driver, resumed: Resumed | None = None) -> Worker:
        worker = Worker(
            assign,
            driver,
            self._spools,
            self._archives,
            report=self._report,
            session_id=self._journal.session_id,
            fence_seconds=self._fence_seconds,
            settings=self._settings,
            clock=self._clock,
            files=self._files,
            id_tokens=self._id_tokens,
            resumed=resumed,
        )
        self._workers[assign.assignment_id] = worker
        return worker

    def _start(self, worker: Worker) -> None:
        self._running[worker.assignment_id] = asyncio.create_task(
            self._run(worker), name=f"assignment {worker.assignment_id}"
        )

    def _driver_for(self, specification: pb.Specification) -> Driver:
        """Return the first driver that supports a task; if none does, the first one, whose setup then fails."""
        able = (driver for driver in self._drivers if not unsupported_by(driver, specification))
        return next(able, self._drivers[0])

    async def stop(self, command: pb.Stop) -> None:
        """Stop an assignment; return when that has begun."""
        held = self._journal.held.get(command.assignment_id)
        if held is None:
            return
        epoch = (command.epoch.database, command.epoch.attempt)
        if command.HasField("epoch") and epoch != (held.database_epoch, held.attempt):
            log.warning("stop_of_another_epoch", assignment=command.assignment_id)
            return
        if command.discard:
            self._spawn(self._discard(command.assignment_id), f"discard {command.assignment_id}")
            return
        worker = self.workers.get(command.assignment_id)
        if worker is not None:
            grace = command.grace.ToTimedelta().total_seconds() if command.HasField("grace") else None
            worker.stop(
                force=command.force, grace_seconds=grace, code=command.reason.code, message=command.reason.message
            )

    async def end_hold(self, command: pb.EndHold) -> None:
        """End the hold of a pod, if the hold is still the present one of that attempt."""
        worker = self.worker_of(command.assignment_id, command.epoch)
        action = _HOLD_ACTIONS.get(command.action)
        if worker is not None and action is not None:
            worker.end_hold(command.hold, action, command.by)

    def worker_of(self, assignment_id: str, epoch: pb.Epoch) -> Worker | None:
        """Return the worker of an attempt that runs here; None: there is none."""
        held = self._journal.held.get(assignment_id)
        if held is None or (epoch.database, epoch.attempt) != (held.database_epoch, held.attempt):
            return None
        return self.workers.get(assignment_id)

    async def release(self, command: pb.Release) -> None:
        """Remove all that is kept of an assignment that is over."""
        if command.assignment_id in self._active:
            log.warning("release_of_running_assignment", assignment=command.assignment_id)
            return
        self._outbox.forget(command.assignment_id)
        self._journal.forget(command.assignment_id)
        await self._spools.remove(command.assignment_id)

    async def clean(self, command: pb.Clean) -> run_pb2.Reason | None:
        """Remove the pods of a vanished session of a sibling, and report them gone; return why that is not possible."""
        if command.session_id == self._journal.session_id:
            return run_pb2.Reason(code="OWN_SESSION", message="this is the session of this executor")
        try:
            for driver in self._drivers:
                for assignment_id in await driver.list_pods(command.session_id):
                    log.warning("pod_of_sibling_removed", executor=command.executor_id, assignment=assignment_id)
                    await driver.remove_pod(command.session_id, assignment_id)
        except SluicewayError as error:
            log.warning("pods_of_sibling_not_removed", executor=command.executor_id, error=str(error))
            return run_pb2.Reason(code="PODS_NOT_REMOVED", message=str(error))
        self._outbox.pods_gone(command.session_id)
        return None

    def held(self) -> Sequence[pb.HeldAssignment]:
        """Return all assignments that are held, for a hello."""
        return [
            pb.HeldAssignment(
                assignment_id=held.assignment_id,
                epoch=pb.Epoch(database=held.database_epoch, attempt=held.attempt),
                phase=pb.AssignmentPhase.Name(held.phase),
                run_id=held.run_id,
                task_id=held.task_id,
            )
            for held in self._journal.held.values()
        ]

    def running(self) -> Sequence[str]:
        """Return the ids of the assignments that run."""
        return sorted(self._active)

    def feed(self, seconds: float) -> None:
        """Keep all pods alive for so many seconds from now."""
        for worker in self._workers.values():
            worker.feed(self._fence_seconds if self._fence_fixed else seconds)

    async def welcomed(self, *, fence_seconds: float) -> None:
        """Set how long pods live without an acknowledged heartbeat, after a welcome."""
        if not self._fence_fixed:
            self._fence_seconds = fence_seconds
        await self._journal.reserve_numbers()

    def report_again(self) -> None:
        """Report all that is held again: what was acknowledged may have been lost."""
        for held in self._journal.held.values():
            worker = self._workers.get(held.assignment_id)
            if held.final:
                self._outbox.update(pb.AssignmentUpdate.FromString(base64.b64decode(held.final)))
            elif worker is not None:
                worker.report_again()

    async def fenced(self) -> None:
        """Discard all assignments, and the session, because it was fenced."""
        for assignment_id in list(self._journal.held):
            await self._discard(assignment_id)
        await self._journal.forget_all()

    # -- workers ----------------------------------------------------------------------------------------

    async def _run(self, worker: Worker) -> None:
        try:
            await worker.run()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("worker_failed", assignment=worker.assignment_id)
            held = self._journal.held.get(worker.assignment_id)
            if held is not None and not held.final:
                epoch = pb.Epoch(database=held.database_epoch, attempt=held.attempt)
                message = f"the executor failed: {type(error).__name__}"
                await self._end(
                    pb.AssignmentUpdate(
                        assignment_id=worker.assignment_id,
                        epoch=epoch,
                        phase=pb.ASSIGNMENT_PHASE_LOST,
                        reason=run_pb2.Reason(code="EXECUTOR", message=message),
                    )
                )
        finally:
            self._workers.pop(worker.assignment_id, None)
            self._running.pop(worker.assignment_id, None)

    def _report(self, update: pb.AssignmentUpdate) -> None:
        if update.phase in FINAL_PHASES:
            self._spawn(self._end(update), f"report of {update.assignment_id}")
            return
        self._journal.mark(update.assignment_id, update.phase)
        self._outbox.update(update)

    async def _end(self, update: pb.AssignmentUpdate) -> None:
        held = self._journal.held.get(update.assignment_id)
        if held is None:
            return
        final = base64.b64encode(update.SerializeToString()).decode()
        await self._journal.hold(replace(held, phase=update.phase, final=final))
        await self._files.remove(update.assignment_id)
        # The slot must be free before the server knows that it is.
        self._active.discard(update.assignment_id)
        self._outbox.update(update)
        phase = pb.AssignmentPhase.Name(update.phase).removeprefix("ASSIGNMENT_PHASE_").lower()
        log.info("task_ended", assignment=update.assignment_id, phase=phase, reason=update.reason.code)
        await self._notify()

    async def _discard(self, assignment_id: str) -> None:
        worker, running = self._workers.get(assignment_id), self._running.get(assignment_id)
        if worker is not None:
            worker.discard()
        await self._spools.refuse_all(assignment_id)
        if running is not None:
            await asyncio.wait([running])
        self._active.discard(assignment_id)
        self._outbox.forget(assignment_id)
        self._journal.forget(assignment_id)
        await self._files.remove(assignment_id)
        await self._spools.remove(assignment_id)
        log.info("task_discarded", assignment=assignment_id)
        await self._notify()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()
