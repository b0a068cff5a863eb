"""One run with its tasks and live assignments, as the rules see it, and what changed between two such states.

A `RunState` is a value: the methods that change something give a new one and share what did not change. Beside
the records it has a cache for the next pass (`Tally`): how many tasks are unfinished, which are runnable, and which
changed since the last pass (*dirty*). The cache does not count for equality, and a pass without it has the same result
(tests check that). So in a run of 2,000 tasks, the update of one task costs what one task costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum

from sluiceway_common.runmodel.model import Assignment, AssignmentId, Run, RunId, Task, TaskId, TaskStatus
from sluiceway_common.runmodel.reasons import Reason


class InvariantBroken(RuntimeError):
    """A state that our functions cannot make: a bug, and so not an error of our family."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph of a run, which never changes.

    Attributes:
        children: for each task those that name it in an edge.
        roots: those without an edge.
        rank: the place of each task in the order (level, name, id), in which everything is listed.
        levels: how many levels there are.
    """

    children: Mapping[TaskId, tuple[TaskId, ...]]
    roots: frozenset[TaskId]
    rank: Mapping[TaskId, int]
    levels: int

    @classmethod
    def of(cls, tasks: Mapping[TaskId, Task]) -> Graph:
        """Compute it from the tasks.

        Raises:
            InvariantBroken: an edge names a task that is not there.
        """
        ordered = sorted(tasks.values(), key=lambda t: (t.level, t.name, t.id))
        children: dict[TaskId, list[TaskId]] = {t.id: [] for t in ordered}
        for task in ordered:
            for edge in task.depends:
                if edge.parent not in children:
                    raise InvariantBroken(f"task {task.name!r} depends on {edge.parent}, which is not in the run")
                children[edge.parent].append(task.id)
        return cls(
            children={key: tuple(value) for key, value in children.items()},
            roots=frozenset(task.id for task in ordered if not task.depends),
            rank={task.id: index for index, task in enumerate(ordered)},
            levels=1 + max((t.level for t in ordered), default=-1),
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """Results of the last pass, updated by each change.

    Attributes:
        unfinished: tasks that are not finished.
        failures: tasks failed or lost, without `ignore_failure`; `stops`: tasks stopped, without it.
        waiting: tasks that wait for an approval; `runnable`: those that R10 names; `timed`: those of `runnable` that
            have a `wait_timeout`. All as of the last pass.
        task_deadline: no live assignment's timeout passes before this; None: none will.
    """

    unfinished: int
    failures: int
    stops: int
    waiting: frozenset[TaskId] = frozenset()
    runnable: frozenset[TaskId] = frozenset()
    timed: frozenset[TaskId] = frozenset()
    task_deadline: datetime | None = None

    def moved(self, changes: Iterable[tuple[Task, Task]]) -> Tally:
        """Return the tally with updated counts after changes, each from the old to the new task."""
        was, now = list[Task](), list[Task]()
        for old, new in changes:
            if old.status is not new.status:
                was.append(old)
                now.append(new)
        if not was:
            return self
        before, after = count(was), count(now)
        return replace(
            self,
            unfinished=self.unfinished + after.unfinished - before.unfinished,
            failures=self.failures + after.failures - before.failures,
            stops=self.stops + after.stops - before.stops,
        )


def count(tasks: Iterable[Task]) -> Tally:
    """Count the tasks; the sets are left to the pass."""
    unfinished = failures = stops = 0
    for task in tasks:
        status = task.status
        if status is TaskStatus.NOT_STARTED or status is TaskStatus.RUNNING:
            unfinished += 1
        elif status is TaskStatus.FAILED or status is TaskStatus.LOST:
            failures += not task.ignore_failure
        elif status is TaskStatus.STOPPED:
            stops += not task.ignore_failure
    return Tally(unfinished=unfinished, failures=failures, stops=stops)


@dataclass(frozen=True, slots=True)
class RunState:
    """A run, its tasks by id, and its assignments that are not final, by id. Made by `RunState.of`."""

    run: Run
    tasks: Mapping[TaskId, Task]
    assignments: Mapping[AssignmentId, Assignment]
    graph: Graph = field(compare=False, repr=False)
    tally: Tally | None = field(default=None, compare=False, repr=False)
    dirty: frozenset[TaskId] = field(default=frozenset(), compare=False, repr=False)

    @classmethod
    def of(
        cls,
        run: Run,
        tasks: Iterable[Task],
        assignments: Iterable[Assignment] = (),
        *,
        graph: Graph | None = None,
    ) -> RunState:
        """Make a state from loaded records; final assignments are left out.

        A graph never changes, so a caller that has it may pass it, which saves computing it. Keeping the whole state
        of the last commit saves more.

        Raises:
            InvariantBroken: an edge names a task that is not there.
        """
        by_id = {task.id: task for task in tasks}
        live = {a.id: a for a in assignments if not a.phase.is_final}
        return cls(run=run, tasks=by_id, assignments=live, graph=graph or Graph.of(by_id))

    def forget(self) -> RunState:
        """Return the same records without the tally: the next pass reads every task."""
        return replace(self, tally=None, dirty=frozenset())

    def with_run(self, run: Run) -> RunState:
        """Replace the run; the next pass reads every task, because each rule may read the run."""
        return replace(self, run=run, tally=None, dirty=frozenset())

    def with_task(self, task: Task) -> RunState:
        """Replace one task."""
        tasks = dict(self.tasks)
        old = tasks[task.id]
        tasks[task.id] = task
        tally = self.tally.moved([(old, task)]) if self.tally is not None else None
        return RunState(self.run, tasks, self.assignments, self.graph, tally, self.dirty | {task.id})

    def with_assignment(self, assignment: Assignment) -> RunState:
        """Replace or add one assignment; a final one is removed."""
        live = dict(self.assignments)
        if assignment.phase.is_final:
            live.pop(assignment.id, None)
        else:
            live[assignment.id] = assignment
        return RunState(self.run, self.tasks, live, self.graph, self.tally, self.dirty | {assignment.task_id})

    def in_order(self, ids: Iterable[TaskId]) -> tuple[TaskId, ...]:
        """Sort by level, name, id."""
        return tuple(sorted(ids, key=self.graph.rank.__getitem__))


class EventKind(StrEnum):
    """Which field of the run or of one of its tasks changed."""

    PHASE = "phase"
    RESULT = "result"
    TASK_STATUS = "task_status"
    APPROVAL = "approval"
    EXECUTOR = "executor"


@dataclass(frozen=True, slots=True)
class Event:
    """One field went from the stored value `old` to the stored value `new`; `old` is empty at the creation.

    Position and time are added by the store. `task_id` is empty for a field of the run itself.
    """

    run_id: RunId
    kind: EventKind
    task_id: TaskId
    old: str
    new: str
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The effect of an update or a request, before the pass.

    Attributes:
        before: the stored state.
        state: the state after it; `rules.settle` takes it, with `before`.
        assignments: the assignments that it changed or made, final ones too, to be stored.
    """

    before: RunState
    state: RunState
    assignments: tuple[Assignment, ...] = ()

    def then(self, later: Change) -> Change:
        """Merge with a later change, which began with the state of this one."""
        merged = {a.id: a for a in (*self.assignments, *later.assignments)}
        return Change(before=self.before, state=later.state, assignments=tuple(merged.values()))


