"""One transaction on runs: what it has read and decided, and the actions that store that.

A transaction function makes a `RunTransaction` over its exact view, applies changes of the rules to it, and ends with
`decision`. A view does not show the transaction its own writes, so everything that one decision may read after another
has written it (runs, queues, locks, used slots) is read through this class. Pure but for the ids of new assignments.

Besides records it stores one event for each changed field, from the value before the transaction to the value after it;
a notice to each executor whose assignments changed; and a notice to the scheduler, if that is another server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from google.protobuf.message import Message

from sluiceway.api.run.v1 import run_pb2 as api
from sluiceway.records.run.v1 import records_pb2 as pb
from sluiceway_common.runmodel.executor_state import AssignedFirst, Use
from sluiceway_common.runmodel.invariants import check
from sluiceway_common.runmodel.model import Assignment, Run, RunPhase, TaskStatus
from sluiceway_common.runmodel.reasons import Reason
from sluiceway_common.runmodel.rules import Advanced, settle
from sluiceway_common.runmodel.state import Change, Event, EventKind, InvariantBroken, RunState, events_between
from sluiceway_common.runmodel.stopping import next_deadline
from sluiceway_server.datamanager.model import (
    Action,
    Decision,
    Delete,
    Emit,
    Position,
    Put,
    View,
)
from sluiceway_server.datamanager.queries import walk_records
from sluiceway_server.runrecords import codec, definitions
from sluiceway_server.runrecords.executor_record import transition, use_of
from sluiceway_server.runrecords.types import (
    ASSIGNMENT,
    EXECUTOR,
    LOCK,
    QUEUE,
    RUN,
    TASK,
    TOPIC_PLACEMENT,
    TOPIC_RUNS,
    executor_topic,
    group_topic,
    lock_id,
    run_group,
    run_topic,
    task_id,
)
from sluiceway_server.runs.cache import RunCache
from sluiceway_server.runs.ports import AssignmentNotice

T = TypeVar("T")
M = TypeVar("M", bound=Message)

CHECKED_TASKS = 100
"""A state of more tasks is not checked against all invariants at each of its updates: that alone would be too slow."""

KIND_EVENT = "run_event"
KIND_CHANGED = "run_changed"
KIND_PLACEMENT = "placement"


def load_run(view: View, run_id: str, cache: RunCache | None = None) -> RunState | None:
    """Read a run with its tasks and live assignments; None when there is no such run."""
    if cache is not None:
        known = cache.get(run_id, view.group(run_group(run_id)))
        if known is not None:
            return known
    record = view.get(RUN, run_id)
    if record is None:
        return None
    tasks = [codec.decode_task(task) for _, task in view.scan(TASK, f"{run_id}/")]
    records = walk_records(view, ASSIGNMENT, {"run_id": run_id, "live": 1})
    live = (codec.decode_assignment(record) for _, record in records)
    return RunState.of(codec.decode_run(record), tasks, live)


def tasks_of(view: View, run_id: str) -> list[api.Task]:
    """Read all tasks of a run, 2,000 at most, by level and name."""
    tasks = (record.task for _, record in view.scan(TASK, f"{run_id}/"))
    return sorted(tasks, key=lambda task: (task.level, task.name))


@dataclass(frozen=True, slots=True)
class NewRecords:
    """The records of a new run. `run` has only what the rules do not know, `tasks` are whole; by the task's id."""

    run: pb.RunRecord
    tasks: Mapping[str, pb.TaskRecord]


@dataclass(slots=True)
class _Touched:
    """One run in this transaction. `created`: the transaction makes it, and `before` was never stored."""

    before: RunState
    state: RunState
    created: NewRecords | None = None
    tasks: set[str] = field(default_factory=set)
    assignments: dict[str, Assignment] = field(default_factory=dict)


