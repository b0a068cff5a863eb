"""What a restart runs again, and what it keeps.

A restart is a new run of the same group and configuration. These tasks run again: those that did not succeed (failed,
ignored or not, lost, stopped, cancelled, or skipped by a stop, by the run's timeout or by an approval that expired),
those that were chosen, and all descendants of these; they get new ids, attempt 1 and no approval. All others
succeeded, or were skipped for a reason that still holds: they are kept with their ids, and share logs and archives with
the run before.

A task whose `when` did not match is never run by a restart: it is for the same commit. Below a task that runs again it
is created again as skipped; choosing it is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sluiceway_common.foundation.errors import FailedPrecondition, InvalidInput, Violation
from sluiceway_common.runmodel.creation import Created
from sluiceway_common.runmodel.model import (
    ArchiveKind,
    RestartKind,
    RestartOf,
    Run,
    RunId,
    RunPhase,
    RunResult,
    Task,
    TaskId,
    TaskStatus,
)
from sluiceway_common.runmodel.reasons import ReasonCode
from sluiceway_common.runmodel.state import Event, EventKind, RunState
from sluiceway_common.runmodel.wording import listing, quoted

_CAME_TO_NOTHING: Final = frozenset({TaskStatus.FAILED, TaskStatus.LOST, TaskStatus.STOPPED, TaskStatus.CANCELLED})
_SKIPPED_BY_CHANCE: Final = frozenset(
    {ReasonCode.RUN_STOPPED, ReasonCode.RUN_TIMED_OUT, ReasonCode.APPROVAL_EXPIRED, ReasonCode.APPROVAL_REJECTED}
)


class RunCannotBeRestarted(FailedPrecondition):
    """The phase or the result of the run does not allow this kind of restart."""

    reason = "RUN_CANNOT_BE_RESTARTED"


class WorkspaceExpired(FailedPrecondition):
    """A task that would run again needs an archive that is not kept any more; restart from the start."""

    reason = "WORKSPACE_EXPIRED"


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """The effect of a restart.

    Attributes:
        again: the tasks that run again, by level, name and id: the caller makes one new id for each.
        kept: the others, in the same order.
        needed_archives: digests of the archives of kept tasks that tasks which run again restore.
    """

    kind: RestartKind
    again: tuple[TaskId, ...]
    kept: tuple[TaskId, ...]
    needed_archives: frozenset[str]


def plan_restart(
    state: RunState, kind: RestartKind, *, chosen: Iterable[TaskId] = (), expired: Collection[str] = ()
) -> RestartPlan:
    """Decide what a restart runs again.

    Args:
        state: the run to be restarted.
        kind: what is restarted.
        chosen: the tasks that were chosen; for `FROM_TASKS` only, and at least one there.
        expired: digests of archives that are not kept any more, of those that this run has.

    Raises:
        InvalidInput: a chosen task is not there, or its `when` did not match; or none is chosen.
        RunCannotBeRestarted: by the run's phase or result.
        WorkspaceExpired: an archive that is needed has expired.
    """
    picked = tuple(dict.fromkeys(chosen))
    _check_choice(state, kind, picked)
    _check_run(state.run, kind)
    if kind is RestartKind.FROM_START:
        again = set(state.tasks)
    else:
        again = {key for key, task in state.tasks.items() if _is_due_again(task)}
        again = _with_descendants(state, again.union(picked))
    needed = _needed_archives(state, again)
    gone = {digest: owner for digest, owner in needed.items() if digest in expired}
    if gone:
        names = sorted({quoted(state.tasks[key].name) for key in gone.values()})
        raise WorkspaceExpired(
            f"run {state.run.id} cannot be restarted {kind.replace('_', ' ')}: "
            f"the workspace of {listing(names)} has expired; restart it from the start"
        )
    return RestartPlan(
        kind=kind,
        again=state.in_order(again),
        kept=state.in_order(state.tasks.keys() - again),
        needed_archives=frozenset(needed),
    )


def restart(
    state: RunState,
    plan: RestartPlan,
    *,
    run_id: RunId,
    number: int,
    new_ids: Mapping[TaskId, TaskId],
    created_by: str,
    now: datetime,
) -> Created:
    """Make the new run of a plan.

    Args:
        state: the run to be restarted, as `plan` was made of it.
        plan: what runs again.
        run_id: the id of the new run.
        number: its number, the next one of the scope.
        new_ids: a new id for each task that runs again, by its old one.
        created_by: who asked for it.
        now: the time of the transaction.
    """
    old = state.run
    run = Run(
        id=run_id,
        number=number,
        name=old.name,
        group=old.group,
        scope=old.scope,
        phase=RunPhase.QUEUED,
        create_time=now,
        enqueue_time=now,
        annotations=old.annotations,
        from_fork=old.from_fork,
        event=old.event,
        restart_of=RestartOf(old.id, plan.kind),
        priority=old.priority,
        timeout=old.timeout,
        created_by=created_by,
        source=old.source,
        config_digest=old.config_digest,
    )
    tasks = tuple(
        [_created_again(state.tasks[key], new_ids, now) for key in plan.again]
        + [_kept(state.tasks[key], old.id) for key in plan.kept]
    )
    events = [Event(run.id, EventKind.PHASE, "", "", run.phase)]
    events.extend(
        Event(run.id, EventKind.TASK_STATUS, task.id, "", task.status, task.reason)
        for task in sorted(tasks, key=lambda t: (t.level, t.name, t.id))
        if task.status is not TaskStatus.NOT_STARTED
    )
    return Created(run=run, tasks=tasks, setup_errors=(), events=tuple(events))


def _check_choice(state: RunState, kind: RestartKind, chosen: tuple[TaskId, ...]) -> None:
    found = []
    if kind is RestartKind.FROM_TASKS and not chosen:
        found.append(Violation("task_ids", "at least one task must be chosen"))
    if kind is not RestartKind.FROM_TASKS and chosen:
        found.append(Violation("task_ids", "tasks can be chosen for a restart from tasks only"))
    for index, key in enumerate(chosen):
        task = state.tasks.get(key)
        if task is None:
            found.append(Violation(f"task_ids[{index}]", f"run {state.run.id} has no task {key}"))
        elif _has_no_when(task):
            sentence = f'task {quoted(task.name)} cannot be chosen: its "when" does not match what the run is for'
            found.append(Violation(f"task_ids[{index}]", sentence))
    if found:
        raise InvalidInput(found)


def _check_run(run: Run, kind: RestartKind) -> None:
    start = f"run {run.id} cannot be restarted"
    if not run.phase.is_terminal:
        raise RunCannotBeRestarted(f"{start} while it is {run.phase}")
    if run.phase is RunPhase.SETUP_ERROR:
        raise RunCannotBeRestarted(f"{start}: it has setup errors and no tasks; correct its configuration")
    if kind is RestartKind.FROM_START:
        return
    if run.phase is not RunPhase.FINISHED:
        raise RunCannotBeRestarted(f"{start} {kind.replace('_', ' ')}: it was {run.phase}; restart it from the start")
    if kind is RestartKind.FROM_FAILED and run.result is RunResult.SUCCESS:
        raise RunCannotBeRestarted(f"{start} from failed: it is a success; restart it from the start or from tasks")


def _has_no_when(task: Task) -> bool:
    """Return whether R12 skipped it: a new run of the same commit skips it too."""
    return task.status is TaskStatus.SKIPPED and _code(task) == ReasonCode.WHEN_NOT_MATCHED


def _is_due_again(task: Task) -> bool:
    return task.status in _CAME_TO_NOTHING or (task.status is TaskStatus.SKIPPED and _code(task) in _SKIPPED_BY_CHANCE)


def _code(task: Task) -> str:
    return task.reason.code if task.reason is not None else ""


def _with_descendants(state: RunState, tasks: Iterable[TaskId]) -> set[TaskId]:
    found: set[TaskId] = set()
    left = list(tasks)
    while left:
        key = left.pop()
        if key not in found:
            found.add(key)
            left.extend(state.graph.children[key])
    return found


def _needed_archives(state: RunState, again: Collection[TaskId]) -> dict[str, TaskId]:
    """Return the archives of kept ancestors that tasks which run again restore, by digest, with an owner of each."""
    kept_above: set[TaskId] = set()
    seen: set[TaskId] = set()
    left = [key for key in again if state.tasks[key].steps.restore_workspace()]
    while left:
        key = left.pop()
        for edge in state.tasks[key].depends:
            if edge.parent not in seen:
                seen.add(edge.parent)
                left.append(edge.parent)
                if edge.parent not in again:
                    kept_above.add(edge.parent)
    return {
        archive.digest: key
        for key in sorted(kept_above)
        for archive in state.tasks[key].archives
        if archive.kind is ArchiveKind.WORKSPACE
    }


def _created_again(task: Task, new_ids: Mapping[TaskId, TaskId], now: datetime) -> Task:
    skipped = _has_no_when(task)
    return Task(
        id=new_ids[task.id],
        name=task.name,
        level=task.level,
        depends=tuple(replace(e, parent=new_ids.get(e.parent, e.parent)) for e in task.depends),
        status=TaskStatus.SKIPPED if skipped else TaskStatus.NOT_STARTED,
        reason=task.reason if skipped else None,
        ignore_failure=task.ignore_failure,
        approval=task.approval,
        lock=task.lock,
        retry=task.retry,
        timeout=task.timeout,
        wait_timeout=task.wait_timeout,
        priority=task.priority,
        needs=task.needs,
        steps=task.steps.blank(),
        end_time=now if skipped else None,
    )


def _kept(task: Task, run_id: RunId) -> Task:
    # Its parents are kept too: what descends from a task that runs again, runs again.
    return replace(task, kept_from=task.kept_from or run_id)
