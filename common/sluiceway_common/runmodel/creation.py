"""Create a run from a request.

There are two kinds of faults. A request with faults of its caller (no group, two tasks with one name, a priority out of
range) is refused with every violation. Faults that a person who pushed a broken configuration should *see* (a cycle, a
parent that does not exist, whatever the caller could not parse) make a run in phase `setup_error` with every error and
no task.

Ids, number and time come from the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from difflib import get_close_matches

from sluiceway_common.foundation import graph
from sluiceway_common.foundation.errors import InvalidInput, Violation
from sluiceway_common.foundation.texts import name_fault
from sluiceway_common.runmodel import groups
from sluiceway_common.runmodel.definitions import TaskDefinition
from sluiceway_common.runmodel.limits import MAX_ATTEMPTS, MAX_EXIT_CODE, MAX_TASKS
from sluiceway_common.runmodel.model import Edge, RestartOf, Run, RunId, RunPhase, Source, Task, TaskId, TaskStatus
from sluiceway_common.runmodel.reasons import Reason, ReasonCode
from sluiceway_common.runmodel.state import Event, EventKind
from sluiceway_common.runmodel.wording import quoted

MAX_NAME_LENGTH = 100
MAX_PRIORITY = 10
_NO_SOURCE = Source()


@dataclass(frozen=True, slots=True)
class CreationRequest:
    """The request of the caller, and the facts that the server adds.

    Attributes:
        task_ids: one for each of `tasks`, in their order.
        number: the next of the group's scope (`groups.scope_of(groups.canonical(group))`).
        setup_errors: of the caller, such as those of a configuration that does not parse.
    """

    id: RunId
    number: int
    name: str
    group: str
    tasks: tuple[TaskDefinition, ...]
    task_ids: Sequence[TaskId]
    now: datetime
    setup_errors: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    timeout: timedelta | None = None
    from_fork: bool = False
    event: str = ""
    created_by: str = ""
    source: Source = _NO_SOURCE
    config_digest: str = ""
    restart_of: RestartOf | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A run that is queued, or is over with its setup errors; `tasks` in the order of their definitions."""

    run: Run
    tasks: tuple[Task, ...]
    setup_errors: tuple[str, ...]
    events: tuple[Event, ...]


def create(request: CreationRequest) -> Created:
    """Make the run, its tasks and their events.

    Raises:
        InvalidInput: the request can never work; every violation, each with its path (`tasks[2].depends[0]`).
        ValueError: there is not one id for each task: a bug.
    """
    found = violations(request)
    if found:
        raise InvalidInput(found)
    if len(request.task_ids) != len(request.tasks):
        raise ValueError(f"{len(request.tasks)} tasks, but {len(request.task_ids)} ids for them")
    errors = tuple(dict.fromkeys((*request.setup_errors, *graph_errors(request.tasks))))
    run = _run(request, errors)
    tasks = () if errors else _tasks(request, run)
    events = [Event(run.id, EventKind.PHASE, "", "", run.phase, run.reason)]
    events.extend(
        Event(run.id, EventKind.TASK_STATUS, task.id, "", task.status, task.reason)
        for task in sorted(tasks, key=lambda t: (t.level, t.name, t.id))
        if task.status is TaskStatus.SKIPPED
    )
    return Created(run=run, tasks=tasks, setup_errors=errors, events=tuple(events))


def violations(request: CreationRequest) -> tuple[Violation, ...]:
    """Return the violations for which the request is refused."""
    found = [Violation("run.group", fault) for fault in groups.faults(request.group)]
    found += _name_faults("run.name", request.name)
    found += _priority_faults("run.priority", request.priority)
    if request.timeout is not None and request.timeout <= timedelta():
        found.append(Violation("run.timeout", "it must be longer than nothing"))
    if not request.tasks and not request.setup_errors:
        found.append(Violation("tasks", "there must be at least one task, or a setup error"))
    if len(request.tasks) > MAX_TASKS:
        found.append(Violation("tasks", f"{len(request.tasks)} tasks; a run may have at most {MAX_TASKS}"))
        return tuple(found)
    first: dict[str, int] = {}
    for index, task in enumerate(request.tasks):
        path = f"tasks[{index}]"
        found += _task_faults(path, task)
        if task.name and task.name in first:
            found.append(Violation(f"{path}.name", f"{quoted(task.name)} is the name of tasks[{first[task.name]}] too"))
        first.setdefault(task.name, index)
    return tuple(found)


def graph_errors(tasks: Sequence[TaskDefinition]) -> tuple[str, ...]:
    """Return what is wrong with the graph, as sentences: unknown parents, then cycles (`graph.cycles`)."""
    names = {task.name for task in tasks}
    errors = []
    for task in tasks:
        for parent in task.depends:
            if parent.task not in names:
                near = get_close_matches(parent.task, sorted(names), n=1)
                hint = f"; did you mean {quoted(near[0])}?" if near else ""
                errors.append(f"task {quoted(task.name)} depends on {quoted(parent.task)}, which is not there{hint}")
    ordered, parents = _numbered(tasks)
    for first, *others in graph.cycles(parents):
        if not others:
            errors.append(f"task {quoted(ordered[first])} depends on itself")
        else:
            circle = " -> ".join(quoted(ordered[place]) for place in (first, *reversed(others), first))
            errors.append(f"tasks depend on each other in a circle: {circle}")
    return tuple(errors)


