"""The engine of runs: each request of a person or an executor is one transaction (run-model.md, "How it runs").

The rules decide (`sluiceway_common.runmodel`), `RunTransaction` collects the changes of one transaction, and
`Scheduler` starts runs and assigns tasks, in the same transaction if this server is the scheduler. Any number of
engines may change any run: each decision is made on exact state, at its position in the log. Nothing is polled: timers
do what depends on time alone, and a sweep finds what was missed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from sluiceway.api.executor.v1 import executor_service_pb2 as executor_api
from sluiceway.api.run.v1 import run_service_pb2 as service_api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.foundation.clock import Clock, IdSource
from sluiceway_common.foundation.errors import FailedPrecondition, NotFound
from sluiceway_common.runmodel import holds, requests, retrying, updates
from sluiceway_common.runmodel.model import ApprovalGiven, HoldAction, RestartKind
from sluiceway_common.runmodel.reasons import Reason
from sluiceway_common.runmodel.state import Change, RunState
from sluiceway_server.datamanager.checks import check_preconditions
from sluiceway_server.datamanager.model import Decision, Position, View
from sluiceway_server.datamanager.port import Committed, Database
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.projects.auditing import Auditor
from sluiceway_server.runrecords import definitions
from sluiceway_server.runrecords.types import ASSIGNMENT, RUN, RUN_CONFIG
from sluiceway_server.runs.assignment_updates import take_update
from sluiceway_server.runs.audit_subject import audit_subject
from sluiceway_server.runs.cache import RunCache
from sluiceway_server.runs.configs import RunConfigs
from sluiceway_server.runs.creating import CreationChecks, store_run
from sluiceway_server.runs.deadlines import Deadlines
from sluiceway_server.runs.ports import (
    CloneAccess,
    EngineSettings,
    ExecutorDirectory,
    ObjectBodies,
    RunValues,
    ScopeSettings,
    ServerPresence,
    UpdateOutcome,
    WithNewRun,
    WithRun,
    nothing_more,
)
from sluiceway_server.runs.request_ids import earlier_run, known_request, remembered, request_key
from sluiceway_server.runs.restarting import create_restart
from sluiceway_server.runs.scheduler import Scheduler
from sluiceway_server.runs.specifications import Specifications
from sluiceway_server.runs.sweep import Sweep
from sluiceway_server.runs.timers import Timers
from sluiceway_server.runs.transaction import RunTransaction

T = TypeVar("T")


class Engine:
    """Runs and their assignments, for services and executor streams. Safe to use from any task of the event loop."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        ids: IdSource,
        settings: EngineSettings,
        executors: ExecutorDirectory,
        servers: ServerPresence,
        scopes: ScopeSettings | None = None,
        bodies: ObjectBodies | None = None,
        values: RunValues,
        clone_access: CloneAccess | None = None,
        with_new_run: WithNewRun = nothing_more,
    ) -> None:
        """Create the engine of a server. `with_new_run` returns what is stored together with each new run."""
        self._db = db
        self._with_new_run = with_new_run
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._cache = RunCache()
        self._checks = CreationChecks(clock, ids, values)
        self._configs = RunConfigs(db, bodies, clock, inline_bytes=settings.config_inline_bytes, prefix=settings.prefix)
        self.specifications = Specifications(
            db, self._configs, settings=settings, values=values, clone_access=clone_access
        )
        self._timers = Timers(clock)
        self._deadlines = Deadlines(self._transact)
        self.scheduler = Scheduler(
            db,
            clock,
            ids=ids,
            settings=settings,
            executors=executors,
            servers=servers,
            scopes=scopes,
            cache=self._cache,
            timers=self._timers,
        )
        self._sweep = Sweep(
            self._transact,
            db,
            clock,
            settings=settings,
            scheduler=self.scheduler,
            deadlines=self._deadlines,
            timers=self._timers,
        )
        executors.on_change(self.executors_changed)

    async def run(self) -> None:
        """Elect a scheduler among the servers, place, and sweep, until cancelled. Call it once."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.scheduler.run(), name="scheduler")
            group.create_task(self._sweep.run(), name="sweep")
            group.create_task(self._timers.run(self._deadlines.look), name="timers")

    @property
    def is_scheduler(self) -> bool:
        """Whether this server believes that it is the elected scheduler."""
        return self.scheduler.election.term is not None

    def executors_changed(self) -> None:
        """Make the scheduler try again to place what waits: executors came, left or changed."""
        self.scheduler.executors_changed()

    async def sweep(self) -> int:
        """Sweep now; return how many runs only the sweep moved. For tests."""
        return await self._sweep.sweep()

    async def look_at_due(self) -> None:
        """Run the timers that are due. For tests, whose clock stands still."""
        await self._timers.look_at_due(self._deadlines.look)

    # --- requests of people ---------------------------------------------------------------------------------------

    async def create_run(
        self,
        request: service_api.CreateRunRequest,
        *,
        created_by: str,
        from_fork: bool = False,
        event: str = "",
        with_run: WithRun | None = None,
        audit: Auditor | None = None,
    ) -> Committed[pb.RunRecord]:
        """Create a run, and start and place it in the same transaction if possible.

        `event` is what made it (`RunRecord.event`); empty: the caller, whose word its source is.
        What `with_run` returns is stored in that transaction too, and also if an earlier call has made the run. The
        record of `audit` is stored only with a new run.

        Raises:
            InvalidInput: every fault of the request, or its `request_id` was used with another body.
            Conflict: a change group has moved.
            Exhausted: it is too large.
            Unavailable: too many large runs wait to be checked.
        """
        checked = await self._checks.check(request, created_by=created_by, from_fork=from_fork, event=event)
        config = await self._configs.prepare(checked.config, checked.created.run.config_digest)
        key = request_key(created_by, checked.request_id) if checked.request_id else ""
        last: RunTransaction | None = None

        def decide(transaction: RunTransaction) -> str:
            nonlocal last
            last = transaction
            known = self._known(transaction, key, checked.request_digest) if key else None
            if known is None:
                new_id = checked.created.run.id
                check_preconditions(transaction.view, checked.preconditions)
                remember = remembered(key, checked.request_digest, new_id, transaction.now) if key else None
                run = store_run(transaction, checked, config, remember)
                if audit is not None:
                    transaction.put(audit.record(transaction.view, audit_subject(run, run.name), transaction.now))
                transaction.put(*self._with_new_run(transaction.view, checked.created.run))
            run_id = known or checked.created.run.id
            if with_run is not None:
                transaction.put(*with_run(transaction.view, run_id, known is not None))
            return run_id

        committed = await self._transact(decide)
        await self._configs.confirm(checked.config, config)
        record = last.stored_run(committed.value) if last is not None else None
        if record is None:  # it was made by an earlier call
            record = await self._db.get(RUN, committed.value, after=committed.position)
        return Committed(record, committed.position)

    async def run_of_request(self, created_by: str, request_id: str) -> pb.RunRecord | None:
        """Return the run that `create_run` made with a request id; None: it made none, or too long ago."""
        key = request_key(created_by, request_id)

        def read(view: View) -> pb.RunRecord | None:
            known = known_request(view, key, self._clock.now(), kept=self._settings.request_kept)
            return None if known is None else view.get(RUN, known.run_id)

        return await self._db.read(read)

    async def stop_run(
        self, run_id: str, *, by: str, force: bool = False, request_id: str = "", audit: Auditor | None = None
    ) -> Position:
        """Ask for the end of a running run (R7, R17). The same `request_id` again has no further effect, as below.

        Raises:
            NotFound: there is no such run.
            FailedPrecondition: it is not running.
        """

        def change(state: RunState, transaction: RunTransaction) -> Change:
            return requests.request_stop(state, by=by, now=transaction.now, forced=force)

        return await self._change(run_id, change, by=by, request_id=request_id, what=f"stop {force}", audit=audit)

    async def cancel_run(self, run_id: str, *, by: str, request_id: str = "", audit: Auditor | None = None) -> Position:
        """Cancel a queued run (R17).

        Raises:
            NotFound: there is no such run.
            FailedPrecondition: it is not queued.
        """

        def change(state: RunState, transaction: RunTransaction) -> Change:
            transaction.freed_groups.add(state.run.group)
            return requests.cancel(state, by=by, now=transaction.now)

        return await self._change(run_id, change, by=by, request_id=request_id, what="cancel", audit=audit)

    async def approve_task(
        self,
        run_id: str,
        task: str,
        *,
        by: str,
        is_owner: bool,
        commit_sha: str = "",
        config_digest: str = "",
        request_id: str = "",
        audit: Auditor | None = None,
    ) -> Position:
        """Approve a task that waits (R18). `is_owner`: whether who does may manage the run's project.

        Raises:
            NotFound: there is no such run or task.
            PermissionDenied: only an owner may approve it.
            FailedPrecondition: it does not wait, or the approval is for something else than the run.
        """

        def change(state: RunState, transaction: RunTransaction) -> Change:
            given = ApprovalGiven(by=by, time=transaction.now, commit_sha=commit_sha, config_digest=config_digest)
            return requests.approve(state, task, given, is_owner=is_owner)

        what = f"approve {task} {commit_sha} {config_digest}"
        return await self._change(run_id, change, by=by, request_id=request_id, what=what, audit=audit)

    async def reject_task(
        self,
        run_id: str,
        task: str,
        *,
        by: str,
        is_owner: bool,
        comment: str = "",
        request_id: str = "",
        audit: Auditor | None = None,
    ) -> Position:
        """Refuse the approval of a task that waits (R23). `comment`: why, in one line.

        Raises:
            NotFound: there is no such run or task.
            PermissionDenied: only an owner may reject it.
            FailedPrecondition: it does not wait.
        """

        def change(state: RunState, transaction: RunTransaction) -> Change:
            return requests.reject(state, task, by=by, is_owner=is_owner, why=comment, now=transaction.now)

        what = f"reject {task} {comment}"
        return await self._change(run_id, change, by=by, request_id=request_id, what=what, audit=audit)

    async def retry_task(
        self, run_id: str, task: str, *, by: str, request_id: str = "", audit: Auditor | None = None
    ) -> Position:
        """Ask for another attempt of a task that failed (R24). Raises the errors of `retrying.retry_task`."""

        def change(state: RunState, transaction: RunTransaction) -> Change:
            return retrying.retry_task(state, task, by=by, now=transaction.now)

        return await self._change(run_id, change, by=by, request_id=request_id, what=f"retry {task}", audit=audit)

    async def end_hold(
        self, run_id: str, task: str, action: HoldAction, *, by: str, hold: int = 0, audit: Auditor | None = None
    ) -> Position:
        """Ask for the end of the hold of a task (H4). `hold`: the number of the one that is meant; 0: the present one.

        Raises:
            NotFound: there is no such run or task.
            FailedPrecondition: it is not held, or it is already to end in another way.
        """

        def change(state: RunState, transaction: RunTransaction) -> Change:
            return holds.order(state, task, action, by=by, now=transaction.now, hold=hold)

        return await self._change(run_id, change, by=by, request_id="", what=f"{action} of task {task}", audit=audit)

    async def restart_run(
        self,
        run_id: str,
        kind: RestartKind,
        *,
        by: str,
        chosen: Sequence[str] = (),
        hold_on_failure: timedelta | None = None,
        inputs: Mapping[str, str] | None = None,
        request_id: str = "",
        audit: Auditor | None = None,
    ) -> Committed[pb.RunRecord]:
        """Create a run that runs all or some tasks of another one again, and keeps its other tasks.

        The same `request_id` again returns the run of the first call.

        Raises:
            NotFound: there is no such run.
            InvalidInput: a chosen task is not of the run, or none is chosen; or an input cannot have this value.
            RunCannotBeRestarted: by its phase or result.
            InputsMakeTasks: other values would make other tasks.
        """
        try:
            config = await self._db.get(RUN_CONFIG, run_id)
        except NotFound as cause:
            raise no_run(run_id) from cause
        body = b""
        if config.stored_apart:
            # The run before may be deleted meanwhile, and its configuration with it.
            body = (await self._configs.of_run(run_id, config)).SerializeToString(deterministic=True)
            config = await self._configs.prepare(body, config.digest)
        new_run_id = self._ids.new_id()
        key = request_key(by, request_id) if request_id else ""
        held = "" if hold_on_failure is None else f" hold {hold_on_failure.total_seconds()}"
        changed = "".join(f" input {name}={value!r}" for name, value in sorted((inputs or {}).items()))
        what = f"restart {kind} {' '.join(sorted(chosen))} {run_id}{held}{changed}"
        digest = hashlib.sha256(what.encode()).hexdigest()

        def decide(transaction: RunTransaction) -> str:
            state = transaction.run(run_id)
            if state is None:
                raise no_run(run_id)
            if key:
                known = self._known(transaction, key, digest)
                if known is not None:
                    return known
                transaction.put(remembered(key, digest, new_run_id, transaction.now))
            created = create_restart(
                transaction,
                state,
                kind,
                chosen=chosen,
                run_id=new_run_id,
                by=by,
                new_id=self._ids.new_id,
                config=config,
                hold_on_failure=hold_on_failure,
                inputs=inputs,
            )
            transaction.put(*self._with_new_run(transaction.view, created))
            if audit is not None:
                subject = audit_subject(state.run, f"restarted as {new_run_id}", *chosen)
                transaction.put(audit.record(transaction.view, subject, transaction.now))
            return new_run_id

        committed, transaction = await self._run_transaction(decide)
        await self._configs.confirm(body, config)
        record = transaction.stored_run(committed.value)
        if record is None:  # it was made by an earlier call
            record = await self._db.get(RUN, committed.value, after=committed.position)
        return Committed(record, committed.position)

    async def _change(
        self,
        run_id: str,
        change: Callable[[RunState, RunTransaction], Change],
        *,
        by: str,
        request_id: str,
        what: str,
        audit: Auditor | None,
    ) -> Position:
        key = request_key(by, request_id) if request_id else ""
        digest = hashlib.sha256(f"{what} {run_id}".encode()).hexdigest()

        def decide(transaction: RunTransaction) -> None:
            state = transaction.run(run_id)
            if state is None:
                raise no_run(run_id)
            if key and self._known(transaction, key, digest) is not None:
                return
            transaction.apply(change(state, transaction))
            if audit is not None:
                transaction.put(audit.record(transaction.view, audit_subject(state.run, what), transaction.now))
            if key:
                transaction.put(remembered(key, digest, run_id, transaction.now))

        return (await self._transact(decide)).position

    # --- requests of executors and their sessions -----------------------------------------------------------------

    async def report(
        self, executor_id: str, session_id: str, reported: Sequence[executor_api.AssignmentUpdate]
    ) -> tuple[UpdateOutcome, ...]:
        """Apply updates of one executor, in order, in one transaction (R15). May be repeated.

        Returns one outcome for each, once they are committed. A bad update is refused alone.
        """

        def decide(transaction: RunTransaction) -> tuple[UpdateOutcome, ...]:
            return tuple(take_update(transaction, executor_id, session_id, update) for update in reported)

        return (await self._transact(decide)).value

    async def mark_lost(
        self, assignment_ids: Sequence[str], reason: Reason, *, session_id: str | None = None
    ) -> Position:
        """End attempts as lost (R13). Those that have ended are ignored.

        The caller knows that their pods are gone, or that `lost_after` has passed. With `session_id`, only those that
        this session owns.
        """

        def decide(transaction: RunTransaction) -> None:
            for assignment_id in sorted(set(assignment_ids)):
                stored = transaction.assignment(assignment_id)
                if stored is None or stored.phase.is_final or (session_id not in (None, stored.session)):
                    continue
                state = transaction.run(stored.run_id)
                if state is not None:
                    transaction.apply(updates.mark_lost(state, [assignment_id], reason=reason, now=transaction.now))

        return (await self._transact(decide)).position

    async def adopt(self, executor_id: str, session_id: str, held: executor_api.HeldAssignment) -> bool:
        """Store again an assignment that an executor holds and that the database lost with the end of its log.

        Returns False if the epoch of the database is not newer, or the task has moved on. The executor must then stop
        and remove it.
        """

        def decide(transaction: RunTransaction) -> bool:
            if held.epoch.database >= transaction.view.position.sequence.epoch or transaction.assignment(
                held.assignment_id
            ):
                return False
            state = transaction.run(held.run_id)
            assignment = definitions.decode_held(held, executor=executor_id, session=session_id, now=transaction.now)
            if state is None or assignment is None:
                return False
            try:
                transaction.apply(updates.adopt(state, assignment, transaction.now))
            except (FailedPrecondition, NotFound):
                return False
            return True

        return (await self._transact(decide)).value

    async def live_assignments(
        self, executor_id: str, *, after: Position | None = None
    ) -> tuple[pb.AssignmentRecord, ...]:
        """Return the assignments of an executor that are not final, by id."""

        def read(view: View) -> tuple[pb.AssignmentRecord, ...]:
            live = walk_records(view, ASSIGNMENT, {"executor_id": executor_id, "live": 1})
            return tuple(record for _, record in live)

        return await self._db.read(read, after=after)

    async def assignment(self, assignment_id: str, *, after: Position | None = None) -> pb.AssignmentRecord:
        """Return an assignment, final or not. Raises `NotFound`."""
        return await self._db.get(ASSIGNMENT, assignment_id, after=after)

    async def config_of(self, run_id: str) -> pb.RunConfig:
        """Return the configuration of a run. Raises NotFound if there is no such run."""
        return await self._configs.of_run(run_id, await self._db.get(RUN_CONFIG, run_id))

    def _known(self, transaction: RunTransaction, key: str, digest: str) -> str | None:
        return earlier_run(transaction.view, key, digest, transaction.now, kept=self._settings.request_kept)

    # --- one transaction ------------------------------------------------------------------------------------------

    async def _transact(self, decide: Callable[[RunTransaction], T]) -> Committed[T]:
        return (await self._run_transaction(decide))[0]

    async def _run_transaction(self, decide: Callable[[RunTransaction], T]) -> tuple[Committed[T], RunTransaction]:
        transactions: list[RunTransaction] = []

        def function(view: View) -> Decision[T]:
            # The time at its position in the log, not when it began to wait for it: what follows from another commit
            # must not seem to have happened before it.
            transaction = RunTransaction(view, self._clock.now(), cache=self._cache)
            value = decide(transaction)
            leads = self.scheduler.election.leads(view)
            if leads:
                self.scheduler.place(transaction)
            transactions.append(transaction)
            return transaction.decision(value, tell_scheduler=not leads)

        committed = await self._db.transact(function)
        # The function may be called several times; the last call is the one that was committed.
        transactions[-1].cache_states(committed.position, self._cache)
        self.scheduler.on_committed(transactions[-1])
        return committed, transactions[-1]


def no_run(run_id: str) -> NotFound:
    """Return the error for an id that no run has."""
    return NotFound(f"there is no run {run_id!r}", resource_type="run", resource_name=run_id)