_TASK_SLOTS = tuple((getattr(Task, f.name).__get__, getattr(Task, f.name).__set__) for f in fields(Task))


def fast_replace(task: Task, **changes: object) -> Task:
    """Do what `dataclasses.replace` does, in half the time: a pass may make 2,000 of these (B8).

    Slots are copied without calling `__init__`, which computes nothing for a task.
    """
    copy: Task = object.__new__(Task)
    for get, put in _TASK_SLOTS:
        put(copy, get(task))
    for name, value in changes.items():
        object.__setattr__(copy, name, value)
    return copy


def events_between(before: RunState, after: RunState, ids: Iterable[TaskId] | None = None) -> tuple[Event, ...]:
    """Return one event for each changed field, from the stored value to the stored value.

    Args:
        before: the stored state.
        after: the state to be stored.
        ids: the result of `changed_tasks`, if the caller has it.

    Returns:
        Events of tasks by level, name and id, then those of the run: the last event of a run is its end.
    """
    events: list[Event] = []
    run_id = after.run.id
    for task_id in after.in_order(changed_tasks(before, after) if ids is None else ids):
        events.extend(_task_events(run_id, before.tasks[task_id], after.tasks[task_id]))
    old_run, run = before.run, after.run
    if old_run is not run:
        if old_run.result is not run.result:
            events.append(Event(run_id, EventKind.RESULT, "", old_run.result, run.result, run.reason))
        if old_run.phase is not run.phase:
            reason = run.reason or (run.notes[0] if run.notes else None)
            events.append(Event(run_id, EventKind.PHASE, "", old_run.phase, run.phase, reason))
    return tuple(events)


def changed_tasks(before: RunState, after: RunState) -> list[TaskId]:
    """Return the ids of tasks whose records differ, in any order. Unchanged records are mostly the same objects."""
    old = before.tasks
    return [key for key, task in after.tasks.items() if old[key] is not task and old[key] != task]


def _task_events(run_id: str, old: Task, new: Task) -> list[Event]:
    events = []
    if old.approval_state is not new.approval_state:
        events.append(Event(run_id, EventKind.APPROVAL, new.id, old.approval_state, new.approval_state, new.reason))
    if old.executor != new.executor:
        events.append(Event(run_id, EventKind.EXECUTOR, new.id, old.executor, new.executor))
    if old.status is not new.status:
        events.append(Event(run_id, EventKind.TASK_STATUS, new.id, old.status, new.status, new.reason))
    return events