def levels_of(tasks: Sequence[TaskDefinition]) -> dict[str, int]:
    """Return the level of each task by name. The graph must be free of errors."""
    names, parents = _numbered(tasks)
    return dict(zip(names, graph.levels(parents), strict=True))


def _run(request: CreationRequest, errors: tuple[str, ...]) -> Run:
    group = groups.canonical(request.group)
    return Run(
        id=request.id,
        number=request.number,
        name=request.name,
        group=group,
        scope=groups.scope_of(group),
        phase=RunPhase.SETUP_ERROR if errors else RunPhase.QUEUED,
        annotations=dict(request.annotations),
        from_fork=request.from_fork,
        event=request.event,
        restart_of=request.restart_of,
        priority=0 if request.from_fork else request.priority,
        timeout=request.timeout,
        create_time=request.now,
        enqueue_time=None if errors else request.now,
        end_time=request.now if errors else None,
        created_by=request.created_by,
        source=request.source,
        config_digest=request.config_digest,
    )


def _tasks(request: CreationRequest, run: Run) -> tuple[Task, ...]:
    ids = {task.name: task_id for task, task_id in zip(request.tasks, request.task_ids, strict=True)}
    levels = levels_of(request.tasks)
    return tuple(_task(task, ids, levels[task.name], run) for task in request.tasks)


def _task(definition: TaskDefinition, ids: Mapping[str, TaskId], level: int, run: Run) -> Task:
    priority = run.priority if definition.priority is None else definition.priority
    task = Task(
        id=ids[definition.name],
        name=definition.name,
        level=level,
        depends=tuple(Edge(parent=ids[d.task], conditions=d.conditions) for d in definition.depends),
        ignore_failure=definition.ignore_failure,
        approval=definition.approval,
        lock=definition.lock,
        retry=definition.retry,
        timeout=definition.timeout,
        wait_timeout=definition.wait_timeout,
        priority=0 if run.from_fork else priority,
        needs=definition.needs,
        steps=definition.steps,
    )
    if not definition.skip:
        return task
    reason = Reason(ReasonCode.WHEN_NOT_MATCHED, 'its "when" does not match what the run is for')
    return replace(task, status=TaskStatus.SKIPPED, reason=reason, end_time=run.create_time)


def _task_faults(path: str, task: TaskDefinition) -> list[Violation]:
    found = _name_faults(f"{path}.name", task.name)
    if task.priority is not None:
        found += _priority_faults(f"{path}.priority", task.priority)
    if not 1 <= task.retry.max_attempts <= MAX_ATTEMPTS:
        found.append(Violation(f"{path}.retry.max_attempts", f"it must be from 1 to {MAX_ATTEMPTS}"))
    if task.timeout is not None and task.timeout <= timedelta():
        found.append(Violation(f"{path}.timeout", "it must be longer than nothing"))
    if task.wait_timeout is not None and task.wait_timeout <= timedelta():
        found.append(Violation(f"{path}.wait_timeout", "it must be longer than nothing"))
    if any(not 1 <= code <= MAX_EXIT_CODE for code in task.retry.exit_codes):
        found.append(Violation(f"{path}.retry.exit_codes", f"they must be from 1 to {MAX_EXIT_CODE}"))
    if task.approval is not None and task.approval.timeout <= timedelta():
        found.append(Violation(f"{path}.approval.timeout", "it must be longer than nothing"))
    seen: set[str] = set()
    for index, parent in enumerate(task.depends):
        where = f"{path}.depends[{index}]"
        if not parent.task:
            found.append(Violation(f"{where}.task", "it must not be empty"))
        elif parent.task in seen:
            found.append(Violation(where, f"{quoted(parent.task)} is named twice; put its conditions together"))
        seen.add(parent.task)
        if not parent.conditions:
            found.append(Violation(f"{where}.conditions", "there must be at least one"))
    return found


def _name_faults(path: str, name: str) -> list[Violation]:
    fault = name_fault(name, most=MAX_NAME_LENGTH)
    return [] if fault is None else [Violation(path, fault)]


def _priority_faults(path: str, priority: int) -> list[Violation]:
    if -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        return []
    return [Violation(path, f"it must be from -{MAX_PRIORITY} to {MAX_PRIORITY}")]


def _numbered(tasks: Sequence[TaskDefinition]) -> tuple[list[str], list[list[int]]]:
    """Return the names, sorted, and for each the places of its parents; unknown parents are left out."""
    names = sorted({task.name for task in tasks})
    places = {name: place for place, name in enumerate(names)}
    parents: list[list[int]] = [[] for _ in names]
    for task in tasks:
        parents[places[task.name]] = sorted({places[d.task] for d in task.depends if d.task in places})
    return names, parents