class RunTransaction:
    """The changes of one call of a transaction function."""

    def __init__(self, view: View, now: datetime, *, cache: RunCache | None = None) -> None:
        self.view = view
        self.now = now
        self._cache = cache
        self._runs: dict[str, _Touched] = {}
        self._read: dict[str, RunState] = {}
        self._queues: dict[str, str | None] = {}
        self._locks: dict[tuple[str, str], str | None] = {}
        self.counted: dict[str, int] = {}
        self.made: dict[str, pb.RunRecord] = {}
        self._parked: dict[tuple[str, str], bool] = {}
        self._actions: list[Action] = []
        self._stored: list[str] = []
        self._run_records: dict[str, pb.RunRecord] = {}
        self._groups: list[str] = []
        self._first_used: set[str] = set()
        self.freed_groups: set[str] = set()
        self.live_changes: Counter[str] = Counter()
        """How many more live assignments the runs of a scope have after this transaction than before it."""
        self.late_groups: set[str] = set()
        self.idle_owners: set[str] = set()
        self.served: list[str] = []
        """The scopes that were given a task, in this order."""
        self.woken_scopes: set[str] = set()
        self.deadlines: dict[str, datetime | None] = {}
        """The next deadline of each run for which this transaction changed it. Known after `decision`."""

    # --- runs -----------------------------------------------------------------------------------------------------

    def run(self, run_id: str) -> RunState | None:
        """Return a run as this transaction has left it so far."""
        touched = self._runs.get(run_id)
        if touched is not None:
            return touched.state
        known = self._read.get(run_id)
        if known is None:
            known = load_run(self.view, run_id, self._cache)
            if known is not None:
                self._read[run_id] = known
        return known

    def assignment(self, assignment_id: str) -> Assignment | None:
        """Return an assignment, final or not, as this transaction has left it so far."""
        for touched in self._runs.values():
            if assignment_id in touched.assignments:
                return touched.assignments[assignment_id]
        record = self.view.get(ASSIGNMENT, assignment_id)
        return codec.decode_assignment(record) if record is not None else None

    def create(self, state: RunState, records: NewRecords, others: Iterable[Action]) -> None:
        """Add a new run. `others` is stored with it."""
        self._runs[state.run.id] = _Touched(state, state, created=records, tasks=set(state.tasks))
        self._actions.extend(others)
        if state.run.phase is RunPhase.QUEUED:
            self.freed_groups.add(state.run.group)

    def apply(self, change: Change) -> Advanced:
        """Record a change of a run that `run` returned, after the pass that follows it."""
        return self.record_advance(settle(change, self.now))

    def record_advance(self, advanced: Advanced) -> Advanced:
        """Record what a pass came to, for a run that `run` returned."""
        run = advanced.run
        touched = self._touch(run.id)
        touched.state = advanced.state
        touched.tasks.update(task.id for task in advanced.tasks)
        for assignment in advanced.assignments:
            known = touched.assignments.get(assignment.id) or touched.before.assignments.get(assignment.id)
            touched.assignments[assignment.id] = assignment
            self._account(run.scope, assignment, known)
        if advanced.frees_group:
            self._queues[run.group] = None
            self.freed_groups.add(run.group)
            self.woken_scopes.add(run.scope)
        if advanced.runnable:
            self.woken_scopes.add(run.scope)
        if run.approval_wait_since is not None and touched.before.run.approval_wait_since is None:
            # From now on it does not count for `concurrency`, and a newer run may take its place.
            self.freed_groups.add(run.group)
        return advanced

    def _touch(self, run_id: str) -> _Touched:
        touched = self._runs.get(run_id)
        if touched is None:
            before = self._read[run_id]
            touched = self._runs[run_id] = _Touched(before, before)
        return touched

    def _account(self, scope: str, assignment: Assignment, known: Assignment | None) -> None:
        was_live = known is not None and not known.phase.is_final
        is_live = not assignment.phase.is_final
        if was_live == is_live:
            return
        self.live_changes[scope] += 1 if is_live else -1
        self.counted[assignment.executor] = max(0, self.used(assignment.executor) + (1 if is_live else -1))
        if assignment.lock is not None:
            self._locks[assignment.lock] = assignment.id if is_live else None
        if not is_live:
            self.woken_scopes.add(assignment.lock[0] if assignment.lock else "")

    @property
    def touched(self) -> dict[str, RunState]:
        """The runs that this transaction changes, as it leaves them."""
        return {run_id: touched.state for run_id, touched in self._runs.items()}

    # --- queues, locks, slots -------------------------------------------------------------------------------------

    def queue_holder(self, group: str) -> str:
        """Return the run that holds a group; empty if none does."""
        if group in self._queues:
            return self._queues[group] or ""
        record = self.view.get(QUEUE, group)
        return record.run_id if record is not None else ""

    def hold_queue(self, run: Run) -> None:
        """Store that a run holds its group."""
        self._queues[run.group] = run.id
        self._actions.append(Put(QUEUE, run.group, pb.QueueRecord(run_id=run.id, group=run.group, scope=run.scope)))

    def lock_holder(self, lock: tuple[str, str]) -> str:
        """Return the assignment that holds a lock; empty if none does."""
        if lock in self._locks:
            return self._locks[lock] or ""
        record = self.view.get(LOCK, lock_id(*lock))
        return record.assignment_id if record is not None else ""

    def used(self, executor_id: str) -> int:
        """Count the live assignments of an executor, up to 1,000."""
        known = self.counted.get(executor_id)
        if known is None:
            known = self.counted[executor_id] = self._count_live("executor_id", executor_id)
        return known

    def live_in(self, scope: str) -> int:
        """Count the live assignments of the runs of a scope before this transaction, up to 1,000."""
        return self._count_live("scope", scope)

    def _count_live(self, column: str, value: str) -> int:
        return self.view.count(ASSIGNMENT, {column: value, "live": 1}, limit=1000)

    def explain(self, run_id: str, task: str, reason: Reason) -> None:
        """Store why a task waits, for a reason that no rule knows."""
        state = self.run(run_id)
        if state is None:
            return
        explained = replace(state.tasks[task], reason=reason)
        touched = self._touch(run_id)
        touched.state = state.with_task(explained)
        touched.tasks.add(task)

    def park(self, run_id: str, task: str, *, parked: bool) -> None:
        """Store whether no known executor could ever run a task."""
        self._parked[run_id, task] = parked

    def use_executor(self, executor_id: str) -> None:
        """Note that an executor is given an assignment, if it is the first one of its life."""
        record = self.view.get(EXECUTOR, executor_id)
        if record is not None and use_of(record) is Use.NONE and executor_id not in self._first_used:
            self._first_used.add(executor_id)
            self.put(*transition(self.view, executor_id, AssignedFirst(), self.now))

    # --- the end --------------------------------------------------------------------------------------------------

    def put(self, *actions: Action) -> None:
        """Add actions on other records."""
        self._actions.extend(actions)

    def move_groups(self, names: Iterable[str]) -> None:
        """Move change groups besides those of the runs."""
        self._groups.extend(names)

    def decision(self, value: T, *, tell_scheduler: bool) -> Decision[T]:
        """Return the decision that stores everything."""
        actions = list(self._actions)
        groups = list(self._groups)
        for run_id, touched in self._runs.items():
            stored = list(self._store(touched))
            if stored:
                actions.extend(stored)
                groups.append(run_group(run_id))
                self._stored.append(run_id)
                deadline = next_deadline(touched.state)
                if deadline != next_deadline(touched.before):
                    self.deadlines[run_id] = deadline
        for (run_id, task), parked in self._parked.items():
            self._store_parked(actions, run_id, task, parked=parked)
        if not actions:
            return Decision(value)
        for group, holder in self._queues.items():
            if holder is None:
                actions.append(Delete(QUEUE, group))
        for lock, holder in self._locks.items():
            if holder is None:
                actions.append(Delete(LOCK, lock_id(*lock)))
            else:
                run_id = next(t.state.run.id for t in self._runs.values() if holder in t.assignments)
                actions.append(Put(LOCK, lock_id(*lock), pb.LockRecord(assignment_id=holder, run_id=run_id)))
        if tell_scheduler and (self.freed_groups or self.woken_scopes or self.deadlines):
            notice = pb.PlacementNotice(groups=sorted(self.freed_groups), scopes=sorted(self.woken_scopes))
            for run_id, deadline in self.deadlines.items():
                changed = notice.deadlines.add(run_id=run_id)
                if deadline is not None:
                    codec.put_time(changed.time, deadline)
            actions.append(Emit(KIND_PLACEMENT, (TOPIC_PLACEMENT,), notice.SerializeToString()))
        return Decision(value, actions, groups)

    def _store(self, touched: _Touched) -> Iterator[Action]:
        state, before, created = touched.state, touched.before, touched.created
        if len(state.tasks) <= CHECKED_TASKS:
            check(state, before=before)
        run = state.run
        if created is not None:
            record = codec.encode_run(run, task_count=len(state.tasks), before=created.run, new=True)
            self._run_records[run.id] = record
            yield Put(RUN, run.id, record)
        elif run != before.run:
            stored = self.view.get(RUN, run.id)
            yield Put(RUN, run.id, codec.encode_run(run, task_count=len(state.tasks), before=stored))
        changed = [key for key in touched.tasks if created is not None or state.tasks[key] != before.tasks[key]]
        for key in state.in_order(changed):
            yield self._put_task(touched, key)
        for assignment in touched.assignments.values():
            yield Put(ASSIGNMENT, assignment.id, codec.encode_assignment(assignment, scope=run.scope))
            yield from self._notices(assignment, before.assignments.get(assignment.id))
        events = self._events(touched)
        topics = (run_topic(run.id), group_topic(run.group), TOPIC_RUNS)
        for event in events:
            task = state.tasks.get(event.task_id)
            body = definitions.encode_event(event, run=run, task_name=task.name if task else "", now=self.now)
            yield Emit(KIND_EVENT, topics, body.SerializeToString())
        if not events and (changed or touched.assignments or run != before.run):
            # Nothing that is an event, such as a step; watchers of this run are notified all the same.
            yield Emit(KIND_CHANGED, (run_topic(run.id),), b"")

    def _put_task(self, touched: _Touched, key: str) -> Put:
        run_id, task = touched.state.run.id, touched.state.tasks[key]
        parked = self._parked.pop((run_id, key), None)
        name = task_id(run_id, key)
        if touched.created is None:
            stored = self.view.get(TASK, name)
            if stored is None:
                raise InvariantBroken(f"task {name} is changed and not stored")
            record = codec.encode_task(task, stored)
        else:
            record = touched.created.tasks[key]
            if task is not touched.before.tasks[key] or parked is not None:
                record = codec.encode_task(task, record)
        if parked is not None:
            record.parked = parked
        return Put(TASK, name, record)

    def _store_parked(self, actions: list[Action], run_id: str, task: str, *, parked: bool) -> None:
        key = task_id(run_id, task)
        stored = self.view.get(TASK, key)
        if stored is None or stored.parked == parked or stored.task.assignment_id:
            return
        record = pb.TaskRecord()
        record.CopyFrom(stored)
        record.parked = parked
        actions.append(Put(TASK, key, record))

    def _notices(self, assignment: Assignment, before: Assignment | None) -> Iterator[Action]:
        topics = (executor_topic(assignment.executor),)
        body = assignment.id.encode()
        if assignment.phase.is_final:
            yield Emit(AssignmentNotice.ENDED, topics, body)
            return
        if before is None:
            yield Emit(AssignmentNotice.ASSIGNED, topics, body)
        was_asked = before is not None and before.stop_requested is not None
        was_forced = before is not None and before.stop_forced
        if (assignment.stop_requested is not None and not was_asked) or (assignment.stop_forced and not was_forced):
            yield Emit(AssignmentNotice.STOP, topics, body)
        if before is not None and assignment.hold_order != before.hold_order:
            yield Emit(AssignmentNotice.END_HOLD, topics, body)

    def _events(self, touched: _Touched) -> tuple[Event, ...]:
        state, before = touched.state, touched.before
        events: tuple[Event, ...] = ()
        if touched.created is not None:
            # The creation has its own events, even when the run starts in the same transaction.
            run = before.run
            events = (
                *(
                    Event(run.id, EventKind.TASK_STATUS, task.id, "", task.status, task.reason)
                    for task in (before.tasks[key] for key in before.in_order(before.tasks))
                    if task.status is not TaskStatus.NOT_STARTED
                ),
                Event(run.id, EventKind.PHASE, "", "", run.phase, run.reason),
            )
        return (*events, *events_between(before, state, touched.tasks))

    def stored_run(self, run_id: str) -> pb.RunRecord | None:
        """Return the record of a run that this transaction made; None for any other. Shared: not to be changed."""
        return self._run_records.get(run_id)

    def cache_states(self, position: Position, cache: RunCache) -> None:
        """Cache the states of the runs, now that they are committed."""
        for run_id in self._stored:
            cache.put(run_id, position, self._runs[run_id].state)
